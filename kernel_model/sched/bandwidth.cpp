// Quotas of task groups (CFS bandwidth). See fair.hpp.
//
// A queue of a limited group draws slices from the group's runtime of this period and is taken off its parent when there is none left.
// Mirrors Linux 4.19 kernel/sched/{fair,core}.c with cgroup v1 rules.
#include <cerrno>

#include "kernel_model/sched/fair.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {

constexpr s64 kMinCfsRqRuntime = 1'000'000;  // kept by a queue that goes idle
constexpr u64 kSlackPeriod = 5'000'000, kMinBandwidthExpiration = 2'000'000;
constexpr u64 kMinQuotaPeriod = 1'000'000, kMaxQuotaPeriod = 1'000'000'000;

/// hrtimer_forward: moves `expires` beyond `now` in steps of `interval`; how many.
u64 hrtimer_forward(u64& expires, u64 now, u64 interval) {
  const u64 delta = now - expires;
  if (static_cast<s64>(delta) < 0) return 0;
  const u64 overrun = delta / interval + 1;
  expires += overrun * interval;
  return overrun;
}

void tg_throttle_down(TaskGroup& tg, const Rq& rq) {
  CfsRq& q = *tg.cfs_rq[rq.cpu.v];
  if (!q.throttle_count) q.throttled_clock_task = rq.clock_task;
  q.throttle_count++;
  for (TaskGroup* child : tg.children) tg_throttle_down(*child, rq);
}

void tg_unthrottle_up(TaskGroup& tg, const Rq& rq) {
  for (TaskGroup* child : tg.children) tg_unthrottle_up(*child, rq);
  CfsRq& q = *tg.cfs_rq[rq.cpu.v];
  if (!--q.throttle_count) q.throttled_clock_task_time += rq.clock_task - q.throttled_clock_task;
}

/// Quota as a share of the period in 1/2^20, -1 for none. The kernel computes it from microseconds.
s64 normalize_cfs_quota(u64 period, u64 quota) {
  if (quota == CfsBandwidth::kInf) return -1;
  return static_cast<s64>((quota / 1000 << 20) / (period / 1000));
}

}  // namespace

void FairClass::refill_cfs_bandwidth_runtime(CfsBandwidth& b) const {
  if (b.quota == CfsBandwidth::kInf) return;
  b.runtime = b.quota;
  b.runtime_expires = s_.sched_clock() + b.period;
  b.expires_seq++;
}

void FairClass::start_cfs_bandwidth(TaskGroup& tg) {
  CfsBandwidth& b = tg.bandwidth;
  if (b.period_active) return;
  b.period_active = true;
  const u64 overrun = hrtimer_forward(b.period_timer_expires, s_.now().v, b.period);
  b.runtime_expires += (overrun + 1) * b.period;
  b.expires_seq++;
  b.timer_cpu = s_.this_cpu();
  s_.hooks().hrtimer_start(SchedTimer::cfs_period, &tg, b.timer_cpu, Ns(b.period_timer_expires));
}

bool FairClass::assign_cfs_rq_runtime(CfsRq& q) {
  CfsBandwidth& b = q.tg->bandwidth;
  const u64 wanted = bandwidth_slice_ - static_cast<u64>(q.runtime_remaining);
  u64 amount = 0;
  if (b.quota == CfsBandwidth::kInf) {
    amount = wanted;
  } else {
    start_cfs_bandwidth(*q.tg);
    if (b.runtime > 0) {
      amount = std::min(b.runtime, wanted);
      b.runtime -= amount;
      b.idle = false;
    }
  }
  q.runtime_remaining += static_cast<s64>(amount);
  // The local deadline may have been extended; it is taken over only when a new period began.
  if (q.expires_seq != b.expires_seq) {
    q.expires_seq = b.expires_seq;
    q.runtime_expires = b.runtime_expires;
  }
  return q.runtime_remaining > 0;
}

