// Load tracking of entities, queues and groups. See fair.hpp.
#include <utility>

#include "kernel_model/sched/fair.hpp"
#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {

constexpr u32 kSchedCpufreqMigration = 2;  // SCHED_CPUFREQ_MIGRATION

PeltScale scale_of(const Rq& rq) { return {rq.freq_scale, rq.cpu_capacity_orig}; }

/// The clock for averages of the queue `q` of `rq`: it stands still while the queue is throttled.
u64 cfs_rq_clock_task(const Rq& rq, const CfsRq& q) {
  u64 clock = rq.clock_task;
  if (q.throttle_count) [[unlikely]]
    clock = q.throttled_clock_task;
  return clock - q.throttled_clock_task_time;
}
u64 cfs_rq_clock_task(const CfsRq& q) { return cfs_rq_clock_task(*q.rq, q); }

void add_tg_cfs_propagate(CfsRq& q, s64 runnable_sum) {
  q.propagate = true;
  q.prop_runnable_sum += runnable_sum;
}

/// The group's utilisation changed: its entity takes it over and the parent queue follows.
void update_tg_cfs_util(CfsRq& q, SchedEntity& se, const CfsRq& gcfs_rq) {
  const s64 delta = static_cast<s64>(gcfs_rq.avg.util_avg - se.avg.util_avg);
  if (!delta) return;
  se.avg.util_avg = gcfs_rq.avg.util_avg;
  se.avg.util_sum = static_cast<u32>(se.avg.util_avg * LOAD_AVG_MAX);
  add_positive(q.avg.util_avg, delta);
  q.avg.util_sum = static_cast<u32>(q.avg.util_avg * LOAD_AVG_MAX);
}

/// Estimates the entity's new load_sum after `runnable_sum` was attached below (or, negative, detached).
s64 propagated_sum(s64 runnable_sum, const SchedEntity& se, const CfsRq& gcfs_rq, u64 cpu_scale) {
  if (runnable_sum >= 0) {
    runnable_sum = std::min(runnable_sum + static_cast<s64>(se.avg.load_sum), s64{LOAD_AVG_MAX});
  } else {
    const u64 w = scale_load_down(gcfs_rq.load.weight);
    const u64 average = w ? gcfs_rq.avg.load_sum / w : 0;
    runnable_sum = static_cast<s64>(std::min(se.avg.load_sum, average));
  }
  return std::max(runnable_sum, static_cast<s64>(se.avg.util_sum / cpu_scale));
}

void update_tg_cfs_runnable(CfsRq& q, SchedEntity& se, CfsRq& gcfs_rq) {
  if (!gcfs_rq.prop_runnable_sum) return;
  const s64 sum = propagated_sum(gcfs_rq.prop_runnable_sum, se, gcfs_rq, q.rq->cpu_capacity_orig);
  gcfs_rq.prop_runnable_sum = 0;

  const s64 weight = static_cast<s64>(se_weight(se));
  const s64 load_sum = weight * sum;
  const s64 load_avg = load_sum / s64{LOAD_AVG_MAX};
  const s64 d_sum = load_sum - weight * static_cast<s64>(se.avg.load_sum);
  const s64 d_avg = load_avg - static_cast<s64>(se.avg.load_avg);
  se.avg.load_sum = static_cast<u64>(sum);
  se.avg.load_avg = static_cast<u64>(load_avg);
  add_positive(q.avg.load_avg, d_avg);
  add_positive(q.avg.load_sum, d_sum);

  const s64 r_sum = static_cast<s64>(se_runnable(se)) * sum;
  const s64 r_avg = r_sum / s64{LOAD_AVG_MAX};
  // The old term is weighted with se_weight, not se_runnable: 4.19 does so.
  const s64 d_rsum = r_sum - weight * static_cast<s64>(se.avg.runnable_load_sum);
  const s64 d_ravg = r_avg - static_cast<s64>(se.avg.runnable_load_avg);
  se.avg.runnable_load_sum = static_cast<u64>(sum);
  se.avg.runnable_load_avg = static_cast<u64>(r_avg);
  if (!se.on_rq) return;
  add_positive(q.avg.runnable_load_avg, d_ravg);
  add_positive(q.avg.runnable_load_sum, d_rsum);
}

/// whole * part / all, without the division when `all` is 0. A group that runs on one CPU, the usual case, is all of itself there.
s64 part_of(s64 whole, s64 part, s64 all) {
  if (part == all && all) [[likely]]
    return whole;
  return all ? whole * part / all : whole * part;
}

bool cfs_rq_is_decayed(const CfsRq& q) { return !q.load.weight && !q.avg.load_sum && !q.avg.util_sum && !q.avg.runnable_load_sum; }

