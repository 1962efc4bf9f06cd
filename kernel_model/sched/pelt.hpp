// Per-entity load tracking.
//
// Purpose: geometric averages of runnable and running time, bit by bit as the kernel computes them.
// Source:  Linux 4.19 kernel/sched/pelt.c; names as there without the leading underscores.
// Units:   time in ns; one period is 1024 units of 1024 ns; sums and averages in the kernel's own units (1024 = one CPU).
// Ownership: none; works on SchedAvg in place. Errors: none. Not modelled: the util-invariant clock (5.x).
#pragma once

#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/entity.hpp"

namespace forksim::km {

inline constexpr u32 LOAD_AVG_PERIOD = 32, LOAD_AVG_MAX = 47742;
inline constexpr u32 UTIL_AVG_UNCHANGED = 1;
inline constexpr u32 kPeltPeriod = 1024;

struct Rq;

/// arch_scale_freq_capacity and arch_scale_cpu_capacity of the CPU that accounts.
struct PeltScale {
  u64 freq = 1024, cpu = 1024;
};

/// floor((2^32 - 1) * 2^(-n/32)).
inline constexpr std::array<u32, LOAD_AVG_PERIOD> kRunnableAvgYnInv{
    0xffffffff, 0xfa83b2da, 0xf5257d14, 0xefe4b99a, 0xeac0c6e6, 0xe5b906e6, 0xe0ccdeeb, 0xdbfbb796, 0xd744fcc9, 0xd2a81d91, 0xce248c14,
    0xc9b9bd85, 0xc5672a10, 0xc12c4cc9, 0xbd08a39e, 0xb8fbaf46, 0xb504f333, 0xb123f581, 0xad583ee9, 0xa9a15ab4, 0xa5fed6a9, 0xa2704302,
    0x9ef5325f, 0x9b8d39b9, 0x9837f050, 0x94f4efa8, 0x91c3d373, 0x8ea4398a, 0x8b95c1e3, 0x88980e80, 0x85aac367, 0x82cd8698};

/// y^n with y^32 = 1/2, the same for every sum that ages by n periods: whole half-lives are a shift, the rest is one multiplication.
class Decay {
 public:
  explicit Decay(u64 n) {
    if (n > u64{LOAD_AVG_PERIOD} * 63) return;
    shift_ = static_cast<u32>(n / LOAD_AVG_PERIOD);
    inv_ = kRunnableAvgYnInv[n % LOAD_AVG_PERIOD];
  }
  u64 operator()(u64 val) const { return mul_u64_u32_shr(val >> shift_, inv_, 32); }
  /// __accumulate_pelt_segments: d1 before the first of the boundaries, d3 after the last.
  u32 segments(u32 d1, u32 d3) const {
    const Decay& y = *this;
    return static_cast<u32>(y(d1)) + static_cast<u32>(LOAD_AVG_MAX - y(LOAD_AVG_MAX) - kPeltPeriod) + d3;
  }

 private:
  u32 shift_ = 0, inv_ = 0;  // nothing is left after 63 half-lives
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
/// Divides by pelt_divider again and again: one division, then multiplications. With m = floor(2^64 / d) + 1, x * m / 2^64 is exact
/// while x * d < 2^64, for d not a power of two.
class PeltQuotient {
 public:
  explicit PeltQuotient(const SchedAvg& sa) : d_(pelt_divider(sa)), m_(~u64{0} / d_ + 1) {}
  u64 operator()(u64 x) const {
    if (x >> 48) [[unlikely]]
      return x / d_;
    return static_cast<u64>((static_cast<u128>(x) * m_) >> 64);
  }

 private:
  u64 d_, m_;
};
static_assert(LOAD_AVG_MAX < 65536 && LOAD_AVG_MAX - 1024 > 32768, "pelt_divider is below 2^16 and not a power of two");

/// update_load_sum without load, which adds nothing, whatever is runnable or running: the sums only age. So do the queues of groups that
/// sleep, and there are many of them.
inline bool update_blocked_sum(u64 now, SchedAvg& sa) {
  u64 delta = now - sa.last_update_time;
  // A clock that went backwards (another CPU's) resynchronises without accounting anything.
  if (static_cast<s64>(delta) < 0) {
    sa.last_update_time = now;
    return false;
  }
  delta >>= 10;
  sa.last_update_time += delta << 10;
  delta += sa.period_contrib;
  sa.period_contrib = static_cast<u32>(delta % kPeltPeriod);
  if (delta < kPeltPeriod) return false;
  const Decay y(delta / kPeltPeriod);
  sa.load_sum = y(sa.load_sum);
  sa.runnable_load_sum = y(sa.runnable_load_sum);
  sa.util_sum = static_cast<u32>(y(sa.util_sum));
  return true;
}
/// The averages of a queue from its sums. Out of line: the usual way through the next one needs no registers saved.
[[gnu::noinline]] void average_cfs_rq(SchedAvg& sa);
/// __update_load_avg_cfs_rq of a queue without load. Sums below the least divider are averages of 0.
inline bool age_blocked_cfs_rq(u64 now, SchedAvg& sa) {
  if (!update_blocked_sum(now, sa)) return false;
  if (((sa.load_sum | sa.runnable_load_sum | sa.util_sum) >> 15) == 0)
    sa.load_avg = sa.runnable_load_avg = sa.util_avg = 0;
  else
    average_cfs_rq(sa);
  return true;
}

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
inline bool update_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq) {
  if (!pelt_due(now, cfs_rq.avg)) [[unlikely]]
    return false;
  return age_load_avg_cfs_rq(now, scale, cfs_rq);
}

}  // namespace forksim::km
