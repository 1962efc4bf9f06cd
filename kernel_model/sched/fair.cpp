// The class hooks of the fair class. See fair.hpp.
#include "kernel_model/sched/fair.hpp"

#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {

bool task_has_idle_policy(const Task& p) { return p.policy == SchedPolicy::idle; }

/// Walks both entities up until they sit on the same queue.
void find_matching_se(SchedEntity*& se, SchedEntity*& pse) {
  for (; se->depth > pse->depth;) se = se->parent;
  for (; pse->depth > se->depth;) pse = pse->parent;
  while (se->cfs_rq != pse->cfs_rq) {
    se = se->parent;
    pse = pse->parent;
  }
}

u32 task_util_est(const Task& p) { return std::max(p.se.avg.util_est.ewma, p.se.avg.util_est.enqueued) | UTIL_AVG_UNCHANGED; }

/// Whether a task that is not queued still has a vruntime relative to its queue's min_vruntime.
bool vruntime_normalized(const Task& p) { return p.on_rq || !p.se.sum_exec_runtime || (p.state == TASK_WAKING && p.sched_remote_wakeup); }

/// SCHED_TUNABLESCALING_LOG.
}  // namespace

FairClass::FairClass(Scheduler& s, const KernelProfile& k, u32 cpus)
    : s_(s),
      group_sched_(k.fair_group_sched),
      gentle_fair_sleepers_(k.feat(Feature::GENTLE_FAIR_SLEEPERS)),
      start_debit_(k.feat(Feature::START_DEBIT)),
      next_buddy_(k.feat(Feature::NEXT_BUDDY)),
      last_buddy_(k.feat(Feature::LAST_BUDDY)),
      wakeup_preemption_(k.feat(Feature::WAKEUP_PREEMPTION)),
      util_est_(k.feat(Feature::UTIL_EST)),
      attach_age_load_(k.feat(Feature::ATTACH_AGE_LOAD)),
      unused_bits_(k.config_64bit ? 0 : kWeightShift),
      hrtick_(k.feat(Feature::HRTICK)),
      double_tick_(k.feat(Feature::DOUBLE_TICK)),
      child_runs_first_(k.tun(Tunable::sched_child_runs_first) != 0),
      schedstats_(k.tun(Tunable::sched_schedstats) != 0),
      timer_migration_(k.tun(Tunable::timer_migration) != 0),
      latency_(k.tun(Tunable::sched_latency_ns)),
      min_granularity_(k.tun(Tunable::sched_min_granularity_ns)),
      wakeup_granularity_(k.tun(Tunable::sched_wakeup_granularity_ns)),
      migration_cost_(k.tun(Tunable::sched_migration_cost_ns)),
      tick_ns_(k.tick_ns()),
      bandwidth_slice_(k.tun(Tunable::sched_cfs_bandwidth_slice_us) * 1000),
      boot_factor_(sysctl_factor(k, cpus)),
      boot_latency_(latency_),
      boot_min_granularity_(min_granularity_),
      boot_wakeup_granularity_(wakeup_granularity_),
      nr_latency_(static_cast<u32>((latency_ + min_granularity_ - 1) / min_granularity_)) {}

void FairClass::update_sysctl(u32 online) {
  const u64 factor = sysctl_factor(s_.profile(), online);
  latency_ = boot_latency_ / boot_factor_ * factor;
  min_granularity_ = boot_min_granularity_ / boot_factor_ * factor;
  wakeup_granularity_ = boot_wakeup_granularity_ / boot_factor_ * factor;
}

void FairClass::util_est_enqueue(CfsRq& q, const Task& p) const {
  if (util_est_) q.avg.util_est.enqueued += task_util_est(p);
}

