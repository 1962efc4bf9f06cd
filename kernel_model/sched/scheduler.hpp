// The scheduler of Linux 4.19: run queues, CFS, placement, wake-ups, switching.
//
// Purpose: every decision of kernel/sched as a function of frozen time. The execution engine calls the pieces between which time passes;
//          the oracle runner calls the very same pieces with the clock standing still.
// Source:  Linux 4.19 kernel/sched/{core,fair,pelt,topology}.c; each function carries the kernel's name.
// Units:   the clock is ns since boot (set_now); jiffies = initial + now / TICK_NSEC unless set by the caller.
// Ownership: tasks belong to the caller; run queues and domains to the Scheduler. Errors: contracts only.
// Not modelled here yet (issue 4): rt and deadline classes, task groups, bandwidth, periodic and nohz balancing.
#pragma once

#include <initializer_list>
#include <memory>
#include <vector>

#include "kernel_model/sched/entity.hpp"
#include "kernel_model/sched/topology.hpp"
#include "kernel_model/task/task.hpp"
#include "kernel_model/trace/trace.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim::km {

inline constexpr u32 ENQUEUE_WAKEUP = 0x1, ENQUEUE_RESTORE = 0x2, ENQUEUE_MOVE = 0x4, ENQUEUE_NOCLOCK = 0x8, ENQUEUE_MIGRATED = 0x40;
inline constexpr u32 DEQUEUE_SLEEP = 0x1, DEQUEUE_SAVE = 0x2, DEQUEUE_MOVE = 0x4, DEQUEUE_NOCLOCK = 0x8;
inline constexpr u32 WF_SYNC = 1, WF_FORK = 2, WF_MIGRATED = 4;

/// struct rq. Only fields of modelled mechanisms.
struct Rq {
  CpuId cpu;
  u32 nr_running = 0;
  LoadWeight load;
  CfsRq cfs;
  Task *curr = nullptr, *idle = nullptr, *stop = nullptr;
  u64 clock = 0, clock_task = 0;  ///< clock_task == clock: IRQ_TIME_ACCOUNTING is off on this platform
  bool clock_skip_update = false;
  std::array<u64, 5> cpu_load{};
  u64 last_load_update_tick = 0, next_balance = 0;  ///< jiffies
  u64 nr_switches = 0, nr_uninterruptible = 0, nr_iowait = 0;
  u64 idle_stamp = 0, avg_idle = 0, max_idle_balance_cost = 0;
  u64 cpu_capacity = 1024, cpu_capacity_orig = 1024;
  IList<Task, &Task::group_node> cfs_tasks;  ///< most recently run at the head
  Task* wake_list = nullptr;                 ///< LIFO, linked by Task::wake_entry
  bool active_balance = false, online = true;
  CpuId push_cpu;
  u64 nohz_tick_stopped_jiffies = 0;
  bool tick_stopped = false;
};

/// What the scheduler asks of whoever drives it.
struct SchedHooks {
  virtual ~SchedHooks() = default;
  /// smp_send_reschedule(to), executed by CPU `from`.
  virtual void send_reschedule(CpuId from, CpuId to) = 0;
  /// TIF_POLLING_NRFLAG of the idle task of `cpu`: it will notice need_resched without an IPI.
  virtual bool idle_polling(CpuId cpu) const = 0;
  /// Flags of the ftrace header for `cpu` (TraceFlags) and its preempt depth.
  virtual u8 trace_flags(CpuId cpu) const = 0;
};

class Scheduler {
 public:
  /// `k` must be resolved (resolve_tunables). All CPUs start online and idle once init_idle was called for each.
  Scheduler(const KernelProfile& k, const MachineTopology& m, SchedHooks& hooks, Trace& trace);

  // --- time ---
  void set_now(Ns now) { now_ = now; }
  Ns now() const { return now_; }
  u64 jiffies() const { return jiffies_; }
  void set_jiffies(u64 j) { jiffies_ = j; }

  u32 cpus() const { return static_cast<u32>(rqs_.size()); }
  Rq& rq(CpuId c) { return *rqs_[c.v]; }
  const Rq& rq(CpuId c) const { return *rqs_[c.v]; }
  const KernelProfile& profile() const { return profile_; }
  const DomainTree& domains() const { return domains_; }

  // --- set-up ---
  /// init_idle: makes `idle` the idle task and current of `cpu`.
  void init_idle(Task& idle, CpuId cpu);
  /// Sets policy, nice (static_prio), class and load weight of a task that is not queued (set_load_weight).
  void set_params(Task& p, SchedPolicy policy, int nice);

  // --- fork (core.c sched_fork, wake_up_new_task) ---
  /// sched_fork by the task current on `this_cpu`; `p` already is a copy of it. Sets TASK_NEW, places vruntime.
  void sched_fork(Task& p, CpuId this_cpu);
  /// First half of wake_up_new_task: TASK_RUNNING, select_task_rq(FORK), __set_task_cpu. Emits forksim:placement.
  CpuId wake_up_new_task_select(Task& p, CpuId this_cpu);
  /// Second half: post_init_entity_util_avg, activate_task, sched_wakeup_new, check_preempt_curr(WF_FORK).
  void wake_up_new_task_activate(Task& p, CpuId this_cpu);

