// The scheduler of Linux 4.19: run queues, CFS, placement, wake-ups, switching.
//
// Purpose: every decision of kernel/sched as a function of frozen time. The execution engine calls the pieces between which time passes;
//          the oracle runner calls the very same pieces with the clock standing still.
// Source:  Linux 4.19 kernel/sched/{core,fair,pelt,topology}.c; each function carries the kernel's name.
// Units:   the clock is ns since boot (set_now); jiffies = initial + now / TICK_NSEC unless set by the caller.
// Ownership: tasks belong to the caller; run queues and domains to the Scheduler. Errors: contracts only.
// Balancing: scheduler_tick may raise SCHED_SOFTIRQ (softirq_wanted); the driver then calls run_rebalance_domains at softirq time.
//          Active balance asks for the stopper through SchedHooks::stop_one_cpu_nowait, whose work is active_load_balance_cpu_stop.
// Not modelled: the deadline class.
#pragma once

#include <initializer_list>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel_model/sched/double_clock.hpp"
#include "kernel_model/sched/entity.hpp"
#include "kernel_model/sched/fair.hpp"
#include "kernel_model/sched/load_balance.hpp"
#include "kernel_model/sched/placement.hpp"
#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/sched/rt.hpp"
#include "kernel_model/sched/topology.hpp"
#include "kernel_model/task/task.hpp"
#include "kernel_model/trace/functions.hpp"
#include "kernel_model/trace/trace.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim::km {

inline constexpr u32 ENQUEUE_WAKEUP = 0x1, ENQUEUE_RESTORE = 0x2, ENQUEUE_MOVE = 0x4, ENQUEUE_NOCLOCK = 0x8, ENQUEUE_HEAD = 0x10,
                     ENQUEUE_MIGRATED = 0x40;
inline constexpr u32 DEQUEUE_SLEEP = 0x1, DEQUEUE_SAVE = 0x2, DEQUEUE_MOVE = 0x4, DEQUEUE_NOCLOCK = 0x8;
inline constexpr u32 WF_SYNC = 1, WF_FORK = 2, WF_MIGRATED = 4;

/// cpu_irqtime: the time that a CPU has spent in interrupts, with CONFIG_IRQ_TIME_ACCOUNTING.
struct IrqTime {
  u64 hardirq = 0, softirq = 0, irq_start_time = 0;
  u64 total() const { return hardirq + softirq; }
};
/// What a CPU has been doing until an interrupt or softirq begins or ends.
enum class IrqContext : u8 { task, softirq, hardirq };

/// struct rq. Only fields of modelled mechanisms.
struct Rq {
  CpuId cpu;
  u32 nr_running = 0;
  LoadWeight load;
  CfsRq cfs;
  RtRq rt;
  Task *curr = nullptr, *idle = nullptr, *stop = nullptr;
  u64 clock = 0, clock_task = 0;   ///< clock_task is clock less the time of interrupts; without IRQ_TIME_ACCOUNTING they are equal
  bool clock_skip_update = false;  ///< RQCF_REQ_SKIP: the next __schedule keeps the clock
  bool clock_skip_active = false;  ///< RQCF_ACT_SKIP: inside that __schedule
  bool clock_updated = false;      ///< RQCF_UPDATED: since rq_lock
  std::array<u64, 5> cpu_load{};
  u64 last_load_update_tick = 0, next_balance = 0;  ///< jiffies
  u64 nr_switches = 0, nr_uninterruptible = 0, nr_iowait = 0;
  u64 idle_stamp = 0, avg_idle = 0, max_idle_balance_cost = 0;
  u64 cpu_capacity = 1024, cpu_capacity_orig = 1024;
  IList<Task, &Task::group_node> cfs_tasks;  ///< most recently run at the head
  Task* wake_list = nullptr;                 ///< LIFO, linked by Task::wake_entry
  bool active_balance = false, online = true;
  CpuId push_cpu;
  bool tick_stopped = false;       ///< tick_nohz_tick_stopped() of this CPU
  bool nohz_tick_stopped = false;  ///< counted in nohz.idle_cpus_mask
  bool has_blocked_load = false;
  bool idle_balance = false;                                ///< the CPU was idle at its last tick
  bool softirq_pending = false;                             ///< SCHED_SOFTIRQ
  bool nohz_balance_kick = false, nohz_stats_kick = false;  ///< nohz_flags
  u64 last_blocked_load_update_tick = 0;                    ///< jiffies
  IList<CfsRq, &CfsRq::leaf> leaf_cfs_rq_list;
  CfsRq* tmp_alone_branch = nullptr;  ///< null: the list head
  u64 freq_scale = 1024;
  SchedAvg avg_rt;                                      ///< utilisation by real-time tasks; reduces cpu_capacity
  SchedAvg avg_irq;                                     ///< utilisation by interrupts, likewise (NONTASK_CAPACITY)
  IrqTime irqtime;
  u64 prev_irq_time = 0;                                ///< what clock_task has left out
  bool rt_push_queued = false, rt_pull_queued = false;  ///< balance callbacks
  bool rt_push_wanted = false, rt_pull_wanted = false;  ///< see RtClass::push_in_steps
  bool hrtick_active = false;                           ///< hrtick_timer is armed on this CPU
  bool hrtick_csd_pending = false;                      ///< another CPU has asked this one to arm it
  Ns hrtick_expires{0};                                 ///< of hrtick_timer
  // of the __schedule in progress
  bool rt_pulled = false;     ///< pull_rt_task is over
  Ns newidle_cost{0};         ///< of looking at the domain
  bool newidle_over = false;  ///< idle_balance is through but for what it does with the lock again
  bool switch_voluntary = false;
  u32 prev_state = 0;
};

