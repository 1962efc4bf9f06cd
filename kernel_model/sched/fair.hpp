// The completely fair scheduling class.
//
// Purpose: SCHED_NORMAL, SCHED_BATCH and SCHED_IDLE tasks: virtual time, slices, preemption, buddies, load tracking of queues and groups.
// Source:  Linux 4.19 kernel/sched/fair.c; every function carries the kernel's name. Walks go up se->parent, so task groups need no
//          second code path. fair.cpp has the class hooks, fair_entity.cpp one queue, fair_load.cpp load tracking and group weights,
//          bandwidth.cpp quotas of groups, fair_stats.cpp statistics.
// Units:   ns, VNs, scaled weights. Ownership: borrows the Scheduler it belongs to. Errors: contracts only.
// Not modelled: NUMA balancing; of schedstats what /proc shows.
#pragma once

#include <memory>
#include <vector>

#include "kernel_model/sched/pelt.hpp"
#include "kernel_model/task/task.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim::km {

class Scheduler;

/// update_load_avg flags.
inline constexpr u32 UPDATE_TG = 0x1, SKIP_AGE_LOAD = 0x2, DO_ATTACH = 0x4;

/// What the period or slack timer of a group is in the middle of: handing runtime to throttled queues, each under its run queue's lock.
/// cfs_b->lock is held for no time and has no word of its own.
struct BandwidthWalk {
  TaskGroup* tg = nullptr;
  bool slack = false, idle = false;
  u64 start = 0, remaining = 0, expires = 0;
  std::vector<CfsRq*> queues;  ///< throttled when the round began; those throttled since go before the kernel's cursor and are not seen
  std::size_t next = 0;
  /// Whose turn it is, null when the callback is over.
  CfsRq* queue() const { return next < queues.size() ? queues[next] : nullptr; }
};

/// struct sched_statistics: since when a task waits or sleeps, by rq->clock; 0: it does not. Between two queues wait_start is a duration.
struct SchedStatistics {
  u64 wait_start = 0, sleep_start = 0, block_start = 0;
};

class FairClass {
 public:
  FairClass(Scheduler& s, const KernelProfile& k, u32 cpus);

  // --- class hooks (fair.cpp) ---
  void enqueue_task_fair(Rq& rq, Task& p, u32 flags);
  void dequeue_task_fair(Rq& rq, Task& p, u32 flags);
  void yield_task_fair(Rq& rq);
  void check_preempt_wakeup(Rq& rq, Task& p, u32 wake_flags);
  /// What pick_next_task_fair found: a task, nothing, or that a more urgent class has work now.
  struct Pick {
    Task* task = nullptr;
    bool retry = false;
  };
  Pick pick_next_task_fair(Rq& rq, Task& prev);
  void put_prev_task_fair(Task& prev);
  void set_curr_task_fair(Rq& rq);
  /// `queued`: the tick is that of the hrtick timer, at the end of the slice.
  void task_tick_fair(Task& curr, bool queued = false);
  void task_fork_fair(Task& p, Rq& this_rq);
  void migrate_task_rq_fair(Task& p);
  void task_dead_fair(Task& p) { remove_entity_load_avg(p.se); }
  void switched_from_fair(Task& p) { detach_task_cfs_rq(p); }
  void switched_to_fair(Rq& rq, Task& p);
  void prio_changed_fair(Rq& rq, Task& p, int oldprio);
  /// set_user_nice of a fair task: new weight, averages rescaled.
  void reweight_task(Task& p, u64 weight, u32 inv_weight);
  /// task_move_group_fair: to `tg` (null: root) on the task's CPU.
  void task_move_group_fair(Task& p, TaskGroup* tg);

