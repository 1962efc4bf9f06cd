// Interrupts, softirqs and the idle loop as paths.
// Mirrors Linux 4.19 kernel/softirq.c, kernel/sched/idle.c, kernel/time/{hrtimer,tick-sched}.c, scheduler_ipi; GIC cost is half on entry,
// half on exit.
#include <bit>
#include <utility>

#include "kernel_model/exec/cpufreq.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {
/// The end of irq_exit, after softirqs.
void fn_irq_exit(Ctx& x) {
  if (!x.k.graph_on() || !x.k.graph().is_open(x, Fn::irq_exit)) return;
  fn(x, Fn::idle_cpu);
  fn(x, Fn::rcu_irq_exit);
  fn_leave(x, Fn::irq_exit);
}

/// Runs pending softirqs unless this interrupt came on top of one.
Next invoke_softirq(Ctx& x) {
  if (!x.c.softirq_pending || x.c.cur->in_interrupt()) {
    fn_irq_exit(x);
    return ret();
  }
  const Frame before = x.f;
  x.f.call(kSoftirq);
  x.f.fn_base = before.fn_base;
  x.f.fn_depth = before.fn_depth;
  return hold();
}
}  // namespace

Next irq_exit(Ctx& x) {
  account_irq_exit(x, IrqContext::hardirq);
  x.c.cur->preempt_count -= HARDIRQ_OFFSET;
  return invoke_softirq(x);
}

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;
constexpr s64 kArchTimerIrq = 3;

Ns half_irq(Ctx& x) { return x.k.cost(Phase::irq_entry_exit) / 2; }
Ns irq_entry(Ctx& x) { return half_irq(x) + (x.f.a[0] ? x.k.cost(Phase::idle_exit_wfi) : Ns(0)); }
Ns irq_exit_cost(Ctx& x) { return x.k.cost(Phase::irq_entry_exit) - half_irq(x); }

bool on_idle(Ctx& x) { return x.c.cur == x.c.idle; }
/// scheduler_ipi has work: only then does it enter and leave the interrupt for RCU and the tick.
bool ipi_works(Ctx& x) {
  const Rq& rq = x.k.sched.rq(x.c.id);
  return rq.wake_list || rq.nohz_balance_kick || rq.nohz_stats_kick;
}
bool ipi_idles(Ctx& x) { return !ipi_works(x); }
bool ipi_works_on_idle(Ctx& x) { return ipi_works(x) && on_idle(x); }
bool in_irq_exit(Ctx& x) { return x.k.graph().is_open(x, Fn::scheduler_ipi); }

/// An event whose last field is a name; interned only when somebody listens, because interrupts are hot.
template <class... A>
void emit_named(Ctx& x, Tp id, std::string_view name, A... before) {
  if (x.k.trace().enabled(id)) x.k.emit(id, x.c, before..., x.k.name(name));
}

std::string_view softirq_name(u32 vec) { return vec == kSCHED_SOFTIRQ ? "SCHED" : "RCU"; }

void raise_softirq(Ctx& x, u32 vec) {
  if (x.c.softirq_pending & (1u << vec)) return;
  x.c.softirq_pending |= 1u << vec;
  emit_named(x, Tp::softirq_raise, softirq_name(vec), vec);
}

/// scheduler_ipi enters interrupt context only when there is something besides need_resched to see to.
Next ipi_entry(Ctx& x) {
  emit_named(x, Tp::ipi_entry, "Rescheduling interrupts");
  x.f.a[1] = x.k.sched.scheduler_ipi_wanted(x.c.id);
  if (x.f.a[1]) {
    account_irq_enter(x);
    x.t.preempt_count += HARDIRQ_OFFSET;
  }
  return advance();
}
Ns pending_cost(Ctx& x) {
  u64 n = 0;
  for (const Task* t = x.k.sched.rq(x.c.id).wake_list; t; t = t->wake_entry) ++n;
  return (x.k.cost(Phase::enqueue_task) + x.k.cost(Phase::check_preempt)) * n;
}
Next ipi_pending(Ctx& x) {
  {
    const Held rq_lock(x, 1);
    x.k.sched.scheduler_ipi(x.c.id);
  }
  push_rt_tasks(x, x.c.id);
  if (x.k.sched.softirq_wanted(x.c.id)) raise_softirq(x, kSCHED_SOFTIRQ);
  return advance();
}
Next ipi_exit(Ctx& x) {
  if (!x.c.softirq_pending) {
    fn_irq_exit(x);
    fn_leave(x, Fn::scheduler_ipi);
  }
  if (x.f.a[1]) {
    account_irq_exit(x, IrqContext::hardirq);
    x.t.preempt_count -= HARDIRQ_OFFSET;
  }
  emit_named(x, Tp::ipi_exit, "Rescheduling interrupts");
  return invoke_softirq(x);
}