bool others_have_blocked(const Rq& rq) { return rq.avg_rt.util_avg || rq.avg_irq.util_avg; }

/// The two cache lines of what update_blocked_averages looks at in `q`, which may be null.
void prefetch(const CfsRq* q) {
  if (!q) return;
  __builtin_prefetch(&q->avg);
  __builtin_prefetch(&q->load);
}

/// Of the entity of the group's queue `q`.
bool skip_blocked_update(const SchedEntity& se, const CfsRq& q) { return !se.avg.load_avg && !se.avg.util_avg && !q.propagate; }

}  // namespace

/// Only the root queue speaks for its CPU; a task that brings its utilisation along always does.
void FairClass::cfs_rq_util_change(const CfsRq& q, u32 flags) {
  if (!q.group_se || (flags & kSchedCpufreqMigration)) s_.cpufreq_update_util(*q.rq, flags);
}

/// `rq` is that of `q`.
bool FairClass::update_cfs_rq_load_avg(u64 now, const Rq& rq, CfsRq& q) {
  bool decayed = false;
  SchedAvg& sa = q.avg;
  if (q.has_removed) [[unlikely]] {
    q.has_removed = false;
    const CfsRq::Removed r = std::exchange(q.removed, {});
    const u64 divider = pelt_divider(sa);
    sub_positive(sa.load_avg, r.load_avg);
    sub_positive(sa.load_sum, r.load_avg * divider);
    sub_positive(sa.util_avg, r.util_avg);
    sub_positive(sa.util_sum, static_cast<u32>(r.util_avg * divider));
    add_tg_cfs_propagate(q, -static_cast<s64>(r.runnable_sum));
    decayed = true;
  }
  decayed |= update_load_avg_cfs_rq(now, scale_of(rq), q);
  if (decayed) cfs_rq_util_change(q, 0);
  return decayed;
}

void FairClass::update_load_avg(CfsRq& q, SchedEntity& se, u32 flags) {
  const Rq& rq = *q.rq;
  const u64 now = cfs_rq_clock_task(rq, q);
  if (se.avg.last_update_time && !(flags & SKIP_AGE_LOAD)) [[likely]]
    update_load_avg_se(now, scale_of(rq), q, se, util_est_);
  bool decayed = update_cfs_rq_load_avg(now, rq, q);
  decayed |= propagate_entity_load_avg(se);
  if (!se.avg.last_update_time && (flags & DO_ATTACH)) [[unlikely]] {
    attach_entity_load_avg(q, se, kSchedCpufreqMigration);
    update_tg_load_avg(q, false);
  } else if (decayed && (flags & UPDATE_TG)) {
    update_tg_load_avg(q, false);
  }
}

void FairClass::attach_entity_load_avg(CfsRq& q, SchedEntity& se, u32 flags) {
  SchedAvg& sa = se.avg;
  const u32 divider = pelt_divider(q.avg);
  sa.last_update_time = q.avg.last_update_time;
  sa.period_contrib = q.avg.period_contrib;
  sa.util_sum = static_cast<u32>(sa.util_avg * divider);
  sa.load_sum = divider;
  if (const u64 w = se_weight(se)) sa.load_sum = sa.load_avg * sa.load_sum / w;
  sa.runnable_load_sum = sa.load_sum;
  q.avg.load_avg += sa.load_avg;
  q.avg.load_sum += se_weight(se) * sa.load_sum;
  q.avg.util_avg += sa.util_avg;
  q.avg.util_sum += sa.util_sum;
  add_tg_cfs_propagate(q, static_cast<s64>(sa.load_sum));
  cfs_rq_util_change(q, flags);
}

void FairClass::detach_entity_load_avg(CfsRq& q, SchedEntity& se) {
  sub_positive(q.avg.load_avg, se.avg.load_avg);
  sub_positive(q.avg.load_sum, se_weight(se) * se.avg.load_sum);
  sub_positive(q.avg.util_avg, se.avg.util_avg);
  sub_positive(q.avg.util_sum, se.avg.util_sum);
  add_tg_cfs_propagate(q, -static_cast<s64>(se.avg.load_sum));
  cfs_rq_util_change(q, 0);
}

void FairClass::sync_entity_load_avg(SchedEntity& se) {
  const CfsRq& q = *se.cfs_rq;
  update_load_avg_blocked_se(q.avg.last_update_time, se);
}

void FairClass::remove_entity_load_avg(SchedEntity& se) {
  sync_entity_load_avg(se);
  CfsRq::Removed& r = se.cfs_rq->removed;
  se.cfs_rq->has_removed = true;
  r.util_avg += se.avg.util_avg;
  r.load_avg += se.avg.load_avg;
  r.runnable_sum += se.avg.load_sum;
}