void FairClass::util_est_dequeue(CfsRq& q, Task& p, bool task_sleep) const {
  if (!util_est_) return;
  u32& queued = q.avg.util_est.enqueued;
  queued -= std::min(queued, task_util_est(p));
  if (!task_sleep) return;
  UtilEst& ue = p.se.avg.util_est;
  if (ue.enqueued & UTIL_AVG_UNCHANGED) return;
  const u32 enqueued = static_cast<u32>(p.se.avg.util_avg) | UTIL_AVG_UNCHANGED;
  const s64 diff = s64{enqueued} - s64{ue.ewma};
  constexpr s64 kMargin = 1024 / 100, kEwmaShift = 2;
  if (diff > -kMargin && diff < kMargin) return;
  ue.enqueued = enqueued;
  ue.ewma = static_cast<u32>((s64{ue.ewma} * (1 << kEwmaShift) + diff) >> kEwmaShift);
}

void FairClass::enqueue_task_fair(Rq& rq, Task& p, u32 flags) {
  util_est_enqueue(rq.cfs, p);
  constexpr u32 kSchedCpufreqIowait = 1;
  if (p.in_iowait) s_.cpufreq_update_util(rq, kSchedCpufreqIowait);
  SchedEntity* se = &p.se;
  for (; se && !se->on_rq; se = se->parent) {
    enqueue_entity(*se->cfs_rq, *se, flags);
    // A throttled queue ends the walk; its count follows below.
    if (se->cfs_rq->throttled) break;
    se->cfs_rq->h_nr_running++;
    flags = ENQUEUE_WAKEUP;
  }
  for (; se; se = se->parent) {
    se->cfs_rq->h_nr_running++;
    if (se->cfs_rq->throttled) break;
    update_load_avg(*se->cfs_rq, *se, UPDATE_TG);
    update_cfs_group(*se);
  }
  if (!se) s_.add_nr_running(rq, 1);
  if (hrtick_) [[unlikely]]
    hrtick_update(rq);
}

void FairClass::dequeue_task_fair(Rq& rq, Task& p, u32 flags) {
  const bool task_sleep = flags & DEQUEUE_SLEEP;
  SchedEntity* se = &p.se;
  for (; se; se = se->parent) {
    CfsRq& q = *se->cfs_rq;
    dequeue_entity(q, *se, flags);
    if (q.throttled) break;
    q.h_nr_running--;
    if (q.load.weight) {
      se = se->parent;
      // The group still has work: prefer it, its caches are warm.
      if (task_sleep && se && !q.throttle_count) set_next_buddy(*se);
      break;
    }
    flags |= DEQUEUE_SLEEP;
  }
  for (; se; se = se->parent) {
    se->cfs_rq->h_nr_running--;
    if (se->cfs_rq->throttled) break;
    update_load_avg(*se->cfs_rq, *se, UPDATE_TG);
    update_cfs_group(*se);
  }
  if (!se) s_.sub_nr_running(rq, 1);
  util_est_dequeue(rq.cfs, p, task_sleep);
  if (hrtick_) [[unlikely]]
    hrtick_update(rq);
}

[[gnu::noinline]] void FairClass::hrtick_start_fair(Rq& rq, Task& p) {
  if (rq.cfs.h_nr_running <= 1) return;
  SchedEntity& se = p.se;
  const s64 left = static_cast<s64>(sched_slice(*se.cfs_rq, se) - (se.sum_exec_runtime - se.prev_sum_exec_runtime));
  if (left >= 0)
    s_.hrtick_start(rq, static_cast<u64>(left));
  else if (rq.curr == &p)
    s_.resched_curr(rq);
}

[[gnu::noinline]] void FairClass::hrtick_update(Rq& rq) {
  Task& curr = *rq.curr;
  if (!s_.hrtick_enabled(rq) || curr.sched_class != SchedClass::fair) return;
  if (curr.se.cfs_rq->nr_running < nr_latency_) hrtick_start_fair(rq, curr);
}

bool FairClass::hrtick_update_wanted(const Rq& rq, u32 arriving) const {
  if (!s_.hrtick_enabled(rq) || rq.curr->sched_class != SchedClass::fair) return false;
  return rq.cfs.h_nr_running + arriving > 1 && rq.curr->se.cfs_rq->nr_running < nr_latency_;
}

