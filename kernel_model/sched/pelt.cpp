#include "kernel_model/sched/pelt.hpp"

#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {

constexpr u32 kCapacityShift = 10;

/// Returns the number of whole periods that passed.
u64 accumulate_sum(u64 delta, PeltScale scale, SchedAvg& sa, u64 load, u64 runnable, bool running) {
  u32 contrib = static_cast<u32>(delta);
  delta += sa.period_contrib;
  const u64 periods = delta / kPeltPeriod;
  if (periods) [[unlikely]] {
    const Decay y(periods);
    sa.load_sum = y(sa.load_sum);
    sa.runnable_load_sum = y(sa.runnable_load_sum);
    sa.util_sum = static_cast<u32>(y(sa.util_sum));
    delta %= kPeltPeriod;
    contrib = y.segments(kPeltPeriod - sa.period_contrib, static_cast<u32>(delta));
  }
  sa.period_contrib = static_cast<u32>(delta);
  const u64 c = (contrib * scale.freq) >> kCapacityShift;
  sa.load_sum += load * c;
  if (runnable) sa.runnable_load_sum += runnable * c;
  if (running) sa.util_sum += static_cast<u32>(c * scale.cpu);
  return periods;
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

void average_cfs_rq(SchedAvg& sa) { update_load_avg_of(sa, 1, 1); }

bool age_load_avg_cfs_rq(u64 now, PeltScale scale, CfsRq& cfs_rq) {
  if (!scale_load_down(cfs_rq.load.weight)) return age_blocked_cfs_rq(now, cfs_rq.avg);
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