void FairClass::expire_cfs_rq_runtime(CfsRq& q) const {
  if (static_cast<s64>(q.rq->clock - q.runtime_expires) < 0 || q.runtime_remaining < 0) return;
  // Same period still: our clock is ahead of the one that set the deadline, so extend it.
  if (q.expires_seq == q.tg->bandwidth.expires_seq)
    q.runtime_expires += tick_ns_;
  else
    q.runtime_remaining = 0;
}

void FairClass::charge_cfs_rq_runtime(CfsRq& q, u64 delta_exec) {
  q.runtime_remaining -= static_cast<s64>(delta_exec);
  expire_cfs_rq_runtime(q);
  if (q.runtime_remaining > 0) return;
  if (!assign_cfs_rq_runtime(q) && q.curr) s_.resched_curr(*q.rq);
}

bool FairClass::check_cfs_rq_runtime(CfsRq& q) {
  if (!q.runtime_enabled || q.runtime_remaining > 0) [[likely]]
    return false;
  if (!q.throttled) throttle_cfs_rq(q);
  return true;
}

void FairClass::check_enqueue_throttle(CfsRq& q) {
  if (!q.runtime_enabled || q.curr || q.throttled) [[likely]]
    return;
  account_cfs_rq_runtime(q, 0);
  if (q.runtime_remaining <= 0) throttle_cfs_rq(q);
}

void FairClass::return_cfs_rq_runtime(CfsRq& q) {
  if (!q.runtime_enabled || q.nr_running) [[likely]]
    return;
  const s64 slack = q.runtime_remaining - kMinCfsRqRuntime;
  if (slack <= 0) return;
  CfsBandwidth& b = q.tg->bandwidth;
  if (b.quota != CfsBandwidth::kInf && q.expires_seq == b.expires_seq) {
    b.runtime += static_cast<u64>(slack);
    // Others may run with it, but not under this lock: a timer hands it out unless a refill is near.
    if (b.runtime > bandwidth_slice_ && !b.throttled_cfs_rq.empty() && !runtime_refresh_within(b, kSlackPeriod + kMinBandwidthExpiration)) {
      b.slack_active = true;
      b.slack_timer_expires = s_.now().v + kSlackPeriod;
      b.slack_cpu = timer_migration_ ? s_.get_nohz_timer_target(s_.this_cpu()) : s_.this_cpu();
      s_.hooks().hrtimer_start(SchedTimer::cfs_slack, q.tg, b.slack_cpu, Ns(b.slack_timer_expires));
    }
  }
  q.runtime_remaining -= slack;
}

void FairClass::throttle_cfs_rq(CfsRq& q) {
  Rq& rq = *q.rq;
  CfsBandwidth& b = q.tg->bandwidth;
  tg_throttle_down(*q.tg, rq);
  const u32 tasks = q.h_nr_running;
  bool dequeue = true;
  SchedEntity* se = q.group_se;
  for (; se && se->on_rq; se = se->parent) {
    CfsRq& above = *se->cfs_rq;
    if (dequeue) dequeue_entity(above, *se, DEQUEUE_SLEEP);
    above.h_nr_running -= tasks;
    if (above.load.weight) dequeue = false;
  }
  if (!se) s_.sub_nr_running(rq, tasks);
  q.throttled = true;
  q.throttled_clock = rq.clock;
  s_.emit(Tp::cfs_throttle, s_.this_cpu(), q.tg->name, rq.cpu, tasks);
  const bool first = b.throttled_cfs_rq.empty();
  // A distribution under way must not see us.
  if (b.distribute_running)
    b.throttled_cfs_rq.push_front(&q);
  else
    b.throttled_cfs_rq.push_back(&q);
  if (first) start_cfs_bandwidth(*q.tg);
}

