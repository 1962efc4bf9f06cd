// Fork and wake-up. See scheduler.hpp. Mirrors Linux 4.19 kernel/sched/core.c.
#include "kernel_model/base/contract.hpp"
#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

void Scheduler::emit_task(Tp id, const Task& p) { emit(id, this_cpu_, p.comm, p.pid, p.prio, p.cpu); }

void Scheduler::emit_placement(PlacementKind kind, const Task& p, CpuId prev, CpuId chosen) {
  if (!trace_.enabled(Tp::placement)) return;
  if (kind != PlacementKind::wake && trace_.enabled(Tp::placement_cpu)) emit_candidates(p);
  const CpuMask idle = idle_mask();
  emit_mask(idle);
  emit(Tp::placement, this_cpu_, static_cast<int>(kind), p.pid, this_cpu_, prev, chosen, idle.low_word(),
       placement_.weighted_cpuload(this_cpu_), placement_.weighted_cpuload(chosen));
}

/// forksim:placement_cpu of every CPU the task may run on.
void Scheduler::emit_candidates(const Task& p) {
  const CpuMask among = p.cpus_allowed & active_;
  for (u32 c = among.first(); c < cpus(); c = among.next(c + 1)) {
    const Rq& r = rq(CpuId(c));
    emit(Tp::placement_cpu, this_cpu_, r.cpu, r.cfs.avg.runnable_load_avg, r.cfs.avg.load_avg, placement_.cpu_util(r.cpu), r.cpu_capacity,
         r.nr_running, idle_cpu(r.cpu));
  }
}

void Scheduler::emit_mask(const CpuMask& m) {
  for (u32 w = 1; w * 64 < cpus(); ++w)
    if (m.word(w)) emit(Tp::placement_mask, this_cpu_, w, m.word(w));
}

void Scheduler::set_task_cpu_raw(Task& p, CpuId cpu) {
  SchedEntity& se = p.se;
  TaskGroup* tg = se.cfs_rq ? se.cfs_rq->tg : nullptr;
  CfsRq& next = tg ? *tg->cfs_rq[cpu.v] : rq(cpu).cfs;
  if (profile_.fair_group_sched) fair_.set_task_rq_fair(se, se.cfs_rq, next);
  se.cfs_rq = &next;
  se.parent = next.group_se;
  p.cpu = p.wake_cpu = cpu;
}

void Scheduler::set_task_cpu(Task& p, CpuId new_cpu) {
  emit(Tp::sched_migrate_task, this_cpu_, p.comm, p.pid, p.prio, p.cpu, new_cpu);
  if (p.cpu != new_cpu) {
    if (p.sched_class == SchedClass::fair) fair_.migrate_task_rq_fair(p);
    p.se.nr_migrations++;
    ++counters_.migrations;
  }
  set_task_cpu_raw(p, new_cpu);
}

CpuId Scheduler::select_fallback_rq(Task& p) {
  const u32 c = (p.cpus_allowed & active_).first();
  if (c < cpus()) return CpuId(c);
  // No allowed CPU is active: the mask is widened to all of them, as cpuset_cpus_allowed_fallback ends up doing.
  p.cpus_allowed = CpuMask::first_n(cpus());
  p.nr_cpus_allowed = cpus();
  const CpuId dest(active_.first());
  // Nobody is told about kernel threads and exiting tasks.
  if (!p.mm) return dest;
  ++counters_.affinity_widened;
  emit(Tp::no_longer_affine, this_cpu_, p.comm, p.pid, p.cpu, dest);
  return dest;
}

