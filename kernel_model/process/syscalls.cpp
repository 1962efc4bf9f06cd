// Small system calls: the empty one, sleep, pause, yield, and those that change task state.
// Mirrors Linux 4.19 kernel/time/hrtimer.c, kernel/sched/core.c do_sched_yield, kernel/sys.c. Scheduling is in sched_calls.cpp.
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

void trace_sys_enter(Ctx& x, s64 nr, u64 a0, u64 a1, u64 a2) { x.k.emit(Tp::sys_enter, x.c, nr, a0, a1, a2, 0, 0, 0); }
void trace_sys_exit(Ctx& x, s64 nr, s64 result) { x.k.emit(Tp::sys_exit, x.c, nr, result); }

namespace {

Op& op(Ctx& x) { return x.t.op[x.t.handler_depth]; }

// kSysNull: a[0] number, a[1] how many in a row.
Next null_enter(Ctx& x) {
  trace_sys_enter(x, static_cast<s64>(x.f.a[0]));
  return advance();
}
/// What the small calls return that there are: numbers as the caller's pid namespace has them, 0 for a parent outside.
s64 null_result(Ctx& x) {
  switch (static_cast<s64>(x.f.a[0])) {
    case Nr::getpid: return x.k.pid_nr_ns(x.t.tgid, *x.t.pid_ns);
    case Nr::getppid: return x.k.pid_nr_ns(x.t.group_leader->real_parent->tgid, *x.t.pid_ns);
    case Nr::getuid: return s64{x.t.cred->user->uid};
    default: return 0;
  }
}
Next null_exit(Ctx& x) {
  trace_sys_exit(x, static_cast<s64>(x.f.a[0]), null_result(x));
  x.t.result = 0;
  return --x.f.a[1] ? jump(0) : ret();
}
constexpr Step kNullSteps[] = {
    {null_enter, Phase::syscall_entry, nullptr, 0},
    {null_exit, Phase::syscall_exit, nullptr, 0},
};

// kSysNanosleep: a[0] ns or date, a[1] absolute, a[2] the date, a[3] how the sleeper may be woken (Op::arg of sleep). Other sleeps than the
// interruptible one are those of a driver, seen as a read.
s64 sleep_nr(const Ctx& x) { return x.f.a[3] ? Nr::read : Nr::clock_nanosleep; }
Next sleep_enter(Ctx& x) {
  x.f.a[3] = static_cast<u64>(op(x).arg);
  if (x.f.a[3])
    trace_sys_enter(x, Nr::read);
  else
    trace_sys_enter(x, Nr::clock_nanosleep, 1, x.f.a[1], x.f.a[0]);
  fn_enter(x, x.f.a[3] ? Fn::sys_read : Fn::sys_clock_nanosleep);
  if (!x.f.a[3]) fn_enter(x, Fn::hrtimer_nanosleep);
  return advance();
}
Next sleep_start(Ctx& x) {
  const Ns date = x.f.a[1] ? Ns(x.f.a[0]) : x.k.now() + Ns(x.f.a[0]);
  x.f.a[2] = date.v;
  if (date <= x.k.now()) return jump(3);
  x.k.arm_timer(x.c, x.t, date);
  constexpr u32 kStates[] = {TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, TASK_KILLABLE};
  x.t.state = kStates[x.f.a[3]];
  call(x, kSchedule);
  return advance();
}
/// A signal ends the sleep early; a restart goes on to the same date.
Next sleep_woken(Ctx& x) {
  const bool early = x.t.timer_seq != 0;
  x.k.cancel_timer(x.t);
  x.t.state = TASK_RUNNING;
  x.t.result = 0;
  if (!early) return advance();
  x.t.result = -kEINTR;
  if (x.f.a[3]) return advance();
  x.t.result = -kERESTART_RESTARTBLOCK;
  op(x).kind = OpKind::sleep_until;
  op(x).ns = Ns(x.f.a[2]);
  return advance();
}
Next sleep_exit(Ctx& x) {
  trace_sys_exit(x, sleep_nr(x), x.t.result);
  return ret();
}
constexpr Step kSleepSteps[] = {
    {sleep_enter, Phase::syscall_entry, nullptr, 0},
    {sleep_start, Phase::hrtimer_start, nullptr, StepFlag::kNoPreempt},
    {sleep_woken, Phase::count_, nullptr, 0},
    {sleep_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_clock_nanosleep>, leaves<Fn::sys_read>>},
};

Next pause_enter(Ctx& x) {
  trace_sys_enter(x, Nr::ppoll);
  fn_enter(x, Fn::sys_ppoll);
  return advance();
}
Next pause_sleep(Ctx& x) {
  if (x.t.ti_flags & TIF_SIGPENDING) {
    x.t.state = TASK_RUNNING;
    x.t.result = -kERESTARTNOHAND;
    return advance();
  }
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(1);
}
Next pause_exit(Ctx& x) {
  trace_sys_exit(x, Nr::ppoll, x.t.result);
  return ret();
}
constexpr Step kPauseSteps[] = {
    {pause_enter, Phase::syscall_entry, nullptr, 0},
    {pause_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {pause_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_ppoll>>},
};

Next yield_enter(Ctx& x) {
  trace_sys_enter(x, Nr::sched_yield);
  fn_enter(x, Fn::sys_sched_yield);
  return advance();
}
Next yield_schedule(Ctx& x) {
  {
    const Held rq_lock(x, 1);
    x.k.sched.yield_task(x.c.id);
  }
  call(x, kSchedule);
  return advance();
}
Next yield_exit(Ctx& x) {
  trace_sys_exit(x, Nr::sched_yield, 0);
  x.t.result = 0;
  return ret();
}
constexpr Step kYieldSteps[] = {
    {yield_enter, Phase::syscall_entry, nullptr, 0},
    {yield_schedule, Phase::sched_yield, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::rq},
    {yield_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_sched_yield>>},
};

s64 misc_nr(OpKind kind) {
  switch (kind) {
    case OpKind::sigaction: return Nr::rt_sigaction;
    case OpKind::setsid: return Nr::setsid;
    case OpKind::nice: return Nr::setpriority;
    case OpKind::ioprio_set: return Nr::ioprio_set;
    case OpKind::setuid: return Nr::setuid;
    case OpKind::sigprocmask: return Nr::rt_sigprocmask;
    case OpKind::setpgid: return Nr::setpgid;
    case OpKind::set_ctty:
    case OpKind::tcsetpgrp: return Nr::ioctl;
    default: return Nr::prctl;
  }
}
Next misc_enter(Ctx& x) {
  trace_sys_enter(x, misc_nr(op(x).kind));
  return advance();
}

void do_sigaction(Ctx& x) {
  const Op& o = op(x);
  const int sig = static_cast<int>(o.arg);
  x.t.result = -kEINVAL;
  if (sig < 1 || sig > 64 || sig == kSIGKILL || sig == kSIGSTOP) return;
  x.t.result = 0;
  x.t.sighand->action[static_cast<u32>(sig)] = static_cast<SigDisposition>(o.count);
  if (sig == kSIGCHLD) x.t.sighand->nocldwait = o.flag;
}
void do_setsid(Ctx& x) {
  Signal& s = *x.t.signal;
  x.t.result = -kEPERM;
  if (s.leader || x.k.pgrp_members(x.t.tgid).front()) return;
  x.k.change_pgrp(s, x.t.tgid);
  if (s.session.v) x.k.put_pid(s.session);
  s.session = x.t.tgid;
  x.k.pids.get(s.session);
  s.leader = true;
  s.tty = nullptr;
  x.k.autogroup_create_attach(s);
  x.t.result = x.t.tgid.v;
}
/// setpgid: of oneself, or of a child that has not exec'ed, within the session.
s64 do_setpgid(Ctx& x) {
  const Op& o = op(x);
  Task& self = *x.t.group_leader;
  Task* p = o.pid.v ? x.k.find_task_by_vpid(o.pid, x.t) : &self;
  if (o.arg < 0) return -kEINVAL;
  if (!p || !p->sighand) return -kESRCH;
  if (p->group_leader != p) return -kEINVAL;
  const Pid pgid = o.arg ? Pid(static_cast<s32>(o.arg)) : p->pid;
  if (p->real_parent->signal == self.signal) {
    if (p->signal->session != self.signal->session) return -kEPERM;
    if (!(p->flags & PF_FORKNOEXEC)) return -kEACCES;
  } else if (p != &self) {
    return -kESRCH;
  }
  if (p->signal->leader) return -kEPERM;
  if (pgid != p->pid) {
    const Signal* member = x.k.find_vgroup(pgid, x.t);
    if (!member || member->session != self.signal->session) return -kEPERM;
  }
  if (p->signal->pgrp != pgid) x.k.change_pgrp(*p->signal, pgid);
  x.k.emit(Tp::task_attr, x.c, p->pid, p->prio, p->signal->pgrp, p->signal->session, p->cred->user->uid);
  return 0;
}

void trace_tty(Ctx& x) { x.k.emit(Tp::tty, x.c, x.t.pid, s64{x.t.signal->tty->index}, x.t.signal->tty->pgrp); }

/// TIOCSCTTY of a pty nobody has, and TIOCSPGRP.
s64 do_set_ctty(Ctx& x) {
  Signal& s = *x.t.signal;
  if (!s.leader || s.tty) return -kEPERM;
  s.tty = &x.k.new_tty();
  s.tty->session = s.session;
  s.tty->pgrp = s.pgrp;
  trace_tty(x);
  return 0;
}
s64 do_tcsetpgrp(Ctx& x) {
  Signal& s = *x.t.signal;
  if (!s.tty || s.tty->session != s.session) return -kENOTTY;
  const Pid pgid = op(x).arg ? Pid(static_cast<s32>(op(x).arg)) : s.pgrp;
  const Signal* member = x.k.find_vgroup(pgid, x.t);
  if (!member) return -kESRCH;
  if (member->session != s.session) return -kEPERM;
  s.tty->pgrp = pgid;
  trace_tty(x);
  return 0;
}

/// Signals that become blocked go to a thread that does not block them; unblocked ones are delivered on the way out.
void do_sigprocmask(Ctx& x) {
  Task& t = x.t;
  const u64 set = op(x).count & ~(sigbit(kSIGKILL) | sigbit(kSIGSTOP));
  const u64 before = t.blocked;
  t.blocked = op(x).arg == 0 ? before | set : op(x).arg == 1 ? before & ~set : set;
  if ((t.ti_flags & TIF_SIGPENDING) && !thread_group_empty(t)) retarget_shared_pending(x, t, t.blocked & ~before);
  recalc_sigpending(t);
}

/// PR_SET_CHILD_SUBREAPER also marks every descendant, so that their orphans look for us.
void mark_descendants(Task& t) {
  for (Task* c = t.children.front(); c; c = c->sibling.next) {
    c->signal->has_child_subreaper = true;
    mark_descendants(*c);
  }
}
/// What ps shows of the task has changed.
void trace_attr(Ctx& x) { x.k.emit(Tp::task_attr, x.c, x.t.pid, x.t.prio, x.t.signal->pgrp, x.t.signal->session, x.t.cred->user->uid); }

/// setuid with glibc's broadcast: every thread gets credentials of the new user, whose processes it counts among from now on.
s64 do_setuid(Ctx& x) {
  const u32 uid = static_cast<u32>(op(x).arg);
  if (!x.t.cred->capable() && x.t.cred->user->uid != uid) return -kEPERM;
  for (Task* p = x.t.signal->threads.front(); p; p = p->thread_node.next) {
    Cred& old = *p->cred;
    --old.user->processes;
    x.k.get_cred(*p, x.k.new_cred(x.k.user_of(uid)));
    x.k.put_cred(old);
  }
  trace_attr(x);
  return 0;
}

/// ioprio_set(IOPRIO_WHO_PROCESS, 0): the real-time class is for CAP_SYS_ADMIN; the first one makes the I/O context.
s64 do_ioprio_set(Ctx& x) {
  constexpr u32 kRealtime = 1;
  const u32 ioprio = static_cast<u32>(op(x).arg);
  if (ioprio >> kIoprioClassShift == kRealtime && !x.t.cred->capable()) return -kEPERM;
  if (!x.t.io_context) x.k.new_io_context(x.t, ioprio);
  x.t.io_context->ioprio = ioprio;
  return 0;
}

Next misc_apply(Ctx& x) {
  const Op& o = op(x);
  if (o.kind == OpKind::nice && target_waits_for_attach(x)) return jump(1);
  x.t.result = 0;
  switch (o.kind) {
    case OpKind::sigaction: do_sigaction(x); break;
    case OpKind::setsid:
      do_setsid(x);
      trace_attr(x);
      break;
    case OpKind::nice:
      x.t.result = do_setpriority(x);
      break;
    case OpKind::setuid: x.t.result = do_setuid(x); break;
    case OpKind::ioprio_set: x.t.result = do_ioprio_set(x); break;
    case OpKind::sigprocmask: do_sigprocmask(x); break;
    case OpKind::setpgid: x.t.result = do_setpgid(x); break;
    case OpKind::set_ctty: x.t.result = do_set_ctty(x); break;
    case OpKind::tcsetpgrp: x.t.result = do_tcsetpgrp(x); break;
    case OpKind::pdeath_signal: x.t.pdeath_signal = static_cast<s32>(o.arg); break;
    case OpKind::set_name: x.k.rename(x.c, x.t, x.k.name(o.name.substr(0, 15))); break;
    case OpKind::subreaper:
      x.t.signal->is_child_subreaper = o.arg;
      if (o.arg) mark_descendants(x.t);
      break;
    default: break;
  }
  return advance();
}
Next misc_exit(Ctx& x) {
  trace_sys_exit(x, misc_nr(op(x).kind), x.t.result);
  return ret();
}
/// Which of its locks a call takes.
LockWord* misc_lock(Ctx& x, LockId id) {
  LockId wanted = LockId::count_;
  switch (op(x).kind) {
    case OpKind::setsid:
    case OpKind::setpgid: wanted = LockId::tasklist_write; break;
    case OpKind::subreaper: wanted = LockId::tasklist_read; break;
    case OpKind::sigaction:
    case OpKind::sigprocmask: wanted = LockId::siglock; break;
    case OpKind::nice: return id == LockId::pi || id == LockId::rq ? target_lock(x, id) : nullptr;
    default: break;
  }
  return id == wanted ? x.k.lock_of(x, id) : nullptr;
}
constexpr u16 kMiscLocks = LockSet::tasklist_read | LockSet::tasklist_write | LockSet::siglock | LockSet::pi | LockSet::rq;
constexpr Step kMiscSteps[] = {
    {misc_enter, Phase::syscall_entry, nullptr, 0},
    {misc_apply, Phase::sys_misc, nullptr, 0, nullptr, kMiscLocks},
    {misc_exit, Phase::syscall_exit, nullptr, 0},
};

// kSysOpenClose: one system call per descriptor; a[0] counts those done.
s64 open_close_nr(Ctx& x) { return op(x).kind == OpKind::open ? Nr::openat : Nr::close; }
Next file_enter(Ctx& x) {
  trace_sys_enter(x, open_close_nr(x));
  return advance();
}
Ns file_cost(Ctx& x) { return x.k.cost(op(x).kind == OpKind::open ? Phase::open_file : Phase::close_file); }
Next file_apply(Ctx& x) {
  Files& f = *x.t.files;
  if (op(x).kind == OpKind::open)
    ++f.fds;
  else if (f.fds)
    --f.fds;
  return advance();
}
Next file_exit(Ctx& x) {
  trace_sys_exit(x, open_close_nr(x), 0);
  x.t.result = 0;
  return ++x.f.a[0] < op(x).count ? jump(0) : ret();
}
constexpr Step kFileSteps[] = {
    {file_enter, Phase::syscall_entry, nullptr, 0},
    {file_apply, Phase::count_, file_cost, StepFlag::kMightSleep},
    {file_exit, Phase::syscall_exit, nullptr, 0},
};

}  // namespace

const Path kSysNull{"sys_null", kNullSteps};
const Path kSysNanosleep{"sys_clock_nanosleep", kSleepSteps};
const Path kSysPause{"sys_ppoll", kPauseSteps};
const Path kSysYield{"sys_sched_yield", kYieldSteps};
const Path kSysMisc{"sys_prctl", kMiscSteps, misc_lock};
const Path kSysOpenClose{"sys_openat", kFileSteps};

}  // namespace forksim::km
