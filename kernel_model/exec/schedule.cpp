// __schedule, context switch, finish_task_switch, try_to_wake_up as paths.
// Mirrors Linux 4.19 kernel/sched/core.c; the decisions are Scheduler's, this file puts time between them.
#include <algorithm>
#include <utility>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;
enum SchedulePc : u16 { kPcSwitch = 1, kPcNewidle = 5, kPcPulled = 6 };
enum TtwuPc : u16 { kPcRemote = 5 };

/// hrtick_clear, and the start of the timer for who comes next when another fair task waits: one that goes to sleep does not count.
[[gnu::noinline]] Ns hrtick_cost(Ctx& x) {
  const Rq& rq = x.k.sched.rq(x.c.id);
  const bool sleeps = x.t.state != TASK_RUNNING && !x.f.a[0];
  const bool starts = x.k.sched.hrtick_enabled(rq) && rq.cfs.h_nr_running > 1u + (sleeps && x.t.sched_class == SchedClass::fair);
  return (sleeps ? x.k.cost(Phase::block) : Ns(0)) + x.k.cost(Phase::hrtick_program) * (u64{rq.hrtick_active} + starts);
}
Ns schedule_cost(Ctx& x) {
  if (x.k.hrtick_on()) [[unlikely]]
    return hrtick_cost(x);
  return x.t.state != TASK_RUNNING && !x.f.a[0] ? x.k.cost(Phase::block) : Ns(0);
}

Next schedule_switch(Ctx& x);

/// pick_next_task begins, unless idle_balance has to unlock first.
Next newidle_or_switch(Ctx& x) {
  x.f.a[1] = 0;
  if (!x.k.sched.newidle_unlocks(x.c.id)) return schedule_switch(x);
  if (x.k.sched.newidle_balance_wanted(x.c.id)) x.f.a[1] = x.k.cost(Phase::newidle_balance).v;
  x.k.sched.begin_newidle(x.c.id, Ns(x.f.a[1]));
  return jump(kPcNewidle);
}

/// pull_rt_task of pick_next_task_rt, which begins with the run queue's lock and comes back with it.
[[gnu::noinline]] Next pull_first(Ctx& x) {
  Frame& f = call(x, kRtPull);
  hand_locks(x.f, f);
  f.a[0] = x.c.id.v;
  f.a[3] = 1;
  return jump(kPcPulled);
}

/// preempt_disable and rq->lock, both until after the switch; the idle loop runs with preemption disabled anyway.
Next schedule_deactivate(Ctx& x) {
  FS_CONTRACT(x.c.nr_held <= 1, "scheduling while atomic: a spinning lock is held");
  preempt_add(x, &x.t == x.c.idle ? 1 : 2);
  const bool slept = x.k.sched.schedule_begin(x.c.id, x.f.a[0], signal_pending_state(x.t.state, x.t));
  if (slept) ++x.k.totals.sched_events;
  if (x.k.sched.rt().pick_pulls(x.k.sched.rq(x.c.id))) [[unlikely]]
    return pull_first(x);
  return newidle_or_switch(x);
}

/// idle_balance looks at the domain with the run queue unlocked; pick_next_task finds what it pulled.
Ns newidle_cost(Ctx& x) { return Ns(x.f.a[1]); }
Next newidle_walk(Ctx& x) {
  call_balance(x, 0);
  return jump(kPcSwitch);
}

/// context_switch up to the change of stacks; what comes back to this stack later is finish_task_switch.
void fn_context_switch(Ctx& x, const Task& next) {
  FuncGraph& g = x.k.graph();
  const bool arm64 = x.k.profile().arm64();
  g.enter(x, Fn::context_switch);
  if (g.switch_mm(x.c, next.mm)) {
    g.enter(x, Fn::check_and_switch_context);
    if (arm64) g.call(x, Fn::post_ttbr_update_workaround);
    g.leave(x, Fn::check_and_switch_context);
  }
  if (!arm64) return;  // arm's __switch_to calls vfp_notifier, which has no mark
  g.enter(x, Fn::fpsimd_thread_switch);
  g.call(x, Fn::fpsimd_save);
  g.leave(x, Fn::fpsimd_thread_switch);
}