/// generic_smp_call_function_single_interrupt, for the two works that are queued on other CPUs.
Next call_entry(Ctx& x) {
  account_irq_enter(x);
  emit_named(x, Tp::ipi_entry, "Function call interrupts");
  return advance();
}
constexpr u16 kPcCallFlush = 1, kPcCallExit = 4;  // of kCallSteps

/// flush_smp_call_function_queue: __hrtick_start, which locks the queue.
Next call_flush(Ctx& x) {
  if (std::exchange(x.c.call_hrtick, false)) x.k.sched.hrtick_start_here(x.c.id);
  return advance();
}
Ns call_flush_cost(Ctx& x) { return x.c.call_hrtick ? x.k.cost(Phase::hrtick_program) : Ns(0); }
LockWord* call_lock(Ctx& x, LockId) { return x.c.call_hrtick ? &x.c.rq_lock : nullptr; }
/// irq_work_run: rto_push_irq_work_func, first what is pushed from here, then the next overloaded CPU.
Next call_work(Ctx& x) {
  if (!std::exchange(x.c.call_rto, false)) return jump(kPcCallExit);
  x.k.sched.set_this_cpu(x.c.id);
  x.k.sched.rt().rto_push_from(x.c.id);
  push_rt_tasks(x, x.c.id);
  return advance();
}
Next call_next(Ctx& x) {
  x.k.sched.set_this_cpu(x.c.id);
  x.k.sched.rt().rto_push_next(x.c.id);
  return advance();
}
Next call_exit(Ctx& x) {
  emit_named(x, Tp::ipi_exit, "Function call interrupts");
  return irq_exit(x);
}

constexpr u16 kPcTimerExpire = 3;

Next timer_entry(Ctx& x) {
  account_irq_enter(x);
  emit_named(x, Tp::irq_handler_entry, "arch_timer", kArchTimerIrq);
  x.f.a[1] = x.c.tick_at <= x.k.now();
  return advance();
}
/// About half of a tick is scheduler_tick, under rq.lock; what update_process_times does comes before.
Ns scheduler_tick_cost(Ctx& x) { return x.f.a[1] ? x.k.cost(Phase::tick) / 2 : Ns(0); }
Ns update_times_cost(Ctx& x) { return x.f.a[1] ? x.k.cost(Phase::tick) - scheduler_tick_cost(x) : Ns(0); }
Next update_times(Ctx& x) { return x.f.a[1] ? advance() : jump(kPcTimerExpire); }

/// account_user_time: a tick that met a task with nice above 0 in user mode.
void account_nice(Cpu& c, u64 tick) {
  if (c.irq.depth() > 1 || c.cur == c.idle || c.cur->static_prio <= DEFAULT_PRIO) return;
  const Frame& f = c.cur->frames.top();
  if (f.step->flags & StepFlag::kUser) c.nice_ns += tick;
}

/// tick_sched_handle: the scheduler's tick, then what it raises.
Next timer_tick(Ctx& x) {
  Core& k = x.k;
  x.c.tick_at = k.next_jiffy();
  x.c.update_irq();
  ++k.totals.ticks;
  ++k.totals.sched_events;
  ++x.c.times.ticks;
  if (k.cpufreq) account_nice(x.c, k.profile().tick_ns());
  {
    const Held rq_lock(x, 1);
    k.sched.scheduler_tick(x.c.id);
  }
  if (x.c.rcu.due() <= k.now()) raise_softirq(x, kRCU_SOFTIRQ);
  if (k.sched.softirq_wanted(x.c.id)) raise_softirq(x, kSCHED_SOFTIRQ);
  return advance();
}

