// What the scheduler feature WARN_DOUBLE_CLOCK finds: second updates of a run queue's clock under one lock.
//
// Purpose: the count and the first of the updates at which the kernel says `rq->clock_update_flags & RQCF_UPDATED`, once per boot.
// Source:  Linux 4.19 kernel/sched/core.c update_rq_clock, kernel/sched/sched.h rq_pin_lock. rq_lock and its kin clear the flag. What takes
//          a run queue by raw_spin_lock does not, and finds the flag of whoever held it before: online_fair_sched_group,
//          do_sched_rt_period_timer, push_rt_task, pull_rt_task, unthrottle_offline_cfs_rqs. So does migrate_tasks, which updates the clock
//          again for each task it moves. Later kernels have mended them (rq_lock since 5.4 and 5.19, double_rq_clock_clear_update).
// Units:   ns since boot. Ownership: values; names are literals. Errors: none.
// Not modelled: the flag that set_rq_offline of a dying CPU leaves; a push that waits for the other queue may find it cleared meanwhile.
#pragma once

#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

struct DoubleClock {
  u64 count = 0;
  Ns first{0};
  CpuId by, rq;            ///< of the first: who updated the clock of which queue
  std::string_view where;  ///< in which kernel function
};

}  // namespace forksim::km