void FairClass::init_entity_runnable_average(SchedEntity& se) {
  se.avg = {};
  if (se.task) se.avg.load_avg = se.avg.runnable_load_avg = scale_load_down(se.load.weight);
  se.runnable_weight = se.load.weight;
}

void FairClass::post_init_entity_util_avg(SchedEntity& se) {
  const CfsRq& q = *se.cfs_rq;
  const s64 cap = static_cast<s64>(q.rq->cpu_capacity_orig - q.avg.util_avg) / 2;
  if (cap > 0) {
    const u64 limit = static_cast<u64>(cap);
    // The scaled weight: on 64-bit this practically always exceeds the cap.
    const u64 weight = se.load.weight >> unused_bits_;
    se.avg.util_avg = q.avg.util_avg ? std::min(q.avg.util_avg * weight / (q.avg.load_avg + 1), limit) : limit;
  }
  if (se.task && se.task->sched_class != SchedClass::fair) {
    se.avg.last_update_time = cfs_rq_clock_task(q);
    return;
  }
  attach_entity_cfs_rq(se);
}

void FairClass::attach_entity_cfs_rq(SchedEntity& se) {
  CfsRq& q = *se.cfs_rq;
  se.depth = se.parent ? se.parent->depth + 1 : 0;
  update_load_avg(q, se, attach_age_load_ ? 0 : SKIP_AGE_LOAD);
  attach_entity_load_avg(q, se, 0);
  update_tg_load_avg(q, false);
  propagate_entity_cfs_rq(se);
}

void FairClass::detach_entity_cfs_rq(SchedEntity& se) {
  CfsRq& q = *se.cfs_rq;
  update_load_avg(q, se, 0);
  detach_entity_load_avg(q, se);
  update_tg_load_avg(q, false);
  propagate_entity_cfs_rq(se);
}

void FairClass::set_task_rq_fair(SchedEntity& se, CfsRq* prev, CfsRq& next) {
  if (!attach_age_load_ || !se.avg.last_update_time || !prev) return;
  update_load_avg_blocked_se(prev->avg.last_update_time, se);
  se.avg.last_update_time = next.avg.last_update_time;
}

// --- groups ---

void FairClass::update_tg_load_avg(CfsRq& q, bool force) const {
  const s64 delta = static_cast<s64>(q.avg.load_avg - q.tg_load_avg_contrib);
  if (!force && static_cast<u64>(std::abs(delta)) <= q.tg_load_avg_contrib / 64) return;
  if (!q.tg) return;
  q.tg->load_avg += delta;
  q.tg_load_avg_contrib = q.avg.load_avg;
}

bool FairClass::propagate_entity_load_avg(SchedEntity& se) {
  CfsRq* gcfs_rq = se.my_q;
  if (!gcfs_rq || !gcfs_rq->propagate) [[likely]]
    return false;
  gcfs_rq->propagate = false;
  CfsRq& q = *se.cfs_rq;
  add_tg_cfs_propagate(q, gcfs_rq->prop_runnable_sum);
  update_tg_cfs_util(q, se, *gcfs_rq);
  update_tg_cfs_runnable(q, se, *gcfs_rq);
  return true;
}

void FairClass::propagate_entity_cfs_rq(SchedEntity& entity) {
  for (SchedEntity* se = entity.parent; se && !se->cfs_rq->throttled; se = se->parent) update_load_avg(*se->cfs_rq, *se, UPDATE_TG);
}

/// Weights have the unit of 64-bit kernels everywhere; a 32-bit one has no room for the lower ten bits of a share.
u64 FairClass::calc_group_shares(const CfsRq& q) const {
  const s64 tg_shares = static_cast<s64>(q.tg->shares >> unused_bits_);
  const s64 load = static_cast<s64>(std::max(scale_load_down(q.load.weight), q.avg.load_avg));
  const s64 tg_weight = q.tg->load_avg - static_cast<s64>(q.tg_load_avg_contrib) + load;
  const s64 shares = part_of(tg_shares, load, tg_weight);
  return static_cast<u64>(std::clamp(shares, std::min(s64{MIN_SHARES}, tg_shares), tg_shares)) << unused_bits_;
}

u64 FairClass::calc_group_runnable(const CfsRq& q, u64 group_shares) const {
  const s64 shares = static_cast<s64>(group_shares >> unused_bits_);
  const s64 load_avg = static_cast<s64>(std::max(q.avg.load_avg, scale_load_down(q.load.weight)));
  const s64 runnable_avg = static_cast<s64>(std::max(q.avg.runnable_load_avg, scale_load_down(q.runnable_weight)));
  const s64 runnable = part_of(shares, runnable_avg, load_avg);
  return static_cast<u64>(std::clamp(runnable, s64{MIN_SHARES}, shares)) << unused_bits_;
}

