// Idle tasks, parameters, affinity, migration, hotplug. See scheduler.hpp. Mirrors Linux 4.19 kernel/sched/core.c.
#include "kernel_model/base/contract.hpp"
#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {

LoadWeight task_weight(const Task& p) {
  if (p.policy == SchedPolicy::idle) return {scale_load(WEIGHT_IDLEPRIO), WMULT_IDLEPRIO};
  const std::size_t i = static_cast<std::size_t>(p.static_prio - MAX_RT_PRIO);
  return {scale_load(sched_prio_to_weight[i]), sched_prio_to_wmult[i]};
}

bool rt_policy(SchedPolicy p) { return p == SchedPolicy::fifo || p == SchedPolicy::rr; }

int normal_prio(const Task& p) { return rt_policy(p.policy) ? MAX_RT_PRIO - 1 - static_cast<int>(p.rt_priority) : p.static_prio; }

SchedClass class_of(int prio) { return prio < MAX_RT_PRIO ? SchedClass::rt : SchedClass::fair; }

/// The waiting task that would be picked first, or null. Where that is one that the CPU is still switching away from, any other.
Task* first_queued(const Rq& rq) {
  for (const auto& queue : rq.rt.queue)
    for (Task* p = queue.front(); p; p = queue.next(p))
      if (!p->on_cpu) return p;
  const CfsRq* q = &rq.cfs;
  while (q->leftmost && !q->leftmost->task) q = q->leftmost->my_q;
  Task* first = q->leftmost ? q->leftmost->task : nullptr;
  if (!first || !first->on_cpu) return first;
  for (Task* p = rq.cfs_tasks.front(); p; p = rq.cfs_tasks.next(p))
    if (!p->on_cpu) return p;
  return nullptr;
}

}  // namespace

void Scheduler::init_idle(Task& idle, CpuId cpu) {
  Rq& r = rq(cpu);
  idle.state = TASK_RUNNING;
  idle.sched_class = SchedClass::idle;
  idle.flags |= PF_IDLE;
  idle.cpus_allowed = CpuMask::of(cpu);
  idle.nr_cpus_allowed = 1;
  idle.se.task = &idle;
  idle.se.load = task_weight(idle);
  set_task_cpu_raw(idle, cpu);
  idle.on_rq = TASK_ON_RQ_QUEUED;
  idle.on_cpu = true;
  r.curr = r.idle = &idle;
}

void Scheduler::set_load_weight(Task& p) const {
  p.se.load = task_weight(p);
  p.se.runnable_weight = p.se.load.weight;
}

void Scheduler::set_params(Task& p, SchedPolicy policy, int nice, u32 rt_priority) {
  p.policy = policy;
  p.rt_priority = rt_priority;
  p.static_prio = DEFAULT_PRIO + nice;
  p.normal_prio = p.prio = normal_prio(p);
  p.sched_class = class_of(p.prio);
  set_load_weight(p);
}

/// set_load_weight of a task that is already known to its class: averages follow the weight.
void Scheduler::update_load_weight(Task& p) {
  if (p.policy == SchedPolicy::idle || p.sched_class != SchedClass::fair) {
    set_load_weight(p);
    return;
  }
  const LoadWeight w = task_weight(p);
  fair_.reweight_task(p, w.weight, w.inv_weight);
  p.se.runnable_weight = w.weight;
}

void Scheduler::check_class_changed(Rq& r, Task& p, SchedClass prev_class, int oldprio) {
  if (prev_class != p.sched_class) {
    if (prev_class == SchedClass::rt)
      rt_.switched_from_rt(r, p);
    else
      fair_.switched_from_fair(p);
    if (p.sched_class == SchedClass::rt)
      rt_.switched_to_rt(r, p);
    else
      fair_.switched_to_fair(r, p);
  } else if (oldprio != p.prio) {
    if (p.sched_class == SchedClass::rt)
      rt_.prio_changed_rt(r, p, oldprio);
    else
      fair_.prio_changed_fair(r, p, oldprio);
  }
}