/// The scheduler's own hrtimers, and whose callback the driver runs when one expires: RtClass::sched_rt_period_timer,
/// FairClass::sched_cfs_period_timer, FairClass::sched_cfs_slack_timer, Scheduler::hrtick (one per CPU).
enum class SchedTimer : u8 { rt_period, cfs_period, cfs_slack, hrtick };

/// What the scheduler asks of whoever drives it.
struct SchedHooks {
  virtual ~SchedHooks() = default;
  /// smp_send_reschedule(to), executed by CPU `from`.
  virtual void send_reschedule(CpuId from, CpuId to) = 0;
  /// TIF_POLLING_NRFLAG of the idle task of `cpu`: it will notice need_resched without an IPI.
  virtual bool idle_polling(CpuId cpu) const = 0;
  /// Flags of the ftrace header for `cpu` (TraceFlags) and its preempt depth.
  virtual u8 trace_flags(CpuId cpu) const = 0;
  /// stop_one_cpu_nowait: have the stopper of `cpu` run active_load_balance_cpu_stop. Executed by CPU `from`.
  virtual void stop_one_cpu_nowait(CpuId from, CpuId cpu) {
    static_cast<void>(from);
    static_cast<void>(cpu);
  }
  /// cpufreq_update_util: the utilisation of `cpu` changed at its run queue's date `time`. Executed by CPU `on`, deep inside the scheduler:
  /// nothing may be scheduled from here. Called only after set_update_util(true).
  virtual void cpufreq_update_util(CpuId on, CpuId cpu, u64 time, u32 flags) {
    static_cast<void>(on);
    static_cast<void>(cpu);
    static_cast<void>(time);
    static_cast<void>(flags);
  }
  /// For function_graph, only while somebody listens: a function begins and ends on `cpu`; pick_next_task has chosen `next`.
  virtual void fn_enter(CpuId cpu, Fn f) {
    static_cast<void>(cpu);
    static_cast<void>(f);
  }
  virtual void fn_leave(CpuId cpu) { static_cast<void>(cpu); }
  virtual void fn_picked(CpuId cpu, const Task& prev, const Task& next) {
    static_cast<void>(cpu);
    static_cast<void>(prev);
    static_cast<void>(next);
  }
  /// hrtimer_start of `which` (of group `tg`, null for rt_period and hrtick) on `cpu`; one that is armed already is moved.
  virtual void hrtimer_start(SchedTimer which, TaskGroup* tg, CpuId cpu, Ns expires) {
    static_cast<void>(which);
    static_cast<void>(tg);
    static_cast<void>(cpu);
    static_cast<void>(expires);
  }
  /// hrtimer_cancel of the hrtick timer of `cpu`, executed there.
  virtual void hrtick_cancel(CpuId cpu) { static_cast<void>(cpu); }
  /// smp_call_function_single_async: have `cpu` run Scheduler::hrtick_start_here in interrupt context. Executed by CPU `from`.
  virtual void hrtick_call(CpuId from, CpuId cpu) {
    static_cast<void>(from);
    static_cast<void>(cpu);
  }
  /// irq_work_queue_on: have `cpu` run RtClass::rto_push_irq_work in interrupt context. Executed by CPU `from`.
  virtual void irq_work_queue_on(CpuId from, CpuId cpu) {
    static_cast<void>(from);
    static_cast<void>(cpu);
  }
};