CpuId Scheduler::select_task_rq(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags) {
  CpuId cpu = p.cpu;
  const bool forks = sd_flag & SD_BALANCE_FORK;
  if (p.nr_cpus_allowed <= 1) {
    cpu = CpuId(p.cpus_allowed.first());
    if (forks) placement_.tell(PlacementStep::bound, {}, cpu);
  } else if (p.sched_class == SchedClass::fair) {
    cpu = select_task_rq_fair(p, prev_cpu, sd_flag, wake_flags);
  } else if (p.sched_class == SchedClass::rt) {
    cpu = rt_.select_task_rq_rt(p, prev_cpu, sd_flag);
    if (forks) placement_.tell(PlacementStep::rt_class, {}, cpu);
  }
  // is_cpu_allowed: a per-CPU kernel thread may run on a CPU that is going down
  const bool per_cpu_kthread = p.nr_cpus_allowed == 1 && (p.flags & PF_NO_SETAFFINITY);
  const bool allowed = cpu.v < cpus() && p.cpus_allowed.test(cpu) && (per_cpu_kthread ? online_.test(cpu) : active_.test(cpu));
  return allowed ? cpu : select_fallback_rq(p);
}

/// The task's own rule, else that of the nearest of its groups that has one, else the run's.
u8 Scheduler::rule_of(const Task& p, std::size_t kind) const {
  if (p.placement[kind]) return p.placement[kind];
  for (const TaskGroup* g = p.se.cfs_rq ? p.se.cfs_rq->tg : nullptr; g; g = g->parent)
    if (g->placement[kind]) return g->placement[kind];
  return placement_rules_.run[kind];
}

CpuId Scheduler::select_by_rule(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags) {
  const PlacementKind kind = sd_flag & SD_BALANCE_FORK   ? PlacementKind::fork
                             : sd_flag & SD_BALANCE_EXEC ? PlacementKind::exec
                                                         : PlacementKind::wake;
  const auto k = static_cast<std::size_t>(kind);
  const u8 id = rule_of(p, k);
  PlacementRule* rule = id ? placement_rules_.rules[id - 1u] : nullptr;
  const PlacementView view(*this, p, kind, prev_cpu);
  const std::optional<CpuId> answer = rule ? rule->select(view) : std::nullopt;
  CpuId cpu;
  if (!answer) {
    cpu = placement_.select_task_rq_fair(p, prev_cpu, sd_flag, wake_flags);
  } else {
    if (kind == PlacementKind::wake) placement_.record_wakee(p);  // what it counts does not depend on the choice
    cpu = *answer;
  }
  const bool told = kind != PlacementKind::wake;
  if (answer && !legal_cpu(p, cpu)) {
    // sched_exec would stay: __migrate_task refuses
    cpu = kind == PlacementKind::exec ? this_cpu_ : select_fallback_rq(p);
    ++counters_.placement_illegal;
    if (told) placement_.tell(PlacementStep::rule_illegal, placement_rules_.names[id - 1u], cpu);
    emit(Tp::placement_illegal, this_cpu_, static_cast<int>(kind), p.pid, this_cpu_, static_cast<s64>(static_cast<s32>(answer->v)), cpu);
  } else if (answer && told) {
    placement_.tell(PlacementStep::by_rule, placement_rules_.names[id - 1u], cpu);
  }
  if (kind != PlacementKind::fork || !placement_rules_.branches || !legal_cpu(p, cpu)) return cpu;
  const CpuId branch = placement_rules_.branches->decided(view, cpu);
  if (branch != cpu) placement_.tell(PlacementStep::branched, {}, branch);
  return branch;
}

// --- fork ---

void Scheduler::sched_fork(Task& p, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(this_cpu);
  SchedEntity& se = p.se;
  p.on_rq = 0;
  p.on_cpu = false;
  p.group_node = p.rt_run_list = p.pushable_tasks = {};
  p.rt = {};
  p.rt.time_slice = rt_.rr_timeslice();
  p.wake_entry = nullptr;
  p.run_delay = p.last_queued = Ns(0);
  fair_.reset_statistics(p);
  se.task = &p;
  se.my_q = nullptr;
  se.rb = {};
  se.on_rq = false;
  se.exec_start = se.sum_exec_runtime = se.prev_sum_exec_runtime = se.nr_migrations = 0;
  se.vruntime = VNs(0);
  p.state = TASK_NEW;
  p.prio = p.normal_prio;
  if (p.sched_reset_on_fork) reset_on_fork(p);
  FairClass::init_entity_runnable_average(se);
  set_task_cpu_raw(p, this_cpu);
  if (p.sched_class == SchedClass::fair) fair_.task_fork_fair(p, r);
}

