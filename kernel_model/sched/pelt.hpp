// Per-entity load tracking.
//
// Purpose: geometric averages of runnable and running time, bit by bit as the kernel computes them.
// Source:  Linux 4.19 kernel/sched/pelt.c; names as there without the leading underscores.
// Units:   time in ns; one period is 1024 units of 1024 ns; sums and averages in the kernel's own units (1024 = one CPU).
// Ownership: none; works on SchedAvg in place. Errors: none. Not modelled: the util-invariant clock (5.x).
#pragma once

#include "kernel_model/sched/entity.hpp"

namespace forksim::km {

inline constexpr u32 LOAD_AVG_PERIOD = 32, LOAD_AVG_MAX = 47742;
inline constexpr u32 UTIL_AVG_UNCHANGED = 1;

struct Rq;

/// arch_scale_freq_capacity and arch_scale_cpu_capacity of the CPU that accounts.
struct PeltScale {
  u64 freq = 1024, cpu = 1024;
};

/// val * y^n with y^32 = 1/2.
u64 decay_load(u64 val, u64 n);
/// Contribution of a span of `periods` >= 1 boundaries: d1 before the first, d3 after the last.
u32 accumulate_pelt_segments(u64 periods, u32 d1, u32 d3);
/// Ages the sums to `now`; true when a period boundary was crossed, i.e. the averages must be recomputed.
bool update_load_sum(u64 now, PeltScale scale, SchedAvg& sa, u64 load, u64 runnable, bool running);
void update_load_avg_of(SchedAvg& sa, u64 load, u64 runnable);

/// Of rq.avg_irq: `running` ns of interrupts have ended since the last update, taken for the last ones before rq.clock. Whether it changed.
bool update_irq_load_avg(Rq& rq, u64 running);

/// The divider that turns sums into averages right after an update.
inline u32 pelt_divider(const SchedAvg& sa) { return LOAD_AVG_MAX - 1024 + sa.period_contrib; }

/// Whether a unit of 1024 ns has passed since the sums were aged last, or the clock went back.
inline bool pelt_due(u64 now, const SchedAvg& sa) { return now - sa.last_update_time >= 1024; }

/// __update_load_avg_se, __update_load_avg_blocked_se, __update_load_avg_cfs_rq. Often nothing is due, which is found out without a call.
bool age_load_avg_se(u64 now, PeltScale scale, const CfsRq& cfs_rq, SchedEntity& se, bool util_est);
inline bool update_load_avg_se(u64 now, PeltScale scale, const CfsRq& cfs_rq, SchedEntity& se, bool util_est) {
  if (se.task) se.runnable_weight = se.load.weight;
  return pelt_due(now, se.avg) && age_load_avg_se(now, scale, cfs_rq, se, util_est);
}
bool update_load_avg_blocked_se(u64 now, SchedEntity& se);
bool age_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq);
inline bool update_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq) {
  return pelt_due(now, cfs_rq.avg) && age_load_avg_cfs_rq(now, scale, cfs_rq);
}

}  // namespace forksim::km