/// What the scheduler counts by itself, for report.json's totals.
struct SchedCounters {
  u64 migrations = 0, balance_attempts = 0, balance_pulls = 0, affinity_widened = 0;
  u64 placement_illegal = 0;  ///< answers of placement rules that select_task_rq had to replace
};

class Scheduler {
 public:
  /// `k` must be resolved (resolve_tunables). Balancing dates start from jiffies 0; init_jiffies moves them. All CPUs start online and idle
  /// once init_idle was called for each.
  Scheduler(const KernelProfile& k, const MachineTopology& m, SchedHooks& hooks, Trace& trace);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // --- time ---
  void set_now(Ns now) { now_ = now; }
  Ns now() const { return now_; }
  /// Run-queue clocks read now + base. A clock near 0 must not be seen: PELT takes last_update_time 0 for "never attached".
  void set_clock_base(Ns base) { clock_base_ = base; }
  Ns clock_base() const { return clock_base_; }
  /// sched_clock_cpu: what run-queue clocks are made of.
  u64 sched_clock() const { return now_.v + clock_base_.v; }
  u64 jiffies() const { return jiffies_; }
  void set_jiffies(u64 j) { jiffies_ = j; }
  /// Boot at jiffies `j`: every balancing date and tick stamp starts there.
  void init_jiffies(u64 j);

  u32 cpus() const { return static_cast<u32>(rqs_.size()); }
  Rq& rq(CpuId c) { return *rqs_[c.v]; }
  const Rq& rq(CpuId c) const { return *rqs_[c.v]; }
  const KernelProfile& profile() const { return profile_; }
  const DomainTree& domains() const { return domains_; }
  const MachineTopology& machine() const { return machine_; }

  // --- set-up ---
  /// init_idle: makes `idle` the idle task and current of `cpu`.
  void init_idle(Task& idle, CpuId cpu);
  /// Sets policy, nice (static_prio), class and load weight of a task that is not queued (set_load_weight).
  void set_params(Task& p, SchedPolicy policy, int nice, u32 rt_priority = 0);

  /// Rules in place of select_task_rq_fair; without this the kernel's own decides alone.
  void set_placement(const PlacementConfig& rules) {
    placement_rules_ = rules;
    has_rules_ = rules.active();
  }

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
  /// Whether an IPI finds more than need_resched: a wake list, or a nohz kick.
  bool scheduler_ipi_wanted(CpuId this_cpu) const {
    const Rq& r = rq(this_cpu);
    return r.wake_list || r.nohz_balance_kick || r.nohz_stats_kick;
  }
  /// scheduler_ipi: the wake list, and a nohz kick (which raises SCHED_SOFTIRQ, see softirq_wanted). Returns how many were woken.
  u32 scheduler_ipi(CpuId this_cpu);
  /// All of the above in a row with frozen time; false when not woken. A task that is just leaving its CPU is queued there at once, where
  /// the kernel spins until it has left; contract: it is a stopper, which cannot go elsewhere.
  bool try_to_wake_up(Task& p, u32 state_mask, u32 wake_flags, CpuId this_cpu);