/// pick_next_task and the switch; from here on `next` executes, and this frame waits in front of step 2 until it is picked again.
Next schedule_switch(Ctx& x) {
  Task& prev = x.t;
  Task& next = x.k.sched.schedule_pick(x.c.id, x.f.a[0], Ns(x.f.a[1]));
  for (CpuId c = x.k.take_stop_request(x.c.id); c != x.c.id; c = x.k.take_stop_request(x.c.id))
    wake_stopper(x.k, x.k.cpu(c), x.c.id);
  if (&next == &prev) {
    preempt_sub(x, 1);
    push_rt_tasks(x, x.c.id);
    return jump(4);
  }
  if (x.k.graph_on()) [[unlikely]]
    fn_context_switch(x, next);
  ++x.k.totals.context_switches;
  const bool involuntary = x.f.a[0] || (prev.state == TASK_RUNNING && &prev != x.c.idle);
  if (&prev != x.c.idle) ++(involuntary ? x.k.totals.involuntary_switches : x.k.totals.voluntary_switches);
  if (involuntary && &prev != x.c.idle) ++x.k.totals.sched_events;
  if (&next != x.c.idle) {
    ++x.k.totals.sched_events;
    if (next.last_ran != x.c.id && next.mm && next.mm->working_set_kib) next.refill_kib = std::min(next.mm->working_set_kib, 80u);
    next.last_ran = x.c.id;
  }
  x.f.go(2);
  if (prev.sleep_lock.id == LockId::pipe && prev.sleep_lock.lock->head) x.k.stop_mutex_spinners(prev);
  // the run queue's lock is taken by prev and dropped by next
  hand_locks(x.f, next.frames.top());
  x.k.switch_frames(x.c, next);
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
  push_rt_tasks(x, x.c.id);
  return advance();
}

bool stack_cache_full(Ctx& x) { return x.c.cached_stacks >= x.k.profile().tun(Tunable::nr_cached_stacks); }

/// The dead prev's stack.
Ns finish_cost(Ctx& x) {
  if (x.c.prev->state != TASK_DEAD || !x.k.profile().vmap_stack) return Ns(0);
  return x.k.cost(stack_cache_full(x) ? Phase::schedule_work : Phase::stack_free_cached);
}

/// A worker that has to free the stack is woken inside put_task_stack.
void fn_dead(Ctx& x, const Task& prev) {
  FuncGraph& g = x.k.graph();
  if (g.drop_mm(x.c)) g.call(x, Fn::__mmdrop);
  if (prev.state != TASK_DEAD) return;
  if (prev.sched_class == SchedClass::fair) g.call(x, Fn::task_dead_fair);
  g.call(x, Fn::kprobe_flush_task);
  g.enter(x, Fn::put_task_stack);
}

