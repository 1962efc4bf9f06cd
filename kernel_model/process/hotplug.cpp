// CPUs that go and come by a write to /sys/devices/system/cpu/cpuN/online.
// Mirrors Linux 4.19 kernel/cpu.c (cpu_down, cpu_up, takedown_cpu, take_cpu_down, cpuhp_thread_fun), kernel/sched/core.c
// (sched_cpu_activate, sched_cpu_deactivate, sched_cpu_dying, migrate_tasks), kernel/stop_machine.c multi_cpu_stop; callbacks of other
// subsystems are time (cpuhp_*, cpu_dead). What a CPU that dies leaves behind moves to the writer's CPU: timers (hrtimers_dead_cpu), RCU
// callbacks (rcutree_migrate_callbacks); its interrupts to the first CPU that is there, its cached stacks are freed. Its kworker runs
// elsewhere until it is back. Without a cpu_die method (spin-table) the kernel tears everything down and rolls back; here the write fails
// at once.
#include "kernel_model/exec/cpufreq.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;
constexpr u8 kNoPreempt = StepFlag::kNoPreempt;

// Locals of kSysCpuOnline: a[0] CPU, a[1] on, a[2] next CPU whose stopper is to be woken, a[3] errno or 1.
enum Pc : u16 {
  kPcLock = 1,
  kPcWaitAp = 3,
  kPcStop = 4,
  kPcWaitDead = 5,
  kPcBoot = 7,
  kPcWaitBoot = 8,
  kPcWaitOnline = 9,
  kPcUnlock = 10,
  kPcExit = 11
};

Cpu& target(Ctx& x) { return x.k.cpu(CpuId(static_cast<u32>(x.f.a[0]))); }

Next fail(Ctx& x, s64 error, u16 pc) {
  x.f.a[3] = static_cast<u64>(-error);
  return jump(pc);
}
/// wait_for_completion.
Next sleep_at(Ctx& x, u16 pc) {
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(pc);
}

/// cpuhp_kick_ap: the thread of the CPU is to run its callbacks.
void kick_ap(Ctx& x, const Cpu& c) {
  fn_enter(x, Fn::cpuhp_kick_ap);
  fn_enter(x, Fn::wake_up_process);
  call_ttwu(x, *c.cpuhp, TASK_NORMAL);
}

/// The file belongs to root and has mode 0644.
Next online_enter(Ctx& x) {
  trace_sys_enter(x, Nr::write);
  x.f.a[3] = 1;
  if (x.f.a[0] >= x.k.nr_cpus()) return fail(x, kENOENT, kPcExit);
  if (!x.t.cred->capable()) return fail(x, kEACCES, kPcExit);
  return advance();
}
/// cpu_add_remove_lock.
Next online_lock(Ctx& x) {
  Hotplug& hp = x.k.hotplug;
  if (!hp.holder) {
    hp.holder = &x.t;
    return advance();
  }
  if (!x.t.waiting_on) x.k.add_wait(hp.waiters, x.t, false);
  return sleep_at(x, kPcLock);
}
Next online_check(Ctx& x) {
  Hotplug& hp = x.k.hotplug;
  Cpu& c = target(x);
  const bool on = x.f.a[1];
  if (on == c.online) return jump(kPcUnlock);
  if (!on && x.k.sched.cpu_active_mask().count() == 1) return fail(x, kEBUSY, kPcUnlock);
  if (!on && !x.k.can_disable()) return fail(x, kEOPNOTSUPP, kPcUnlock);
  hp.cpu = c.id;
  hp.ap_done = hp.stopped = hp.dead = hp.booted = false;
  hp.total = hp.arrived = hp.left = 0;
  if (on) return jump(kPcBoot);
  c.hp_work = Cpu::HpWork::offline;
  fn_enter(x, Fn::cpuhp_kick_ap_work);
  kick_ap(x, c);
  return advance();
}
Next wait_ap(Ctx& x) { return x.k.hotplug.ap_done ? advance() : sleep_at(x, kPcWaitAp); }