void FairClass::unthrottle_cfs_rq(CfsRq& q) {
  Rq& rq = *q.rq;
  q.throttled = false;
  s_.update_rq_clock(rq);
  const u64 held = rq.clock - q.throttled_clock;
  q.tg->bandwidth.throttled_time += held;
  s_.emit(Tp::cfs_unthrottle, s_.this_cpu(), q.tg->name, rq.cpu, held);
  q.tg->bandwidth.throttled_cfs_rq.remove(&q);
  tg_unthrottle_up(*q.tg, rq);
  if (!q.load.weight) return;
  const u32 tasks = q.h_nr_running;
  bool enqueue = true;
  SchedEntity* se = q.group_se;
  for (; se; se = se->parent) {
    if (se->on_rq) enqueue = false;
    CfsRq& above = *se->cfs_rq;
    if (enqueue) enqueue_entity(above, *se, ENQUEUE_WAKEUP);
    above.h_nr_running += tasks;
    if (above.throttled) break;
  }
  if (!se) s_.add_nr_running(rq, tasks);
  if (rq.curr == rq.idle && rq.cfs.nr_running) s_.resched_curr(rq);
}

void FairClass::distribute_cfs_runtime(BandwidthWalk& w) {
  CfsBandwidth& b = w.tg->bandwidth;
  b.distribute_running = true;
  w.start = w.remaining = b.runtime;
  w.queues.clear();
  w.next = 0;
  for (CfsRq* q = b.throttled_cfs_rq.front(); q; q = b.throttled_cfs_rq.next(q)) w.queues.push_back(q);
}

/// One queue of the round: just enough for it to run. It may have been put back while its lock was waited for.
void FairClass::distribute_to_next(BandwidthWalk& w, CpuId cpu) {
  s_.set_this_cpu(cpu);
  CfsRq& q = *w.queues[w.next++];
  Scheduler::rq_pin_lock(*q.rq);
  if (q.throttled) {
    const u64 runtime = std::min(static_cast<u64>(-q.runtime_remaining + 1), w.remaining);
    w.remaining -= runtime;
    q.runtime_remaining += static_cast<s64>(runtime);
    q.runtime_expires = w.expires;
    if (q.runtime_remaining > 0) unthrottle_cfs_rq(q);
  }
  if (!w.remaining || !w.queue()) distributed(w);
}

/// The round is over: what was used comes off, and the period timer looks whether there is more to do.
void FairClass::distributed(BandwidthWalk& w) {
  CfsBandwidth& b = w.tg->bandwidth;
  w.queues.clear();
  b.distribute_running = false;
  // A refill meanwhile is not touched by what the slack timer gave of the old period.
  if (!w.slack || w.expires == b.runtime_expires) b.runtime -= std::min(w.start - w.remaining, b.runtime);
  if (w.slack) return;
  distribute_period(w);
  if (!w.queue()) forward_period_timer(w);
}

/// Another round when runtime and throttled queues are left, else the period has been active.
void FairClass::distribute_period(BandwidthWalk& w) {
  CfsBandwidth& b = w.tg->bandwidth;
  if (!b.throttled_cfs_rq.empty() && b.runtime > 0 && !b.distribute_running) return distribute_cfs_runtime(w);
  b.idle = false;
}

/// True when the timer may stop. A round that it begins is finished by distribute_to_next.
bool FairClass::do_sched_cfs_period_timer(BandwidthWalk& w, u64 overrun) {
  CfsBandwidth& b = w.tg->bandwidth;
  if (b.quota == CfsBandwidth::kInf) return true;
  const bool throttled = !b.throttled_cfs_rq.empty();
  b.nr_periods += overrun;
  if (b.idle && !throttled) return true;
  refill_cfs_bandwidth_runtime(b);
  if (!throttled) {
    b.idle = true;
    return false;
  }
  b.nr_throttled += overrun;
  w.expires = b.runtime_expires;
  distribute_period(w);
  return false;
}

/// The loop of sched_cfs_period_timer: until the timer lies ahead again, or a round has begun.
void FairClass::forward_period_timer(BandwidthWalk& w) {
  CfsBandwidth& b = w.tg->bandwidth;
  while (const u64 overrun = hrtimer_forward(b.period_timer_expires, s_.now().v, b.period)) {
    w.idle = do_sched_cfs_period_timer(w, overrun);
    if (w.queue()) return;
  }
  b.period_callback_running = false;
  if (w.idle) b.period_active = false;
}