  // --- one queue (fair_entity.cpp) ---
  void update_curr(CfsRq& cfs_rq);
  void update_min_vruntime(CfsRq& cfs_rq) const;
  u64 sched_period(u32 nr_running) const;
  u64 sched_slice(CfsRq& cfs_rq, SchedEntity& se) const;
  u64 sched_vslice(CfsRq& cfs_rq, SchedEntity& se) const { return calc_vslice(sched_slice(cfs_rq, se), se); }
  void place_entity(CfsRq& cfs_rq, SchedEntity& se, bool initial) const;
  void enqueue_entity(CfsRq& cfs_rq, SchedEntity& se, u32 flags);
  void dequeue_entity(CfsRq& cfs_rq, SchedEntity& se, u32 flags);
  void set_next_entity(CfsRq& cfs_rq, SchedEntity& se);
  void put_prev_entity(CfsRq& cfs_rq, SchedEntity& prev);
  SchedEntity* pick_next_entity(CfsRq& cfs_rq, SchedEntity* curr) const;
  void entity_tick(CfsRq& cfs_rq, SchedEntity& curr, bool queued);
  void check_preempt_tick(CfsRq& cfs_rq, SchedEntity& curr);
  int wakeup_preempt_entity(const SchedEntity& curr, SchedEntity& se) const;
  void account_entity_enqueue(CfsRq& cfs_rq, SchedEntity& se);
  void account_entity_dequeue(CfsRq& cfs_rq, SchedEntity& se);
  static void clear_buddies(SchedEntity& se);

  // --- load tracking (fair_load.cpp) ---
  void update_load_avg(CfsRq& cfs_rq, SchedEntity& se, u32 flags);
  bool update_cfs_rq_load_avg(u64 now, const Rq& rq, CfsRq& cfs_rq);
  /// `flags`: SCHED_CPUFREQ_MIGRATION or 0, for the frequency governor.
  void attach_entity_load_avg(CfsRq& cfs_rq, SchedEntity& se, u32 flags);
  void cfs_rq_util_change(const CfsRq& cfs_rq, u32 flags);
  void detach_entity_load_avg(CfsRq& cfs_rq, SchedEntity& se);
  void sync_entity_load_avg(SchedEntity& se);
  void remove_entity_load_avg(SchedEntity& se);
  static void init_entity_runnable_average(SchedEntity& se);
  void post_init_entity_util_avg(SchedEntity& se);
  void attach_entity_cfs_rq(SchedEntity& se);
  void detach_entity_cfs_rq(SchedEntity& se);
  void set_task_rq_fair(SchedEntity& se, CfsRq* prev, CfsRq& next);
  u64 task_h_load(Task& p);
  void update_cfs_group(SchedEntity& se);
  u64 calc_group_shares(const CfsRq& cfs_rq) const;
  u64 calc_group_runnable(const CfsRq& cfs_rq, u64 shares) const;
  void reweight_entity(CfsRq& cfs_rq, SchedEntity& se, u64 weight, u64 runnable);
  void update_blocked_averages(CpuId cpu);
  void list_add_leaf_cfs_rq(CfsRq& cfs_rq);
  static void list_del_leaf_cfs_rq(CfsRq& cfs_rq);

  // --- statistics (fair_stats.cpp), of tasks, with sched_schedstats ---
  /// schedstat_enabled.
  bool schedstats() const { return schedstats_; }
  /// __sched_fork: a new task has none.
  void reset_statistics(const Task& p) {
    if (schedstats_) [[unlikely]]
      statistics(p) = {};
  }

  // --- bandwidth (bandwidth.cpp) ---
  /// tg_set_cfs_bandwidth; quota CfsBandwidth::kInf removes the limit. 0, or -EINVAL when a limit or the parent's quota forbids it.
  int tg_set_cfs_bandwidth(TaskGroup& tg, u64 period, u64 quota, const std::vector<std::unique_ptr<TaskGroup>>& all);
  /// The timer callbacks, to be run at bandwidth.period_timer_expires (while period_active) and slack_timer_expires (while slack_active).
  /// The first returns whether the timer goes on.
  bool sched_cfs_period_timer(TaskGroup& tg);
  void sched_cfs_slack_timer(TaskGroup& tg);
  /// The same in stages: begun, then a call of distribute_to_next with the lock of `w.queue()` held, executed by `cpu`, until there is
  /// none.
  void begin_period_timer(BandwidthWalk& w, TaskGroup& tg);
  void begin_slack_timer(BandwidthWalk& w, TaskGroup& tg);
  void distribute_to_next(BandwidthWalk& w, CpuId cpu);
  static void sync_throttle(TaskGroup& tg, CpuId cpu);
  /// unthrottle_offline_cfs_rqs and update_runtime_enabled of `tg`: what is throttled on a CPU that leaves the root domain runs again.
  void unthrottle_offline_cfs_rq(TaskGroup& tg, CpuId cpu);
  static void update_runtime_enabled(TaskGroup& tg, CpuId cpu);

