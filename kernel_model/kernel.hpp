// The facade of the kernel model.
//
// Purpose: everything enters here (machine, cost table, programs, time) and leaves as trace events, power states and totals.
//          next_event() / advance() make it one more resource model of a discrete-event engine.
// Source:  Linux 4.19; see kernel_model/README.md for the map of kernel functions to files.
// Units:   u64 ns since boot. Ownership: the kernel owns tasks and objects; ports are borrowed and must outlive it.
// Errors:  contracts (our bugs) throw; nothing here fires on user input. Not modelled: kernel_model/README.md, "Not modelled".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel_model/cost/cost_table.hpp"
#include "kernel_model/cpufreq/policy.hpp"
#include "kernel_model/lock/lock.hpp"
#include "kernel_model/process/fail_points.hpp"
#include "kernel_model/sched/double_clock.hpp"
#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/sched/topology.hpp"
#include "kernel_model/trace/trace.hpp"
#include "kernel_model/user_space.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim::km {

/// The machine as the kernel sees it; plain data from the platform files.
struct MachineDesc {
  MachineTopology topology;
  std::vector<Ns> ipi;       ///< latency from CPU i to j at [i * cpus + j]
  std::vector<Ns> transfer;  ///< a cache line from CPU i to j at [i * cpus + j]; empty: no time
  bool can_disable = true;   ///< CPUs have a cpu_die method; without (spin-table) cpu_off fails with EOPNOTSUPP
  std::vector<u64> opp_hz;   ///< operating points, fastest first; the first is the reference frequency of the cost table
  u32 boot_opp = 0;          ///< index into opp_hz
};

/// Power states of CPUs, called at non-decreasing dates; `at` may lie before the engine's clock when the kernel ran ahead.
class PowerPort {
 public:
  virtual ~PowerPort() = default;
  virtual void set_power_state(CpuId cpu, u32 opp, bool busy, Ns at) = 0;
  /// The kernel takes a CPU off (it draws what a CPU that is off draws) or on again; a power state follows a CPU that comes.
  virtual void set_cpu_power(CpuId cpu, bool on, Ns at) {
    static_cast<void>(cpu);
    static_cast<void>(on);
    static_cast<void>(at);
  }
};

/// A process started by init at a date.
struct StartSpec {
  std::string_view name;        ///< comm
  const ProcessShape* shape = nullptr;
  u32 user = 0;                 ///< UserSpace handle
  Ns at{0};
  int nice = 0;
  const CpuMask* affinity = nullptr;
  u32 uid = 0;  ///< 0: root, with every capability
  SchedPolicy policy = SchedPolicy::normal;
  u32 rt_priority = 0;       ///< 1..99 with fifo and rr, else 0
  u32 group = 0;             ///< task group (create_group); 0: the root, where the session's autogroup applies
  PlacementIds placement{};  ///< rules of its own
  std::string_view command{};  ///< command line as ps shows it; name when empty
};

/// A group of the cpu controller (cgroup v1), made before the run.
struct GroupSpec {
  static constexpr u64 kNoQuota = ~u64{0};
  std::string_view name;
  u32 parent = 0;     ///< another group, 0: the root
  u64 shares = 1024;  ///< cpu.shares
  u64 cfs_period_us = 100'000, cfs_quota_us = kNoQuota;
  PlacementIds placement{};  ///< rules of its tasks that have none of their own
};

/// What a group has consumed and when it was held back (cpu.stat).
struct GroupView {
  std::string_view name;
  u32 parent = 0;
  u64 shares = 0, cfs_period_us = 0, cfs_quota_us = 0;  ///< quota GroupSpec::kNoQuota: none
  u64 nr_periods = 0, nr_throttled = 0;
  Ns throttled_time, usage;  ///< usage: CPU time of its fair tasks and those of the groups below it
};

/// A device interrupt: its hard handler, and the `irq/N-name` thread it wakes (none when thread is 0).
struct IrqSpec {
  std::string_view name;
  u32 irq = 0;
  CpuId cpu;
  Ns handler{0}, thread{0};
};

struct CpuTimes {
  Ns user, system, irq, idle;
  u64 context_switches = 0, forks_placed = 0, ticks = 0;
  u64 stack_hits = 0, stack_misses = 0;  ///< of forks on this CPU: from its cache, by vmalloc
  u64 stack_cached = 0, stack_full = 0;  ///< of tasks that died here: into its cache, by vfree
  u64 rt_throttled = 0;                  ///< how often real-time tasks had used up their share of a period
  Ns rt_throttled_time{0};
  Ns hardirq{0}, softirq{0};       ///< as CONFIG_IRQ_TIME_ACCOUNTING sees them, else 0: irq less entry and way back of interrupts
  u64 util_irq = 0, capacity = 0;  ///< utilisation by them, and capacity for fair tasks, both of 1024, when last looked at
};

/// Counters of report.json's `totals`, in the contract's order.
struct Totals {
  u64 forks = 0, threads = 0, kthreads = 0, execs = 0, exits = 0, reaped = 0, autoreaped = 0, reparented = 0, fork_errors = 0,
      context_switches = 0, voluntary_switches = 0, involuntary_switches = 0, wakeups = 0, migrations = 0, ticks = 0, ipis = 0,
      stacks_allocated = 0, stack_cache_hits = 0, stacks_freed = 0, task_structs_allocated = 0, task_structs_freed = 0,
      balance_attempts = 0, balance_pulls = 0, frequency_changes = 0, affinity_widened = 0, hrticks = 0;
  /// Scheduling events of the benchmark: switch-in, wake-up, new-task wake-up, preemption, sleep, exit, tick.
  u64 sched_events = 0;
  u64 start_errors = 0;       ///< processes of the workload that could not be started; for `diagnostics`
  u64 placement_illegal = 0;  ///< answers of placement rules that were replaced; for `diagnostics`
};