void FairClass::begin_period_timer(BandwidthWalk& w, TaskGroup& tg) {
  s_.set_this_cpu(tg.bandwidth.timer_cpu);
  w.tg = &tg;
  w.slack = w.idle = false;
  tg.bandwidth.period_callback_running = true;
  forward_period_timer(w);
}

bool FairClass::sched_cfs_period_timer(TaskGroup& tg) {
  BandwidthWalk w;
  begin_period_timer(w, tg);
  while (w.queue()) distribute_to_next(w, tg.bandwidth.timer_cpu);
  return !w.idle;
}

bool FairClass::runtime_refresh_within(const CfsBandwidth& b, u64 min_expire) const {
  // Unsigned as in 4.19: an expiry in the past counts as far away.
  return b.period_callback_running || b.period_timer_expires - s_.now().v < min_expire;
}

void FairClass::begin_slack_timer(BandwidthWalk& w, TaskGroup& tg) {
  CfsBandwidth& b = tg.bandwidth;
  s_.set_this_cpu(b.slack_cpu);
  w.tg = &tg;
  w.slack = true;
  b.slack_active = false;
  if (b.distribute_running || runtime_refresh_within(b, kMinBandwidthExpiration)) return;
  if (b.quota == CfsBandwidth::kInf || b.runtime <= bandwidth_slice_) return;
  w.expires = b.runtime_expires;
  distribute_cfs_runtime(w);
  if (!w.queue()) distributed(w);
}

void FairClass::sched_cfs_slack_timer(TaskGroup& tg) {
  BandwidthWalk w;
  begin_slack_timer(w, tg);
  while (w.queue()) distribute_to_next(w, tg.bandwidth.slack_cpu);
}

void FairClass::sync_throttle(TaskGroup& tg, CpuId cpu) {
  if (!tg.parent) return;
  CfsRq& q = *tg.cfs_rq[cpu.v];
  q.throttle_count = tg.parent->cfs_rq[cpu.v]->throttle_count;
  q.throttled_clock_task = q.rq->clock_task;
}

void FairClass::unthrottle_offline_cfs_rq(TaskGroup& tg, CpuId cpu) {
  CfsRq& q = *tg.cfs_rq[cpu.v];
  if (!q.runtime_enabled) return;
  q.runtime_remaining = 1;
  q.runtime_enabled = false;
  const Scheduler::ClockPlace place(s_, "unthrottle_offline_cfs_rqs");
  if (q.throttled) unthrottle_cfs_rq(q);
}

void FairClass::update_runtime_enabled(TaskGroup& tg, CpuId cpu) {
  tg.cfs_rq[cpu.v]->runtime_enabled = tg.bandwidth.quota != CfsBandwidth::kInf;
}

int FairClass::tg_set_cfs_bandwidth(TaskGroup& tg, u64 period, u64 quota, const std::vector<std::unique_ptr<TaskGroup>>& all) {
  if (quota < kMinQuotaPeriod || period < kMinQuotaPeriod || period > kMaxQuotaPeriod) return -EINVAL;
  // A child may not be given more than its parent has. Parents come before their children in `all`.
  for (const auto& g : all) {
    s64 q = g.get() == &tg ? normalize_cfs_quota(period, quota) : normalize_cfs_quota(g->bandwidth.period, g->bandwidth.quota);
    const s64 parent = g->parent ? g->parent->bandwidth.hierarchical_quota : -1;
    if (q == -1)
      q = parent;
    else if (parent != -1 && q > parent)
      return -EINVAL;
    g->bandwidth.hierarchical_quota = q;
  }
  CfsBandwidth& b = tg.bandwidth;
  const bool enabled = quota != CfsBandwidth::kInf;
  b.period = period;
  b.quota = quota;
  refill_cfs_bandwidth_runtime(b);
  if (enabled) start_cfs_bandwidth(tg);
  for (const auto& q : tg.cfs_rq) {
    q->runtime_enabled = enabled;
    q->runtime_remaining = 0;
    Scheduler::rq_pin_lock(*q->rq);
    if (q->throttled) unthrottle_cfs_rq(*q);
  }
  return 0;
}

}  // namespace forksim::km
