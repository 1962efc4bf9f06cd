// rq->cpu_load[]: the older load averages that bias the balancer.
//
// Purpose: five decaying copies of the queue's runnable load, index i averaging over about 2^i ticks; read through LB_BIAS.
// Source:  Linux 4.19 kernel/sched/fair.c (cpu_load_update*, decay_load_missed). Units: PELT runnable load; dates in jiffies.
// Ownership: writes Rq::{cpu_load, last_load_update_tick}. Errors: none.
#pragma once

#include "kernel_model/base/types.hpp"

namespace forksim::km {

struct Rq;

/// Effect of `missed` updates with load 0 on index `idx`.
u64 decay_load_missed(u64 load, u64 missed, u32 idx);
void cpu_load_update(Rq& rq, u64 this_load, u64 pending_updates);
/// From scheduler_tick.
void cpu_load_update_active(Rq& rq, u64 jiffies);
/// Catches up with the ticks since the last update.
void cpu_load_update_nohz(Rq& rq, u64 jiffies, u64 load);
/// Another CPU refreshes an idle queue; nothing to do while it has load.
void cpu_load_update_idle(Rq& rq, u64 jiffies);
void cpu_load_update_nohz_start(Rq& rq);

}  // namespace forksim::km