/// What is alive now; with Totals it closes the books (allocated = freed + alive).
struct Alive {
  u64 stacks = 0, task_structs = 0, mms = 0, files = 0, fs = 0, sighands = 0, signals = 0, pids = 0;
  u64 creds = 0, nsproxies = 0, sem_undos = 0, io_contexts = 0, pid_namespaces = 0,
      kernel_bytes = 0;  ///< kernel_bytes: stacks and slabs beyond those of boot
};

/// One row of the process view.
struct TaskView {
  Pid pid, tgid, ppid;
  NameId comm;
  char state;
  CpuId cpu;
  Ns utime, stime, start_time;
  int nice;
  int prio;  ///< effective priority, 0..139
};

/// Who drives the clock. The drivers of 4.19 differ in what they offer: bcm2835-cpufreq only the lowest and the highest operating point,
/// and utilisation is not scaled with the clock; cpufreq-dt all of them, and arch_set_freq_scale tells the scheduler.
struct CpufreqConfig {
  enum class Driver : u8 { cpufreq_dt, bcm2835_cpufreq };
  Governor governor = Governor::performance;
  Driver driver = Driver::cpufreq_dt;
  u32 setspeed_khz = 0;  ///< of the userspace governor; 0: the highest
};

/// Reference counts of what a task has, as its holders see them; 0 for what it has not (any more).
struct TaskRefs {
  u32 mm_users = 0, files_count = 0, fs_users = 0, sighand_count = 0, sigcnt = 0, nsproxy_count = 0, cred_usage = 0, sem_undo_refcnt = 0,
      io_nr_tasks = 0, usage = 0;
  u32 ioprio = 0;
  u32 ns_level = 0;  ///< of its pid namespace
  Pid ns_pid;        ///< number in it
  bool set_child_tid = false, clear_child_tid = false;
  u64 tls = 0;            ///< equal for tasks with the same thread pointer
  u32 preempt_count = 0;
};

struct KernelConfig {
  KernelProfile profile;  ///< resolved (resolve_tunables)
  MachineDesc machine;
  CostTable costs;
  FaultPort* faults = nullptr;  ///< injects failures; borrowed
  CpufreqConfig cpufreq = {};
  bool hotplug = false;  ///< the workload takes CPUs off: every CPU has a cpuhp thread
  PlacementConfig placement;    ///< rules in place of the kernel's own, borrowed
  bool locks = true;            ///< false: a machine whose locks nobody ever waits for
  bool mm_contention = true;    ///< false: mm work of one CPU does not slow that of the others
};

class Kernel {
 public:
  Kernel(const KernelConfig& config, UserSpace& user, PowerPort& power, Trace& trace);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// Creates a shared object; `param`: semaphore count, barrier parties, pipe capacity in bytes. Dense ids from 0.
  u32 create_object(ObjectKind kind, u64 param);
  /// Starts a workload process (child of init) at `spec.at`. Names and shapes must outlive the run.
  void start(const StartSpec& spec);
  /// A device interrupt that comes at `dates` (ascending). `spec.name` must outlive the run.
  void add_irq(const IrqSpec& spec, const std::vector<Ns>& dates);
  /// A task group; ids from 1. Before the run. 0 when the limits of its parent forbid its quota (EINVAL).
  u32 create_group(const GroupSpec& spec);
  /// Gives the process `user` was started for both ends of a pipe (inherited over fork).
  void attach_pipe(u32 user, u32 pipe);

  /// Date of the next event, or kNever when nothing will ever happen again.
  Ns next_event() const;
  /// Runs every event dated <= `limit`, in (ns, phase, sequence) order.
  void advance(Ns limit);
  /// Closes the books at `now` (time accounting up to it, forksim:task_acct of every task alive). Call once, last.
  void finish(Ns now);

  /// The machine changed: CPU off or on, or another frequency (throttling). `now` >= every date advanced to. What a CPU cannot be taken off
  /// for, or brought back, is said in words; empty when it was done.
  std::string_view cpu_onoff(CpuId cpu, bool on, Ns now);
  void speed_changed(CpuId cpu, u64 hz, Ns now);

  /// Checks the run queue of `cpu` as it is now (sched/audit.hpp); `idle_since`: since when the CPU idles, by run-queue clock, kNever: it does
  /// not. What is broken is appended as text; returns how many checks were made. Changes nothing. `bound`: how long a task may wait for it.
  u64 audit(CpuId cpu, Ns idle_since, Ns bound, std::vector<std::string>& broken);
  /// The run queues' clocks read simulated time plus this.
  static constexpr Ns kClockBase{10'000'000'000};

  Ns now() const;  ///< date of the last event run
  const Totals& totals() const;
  Alive alive() const;
  CpuTimes cpu_times(CpuId cpu) const;
  const DoubleClock& double_clock() const;                  ///< with the feature WARN_DOUBLE_CLOCK
  const std::array<LockStats, kLocks>& lock_stats() const;  ///< by LockId
  std::vector<TaskView> tasks() const;  ///< alive tasks by pid
  std::vector<GroupView> groups() const;  ///< in the order of create_group
  TaskRefs refs(Pid pid) const;         ///< all 0 when there is no such task
  /// Workload tasks still there that nothing can wake any more: a deadlock in the workload. Empty when all is well.
  std::vector<TaskView> stuck_tasks() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forksim::km
