// Scheduling entities and run queues: the data of kernel/sched/sched.h and include/linux/sched.h.
//
// Source: Linux 4.19 include/linux/sched.h (load_weight, sched_avg, sched_entity), kernel/sched/sched.h (cfs_rq, rq). Field names are
//         the kernel's. Units: vruntime in VNs, clocks in ns, weights scaled (nice 0 = 1 << 20), averages in the kernel's own units.
// Ownership: a SchedEntity lives in its Task (or TaskGroup); queues hold plain pointers. Errors: none.
// Not modelled: NUMA balancing, core scheduling, the deadline class. Statistics of tasks are kept beside them (fair.hpp).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/base/ilist.hpp"
#include "kernel_model/base/types.hpp"

namespace forksim::km {

struct Task;
struct CfsRq;
struct Rq;
struct SchedEntity;
struct TaskGroup;

struct LoadWeight {
  u64 weight = 0;      ///< scaled
  u32 inv_weight = 0;  ///< 0: not computed yet
};

struct UtilEst {
  u32 enqueued = 0, ewma = 0;
};

struct SchedAvg {
  u64 last_update_time = 0, load_sum = 0, runnable_load_sum = 0;
  u32 util_sum = 0, period_contrib = 0;
  u64 load_avg = 0, runnable_load_avg = 0, util_avg = 0;
  UtilEst util_est;
};

/// Links of a node in the run queue's tree; ties keep insertion order (equal keys go right).
struct RbLinks {
  SchedEntity *parent = nullptr, *left = nullptr, *right = nullptr;
  bool red = false;
};

/// In the order of use: what ages it, what queues it, where it is in the tree.
struct alignas(64) SchedEntity {
  SchedAvg avg;
  LoadWeight load;
  u64 runnable_weight = 0;
  CfsRq* cfs_rq = nullptr;  ///< the queue it is on or goes to
  CfsRq* my_q = nullptr;    ///< the queue it owns; null for a task
  Task* task = nullptr;     ///< the task it belongs to; null for a group
  VNs vruntime;
  u32 depth = 0;
  bool on_rq = false;
  SchedEntity* parent = nullptr;
  RbLinks rb;
  u64 exec_start = 0, sum_exec_runtime = 0, prev_sum_exec_runtime = 0;
  u64 nr_migrations = 0;
};
static_assert(sizeof(SchedAvg) == 64);

/// struct sched_rt_entity without groups.
struct SchedRtEntity {
  bool on_rq = false, on_list = false;
  bool pushable = false;  ///< in rt_rq.pushable_tasks
  int pushable_prio = 0;  ///< priority when it was put there
  u32 time_slice = 0;     ///< ticks left (SCHED_RR)
};

/// In the order of use: what ageing an idle group's queue looks at comes first, in two cache lines.
struct alignas(64) CfsRq {
  SchedAvg avg;
  LoadWeight load;
  ListNode<CfsRq> leaf;             ///< rq.leaf_cfs_rq_list
  SchedEntity* group_se = nullptr;  ///< the entity that represents this queue in its parent; null at the root
  u64 tg_load_avg_contrib = 0;
  u64 throttled_clock_task_time = 0;
  u32 throttle_count = 0;  ///< how many of this queue and its ancestors are throttled
  bool propagate = false, on_list = false;
  bool has_removed = false;  ///< something waits in `removed`

  Rq* rq = nullptr;
  u64 runnable_weight = 0;
  u32 nr_running = 0, h_nr_running = 0;
  SchedEntity *root = nullptr, *leftmost = nullptr;  ///< tasks_timeline
  SchedEntity *curr = nullptr, *next = nullptr, *last = nullptr, *skip = nullptr;
  VNs min_vruntime{~u64{0} - (u64{1} << 20) + 1};
  u64 exec_clock = 0;
  TaskGroup* tg = nullptr;  ///< null at the root
  struct Removed {
    u64 load_avg = 0, util_avg = 0, runnable_sum = 0;
  } removed;
  u64 h_load = 0;
  u64 last_h_load_update = 0;  ///< jiffies
  SchedEntity* h_load_next = nullptr;
  s64 prop_runnable_sum = 0;
  // bandwidth
  bool runtime_enabled = false, throttled = false;
  u32 expires_seq = 0;
  s64 runtime_remaining = 0;
  u64 runtime_expires = 0, throttled_clock = 0, throttled_clock_task = 0;
  ListNode<CfsRq> throttled_node;  ///< cfs_bandwidth.throttled_cfs_rq
};

/// struct cfs_bandwidth: the quota of a group. Timers are dates that the driver watches.
struct CfsBandwidth {
  static constexpr u64 kInf = ~u64{0};
  u64 period = 100'000'000, quota = kInf, runtime = 0, runtime_expires = 0;
  u32 expires_seq = 0;
  bool idle = false, period_active = false, distribute_running = false, period_callback_running = false, slack_active = false;
  u64 period_timer_expires = 0, slack_timer_expires = 0;
  CpuId timer_cpu, slack_cpu;  ///< who armed them
  s64 hierarchical_quota = -1;
  u64 nr_periods = 0, nr_throttled = 0, throttled_time = 0;  ///< cpu.stat
  IList<CfsRq, &CfsRq::throttled_node> throttled_cfs_rq;
};

/// struct task_group: one queue and one entity per CPU. The root group has no TaskGroup.
struct TaskGroup {
  NameId name;                ///< of a named group; empty for an autogroup
  u64 shares = u64{1} << 20;  ///< scaled
  s64 load_avg = 0;           ///< sum of the queues' tg_load_avg_contrib
  TaskGroup* parent = nullptr;
  std::vector<TaskGroup*> children;
  CfsBandwidth bandwidth;
  std::vector<std::unique_ptr<CfsRq>> cfs_rq;
  std::vector<std::unique_ptr<SchedEntity>> se;
  std::array<u8, 3> placement{};  ///< PlacementIds of its tasks that have none of their own (placement_rule.hpp)
};

}  // namespace forksim::km