bool sleeper_due(Ctx& x) { return x.c.timers.next_soft() <= x.k.now(); }
/// A timer of the scheduler is due and comes before the next sleeper's.
bool sched_timer_due(Ctx& x) { return x.c.sched_timer_at <= x.k.now() && (!sleeper_due(x) || x.c.sched_timer_at <= x.c.timers.next()); }
/// The next to expire is a sleeper.
bool timer_due(Ctx& x) { return !sched_timer_due(x) && sleeper_due(x); }
Ns hrtimer_cost(Ctx& x) {
  const bool here = sched_timer_due(x) ? !x.k.sched_timers.hrtick_first(x.c) : sleeper_due(x);
  return here ? x.k.cost(Phase::hrtimer_interrupt) : Ns(0);  // hrtick has a step of its own
}

constexpr u16 kPcHrtick = 5;  // of kTimerSteps

/// One expired timer per round: the scheduler's callback, or hrtimer_wakeup of a sleeper.
Next timer_expire(Ctx& x) {
  if (sched_timer_due(x)) {
    if (x.k.sched_timers.hrtick_first(x.c)) return jump(kPcHrtick);
    x.k.sched_timers.begin(x.k, x.c);
    if (x.k.sched_timers.wanted(x.c.id)) call(x, kSchedTimer);
    return jump(kPcTimerExpire);
  }
  if (!sleeper_due(x)) return advance();
  Task* t = x.c.timers.pop();
  t->timer_seq = 0;
  x.c.update_timer();
  call_ttwu(x, *t, TASK_NORMAL);
  return jump(kPcTimerExpire);
}

/// unthrottle_cfs_rq, when the queue is still throttled once its lock is there.
Ns sched_timer_cost(Ctx& x) { return x.k.sched_timers.unthrottles(x.c.id) ? x.k.cost(Phase::enqueue_task) : Ns(0); }
/// One queue of a period or slack timer's callback, under its lock.
Next sched_timer_stage(Ctx& x) {
  const Held rq_lock(x, 1);
  x.k.sched_timers.advance(x.k, x.c);
  x.k.unlock(x);
  return x.k.sched_timers.wanted(x.c.id) ? jump(0) : ret();
}
LockWord* sched_timer_lock(Ctx& x, LockId) { return &x.k.cpu(x.k.sched_timers.wanted(x.c.id)->cpu).rq_lock; }
constexpr Step kSchedTimerSteps[] = {{sched_timer_stage, Phase::count_, sched_timer_cost, kOff, nullptr, LockSet::rq}};

Ns hrtick_cost(Ctx& x) { return x.k.cost(Phase::hrtimer_interrupt); }
/// __run_hrtimer of hrtick, which holds the queue's lock.
Next hrtick_expire(Ctx& x) {
  const Held rq_lock(x, 1);
  x.k.sched_timers.run_hrtick(x.k, x.c);
  return jump(kPcTimerExpire);
}
Next timer_exit(Ctx& x) {
  x.k.emit(Tp::irq_handler_exit, x.c, kArchTimerIrq, 1);
  return irq_exit(x);
}

// kIrqDevice: a[1] index into Core::irqs.
Next device_entry(Ctx& x) {
  account_irq_enter(x);
  Cpu& c = x.c;
  x.f.a[1] = c.dev_irqs.front().irq;
  c.dev_irqs.pop_front();
  c.dev_at = c.dev_irqs.empty() ? kNever : c.dev_irqs.front().date;
  c.update_irq();
  const Irq& irq = x.k.irqs[x.f.a[1]];
  x.k.emit(Tp::irq_handler_entry, c, static_cast<s64>(irq.spec.irq), irq.name);
  return advance();
}
Ns device_cost(Ctx& x) { return x.k.irqs[x.f.a[1]].spec.handler; }
/// The primary handler returns IRQ_WAKE_THREAD when there is one.
Next device_handler(Ctx& x) {
  const Irq& irq = x.k.irqs[x.f.a[1]];
  constexpr s64 kHandled = 1, kWakeThread = 2;
  x.k.emit(Tp::irq_handler_exit, x.c, static_cast<s64>(irq.spec.irq), irq.thread ? kWakeThread : kHandled);
  if (irq.mailbox) call_ttwu(x, *x.k.cpufreq->answered(), TASK_NORMAL);
  if (!irq.thread) return advance();
  ++irq.thread->kthread->irq_pending;
  call_ttwu(x, *irq.thread, TASK_NORMAL);
  return advance();
}
Next device_exit(Ctx& x) { return irq_exit(x); }

