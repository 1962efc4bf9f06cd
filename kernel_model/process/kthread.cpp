// Boot tasks and their loops: init, kthreadd, kworker (vfree of stacks), migration (the stopper).
// Mirrors Linux 4.19 init/main.c, kernel/kthread.c kthreadd, kernel/workqueue.c worker_thread, kernel/stop_machine.c cpu_stopper_thread.
#include <algorithm>
#include <string>

#include "kernel_model/process/boot.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

Task* first_zombie(Task& t) {
  for (Task* c = t.children.front(); c; c = c->sibling.next)
    if (c->exit_state == EXIT_ZOMBIE && !delay_group_leader(*c)) return c;
  return nullptr;
}

/// A child that holds tasklist_lock in exit_notify: a scan of the children has to wait for it.
Task* first_notifying(Task& t) {
  for (Task* c = t.children.front(); c; c = c->sibling.next)
    if (c->in_exit_notify) return c;
  return nullptr;
}

/// init: sleeps until SIGCHLD, then reaps what it adopted.
Next init_sleep(Ctx& x) {
  x.t.pending = x.t.signal->shared_pending = 0;
  x.t.ti_flags &= ~TIF_SIGPENDING;
  if (first_zombie(x.t)) return advance();
  if (Task* c = first_notifying(x.t)) {
    spin_for(x, *c);
    return jump(2);
  }
  x.k.unlock(x);
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(0);
}
Ns init_before_reap_cost(Ctx& x) { return first_zombie(x.t) ? before_reap_cost(x) : Ns(0); }
Next init_before_reap(Ctx&) { return jump(3); }
Ns init_reap_cost(Ctx& x) { return first_zombie(x.t) ? reap_locked_cost(x) : Ns(0); }
Next init_reap(Ctx& x) {
  Task* z = first_zombie(x.t);
  if (!z) return jump(0);
  z->exit_state = EXIT_DEAD;
  ++x.k.totals.reaped;
  release_task_now(x, *z);
  return jump(1);
}

Ns init_spin_cost(Ctx& x) { return x.c.spin_on && x.c.spin_on->in_exit_notify ? kNever : Ns(0); }
Next init_spin(Ctx& x) {
  x.c.spin_on = nullptr;
  return jump(0);
}

/// The CPU whose work a kworker does; it runs elsewhere while that CPU is off. a[0] of kKworker.
Cpu& home(Ctx& x) { return x.k.cpu(CpuId(static_cast<u32>(x.f.a[0]))); }

Next worker_sleep(Ctx& x) {
  Cpu& c = home(x);
  if (c.dbs_work) {
    c.dbs_work = false;
    call(x, kDbsWork);
    return jump(0);
  }
  if (c.vfree_pending) return advance();
  if (!c.works.empty()) return jump(2);
  x.t.state = TASK_IDLE;
  call(x, kSchedule);
  return jump(0);
}
Next worker_vfree(Ctx& x) {
  --home(x).vfree_pending;
  x.k.kernel_bytes -= x.k.profile().stack_bytes;
  return jump(0);
}
Ns work_cost(Ctx& x) { return home(x).works.front(); }
Next worker_work(Ctx& x) {
  home(x).works.pop_front();
  return jump(0);
}

Next stopper_sleep(Ctx& x) {
  if (x.c.multi_stop) {
    call(x, kMultiStop);
    return jump(0);
  }
  if (!x.c.stop_works.empty() || x.c.active_balance) return advance();
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(0);
}
Next stopper_move(Ctx& x) {
  const Held pi_and_rq_lock(x, 2);
  if (x.c.stop_works.empty()) {
    x.c.active_balance = false;
    x.k.sched.begin_active_balance(x.c.id);
    if (x.k.sched.balance_advance(x.c.id)) call_balance(x, 2);
    return jump(0);
  }
  const StopWork w = x.c.stop_works.front();
  x.c.stop_works.pop_front();
  Task& p = *w.task;
  const bool held = w.waiter || p.on_rq == TASK_ON_RQ_QUEUED;  // without a waiter nobody keeps the task
  if (w.waiter) {
    w.waiter->stop_pending = false;
    call_complete(x, *w.waiter);
  }
  if (held && p.cpu == x.c.id && !p.on_cpu && x.k.sched.migrate_detach(p, w.dest, x.c.id)) call(x, kMoveAttach).a[0] = as_arg(p);
  return jump(0);
}

bool moves_one(Ctx& x) { return !x.c.stop_works.empty(); }