/// queue_stop_cpus_work: every CPU's stopper is woken before the writer can be preempted.
Next stop_cpus(Ctx& x) {
  Hotplug& hp = x.k.hotplug;
  const CpuMask& online = x.k.sched.cpu_online_mask();
  if (!hp.total) hp.total = online.count();
  const u32 next = online.next(static_cast<u32>(x.f.a[2]));
  if (next >= x.k.nr_cpus()) return advance();
  x.f.a[2] = next + 1;
  Cpu& c = x.k.cpu(CpuId(next));
  c.multi_stop = true;
  call_ttwu(x, *c.migration, TASK_NORMAL);
  return jump(kPcStop);
}
Next wait_dead(Ctx& x) {
  const Hotplug& hp = x.k.hotplug;
  return hp.dead && hp.left == hp.total ? advance() : sleep_at(x, kPcWaitDead);
}
Next dead_callbacks(Ctx& x) {
  Core& k = x.k;
  Cpu& dead = target(x);
  move_timers(dead.timers, x.c.timers);
  dead.timer_at = kNever;
  x.k.sched_timers.migrate(x.k, dead.id, x.c.id);
  x.c.update_timer();
  dead.rcu.move_to(x.c.rcu);
  k.kernel_bytes -= u64{k.profile().stack_bytes} * dead.cached_stacks;
  dead.cached_stacks = 0;
  dead.softirq_pending = 0;
  return jump(kPcUnlock);
}

Next boot_cpu(Ctx& x) {
  x.k.cpu_power_on(target(x));
  return advance();
}
Next wait_boot(Ctx& x) {
  if (!x.k.hotplug.booted) return sleep_at(x, kPcWaitBoot);
  Cpu& c = target(x);
  c.hp_work = Cpu::HpWork::online;
  fn_leave(x, Fn::__cpu_up);
  kick_ap(x, c);
  return advance();
}
Next wait_online(Ctx& x) { return x.k.hotplug.ap_done ? advance() : sleep_at(x, kPcWaitOnline); }

Next online_unlock(Ctx& x) {
  Hotplug& hp = x.k.hotplug;
  hp.holder = nullptr;
  if (Task* w = hp.waiters.front()) {
    x.k.remove_wait(*w);
    call_ttwu(x, *w, TASK_NORMAL);
  }
  return advance();
}
Next online_exit(Ctx& x) {
  x.t.result = static_cast<s64>(x.f.a[3]);
  trace_sys_exit(x, Nr::write, x.t.result);
  return ret();
}
template <Fn F, bool (*When)(Ctx&)>
bool first_of(Ctx& x) {
  return When(x) && outside<F>(x);
}
bool goes(Ctx& x) { return !x.f.a[1]; }
bool comes(Ctx& x) { return x.f.a[1]; }

