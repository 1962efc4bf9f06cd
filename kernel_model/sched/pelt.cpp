#include "kernel_model/sched/pelt.hpp"

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

/// Returns the number of whole periods that passed.
u64 accumulate_sum(u64 delta, PeltScale scale, SchedAvg& sa, u64 load, u64 runnable, bool running) {
  u32 contrib = static_cast<u32>(delta);
  delta += sa.period_contrib;
  const u64 periods = delta / kPeriod;
  if (periods) {
    sa.load_sum = decay_load(sa.load_sum, periods);
    sa.runnable_load_sum = decay_load(sa.runnable_load_sum, periods);
    sa.util_sum = static_cast<u32>(decay_load(sa.util_sum, periods));
    delta %= kPeriod;
    contrib = accumulate_pelt_segments(periods, kPeriod - sa.period_contrib, static_cast<u32>(delta));
  }
  sa.period_contrib = static_cast<u32>(delta);
  const u64 c = (contrib * scale.freq) >> kCapacityShift;
  if (load) sa.load_sum += load * c;
  if (runnable) sa.runnable_load_sum += runnable * c;
  if (running) sa.util_sum += static_cast<u32>(c * scale.cpu);
  return periods;
}

}  // namespace

u64 decay_load(u64 val, u64 n) {
  if (n > u64{LOAD_AVG_PERIOD} * 63) return 0;
  if (n >= LOAD_AVG_PERIOD) {
    val >>= n / LOAD_AVG_PERIOD;
    n %= LOAD_AVG_PERIOD;
  }
  return mul_u64_u32_shr(val, kRunnableAvgYnInv[n], 32);
}

u32 accumulate_pelt_segments(u64 periods, u32 d1, u32 d3) {
  const u32 c1 = static_cast<u32>(decay_load(d1, periods));
  const u32 c2 = static_cast<u32>(LOAD_AVG_MAX - decay_load(LOAD_AVG_MAX, periods) - kPeriod);
  return c1 + c2 + d3;
}

bool update_load_sum(u64 now, PeltScale scale, SchedAvg& sa, u64 load, u64 runnable, bool running) {
  u64 delta = now - sa.last_update_time;
  // A clock that went backwards (another CPU's) resynchronises without accounting anything.
  if (static_cast<s64>(delta) < 0) {
    sa.last_update_time = now;
    return false;
  }
  delta >>= 10;
  if (!delta) return false;
  sa.last_update_time += delta << 10;
  if (!load) {
    runnable = 0;
    running = false;
  }
  return accumulate_sum(delta, scale, sa, load, runnable, running) != 0;
}

void update_load_avg_of(SchedAvg& sa, u64 load, u64 runnable) {
  const u32 divider = pelt_divider(sa);
  sa.load_avg = load * sa.load_sum / divider;
  sa.runnable_load_avg = runnable * sa.runnable_load_sum / divider;
  sa.util_avg = sa.util_sum / divider;
}

bool update_load_avg_se(u64 now, PeltScale scale, const CfsRq& cfs_rq, SchedEntity& se, bool util_est) {
  if (se.task) se.runnable_weight = se.load.weight;
  if (!update_load_sum(now, scale, se.avg, se.on_rq, se.on_rq, cfs_rq.curr == &se)) return false;
  update_load_avg_of(se.avg, se_weight(se), se_runnable(se));
  if (util_est) se.avg.util_est.enqueued &= ~UTIL_AVG_UNCHANGED;
  return true;
}

bool update_load_avg_blocked_se(u64 now, PeltScale scale, SchedEntity& se) {
  if (se.task) se.runnable_weight = se.load.weight;
  if (!update_load_sum(now, scale, se.avg, 0, 0, false)) return false;
  update_load_avg_of(se.avg, se_weight(se), se_runnable(se));
  return true;
}

bool update_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq) {
  if (!update_load_sum(now, scale, cfs_rq.avg, scale_load_down(cfs_rq.load.weight), scale_load_down(cfs_rq.runnable_weight),
                       cfs_rq.curr != nullptr))
    return false;
  update_load_avg_of(cfs_rq.avg, 1, 1);
  return true;
}

}  // namespace forksim::km
