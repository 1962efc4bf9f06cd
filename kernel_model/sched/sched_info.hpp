// Time a task waits on a run queue.
//
// Purpose: Task::run_delay, the sum of waits from queued to running, as /proc/PID/schedstat shows it.
// Source:  Linux 4.19 kernel/sched/stats.h (sched_info_queued, _dequeued, _arrive, _depart, _switch). Units: ns of the run-queue clock.
// Ownership: writes Task::{run_delay, last_queued}; last_queued 0 means not waiting. Errors: none. Not modelled: per-CPU sums.
#pragma once

#include "kernel_model/task/task.hpp"

namespace forksim::km {

inline void sched_info_queued(u64 now, Task& p) {
  if (!p.last_queued.v) p.last_queued = Ns(now);
}

/// The wait ends: the task leaves the queue or starts to run.
inline void sched_info_dequeued(u64 now, Task& p) {
  if (p.last_queued.v) p.run_delay += Ns(now) - p.last_queued;
  p.last_queued = Ns(0);
}

inline void sched_info_switch(u64 now, const Task* idle, Task& prev, Task& next) {
  if (&prev != idle && prev.state == TASK_RUNNING) sched_info_queued(now, prev);
  if (&next != idle) sched_info_dequeued(now, next);
}

}  // namespace forksim::km
