// __schedule, context switch, finish_task_switch, try_to_wake_up as paths.
// Mirrors Linux 4.19 kernel/sched/core.c; the decisions are Scheduler's, this file puts time between them.
#include <utility>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;
enum SchedulePc : u16 { kPcSwitch = 1, kPcNewidle = 5 };

Ns schedule_cost(Ctx& x) { return x.t.state != TASK_RUNNING && !x.f.a[0] ? x.k.cost(Phase::block) : Ns(0); }

/// preempt_disable and rq->lock, both until after the switch; the idle loop runs with preemption disabled anyway.
Next schedule_deactivate(Ctx& x) {
  FS_CONTRACT(x.c.nr_held <= 1, "scheduling while atomic: a spinning lock is held");
  preempt_add(x, &x.t == x.c.idle ? 1 : 2);
  const bool slept = x.k.sched.schedule_begin(x.c.id, x.f.a[0], signal_pending_state(x.t.state, x.t));
  if (slept) ++x.k.totals.sched_events;
  const bool walk = x.k.sched.newidle_balance_wanted(x.c.id);
  x.f.a[1] = walk ? x.k.cost(Phase::newidle_balance).v : 0;
  return walk ? jump(kPcNewidle) : advance();
}

/// idle_balance looks at the domain with the run queue unlocked; what it pulls arrives with pick_next_task.
Ns newidle_cost(Ctx& x) { return Ns(x.f.a[1]); }
Next newidle_walk(Ctx&) { return jump(kPcSwitch); }

/// pick_next_task and the switch; from here on `next` executes, and this frame waits in front of step 2 until it is picked again.
Next schedule_switch(Ctx& x) {
  Task& prev = x.t;
  Task& next = x.k.sched.schedule_pick(x.c.id, x.f.a[0], Ns(x.f.a[1]));
  for (CpuId c = x.k.take_stop_request(x.c.id); c != x.c.id; c = x.k.take_stop_request(x.c.id))
    x.k.sched.try_to_wake_up(*x.k.cpu(c).migration, TASK_NORMAL, 0, x.c.id);
  if (&next == &prev) {
    preempt_sub(x, 1);
    return jump(4);
  }
  ++x.k.totals.context_switches;
  const bool involuntary = x.f.a[0] || (prev.state == TASK_RUNNING && &prev != x.c.idle);
  if (&prev != x.c.idle) ++(involuntary ? x.k.totals.involuntary_switches : x.k.totals.voluntary_switches);
  if (involuntary && &prev != x.c.idle) ++x.k.totals.sched_events;
  if (&next != x.c.idle) {
    ++x.k.totals.sched_events;
    if (next.last_ran != x.c.id && next.mm && next.mm->working_set_kib) next.refill_kib = std::min(next.mm->working_set_kib, 80u);
    next.last_ran = x.c.id;
  }
  x.f.pc = 2;
  if (prev.sleep_lock.id == LockId::pipe && prev.sleep_lock.lock->head) x.k.stop_mutex_spinners(prev);
  // the run queue's lock is taken by prev and dropped by next
  const u16 held = std::exchange(x.f.held, u16{0});
  x.k.switch_frames(x.c, next);
  next.frames.top().held = held;
  return hold();
}

Ns switch_cost(Ctx& x) {
  Ns n = x.k.cost(Phase::context_switch);
  const Phase saving = !x.t.mm ? Phase::switch_lazy_tlb_saving : Phase::switch_same_mm_saving;
  if (!x.t.mm || x.t.mm == x.c.prev->mm) n = n > x.k.cost(saving) ? n - x.k.cost(saving) : Ns(0);
  return n;
}

/// finish_task_switch: prev leaves its CPU for good; wakers that spin on it go on.
Next finish_switch(Ctx& x) {
  Task& prev = *x.c.prev;
  x.k.sched.finish_task_switch(prev, x.c.id);
  if (prev.spin_target) release_spinners(x.k, prev);
  preempt_sub(x, 1);  // rq->lock
  return advance();
}

bool stack_cache_full(Ctx& x) { return x.c.cached_stacks >= x.k.profile().tun(Tunable::nr_cached_stacks); }