constexpr Step kInitSteps[] = {
    {init_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::tasklist_read},
    {init_before_reap, Phase::count_, init_before_reap_cost, 0},
    {init_spin, Phase::count_, init_spin_cost, StepFlag::kNoPreempt},
    {init_reap, Phase::count_, init_reap_cost, 0, nullptr, LockSet::tasklist_write},
};
constexpr Step kWorkerSteps[] = {
    {worker_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {worker_vfree, Phase::stack_free_vfree, nullptr, StepFlag::kCondResched, marks<pays<Fn::process_one_work>, pays<Fn::free_work>>},
    {worker_work, Phase::count_, work_cost, StepFlag::kCondResched, marks<pays<Fn::process_one_work>>},
};
constexpr Step kStopperSteps[] = {
    {stopper_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {stopper_move, Phase::migration_stop, nullptr, StepFlag::kIrqsOff | StepFlag::kNoPreempt,
     marks<pays<Fn::cpu_stopper_thread>, pays<Fn::migration_cpu_stop, moves_one>>, LockSet::rq},
};

}  // namespace

const Path kInit{"kernel_init", kInitSteps};
const Path kKworker{"worker_thread", kWorkerSteps};
const Path kStopper{"cpu_stopper_thread", kStopperSteps};

void call_stopper(Ctx& x, Task& t, CpuId dest) {
  x.c.stop_works.push_back({&t, dest, nullptr});
  call_ttwu(x, *x.c.migration, TASK_NORMAL);
}

void call_stop_one_cpu(Ctx& x, CpuId cpu, Task& t, CpuId dest) {
  x.t.stop_pending = true;
  x.k.cpu(cpu).stop_works.push_back({&t, dest, &x.t});
  call_ttwu(x, *x.k.cpu(cpu).migration, TASK_NORMAL);
}

void wake_stopper(Core& k, Cpu& c, CpuId this_cpu) {
  if (!k.sched.try_to_wake_up(*c.migration, TASK_NORMAL, 0, this_cpu)) return;
  ++k.totals.wakeups;
  ++k.totals.sched_events;
}

void request_push(Core& k, Cpu& c, Task& t) {
  for (u32 i = 0; i < k.nr_cpus(); ++i) {
    const Cpu& o = k.cpu(CpuId(i));
    if (!o.online || o.id == c.id) continue;
    c.stop_works.push_back({&t, o.id, nullptr});
    wake_stopper(k, c, c.id);
    return;
  }
}

namespace {

/// A boot task with its own process, asleep in `loop` (or the idle loop itself).
Task& boot_task(Core& k, const std::string& comm, Task* parent, Signal* signal) {
  Task& t = k.alloc_task();
  t.boot = true;
  t.usage = 2;
  t.comm = k.name(comm);
  t.signal = signal ? signal : &k.new_signal(nullptr);
  t.sighand = &k.new_sighand();
  t.files = &k.new_files(0);
  t.fs = &k.new_fs();
  k.get_cred(t, parent ? *parent->cred : k.new_cred(k.user_of(0)));
  t.nsproxy = parent ? parent->nsproxy : &k.new_nsproxy(nullptr, false);
  if (parent) ++t.nsproxy->count;
  t.pid_ns = t.nsproxy->pid_ns_for_children;
  t.group_leader = &t;
  t.cpus_allowed = CpuMask::first_n(k.nr_cpus());
  t.nr_cpus_allowed = k.nr_cpus();
  k.sched.set_params(t, SchedPolicy::normal, 0);
  if (!parent) return t;
  if (parent == k.kthreadd) t.sighand->action.fill(SigDisposition::ign);  // copied from kthreadd
  t.pid = t.tgid = k.alloc_pid();
  t.signal->pgrp = t.signal->session = Pid(0);
  k.attach_pid(t);
  t.signal->threads.push_back(&t);
  t.hashed = true;
  ++k.nr_threads;
  k.add_child(*parent, t);
  return t;
}

/// Puts a boot task to sleep inside `loop` on `cpu`, as if it had run once.
void boot_sleep(Core& k, Task& t, CpuId cpu, const Path& loop, u32 state, bool pinned) {
  if (pinned) {
    t.cpus_allowed = CpuMask::of(cpu);
    t.nr_cpus_allowed = 1;
    t.flags |= PF_NO_SETAFFINITY;
  }
  k.sched.sched_fork(t, cpu);
  t.se.vruntime = k.sched.rq(cpu).cfs.min_vruntime;
  t.se.avg = SchedAvg{};  // asleep for long: a new task would bring load 1024 along
  t.cpu = t.wake_cpu = t.recent_used_cpu = t.last_ran = cpu;
  t.state = state;
  t.preempt_count = 2 * k.preempt_offset();  // in the middle of schedule()
  t.frames.push(loop);
  t.frames.push(kSchedule).go(2);
}

}  // namespace

Task& boot_kthread(Core& k, const std::string& comm, CpuId cpu, const Path& loop, bool pinned) {
  Task& t = boot_task(k, comm, k.kthreadd, nullptr);
  t.flags |= PF_KTHREAD;
  boot_sleep(k, t, cpu, loop, TASK_INTERRUPTIBLE, pinned);
  return t;
}

void boot(Core& k) {
  const u32 n = k.sched.cpus();
  Signal* swapper_signal = nullptr;
  for (u32 i = 0; i < n; ++i) {
    k.cpus_.push_back(std::make_unique<Cpu>());
    Cpu& c = *k.cpus_.back();
    c.id = CpuId(i);
    c.opp = k.machine_.boot_opp;
    if (k.profile().vmap_stack)
      c.cached_stacks = static_cast<u32>(k.profile().tun(Tunable::nr_cached_stacks));  // boot has left the caches full
    k.kernel_bytes += u64{k.profile().stack_bytes} * c.cached_stacks;
    Task& idle = boot_task(k, "swapper/" + std::to_string(i), nullptr, swapper_signal);
    swapper_signal = idle.signal;
    idle.flags |= PF_IDLE;
    idle.preempt_count = k.preempt_offset();  // the idle loop never enables preemption
    idle.signal->sigcnt += i ? 1 : 0;
    k.sched.init_idle(idle, c.id);
    idle.frames.push(kIdle);
    c.cur = c.idle = &idle;
    k.update_stack(c);
  }
  Task& root = *k.cpus_[0]->idle;
  k.init_ = &boot_task(k, "init", &root, nullptr);
  k.init_->signal->flags |= SIGNAL_UNKILLABLE;
  k.init_pid_ns().child_reaper = k.init_;
  k.init_->sighand->action[kSIGCHLD] = SigDisposition::handler;
  boot_sleep(k, *k.init_, CpuId(0), kInit, TASK_INTERRUPTIBLE, false);
  Task& kthreadd = boot_task(k, "kthreadd", &root, nullptr);
  kthreadd.flags |= PF_KTHREAD;
  kthreadd.sighand->action.fill(SigDisposition::ign);  // ignore_signals: threads it makes reap themselves
  static constexpr ForkSpec kKernelThread{.clone_flags = kCLONE_FS | kCLONE_FILES | kCLONE_VM | kCLONE_UNTRACED | kSIGCHLD};
  kthreadd.op[0].fork = &kKernelThread;
  k.kthreadd = &kthreadd;
  boot_sleep(k, kthreadd, CpuId(0), kKthreadd, TASK_INTERRUPTIBLE, false);
  for (auto& c : k.cpus_) {
    Task& m = boot_task(k, "migration/" + std::to_string(c->id.v), &kthreadd, nullptr);
    m.flags |= PF_KTHREAD;
    boot_sleep(k, m, c->id, kStopper, TASK_INTERRUPTIBLE, true);
    m.sched_class = SchedClass::stop;
    m.prio = m.normal_prio = 0;
    c->migration = k.sched.rq(c->id).stop = &m;
    Task& w = boot_task(k, "kworker/" + std::to_string(c->id.v) + ":0", &kthreadd, nullptr);
    w.flags |= PF_KTHREAD | PF_WQ_WORKER;
    boot_sleep(k, w, c->id, kKworker, TASK_IDLE, true);
    w.frames.below_top().a[0] = c->id.v;
    c->kworker = &w;
  }
  k.count_boot();
  k.sched.rt().set_bandwidth(k.profile().tun(Tunable::sched_rt_period_us) * 1000,
                             RtClass::to_ns(k.profile().tun(Tunable::sched_rt_runtime_us)));
  for (auto& c : k.cpus_) {
    k.apply_speed(*c, k.machine_.opp_hz[c->opp]);
    k.set_power(*c, true);
    k.run_steps(*c);
  }
}

void Core::count_boot() {
  boot_tasks_ = task_pool.live();
  boot_signals_ = signals_.live();
  boot_sighands_ = sighands_.live();
  boot_files_ = files_.live();
  boot_fs_ = fs_.live();
  boot_pids_ = pids.live();
  boot_creds_ = creds_.live();
  boot_nsproxies_ = nsproxies_.live();
  boot_bytes_ = kernel_bytes;
  for (const auto& c : cpus_) boot_bytes_ -= u64{profile().stack_bytes} * c->cached_stacks;
}

/// request_threaded_irq at boot: the line of a device, and the thread its handler wakes.
void Core::add_irq(const IrqSpec& spec, const std::vector<Ns>& dates) {
  Irq irq{spec, nullptr, name(spec.name)};
  if (spec.thread != Ns(0)) {
    Task& t = boot_task(*this, ("irq/" + std::to_string(spec.irq) + "-" + std::string(spec.name)).substr(0, 15), kthreadd, nullptr);
    t.flags |= PF_KTHREAD;
    t.kthread = &new_kthread(kIrqThread);
    t.kthread->task = &t;
    t.kthread->irq = static_cast<u32>(irqs.size()) + 1;
    sched.set_params(t, SchedPolicy::fifo, 0, 50);
    boot_sleep(*this, t, spec.cpu, kKthread, TASK_INTERRUPTIBLE, true);
    t.frames.below_top().go(kKthreadLoop);
    irq.thread = &t;
    count_boot();
  }
  const u32 index = static_cast<u32>(irqs.size());
  irqs.push_back(irq);
  Cpu& c = cpu(spec.cpu);
  for (Ns d : dates) c.dev_irqs.push_back({d, index});
  std::ranges::stable_sort(c.dev_irqs, {}, &DevIrq::date);
  c.dev_at = c.dev_irqs.empty() ? kNever : c.dev_irqs.front().date;
  c.update_irq();
  touch(c);
}

}  // namespace forksim::km