/// put_task_stack and put_task_struct of a dead prev; a full cache defers vfree to this CPU's kworker (vfree_atomic).
Next finish_dead(Ctx& x) {
  Task& prev = *x.c.prev;
  x.c.prev = nullptr;
  if (x.k.graph_on()) [[unlikely]]
    fn_dead(x, prev);
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

/// Which door led to __schedule; the loop around it comes back to an open one. do_task_dead calls it directly.
bool by_schedule(Ctx& x) { return x.f.fn_depth == x.f.fn_base && !x.f.a[0] && &x.t != x.c.idle && x.t.state != TASK_DEAD; }
bool by_idle(Ctx& x) { return x.f.fn_depth == x.f.fn_base && &x.t == x.c.idle; }
bool preempts(Ctx& x) { return x.f.fn_depth == x.f.fn_base && x.f.a[0]; }
bool by_preemption(Ctx& x) { return preempts(x) && x.k.profile().config_preempt(); }
/// Without CONFIG_PREEMPT a task in the kernel gives its CPU away only where it asks.
bool by_cond_resched(Ctx& x) { return preempts(x) && !x.k.profile().config_preempt(); }
bool goes_to_sleep(Ctx& x) { return x.t.state != TASK_RUNNING && !x.f.a[0] && &x.t != x.c.idle && !signal_pending_state(x.t.state, x.t); }
bool fair_sleeps(Ctx& x) { return goes_to_sleep(x) && x.t.sched_class == SchedClass::fair; }
bool worker_sleeps(Ctx& x) { return goes_to_sleep(x) && (x.t.flags & PF_WQ_WORKER); }
bool preempt_rcu(Ctx& x) { return x.k.profile().config_preempt(); }
bool sets_tid(Ctx& x) { return x.t.set_child_tid; }

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
  x.k.emit(Tp::set_tid, x.c, x.t.pid, x.k.pid_nr_ns(x.t.pid, *x.t.pid_ns), 1);
  if (shares_cow_pages(x.t)) call_cow_fault(x);
  return advance();
}
/// calculate_sigpending: signals that were delayed until after the fork.
Next ret_from_fork(Ctx& x) {
  recalc_sigpending(x.t);
  return ret();
}

constexpr Step kScheduleSteps[] = {
    {schedule_deactivate, Phase::schedule, schedule_cost, kOff,
     marks<leaves<Fn::__schedule>, enters<Fn::schedule, by_schedule>, enters<Fn::schedule_idle, by_idle>,
           enters<Fn::preempt_schedule_irq, by_preemption>, enters<Fn::_cond_resched, by_cond_resched>, enters<Fn::__schedule>,
           enters<Fn::rcu_note_context_switch>, calls<Fn::rcu_sched_qs>, calls<Fn::rcu_preempt_qs, preempt_rcu>,
           leaves<Fn::rcu_note_context_switch>, calls<Fn::update_rq_clock>, enters<Fn::deactivate_task, goes_to_sleep>,
           calls<Fn::dequeue_task_fair, fair_sleeps>, leaves<Fn::deactivate_task>, enters<Fn::wq_worker_sleeping, worker_sleeps>,
           calls<Fn::kthread_data, worker_sleeps>, leaves<Fn::wq_worker_sleeping>>,
     LockSet::rq},
    {schedule_switch, Phase::count_, nullptr, kOff, nullptr, LockSet::rq},
    {finish_switch, Phase::count_, switch_cost, kOff, nullptr, LockSet::rq},
    {finish_schedule, Phase::finish_task_switch, finish_cost, StepFlag::kNoPreempt, marks<enters<Fn::finish_task_switch>>},
    {schedule_again, Phase::count_, nullptr, StepFlag::kNoPreempt, marks<leaves<Fn::finish_task_switch>>},
    {newidle_walk, Phase::count_, newidle_cost, kOff},
    {newidle_or_switch, Phase::count_, nullptr, kOff, nullptr, LockSet::rq},
};
static_assert(kScheduleSteps[kPcSwitch].effect == schedule_switch && kScheduleSteps[kPcNewidle].effect == newidle_walk &&
              kScheduleSteps[kPcPulled].effect == newidle_or_switch);
constexpr Step kRetFromForkSteps[] = {
    {finish_switch, Phase::count_, switch_cost, kOff, nullptr, LockSet::rq},
    {finish_dead, Phase::finish_task_switch, finish_cost, StepFlag::kNoPreempt,
     marks<enters<Fn::schedule_tail>, enters<Fn::finish_task_switch>>},
    {enable_preemption, Phase::count_, nullptr, StepFlag::kNoPreempt, marks<leaves<Fn::finish_task_switch>>},
    {put_child_tid, Phase::count_, child_tid_cost, 0, marks<calls<Fn::__task_pid_nr_ns, sets_tid>>},
    {ret_from_fork, Phase::ret_from_fork, nullptr, 0,
     marks<enters<Fn::calculate_sigpending>, calls<Fn::recalc_sigpending>, leaves<Fn::calculate_sigpending>>},
};

