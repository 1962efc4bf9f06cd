// Programs at run time: the kernel's UserSpace on compiled workloads.
//
// Purpose: answers next_op from flat code without allocation, maps or strings; keeps what each task knows (registers, streams, children).
// Source:  km::UserSpace. Units: ns. Ownership: borrows the Workload, which must outlive it; handles are indexes + 1, reused after
// task_gone. Errors:  failed system calls are counted as anomalies (anomalies.def) and handled as the workload says. Not modelled: memory
// shared between threads beyond the kernel's objects; each thread has its own copy of the names it was created with.
#pragma once

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/kernel.hpp"
#include "sim/workload/workload.hpp"

namespace forksim {

enum class Anomaly : u8 {
#define ANOMALY(name, doc) name,
#include "sim/workload/anomalies.def"
#undef ANOMALY
  count_
};
inline constexpr std::size_t kAnomalies = static_cast<std::size_t>(Anomaly::count_);
struct AnomalyInfo {
  std::string_view name, doc;
};
inline constexpr std::array<AnomalyInfo, kAnomalies> kAnomalyTable{{
#define ANOMALY(name, doc) AnomalyInfo{#name, doc},
#include "sim/workload/anomalies.def"
#undef ANOMALY
}};

/// Where a code's row is in `rows`, plus 1; 0: it has none.
template <class Row, std::size_t N>
constexpr auto rows_by_code(const std::array<Row, N>& rows) {
  std::array<u8, 256> at{};
  for (std::size_t i = 0; i < N; ++i) at[static_cast<std::size_t>(rows[i].code)] = static_cast<u8>(i + 1);
  return at;
}

class Programs final : public km::UserSpace {
 public:
  explicit Programs(const Workload& workload);

  /// Creates the objects and starts the processes. KernelT is km::Kernel, or a test's stand-in with create_object, start and attach_pipe.
  template <class KernelT>
  void instantiate(KernelT& kernel);

  const km::Op& next_op(u32 user, s64 last_result, km::Ns now, km::Op& space) override;
  u32 fork_child(u32 parent, const km::ForkSpec& spec, km::Pid child) override;
  void exec_program(u32 user, const km::ExecSpec& spec) override;
  void enter_handler(u32 user, int sig) override;
  void task_gone(u32 user) override;

  u64 anomaly(Anomaly a) const { return anomalies_[static_cast<std::size_t>(a)]; }
  /// Those that happened, by name, in the order of the table: for report.json's `diagnostics`.
  std::vector<std::pair<std::string_view, u64>> diagnostics() const;
  /// Handles in use.
  u32 live() const { return live_; }

 private:
  static constexpr u32 kNone = 0xffffffff;
  struct Frame {  ///< what a handler interrupted
    u32 pc, base, issued;
  };
  struct Task {
    u32 pc = 0;
    u32 base = 0;        ///< first register of the frame
    u32 issued = kNone;  ///< instruction whose operation the kernel runs now
    u32 program = 0;
    u32 instance = 0;
    u32 handlers = 0;  ///< table of handlers, 0: none
    u32 handler_runs = 0;
    bool thread = false;
    s64 waited = 0;  ///< pid that the last wait found stopped
    u64 status = 0;  ///< its status
    u64 key = 0;     ///< of its streams
    std::vector<s64> regs;
    std::vector<Frame> frames;
  };
  /// An instruction whose operation is always the same, ready to be handed out; most are.
  struct Ready {
    bool ready = false;
    km::Op op;
  };
  struct Handlers {
    std::array<u32, 32> code{};  ///< index into Workload::handlers + 1, by signal
    u32 users = 0;
  };

  void prepare();
  Ready prepared(u32 at) const;
  u32 new_task();
  u32 start_task(const StartDecl& start, u32 arrival, u32 instance);
  template <class KernelT>
  void create_instance(KernelT& kernel, u32 program);
  template <class KernelT>
  u32 create(KernelT& kernel, const ObjectDecl& decl);
  template <class KernelT>
  void attach(KernelT& kernel, u32 user, u32 instance, u32 program);

  const km::Op& issue(Task& t, s64 last_result, km::Ns now, km::Op& out);
  /// Handles the result of the operation issued last; true when `out` is filled again (retry, exit).
  bool finish(Task& t, const Instr& i, s64 result, km::Ns now, km::Op& out);
  bool failed(Task& t, const Instr& i, OnError policy, Anomaly a, km::Op& out);
  bool sleep_again(Task& t, const Instr& i, km::Ns now, km::Op& out);
  /// Executes one instruction; true when `out` holds an operation.
  bool step(Task& t, const Instr& i, km::Ns now, km::Op& out);
  bool step_object(Task& t, const Instr& i, km::OpKind kind, km::Op& out);
  bool step_task(Task& t, const Instr& i, km::Op& out);
  bool step_own(Task& t, const Instr& i, km::Op& out);
  bool step_group(Task& t, const Instr& i, km::Op& out);
  bool step_sched(Task& t, const Instr& i, km::Op& out);
  bool step_child(Task& t, const Instr& i, km::Op& out);
  static void note_status(Task& t, s64 pid, u64 status);
  bool step_ptrace(Task& t, const Instr& i, km::Op& out);
  bool step_control(Task& t, const Instr& i, km::Ns now);
  bool step_timer(Task& t, const Instr& i, km::Ns now, km::Op& out);
  static void step_sigreturn(Task& t, km::Op& out);
  void step_sigaction(Task& t, const Instr& i, km::Op& out);