void FairClass::update_cfs_group(SchedEntity& se) {
  if (!se.my_q || se.my_q->throttle_count) return;
  const u64 shares = calc_group_shares(*se.my_q);
  reweight_entity(*se.cfs_rq, se, shares, calc_group_runnable(*se.my_q, shares));
}

void FairClass::update_cfs_rq_h_load(CfsRq& leaf) {
  const u64 now = s_.jiffies();
  if (leaf.last_h_load_update == now) return;
  CfsRq* q = &leaf;
  q->h_load_next = nullptr;
  SchedEntity* se = q->group_se;
  for (; se; se = se->parent) {
    q = se->cfs_rq;
    q->h_load_next = se;
    if (q->last_h_load_update == now) break;
  }
  if (!se) {
    q->h_load = q->avg.load_avg;
    q->last_h_load_update = now;
  }
  while ((se = q->h_load_next)) {
    const u64 load = q->h_load * se->avg.load_avg / (q->avg.load_avg + 1);
    q = se->my_q;
    q->h_load = load;
    q->last_h_load_update = now;
  }
}

u64 FairClass::task_h_load(Task& p) {
  if (!group_sched_) return p.se.avg.load_avg;
  CfsRq& q = *p.se.cfs_rq;
  update_cfs_rq_h_load(q);
  return p.se.avg.load_avg * q.h_load / (q.avg.load_avg + 1);
}

void FairClass::list_add_leaf_cfs_rq(CfsRq& q) {
  Rq& rq = *q.rq;
  q.on_list = true;
  if (!q.group_se) {
    rq.leaf_cfs_rq_list.push_back(&q);
    rq.tmp_alone_branch = nullptr;
    return;
  }
  // Children come before their parent; a branch whose parent is not listed yet waits behind tmp_alone_branch.
  if (CfsRq* parent = q.group_se->cfs_rq; parent->on_list) {
    rq.leaf_cfs_rq_list.insert_before(parent, &q);
    rq.tmp_alone_branch = nullptr;
    return;
  }
  if (rq.tmp_alone_branch)
    rq.leaf_cfs_rq_list.insert_after(rq.tmp_alone_branch, &q);
  else
    rq.leaf_cfs_rq_list.push_front(&q);
  rq.tmp_alone_branch = &q;
}

void FairClass::list_del_leaf_cfs_rq(CfsRq& q) {
  // The kernel leaves tmp_alone_branch on the removed node, whose stale links lead back into the list; only the list head is safe here.
  if (q.rq->tmp_alone_branch == &q) q.rq->tmp_alone_branch = decltype(q.rq->leaf_cfs_rq_list)::prev(&q);
  q.rq->leaf_cfs_rq_list.remove(&q);
  q.on_list = false;
}

void FairClass::update_blocked_averages(CpuId cpu) {
  Rq& rq = s_.rq(cpu);
  s_.lock_update_rq_clock(rq);
  rq.last_blocked_load_update_tick = s_.jiffies();
  if (!group_sched_) {
    update_cfs_rq_load_avg(rq.clock_task, rq, rq.cfs);
    RtClass::update_rt_rq_load_avg(rq.clock_task, rq, rq.curr->sched_class == SchedClass::rt);
    if (s_.irq_time_accounting()) update_irq_load_avg(rq, 0);
    if (!rq.cfs.avg.load_avg && !rq.cfs.avg.util_avg && !others_have_blocked(rq)) rq.has_blocked_load = false;
    return;
  }
  bool done = true;
  for (CfsRq *q = rq.leaf_cfs_rq_list.front(), *next; q; q = next) {
    next = decltype(rq.leaf_cfs_rq_list)::next(q);
    prefetch(next);
    if (q->throttle_count) continue;
    if (update_cfs_rq_load_avg(cfs_rq_clock_task(rq, *q), rq, *q)) update_tg_load_avg(*q, false);
    if (SchedEntity* se = q->group_se; se && !skip_blocked_update(*se, *q)) update_load_avg(*se->cfs_rq, *se, 0);
    if (cfs_rq_is_decayed(*q)) list_del_leaf_cfs_rq(*q);
    if (q->avg.load_avg || q->avg.util_avg) done = false;
  }
  RtClass::update_rt_rq_load_avg(rq.clock_task, rq, rq.curr->sched_class == SchedClass::rt);
  if (s_.irq_time_accounting()) update_irq_load_avg(rq, 0);
  if (done && !others_have_blocked(rq)) rq.has_blocked_load = false;
}

}  // namespace forksim::km