  // --- __schedule ---
  /// Clock update and, unless preempt or state is RUNNING, deactivate_task(curr, DEQUEUE_SLEEP). `signal_wakes`: signal_pending_state()
  /// was true, so the state goes back to RUNNING instead. Returns whether curr was deactivated.
  bool schedule_begin(CpuId cpu, bool preempt, bool signal_wakes);
  /// Whether pick_next_task would run idle_balance's domain walk now (so that the engine can charge it).
  bool newidle_balance_wanted(CpuId cpu) const;
  /// Whether idle_balance unlocks the queue for it, or for the averages of idle CPUs; then begin_newidle, balance_advance until it is
  /// over, and schedule_pick. Without these calls schedule_pick does it all.
  bool newidle_unlocks(CpuId cpu) const { return balancer_.newidle_unlocks(rq(cpu)); }
  void begin_newidle(CpuId cpu, Ns newidle_cost);
  /// pick_next_task, clear NEED_RESCHED; when next != curr: rq.curr, nr_switches, sched_switch, next.on_cpu. Returns next.
  /// `newidle_cost` is what the clock would have measured around idle_balance, besides what passes while it moves tasks and waits.
  Task& schedule_pick(CpuId cpu, bool preempt, Ns newidle_cost);
  /// finish_task_switch(prev) in next's context: prev.on_cpu = 0, task_dead hook for a dead task.
  void finish_task_switch(Task& prev, CpuId cpu);

  // --- tick, idle, balancing ---
  void scheduler_tick(CpuId cpu);
  /// SCHED_SOFTIRQ is pending on `cpu` (trigger_load_balance or a nohz kick); run_rebalance_domains serves and clears it.
  bool softirq_wanted(CpuId cpu) const { return rq(cpu).softirq_pending; }
  void run_rebalance_domains(CpuId cpu);
  /// The stopper's work on `cpu` after SchedHooks::stop_one_cpu_nowait.
  void active_load_balance_cpu_stop(CpuId cpu);
  /// Both in stages: begin, then balance_advance with the lock of balance_lock held (null: none) until it returns false.
  void begin_rebalance_domains(CpuId cpu) { balancer_.begin_rebalance_domains(cpu); }
  void begin_active_balance(CpuId cpu) { balancer_.begin_active_balance(cpu); }
  const Rq* balance_lock(CpuId cpu) { return balancer_.walk(cpu).lock; }
  /// Tasks that load_balance has taken from the queue of its last stage, for that of the next one.
  u32 balance_detached(CpuId cpu) { return balancer_.walk(cpu).detached; }
  /// Whether the next stage moves tasks or kicks a stopper.
  bool balance_moves(CpuId cpu) {
    using Stage = BalanceWalk::Stage;
    const Stage s = balancer_.walk(cpu).stage;
    return s == Stage::detach || s == Stage::attach || s == Stage::kick || s == Stage::stop_attach;
  }
  /// Whether the next stage attaches tasks.
  bool balance_attaches(CpuId cpu) {
    const BalanceWalk::Stage s = balancer_.walk(cpu).stage;
    return s == BalanceWalk::Stage::attach || s == BalanceWalk::Stage::stop_attach;
  }
  bool balance_advance(CpuId cpu) {
    this_cpu_ = cpu;
    return balancer_.advance(balancer_.walk(cpu));
  }
  /// cpu_load_update_nohz_start/stop around a stopped tick.
  void nohz_tick_stop(CpuId cpu);
  void nohz_tick_restart(CpuId cpu);

  // --- exec, migration, parameters ---
  /// sched_exec: the CPU that SD_BALANCE_EXEC chooses for current of `this_cpu`. Emits forksim:placement.
  CpuId sched_exec_select(CpuId this_cpu);
  /// move_queued_task / migration_cpu_stop: moves a queued, not running task. Executed by the stopper on the task's CPU.
  void migrate_queued_task(Task& p, CpuId dest, CpuId this_cpu);
  /// Its first part, under the lock of the task's queue: true when move_attach has to follow, under that of the other (p.cpu by then).
  bool migrate_detach(Task& p, CpuId dest, CpuId this_cpu);
  /// move_queued_task of a task that waits on another queue, by the CPU that changed its mask.
  void move_queued_task(Task& p, CpuId dest, CpuId this_cpu) {
    move_detach(p, dest, this_cpu);
    move_attach(p, this_cpu);
  }
  /// With its clock up to date.
  void move_detach(Task& p, CpuId dest, CpuId this_cpu);
  void move_attach(Task& p, CpuId this_cpu);
  void yield_task(CpuId cpu);
  void set_user_nice(Task& p, int nice, CpuId this_cpu);
  /// sched_setscheduler_nocheck; the nice value of a fair policy stays what it was.
  void sched_setscheduler(Task& p, SchedPolicy policy, u32 rt_priority, CpuId this_cpu);
  /// set_cpus_allowed without the migration itself; returns a CPU of the new mask the task must move to, or its own.
  CpuId set_cpus_allowed(Task& p, const CpuMask& mask, CpuId this_cpu);
  /// get_nohz_timer_target: where a timer that is not pinned is armed: here, or on a busy CPU near by when this one is idle.
  CpuId get_nohz_timer_target(CpuId cpu);

