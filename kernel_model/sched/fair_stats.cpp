// Scheduler statistics of tasks: the four sched_stat events of waits and sleeps. See fair.hpp.
//
// Mirrors Linux 4.19 kernel/sched/fair.c with kernel.sched_schedstats=1. All dates are of rq->clock, which runs on during interrupts. Only
// tasks have them here: what the kernel also keeps of group entities, and the sums and maxima of /proc/PID/sched, nothing shows.
#include "kernel_model/sched/fair.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {

/// Clocks of two CPUs may disagree: a sleep is never shorter than nothing.
u64 since(u64 now, u64 start) { return static_cast<s64>(now - start) < 0 ? 0 : now - start; }

}  // namespace

SchedStatistics& FairClass::statistics(const Task& p) {
  if (p.id.v >= statistics_.size()) statistics_.resize(std::size_t{p.id.v} + 1);
  return statistics_[p.id.v];
}

void FairClass::update_stats_wait_start(const CfsRq& q, const SchedEntity& se) {
  if (!se.task) return;
  SchedStatistics& stats = statistics(*se.task);
  const u64 now = q.rq->clock, waited = stats.wait_start;
  // Between two queues wait_start holds how long it has waited; the new date is so much earlier.
  const bool goes_on = se.task->on_rq == TASK_ON_RQ_MIGRATING && now > waited;
  stats.wait_start = goes_on ? now - waited : now;
}

void FairClass::update_stats_wait_end(const CfsRq& q, const SchedEntity& se) {
  if (!se.task) return;
  Task& p = *se.task;
  SchedStatistics& stats = statistics(p);
  const u64 delta = q.rq->clock - stats.wait_start;
  if (p.on_rq == TASK_ON_RQ_MIGRATING) {
    stats.wait_start = delta;
    return;
  }
  s_.emit(Tp::sched_stat_wait, s_.this_cpu(), p.comm, p.pid, delta);
  stats.wait_start = 0;
}

void FairClass::update_stats_enqueue_sleeper(const CfsRq& q, const SchedEntity& se) {
  if (!se.task) return;
  const Task& p = *se.task;
  SchedStatistics& stats = statistics(p);
  if (stats.sleep_start) {
    s_.emit(Tp::sched_stat_sleep, s_.this_cpu(), p.comm, p.pid, since(q.rq->clock, stats.sleep_start));
    stats.sleep_start = 0;
  }
  if (!stats.block_start) return;
  const u64 delta = since(q.rq->clock, stats.block_start);
  stats.block_start = 0;
  if (p.in_iowait) s_.emit(Tp::sched_stat_iowait, s_.this_cpu(), p.comm, p.pid, delta);
  s_.emit(Tp::sched_stat_blocked, s_.this_cpu(), p.comm, p.pid, delta);
}

[[gnu::noinline]] void FairClass::update_stats_enqueue(const CfsRq& q, const SchedEntity& se, u32 flags) {
  // Who is current does not wait.
  if (&se != q.curr) update_stats_wait_start(q, se);
  if (flags & ENQUEUE_WAKEUP) update_stats_enqueue_sleeper(q, se);
}

[[gnu::noinline]] void FairClass::update_stats_dequeue(const CfsRq& q, const SchedEntity& se, u32 flags) {
  if (&se != q.curr) update_stats_wait_end(q, se);
  if (!(flags & DEQUEUE_SLEEP) || !se.task) return;
  SchedStatistics& stats = statistics(*se.task);
  if (se.task->state & TASK_INTERRUPTIBLE) stats.sleep_start = q.rq->clock;
  if (se.task->state & TASK_UNINTERRUPTIBLE) stats.block_start = q.rq->clock;
}

}  // namespace forksim::km
