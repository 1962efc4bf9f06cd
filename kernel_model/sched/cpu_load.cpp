#include "kernel_model/sched/cpu_load.hpp"

#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {

constexpr u32 kIndices = 5, kDegradeShift = 7;
/// After this many missed ticks nothing is left.
constexpr std::array<u64, kIndices> kDegradeZeroTicks{0, 8, 32, 64, 128};
/// Factors in 1/128 for 1, 2, 4 ... missed ticks.
constexpr std::array<std::array<u8, 8>, kIndices> kDegradeFactor{{{0, 0, 0, 0, 0, 0, 0, 0},
                                                                  {64, 32, 8, 0, 0, 0, 0, 0},
                                                                  {96, 72, 40, 12, 1, 0, 0, 0},
                                                                  {112, 98, 75, 43, 15, 1, 0, 0},
                                                                  {120, 112, 98, 76, 45, 16, 2, 0}}};

}  // namespace

u64 decay_load_missed(u64 load, u64 missed, u32 idx) {
  if (!missed) return load;
  if (missed >= kDegradeZeroTicks[idx]) return 0;
  if (idx == 1) return load >> missed;
  for (u32 j = 0; missed; missed >>= 1, ++j)
    if (missed & 1) load = (load * kDegradeFactor[idx][j]) >> kDegradeShift;
  return load;
}

void cpu_load_update(Rq& rq, u64 this_load, u64 pending_updates) {
  const u64 tickless_load = rq.cpu_load[0];
  rq.cpu_load[0] = this_load;
  for (u32 i = 1; i < kIndices; ++i) {
    u64 old_load = decay_load_missed(rq.cpu_load[i], pending_updates - 1, i);
    if (tickless_load) old_load += tickless_load - decay_load_missed(tickless_load, pending_updates - 1, i);
    const u64 scale = u64{1} << i;
    // Round up on the way up, so that the average can reach the load.
    const u64 new_load = this_load > old_load ? this_load + scale - 1 : this_load;
    rq.cpu_load[i] = (old_load * (scale - 1) + new_load) >> i;
  }
}

void cpu_load_update_active(Rq& rq, u64 jiffies) {
  const u64 load = rq.cfs.avg.runnable_load_avg;
  if (rq.tick_stopped) {
    cpu_load_update_nohz(rq, jiffies, load);
    return;
  }
  rq.last_load_update_tick = jiffies;
  cpu_load_update(rq, load, 1);
}

void cpu_load_update_nohz(Rq& rq, u64 jiffies, u64 load) {
  const u64 pending = jiffies - rq.last_load_update_tick;
  if (!pending) return;
  rq.last_load_update_tick = jiffies;
  cpu_load_update(rq, load, pending);
}

void cpu_load_update_idle(Rq& rq, u64 jiffies) {
  if (!rq.cfs.avg.runnable_load_avg) cpu_load_update_nohz(rq, jiffies, 0);
}

void cpu_load_update_nohz_start(Rq& rq) { rq.cpu_load[0] = rq.cfs.avg.runnable_load_avg; }

}  // namespace forksim::km