  // --- task groups (groups.cpp) ---
  /// sched_create_group and sched_online_group below `parent` (null: root). Lives until destroy_group.
  TaskGroup& create_group(TaskGroup* parent);
  /// sched_offline_group and sched_destroy_group of an empty group.
  void destroy_group(TaskGroup& tg);
  /// sched_group_set_shares; `shares` is scaled.
  void set_group_shares(TaskGroup& tg, u64 shares);
  /// tg_set_cfs_bandwidth, in ns; quota CfsBandwidth::kInf: none. 0 or -EINVAL. The driver then serves the group's two timers, see
  /// fair.hpp.
  int set_group_bandwidth(TaskGroup& tg, u64 period, u64 quota, CpuId this_cpu);
  const std::vector<std::unique_ptr<TaskGroup>>& groups() const { return groups_; }
  /// sched_move_task to `tg` (null: root).
  void sched_move_task(Task& p, TaskGroup* tg, CpuId this_cpu);
  /// ... executed on the task's CPU.
  void sched_move_task(Task& p, TaskGroup* tg) { sched_move_task(p, tg, p.cpu); }
  /// sched_change_group(TASK_SET_GROUP) of a task that has not run yet (cpu_cgroup_fork).
  void set_task_group(Task& p, TaskGroup* tg);
  /// CPU off: moves every queued task away (select_fallback_rq) and takes the CPU out of placement; a task that runs there stays until
  /// it is switched out. On: back in. Either way domains are rebuilt and the scaled tunables follow the number of online CPUs.
  void set_cpu_online(CpuId cpu, bool online, CpuId this_cpu);
  /// sched_cpu_activate, sched_cpu_deactivate: in or out of placement and domains; what is queued there stays.
  void set_cpu_active(CpuId cpu, bool active, CpuId this_cpu);
  /// sched_cpu_dying: the wake list is drained, then every queued task but the one that runs moves away.
  void migrate_tasks(CpuId cpu, CpuId this_cpu);
  bool cpu_active(CpuId c) const { return rq(c).online; }
  const CpuMask& cpu_online_mask() const { return online_; }
  /// secondary_start_kernel: the CPU is there; only its own kernel threads may run on it until it is active.
  void cpu_booted(CpuId cpu) { online_.set(cpu); }

  // --- frequency ---
  /// Whether a governor listens to SchedHooks::cpufreq_update_util.
  void set_update_util(bool on) { update_util_ = on; }
  void cpufreq_update_util(const Rq& rq, u32 flags) {
    if (update_util_) [[unlikely]]
      hooks_.cpufreq_update_util(this_cpu_, rq.cpu, rq.clock, flags);
  }

  // --- hrtick (core.cpp): slices that end by a timer of their own ---
  /// The feature is on, the CPU active; high resolution timers are.
  bool hrtick_enabled(const Rq& rq) const { return hrtick_ && rq.online; }
  /// hrtick_start: the slice of what runs there ends in `delay` ns.
  void hrtick_start(Rq& rq, u64 delay);
  /// __hrtick_start, on the CPU itself: what another CPU has asked for.
  void hrtick_start_here(CpuId cpu);
  /// The timer's callback: a tick for the class of what runs.
  void hrtick(CpuId cpu);

  void resched_curr(Rq& rq, CpuId this_cpu);
  /// Nothing runs, is queued or is on its way there.
  bool idle_cpu(CpuId c) const {
    const Rq& r = rq(c);
    return r.curr == r.idle && !r.nr_running && !r.wake_list;
  }
  /// CPUs for which idle_cpu() holds.
  CpuMask idle_mask() const;
  /// forksim:placement_mask for what of `m` does not fit the word of the event that follows.
  void emit_mask(const CpuMask& m);