// Locals of kSoftirq: a[0] the vector being served, a[1] begun.
/// __do_softirq: the lowest pending vector next.
Next softirq_next(Ctx& x) {
  const Held irqs_on(x, 0, Held::Irqs::on);
  if (!x.f.a[1]) {
    account_irq_enter(x);
    x.c.cur->preempt_count += SOFTIRQ_OFFSET;
  }
  x.f.a[1] = 1;
  if (!x.c.softirq_pending) {
    account_irq_exit(x, IrqContext::softirq);
    x.c.cur->preempt_count -= SOFTIRQ_OFFSET;
    fn_leave(x, Fn::__do_softirq);
    fn_irq_exit(x);
    return ret();
  }
  const u32 vec = static_cast<u32>(std::countr_zero(x.c.softirq_pending));
  x.c.softirq_pending &= ~(1u << vec);
  x.f.a[0] = vec;
  emit_named(x, Tp::softirq_entry, softirq_name(vec), vec);
  return vec == kSCHED_SOFTIRQ ? advance() : jump(3);
}
Next softirq_done(Ctx& x) {
  const u32 vec = static_cast<u32>(x.f.a[0]);
  emit_named(x, Tp::softirq_exit, softirq_name(vec), vec);
  return jump(0);
}

/// run_rebalance_domains; an active balance it asked for wakes that CPU's stopper.
Next rebalance(Ctx& x) {
  x.k.sched.begin_rebalance_domains(x.c.id);
  call_balance(x, 1);
  return advance();
}
Next rebalanced(Ctx& x) { return softirq_done(x); }

// kBalance: a[0] spin locks that its events show.
enum BalancePc : u16 { kPcStage = 0, kPcDetached = 1, kPcStoppers = 2 };

/// attach_tasks, when that is the stage.
Ns attach_cost(Ctx& x) { return (x.k.cost(Phase::enqueue_task) + x.k.cost(Phase::check_preempt)) * x.k.sched.balance_detached(x.c.id); }
/// One stage of balancing, with the queue locked that it named before.
Next balance_stage(Ctx& x) {
  const Held rq_lock(x, static_cast<u32>(x.f.a[0]), Held::Irqs::off);
  const bool attaches = x.k.sched.balance_attaches(x.c.id), goes_on = x.k.sched.balance_advance(x.c.id);
  if (attaches) release_attach_spinners(x.k);
  if (!goes_on) return jump(kPcStoppers);
  if (x.k.sched.balance_detached(x.c.id)) return jump(kPcDetached);
  x.k.unlock(x);
  return jump(kPcStage);
}
/// What detach_tasks took, with the queue it took it from still locked.
Ns detach_cost(Ctx& x) { return x.k.cost(Phase::detach_task) * x.k.sched.balance_detached(x.c.id); }
Next balance_detached(Ctx& x) {
  x.k.unlock(x);
  return jump(kPcStage);
}
/// stop_one_cpu_nowait, with nothing locked.
Next balance_stoppers(Ctx& x) {
  const CpuId target = x.k.take_stop_request(x.c.id);
  if (target == x.c.id) return ret();
  call_ttwu(x, *x.k.cpu(target).migration, TASK_NORMAL);
  return jump(kPcStoppers);
}
LockWord* balance_lock(Ctx& x, LockId) {
  const Rq* rq = x.k.sched.balance_lock(x.c.id);
  return rq ? &x.k.cpu(rq->cpu).rq_lock : nullptr;
}
constexpr Step kBalanceSteps[] = {
    {balance_stage, Phase::count_, attach_cost, kOff, nullptr, LockSet::rq},
    {balance_detached, Phase::count_, detach_cost, kOff, nullptr, LockSet::rq},
    {balance_stoppers, Phase::count_, nullptr, kOff},
};

Ns rcu_cost(Ctx& x) {
  if (x.c.rcu.due() > x.k.now() || !x.c.rcu.front()) return Ns(0);
  const Ns stack = x.k.profile().vmap_stack ? Ns(0) : x.k.cost(Phase::stack_free_pages);
  return x.k.cost(Phase::task_struct_free) + stack;
}

