// Checks that hold in every run.
//
// Purpose: the model proves its own books while it runs; report.json gets `checked` and `violated`. Checks:
//   while running: sched_switch's prev is who ran on that CPU; a task runs on at most one CPU; time does not go backwards on a CPU;
//                  no event is about a task before its task_newtask or after its task_struct was freed; a pid is not born twice;
//                  every queue of the scheduler is what its entities say (km::Kernel::audit, see kernel_model/sched/audit.hpp): at each
//                  switch of a CPU with few tasks, of a CPU with n tasks after every n events; a CPU that idles is asked whether a task
//                  waits longer than the balance bound for it, once in 100 ms, or in a bound that is shorter;
//   at the end:    stacks and task_structs allocated = freed + alive; totals = events seen; user time of the tasks = that of the CPUs;
//                  user + system + irq + idle of a CPU = time online; energy of a CPU =
//                  sum of power x time in each state to 1e-9, also by the engine's log of operating points and off; per task, the sum of the waits seen = the kernel's run_delay.
// Units:   ns, W, J. Ownership: the caller's. Errors: violations are data: the first kKept with the events around them, all are counted.
// Not modelled: a thread that takes over its leader's pid by execve exempts that pid from the birth and free checks.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/pid_table.hpp"

namespace forksim {

struct Violation {
  km::Ns at;
  km::CpuId cpu;
  std::string what;
  std::vector<km::TraceEvent> before;  ///< the last events, oldest first, the offending one last; empty for checks at the end
};

/// What the engine and the kernel know when the run is over.
struct FinalNumbers {
  struct Cpu {
    km::CpuTimes times;
    km::Ns online;        ///< simulated time while online
    double energy_j = 0;  ///< as charged by the engine
    /// By operating point, fastest first, as the engine's own log has it; empty when it has none.
    struct Opp {
      km::u64 hz = 0;
      km::Ns busy, wfi;
      double energy_j = 0;
    };
    std::vector<Opp> opps = {};
    km::Ns off = km::Ns(0);  ///< time off
    double off_energy_j = 0;
  };
  km::Ns now;
  km::Totals totals;
  km::Alive alive;
  std::vector<Cpu> cpus;
  std::array<km::LockStats, km::kLocks> locks{};
  /// Power of a CPU in W as [opp][0 WFI, 1 busy]; empty: energy is not checked.
  std::vector<std::array<double, 2>> watts;
  km::u32 boot_opp = 0;
  bool boot_busy = false;  ///< state of the CPUs at time 0
};

class InvariantListener final : public km::TraceListener {
 public:
  static constexpr std::size_t kKept = 20, kContext = 8;
  static constexpr km::Ns kIdleEvery{100'000'000};
  explicit InvariantListener(km::u32 cpus) : curr_(cpus), last_ts_(cpus), power_(cpus), queues_(cpus) {}
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;
  /// How to check the queue of a CPU (km::Kernel::audit); without, queues are not checked.
  using Audit = std::function<km::u64(km::CpuId, km::Ns idle_since, std::vector<std::string>&)>;
  /// `idle_every`: how often CPUs that idle are asked about, at most.
  void set_audit(Audit a, km::Ns idle_every = kIdleEvery) {
    audit_ = std::move(a);
    idle_every_ = std::min(idle_every, kIdleEvery);
  }
  void finish(const FinalNumbers& f);
  /// Energy of a CPU by this listener's own books (forksim:cpu_power); valid after finish() with `watts`.
  double energy_of(km::CpuId cpu) const { return power_[cpu.v].joules; }

  km::u64 checked() const { return checked_; }
  km::u64 violated() const { return violated_; }
  const std::vector<Violation>& violations() const { return violations_; }

 private:
  enum class Life : km::u8 { unseen, alive, released, freed };
  struct TaskState {
    Life life = Life::unseen;
    bool born = false, taken_over = false, running = false, runnable = false;
    km::u8 old_unfreed = 0;  ///< previous owners of the pid whose task_struct is not freed yet
    km::u32 cpu = 0;
    km::Ns waited;  ///< by sched_info_arrive
  };
  struct PowerState {
    km::Ns since, boot;  ///< last transition; length of the time before the first
    km::u32 opp = 0;
    bool busy = false, seen = false;
    std::vector<std::array<km::Ns, 2>> spent;  ///< [opp][busy]
    double joules = 0;
  };

  bool check(bool ok) {
    ++checked_;
    return ok;
  }
  void violate(const km::TraceEvent& e, std::string what);
  void violate_at_end(km::Ns at, km::CpuId cpu, std::string what);
  TaskState& touch(const km::TraceEvent& e, km::u64 pid);
  TaskState& watch(const km::TraceEvent& e, km::u64 pid, TaskState& t);
  void on_other(const km::TraceEvent& e);
  void on_switch(const km::TraceEvent& e);
  void on_newtask(const km::TraceEvent& e);
  void on_exec(const km::TraceEvent& e);
  void on_free(const km::TraceEvent& e);
  void on_acct(const km::TraceEvent& e);
  void on_power(const km::TraceEvent& e);
  void follow_rename(const km::TraceEvent& e);
  void spend(PowerState& p, km::Ns now);
  void audit_queue(const km::TraceEvent& e);
  void audit_idle(const km::TraceEvent& e);
  void run_audit(const km::TraceEvent& e, km::CpuId cpu, km::Ns idle_since);
  void check_times(const FinalNumbers& f);
  void check_energy(const FinalNumbers& f);
  void check_opps(const FinalNumbers& f, km::u32 c);
  void check_books(const FinalNumbers& f);
  void check_counts(const FinalNumbers& f);

  std::vector<km::Pid> curr_;  ///< who runs on each CPU
  std::vector<km::Ns> last_ts_;
  std::vector<PowerState> power_;
  struct QueueState {
    km::Ns idle_since;     ///< kNever: somebody runs
    km::u64 due = 0;       ///< switches until the next audit
    km::u64 checks = 0;    ///< made by the last one: how long the queue is
  };
  std::vector<QueueState> queues_;
  Audit audit_;
  km::Ns next_idle_audit_, idle_every_ = kIdleEvery;
  std::vector<std::string> broken_;
  PidTable<TaskState> tasks_;
  std::array<km::TraceEvent, kContext> ring_{};
  km::u64 ring_next_ = 0, checked_ = 0, violated_ = 0;
  std::array<km::u64, km::kTracepoints> seen_{};  ///< events by tracepoint
  km::Ns task_user_;                              ///< sum of the tasks' utime
  std::vector<Violation> violations_;
};

}  // namespace forksim