void Scheduler::sched_setscheduler(Task& p, SchedPolicy policy, u32 rt_priority, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(p.cpu);
  lock_update_rq_clock(r);
  if (policy == p.policy && (!rt_policy(policy) || rt_priority == p.rt_priority)) return;
  const int oldprio = p.prio;
  u32 flags = DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK;
  // Without a change of the effective priority the task keeps its place in the queue.
  if (MAX_RT_PRIO - 1 - static_cast<int>(rt_priority) == oldprio) flags &= ~DEQUEUE_MOVE;
  const bool queued = p.on_rq == TASK_ON_RQ_QUEUED, running = r.curr == &p;
  if (queued) dequeue_task(r, p, flags);
  if (running) put_prev_task(r, p);
  const SchedClass prev_class = p.sched_class;
  p.policy = policy;
  p.rt_priority = rt_priority;
  p.normal_prio = normal_prio(p);
  update_load_weight(p);
  p.prio = p.normal_prio;
  p.sched_class = class_of(p.prio);
  if (queued) enqueue_task(r, p, oldprio < p.prio ? flags | ENQUEUE_HEAD : flags);
  if (running) set_curr_task(r);
  check_class_changed(r, p, prev_class, oldprio);
  rt_.balance_callback(r);
}

void Scheduler::set_user_nice(Task& p, int nice, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  if (p.static_prio == DEFAULT_PRIO + nice) return;
  Rq& r = rq(p.cpu);
  lock_update_rq_clock(r);
  if (rt_policy(p.policy)) {
    p.static_prio = DEFAULT_PRIO + nice;
    return;
  }
  const bool queued = p.on_rq == TASK_ON_RQ_QUEUED, running = r.curr == &p;
  if (queued) dequeue_task(r, p, DEQUEUE_SAVE | DEQUEUE_NOCLOCK);
  if (running) put_prev_task(r, p);
  p.static_prio = DEFAULT_PRIO + nice;
  update_load_weight(p);
  const int delta = p.static_prio - p.prio;
  p.normal_prio = p.prio = p.static_prio;
  if (queued) {
    enqueue_task(r, p, ENQUEUE_RESTORE | ENQUEUE_NOCLOCK);
    if (delta < 0 || (delta > 0 && p.on_cpu)) resched_curr(r);
  }
  if (running) set_curr_task(r);
}

CpuId Scheduler::set_cpus_allowed(Task& p, const CpuMask& mask, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(p.cpu);
  lock_update_rq_clock(r);
  if (p.cpus_allowed == mask) return p.cpu;
  const bool queued = p.on_rq == TASK_ON_RQ_QUEUED, running = r.curr == &p;
  if (queued) dequeue_task(r, p, DEQUEUE_SAVE | DEQUEUE_NOCLOCK);
  if (running) put_prev_task(r, p);
  p.cpus_allowed = mask;
  p.nr_cpus_allowed = mask.count();
  if (queued) enqueue_task(r, p, ENQUEUE_RESTORE | ENQUEUE_NOCLOCK);
  if (running) set_curr_task(r);
  if (mask.test(p.cpu)) return p.cpu;
  const u32 dest = (mask & active_).first();
  return dest < cpus() ? CpuId(dest) : p.cpu;
}

CpuId Scheduler::sched_exec_select(CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Task& p = *rq(this_cpu).curr;
  CpuId dest = p.cpu;
  if (p.sched_class == SchedClass::fair) dest = select_task_rq_fair(p, p.cpu, SD_BALANCE_EXEC, 0);
  emit_placement(PlacementKind::exec, p, p.cpu, dest);
  return active_.test(dest) ? dest : this_cpu;
}

bool Scheduler::migrate_detach(Task& p, CpuId dest, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  sched_ttwu_pending(this_cpu);
  rq_pin_lock(rq(p.cpu));
  return detach_to(p, dest, this_cpu);
}

/// The end of migration_cpu_stop, and __migrate_task up to where it unlocks the queue.
bool Scheduler::detach_to(Task& p, CpuId dest, CpuId this_cpu) {
  if (p.on_rq != TASK_ON_RQ_QUEUED) {
    p.wake_cpu = dest;
    return false;
  }
  if (!p.cpus_allowed.test(dest) || !active_.test(dest)) return false;
  update_rq_clock(rq(p.cpu));
  move_detach(p, dest, this_cpu);
  return true;
}