Next ttwu_begin(Ctx& x) {
  const Held pi_lock(x, 1);
  Task& p = task_arg(x);
  if ((p.state & static_cast<u32>(x.f.a[1])) && waits_for_attach(x, p)) return jump(0);
  switch (x.k.sched.ttwu_begin(p, static_cast<u32>(x.f.a[1]), static_cast<u32>(x.f.a[2]), x.c.id)) {
    case Scheduler::Ttwu::not_woken:
      set_result(x, 0);
      return ret();
    case Scheduler::Ttwu::done:
      set_result(x, 1);
      ++x.k.totals.wakeups;
      ++x.k.totals.sched_events;
      push_rt_tasks(x, p.cpu);
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
  return p.on_cpu ? spin_for(x, p) : Ns(0);
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
  return x.k.sched.ttwu_is_remote(p, x.c.id) ? jump(kPcRemote) : advance();
}

/// The waker arms the timer of its own CPU, or asks another to (an interrupt there).
[[gnu::noinline]] Ns activate_with_hrtick_cost(Ctx& x) {
  const bool arms = task_arg(x).cpu == x.c.id && x.k.sched.fair().hrtick_update_wanted(x.k.sched.rq(x.c.id), 1);
  return x.k.cost(Phase::enqueue_task) + (arms ? x.k.cost(Phase::hrtick_program) : Ns(0));
}
Ns activate_cost(Ctx& x) {
  if (x.k.hrtick_on()) [[unlikely]]
    return activate_with_hrtick_cost(x);
  return x.k.cost(Phase::enqueue_task);
}

Next ttwu_queue(Ctx& x) {
  const Held pi_and_perhaps_rq_lock(x, x.f.pc() == kPcRemote ? 1 : 2);
  Task& p = task_arg(x);
  const CpuId cpu = p.cpu;
  x.k.sched.ttwu_queue(p, static_cast<u32>(x.f.a[2]), x.c.id);
  set_result(x, 1);
  ++x.k.totals.wakeups;
  ++x.k.totals.sched_events;
  if (!x.k.sched.rq(cpu).rt_push_wanted) [[likely]]
    return ret();
  push_rt_tasks(x, cpu);
  return jump(6);
}
Next ttwu_done(Ctx&) { return ret(); }

bool is_fair(Ctx& x) { return task_arg(x).sched_class == SchedClass::fair && task_arg(x).nr_cpus_allowed > 1; }

/// pi_lock of whom it wakes from end to end; its run queue for ttwu_remote (only of a task still queued) and for the activation, not for
/// the wake list.
LockWord* ttwu_lock(Ctx& x, LockId id) {
  Task& p = task_arg(x);
  if (id == LockId::pi) return &p.pi_lock;
  if (x.f.pc() == 0 && (p.on_rq != TASK_ON_RQ_QUEUED || !(p.state & static_cast<u32>(x.f.a[1])))) return nullptr;
  return &x.k.cpu(p.cpu).rq_lock;
}
constexpr u16 kPi = LockSet::pi, kPiRq = LockSet::pi | LockSet::rq;
constexpr Step kTtwuSteps[] = {
    {ttwu_begin, Phase::count_, nullptr, kOff, marks<enters<Fn::try_to_wake_up>>, kPiRq},
    {spin_done, Phase::count_, spin_cost, kOff, nullptr, kPi},
    {ttwu_select, Phase::try_to_wake_up, nullptr, kOff, marks<pays<Fn::select_task_rq_fair, is_fair>>, kPi},
    {ttwu_queue, Phase::check_preempt, activate_cost, kOff, nullptr, kPiRq},
    {ttwu_done, Phase::check_preempt, nullptr, kOff, nullptr, kPiRq},
    {ttwu_queue, Phase::count_, nullptr, kOff, nullptr, kPi},
    {ttwu_done, Phase::count_, nullptr, kOff, nullptr, kPi},
};

// kRtPush: a[0] the overloaded CPU, a[1] the one to push to, a[2] the task, a[3] how often that came too late.
CpuId cpu_arg(Ctx& x, u32 i) { return CpuId(static_cast<u32>(x.f.a[i])); }
constexpr u64 kRtMaxTries = 3;

Next push_choose(Ctx& x) {
  x.k.sched.set_this_cpu(x.c.id);
  const auto push = x.k.sched.rt().push_target(x.k.sched.rq(cpu_arg(x, 0)));
  if (!push) return ret();
  x.f.a[1] = push->cpu.v;
  x.f.a[2] = as_arg(*push->task);
  // double_lock_balance: in the order of the CPUs, so perhaps without ours in between
  if (push->cpu < cpu_arg(x, 0)) x.k.unlock(x);
  return advance();
}
Next push_task(Ctx& x) {
  const Held two_rq_locks(x, 2);
  x.k.sched.set_this_cpu(x.c.id);
  const bool done = x.k.sched.rt().push_to(x.k.sched.rq(cpu_arg(x, 0)), task_arg(x, 2), x.k.sched.rq(cpu_arg(x, 1)));
  x.f.a[3] = done ? 0 : x.f.a[3] + 1;
  if (x.f.a[3] == kRtMaxTries) return ret();
  x.k.unlock(x);
  return jump(0);
}
LockWord* push_lock(Ctx& x, LockId id) {
  const CpuId from = cpu_arg(x, 0), to = cpu_arg(x, 1);
  if (x.f.pc() == 0) return &x.k.cpu(from).rq_lock;
  return &x.k.cpu(id == LockId::rq ? std::min(from, to) : std::max(from, to)).rq_lock;
}
constexpr Step kRtPushSteps[] = {
    {push_choose, Phase::count_, nullptr, kOff, nullptr, LockSet::rq},
    {push_task, Phase::rt_push, nullptr, kOff, nullptr, LockSet::rq | LockSet::rq_nested},
};

// kRtPull: a[0] the CPU that pulls, a[1] the next one to pull from, a[2] something was pulled, a[3] the caller's lock goes back to it.
Next pull_choose(Ctx& x) {
  x.k.sched.set_this_cpu(x.c.id);
  Rq& rq = x.k.sched.rq(cpu_arg(x, 0));
  const std::optional<CpuId> src = x.k.sched.rt().pull_source(rq, cpu_arg(x, 1).v);
  if (src) {
    x.f.a[1] = src->v;
    // double_lock_balance, as in push_choose
    if (*src < rq.cpu) x.k.unlock(x);
    return advance();
  }
  if (x.f.a[2]) x.k.sched.resched_curr(rq);
  if (x.f.a[3]) hand_locks(x.f, x.st.below_top());
  return ret();
}
Next pull_task(Ctx& x) {
  const Held rq_locks_besides_those_of_schedule(x, x.f.a[3] ? 1 : 2);
  x.k.sched.set_this_cpu(x.c.id);
  const CpuId src = cpu_arg(x, 1);
  x.f.a[2] |= x.k.sched.rt().pull_from(x.k.sched.rq(cpu_arg(x, 0)), x.k.sched.rq(src));
  if (src < cpu_arg(x, 0)) x.k.unlock(x);
  ++x.f.a[1];
  return jump(0);
}
constexpr Step kRtPullSteps[] = {
    {pull_choose, Phase::count_, nullptr, kOff, nullptr, LockSet::rq},
    {pull_task, Phase::rt_push, nullptr, kOff, nullptr, LockSet::rq | LockSet::rq_nested},
};

Next move_attach(Ctx& x) {
  const Held rq_lock(x, 1);
  x.k.sched.move_attach(task_arg(x), x.c.id);
  release_attach_spinners(x.k);
  return ret();
}
LockWord* move_lock(Ctx& x, LockId) { return &x.k.cpu(task_arg(x).cpu).rq_lock; }
constexpr Step kMoveAttachSteps[] = {{move_attach, Phase::count_, nullptr, kOff, nullptr, LockSet::rq}};

Ns attach_spin_cost(Ctx& x) {
  if (task_arg(x).on_rq != TASK_ON_RQ_MIGRATING) return Ns(0);
  x.c.spin_on = &task_arg(x);
  return kNever;
}
Next attach_spin_done(Ctx& x) {
  x.c.spin_on = nullptr;
  return ret();
}
constexpr Step kTaskRqSpinSteps[] = {{attach_spin_done, Phase::count_, attach_spin_cost, kOff}};

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
    {complete_wake, Phase::count_, nullptr, kOff, marks<enters<Fn::complete>, enters<Fn::__wake_up_locked>>},
    {complete_end, Phase::count_, nullptr, kOff},
};

}  // namespace

