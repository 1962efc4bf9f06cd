// A small machine for tests: scripted programs, recorded events, four CPUs with one cache.
//
// Purpose: drive km::Kernel without workloads or SimGrid. A program is a list of operations; fork names the child's program.
// Units: ns. Ownership: the machine owns kernel, programs and the recorder. Errors: none. Not here: costs (each test chooses them).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"

namespace forksim::km::test {

/// An operation of a program with a number, and perhaps on a pid.
inline Op op(OpKind kind, s64 arg = 0, s32 pid = 0) { return {.kind = kind, .arg = arg, .pid = Pid(pid)}; }

/// Operations of one program; a function is asked each time, so it can use results (0-based step, last result).
struct Script {
  std::function<Op(u32 step, s64 last)> next;
};

class ScriptMachine : public UserSpace, public PowerPort, public TraceListener, public FaultPort {
 public:
  explicit ScriptMachine(std::string_view profile = "rpi-4.19-arm64", u32 cpus = 4, Ns every_cost = Ns(1000)) {
    config_.profile = *find_profile(profile);
    resolve_tunables(config_.profile, cpus, {});
    config_.machine.topology.cpus = cpus;
    for (auto kind : {TopologyLevel::Kind::llc, TopologyLevel::Kind::die})
      config_.machine.topology.levels.push_back({kind, std::vector<CpuMask>(cpus, CpuMask::first_n(cpus))});
    config_.machine.ipi.assign(cpus * cpus, Ns(1200));
    config_.machine.opp_hz = {1'500'000'000};
    config_.costs.ns.fill(every_cost);
  }
  KernelConfig& config() { return config_; }
  void set(Tunable t, u64 v) { config_.profile.tunables[static_cast<std::size_t>(t)] = v; }
  /// The `pass`-th time `p` is reached fails.
  void fail_at(FailPoint p, u64 pass) {
    config_.faults = this;
    fails_.push_back({p, pass});
  }
  bool fail(FailPoint p, u64 pass) override {
    for (const auto& [point, nth] : fails_)
      if (point == p && nth == pass) return true;
    return false;
  }
  Trace& trace() { return trace_; }
  /// Instead of all events; before the first use of kernel().
  void listen_to(const TpSet& which) { events_ = which; }
  Kernel& kernel() {
    if (!kernel_) {
      trace_.subscribe(*this, events_);
      kernel_ = std::make_unique<Kernel>(config_, *this, *this, trace_);
    }
    return *kernel_;
  }
  u32 add_program(Script s) {
    programs_.push_back(std::move(s));
    return static_cast<u32>(programs_.size());
  }
  /// A program from a fixed list; exits with 0 at its end.
  u32 add_list(std::vector<Op> ops) {
    return add_program({[ops](u32 step, s64) { return step < ops.size() ? ops[step] : Op{}; }});
  }
  const ForkSpec* fork_spec(u32 program, u64 flags = kForkFlags) {
    specs_.push_back({flags, program, nullptr, false, 0});
    return &specs_.back();
  }
  /// A handle for one task that runs `program`, for a test that has a Core of its own.
  u32 user_of(u32 program) { return new_user(program); }
  void start(u32 program, Ns at = Ns(0), const CpuMask* mask = nullptr, u32 uid = 0) {
    kernel().start({"test", &shape, new_user(program), at, 0, mask, uid, {}});
  }
  /// Runs to the end (or `limit`), closes the books.
  void run(Ns limit = Ns(60'000'000'000)) {
    kernel().advance(limit);
    kernel().finish(kernel().now());
  }
  std::vector<TraceEvent> of(Tp id) const {
    std::vector<TraceEvent> out;
    for (const TraceEvent& e : events)
      if (e.id == id) out.push_back(e);
    return out;
  }

  const Op& next_op(u32 user, s64 last, Ns, Op& out) override {
    State& s = users_[user - 1];
    if (s.step > 0) results[s.program].push_back(last);
    if (out.kind == OpKind::wait) wait_status = out.count;
    return out = programs_[s.program - 1].next(s.step++, last);
  }
  u32 fork_child(u32, const ForkSpec& spec, Pid) override { return new_user(spec.program); }
  void exec_program(u32 user, const ExecSpec& spec) override { users_[user - 1] = {spec.program, 0}; }
  void enter_handler(u32, int) override {}
  void task_gone(u32) override {}
  void set_power_state(CpuId cpu, u32 opp, bool busy, Ns at) override { power.push_back({cpu, opp, busy, at}); }
  void set_cpu_power(CpuId cpu, bool on, Ns at) override { cpu_power.push_back({cpu, on, at}); }
  void on_event(const TraceEvent& e) override { events.push_back(e); }

  struct Power {
    CpuId cpu;
    u32 opp;
    bool busy;
    Ns at;
  };
  ProcessShape shape;
  std::vector<TraceEvent> events;
  std::map<u32, std::vector<s64>> results;  ///< of the operations of each program, in the order its tasks got them
  u64 wait_status = 0;                      ///< of a wait, while the program that did it is asked for its next operation
  std::vector<Power> power;
  struct CpuPower {
    CpuId cpu;
    bool on;
    Ns at;
  };
  std::vector<CpuPower> cpu_power;

 private:
  struct State {
    u32 program, step;
  };
  u32 new_user(u32 program) {
    users_.push_back({program, 0});
    return static_cast<u32>(users_.size());
  }
  KernelConfig config_;
  TpSet events_ = TpSet().set();
  Trace trace_;
  std::deque<Script> programs_;
  std::deque<State> users_;
  std::deque<ForkSpec> specs_;
  std::vector<std::pair<FailPoint, u64>> fails_;
  std::unique_ptr<Kernel> kernel_;
};

inline Op run_op(Ns ns) { return {.kind = OpKind::run, .ns = ns}; }
inline Op sleep_op(Ns ns) { return {.kind = OpKind::sleep, .ns = ns}; }
inline Op exit_op(int code) { return {.kind = OpKind::exit_group, .arg = code}; }
inline Op fork_op(const ForkSpec* spec) { return {.kind = OpKind::fork, .fork = spec}; }
inline Op wait_op(s32 pid = -1, int options = 0) { return {.kind = OpKind::wait, .arg = options, .pid = Pid(pid)}; }
inline Op thread_op(ScriptMachine& m, u32 program) { return fork_op(m.fork_spec(program, kPthreadFlags)); }

/// Pids: init, and the first process that a test starts; 2 to 10 are kernel threads.
inline constexpr s32 kInitPid = 1, kFirstPid = 11;

/// Everything that processes leave behind when something is not freed.
inline u64 left_over(const Alive& a) {
  return a.stacks + a.task_structs + a.mms + a.files + a.fs + a.sighands + a.signals + a.pids + a.creds + a.nsproxies + a.sem_undos +
         a.io_contexts + a.pid_namespaces + a.kernel_bytes;
}

}  // namespace forksim::km::test