/// SCHED_RESET_ON_FORK: the child is no more urgent than nice 0.
void Scheduler::reset_on_fork(Task& p) {
  const bool rt = p.policy == SchedPolicy::fifo || p.policy == SchedPolicy::rr;
  set_params(p, rt ? SchedPolicy::normal : p.policy, rt ? 0 : std::max(p.static_prio - DEFAULT_PRIO, 0));
  p.sched_reset_on_fork = false;
}

CpuId Scheduler::wake_up_new_task_select(Task& p, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  p.state = TASK_RUNNING;
  const CpuId prev = p.recent_used_cpu = p.cpu;
  const CpuId cpu = select_task_rq(p, prev, SD_BALANCE_FORK, 0);
  emit_placement(PlacementKind::fork, p, prev, cpu);
  set_task_cpu_raw(p, cpu);
  return cpu;
}

void Scheduler::wake_up_new_task_activate(Task& p, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(p.cpu);
  if (profile_.fair_group_sched) fn_call(*this, Fn::set_task_rq_fair);
  fn_call(*this, Fn::__task_rq_lock);
  fn_call(*this, Fn::update_rq_clock);
  lock_update_rq_clock(r);
  fn_call(*this, Fn::post_init_entity_util_avg);
  fair_.post_init_entity_util_avg(p.se);
  fn_call(*this, Fn::activate_task);
  activate_task(r, p, ENQUEUE_NOCLOCK);
  p.on_rq = TASK_ON_RQ_QUEUED;
  emit_task(Tp::sched_wakeup_new, p);
  check_preempt_curr(r, p, WF_FORK);
  if (p.sched_class == SchedClass::rt) rt_.task_woken_rt(r, p);
}

// --- wake-up ---

void Scheduler::ttwu_do_wakeup(Rq& r, Task& p, u32 wake_flags) {
  const FnSpan span(*this, Fn::ttwu_do_wakeup);
  check_preempt_curr(r, p, wake_flags);
  p.state = TASK_RUNNING;
  emit_task(Tp::sched_wakeup, p);
  if (p.sched_class == SchedClass::rt) rt_.task_woken_rt(r, p);
  if (!r.idle_stamp) return;
  update_avg(r.avg_idle, r.clock - r.idle_stamp);
  r.avg_idle = std::min(r.avg_idle, 2 * r.max_idle_balance_cost);
  r.idle_stamp = 0;
}

void Scheduler::ttwu_do_activate(Rq& r, Task& p, u32 wake_flags) {
  const FnSpan span(*this, Fn::ttwu_do_activate);
  fn_call(*this, Fn::activate_task);
  if (p.sched_contributes_to_load) r.nr_uninterruptible--;
  activate_task(r, p, ENQUEUE_WAKEUP | ENQUEUE_NOCLOCK | (wake_flags & WF_MIGRATED ? ENQUEUE_MIGRATED : 0));
  p.on_rq = TASK_ON_RQ_QUEUED;
  if (p.flags & PF_WQ_WORKER) fn_call(*this, Fn::wq_worker_waking_up);
  ttwu_do_wakeup(r, p, wake_flags);
}