void FairClass::yield_task_fair(Rq& rq) {
  Task& curr = *rq.curr;
  if (rq.nr_running == 1) return;
  clear_buddies(curr.se);
  if (curr.policy != SchedPolicy::batch) {
    s_.update_rq_clock(rq);
    update_curr(*curr.se.cfs_rq);
    s_.rq_clock_skip_update(rq);
  }
  for (SchedEntity* se = &curr.se; se; se = se->parent) se->cfs_rq->skip = se;
}

void FairClass::set_next_buddy(SchedEntity& entity) const {
  if (entity.task && task_has_idle_policy(*entity.task)) return;
  for (SchedEntity* se = &entity; se && se->on_rq; se = se->parent) se->cfs_rq->next = se;
}

void FairClass::set_last_buddy(SchedEntity& entity) const {
  if (entity.task && task_has_idle_policy(*entity.task)) return;
  for (SchedEntity* se = &entity; se && se->on_rq; se = se->parent) se->cfs_rq->last = se;
}

void FairClass::check_preempt_wakeup(Rq& rq, Task& p, u32 wake_flags) {
  Task& curr = *rq.curr;
  SchedEntity *se = &curr.se, *pse = &p.se;
  const bool scale = se->cfs_rq->nr_running >= nr_latency_;
  if (se == pse || pse->cfs_rq->throttle_count) return;
  const bool mark_next = next_buddy_ && scale && !(wake_flags & WF_FORK);
  if (mark_next) set_next_buddy(*pse);
  if (curr.need_resched()) return;
  if (!task_has_idle_policy(curr) || task_has_idle_policy(p)) {
    if (p.policy != SchedPolicy::normal || !wakeup_preemption_) return;
    find_matching_se(se, pse);
    update_curr(*se->cfs_rq);
    if (wakeup_preempt_entity(*se, *pse) != 1) return;
    if (!mark_next) set_next_buddy(*pse);
  }
  s_.resched_curr(rq);
  if (!se->on_rq || &curr == rq.idle) return;
  if (last_buddy_ && scale && se->task) set_last_buddy(*se);
}

Task& FairClass::pick_task_simple(Rq& rq, Task& prev) {
  s_.put_prev_task(rq, prev);
  SchedEntity* se = nullptr;
  for (CfsRq* q = &rq.cfs; q; q = se->my_q) {
    se = pick_next_entity(*q, nullptr);
    set_next_entity(*q, *se);
  }
  return *se->task;
}

Task* FairClass::pick_task_hierarchy(Rq& rq, Task& prev) {
  SchedEntity* se = nullptr;
  for (CfsRq* q = &rq.cfs; q; q = se->my_q) {
    SchedEntity* curr = q->curr;
    if (curr) {
      if (curr->on_rq)
        update_curr(*q);
      else
        curr = nullptr;
      if (check_cfs_rq_runtime(*q)) return nullptr;
    }
    se = pick_next_entity(*q, curr);
  }
  Task& p = *se->task;
  if (&p == &prev) return &p;
  // Put and set only where the two branches differ, the deeper side first.
  SchedEntity* pse = &prev.se;
  while (se->cfs_rq != pse->cfs_rq) {
    const u32 depth = se->depth, pdepth = pse->depth;
    if (depth <= pdepth) {
      put_prev_entity(*pse->cfs_rq, *pse);
      pse = pse->parent;
    }
    if (depth >= pdepth) {
      set_next_entity(*se->cfs_rq, *se);
      se = se->parent;
    }
  }
  CfsRq& q = *se->cfs_rq;
  put_prev_entity(q, *pse);
  set_next_entity(q, *se);
  return &p;
}

FairClass::Pick FairClass::pick_next_task_fair(Rq& rq, Task& prev) {
  Task* p = nullptr;
  while (!p) {
    if (rq.cfs.nr_running && group_sched_ && prev.sched_class == SchedClass::fair) p = pick_task_hierarchy(rq, prev);
    if (!p && rq.cfs.nr_running) p = &pick_task_simple(rq, prev);
    if (p) break;
    const int new_tasks = s_.balancer().idle_balance(rq);
    if (new_tasks < 0) return {nullptr, true};
    if (new_tasks == 0) return {};
  }
  // The list is kept in least-recently-run order for the balancer.
  rq.cfs_tasks.move_front(p);
  if (hrtick_ && s_.hrtick_enabled(rq)) [[unlikely]]
    hrtick_start_fair(rq, *p);
  return {p, false};
}

