// Where a task runs: select_task_rq of the fair class.
//
// Purpose: fork, exec and wake-up placement. Source: Linux 4.19 kernel/sched/fair.c (select_task_rq_fair and everything below it);
//          each function carries the kernel's name. find_idlest_group never asks whether a CPU is idle: that is the kernel's rule.
// Units:   load, utilisation and capacity in the kernel's units (1024 = one CPU). Ownership: borrows the Scheduler.
// Errors:  none. Not modelled: asymmetric capacity, energy-aware placement, SMT core search, idle-state exit latency (none here).
#pragma once

#include <optional>

#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/sched/topology.hpp"
#include "kernel_model/task/task.hpp"

namespace forksim::km {

class Scheduler;
struct Rq;

class Placement {
 public:
  Placement(Scheduler& s, const KernelProfile& k);

  CpuId select_task_rq_fair(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags);

  // fork and exec
  CpuId find_idlest_cpu(SchedDomain* sd, Task& p, CpuId cpu, CpuId prev_cpu, u32 sd_flag);
  /// Null: stay in the local group.
  SchedGroup* find_idlest_group(SchedDomain& sd, const Task& p, CpuId this_cpu, u32 sd_flag) const;
  CpuId find_idlest_group_cpu(const SchedGroup& group, const Task& p, CpuId this_cpu) const;

  // wake-up
  void record_wakee(Task& p);
  bool wake_wide(const Task& p) const;
  CpuId wake_affine(const SchedDomain& sd, Task& p, CpuId this_cpu, CpuId prev_cpu, bool sync);
  CpuId select_idle_sibling(Task& p, CpuId prev, CpuId target);

  /// forksim:placement_step and placement_wake; one branch each when nobody listens.
  void tell(PlacementStep step, std::string_view level, CpuId cpu, u32 pct = 0, u64 half = 0) const;
  void tell_wake(PlacementStep step, const Task& p, CpuId cpu, s64 this_eff = 0, s64 prev_eff = 0) const;

  // loads, shared with the balancer
  u64 weighted_cpuload(CpuId c) const;
  u64 source_load(CpuId c, u32 type) const;
  u64 target_load(CpuId c, u32 type) const;
  u64 cpu_util(CpuId c) const;
  bool cpus_share_cache(CpuId a, CpuId b) const;

 private:
  struct GroupLoad;
  GroupLoad group_load(const SchedGroup& g, const Task& p, bool local, u32 load_idx) const;
  void tell_group(PlacementStep step, const SchedDomain& sd, const SchedGroup& g, const GroupLoad& l) const;
  SchedGroup* stay_or_leave(const SchedDomain& sd, CpuId this_cpu, SchedGroup* idlest, const GroupLoad& local, const GroupLoad& min) const;
  u64 cpu_util_wake(CpuId c, const Task& p) const;
  u64 capacity_spare_wake(CpuId c, const Task& p) const;
  std::optional<CpuId> wake_affine_idle(const Task& p, CpuId this_cpu, CpuId prev_cpu, bool sync) const;
  std::optional<CpuId> wake_affine_weight(const SchedDomain& sd, Task& p, CpuId this_cpu, CpuId prev_cpu, bool sync);
  std::optional<CpuId> select_idle_cpu(const Task& p, const SchedDomain& sd, CpuId target);

  Scheduler& s_;
  bool lb_bias_, sis_avg_cpu_, sis_prop_, wa_idle_, wa_weight_, wa_bias_, util_est_;
  u32 hz_;
};

}  // namespace forksim::km
