#include "kernel_model/sched/pelt.hpp"

#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {

/// floor((2^32 - 1) * 2^(-n/32)).
constexpr std::array<u32, LOAD_AVG_PERIOD> kRunnableAvgYnInv{
    0xffffffff, 0xfa83b2da, 0xf5257d14, 0xefe4b99a, 0xeac0c6e6, 0xe5b906e6, 0xe0ccdeeb, 0xdbfbb796, 0xd744fcc9, 0xd2a81d91, 0xce248c14,
    0xc9b9bd85, 0xc5672a10, 0xc12c4cc9, 0xbd08a39e, 0xb8fbaf46, 0xb504f333, 0xb123f581, 0xad583ee9, 0xa9a15ab4, 0xa5fed6a9, 0xa2704302,
    0x9ef5325f, 0x9b8d39b9, 0x9837f050, 0x94f4efa8, 0x91c3d373, 0x8ea4398a, 0x8b95c1e3, 0x88980e80, 0x85aac367, 0x82cd8698};
constexpr u32 kPeriod = 1024;
constexpr u32 kCapacityShift = 10;

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
    return static_cast<u32>(y(d1)) + static_cast<u32>(LOAD_AVG_MAX - y(LOAD_AVG_MAX) - kPeriod) + d3;
  }

 private:
  u32 shift_ = 0, inv_ = 0;  // nothing is left after 63 half-lives
};

/// Returns the number of whole periods that passed.
u64 accumulate_sum(u64 delta, PeltScale scale, SchedAvg& sa, u64 load, u64 runnable, bool running) {
  u32 contrib = static_cast<u32>(delta);
  delta += sa.period_contrib;
  const u64 periods = delta / kPeriod;
  if (periods) [[unlikely]] {
    const Decay y(periods);
    sa.load_sum = y(sa.load_sum);
    sa.runnable_load_sum = y(sa.runnable_load_sum);
    sa.util_sum = static_cast<u32>(y(sa.util_sum));
    delta %= kPeriod;
    contrib = y.segments(kPeriod - sa.period_contrib, static_cast<u32>(delta));
  }
  sa.period_contrib = static_cast<u32>(delta);
  const u64 c = (contrib * scale.freq) >> kCapacityShift;
  sa.load_sum += load * c;
  if (runnable) sa.runnable_load_sum += runnable * c;
  if (running) sa.util_sum += static_cast<u32>(c * scale.cpu);
  return periods;
}

/// update_load_sum without load, which adds nothing, whatever is runnable or running: the sums only age. So do the queues of groups that
/// sleep, and there are many of them.
bool update_blocked_sum(u64 now, SchedAvg& sa) {
  u64 delta = now - sa.last_update_time;
  // A clock that went backwards (another CPU's) resynchronises without accounting anything.
  if (static_cast<s64>(delta) < 0) {
    sa.last_update_time = now;
    return false;
  }
  delta >>= 10;
  sa.last_update_time += delta << 10;
  delta += sa.period_contrib;
  sa.period_contrib = static_cast<u32>(delta % kPeriod);
  if (delta < kPeriod) return false;
  const Decay y(delta / kPeriod);
  sa.load_sum = y(sa.load_sum);
  sa.runnable_load_sum = y(sa.runnable_load_sum);
  sa.util_sum = static_cast<u32>(y(sa.util_sum));
  return true;
}

}  // namespace

u64 decay_load(u64 val, u64 n) { return Decay(n)(val); }

u32 accumulate_pelt_segments(u64 periods, u32 d1, u32 d3) { return Decay(periods).segments(d1, d3); }

bool update_load_sum(u64 now, PeltScale scale, SchedAvg& sa, u64 load, u64 runnable, bool running) {
  if (!load) return update_blocked_sum(now, sa);
  u64 delta = now - sa.last_update_time;
  if (static_cast<s64>(delta) < 0) {
    sa.last_update_time = now;
    return false;
  }
  delta >>= 10;
  if (!delta) [[unlikely]]
    return false;
  sa.last_update_time += delta << 10;
  return accumulate_sum(delta, scale, sa, load, runnable, running) != 0;
}

void update_load_avg_of(SchedAvg& sa, u64 load, u64 runnable) {
  const PeltQuotient by_divider(sa);
  sa.load_avg = by_divider(load * sa.load_sum);
  sa.runnable_load_avg = by_divider(runnable * sa.runnable_load_sum);
  sa.util_avg = by_divider(sa.util_sum);
}

bool age_load_avg_se(u64 now, PeltScale scale, const CfsRq& cfs_rq, SchedEntity& se, bool util_est) {
  if (!update_load_sum(now, scale, se.avg, se.on_rq, se.on_rq, cfs_rq.curr == &se)) [[likely]]
    return false;
  update_load_avg_of(se.avg, se_weight(se), se_runnable(se));
  if (util_est) se.avg.util_est.enqueued &= ~UTIL_AVG_UNCHANGED;
  return true;
}

bool update_load_avg_blocked_se(u64 now, SchedEntity& se) {
  if (se.task) se.runnable_weight = se.load.weight;
  if (!update_blocked_sum(now, se.avg)) return false;
  update_load_avg_of(se.avg, se_weight(se), se_runnable(se));
  return true;
}

namespace {
// Out of line: the usual way through the next two needs no registers saved.
[[gnu::noinline]] void average_cfs_rq(SchedAvg& sa) { update_load_avg_of(sa, 1, 1); }
}  // namespace

bool age_blocked_cfs_rq(u64 now, SchedAvg& sa) {
  if (!update_blocked_sum(now, sa)) return false;
  if (((sa.load_sum | sa.runnable_load_sum | sa.util_sum) >> 15) == 0)  // below the least divider
    sa.load_avg = sa.runnable_load_avg = sa.util_avg = 0;
  else
    average_cfs_rq(sa);
  return true;
}

bool age_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq) {
  if (!update_load_sum(now, scale, cfs_rq.avg, scale_load_down(cfs_rq.load.weight), scale_load_down(cfs_rq.runnable_weight),
                       cfs_rq.curr != nullptr)) [[likely]]
    return false;
  average_cfs_rq(cfs_rq.avg);
  return true;
}

bool update_irq_load_avg(Rq& rq, u64 running) {
  const PeltScale scale{rq.freq_scale, rq.cpu_capacity_orig};
  const bool aged = update_load_sum(rq.clock - running, scale, rq.avg_irq, 0, 0, false);
  const bool ran = update_load_sum(rq.clock, scale, rq.avg_irq, 1, 1, true);
  if (aged || ran) update_load_avg_of(rq.avg_irq, 1, 1);
  return aged || ran;
}

}  // namespace forksim::km