  static void set(km::Op& out, km::OpKind kind, s64 arg) {
    out.kind = kind;
    out.arg = arg;
  }
  s64* regs(Task& t) { return t.regs.data() + t.base; }
  s64 eval(const RunExpr& e, const s64* r);
  s64 number(Task& t, const Instr& i);
  s64 draw_number(Task& t, const DrawSite& site);
  u64 random(Task& t, u16 slot, u64 purpose);
  /// The kernel object that an instruction names; most declarations are one shared object.
  u32 object(Task& t, u32 decl, u32 at, u8 direction) {
    return at == kNoIndex && the_one_[decl] != kNone ? the_one_[decl] : one_of(t, decl, at, direction);
  }
  u32 one_of(Task& t, u32 decl, u32 at, u8 direction);
  u32 wrapped(Task& t, u32 at, u32 size);
  s64& child_of(Task& t, const Instr& i);
  u32 new_handlers();
  void drop_handlers(Task& t);
  void count(Anomaly a) { ++anomalies_[static_cast<std::size_t>(a)]; }

  const Workload& w_;
  std::vector<Ready> ready_;  ///< by instruction
  std::vector<Task> tasks_;
  std::vector<u32> free_;
  std::vector<Handlers> handlers_;
  std::vector<u32> free_handlers_;
  std::vector<u32> run_base_;       ///< first kernel object of each shared declaration
  std::vector<u32> the_one_;        ///< kernel object of each shared declaration that is one object, else kNone
  std::vector<u32> instance_base_;  ///< [instance * declarations + declaration]
  std::array<u64, kAnomalies> anomalies_{};
  u32 live_ = 0;
};

template <class KernelT>
u32 Programs::create(KernelT& kernel, const ObjectDecl& decl) {
  u32 first = 0;
  for (u32 i = 0; i < decl.size(); ++i) {
    const u32 id = kernel.create_object(decl.kind, decl.param);
    if (i == 0) first = id;
    FS_CONTRACT(id == first + i, "kernel objects have dense ids");
  }
  return first;
}

template <class KernelT>
void Programs::create_instance(KernelT& kernel, u32 program) {
  const std::size_t row = instance_base_.size();
  instance_base_.resize(row + w_.objects.size(), kNone);
  for (u32 o : w_.programs[program].objects)
    if (w_.objects[o].per_instance) instance_base_[row + o] = create(kernel, w_.objects[o]);
}

template <class KernelT>
void Programs::attach(KernelT& kernel, u32 user, u32 instance, u32 program) {
  for (u32 o : w_.programs[program].objects) {
    const ObjectDecl& decl = w_.objects[o];
    if (decl.kind != km::ObjectKind::pipe) continue;
    const u32 first = decl.per_instance ? instance_base_[instance * w_.objects.size() + o] : run_base_[o];
    for (u32 i = 0; i < decl.size(); ++i) kernel.attach_pipe(user, first + i);
  }
}

template <class KernelT>
void Programs::instantiate(KernelT& kernel) {
  run_base_.assign(w_.objects.size(), kNone);
  the_one_.assign(w_.objects.size(), kNone);
  for (std::size_t o = 0; o < w_.objects.size(); ++o)
    if (!w_.objects[o].per_instance) {
      run_base_[o] = create(kernel, w_.objects[o]);
      if (w_.objects[o].size() == 1) the_one_[o] = run_base_[o];
    }
  prepare();
  if constexpr (requires { kernel.add_irq(km::IrqSpec{}, std::vector<km::Ns>{}); })
    for (const InterruptDecl& i : w_.interrupts) kernel.add_irq(i.spec, i.dates);
  if constexpr (requires { kernel.create_group(km::GroupSpec{}); })
    for (const km::GroupSpec& g : w_.groups) FS_CONTRACT(kernel.create_group(g), "the compiler has checked the quotas");
  u32 instance = 0;
  for (const StartDecl& s : w_.starts) {
    const Program& p = w_.programs[s.program];
    for (u32 a = 0; a < s.arrivals.size(); ++a, ++instance) {
      create_instance(kernel, s.program);
      const u32 user = start_task(s, a, instance);
      km::StartSpec spec;
      spec.name = p.name;
      spec.shape = &p.shape;
      spec.user = user;
      spec.at = s.arrivals[a];
      spec.nice = s.has_nice ? s.nice : p.nice;
      spec.affinity = s.has_affinity ? &s.affinity : p.has_affinity ? &p.affinity : nullptr;
      spec.uid = s.uid;
      for (std::size_t k = 0; k < km::kPlacementKinds; ++k) spec.placement[k] = s.placement[k] ? s.placement[k] : p.placement[k];
      const PolicyChoice& policy = s.policy.given ? s.policy : p.policy;
      spec.policy = policy.policy;
      spec.rt_priority = policy.rt_priority;
      spec.group = s.has_group ? s.group : p.group;
      if (policy.deadline) count(Anomaly::unmodelled_deadline);
      spec.command = p.command;
      kernel.start(spec);
      attach(kernel, user, instance, s.program);
    }
  }
}

}  // namespace forksim