  /// update_sysctl: scaled tunables follow the number of online CPUs; sched_nr_latency does not.
  void update_sysctl(u32 online);

  /// Whether hrtick_update would arm the timer of `rq`, `arriving` more tasks on its queue.
  bool hrtick_update_wanted(const Rq& rq, u32 arriving) const;

  u64 sched_migration_cost() const { return migration_cost_; }
  bool group_sched() const { return group_sched_; }

 private:
  static u64 calc_vslice(u64 slice, SchedEntity& se);
  void hrtick_start_fair(Rq& rq, Task& p);
  void hrtick_update(Rq& rq);
  void set_next_buddy(SchedEntity& se) const;
  void set_last_buddy(SchedEntity& se) const;
  Task& pick_task_simple(Rq& rq, Task& prev);
  /// Null when a quota ran out on the way and picking must start over.
  Task* pick_task_hierarchy(Rq& rq, Task& prev);
  void util_est_enqueue(CfsRq& cfs_rq, const Task& p) const;
  void util_est_dequeue(CfsRq& cfs_rq, Task& p, bool task_sleep) const;
  void detach_task_cfs_rq(Task& p);
  void attach_task_cfs_rq(Task& p);

  SchedStatistics& statistics(const Task& p);
  void update_stats_wait_start(const CfsRq& cfs_rq, const SchedEntity& se);
  void update_stats_wait_end(const CfsRq& cfs_rq, const SchedEntity& se);
  void update_stats_enqueue_sleeper(const CfsRq& cfs_rq, const SchedEntity& se);
  void update_stats_enqueue(const CfsRq& cfs_rq, const SchedEntity& se, u32 flags);
  void update_stats_dequeue(const CfsRq& cfs_rq, const SchedEntity& se, u32 flags);

  void account_cfs_rq_runtime(CfsRq& cfs_rq, u64 delta_exec) {
    if (cfs_rq.runtime_enabled) [[unlikely]]
      charge_cfs_rq_runtime(cfs_rq, delta_exec);
  }
  void charge_cfs_rq_runtime(CfsRq& cfs_rq, u64 delta_exec);
  bool assign_cfs_rq_runtime(CfsRq& cfs_rq);
  void expire_cfs_rq_runtime(CfsRq& cfs_rq) const;
  bool check_cfs_rq_runtime(CfsRq& cfs_rq);
  void check_enqueue_throttle(CfsRq& cfs_rq);
  void return_cfs_rq_runtime(CfsRq& cfs_rq);
  void throttle_cfs_rq(CfsRq& cfs_rq);
  void unthrottle_cfs_rq(CfsRq& cfs_rq);
  void start_cfs_bandwidth(TaskGroup& tg);
  void refill_cfs_bandwidth_runtime(CfsBandwidth& b) const;
  /// Begins a round over the throttled queues.
  static void distribute_cfs_runtime(BandwidthWalk& w);
  void distributed(BandwidthWalk& w);
  void forward_period_timer(BandwidthWalk& w);
  bool do_sched_cfs_period_timer(BandwidthWalk& w, u64 overrun);
  static void distribute_period(BandwidthWalk& w);
  bool runtime_refresh_within(const CfsBandwidth& b, u64 min_expire) const;

  void update_tg_load_avg(CfsRq& cfs_rq, bool force) const;
  bool propagate_entity_load_avg(SchedEntity& se);
  void propagate_entity_cfs_rq(SchedEntity& se);
  void update_cfs_rq_h_load(CfsRq& cfs_rq);

  Scheduler& s_;
  bool group_sched_, gentle_fair_sleepers_, start_debit_, next_buddy_, last_buddy_, wakeup_preemption_, util_est_, attach_age_load_;
  u32 unused_bits_;  ///< lower bits of a weight that the kernel has no room for
  bool hrtick_, double_tick_;
  bool child_runs_first_, schedstats_, timer_migration_;
  u64 latency_, min_granularity_, wakeup_granularity_, migration_cost_, tick_ns_;
  u64 bandwidth_slice_;
  u64 boot_factor_, boot_latency_, boot_min_granularity_, boot_wakeup_granularity_;
  u32 nr_latency_;
  std::vector<SchedStatistics> statistics_;  ///< by task id; empty without schedstats
};

}  // namespace forksim::km
