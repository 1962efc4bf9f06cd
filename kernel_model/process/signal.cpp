// Signals: generation, choice of the thread, delivery.
// Mirrors Linux 4.19 kernel/signal.c (__send_signal, prepare_signal, complete_signal, get_signal, do_signal_stop).
#include <bit>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

bool signal_pending_state(u32 state, const Task& t) {
  if (!(t.ti_flags & TIF_SIGPENDING)) return false;
  return (state & TASK_INTERRUPTIBLE) || ((state & TASK_WAKEKILL) && (t.pending & sigbit(kSIGKILL)));
}

void recalc_sigpending(Task& t) {
  const u64 all = t.pending | t.signal->shared_pending;
  if (all & ~t.blocked)
    t.ti_flags |= TIF_SIGPENDING;
  else
    t.ti_flags &= ~TIF_SIGPENDING;
}

void call_signal_wake_up(Ctx& x, const Task& t, bool kill) {
  Frame& f = call(x, kSignalWakeUp);
  f.a[0] = as_arg(t);
  f.a[1] = kill;
}

namespace {

constexpr s64 kResDelivered = 0, kResIgnored = 1, kResAlreadyPending = 2;
// Locals of kSendSignal; a[4] becomes the cursor of the wake loop.
enum SendLocal : u32 { kTarget = 0, kSig = 1, kCode = 2, kCharge = 3, kGroup = 4 };

bool sig_ignored(const Task& t, int sig) {
  if (t.blocked & sigbit(sig)) return false;
  const SigDisposition d = t.sighand->action[static_cast<u32>(sig)];
  if ((t.signal->flags & SIGNAL_UNKILLABLE) && d == SigDisposition::dfl) return true;
  return d == SigDisposition::ign || (d == SigDisposition::dfl && (sigbit(sig) & kIgnoredByDefault));
}

bool sig_fatal(const Task& t, int sig) {
  return t.sighand->action[static_cast<u32>(sig)] == SigDisposition::dfl && !(sigbit(sig) & (kIgnoredByDefault | kStopSignals));
}

bool wants_signal(const Task& t, int sig) {
  if ((t.blocked & sigbit(sig)) || (t.flags & PF_EXITING)) return false;
  if (sig == kSIGKILL) return true;
  if (t.state & (__TASK_STOPPED | __TASK_TRACED)) return false;
  return t.on_cpu || !(t.ti_flags & TIF_SIGPENDING);
}

Next report(Ctx& x, s64 res) {
  const Task& t = task_arg(x, kTarget);
  const s64 code = static_cast<s64>(x.f.a[kCode]);
  x.k.emit(Tp::signal_generate, x.c, static_cast<s64>(x.f.a[kSig]), 0, code, t.comm, t.pid, (x.f.a[kGroup] & 1), res);
  return ret();
}

Ns send_cost(Ctx& x) { return x.f.a[kCharge] ? x.k.cost(Phase::send_signal) : Ns(0); }

/// prepare_signal: stop signals and SIGCONT cancel each other; SIGCONT wakes stopped threads even when it is ignored.
Next send_prepare(Ctx& x) {
  Task& t = task_arg(x, kTarget);
  const int sig = static_cast<int>(x.f.a[kSig]);
  Signal& s = *t.signal;
  if (s.flags & SIGNAL_GROUP_EXIT) return advance();
  if (sigbit(sig) & kStopSignals) {
    s.shared_pending &= ~sigbit(kSIGCONT);
    for (Task* p = s.threads.front(); p; p = p->thread_node.next) p->pending &= ~sigbit(kSIGCONT);
  } else if (sig == kSIGCONT) {
    s.shared_pending &= ~kStopSignals;
    const bool stopped = s.flags & SIGNAL_STOP_STOPPED;
    if (stopped) s.flags = (s.flags & ~SIGNAL_STOP_STOPPED) | SIGNAL_CLD_CONTINUED | SIGNAL_STOP_CONTINUED;
    for (Task* p = s.threads.front(); p; p = p->thread_node.next) {
      p->pending &= ~kStopSignals;
      if (stopped) p->ti_flags |= TIF_SIGPENDING;
      if (p->state & __TASK_STOPPED) call_ttwu(x, *p, __TASK_STOPPED);
    }
  }
  return advance();
}

/// __send_signal after prepare_signal, then complete_signal's choice.
Next send_queue(Ctx& x) {
  Task& t = task_arg(x, kTarget);
  const int sig = static_cast<int>(x.f.a[kSig]);
  const bool group = x.f.a[kGroup] & 1;
  Signal& s = *t.signal;
  if (sig_ignored(t, sig)) return report(x, kResIgnored);
  u64& set = group ? s.shared_pending : t.pending;
  if (set & sigbit(sig)) return report(x, kResAlreadyPending);
  set |= sigbit(sig);
  s.code[static_cast<u32>(sig)] = static_cast<s8>(x.f.a[kCode]);
  Task* target = nullptr;
  if (wants_signal(t, sig)) target = &t;
  if (!target && group) {
    for (Task* p = s.threads.front(); p && !target; p = p->thread_node.next)
      if (wants_signal(*p, sig)) target = p;
  }
  if (!target) return report(x, kResDelivered);
  const bool fatal = sig_fatal(*target, sig) && !(s.flags & SIGNAL_GROUP_EXIT) && (sig == kSIGKILL || !(sigbit(sig) & kCoredump));
  if (fatal) {
    s.flags = SIGNAL_GROUP_EXIT;
    s.group_exit_code = sig;
    for (Task* p = s.threads.front(); p; p = p->thread_node.next) p->pending |= sigbit(kSIGKILL);
  }
  x.f.a[kGroup] |= (fatal ? 2 : 0) | (u64{fatal ? s.threads.front()->id.v : target->id.v} + 1) << 32;
  return advance();
}

/// signal_wake_up of the target, or of every thread when the signal is fatal. The cursor is a task id + 1 in the high half of a[4].
Next send_wake(Ctx& x) {
  const u64 cursor = x.f.a[kGroup] >> 32;
  if (!cursor) return report(x, kResDelivered);
  Task& t = x.k.task_pool[static_cast<u32>(cursor - 1)];
  const bool fatal = x.f.a[kGroup] & 2;
  const Task* following = fatal ? t.thread_node.next : nullptr;
  x.f.a[kGroup] = (x.f.a[kGroup] & 3) | (following ? u64{following->id.v} + 1 : 0) << 32;
  if (!t.exit_state) call_signal_wake_up(x, t, fatal || x.f.a[kSig] == kSIGKILL);
  return jump(2);
}

constexpr Step kSendSteps[] = {
    {send_prepare, Phase::count_, send_cost, StepFlag::kNoPreempt},
    {send_queue, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {send_wake, Phase::count_, nullptr, StepFlag::kNoPreempt},
};

Next wake_up_mark(Ctx& x) {
  Task& t = task_arg(x);
  t.ti_flags |= TIF_SIGPENDING;
  x.f.a[kResult] = 0;
  call_ttwu(x, t, TASK_INTERRUPTIBLE | (x.f.a[1] ? TASK_WAKEKILL : 0u));
  return advance();
}
/// kick_process: a target running on another CPU is interrupted so that it sees the signal.
Next wake_up_kick(Ctx& x) {
  const Task& t = task_arg(x);
  if (!x.f.a[kResult] && t.on_cpu && t.cpu != x.c.id) x.k.send_reschedule(x.c.id, t.cpu);
  return ret();
}
constexpr Step kWakeUpSteps[] = {
    {wake_up_mark, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {wake_up_kick, Phase::count_, nullptr, StepFlag::kNoPreempt},
};

/// dequeue_signal: private before shared, synchronous signals first, then the lowest number.
int dequeue_signal(Task& t) {
  constexpr u64 kSynchronous = sigbit(kSIGSEGV) | sigbit(kSIGBUS) | sigbit(kSIGILL) | sigbit(kSIGTRAP) | sigbit(kSIGFPE) | sigbit(kSIGSYS);
  for (u64* set : {&t.pending, &t.signal->shared_pending}) {
    const u64 ready = *set & ~t.blocked;
    if (!ready) continue;
    const u64 first = ready & kSynchronous ? ready & kSynchronous : ready;
    const int sig = std::countr_zero(first) + 1;
    *set &= ~sigbit(sig);
    return sig;
  }
  return 0;
}

bool anything_to_deliver(const Task& t) { return ((t.pending | t.signal->shared_pending) & ~t.blocked) || (t.signal->flags & SIGNAL_CLD_CONTINUED); }

Ns deliver_cost(Ctx& x) { return anything_to_deliver(x.t) ? x.k.cost(Phase::deliver_signal) : Ns(0); }

/// do_signal_stop: the group stops; the parent hears of it before the thread goes to sleep.
Next signal_stop(Ctx& x) {
  Signal& s = *x.t.signal;
  s.flags = (s.flags & ~SIGNAL_STOP_CONTINUED) | SIGNAL_STOP_STOPPED;
  s.stop_unreported = true;
  x.t.exit_code = kSIGSTOP;
  x.t.state = TASK_STOPPED;
  Frame& f = call(x, kNotifyParent);
  f.a[0] = as_arg(*x.t.group_leader);
  f.a[1] = kSIGCHLD;
  f.a[2] = 1;
  f.a[3] = kCLD_STOPPED;
  return jump(1);
}

void set_handler_frame(Ctx& x, int sig) {
  Task& t = x.t;
  t.frames.pop();
  t.frames.push(kUser);
  // The interrupted call's result waits for the handler's end; calls that no handler may restart have failed by now.
  const bool interrupted = t.result == -kERESTARTNOHAND || t.result == -kERESTART_RESTARTBLOCK;
  t.saved_result = interrupted ? -kEINTR : t.result;
  t.result = 0;
  ++t.handler_depth;
  x.k.user.enter_handler(t.user, sig);
}

/// What sa_handler shows: SIG_DFL 0, SIG_IGN 1, else an address (programs have none, so one stands for all).
u64 handler_address(SigDisposition d) {
  constexpr u64 kHandler = 0x400500;
  return d == SigDisposition::handler ? kHandler : d == SigDisposition::ign;
}

Next get_signal(Ctx& x) {
  Task& t = x.t;
  Signal& s = *t.signal;
  if (s.flags & SIGNAL_CLD_CONTINUED) {
    s.flags &= ~SIGNAL_CLD_CONTINUED;
    Frame& f = call(x, kNotifyParent);
    f.a[0] = as_arg(*t.group_leader);
    f.a[1] = kSIGCHLD;
    f.a[2] = 1;
    f.a[3] = kCLD_CONTINUED;
    return jump(0);
  }
  const int sig = dequeue_signal(t);
  recalc_sigpending(t);
  if (!sig) return ret();
  const SigDisposition d = sig == kSIGKILL ? SigDisposition::dfl : t.sighand->action[static_cast<u32>(sig)];
  x.k.emit(Tp::signal_deliver, x.c, sig, 0, s64{s.code[static_cast<u32>(sig)]}, handler_address(d), u64{0});
  if (d == SigDisposition::ign) return jump(0);
  if (d == SigDisposition::handler) {
    if (t.handler_depth == 0) {
      set_handler_frame(x, sig);
      return hold();
    }
    return jump(0);
  }
  if (sigbit(sig) & kIgnoredByDefault) return jump(0);
  if (sigbit(sig) & kStopSignals) return signal_stop(x);
  t.flags |= PF_SIGNALED;
  const int code = s.flags & SIGNAL_GROUP_EXIT ? s.group_exit_code : sig;
  call(x, kDoExit).a[0] = static_cast<u64>(code);
  if (!(s.flags & SIGNAL_GROUP_EXIT) && !thread_group_empty(t)) {
    s.flags = SIGNAL_GROUP_EXIT;
    s.group_exit_code = code;
    call(x, kZapThreads).a[0] = as_arg(t);
  }
  return advance();
}
/// After the parent's notification: sleep as stopped, unless a SIGCONT or SIGKILL came first.
Next stopped_sleep(Ctx& x) {
  if (x.t.state != TASK_RUNNING) call(x, kSchedule);
  return jump(0);
}

constexpr Step kGetSignalSteps[] = {
    {get_signal, Phase::count_, deliver_cost, StepFlag::kNoPreempt},
    {stopped_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt},
};

Next kill_enter(Ctx& x) {
  trace_sys_enter(x, Nr::kill, x.f.a[0], x.f.a[1]);
  Task* p = x.k.find_task(Pid(static_cast<s32>(x.f.a[0])));
  const int sig = static_cast<int>(x.f.a[1]);
  x.t.result = 0;
  if (sig < 0 || sig > 64) x.t.result = -kEINVAL;
  if (!p) x.t.result = -kESRCH;
  if (x.t.result || sig == 0) return advance();
  Frame& f = call(x, kSendSignal);
  f.a[kTarget] = as_arg(*p);
  f.a[kSig] = x.f.a[1];
  f.a[kCharge] = 1;
  f.a[kGroup] = 1;
  return advance();
}
Next kill_exit(Ctx& x) {
  trace_sys_exit(x, Nr::kill, x.t.result);
  return ret();
}
constexpr Step kKillSteps[] = {
    {kill_enter, Phase::syscall_entry, nullptr, 0},
    {kill_exit, Phase::syscall_exit, nullptr, 0},
};

Next sigreturn_enter(Ctx& x) {
  trace_sys_enter(x, Nr::rt_sigreturn);
  return advance();
}
/// The handler's user frame goes; the interrupted one below resumes.
Next sigreturn_exit(Ctx& x) {
  Task& t = x.t;
  t.frames.pop();
  t.frames.pop();
  --t.handler_depth;
  t.result = t.saved_result;
  recalc_sigpending(t);
  return hold();
}
constexpr Step kSigreturnSteps[] = {
    {sigreturn_enter, Phase::syscall_entry, nullptr, 0},
    {sigreturn_exit, Phase::sigreturn, nullptr, 0},
};

}  // namespace

const Path kSendSignal{"__send_signal", kSendSteps};
const Path kSignalWakeUp{"signal_wake_up", kWakeUpSteps};
const Path kGetSignal{"do_signal", kGetSignalSteps};
const Path kSysKill{"sys_kill", kKillSteps};
const Path kSysSigreturn{"sys_rt_sigreturn", kSigreturnSteps};

}  // namespace forksim::km