  /// Emits a tracepoint in the context of `cpu`. One branch when nobody listens.
  template <class... A>
  void emit(Tp id, CpuId cpu, A... a) {
    if (trace_.enabled(id)) [[unlikely]]
      emit_slow(id, cpu, {to_arg(a)...});
  }

  // --- parts, for the rooms of the scheduler, tests and the oracle runner ---
  FairClass& fair() { return fair_; }
  RtClass& rt() { return rt_; }
  Placement& placement() { return placement_; }
  LoadBalancer& balancer() { return balancer_; }
  SchedHooks& hooks() { return hooks_; }
  Trace& trace() { return trace_; }
  /// smp_processor_id() of the call in progress.
  CpuId this_cpu() const { return this_cpu_; }
  void set_this_cpu(CpuId c) { this_cpu_ = c; }
  Task& current() { return *rq(this_cpu_).curr; }

  /// In the middle of a critical section, or in one that raw_spin_lock has begun. See lock_update_rq_clock.
  void update_rq_clock(Rq& rq);
  /// rq_pin_lock, the end of rq_lock, rq_lock_irq, task_rq_lock and their kin.
  static void rq_pin_lock(Rq& rq) { rq.clock_updated = false; }
  /// rq_lock, then update_rq_clock: how nearly every critical section begins.
  void lock_update_rq_clock(Rq& rq) {
    rq_pin_lock(rq);
    update_rq_clock(rq);
  }
  /// The kernel function whose updates of a clock come now, for WARN_DOUBLE_CLOCK.
  class ClockPlace {
   public:
    ClockPlace(Scheduler& s, std::string_view where) : s_(s), before_(std::exchange(s.clock_place_, where)) {}
    ~ClockPlace() { s_.clock_place_ = before_; }
    ClockPlace(const ClockPlace&) = delete;
    ClockPlace& operator=(const ClockPlace&) = delete;

   private:
    Scheduler& s_;
    std::string_view before_;
  };
  const DoubleClock& double_clock() const { return double_clock_; }
  bool irq_time_accounting() const { return irq_time_accounting_; }
  /// account_irq_enter_time, account_irq_exit_time: what `cpu` has done since the last call was `until_now`.
  void irqtime_account_irq(CpuId cpu, IrqContext until_now);
  void rq_clock_skip_update(Rq& rq) const { rq.clock_skip_update = true; }
  void resched_curr(Rq& rq) { resched_curr(rq, this_cpu_); }
  void enqueue_task(Rq& rq, Task& p, u32 flags);
  void dequeue_task(Rq& rq, Task& p, u32 flags);
  void activate_task(Rq& rq, Task& p, u32 flags);
  void deactivate_task(Rq& rq, Task& p, u32 flags);
  void check_preempt_curr(Rq& rq, Task& p, u32 wake_flags);
  void put_prev_task(Rq& rq, Task& prev);
  void set_curr_task(Rq& rq);
  void set_task_cpu(Task& p, CpuId new_cpu);
  /// __set_task_cpu: no tracepoint, no hook.
  void set_task_cpu_raw(Task& p, CpuId cpu);
  CpuId select_task_rq(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags);
  /// First allowed and active CPU; widens the mask when there is none.
  CpuId select_fallback_rq(Task& p);
  void add_nr_running(Rq& rq, u32 n);
  void sub_nr_running(Rq& rq, u32 n) const { rq.nr_running -= n; }
  /// rd->overload: some CPU has more than one runnable task.
  bool rd_overload() const { return rd_overload_; }
  void set_rd_overload(bool v) { rd_overload_ = v; }
  const CpuMask& cpu_active_mask() const { return active_; }
  const SchedCounters& counters() const { return counters_; }
  /// One load_balance call and the tasks it moved.
  void count_balance(int moved) {
    ++counters_.balance_attempts;
    counters_.balance_pulls += static_cast<u64>(moved);
  }

