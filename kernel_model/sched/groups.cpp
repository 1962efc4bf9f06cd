// Task groups: creation, shares, moving tasks. See scheduler.hpp. Mirrors Linux 4.19 kernel/sched/{core,fair}.c.
#include <algorithm>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

TaskGroup& Scheduler::create_group(TaskGroup* parent) {
  FS_CONTRACT(profile_.fair_group_sched, "groups need CONFIG_FAIR_GROUP_SCHED");
  TaskGroup& tg = *groups_.emplace_back(std::make_unique<TaskGroup>());
  tg.parent = parent;
  if (parent) parent->children.push_back(&tg);
  for (u32 c = 0; c < cpus(); ++c) {
    CfsRq& q = *tg.cfs_rq.emplace_back(std::make_unique<CfsRq>());
    SchedEntity& se = *tg.se.emplace_back(std::make_unique<SchedEntity>());
    q.tg = &tg;
    q.rq = &rq(CpuId(c));
    q.group_se = &se;
    q.last_h_load_update = jiffies_ - 1;
    se.my_q = &q;
    se.parent = parent ? parent->se[c].get() : nullptr;
    se.cfs_rq = parent ? parent->cfs_rq[c].get() : &q.rq->cfs;
    se.depth = se.parent ? se.parent->depth + 1 : 0;
    se.load = {NICE_0_LOAD, 0};
    FairClass::init_entity_runnable_average(se);
  }
  for (u32 c = 0; c < cpus(); ++c) {
    const ClockPlace place(*this, "online_fair_sched_group");
    update_rq_clock(rq(CpuId(c)));  // raw_spin_lock_irq
    fair_.attach_entity_cfs_rq(*tg.se[c]);
    FairClass::sync_throttle(tg, CpuId(c));
  }
  return tg;
}

void Scheduler::destroy_group(TaskGroup& tg) {
  for (u32 c = 0; c < cpus(); ++c) {
    CfsRq& q = *tg.cfs_rq[c];
    FS_CONTRACT(!q.nr_running, "only an empty group can be destroyed");
    fair_.remove_entity_load_avg(*tg.se[c]);
    if (q.on_list) fair_.list_del_leaf_cfs_rq(q);
    CfsRq& above = *tg.se[c]->cfs_rq;
    if (above.h_load_next == tg.se[c].get()) above.h_load_next = nullptr;
  }
  if (tg.parent) std::erase(tg.parent->children, &tg);
  std::erase_if(groups_, [&](const auto& g) { return g.get() == &tg; });
}

void Scheduler::set_group_shares(TaskGroup& tg, u64 shares) {
  shares = std::clamp(shares, scale_load(MIN_SHARES), scale_load(MAX_SHARES));
  if (tg.shares == shares) return;
  tg.shares = shares;
  for (u32 c = 0; c < cpus(); ++c) {
    lock_update_rq_clock(rq(CpuId(c)));
    for (SchedEntity* se = tg.se[c].get(); se; se = se->parent) {
      fair_.update_load_avg(*se->cfs_rq, *se, UPDATE_TG);
      fair_.update_cfs_group(*se);
    }
  }
}

int Scheduler::set_group_bandwidth(TaskGroup& tg, u64 period, u64 quota, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  return fair_.tg_set_cfs_bandwidth(tg, period, quota, groups_);
}

void Scheduler::sched_move_task(Task& p, TaskGroup* tg, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(p.cpu);
  lock_update_rq_clock(r);
  const bool queued = p.on_rq == TASK_ON_RQ_QUEUED, running = r.curr == &p;
  if (queued) dequeue_task(r, p, DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK);
  if (running) put_prev_task(r, p);
  if (p.sched_class == SchedClass::fair)
    fair_.task_move_group_fair(p, tg);
  else
    set_task_group(p, tg);
  if (queued) enqueue_task(r, p, ENQUEUE_RESTORE | ENQUEUE_MOVE | ENQUEUE_NOCLOCK);
  if (running) set_curr_task(r);
}

void Scheduler::set_task_group(Task& p, TaskGroup* tg) {
  CfsRq& q = tg ? *tg->cfs_rq[p.cpu.v] : rq(p.cpu).cfs;
  fair_.set_task_rq_fair(p.se, p.se.cfs_rq, q);
  p.se.cfs_rq = &q;
  p.se.parent = q.group_se;
  p.se.depth = q.group_se ? q.group_se->depth + 1 : 0;
}

}  // namespace forksim::km
