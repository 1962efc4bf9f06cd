// ptrace: events, stops, attach and detach.
// Mirrors Linux 4.19 kernel/ptrace.c, include/linux/ptrace.h, and ptrace_stop of kernel/signal.c. A stop costs what a signal to the tracer
// costs, a request what a small system call costs; no row of its own.
#include "kernel_model/process/ptrace.hpp"

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

u32 choose_fork_event(const Task& t, u64 flags) {
  if (flags & kCLONE_UNTRACED) return 0;
  const u32 event = (flags & kCLONE_VFORK) ? PTRACE_EVENT_VFORK : (flags & kCSIGNAL) != kSIGCHLD ? PTRACE_EVENT_CLONE : PTRACE_EVENT_FORK;
  return ptrace_event_enabled(t, event) ? event : 0;
}

bool set_jobctl_pending(Task& t, u32 mask) {
  if ((t.flags & PF_EXITING) || ((t.ti_flags & TIF_SIGPENDING) && (t.pending & sigbit(kSIGKILL)))) return false;
  t.jobctl |= mask;
  return true;
}

namespace {

constexpr u8 kNoPreempt = StepFlag::kNoPreempt;

void ptrace_link(Task& t, Task& tracer) {
  t.tracer = &tracer;
  tracer.ptraced.push_front(&t);
}

/// __ptrace_unlink: a stopped tracee goes on; one whose group is stopped joins that.
void unlink_and_wake(Ctx& x, Task& t) {
  ptrace_unlink(t);
  const Signal& s = *t.signal;
  if (!(t.flags & PF_EXITING) && ((s.flags & SIGNAL_STOP_STOPPED) || s.group_stop_count)) t.jobctl |= JOBCTL_STOP_PENDING;
  if ((t.jobctl & JOBCTL_STOP_PENDING) || (t.state & __TASK_TRACED)) call_signal_wake_up_state(x, t, __TASK_TRACED);
}

}  // namespace

void ptrace_unlink(Task& t) {
  if (!t.ptrace) return;
  t.tracer->ptraced.remove(&t);
  t.tracer = nullptr;
  t.ptrace = 0;
  t.jobctl &= ~JOBCTL_TRAP_MASK;
}

void ptrace_init_task(const Task& parent, Task& child) {
  child.ptrace = parent.ptrace;
  ptrace_link(child, *parent.tracer);
  if (child.ptrace & PT_SEIZED)
    set_jobctl_pending(child, JOBCTL_TRAP_STOP);
  else
    child.pending |= sigbit(kSIGSTOP);
}

void call_ptrace_stop(Ctx& x, s32 code, int why) {
  Frame& f = call(x, kPtraceStop);
  f.a[0] = static_cast<u64>(s64{code});
  f.a[1] = static_cast<u64>(s64{why});
}

void call_ptrace_event(Ctx& x, u32 event) { call_ptrace_stop(x, stop_code(event), kCLD_TRAPPED); }