constexpr Step kOnlineSteps[] = {
    {online_enter, Phase::syscall_entry, nullptr, 0, marks<enters<Fn::sys_write>, enters<Fn::online_store>>},
    {online_lock, Phase::count_, nullptr, kNoPreempt,
     marks<enters<Fn::device_offline, first_of<Fn::device_offline, goes>>, enters<Fn::cpu_down, first_of<Fn::cpu_down, goes>>,
           enters<Fn::do_cpu_down, first_of<Fn::do_cpu_down, goes>>, enters<Fn::device_online, first_of<Fn::device_online, comes>>,
           enters<Fn::cpu_up, first_of<Fn::cpu_up, comes>>, enters<Fn::do_cpu_up, first_of<Fn::do_cpu_up, comes>>>},
    {online_check, Phase::cpu_hotplug_write, nullptr, StepFlag::kMightSleep,
     marks<enters<Fn::_cpu_down, goes>, enters<Fn::_cpu_up, comes>>},
    {wait_ap, Phase::count_, nullptr, 0,
     marks<leaves<Fn::wake_up_process>, enters<Fn::wait_for_completion, outside<Fn::wait_for_completion>>>},
    {stop_cpus, Phase::count_, nullptr, kNoPreempt,
     marks<leaves<Fn::cpuhp_kick_ap_work>, enters<Fn::cpuhp_invoke_callback, outside<Fn::cpuhp_invoke_callback>>,
           enters<Fn::takedown_cpu, outside<Fn::takedown_cpu>>, enters<Fn::stop_machine_cpuslocked, outside<Fn::stop_machine_cpuslocked>>,
           enters<Fn::stop_cpus, outside<Fn::stop_cpus>>, enters<Fn::queue_stop_cpus_work, outside<Fn::queue_stop_cpus_work>>>},
    {wait_dead, Phase::count_, nullptr, 0,
     marks<leaves<Fn::queue_stop_cpus_work>, enters<Fn::wait_for_completion, outside<Fn::wait_for_completion>>>},
    {dead_callbacks, Phase::cpu_dead, nullptr, StepFlag::kMightSleep,
     marks<leaves<Fn::stop_machine_cpuslocked>, calls<Fn::__cpu_die>, calls<Fn::rcutree_migrate_callbacks>, leaves<Fn::takedown_cpu>,
           calls<Fn::hrtimers_dead_cpu>>},
    {boot_cpu, Phase::count_, nullptr, 0, marks<enters<Fn::cpuhp_invoke_callback>, enters<Fn::bringup_cpu>, enters<Fn::__cpu_up>>},
    {wait_boot, Phase::count_, nullptr, 0, marks<enters<Fn::wait_for_completion_timeout, outside<Fn::wait_for_completion_timeout>>>},
    {wait_online, Phase::count_, nullptr, 0,
     marks<leaves<Fn::wake_up_process>, enters<Fn::wait_for_completion, outside<Fn::wait_for_completion>>>},
    {online_unlock, Phase::count_, nullptr, kNoPreempt, marks<leaves<Fn::_cpu_down>, leaves<Fn::_cpu_up>>},
    {online_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_write>>},
};
static_assert(kOnlineSteps[kPcLock].effect == online_lock && kOnlineSteps[kPcWaitAp].effect == wait_ap &&
              kOnlineSteps[kPcStop].effect == stop_cpus && kOnlineSteps[kPcWaitDead].effect == wait_dead &&
              kOnlineSteps[kPcBoot].effect == boot_cpu && kOnlineSteps[kPcWaitBoot].effect == wait_boot &&
              kOnlineSteps[kPcWaitOnline].effect == wait_online && kOnlineSteps[kPcUnlock].effect == online_unlock &&
              kOnlineSteps[kPcExit].effect == online_exit);

/// cpuhp_thread_fun of cpuhp/N.
Next cpuhp_sleep(Ctx& x) {
  if (x.c.hp_work != Cpu::HpWork::none) return advance();
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(0);
}
Ns cpuhp_cost(Ctx& x) { return x.k.cost(x.c.hp_work == Cpu::HpWork::online ? Phase::cpuhp_online : Phase::cpuhp_offline); }
/// Down: sched_cpu_deactivate, which waits for a grace period so that nobody still places tasks here. Up: sched_cpu_activate, and
/// workqueue_online_cpu binds the kworker again.
Next cpuhp_run(Ctx& x) {
  Core& k = x.k;
  const bool up = x.c.hp_work == Cpu::HpWork::online;
  k.sched.set_cpu_active(x.c.id, up, x.c.id);
  if (k.cpufreq) k.cpufreq->cpus_changed();
  if (up) {
    fn(x, Fn::sched_cpu_activate);
    k.sched.set_cpus_allowed(*x.c.kworker, CpuMask::of(x.c.id), x.c.id);
    return jump(3);
  }
  fn_enter(x, Fn::sched_cpu_deactivate);
  fn_enter(x, Fn::__wait_rcu_gp);
  k.arm_timer(x.c, x.t, k.next_jiffy() + Ns((k.profile().tun(Tunable::rcu_grace_period_jiffies) - 1) * k.profile().tick_ns()));
  return advance();
}
Next cpuhp_synchronize(Ctx& x) {
  if (!x.t.timer_seq) return advance();
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(2);
}
Next cpuhp_done(Ctx& x) {
  x.c.hp_work = Cpu::HpWork::none;
  x.k.hotplug.ap_done = true;
  call_complete(x, *x.k.hotplug.holder);
  return jump(0);
}
constexpr Step kCpuhpSteps[] = {
    {cpuhp_sleep, Phase::count_, nullptr, kNoPreempt, marks<leaves<Fn::cpuhp_thread_fun>>},
    {cpuhp_run, Phase::count_, cpuhp_cost, 0, marks<enters<Fn::cpuhp_thread_fun>, enters<Fn::cpuhp_invoke_callback>>},
    {cpuhp_synchronize, Phase::count_, nullptr, 0},
    {cpuhp_done, Phase::count_, nullptr, 0, marks<leaves<Fn::cpuhp_invoke_callback>>},
};

