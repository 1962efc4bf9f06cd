// do_exit, exit_group, exit_notify, release_task.
// Mirrors Linux 4.19 kernel/exit.c; exit_mm with mm_release of kernel/fork.c; disassociate_ctty of drivers/tty/tty_jobctrl.c for a pty.
#include "kernel_model/process/paths.hpp"
#include "kernel_model/process/ptrace.hpp"

namespace forksim::km {

bool thread_group_empty(const Task& t) { return t.signal->nr_threads == 1; }
bool delay_group_leader(const Task& t) { return t.group_leader == &t && !thread_group_empty(t); }

/// What release_task calls; a leader has four kinds of number.
void fn_release(Ctx& x, bool leader) {
  for (Fn f : {Fn::proc_flush_task, Fn::posix_cpu_timers_exit, Fn::add_device_randomness}) fn(x, f);
  for (int i = leader ? 4 : 1; i > 0; --i) fn(x, Fn::detach_pid);
  for (Fn f : {Fn::flush_sigqueue, Fn::__cleanup_sighand, Fn::release_thread, Fn::call_rcu}) fn(x, f);
}

/// __exit_signal, __unhash_process, then RCU: the task_struct stays until both references are gone.
void release_task_now(Ctx& x, Task& t) {
  Core& k = x.k;
  Signal& s = *t.signal;
  if (k.graph_on() && !k.graph().is_open(x, Fn::release_task)) fn_enter(x, Fn::release_task);
  k.emit(Tp::release_task, x.c, t.pid);
  if (t.ptrace) [[unlikely]]
    ptrace_unlink(t);
  --t.cred->user->processes;
  --s.nr_threads;
  if (t.group_leader != &t) {
    if (s.notify_count > 0 && --s.notify_count == 0) call_ttwu(x, *s.group_exit_task, TASK_NORMAL);
    if (s.curr_target == &t) s.curr_target = t.thread_node.next ? t.thread_node.next : s.threads.front();
    if (s.curr_target == &t) s.curr_target = nullptr;
  }
  if (k.graph_on()) [[unlikely]]
    fn_release(x, t.group_leader == &t);
  PidNamespace* ns = t.pid_ns->level ? t.pid_ns : nullptr;
  if (ns) ++ns->count;
  k.unhash_process(t);
  if (ns) wake_reapers(x, *ns);
  k.put_sighand(*t.sighand);
  t.sighand = nullptr;
  k.call_rcu(x.c, &t);
  fn_leave(x, Fn::release_task);
}

/// Of release_task about two fifths run under tasklist_lock: __exit_signal and __unhash_process (assumed).
Ns release_locked_cost(Ctx& x) { return x.k.cost(Phase::release_task) * 2 / 5; }
Ns before_release_cost(Ctx& x) { return x.k.cost(Phase::release_task) - release_locked_cost(x); }
/// wait_task_zombie up to the lock of release_task, and under it.
Ns reap_locked_cost(Ctx& x) { return std::min(release_locked_cost(x), x.k.cost(Phase::wait_reap)); }
Ns before_reap_cost(Ctx& x) { return x.k.cost(Phase::wait_reap) - reap_locked_cost(x); }

/// exit_robust_list: one held mutex per call gets FUTEX_OWNER_DIED, and a waiter of it wakes. False when none is held.
bool release_robust(Ctx& x) {
  if (!x.t.robust_held) return false;
  for (u32 i = 0; i < x.k.locks.capacity(); ++i) {
    Lock& l = x.k.locks[i];
    if (!l.robust || l.owner != x.t.id.v + 1 || !l.value) continue;
    --x.t.robust_held;
    l.value = 0;
    l.owner = 0;
    l.owner_died = true;
    Frame& f = call(x, kWakeQueue);
    f.a[0] = queue_ref(QueueOf::lock, i);
    f.a[1] = 1;
    return true;
  }
  x.t.robust_held = 0;
  return false;
}

namespace {

s64 exit_si_code(const Task& t) {
  const s32 sig = t.exit_code & 0x7f;
  if (!sig) return kCLD_EXITED;
  return sigbit(sig) & kCoredump ? kCLD_DUMPED : kCLD_KILLED;
}

}  // namespace

void call_notify_parent(Ctx& x, const Task& t, s32 sig) {
  Frame& f = call(x, kNotifyParent);
  f.a[0] = as_arg(t);
  f.a[1] = static_cast<u64>(s64{sig});
  f.a[3] = static_cast<u64>(exit_si_code(t));
}

namespace {

constexpr u8 kNoPreempt = StepFlag::kNoPreempt;

// Locals of kDoExit.
enum Local : u32 { kCode = 0, kGroupDead = 1, kCursor = 2 };
enum Pc : u16 { kPcRobust = 3, kPcReparent = 12, kPcReparentReap = 13, kPcDead = 19, kPcPark = 21, kPcReleaseEnd = 3 };

/// A fault inside do_exit: parked for ever, "Fixing recursive fault but reboot is needed!".
Next exit_begin(Ctx& x) {
  FS_CONTRACT(!x.t.in_interrupt() && x.t.pid.v, "do_exit in an interrupt or of a swapper");
  if (x.t.flags & PF_EXITING) {
    x.t.flags |= PF_EXITPIDONE;
    return jump(kPcPark);
  }
  x.k.emit(Tp::do_exit, x.c, x.t.pid, static_cast<s64>(x.f.a[kCode]));
  ++x.k.totals.exits;
  ++x.k.totals.sched_events;
  return advance();
}
Next park(Ctx& x) {
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(kPcPark);
}

/// exit_signals: no signal is for us any more; those meant for the process go to another thread, and a group stop need not wait for us.
Next exit_signals(Ctx& x) {
  Task& t = x.t;
  t.flags |= PF_EXITING;
  const bool pending = t.ti_flags & TIF_SIGPENDING;
  t.ti_flags &= ~TIF_SIGPENDING;
  if (thread_group_empty(t) || t.signal->group_exit() || !pending) return advance();
  if ((t.jobctl & JOBCTL_STOP_PENDING) && participate_group_stop(t)) call_notify_cldstop(x, t, kCLD_STOPPED);
  retarget_shared_pending(x, t, ~t.blocked);
  return advance();
}

Ns early_cost(Ctx& x) { return x.k.cost(Phase::do_exit) * 2 / 5; }
Ns late_cost(Ctx& x) { return x.k.cost(Phase::do_exit) - early_cost(x); }

/// Timers and accounting of the last thread; of any other only its share of the group's delays.
void fn_account(Ctx& x) {
  if (x.f.a[kGroupDead]) {
    fn_enter(x, Fn::hrtimer_cancel);
    fn(x, Fn::hrtimer_active);
    fn_leave(x, Fn::hrtimer_cancel);
    fn(x, Fn::exit_itimers);
  }
  fn_enter(x, Fn::taskstats_exit);
  if (!thread_group_empty(x.t)) fn(x, Fn::__delayacct_add_tsk);
  fn_leave(x, Fn::taskstats_exit);
}
bool has_mm(Ctx& x) { return x.t.mm; }
bool last_mm(Ctx& x) { return x.t.mm && x.t.mm->users == 1; }
bool last_files(Ctx& x) { return x.t.files->count == 1; }
bool last_fs(Ctx& x) { return x.t.fs->users == 1; }
bool group_dead(Ctx& x) { return x.f.a[kGroupDead]; }
bool clears_tid(Ctx& x) { return x.t.clear_child_tid && x.t.mm && x.t.mm->users > 1; }
/// glibc registers a robust list for every thread.
bool robust_begins(Ctx& x) { return x.t.mm && !x.k.graph().is_open(x, Fn::exit_robust_list); }

Next exit_account(Ctx& x) {
  if (x.t.mm) x.k.sync_mm_rss(x.c, x.t);
  x.f.a[kGroupDead] = --x.t.signal->live == 0;
  if (x.k.graph_on()) [[unlikely]]
    fn_account(x);
  x.t.exit_code = static_cast<s32>(x.f.a[kCode]);
  return advance();
}

Ns robust_cost(Ctx& x) { return x.k.cost(Phase::futex_wake) * x.t.robust_held; }
Next exit_robust(Ctx& x) { return release_robust(x) ? jump(kPcRobust) : advance(); }

/// mm_release: the futex on clear_child_tid, only when others share the mm.
Next release_tid(Ctx& x) {
  if (!x.t.clear_child_tid) return advance();
  x.t.clear_child_tid = 0;
  if (!x.t.mm || x.t.mm->users < 2) return advance();
  x.k.emit(Tp::set_tid, x.c, x.t.pid, 0, 2);
  Frame& f = call(x, kWakeQueue);
  f.a[0] = queue_ref(QueueOf::join, x.t.id.v);
  f.a[1] = 1;
  return advance();
}
Ns tid_cost(Ctx& x) { return x.t.clear_child_tid && x.t.mm && x.t.mm->users > 1 ? x.k.cost(Phase::put_user_tid) + x.k.cost(Phase::futex_wake) : Ns(0); }

/// complete_vfork_done: of a vfork parent, or of who stops a kernel thread.
Next vfork_done(Ctx& x) {
  if (x.t.kthread) x.t.kthread->exited = true;
  Task* p = x.t.vfork_parent;
  if (!p) return advance();
  x.t.vfork_parent = nullptr;
  p->vfork_waiting = false;
  call_complete(x, *p);
  return advance();
}

Ns mm_cost(Ctx& x) {
  if (!x.t.mm) return Ns(0);
  return x.t.mm->users > 1 ? x.k.cost(Phase::exit_mm_shared) : x.k.mm_teardown_cost(*x.t.mm);
}
/// mmput after exit_mmap: the executable and the binary format are let go.
void fn_after_mm(Ctx& x) {
  if (x.k.graph().is_open(x, Fn::exit_mmap)) {
    fn_leave(x, Fn::exit_mmap);
    fn(x, Fn::fput);
    fn(x, Fn::module_put);
  }
  fn_leave(x, Fn::exit_mm);
}

Next exit_mm(Ctx& x) {
  if (x.k.fault(FailPoint::exit_mm)) {
    call(x, kDoExit).a[kCode] = kSIGSEGV;
    return advance();
  }
  if (x.t.mm) x.k.mmput(*x.t.mm);
  x.t.mm = nullptr;
  if (x.k.graph_on()) [[unlikely]]
    fn_after_mm(x);
  x.k.emit(Tp::sched_process_exit, x.c, x.t.comm, x.t.pid, x.t.prio);
  if (x.t.sysvsem) x.k.put_sem_undo(*x.t.sysvsem);  // exit_sem
  x.t.sysvsem = nullptr;
  fn(x, Fn::exit_sem);
  fn(x, Fn::exit_shm);
  return advance();
}

Ns files_cost(Ctx& x) {
  const Files& f = *x.t.files;
  return f.count > 1 ? Ns(0) : x.k.cost(Phase::exit_files) + x.k.cost(Phase::exit_files_per_fd) * (f.fds + f.ends.size());
}
Next exit_files(Ctx& x) {
  Files& f = *x.t.files;
  x.t.files = nullptr;
  x.k.put_files(&x, f);
  return advance();
}

/// exit_fs; then disassociate_ctty(1): the foreground group of a dying session leader's terminal is hung up, the session loses it.
Next exit_fs(Ctx& x) {
  x.k.put_fs(*x.t.fs);
  x.t.fs = nullptr;
  Signal& s = *x.t.signal;
  if (!x.f.a[kGroupDead] || !s.leader || !s.tty) return advance();
  Tty& tty = *s.tty;
  const Pid pgrp = tty.pgrp, session = s.session;
  tty.pgrp = tty.session = Pid(0);
  x.k.emit(Tp::tty, x.c, x.t.pid, -1, Pid(0));
  x.k.for_each_process([&](Task& p) {
    if (p.signal->session == session) p.signal->tty = nullptr;
  });
  if (pgrp.v) call_kill_each(x, visit_pgrp(x.k, pgrp), kSIGHUP, 0, false);
  return advance();
}

/// sched_autogroup_exit_task moves the task out of its autogroup (and once more into a group of its own choice); cgroup_exit.
void leave_autogroup(Ctx& x) {
  {
    const Held pi_and_rq_lock(x, 2);
    fn_enter(x, Fn::sched_autogroup_exit_task);
    fn(x, Fn::sched_move_task);
    x.k.sched.sched_move_task(x.t, x.k.task_group_of(x.t));
    fn_leave(x, Fn::sched_autogroup_exit_task);
  }
  fn(x, Fn::cgroup_exit);
}
Next autogroup_exit(Ctx& x) {
  leave_autogroup(x);
  return ret();
}
/// Its task_rq_lock, when somebody holds or watches one of the two.
constexpr Step kAutogroupExitSteps[] = {
    {autogroup_exit, Phase::count_, nullptr, StepFlag::kIrqsOff | StepFlag::kNoPreempt, nullptr, LockSet::pi | LockSet::rq},
};
const Path kAutogroupExit{"sched_autogroup_exit_task", kAutogroupExitSteps};

/// Namespaces, task work, autogroup.
Next exit_rest(Ctx& x) {
  x.k.put_nsproxy(*x.t.nsproxy);
  x.t.nsproxy = nullptr;
  x.k.call_rcu(x.c, nullptr);  // files and credentials are freed by RCU too: the recorded CPU goes on ticking after an exit
  if (!x.k.profile().fair_group_sched)
    fn(x, Fn::cgroup_exit);
  else if (!x.c.rq_lock.in_use() && x.k.pass_free_lock(x.t.pi_lock, LockId::pi) && x.k.pass_free_lock(x.c.rq_lock, LockId::rq))
    leave_autogroup(x);
  else
    call(x, kAutogroupExit);
  return advance();
}

/// find_child_reaper: when the init of a pid namespace dies another of its threads takes over, or everybody in the namespace dies.
Next find_child_reaper(Ctx& x) {
  Task& t = x.t;
  if (!t.pid_ns || !t.pid_ns->level || t.pid_ns->child_reaper != &t) return advance();
  for (Task* p = t.signal->threads.front(); p; p = p->thread_node.next) {
    if (p == &t || (p->flags & PF_EXITING)) continue;
    t.pid_ns->child_reaper = p;
    return advance();
  }
  call(x, kZapPidNs);
  return advance();
}

/// find_new_reaper: a live sibling thread, the nearest subreaper of the same pid namespace, or its init.
Task& find_new_reaper(Core& k, Task& t) {
  for (Task* p = t.signal->threads.front(); p; p = p->thread_node.next)
    if (p != &t && !(p->flags & PF_EXITING)) return *p;
  if (t.signal->has_child_subreaper) {
    for (Task* p = t.real_parent; p && p->pid_ns == t.pid_ns && p != &k.init_task(); p = p->real_parent) {
      if (!p->signal->is_child_subreaper) continue;
      for (Task* q = p->signal->threads.front(); q; q = q->thread_node.next)
        if (!(q->flags & PF_EXITING)) return *q;
    }
  }
  Task* reaper = t.pid_ns ? t.pid_ns->child_reaper : nullptr;
  return reaper && reaper != &t ? *reaper : k.init_task();
}

/// Takes tasklist_lock for the rest of exit_notify.
Next notify_begin(Ctx& x) {
  x.t.in_exit_notify = true;
  preempt_add(x, 1);
  if (!x.t.ptraced.empty()) [[unlikely]]
    call(x, kExitPtrace);
  return advance();
}

/// kill_orphaned_pgrp: a group that loses its last link to its session gets SIGHUP and SIGCONT when a job in it is stopped.
void kill_orphaned_pgrp(Ctx& x, const Task& t, const Task* parent) {
  const Pid pgrp = t.signal->pgrp;
  const Task* link = parent ? parent : t.real_parent;
  const Task* ignored = parent ? nullptr : &t;
  if (!link || link->signal->pgrp == pgrp || link->signal->session != t.signal->session) return;
  if (!will_become_orphaned_pgrp(x.k, pgrp, ignored)) return;
  bool stopped = false;
  for (const Signal* s = x.k.pgrp_members(pgrp).front(); s; s = s->pgrp_node.next) stopped |= (s->flags & SIGNAL_STOP_STOPPED) != 0;
  if (!stopped) return;
  call_kill_each(x, visit_pgrp(x.k, pgrp), kSIGCONT, 0, false);
  call_kill_each(x, visit_pgrp(x.k, pgrp), kSIGHUP, 0, false);
}

/// pdeath_signal of the threads of a child whose parent dies.
void send_pdeath(Ctx& x, Task& child) {
  for (Task* p = child.signal->threads.front(); p; p = p->thread_node.next) {
    if (!p->pdeath_signal || !p->sighand) continue;
    const u32 v = x.k.new_visit();
    x.k.visit(v).push_back(p);
    call_kill_each(x, v, p->pdeath_signal, 0, false, false);
    return;  // the others of the process would send the same signal again
  }
}

/// forget_original_parent, one child per round; reparent_leader tells the new parent of a zombie.
Next reparent_child(Ctx& x) {
  Task* c = x.t.children.front();
  if (!c) return jump(kPcReparentReap + 1);
  Task& reaper = find_new_reaper(x.k, x.t);
  x.t.children.remove(c);
  for (Task* p = c->signal->threads.front(); p; p = p->thread_node.next) p->real_parent = &reaper;
  c->real_parent = &reaper;
  reaper.children.push_back(c);
  x.f.a[kCursor] = as_arg(*c);
  x.f.a[kResult] = 0;
  if (reaper.signal == x.t.signal || c->exit_state == EXIT_DEAD) {
    send_pdeath(x, *c);
    return jump(kPcReparent);
  }
  x.k.emit(Tp::reparent, x.c, c->pid, x.t.pid, reaper.pid);
  ++x.k.totals.reparented;
  c->exit_signal = kSIGCHLD;
  if (!c->ptrace && c->exit_state == EXIT_ZOMBIE && thread_group_empty(*c)) call_notify_parent(x, *c, kSIGCHLD);
  send_pdeath(x, *c);
  return advance();
}
Next reparent_reap(Ctx& x) {
  Task& c = task_arg(x, kCursor);
  fn(x, Fn::kill_orphaned_pgrp);
  kill_orphaned_pgrp(x, c, &x.t);
  if (x.f.a[kResult] && c.exit_state == EXIT_ZOMBIE) {
    c.exit_state = EXIT_DEAD;
    ++x.k.totals.autoreaped;
    release_task_now(x, c);
  }
  return jump(kPcReparent);
}

Next orphaned_pgrp(Ctx& x) {
  if (x.f.a[kGroupDead]) kill_orphaned_pgrp(x, *x.t.group_leader, nullptr);
  return advance();
}

Next notify_parent(Ctx& x) {
  Task& t = x.t;
  x.f.a[kResult] = 0;
  const bool whole = t.group_leader == &t && thread_group_empty(t);
  if (t.ptrace) [[unlikely]]
    call_notify_parent(x, t, whole && !ptrace_reparented(t) ? t.exit_signal : kSIGCHLD);
  else if (whole)
    call_notify_parent(x, t, t.exit_signal);
  return advance();
}

/// The end of exit_notify: zombie, or dead at once; an execing thread that waits for its leader goes on; tasklist_lock is free again.
Next notify_end(Ctx& x) {
  Task& t = x.t;
  const bool autoreap = (t.group_leader != &t && !t.ptrace) || x.f.a[kResult];
  t.exit_state = autoreap ? EXIT_DEAD : EXIT_ZOMBIE;
  if (t.signal->notify_count < 0) call_ttwu(x, *t.signal->group_exit_task, TASK_NORMAL);
  x.k.emit(Tp::exit_notify, x.c, t.pid, t.real_parent->pid, autoreap);
  x.f.a[kCursor] = autoreap;
  return advance();
}
Next notify_unlock(Ctx& x) {
  Task& t = x.t;
  t.in_exit_notify = false;
  preempt_sub(x, 1);
  if (t.spin_target) release_spinners(x.k, t);
  if (!x.f.a[kCursor]) return jump(kPcDead);
  ++x.k.totals.autoreaped;
  return advance();
}
Next self_reap(Ctx& x) {
  call(x, kReleaseTask).a[0] = as_arg(x.t);
  return advance();
}

/// do_task_dead: the last schedule; the next task frees the stack.
Next task_dead(Ctx& x) {
  Task& t = x.t;
  if (t.io_context) x.k.exit_io_context(t);
  if (t.user) x.k.user.task_gone(t.user);
  t.user = 0;
  if (t.kthread) x.k.put_kthread(*t.kthread);
  t.kthread = nullptr;
  t.flags |= PF_EXITPIDONE;
  count_workload(x.k, t, -1);
  t.state = TASK_DEAD;
  call(x, kSchedule);
  return advance();
}
Next not_reached(Ctx&) {
  FS_CONTRACT(false, "a dead task was scheduled");
  return ret();
}

constexpr u16 kTasklist = LockSet::tasklist_write;
/// exit_signals takes siglock only when there are other threads.
LockWord* exit_lock(Ctx& x, LockId id) { return id == LockId::siglock && thread_group_empty(x.t) ? nullptr : x.k.lock_of(x, id); }

constexpr Step kDoExitSteps[] = {
    {exit_begin, Phase::count_, nullptr, 0, marks<enters<Fn::do_exit>>},
    {exit_signals, Phase::count_, nullptr, 0, marks<pays<Fn::exit_signals>, calls<Fn::__percpu_down_read>, calls<Fn::__percpu_up_read>>,
     LockSet::threadgroup_read | LockSet::siglock},
    {exit_account, Phase::count_, early_cost, 0, marks<calls<Fn::sync_mm_rss, has_mm>>},
    {exit_robust, Phase::count_, robust_cost, 0,
     marks<enters<Fn::exit_mm, outside<Fn::exit_mm>>, enters<Fn::mm_release, outside<Fn::mm_release>>,
           enters<Fn::exit_robust_list, robust_begins>>},
    {release_tid, Phase::count_, tid_cost, 0, marks<leaves<Fn::exit_robust_list>, enters<Fn::do_futex, clears_tid>>},
    {vfork_done, Phase::count_, nullptr, 0, marks<leaves<Fn::do_futex>>},
    {exit_mm, Phase::count_, mm_cost, StepFlag::kCondResched | StepFlag::kMightSleep | StepFlag::kMm,
     marks<leaves<Fn::mm_release>, calls<Fn::sync_mm_rss, has_mm>, enters<Fn::mmput, has_mm>, calls<Fn::exit_aio, last_mm>,
           enters<Fn::exit_mmap, last_mm>>},
    {exit_files, Phase::count_, files_cost, StepFlag::kCondResched, marks<pays<Fn::exit_files>, pays<Fn::put_files_struct, last_files>>},
    {exit_fs, Phase::count_, nullptr, 0, marks<pays<Fn::exit_fs>, calls<Fn::path_put, last_fs>, calls<Fn::path_put, last_fs>>},
    {exit_rest, Phase::count_, late_cost, 0,
     marks<calls<Fn::disassociate_ctty, group_dead>, enters<Fn::exit_task_namespaces>, calls<Fn::switch_task_namespaces>,
           leaves<Fn::exit_task_namespaces>, calls<Fn::task_work_run>>},
    {find_child_reaper, Phase::count_, nullptr, 0},
    {notify_begin, Phase::count_, nullptr, kNoPreempt,
     marks<enters<Fn::exit_tasks_rcu_start>, calls<Fn::__srcu_read_lock>, leaves<Fn::exit_tasks_rcu_start>, enters<Fn::exit_notify>,
           enters<Fn::forget_original_parent>, calls<Fn::task_active_pid_ns>>,
     kTasklist},
    {reparent_child, Phase::count_, nullptr, kNoPreempt, nullptr, kTasklist},
    {reparent_reap, Phase::count_, nullptr, kNoPreempt, nullptr, kTasklist},
    {orphaned_pgrp, Phase::count_, nullptr, kNoPreempt,
     marks<leaves<Fn::forget_original_parent>, calls<Fn::kill_orphaned_pgrp, group_dead>>, kTasklist},
    {notify_parent, Phase::exit_notify, nullptr, kNoPreempt, nullptr, kTasklist},
    {notify_end, Phase::count_, nullptr, kNoPreempt, nullptr, kTasklist},
    {notify_unlock, Phase::count_, nullptr, kNoPreempt, nullptr, kTasklist},
    {self_reap, Phase::count_, nullptr, 0},
    {task_dead, Phase::count_, nullptr, kNoPreempt,
     marks<leaves<Fn::exit_notify>, calls<Fn::exit_rcu>, enters<Fn::exit_tasks_rcu_finish>, calls<Fn::__srcu_read_unlock>,
           leaves<Fn::exit_tasks_rcu_finish>, enters<Fn::do_task_dead>>},
    {not_reached, Phase::count_, nullptr, kNoPreempt},
    {park, Phase::count_, nullptr, 0},
};
static_assert(kDoExitSteps[kPcReparent].effect == reparent_child && kDoExitSteps[kPcReparentReap].effect == reparent_reap &&
              kDoExitSteps[kPcDead].effect == task_dead && kDoExitSteps[kPcPark].effect == park &&
              kDoExitSteps[kPcRobust].effect == exit_robust);

Next release_now(Ctx& x) {
  Task& t = task_arg(x);
  Task& leader = *t.group_leader;
  x.f.a[1] = as_arg(leader);
  x.f.a[kResult] = 0;
  const bool last = &leader != &t && leader.exit_state == EXIT_ZOMBIE && t.signal->nr_threads == 2;
  if (last) call_notify_parent(x, leader, leader.exit_signal);
  release_task_now(x, t);
  return last ? advance() : jump(kPcReleaseEnd);
}
/// zap_leader: the last thread tells the parent of the zombie leader, or releases it.
Next release_leader(Ctx& x) {
  Task& leader = task_arg(x, 1);
  if (!x.f.a[kResult] || leader.exit_state != EXIT_ZOMBIE) return ret();
  leader.exit_state = EXIT_DEAD;
  ++x.k.totals.autoreaped;
  release_task_now(x, leader);
  return advance();
}
Next release_end(Ctx&) { return ret(); }
Next release_begin(Ctx&) { return advance(); }
constexpr Step kReleaseSteps[] = {
    {release_begin, Phase::count_, before_release_cost, 0, marks<enters<Fn::release_task>>},
    {release_now, Phase::count_, release_locked_cost, kNoPreempt, nullptr, kTasklist},
    {release_leader, Phase::count_, nullptr, kNoPreempt, nullptr, kTasklist},
    {release_end, Phase::count_, nullptr, kNoPreempt},
};
static_assert(kReleaseSteps[kPcReleaseEnd].effect == release_end);

/// Who is told: the tracer before the real parent, but of a stop of the whole process.
Task& notified(Ctx& x) {
  const Task& t = task_arg(x);
  return static_cast<NotifyStop>(x.f.a[2]) == NotifyStop::process ? *t.real_parent : *t.parent();
}

/// do_notify_parent and do_notify_parent_cldstop. A tracer that ignores SIGCHLD has its tracees to wait for all the same.
Next notify_signal(Ctx& x) {
  Task& t = task_arg(x);
  Task& parent = notified(x);
  const bool stop = x.f.a[2];
  int sig = static_cast<int>(static_cast<s64>(x.f.a[1]));
  if (!stop && sig != kSIGCHLD && t.parent_exec_id != parent.self_exec_id) sig = kSIGCHLD;
  const bool ignored = parent.sighand->action[kSIGCHLD] == SigDisposition::ign;
  const bool own_end = !stop && !t.ptrace;
  x.f.a[4] = own_end && sig == kSIGCHLD && (ignored || parent.sighand->nocldwait);
  if (sig == kSIGCHLD && ignored && (stop || own_end)) sig = 0;
  if (sig <= 0) return advance();
  Frame& f = call(x, kSendSignal);
  f.a[0] = as_arg(parent);
  f.a[1] = static_cast<u64>(sig);
  f.a[2] = x.f.a[3];
  f.a[4] = 1;
  return advance();
}
/// The parent's siglock is held from the signal to the end of the wake-up.
Next notify_wake(Ctx& x) {
  preempt_add(x, 1);
  Frame& f = call(x, kWakeParent);
  f.a[0] = as_arg(notified(x));
  f.a[1] = x.f.a[0];
  return advance();
}
Next notify_done(Ctx& x) {
  preempt_sub(x, 1);
  set_result(x, x.f.a[4]);
  return ret();
}
bool is_stop(Ctx& x) { return x.f.a[2]; }
bool is_end(Ctx& x) { return !x.f.a[2]; }

/// The parent's siglock over signal and wake-up; tasklist_lock is taken here for a stop or a continuation only.
LockWord* notify_lock(Ctx& x, LockId id) {
  if (id == LockId::siglock) return &notified(x).signal->siglock;
  return x.f.a[2] ? x.k.lock_of(x, id) : nullptr;
}
constexpr u16 kNotifyLocks = LockSet::tasklist_read | LockSet::siglock;
constexpr Step kNotifySteps[] = {
    {notify_signal, Phase::count_, nullptr, kNoPreempt,
     marks<enters<Fn::do_notify_parent, is_end>, enters<Fn::do_notify_parent_cldstop, is_stop>, calls<Fn::task_active_pid_ns>,
           calls<Fn::__task_pid_nr_ns>, calls<Fn::nsec_to_clock_t>, calls<Fn::nsec_to_clock_t>>,
     kNotifyLocks},
    {notify_wake, Phase::count_, nullptr, kNoPreempt, nullptr, kNotifyLocks},
    {notify_done, Phase::count_, nullptr, kNoPreempt},
};

/// sys_exit and sys_exit_group: do_group_exit kills the other threads first.
Next exit_enter(Ctx& x) {
  Signal& s = *x.t.signal;
  const bool group = x.f.a[1];
  trace_sys_enter(x, group ? Nr::exit_group : Nr::exit, x.f.a[0]);
  fn_enter(x, group ? Fn::sys_exit_group : Fn::sys_exit);
  if (group) fn_enter(x, Fn::do_group_exit);
  x.f.a[0] = (x.f.a[0] & 0xff) << 8;
  if (!group) return advance();
  if (s.group_exit()) {
    x.f.a[0] = static_cast<u64>(s.group_exit_code);
  } else if (!thread_group_empty(x.t)) {
    s.flags = SIGNAL_GROUP_EXIT;
    s.group_exit_code = static_cast<s32>(x.f.a[0]);
    call(x, kZapThreads).a[0] = as_arg(x.t);
  }
  return advance();
}
Next exit_call(Ctx& x) {
  call(x, kDoExit).a[0] = x.f.a[0];
  return advance();
}
constexpr Step kSysExitSteps[] = {
    {exit_enter, Phase::syscall_entry, nullptr, 0},
    {exit_call, Phase::count_, nullptr, 0},
    {not_reached, Phase::count_, nullptr, 0},
};

/// zap_other_threads.
Next zap_start(Ctx& x) {
  Signal& s = *x.t.signal;
  s.group_stop_count = 0;
  const u32 v = x.k.new_visit();
  for (Task* p = s.threads.front(); p; p = p->thread_node.next) {
    if (as_arg(*p) == x.f.a[0]) continue;
    p->jobctl &= ~(JOBCTL_PENDING_MASK | JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED);
    if (p->exit_state) continue;
    p->pending |= sigbit(kSIGKILL);
    x.k.visit(v).push_back(p);
  }
  call_wake_threads(x, v, WakeMode::kill);
  return advance();
}
Next zap_end(Ctx&) { return ret(); }
constexpr Step kZapSteps[] = {
    {zap_start, Phase::count_, nullptr, kNoPreempt, marks<enters<Fn::zap_other_threads>>, LockSet::siglock},
    {zap_end, Phase::count_, nullptr, kNoPreempt, nullptr, LockSet::siglock},
};

}  // namespace

const Path kDoExit{"do_exit", kDoExitSteps, exit_lock};
const Path kReleaseTask{"release_task", kReleaseSteps};
const Path kNotifyParent{"do_notify_parent", kNotifySteps, notify_lock};
const Path kSysExit{"do_group_exit", kSysExitSteps};
const Path kZapThreads{"zap_other_threads", kZapSteps};

}  // namespace forksim::km