Ns finish_cost(Ctx& x) {
  const Task& prev = *x.c.prev;
  if (prev.state != TASK_DEAD || !x.k.profile().vmap_stack) return Ns(0);
  return x.k.cost(stack_cache_full(x) ? Phase::schedule_work : Phase::stack_free_cached);
}

/// put_task_stack and put_task_struct of a dead prev; a full cache defers vfree to this CPU's kworker (vfree_atomic).
Next finish_dead(Ctx& x) {
  Task& prev = *x.c.prev;
  x.c.prev = nullptr;
  if (prev.state != TASK_DEAD) return advance();
  if (!x.k.profile().vmap_stack) {  // the stack goes with the task_struct
    x.k.emit_acct(x.c, prev);
    x.k.put_task_struct(prev);
    return advance();
  }
  const bool cached = x.k.free_thread_stack(x.c);
  ++(cached ? x.c.times.stack_cached : x.c.times.stack_full);
  prev.has_stack = false;
  x.k.emit_acct(x.c, prev);
  ++x.k.totals.stacks_freed;
  --x.k.live_stacks;
  x.k.emit(Tp::stack_free, x.c, prev.pid, cached);
  x.k.put_task_struct(prev);
  if (!cached) call_ttwu(x, *x.c.kworker, TASK_NORMAL);
  return advance();
}

/// preempt_enable, and once more when somebody asked meanwhile.
Next schedule_again(Ctx& x) {
  if (&x.t != x.c.idle) preempt_sub(x, 1);
  return x.t.need_resched() ? jump(0) : ret();
}

/// finish_dead, and the end of schedule() at once unless a kworker has to be woken first.
Next finish_schedule(Ctx& x) {
  finish_dead(x);
  return &x.st.top() == &x.f ? schedule_again(x) : advance();
}

/// The rest of schedule_tail: preempt_enable; the child writes its number for CLONE_CHILD_SETTID, to a page that fork left copy-on-write.
Next enable_preemption(Ctx& x) {
  preempt_sub(x, 1);
  return advance();
}
Ns child_tid_cost(Ctx& x) { return x.t.set_child_tid ? x.k.cost(Phase::put_user_tid) : Ns(0); }
Next put_child_tid(Ctx& x) {
  if (!x.t.set_child_tid) return advance();
  x.k.emit(Tp::set_tid, x.c, x.t.pid, x.t.pid, 1);
  if (shares_cow_pages(x.t)) call_cow_fault(x);
  return advance();
}
Next ret_from_fork(Ctx&) { return ret(); }