/// Lets the CPUs go on that spin in multi_cpu_stop.
void release_stopped(Core& k) {
  for (u32 i = 0; i < k.nr_cpus(); ++i)
    if (Cpu& c = k.cpu(CpuId(i)); c.multi_waiting) k.end_segment_now(c);
}

bool is_target(Ctx& x) { return x.c.id == x.k.hotplug.cpu; }

/// multi_cpu_stop: all CPUs meet with interrupts off; the one that goes runs take_cpu_down; all go on.
Next stop_arrive(Ctx& x) {
  Hotplug& hp = x.k.hotplug;
  Cpu& goes = x.k.cpu(hp.cpu);
  if (++hp.arrived == hp.total && goes.multi_waiting) x.k.end_segment_now(goes);
  return advance();
}
Ns stop_wait_cost(Ctx& x) {
  const Hotplug& hp = x.k.hotplug;
  const bool go = is_target(x) ? hp.arrived == hp.total : hp.stopped;
  x.c.multi_waiting = !go;
  return go ? Ns(0) : kNever;
}
Next stop_waited(Ctx& x) {
  x.c.multi_waiting = false;
  return is_target(x) ? advance() : jump(3);
}
/// take_cpu_down: interrupts move away, sched_cpu_dying moves the tasks.
Next take_cpu_down(Ctx& x) {
  Core& k = x.k;
  Cpu& other = k.first_online();
  for (const DevIrq& d : x.c.dev_irqs) k.raise_irq_at(other.id, d.irq, d.date);
  x.c.dev_irqs.clear();
  x.c.dev_at = kNever;
  x.c.update_irq();
  k.sched.migrate_tasks(x.c.id, x.c.id);
  x.c.dying = true;
  k.hotplug.stopped = true;
  release_stopped(k);
  return advance();
}
Next stop_leave(Ctx& x) {
  Hotplug& hp = x.k.hotplug;
  x.c.multi_stop = false;
  if (++hp.left == hp.total) call_complete(x, *hp.holder);
  return advance();
}
Next stop_end(Ctx&) { return ret(); }
constexpr Step kMultiStopSteps[] = {
    {stop_arrive, Phase::count_, nullptr, kOff, marks<enters<Fn::cpu_stopper_thread>, enters<Fn::multi_cpu_stop>>},
    {stop_waited, Phase::count_, stop_wait_cost, kOff},
    {take_cpu_down, Phase::take_cpu_down, nullptr, kOff,
     marks<enters<Fn::take_cpu_down>, calls<Fn::__cpu_disable>, enters<Fn::cpuhp_invoke_callback>, enters<Fn::sched_cpu_dying>,
           pays<Fn::migrate_tasks>>},
    {stop_leave, Phase::count_, nullptr, kOff, marks<leaves<Fn::multi_cpu_stop>>},
    {stop_end, Phase::count_, nullptr, kNoPreempt},
};

}  // namespace

const Path kSysCpuOnline{"online_store", kOnlineSteps};
const Path kCpuhp{"cpuhp_thread_fun", kCpuhpSteps};
const Path kMultiStop{"multi_cpu_stop", kMultiStopSteps};

}  // namespace forksim::km