  // --- wake-up (core.c try_to_wake_up) ---
  enum class Ttwu : u8 {
    not_woken,  ///< state does not match: nothing happened
    done,       ///< was still queued (ttwu_remote): running again
    spin,       ///< still on its CPU: call ttwu_select once on_cpu is clear
    select,     ///< call ttwu_select now
  };
  /// State test, sched_waking, ttwu_remote; sets TASK_WAKING for spin and select.
  Ttwu ttwu_begin(Task& p, u32 state_mask, u32 wake_flags, CpuId this_cpu);
  /// select_task_rq and set_task_cpu; returns the CPU. Updates `wake_flags` (WF_MIGRATED).
  CpuId ttwu_select(Task& p, u32& wake_flags, CpuId this_cpu);
  /// Whether ttwu_queue from `this_cpu` would use the wake list of p's CPU.
  bool ttwu_is_remote(const Task& p, CpuId this_cpu) const;
  /// ttwu_queue: wake list and IPI, or direct activation (sched_wakeup).
  void ttwu_queue(Task& p, u32 wake_flags, CpuId this_cpu);
  /// sched_ttwu_pending: activates the wake list of `this_cpu`, last arrival first; returns how many.
  u32 sched_ttwu_pending(CpuId this_cpu);
  /// All of the above in a row with frozen time; false when not woken. Contract: the task is not `spin`.
  bool try_to_wake_up(Task& p, u32 state_mask, u32 wake_flags, CpuId this_cpu);

  // --- __schedule ---
  /// Clock update and, unless preempt or state is RUNNING, deactivate_task(curr, DEQUEUE_SLEEP). `signal_wakes`: signal_pending_state()
  /// was true, so the state goes back to RUNNING instead. Returns whether curr was deactivated.
  bool schedule_begin(CpuId cpu, bool preempt, bool signal_wakes);
  /// Whether pick_next_task would run idle_balance's domain walk now (so that the engine can charge it).
  bool newidle_balance_wanted(CpuId cpu) const;
  /// pick_next_task, clear NEED_RESCHED; when next != curr: rq.curr, nr_switches, sched_switch, next.on_cpu. Returns next.
  /// `newidle_cost` is what the clock would have measured around idle_balance.
  Task& schedule_pick(CpuId cpu, bool preempt, Ns newidle_cost);
  /// finish_task_switch(prev) in next's context: prev.on_cpu = 0, task_dead hook for a dead task.
  void finish_task_switch(Task& prev, CpuId cpu);

  // --- tick, idle ---
  void scheduler_tick(CpuId cpu);
  /// cpu_load_update_nohz_start/stop around a stopped tick.
  void nohz_tick_stop(CpuId cpu);
  void nohz_tick_restart(CpuId cpu);

  // --- exec, migration, parameters ---
  /// sched_exec: the CPU that SD_BALANCE_EXEC chooses for current of `this_cpu`. Emits forksim:placement.
  CpuId sched_exec_select(CpuId this_cpu);
  /// move_queued_task / migration_cpu_stop: moves a queued, not running task. Executed by the stopper on the task's CPU.
  void migrate_queued_task(Task& p, CpuId dest, CpuId this_cpu);
  void yield_task(CpuId cpu);
  void set_user_nice(Task& p, int nice, CpuId this_cpu);
  /// set_cpus_allowed without the migration itself; returns a CPU of the new mask the task must move to, or its own.
  CpuId set_cpus_allowed(Task& p, const CpuMask& mask);
  /// sched_move_task of an exiting task (sched_autogroup_exit_task): dequeue, detach, attach, enqueue, even without a group change.
  void sched_move_task_exit(Task& p);
  /// CPU off: moves every queued task away (select_fallback_rq), takes the CPU out of placement. On: back in.
  void set_cpu_online(CpuId cpu, bool online, CpuId this_cpu);
  bool cpu_active(CpuId c) const { return rq(c).online; }

  void resched_curr(Rq& rq, CpuId this_cpu);
  bool idle_cpu(CpuId c) const;
  /// CPUs for which idle_cpu() holds.
  CpuMask idle_mask() const;

  /// Emits a tracepoint in the context of `cpu`. One branch when nobody listens.
  template <class... A>
  void emit(Tp id, CpuId cpu, A... a) {
    if (trace_.enabled(id)) [[unlikely]] emit_slow(id, cpu, {to_arg(a)...});
  }

  // The fair class, placement and PELT are implemented in fair.cpp, placement.cpp, pelt.cpp ... as further members and free functions;
  // their declarations follow in the owning room's headers.

 private:
  void emit_slow(Tp id, CpuId cpu, std::initializer_list<u64> args);

  KernelProfile profile_;
  DomainTree domains_;
  SchedHooks& hooks_;
  Trace& trace_;
  std::vector<std::unique_ptr<Rq>> rqs_;
  Ns now_{0};
  u64 jiffies_ = 0;
};

}  // namespace forksim::km