/// The calls of pick_next_task that led to `next`, by class as the kernel asks them.
void Core::fn_picked(CpuId cpu, const Task& prev, const Task& next) {
  const Cpu& c = *cpus_[cpu.v];
  const auto call = [&](Fn f) {
    graph_.span_enter(*this, c, f);
    graph_.span_leave(*this, c);
  };
  const bool from_fair = prev.sched_class == SchedClass::fair, from_idle = &prev == c.idle;
  if (!from_fair && !from_idle) call(Fn::pick_next_task_stop);
  if (next.sched_class == SchedClass::stop) return;
  if (next.sched_class == SchedClass::rt || (!from_fair && !from_idle)) call(Fn::pick_next_task_rt);
  if (next.sched_class == SchedClass::rt) return;
  graph_.span_enter(*this, c, Fn::pick_next_task_fair);
  if (&next == c.idle) {
    call(Fn::__msecs_to_jiffies);  // idle_balance looks when the next one is due
  } else {
    if (from_idle) call(Fn::put_prev_task_idle);
    call(Fn::pick_next_entity);
    if (from_fair && &prev != &next) call(Fn::put_prev_entity);
    if (&prev != &next) call(Fn::set_next_entity);
  }
  graph_.span_leave(*this, c);
  if (&next != c.idle) return;
  graph_.span_enter(*this, c, Fn::pick_next_task_idle);
  if (from_fair || from_idle) call(from_idle ? Fn::put_prev_task_idle : Fn::put_prev_task_fair);
  graph_.span_leave(*this, c);
}