/// delayed_put_task_struct, one callback per round.
Next rcu_callback(Ctx& x) {
  if (x.c.rcu.due() > x.k.now()) return softirq_done(x);
  if (Task* t = x.c.rcu.pop()) {
    x.k.emit(Tp::sched_process_free, x.c, t->comm, t->pid, t->prio);
    x.k.put_task_struct(*t);
  }
  return jump(3);
}

// The idle loop of a CPU that take_cpu_down has been to (do_idle: cpu_is_offline).
enum IdlePc : u16 { kPcIdleDie = 3, kPcIdleOff = 4, kPcIdleBoot = 5, kPcIdleDrain = 6 };

/// cpuhp_report_idle_dead. The kernel lets the first online CPU complete it; here the dying one does.
Next report_idle_dead(Ctx& x) {
  x.c.dying = x.c.polling = false;
  x.c.tick_at = kNever;
  x.c.update_irq();
  x.k.hotplug.dead = true;
  fn(x, Fn::cpuhp_report_idle_dead);
  call_complete(x, *x.k.hotplug.holder);
  return jump(kPcIdleDie);
}
/// arch_cpu_idle_dead: the CPU stands still until cpu_power_on ends the next step.
Next idle_die(Ctx& x) {
  fn(x, Fn::arch_cpu_idle_dead);
  x.k.cpu_power_off(x.c);
  return jump(kPcIdleOff);
}
Ns off_cost(Ctx&) { return kNever; }
Next idle_off(Ctx&) { return jump(kPcIdleBoot); }
/// The end of secondary_start_kernel.
Next idle_boot(Ctx& x) {
  x.k.sched.cpu_booted(x.c.id);
  x.k.hotplug.booted = true;
  fn(x, Fn::notify_cpu_starting);
  call_complete(x, *x.k.hotplug.holder);
  return jump(0);
}

/// Before WFI: a waiting wake-up ends the idle period without an interrupt (the loop polls need_resched); else the tick is stopped.
Next idle_sleep(Ctx& x) {
  if (x.t.need_resched()) return jump(2);
  if (x.c.dying) return report_idle_dead(x);
  Cpu& c = x.c;
  Core& k = x.k;
  const Ns next_tick = k.next_jiffy();
  // tick_nohz_next_event: the tick goes on while RCU needs this CPU or its next timer lies within one tick.
  if (!c.rcu.empty() || c.timer_at <= next_tick) {
    c.tick_at = next_tick;
  } else {
    c.tick_at = kNever;
    if (!k.sched.rq(c.id).tick_stopped) k.sched.nohz_tick_stop(c.id);
  }
  c.polling = false;
  c.update_irq();
  return advance();
}
Ns idle_enter_cost(Ctx& x) {
  x.c.polling = true;
  return Ns(0);
}
Ns wfi(Ctx& x) {
  x.c.wfi = true;
  x.k.set_power(x.c, false);
  return kNever;
}

/// An interrupt ended WFI: leave the loop when there is something to run.
Next idle_woken(Ctx& x) {
  if (x.t.need_resched()) return advance();
  idle_sleep(x);
  return jump(1);
}

/// schedule_idle, and what tick_nohz_idle_exit does to the tick.
Next idle_left(Ctx& x) {
  Cpu& c = x.c;
  c.polling = false;
  if (x.k.sched.rq(c.id).tick_stopped) x.k.sched.nohz_tick_restart(c.id);
  c.tick_at = x.k.next_jiffy();
  c.update_irq();
  call(x, kSchedule);
  return jump(0);
}
/// tick_nohz_idle_exit.
Next idle_exit(Ctx& x) {
  fn_leave(x, Fn::tick_nohz_idle_exit);
  fn_enter(x, Fn::sched_ttwu_pending);
  if (x.k.sched.rq(x.c.id).wake_list) return jump(kPcIdleDrain);
  fn_leave(x, Fn::sched_ttwu_pending);
  return idle_left(x);
}
/// sched_ttwu_pending of somebody who was put on the list without an interrupt.
Next idle_drain(Ctx& x) {
  {
    const Held rq_lock(x, 1);
    x.k.sched.sched_ttwu_pending(x.c.id);
  }
  fn_leave(x, Fn::sched_ttwu_pending);
  const Next next = idle_left(x);
  push_rt_tasks(x, x.c.id);
  return next;
}

bool is_tick(Ctx& x) { return x.f.a[1]; }