void FairClass::put_prev_task_fair(Task& prev) {
  for (SchedEntity* se = &prev.se; se; se = se->parent) put_prev_entity(*se->cfs_rq, *se);
}

void FairClass::set_curr_task_fair(Rq& rq) {
  for (SchedEntity* se = &rq.curr->se; se; se = se->parent) {
    set_next_entity(*se->cfs_rq, *se);
    account_cfs_rq_runtime(*se->cfs_rq, 0);
  }
}

void FairClass::task_tick_fair(Task& curr, bool queued) {
  for (SchedEntity* se = &curr.se; se; se = se->parent) entity_tick(*se->cfs_rq, *se, queued);
}

void FairClass::task_fork_fair(Task& p, Rq& this_rq) {
  s_.lock_update_rq_clock(this_rq);
  CfsRq& q = *this_rq.curr->se.cfs_rq;
  SchedEntity *curr = q.curr, *se = &p.se;
  if (curr) {
    update_curr(q);
    se->vruntime = curr->vruntime;
  }
  place_entity(q, *se, true);
  if (child_runs_first_ && curr && curr->vruntime.before(se->vruntime)) {
    std::swap(curr->vruntime, se->vruntime);
    s_.resched_curr(this_rq);
  }
  se->vruntime -= q.min_vruntime;
}

void FairClass::migrate_task_rq_fair(Task& p) {
  SchedEntity& se = p.se;
  // Waking: the vruntime is made relative to the old queue, read without its lock; enqueue adds the new one's.
  if (p.state == TASK_WAKING) se.vruntime -= se.cfs_rq->min_vruntime;
  if (p.on_rq == TASK_ON_RQ_MIGRATING)
    detach_entity_cfs_rq(se);
  else
    remove_entity_load_avg(se);
  se.avg.last_update_time = 0;
  se.exec_start = 0;
}

void FairClass::detach_task_cfs_rq(Task& p) {
  SchedEntity& se = p.se;
  if (!vruntime_normalized(p)) {
    place_entity(*se.cfs_rq, se, false);
    se.vruntime -= se.cfs_rq->min_vruntime;
  }
  detach_entity_cfs_rq(se);
}

void FairClass::attach_task_cfs_rq(Task& p) {
  attach_entity_cfs_rq(p.se);
  if (!vruntime_normalized(p)) p.se.vruntime += p.se.cfs_rq->min_vruntime;
}

void FairClass::switched_to_fair(Rq& rq, Task& p) {
  attach_task_cfs_rq(p);
  if (p.on_rq != TASK_ON_RQ_QUEUED) return;
  if (rq.curr == &p)
    s_.resched_curr(rq);
  else
    s_.check_preempt_curr(rq, p, 0);
}

void FairClass::prio_changed_fair(Rq& rq, Task& p, int oldprio) {
  if (p.on_rq != TASK_ON_RQ_QUEUED) return;
  if (rq.curr != &p)
    s_.check_preempt_curr(rq, p, 0);
  else if (p.prio > oldprio)
    s_.resched_curr(rq);
}

void FairClass::reweight_task(Task& p, u64 weight, u32 inv_weight) {
  reweight_entity(*p.se.cfs_rq, p.se, weight, weight);
  p.se.load.inv_weight = inv_weight;
}

void FairClass::task_move_group_fair(Task& p, TaskGroup* tg) {
  detach_task_cfs_rq(p);
  if (group_sched_) {
    CfsRq& next = tg ? *tg->cfs_rq[p.cpu.v] : s_.rq(p.cpu).cfs;
    set_task_rq_fair(p.se, p.se.cfs_rq, next);
    p.se.cfs_rq = &next;
    p.se.parent = next.group_se;
  }
  p.se.avg.last_update_time = 0;
  attach_task_cfs_rq(p);
}

}  // namespace forksim::km
