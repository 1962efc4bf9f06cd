// One cfs_rq at a time: virtual time, slices, placement, the tree, picking. See fair.hpp.
#include "kernel_model/sched/fair.hpp"
#include "kernel_model/sched/rbtree.hpp"
#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {

bool entity_before(const SchedEntity& a, const SchedEntity& b) { return a.vruntime.before(b.vruntime); }

void enqueue_runnable_load_avg(CfsRq& q, const SchedEntity& se) {
  q.runnable_weight += se.runnable_weight;
  q.avg.runnable_load_avg += se.avg.runnable_load_avg;
  q.avg.runnable_load_sum += se_runnable(se) * se.avg.runnable_load_sum;
}

void dequeue_runnable_load_avg(CfsRq& q, const SchedEntity& se) {
  q.runnable_weight -= se.runnable_weight;
  sub_positive(q.avg.runnable_load_avg, se.avg.runnable_load_avg);
  sub_positive(q.avg.runnable_load_sum, se_runnable(se) * se.avg.runnable_load_sum);
}

}  // namespace

void FairClass::update_curr(CfsRq& q) {
  SchedEntity* curr = q.curr;
  if (!curr) return;
  const u64 now = q.rq->clock_task;
  const u64 delta = now - curr->exec_start;
  if (static_cast<s64>(delta) <= 0) [[unlikely]]
    return;
  curr->exec_start = now;
  curr->sum_exec_runtime += delta;
  q.exec_clock += delta;
  curr->vruntime += VNs(calc_delta_fair(delta, *curr));
  update_min_vruntime(q);
  if (curr->task) s_.emit(Tp::sched_stat_runtime, s_.this_cpu(), curr->task->comm, curr->task->pid, delta, curr->vruntime);
  account_cfs_rq_runtime(q, delta);
}

void FairClass::update_min_vruntime(CfsRq& q) const {
  VNs v = q.min_vruntime;
  const bool curr = q.curr && q.curr->on_rq;
  if (curr) [[likely]]
    v = q.curr->vruntime;
  if (q.leftmost && (!curr || q.leftmost->vruntime.before(v))) v = q.leftmost->vruntime;
  if (q.min_vruntime.before(v)) q.min_vruntime = v;
}

u64 FairClass::sched_period(u32 nr_running) const { return nr_running > nr_latency_ ? nr_running * min_granularity_ : latency_; }

u64 FairClass::sched_slice(CfsRq& cfs_rq, SchedEntity& entity) const {
  u64 slice = sched_period(cfs_rq.nr_running + !entity.on_rq);
  for (SchedEntity* se = &entity; se; se = se->parent) {
    LoadWeight* load = &se->cfs_rq->load;
    LoadWeight with_se;
    if (!se->on_rq) {
      with_se = *load;
      update_load_add(with_se, se->load.weight);
      load = &with_se;
    }
    slice = calc_delta(slice, se->load.weight, *load);
  }
  return slice;
}

u64 FairClass::calc_vslice(u64 slice, SchedEntity& se) { return calc_delta_fair(slice, se); }

void FairClass::place_entity(CfsRq& q, SchedEntity& se, bool initial) const {
  VNs v = q.min_vruntime;
  if (initial && start_debit_) v += VNs(sched_vslice(q, se));
  if (!initial) v -= VNs(gentle_fair_sleepers_ ? latency_ >> 1 : latency_);
  // Never backwards: a short sleeper keeps its own, larger vruntime.
  if (se.vruntime.before(v)) se.vruntime = v;
}

void FairClass::account_entity_enqueue(CfsRq& q, SchedEntity& se) {
  update_load_add(q.load, se.load.weight);
  if (!se.parent) update_load_add(q.rq->load, se.load.weight);
  if (se.task) q.rq->cfs_tasks.push_front(se.task);
  q.nr_running++;
}

void FairClass::account_entity_dequeue(CfsRq& q, SchedEntity& se) {
  update_load_sub(q.load, se.load.weight);
  if (!se.parent) update_load_sub(q.rq->load, se.load.weight);
  if (se.task) q.rq->cfs_tasks.remove(se.task);
  q.nr_running--;
}

void FairClass::enqueue_entity(CfsRq& q, SchedEntity& se, u32 flags) {
  const bool renorm = !(flags & ENQUEUE_WAKEUP) || (flags & ENQUEUE_MIGRATED);
  const bool is_curr = q.curr == &se;
  // curr is made absolute before update_curr moves min_vruntime, everybody else after.
  if (renorm && is_curr) se.vruntime += q.min_vruntime;
  update_curr(q);
  if (renorm && !is_curr) se.vruntime += q.min_vruntime;

  update_load_avg(q, se, UPDATE_TG | DO_ATTACH);
  update_cfs_group(se);
  enqueue_runnable_load_avg(q, se);
  account_entity_enqueue(q, se);
  if (flags & ENQUEUE_WAKEUP) place_entity(q, se, false);
  if (schedstats_) [[unlikely]]
    update_stats_enqueue(q, se, flags);
  if (!is_curr) enqueue_entity_tree(q, se);
  se.on_rq = true;
  if (q.nr_running != 1) return;
  if (!q.on_list) list_add_leaf_cfs_rq(q);
  check_enqueue_throttle(q);
}