/// sched_ttwu_pending locks the queue when there is somebody on the list.
LockWord* ipi_lock(Ctx& x, LockId) { return x.k.sched.rq(x.c.id).wake_list ? &x.c.rq_lock : nullptr; }

constexpr Step kIpiSteps[] = {
    {ipi_entry, Phase::count_, irq_entry, kOff, marks<enters<Fn::gic_handle_irq>, enters<Fn::handle_IPI>>},
    {ipi_pending, Phase::count_, pending_cost, kOff,
     marks<calls<Fn::scheduler_ipi, ipi_idles>, enters<Fn::scheduler_ipi, ipi_works>, enters<Fn::irq_enter, ipi_works>,
           calls<Fn::rcu_irq_enter, ipi_works>, calls<Fn::tick_irq_enter, ipi_works_on_idle>,
           calls<Fn::_local_bh_enable, ipi_works_on_idle>, leaves<Fn::irq_enter>, enters<Fn::sched_ttwu_pending, ipi_works>>,
     LockSet::rq},
    {ipi_exit, Phase::count_, irq_exit_cost, kOff, marks<leaves<Fn::sched_ttwu_pending>, enters<Fn::irq_exit, in_irq_exit>>},
};
constexpr Step kCallSteps[] = {
    {call_entry, Phase::count_, irq_entry, kOff},
    {call_flush, Phase::count_, call_flush_cost, kOff, nullptr, LockSet::rq},
    {call_work, Phase::count_, nullptr, kOff},
    {call_next, Phase::count_, nullptr, kOff},
    {call_exit, Phase::count_, irq_exit_cost, kOff},
};
static_assert(kCallSteps[kPcCallFlush].effect == call_flush && kCallSteps[kPcCallExit].effect == call_exit);
constexpr Step kTimerSteps[] = {
    {timer_entry, Phase::count_, irq_entry, kOff,
     marks<enters<Fn::gic_handle_irq>, enters<Fn::__handle_domain_irq>, enters<Fn::irq_enter>, calls<Fn::rcu_irq_enter>,
           calls<Fn::tick_irq_enter, on_idle>, calls<Fn::_local_bh_enable, on_idle>, leaves<Fn::irq_enter>,
           enters<Fn::handle_percpu_devid_irq>, enters<Fn::arch_timer_handler_virt>, enters<Fn::hrtimer_interrupt>>},
    {update_times, Phase::count_, update_times_cost, kOff, marks<enters<Fn::tick_sched_timer, is_tick>>},
    {timer_tick, Phase::count_, scheduler_tick_cost, kOff, marks<pays<Fn::scheduler_tick>>, LockSet::rq},
    {timer_expire, Phase::count_, hrtimer_cost, kOff,
     marks<leaves<Fn::tick_sched_timer>, leaves<Fn::hrtimer_wakeup>, enters<Fn::hrtimer_wakeup, timer_due>,
           enters<Fn::wake_up_process, timer_due>>},
    {timer_exit, Phase::count_, irq_exit_cost, kOff, marks<leaves<Fn::handle_percpu_devid_irq>, enters<Fn::irq_exit>>},
    {hrtick_expire, Phase::hrtick, hrtick_cost, kOff, marks<pays<Fn::hrtick>>, LockSet::rq},
};
static_assert(kTimerSteps[kPcTimerExpire].effect == timer_expire && kTimerSteps[kPcHrtick].effect == hrtick_expire);
constexpr Step kDeviceSteps[] = {
    {device_entry, Phase::count_, irq_entry, kOff,
     marks<enters<Fn::gic_handle_irq>, enters<Fn::__handle_domain_irq>, enters<Fn::irq_enter>, calls<Fn::rcu_irq_enter>,
           calls<Fn::tick_irq_enter, on_idle>, calls<Fn::_local_bh_enable, on_idle>, leaves<Fn::irq_enter>,
           enters<Fn::handle_fasteoi_irq>>},
    {device_handler, Phase::count_, device_cost, kOff},
    {device_exit, Phase::count_, irq_exit_cost, kOff, marks<leaves<Fn::handle_fasteoi_irq>, enters<Fn::irq_exit>>},
};
bool rcu_due(Ctx& x) { return x.c.rcu.due() <= x.k.now() && x.c.rcu.front(); }