void Scheduler::migrate_queued_task(Task& p, CpuId dest, CpuId this_cpu) {
  if (migrate_detach(p, dest, this_cpu)) move_attach(p, this_cpu);
}

void Scheduler::move_detach(Task& p, CpuId dest, CpuId this_cpu) {
  FS_CONTRACT(!p.on_cpu, "a running task is migrated by the stopper that preempted it");
  this_cpu_ = this_cpu;
  Rq& src = rq(p.cpu);
  p.on_rq = TASK_ON_RQ_MIGRATING;
  dequeue_task(src, p, DEQUEUE_NOCLOCK);
  set_task_cpu(p, dest);
}

void Scheduler::move_attach(Task& p, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  if (!rq(p.cpu).online) set_task_cpu(p, select_fallback_rq(p));  // taken off by the platform meanwhile
  Rq& dst = rq(p.cpu);
  rq_pin_lock(dst);
  enqueue_task(dst, p, 0);
  p.on_rq = TASK_ON_RQ_QUEUED;
  check_preempt_curr(dst, p, 0);
}

void Scheduler::yield_task(CpuId cpu) {
  this_cpu_ = cpu;
  Rq& r = rq(cpu);
  rq_pin_lock(r);
  if (r.curr->sched_class == SchedClass::fair) fair_.yield_task_fair(r);
  if (r.curr->sched_class == SchedClass::rt) rt_.yield_task_rt(r);
}

void Scheduler::rq_attach_root(const CpuMask& cpus) {
  for (u32 c = cpus.first(); c < kMaxCpus; c = cpus.next(c + 1)) {
    Rq& r = rq(CpuId(c));
    rt_.rq_offline_rt(r);
    // the list of groups begins with the youngest
    for (auto tg = groups_.rbegin(); tg != groups_.rend(); ++tg) fair_.unthrottle_offline_cfs_rq(**tg, r.cpu);
    if (!r.online) continue;
    rt_.rq_online_rt(r);
    for (const auto& tg : groups_) FairClass::update_runtime_enabled(*tg, r.cpu);
  }
}

void Scheduler::set_cpu_active(CpuId cpu, bool active, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(cpu);
  if (r.online == active) return;
  const CpuMask before = active_;
  r.online = active;
  if (active) {
    active_.set(cpu);
    online_.set(cpu);
  } else {
    active_.clear(cpu);
  }
  FS_CONTRACT(!active_.empty(), "the last CPU stays online");
  // detach_destroy_domains and build_sched_domains: all CPUs, whether they come, go or stay, pass through the default root domain
  rq_attach_root(before);
  if (balancer_.under_way())
    old_domains_.push_back(std::move(domains_));
  else
    old_domains_.clear();
  domains_ = DomainTree(machine_, profile_, active_);
  rq_attach_root(active_);
  start_domains();
  balancer_.cpus_changed();
  fair_.update_sysctl(active_.count());
  emit(Tp::cpu_online, this_cpu, cpu, active ? 2 : 1);
}

void Scheduler::migrate_tasks(CpuId cpu, CpuId this_cpu) {
  online_.clear(cpu);
  sched_ttwu_pending(cpu);
  this_cpu_ = this_cpu;
  const ClockPlace place(*this, "migrate_tasks");
  lock_update_rq_clock(rq(cpu));
  while (Task* p = first_queued(rq(cpu)))
    if (detach_to(*p, select_fallback_rq(*p), this_cpu)) move_attach(*p, this_cpu);
  rq(cpu).hrtick_csd_pending = false;  // smpcfd_dying_cpu runs what was asked for, and then the timer is cleared
  hrtick_clear(rq(cpu));
}

void Scheduler::set_cpu_online(CpuId cpu, bool online, CpuId this_cpu) {
  if (rq(cpu).online == online) return;
  set_cpu_active(cpu, online, this_cpu);
  if (online) return;
  migrate_tasks(cpu, this_cpu);
  online_.set(cpu);  // its stopper still has to push the task that runs
}

}  // namespace forksim::km