void FairClass::dequeue_entity(CfsRq& q, SchedEntity& se, u32 flags) {
  update_curr(q);
  update_load_avg(q, se, UPDATE_TG);
  dequeue_runnable_load_avg(q, se);
  if (schedstats_) [[unlikely]]
    update_stats_dequeue(q, se, flags);
  clear_buddies(se);
  if (&se != q.curr) dequeue_entity_tree(q, se);
  se.on_rq = false;
  account_entity_dequeue(q, se);
  // Relative before min_vruntime moves; a sleeper keeps its absolute value.
  if (!(flags & DEQUEUE_SLEEP)) se.vruntime -= q.min_vruntime;
  return_cfs_rq_runtime(q);
  update_cfs_group(se);
  if ((flags & (DEQUEUE_SAVE | DEQUEUE_MOVE)) != DEQUEUE_SAVE) update_min_vruntime(q);
}

void FairClass::set_next_entity(CfsRq& q, SchedEntity& se) {
  if (se.on_rq) {
    if (schedstats_) [[unlikely]]
      update_stats_wait_end(q, se);
    dequeue_entity_tree(q, se);
    update_load_avg(q, se, UPDATE_TG);
  }
  se.exec_start = q.rq->clock_task;
  q.curr = &se;
  se.prev_sum_exec_runtime = se.sum_exec_runtime;
}

void FairClass::put_prev_entity(CfsRq& q, SchedEntity& prev) {
  if (prev.on_rq) update_curr(q);
  check_cfs_rq_runtime(q);
  if (prev.on_rq) {
    if (schedstats_) [[unlikely]]
      update_stats_wait_start(q, prev);
    enqueue_entity_tree(q, prev);
    update_load_avg(q, prev, 0);
  }
  q.curr = nullptr;
}

int FairClass::wakeup_preempt_entity(const SchedEntity& curr, SchedEntity& se) const {
  const s64 vdiff = curr.vruntime.minus(se.vruntime);
  if (vdiff <= 0) return -1;
  return vdiff > static_cast<s64>(calc_delta_fair(wakeup_granularity_, se)) ? 1 : 0;
}

SchedEntity* FairClass::pick_next_entity(CfsRq& q, SchedEntity* curr) const {
  SchedEntity* left = q.leftmost;
  if (!left || (curr && entity_before(*curr, *left))) left = curr;
  SchedEntity* se = left;
  if (q.skip == se) [[unlikely]] {
    SchedEntity* second = se == curr ? q.leftmost : rb_next(*se);
    if (se != curr && (!second || (curr && entity_before(*curr, *second)))) second = curr;
    if (second && wakeup_preempt_entity(*second, *left) < 1) se = second;
  }
  if (q.last) [[unlikely]]
    if (wakeup_preempt_entity(*q.last, *left) < 1) se = q.last;
  if (q.next && wakeup_preempt_entity(*q.next, *left) < 1) se = q.next;
  clear_buddies(*se);
  return se;
}

void FairClass::entity_tick(CfsRq& q, SchedEntity& curr, bool queued) {
  update_curr(q);
  update_load_avg(q, curr, UPDATE_TG);
  update_cfs_group(curr);
  if (queued) return s_.resched_curr(*q.rq);
  // The slice ends by its timer: the tick does not meddle.
  if (q.rq->hrtick_active && !double_tick_) return;
  if (q.nr_running > 1) check_preempt_tick(q, curr);
}

void FairClass::check_preempt_tick(CfsRq& q, SchedEntity& curr) {
  const u64 ideal = sched_slice(q, curr);
  const u64 ran = curr.sum_exec_runtime - curr.prev_sum_exec_runtime;
  if (ran > ideal) {
    s_.resched_curr(*q.rq);
    clear_buddies(curr);
    return;
  }
  if (ran < min_granularity_) return;
  // A virtual lead is compared with a wall-clock slice, as in the kernel.
  const s64 lead = curr.vruntime.minus(q.leftmost->vruntime);
  if (lead >= 0 && static_cast<u64>(lead) > ideal) s_.resched_curr(*q.rq);
}

void FairClass::clear_buddies(SchedEntity& entity) {
  const CfsRq& q = *entity.cfs_rq;
  if (q.last == &entity)
    for (SchedEntity* se = &entity; se && se->cfs_rq->last == se; se = se->parent) se->cfs_rq->last = nullptr;
  if (q.next == &entity)
    for (SchedEntity* se = &entity; se && se->cfs_rq->next == se; se = se->parent) se->cfs_rq->next = nullptr;
  if (q.skip == &entity)
    for (SchedEntity* se = &entity; se && se->cfs_rq->skip == se; se = se->parent) se->cfs_rq->skip = nullptr;
}

void FairClass::reweight_entity(CfsRq& q, SchedEntity& se, u64 weight, u64 runnable) {
  if (se.on_rq) {
    if (q.curr == &se) update_curr(q);
    account_entity_dequeue(q, se);
    dequeue_runnable_load_avg(q, se);
  }
  sub_positive(q.avg.load_avg, se.avg.load_avg);
  sub_positive(q.avg.load_sum, se_weight(se) * se.avg.load_sum);
  se.runnable_weight = runnable;
  update_load_set(se.load, weight);
  const PeltQuotient by_divider(se.avg);
  se.avg.load_avg = by_divider(se_weight(se) * se.avg.load_sum);
  se.avg.runnable_load_avg = by_divider(se_runnable(se) * se.avg.runnable_load_sum);
  q.avg.load_avg += se.avg.load_avg;
  q.avg.load_sum += se_weight(se) * se.avg.load_sum;
  if (!se.on_rq) return;
  account_entity_enqueue(q, se);
  enqueue_runnable_load_avg(q, se);
}

}  // namespace forksim::km