namespace {

// kPtraceStop: a[0] exit_code, a[1] si_code, a[2]: a group stop is complete with this task.
Next stop_begin(Ctx& x) {
  Task& t = x.t;
  const int why = static_cast<int>(x.f.a[1]);
  t.state = TASK_TRACED;
  t.exit_code = static_cast<s32>(x.f.a[0]);
  x.f.a[2] = why == kCLD_STOPPED && (t.jobctl & JOBCTL_STOP_PENDING) && participate_group_stop(t);
  t.jobctl &= ~JOBCTL_TRAP_STOP;
  if (static_cast<u32>(t.exit_code) >> 8 == PTRACE_EVENT_STOP) t.jobctl &= ~JOBCTL_TRAP_NOTIFY;
  return advance();
}
/// A tracer that has gone meanwhile is not waited for: an event is over then, a signal is taken.
Next stop_notify(Ctx& x) {
  Task& t = x.t;
  if (!t.ptrace) {
    if (x.f.a[2]) call_notify_cldstop(x, t, kCLD_STOPPED);
    t.state = TASK_RUNNING;
    if (t.exit_code >> 8) t.exit_code = 0;
    return advance();
  }
  if (x.f.a[2] && ptrace_reparented(t)) call_notify_cldstop(x, t, kCLD_STOPPED);
  call_notify_tracer(x, t, static_cast<int>(x.f.a[1]));  // runs first
  return advance();
}
/// Sleeps unless the tracer was faster; a SIGKILL ends it (TASK_TRACED has TASK_WAKEKILL).
Next stop_sleep(Ctx& x) {
  if (x.t.state != TASK_RUNNING) call(x, kSchedule);
  return advance();
}
Next stop_end(Ctx& x) {
  recalc_sigpending(x.t);
  return ret();
}
constexpr Step kPtraceStopSteps[] = {
    {stop_begin, Phase::send_signal, nullptr, kNoPreempt, nullptr, LockSet::siglock},
    {stop_notify, Phase::count_, nullptr, kNoPreempt},
    {stop_sleep, Phase::count_, nullptr, kNoPreempt},
    {stop_end, Phase::count_, nullptr, kNoPreempt, nullptr, LockSet::siglock},
};

// kPtraceDetach: a[0] tracee.
bool ignores_children(const Task& t) { return t.sighand->action[kSIGCHLD] == SigDisposition::ign || t.sighand->nocldwait; }

/// __ptrace_detach: a dead tracee that its real parent has not heard of is told, or released.
Next detach(Ctx& x) {
  Task& t = task_arg(x);
  x.f.a[kResult] = 0;
  if (t.exit_state != EXIT_ZOMBIE) {
    unlink_and_wake(x, t);
    return advance();
  }
  ptrace_unlink(t);
  if (t.group_leader != &t) {
    x.f.a[kResult] = 1;
  } else if (thread_group_empty(t) && t.real_parent->signal != x.t.signal) {
    call_notify_parent(x, t, t.exit_signal);
  } else if (thread_group_empty(t) && ignores_children(x.t)) {
    x.f.a[kResult] = 1;
    Frame& f = call(x, kWakeParent);
    f.a[0] = as_arg(x.t);
    f.a[1] = as_arg(t);
  }
  return advance();
}
Next detach_end(Ctx& x) {
  Task& t = task_arg(x);
  if (!x.f.a[kResult] || t.exit_state != EXIT_ZOMBIE) return ret();
  t.exit_state = EXIT_DEAD;
  ++x.k.totals.autoreaped;
  call(x, kReleaseTask).a[0] = as_arg(t);
  return advance();
}
Next detach_done(Ctx&) { return ret(); }
constexpr Step kPtraceDetachSteps[] = {
    {detach, Phase::count_, nullptr, kNoPreempt, nullptr, LockSet::tasklist_write},
    {detach_end, Phase::count_, nullptr, kNoPreempt, nullptr, LockSet::tasklist_write},
    {detach_done, Phase::count_, nullptr, kNoPreempt},
};

/// exit_ptrace: each tracee in turn.
Next exit_ptrace(Ctx& x) {
  Task* t = x.t.ptraced.front();
  if (!t) return ret();
  call(x, kPtraceDetach).a[0] = as_arg(*t);
  return jump(0);
}
constexpr Step kExitPtraceSteps[] = {{exit_ptrace, Phase::count_, nullptr, kNoPreempt, nullptr, LockSet::tasklist_write}};

// kSysPtrace: a[0] request, a[1] pid, a[2] data.
enum Pc : u16 { kPcExit = 4 };
Task* tracee(Ctx& x) { return x.k.find_task_by_vpid(Pid(static_cast<s32>(x.f.a[1])), x.t); }
PtraceRequest request(const Ctx& x) { return static_cast<PtraceRequest>(x.f.a[0]); }
Next finish(Ctx& x, s64 result) {
  x.t.result = result;
  return jump(kPcExit);
}

/// ptrace_attach of PTRACE_SEIZE: the tracee goes on; one in a group stop traps into it.
s64 seize(Ctx& x, Task& t) {
  const bool may_access = x.t.cred->capable() || x.t.cred->user == t.cred->user;
  if ((t.flags & PF_KTHREAD) || t.signal == x.t.signal || !may_access || t.exit_state || t.ptrace) return -kEPERM;
  t.ptrace = PT_PTRACED | PT_SEIZED | static_cast<u32>(x.f.a[2]) << PT_OPT_FLAG_SHIFT;
  ptrace_link(t, x.t);
  if ((t.state & __TASK_STOPPED) && set_jobctl_pending(t, JOBCTL_TRAP_STOP)) call_signal_wake_up_state(x, t, __TASK_STOPPED);
  return 0;
}

/// ptrace_check_attach: traced by this thread, and stopped.
bool attached_and_stopped(const Ctx& x, const Task* t) {
  return t && t->tracer == &x.t && (t->state & __TASK_TRACED) && !(t->pending & sigbit(kSIGKILL));
}

Next ptrace_enter(Ctx& x) {
  trace_sys_enter(x, Nr::ptrace, x.f.a[0], x.f.a[1]);
  return advance();
}
Next ptrace_check(Ctx& x) {
  Task* t = tracee(x);
  if (!t || !t->sighand) return finish(x, -kESRCH);
  if (request(x) == PtraceRequest::seize) return finish(x, seize(x, *t));
  return attached_and_stopped(x, t) ? advance() : finish(x, -kESRCH);
}
/// wait_task_inactive: until the tracee has left its CPU.
Ns inactive_cost(Ctx& x) {
  Task* t = tracee(x);
  return t && t->on_cpu ? spin_for(x, *t) : Ns(0);
}
Next inactive(Ctx& x) {
  x.c.spin_on = nullptr;
  return advance();
}
/// ptrace_resume and ptrace_detach: the tracee finds the signal it is to take in exit_code.
Next ptrace_act(Ctx& x) {
  Task* t = tracee(x);
  if (!attached_and_stopped(x, t)) return finish(x, -kESRCH);
  t->exit_code = static_cast<s32>(x.f.a[2]);
  x.t.result = 0;
  if (request(x) == PtraceRequest::detach)
    call(x, kPtraceDetach).a[0] = as_arg(*t);
  else
    call_ttwu(x, *t, __TASK_TRACED);
  return advance();
}
Next ptrace_exit(Ctx& x) {
  trace_sys_exit(x, Nr::ptrace, x.t.result);
  return ret();
}
/// Links change under tasklist_lock held for writing; a resume takes it for reading to look.
LockWord* ptrace_lock(Ctx& x, LockId id) {
  const LockId wanted = request(x) == PtraceRequest::cont ? LockId::tasklist_read : LockId::tasklist_write;
  return id == wanted ? x.k.lock_of(x, id) : nullptr;
}
constexpr u16 kEither = LockSet::tasklist_read | LockSet::tasklist_write;
constexpr Step kSysPtraceSteps[] = {
    {ptrace_enter, Phase::syscall_entry, nullptr, 0},     {ptrace_check, Phase::sys_misc, nullptr, kNoPreempt, nullptr, kEither},
    {inactive, Phase::count_, inactive_cost, kNoPreempt}, {ptrace_act, Phase::count_, nullptr, kNoPreempt, nullptr, kEither},
    {ptrace_exit, Phase::syscall_exit, nullptr, 0},
};
static_assert(kSysPtraceSteps[kPcExit].effect == ptrace_exit);

}  // namespace

const Path kPtraceStop{"ptrace_stop", kPtraceStopSteps};
const Path kPtraceDetach{"__ptrace_detach", kPtraceDetachSteps};
const Path kExitPtrace{"exit_ptrace", kExitPtraceSteps};
const Path kSysPtrace{"sys_ptrace", kSysPtraceSteps, ptrace_lock};

}  // namespace forksim::km