Scheduler::Ttwu Scheduler::ttwu_begin(Task& p, u32 state_mask, u32 wake_flags, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  if (!(p.state & state_mask)) return Ttwu::not_woken;
  emit_task(Tp::sched_waking, p);
  if (p.on_rq == TASK_ON_RQ_QUEUED) {
    Rq& r = rq(p.cpu);
    u32& depth = rq(this_cpu).curr->preempt_count;
    const u32 rq_lock = profile_.config_preempt() ? PREEMPT_OFFSET : 0;
    depth += rq_lock;
    lock_update_rq_clock(r);
    ttwu_do_wakeup(r, p, wake_flags);
    depth -= rq_lock;
    return Ttwu::done;
  }
  p.sched_contributes_to_load = (p.state & TASK_UNINTERRUPTIBLE) && !(p.state & TASK_NOLOAD);
  p.state = TASK_WAKING;
  if (p.in_iowait) rq(p.cpu).nr_iowait--;
  return p.on_cpu ? Ttwu::spin : Ttwu::select;
}

CpuId Scheduler::ttwu_select(Task& p, u32& wake_flags, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  const CpuId prev = p.wake_cpu;
  const CpuId cpu = select_task_rq(p, prev, SD_BALANCE_WAKE, wake_flags);
  emit_placement(PlacementKind::wake, p, prev, cpu);
  if (p.cpu != cpu) {
    wake_flags |= WF_MIGRATED;
    set_task_cpu(p, cpu);
  }
  return cpu;
}

bool Scheduler::ttwu_is_remote(const Task& p, CpuId this_cpu) const { return ttwu_queue_ && !placement_.cpus_share_cache(this_cpu, p.cpu); }

void Scheduler::ttwu_queue(Task& p, u32 wake_flags, CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(p.cpu);
  if (!ttwu_is_remote(p, this_cpu)) {
    fn_call(*this, Fn::update_rq_clock);
    lock_update_rq_clock(r);
    ttwu_do_activate(r, p, wake_flags);
    return;
  }
  p.sched_remote_wakeup = wake_flags & WF_MIGRATED;
  const bool was_empty = !r.wake_list;
  p.wake_entry = r.wake_list;
  r.wake_list = &p;
  if (!was_empty) return;
  // A polling idle task sees its own need_resched and drains the list without an interrupt.
  if (r.curr == r.idle && hooks_.idle_polling(r.cpu)) {
    r.idle->ti_flags |= TIF_NEED_RESCHED;
    emit(Tp::sched_wake_idle_without_ipi, this_cpu, r.cpu);
  } else {
    hooks_.send_reschedule(this_cpu, r.cpu);
  }
}

u32 Scheduler::sched_ttwu_pending(CpuId this_cpu) {
  this_cpu_ = this_cpu;
  Rq& r = rq(this_cpu);
  Task* p = r.wake_list;
  if (!p) return 0;
  r.wake_list = nullptr;
  fn_call(*this, Fn::update_rq_clock);
  lock_update_rq_clock(r);
  u32 n = 0;
  for (Task* next; p; p = next, ++n) {
    next = p->wake_entry;
    p->wake_entry = nullptr;
    ttwu_do_activate(r, *p, p->sched_remote_wakeup ? WF_MIGRATED : 0);
  }
  return n;
}

u32 Scheduler::scheduler_ipi(CpuId this_cpu) {
  const u32 n = sched_ttwu_pending(this_cpu);
  this_cpu_ = this_cpu;
  Rq& r = rq(this_cpu);
  if (balancer_.got_nohz_idle_kick(r)) r.idle_balance = r.softirq_pending = true;
  return n;
}

bool Scheduler::try_to_wake_up(Task& p, u32 state_mask, u32 wake_flags, CpuId this_cpu) {
  const Ttwu t = ttwu_begin(p, state_mask, wake_flags, this_cpu);
  FS_CONTRACT(t != Ttwu::spin || p.nr_cpus_allowed == 1, "the task to wake is still on its CPU");
  if (t != Ttwu::select && t != Ttwu::spin) return t == Ttwu::done;
  ttwu_select(p, wake_flags, this_cpu);
  ttwu_queue(p, wake_flags, this_cpu);
  return true;
}

}  // namespace forksim::km