constexpr Step kScheduleSteps[] = {
    {schedule_deactivate, Phase::schedule, schedule_cost, kOff, nullptr, LockSet::rq},
    {schedule_switch, Phase::count_, nullptr, kOff, nullptr, LockSet::rq},
    {finish_switch, Phase::count_, switch_cost, kOff, nullptr, LockSet::rq},
    {finish_schedule, Phase::finish_task_switch, finish_cost, StepFlag::kNoPreempt},
    {schedule_again, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {newidle_walk, Phase::count_, newidle_cost, kOff},
};
static_assert(kScheduleSteps[kPcSwitch].effect == schedule_switch && kScheduleSteps[kPcNewidle].effect == newidle_walk);
constexpr Step kRetFromForkSteps[] = {
    {finish_switch, Phase::count_, switch_cost, kOff, nullptr, LockSet::rq},
    {finish_dead, Phase::finish_task_switch, finish_cost, StepFlag::kNoPreempt},
    {enable_preemption, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {put_child_tid, Phase::count_, child_tid_cost, 0},
    {ret_from_fork, Phase::ret_from_fork, nullptr, 0},
};

Next ttwu_begin(Ctx& x) {
  const Held pi_lock(x, 1);
  Task& p = task_arg(x);
  switch (x.k.sched.ttwu_begin(p, static_cast<u32>(x.f.a[1]), static_cast<u32>(x.f.a[2]), x.c.id)) {
    case Scheduler::Ttwu::not_woken:
      set_result(x, 0);
      return ret();
    case Scheduler::Ttwu::done:
      set_result(x, 1);
      ++x.k.totals.wakeups;
      ++x.k.totals.sched_events;
      return jump(4);
    case Scheduler::Ttwu::spin:
      return jump(1);
    case Scheduler::Ttwu::select:
      break;
  }
  return jump(2);
}

/// smp_cond_load_acquire(&p->on_cpu): open-ended until finish_switch on p's CPU ends it.
Ns spin_cost(Ctx& x) {
  Task& p = task_arg(x);
  if (!p.on_cpu) return Ns(0);
  p.spin_target = true;
  x.c.spin_on = &p;
  return kNever;
}
Next spin_done(Ctx& x) {
  x.c.spin_on = nullptr;
  return advance();
}

Next ttwu_select(Ctx& x) {
  const Held pi_lock(x, 1);
  Task& p = task_arg(x);
  u32 flags = static_cast<u32>(x.f.a[2]);
  x.k.sched.ttwu_select(p, flags, x.c.id);
  x.f.a[2] = flags;
  return x.k.sched.ttwu_is_remote(p, x.c.id) ? jump(5) : advance();
}

Ns activate_cost(Ctx& x) { return x.k.cost(Phase::enqueue_task); }

Next ttwu_queue(Ctx& x) {
  const Task& p = task_arg(x);
  const Held pi_and_perhaps_rq_lock(x, x.k.sched.ttwu_is_remote(p, x.c.id) ? 1 : 2);
  x.k.sched.ttwu_queue(task_arg(x), static_cast<u32>(x.f.a[2]), x.c.id);
  set_result(x, 1);
  ++x.k.totals.wakeups;
  ++x.k.totals.sched_events;
  return ret();
}
Next ttwu_done(Ctx&) { return ret(); }

/// pi_lock of whom it wakes from end to end; its run queue for ttwu_remote (only of a task still queued) and for the activation, not for
/// the wake list.
LockWord* ttwu_lock(Ctx& x, LockId id) {
  Task& p = task_arg(x);
  if (id == LockId::pi) return &p.pi_lock;
  if (x.f.pc == 0 && (p.on_rq != TASK_ON_RQ_QUEUED || !(p.state & static_cast<u32>(x.f.a[1])))) return nullptr;
  return &x.k.cpu(p.cpu).rq_lock;
}
constexpr u16 kPi = LockSet::pi, kPiRq = LockSet::pi | LockSet::rq;
constexpr Step kTtwuSteps[] = {
    {ttwu_begin, Phase::count_, nullptr, kOff, nullptr, kPiRq},
    {spin_done, Phase::count_, spin_cost, kOff, nullptr, kPi},
    {ttwu_select, Phase::try_to_wake_up, nullptr, kOff, nullptr, kPi},
    {ttwu_queue, Phase::check_preempt, activate_cost, kOff, nullptr, kPiRq},
    {ttwu_done, Phase::check_preempt, nullptr, kOff, nullptr, kPiRq},
    {ttwu_queue, Phase::count_, nullptr, kOff, nullptr, kPi},
};

Next complete_wake(Ctx& x) {
  preempt_add(x, 1);
  call_ttwu(x, task_arg(x), TASK_NORMAL);
  return advance();
}
Next complete_end(Ctx& x) {
  preempt_sub(x, 1);
  return ret();
}
constexpr Step kCompleteSteps[] = {
    {complete_wake, Phase::count_, nullptr, kOff},
    {complete_end, Phase::count_, nullptr, kOff},
};

}  // namespace

void release_spinners(Core& k, Task& t) {
  t.spin_target = false;
  for (u32 i = 0; i < k.nr_cpus(); ++i) {
    Cpu& o = k.cpu(CpuId(i));
    if (o.spin_on == &t) k.end_segment_now(o);
  }
}

const Path kSchedule{"schedule", kScheduleSteps};
const Path kRetFromFork{"ret_from_fork", kRetFromForkSteps};
const Path kTtwu{"try_to_wake_up", kTtwuSteps, ttwu_lock};
const Path kComplete{"complete", kCompleteSteps};

}  // namespace forksim::km
