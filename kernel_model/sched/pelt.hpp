// Per-entity load tracking.
//
// Purpose: geometric averages of runnable and running time, bit by bit as the kernel computes them.
// Source:  Linux 4.19 kernel/sched/pelt.c; names as there without the leading underscores.
// Units:   time in ns; one period is 1024 units of 1024 ns; sums and averages in the kernel's own units (1024 = one CPU).
// Ownership: none; works on SchedAvg in place. Errors: none. Not modelled: the util-invariant clock (5.x).
#pragma once

#include "kernel_model/sched/entity.hpp"
#include "kernel_model/sched/weights.hpp"

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
/// Divides by pelt_divider, of which there are 1024, without a division. With m = floor(2^64 / d) + 1, x * m / 2^64 is exact while
/// x * d < 2^64, for d not a power of two.
class PeltQuotient {
 public:
  explicit PeltQuotient(const SchedAvg& sa) : d_(pelt_divider(sa)), m_(kInverse[sa.period_contrib]) {}
  u64 operator()(u64 x) const {
    if (x >> 48) [[unlikely]]
      return x / d_;
    return static_cast<u64>((static_cast<u128>(x) * m_) >> 64);
  }

 private:
  static constexpr std::array<u64, 1024> kInverse = [] {
    std::array<u64, 1024> m{};
    for (u32 i = 0; i < m.size(); ++i) m[i] = ~u64{0} / (LOAD_AVG_MAX - 1024 + i) + 1;
    return m;
  }();
  u64 d_, m_;
};
static_assert(LOAD_AVG_MAX < 65536 && LOAD_AVG_MAX - 1024 > 32768, "pelt_divider is below 2^16 and not a power of two");

/// Whether a unit of 1024 ns has passed since the sums were aged last, or the clock went back.
inline bool pelt_due(u64 now, const SchedAvg& sa) { return now - sa.last_update_time >= 1024; }

/// __update_load_avg_se, __update_load_avg_blocked_se, __update_load_avg_cfs_rq. Often nothing is due, which is found out without a call.
bool age_load_avg_se(u64 now, PeltScale scale, const CfsRq& cfs_rq, SchedEntity& se, bool util_est);
inline bool update_load_avg_se(u64 now, PeltScale scale, const CfsRq& cfs_rq, SchedEntity& se, bool util_est) {
  if (se.task) se.runnable_weight = se.load.weight;
  if (!pelt_due(now, se.avg)) [[unlikely]]
    return false;
  return age_load_avg_se(now, scale, cfs_rq, se, util_est);
}
bool update_load_avg_blocked_se(u64 now, SchedEntity& se);
bool age_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq);
/// The same without load: the sums only fade. Most groups on a CPU, most of the time.
bool age_blocked_cfs_rq(u64 now, SchedAvg& sa);
inline bool update_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq) {
  if (!pelt_due(now, cfs_rq.avg)) [[unlikely]]
    return false;
  if (!scale_load_down(cfs_rq.load.weight)) return age_blocked_cfs_rq(now, cfs_rq.avg);
  return age_load_avg_cfs_rq(now, scale, cfs_rq);
}

}  // namespace forksim::km