constexpr Step kSoftirqSteps[] = {
    {softirq_next, Phase::count_, nullptr, kOff,
     marks<leaves<Fn::run_rebalance_domains>, leaves<Fn::rcu_process_callbacks>, enters<Fn::__do_softirq, outside<Fn::__do_softirq>>>},
    {rebalance, Phase::rebalance_domains, nullptr, StepFlag::kNoPreempt, marks<enters<Fn::run_rebalance_domains>>},
    {rebalanced, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {rcu_callback, Phase::count_, rcu_cost, StepFlag::kNoPreempt,
     marks<enters<Fn::rcu_process_callbacks, outside<Fn::rcu_process_callbacks>>, pays<Fn::delayed_put_task_struct, rcu_due>>},
};
constexpr Step kIdleSteps[] = {
    {idle_sleep, Phase::idle_enter, idle_enter_cost, 0, marks<leaves<Fn::do_idle>, enters<Fn::do_idle>, calls<Fn::tick_nohz_idle_enter>>},
    {idle_woken, Phase::count_, wfi, 0, marks<enters<Fn::cpuidle_idle_call, outside<Fn::cpuidle_idle_call>>>},
    {idle_exit, Phase::idle_loop_exit, nullptr, StepFlag::kNoPreempt,
     marks<leaves<Fn::cpuidle_idle_call>, enters<Fn::tick_nohz_idle_exit>>},
    {idle_die, Phase::count_, nullptr, kOff},
    {idle_off, Phase::count_, off_cost, kOff},
    {idle_boot, Phase::cpu_boot, nullptr, kOff},
    {idle_drain, Phase::count_, pending_cost, kOff, nullptr, LockSet::rq},
};
static_assert(kIdleSteps[kPcIdleDrain].effect == idle_drain);
static_assert(kIdleSteps[kPcIdleDie].effect == idle_die && kIdleSteps[kPcIdleOff].effect == idle_off && kIdleSteps[kPcIdleBoot].effect == idle_boot);

}  // namespace

const Path kIrqIpi{"scheduler_ipi", kIpiSteps, ipi_lock};
const Path kIrqCall{"generic_smp_call_function_single_interrupt", kCallSteps, call_lock};
const Path kIrqTimer{"hrtimer_interrupt", kTimerSteps};
const Path kSchedTimer{"distribute_cfs_runtime", kSchedTimerSteps, sched_timer_lock};
const Path kIrqDevice{"handle_irq_event", kDeviceSteps};
const Path kSoftirq{"__do_softirq", kSoftirqSteps};
const Path kIdle{"do_idle", kIdleSteps};
const Path kBalance{"load_balance", kBalanceSteps, balance_lock};

/// Most balances only look: they need no frame as long as nobody holds the queues they look at.
void call_balance(Ctx& x, u32 shown_locks) {
  {
    const Held rq_lock(x, shown_locks);
    for (;;) {
      const Rq* rq = x.k.sched.balance_lock(x.c.id);
      if (x.k.sched.balance_moves(x.c.id) || (rq && !x.k.pass_free_lock(x.k.cpu(rq->cpu).rq_lock, LockId::rq))) break;
      if (!x.k.sched.balance_advance(x.c.id)) return;
    }
  }
  call(x, kBalance).a[0] = shown_locks;
}

void Core::take_irq(Cpu& c) {
  const bool ipi = c.ipi_at <= now();
  const bool timer = c.tick_at <= now() || c.timer_at <= now();
  const bool call = !ipi && c.call_at <= now();
  const bool work = !ipi && !call && !timer && c.irq_work_at <= now();
  const bool outermost = c.irq.empty();
  Frame& f = c.irq.push(ipi ? kIrqIpi : call ? kIrqCall : timer ? kIrqTimer : work ? kIrqWork : kIrqDevice);
  if (outermost) update_stack(c);
  if (ipi || call || work) {
    (ipi ? c.ipi_at : call ? c.call_at : c.irq_work_at) = kNever;
    c.update_irq();
  }
  f.a[0] = c.wfi;
  if (!ipi) c.cur->preempt_count += HARDIRQ_OFFSET;
  if (c.wfi) {
    c.wfi = false;
    set_power(c, true);
  }
  c.seg_flags = StepFlag::kIrqsOff;
}

}  // namespace forksim::km