Ns spin_for(Ctx& x, Task& t) {
  t.spin_target = true;
  x.c.spin_on = &t;
  return kNever;
}

void release_spinners(Core& k, Task& t) {
  t.spin_target = false;
  for (u32 i = 0; i < k.nr_cpus(); ++i) {
    Cpu& o = k.cpu(CpuId(i));
    if (o.spin_on == &t) k.end_segment_now(o);
  }
}

void release_attach_spinners(Core& k) {
  for (u32 i = 0; i < k.nr_cpus(); ++i) {
    Cpu& o = k.cpu(CpuId(i));
    if (!o.spin_on || o.spin_on->on_rq == TASK_ON_RQ_MIGRATING) continue;
    if (o.stack->top().path == &kTaskRqSpin) k.end_segment_now(o);
  }
}

const Path kSchedule{"schedule", kScheduleSteps};
const Path kRetFromFork{"ret_from_fork", kRetFromForkSteps};
const Path kTtwu{"try_to_wake_up", kTtwuSteps, ttwu_lock};
const Path kComplete{"complete", kCompleteSteps};
const Path kRtPush{"push_rt_task", kRtPushSteps, push_lock};
const Path kRtPull{"pull_rt_task", kRtPullSteps, push_lock};
const Path kMoveAttach{"move_queued_task", kMoveAttachSteps, move_lock};
const Path kTaskRqSpin{"task_rq_lock", kTaskRqSpinSteps};

}  // namespace forksim::km