 private:
  /// Cold, so that what leads to it is kept away from the code of a run that nobody watches.
  [[gnu::cold]] void emit_slow(Tp id, CpuId cpu, std::initializer_list<u64> args);
  void emit_task(Tp id, const Task& p);
  void emit_placement(PlacementKind kind, const Task& p, CpuId prev, CpuId chosen);
  void emit_candidates(const Task& p);
  /// select_task_rq_fair, or the rule that stands in for it; never an illegal CPU of a rule.
  CpuId select_task_rq_fair(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags) {
    if (has_rules_) [[unlikely]]
      return select_by_rule(p, prev_cpu, sd_flag, wake_flags);
    return placement_.select_task_rq_fair(p, prev_cpu, sd_flag, wake_flags);
  }
  u8 rule_of(const Task& p, std::size_t kind) const;
  CpuId select_by_rule(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags);
  bool legal_cpu(const Task& p, CpuId c) const { return c.v < cpus() && p.cpus_allowed.test(c) && active_.test(c); }
  Task& pick_next_task(Rq& rq, Task& prev);
  Task& idle_task(Rq& rq, Task& prev);
  void update_rq_clock_checked(Rq& rq);
  void update_rq_clock_task(Rq& rq, u64 delta) const;
  bool detach_to(Task& p, CpuId dest, CpuId this_cpu);
  void hrtick_clear(Rq& rq);
  void task_tick(Rq& rq, bool queued);
  void check_class_changed(Rq& rq, Task& p, SchedClass prev_class, int oldprio);
  void prepare_task_switch(Rq& rq, Task& prev, Task& next);
  void ttwu_do_wakeup(Rq& rq, Task& p, u32 wake_flags);
  void ttwu_do_activate(Rq& rq, Task& p, u32 wake_flags);
  void set_load_weight(Task& p) const;
  void reset_on_fork(Task& p);
  void update_load_weight(Task& p);

  /// rq_attach_root: each of `cpus` leaves its root domain and, when it is active, enters another.
  void rq_attach_root(const CpuMask& cpus);
  /// Balancing dates of all domains start at the present jiffies.
  void start_domains();

  KernelProfile profile_;
  MachineTopology machine_;
  DomainTree domains_;
  std::vector<DomainTree> old_domains_;  ///< replaced while balancing was under way, which goes on with them as under RCU
  SchedHooks& hooks_;
  Trace& trace_;
  std::vector<std::unique_ptr<Rq>> rqs_;
  Ns now_{0}, clock_base_{0};
  u64 jiffies_ = 0;
  SchedCounters counters_;
  DoubleClock double_clock_;
  std::string_view clock_place_ = "update_rq_clock";
  CpuId this_cpu_;
  CpuMask active_, online_;
  bool rd_overload_ = false, ttwu_queue_, hrtick_, irq_time_accounting_, nontask_capacity_, warn_double_clock_, clock_checks_,
       has_rules_ = false, update_util_ = false;
  FairClass fair_;
  RtClass rt_;
  Placement placement_;
  LoadBalancer balancer_;
  PlacementConfig placement_rules_;
  std::vector<std::unique_ptr<TaskGroup>> groups_;  ///< in order of creation
};

/// A function of the scheduler, for function_graph: from here to the end of the block. Nothing but a branch when nobody listens.
class FnSpan {
 public:
  FnSpan(Scheduler& s, CpuId cpu, Fn f) : hooks_(s.trace().enabled(Tp::funcgraph_entry) ? &s.hooks() : nullptr), cpu_(cpu) {
    if (hooks_) [[unlikely]]
      enter(f);
  }
  FnSpan(Scheduler& s, Fn f) : FnSpan(s, s.this_cpu(), f) {}
  ~FnSpan() {
    if (hooks_) [[unlikely]]
      leave();
  }
  FnSpan(const FnSpan&) = delete;
  FnSpan& operator=(const FnSpan&) = delete;

 private:
  [[gnu::cold, gnu::noinline]] void enter(Fn f) { hooks_->fn_enter(cpu_, f); }
  [[gnu::cold, gnu::noinline]] void leave() { hooks_->fn_leave(cpu_); }
  SchedHooks* hooks_;
  CpuId cpu_;
};
/// A function without anything inside.
inline void fn_call(Scheduler& s, Fn f) { const FnSpan span(s, f); }

}  // namespace forksim::km
