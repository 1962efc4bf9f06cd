// Signals: generation, choice of the thread, delivery.
// Mirrors Linux 4.19 kernel/signal.c (__send_signal, prepare_signal, complete_signal, get_signal, do_signal_stop).
#include <bit>
#include <utility>

#include "kernel_model/process/paths.hpp"
#include "kernel_model/process/ptrace.hpp"

namespace forksim::km {

bool signal_pending_state(u32 state, const Task& t) {
  if (!(t.ti_flags & TIF_SIGPENDING)) [[likely]]
    return false;
  return (state & TASK_INTERRUPTIBLE) || ((state & TASK_WAKEKILL) && (t.pending & sigbit(kSIGKILL)));
}

void recalc_sigpending(Task& t) {
  const u64 all = t.pending | t.signal->shared_pending;
  if ((all & ~t.blocked) || (t.jobctl & JOBCTL_PENDING_MASK))
    t.ti_flags |= TIF_SIGPENDING;
  else
    t.ti_flags &= ~TIF_SIGPENDING;
}

void call_signal_wake_up_state(Ctx& x, const Task& t, u32 state) {
  Frame& f = call(x, kSignalWakeUp);
  f.a[0] = as_arg(t);
  f.a[1] = state;
}
void call_signal_wake_up(Ctx& x, const Task& t, bool kill) { call_signal_wake_up_state(x, t, kill ? TASK_WAKEKILL : 0u); }

void call_wake_threads(Ctx& x, u32 visit, WakeMode mode) {
  Frame& f = call(x, kWakeThreads);
  f.a[0] = visit;
  f.a[1] = static_cast<u64>(mode);
}

void call_kill_each(Ctx& x, u32 visit, int sig, int code, bool charge, bool many) {
  Frame& f = call(x, kKillEach);
  f.a[0] = visit;
  f.a[1] = static_cast<u64>(sig);
  f.a[2] = static_cast<u64>(static_cast<s64>(code));
  f.a[3] = (charge ? 1 : 0) | (many ? 2 : 0);
}

u32 visit_pgrp(Core& k, Pid pgrp) {
  const u32 v = k.new_visit();
  for (Signal* s = k.pgrp_members(pgrp).front(); s; s = s->pgrp_node.next) k.visit(v).push_back(&s->group_leader());
  return v;
}

/// Gives shared signals in `which` to other threads that do not block them; those without a pending signal are woken.
void retarget_shared_pending(Ctx& x, Task& t, u64 which) {
  u64 retarget = t.signal->shared_pending & which;
  if (!retarget) return;
  const u32 v = x.k.new_visit();
  const auto other = [&](Task* p) {
    if (!retarget || p == &t || (p->flags & PF_EXITING) || !(retarget & ~p->blocked)) return;
    retarget &= p->blocked;
    if (!(p->ti_flags & TIF_SIGPENDING)) x.k.visit(v).push_back(p);
  };
  for (Task* p = t.thread_node.next; p; p = p->thread_node.next) other(p);
  for (Task* p = t.signal->threads.front(); p != &t; p = p->thread_node.next) other(p);
  call_wake_threads(x, v, WakeMode::signal);
}

/// task_participate_group_stop: whether this was the last thread of a stop, so that the parent must hear of it.
bool participate_group_stop(Task& t) {
  Signal& s = *t.signal;
  const bool consume = t.jobctl & JOBCTL_STOP_CONSUME;
  t.jobctl &= ~(JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED);
  if (!consume) return false;
  if (s.group_stop_count) --s.group_stop_count;
  if (s.group_stop_count || (s.flags & SIGNAL_STOP_STOPPED)) return false;
  s.flags = (s.flags & ~(SIGNAL_STOP_CONTINUED | SIGNAL_CLD_CONTINUED | SIGNAL_CLD_STOPPED)) | SIGNAL_STOP_STOPPED;
  return true;
}

void call_notify_cldstop(Ctx& x, const Task& t, int why) {
  Frame& f = call(x, kNotifyParent);
  f.a[0] = as_arg(*t.group_leader);
  f.a[1] = kSIGCHLD;
  f.a[2] = static_cast<u64>(NotifyStop::process);
  f.a[3] = static_cast<u64>(why);
}

void call_notify_tracer(Ctx& x, const Task& t, int why) {
  call_notify_cldstop(x, t, why);
  x.st.top().a[0] = as_arg(t);
  x.st.top().a[2] = static_cast<u64>(NotifyStop::traced);
}

bool will_become_orphaned_pgrp(const Core& k, Pid pgrp, const Task* ignored) {
  for (const Signal* s = k.pgrp_members(pgrp).front(); s; s = s->pgrp_node.next) {
    const Task& p = s->group_leader();
    const Task* parent = p.real_parent;
    if (&p == ignored || (p.exit_state && thread_group_empty(p)) || !parent || parent->tgid.v == 1) continue;
    if (parent->signal->pgrp != pgrp && parent->signal->session == s->session) return false;
  }
  return true;
}

namespace {

constexpr s64 kResDelivered = 0, kResIgnored = 1, kResAlreadyPending = 2;
// Locals of kSendSignal.
enum GetPc : u16 { kPcGet = 0, kPcStopped = 1, kPcTraced = 2 };
enum SendLocal : u32 { kTarget = 0, kSig = 1, kCode = 2, kCharge = 3, kGroup = 4 };

constexpr u64 kOneOfSeveral = 2;  // of kGroup

/// An init takes only what it has a handler for, and SIGKILL and SIGSTOP from a pid namespace above its own.
bool init_ignores(const Ctx& x, const Task& t, int sig) {
  const bool kernel_only = sig == kSIGKILL || sig == kSIGSTOP;
  const bool from_ancestor_ns = t.pid_ns && t.pid_ns->level && x.t.pid.v && !x.k.pid_nr_ns(x.t.pid, *t.pid_ns);
  return !(kernel_only && from_ancestor_ns);
}
bool sig_ignored(const Ctx& x, const Task& t, int sig) {
  if (t.blocked & sigbit(sig)) return false;
  if (t.ptrace && sig != kSIGKILL) return false;  // its tracer may want to know
  const SigDisposition d = t.sighand->action[static_cast<u32>(sig)];
  if ((t.signal->flags & SIGNAL_UNKILLABLE) && d == SigDisposition::dfl && init_ignores(x, t, sig)) return true;
  return d == SigDisposition::ign || (d == SigDisposition::dfl && (sigbit(sig) & kIgnoredByDefault));
}

/// Clones in progress: a stop and a continue cancel each other here too.
void delay_for_children(const Signal& s, int sig) {
  for (Task* t = s.forking.front(); t; t = t->multiprocess.next) {
    if (sig == kSIGCONT) t->delayed &= ~kStopSignals;
    if (sigbit(sig) & kStopSignals) t->delayed &= ~sigbit(kSIGCONT);
    t->delayed |= sigbit(sig);
  }
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

/// complete_signal's choice: the thread addressed, else round robin from curr_target for a signal to the process.
Task* choose_thread(Task& t, int sig, bool group) {
  if (wants_signal(t, sig)) return &t;
  Signal& s = *t.signal;
  if (!group || thread_group_empty(t)) return nullptr;
  if (!s.curr_target) s.curr_target = &t;
  Task* p = s.curr_target;
  do {
    if (wants_signal(*p, sig)) return s.curr_target = p;
    p = p->thread_node.next ? p->thread_node.next : s.threads.front();
  } while (p != s.curr_target);
  return nullptr;
}

Next report(Ctx& x, s64 res) {
  const Task& t = task_arg(x, kTarget);
  const s64 code = static_cast<s64>(x.f.a[kCode]);
  {
    const Held siglock(x, 0);  // counted by send_prepare
    x.k.emit(Tp::signal_generate, x.c, static_cast<s64>(x.f.a[kSig]), 0, code, t.comm, t.pid, x.f.a[kGroup] != 0, res);
  }
  preempt_sub(x, 1);
  return ret();
}

Ns send_cost(Ctx& x) { return x.f.a[kCharge] ? x.k.cost(Phase::send_signal) : Ns(0); }

/// ptrace_trap_notify of the threads that are traced: they trap once more to say that the group goes on.
void trap_notify(Ctx& x, Signal& s) {
  const u32 v = x.k.new_visit();
  for (Task* p = s.threads.front(); p; p = p->thread_node.next)
    if (p->ptrace && set_jobctl_pending(*p, JOBCTL_TRAP_NOTIFY)) x.k.visit(v).push_back(p);
  call_wake_threads(x, v, WakeMode::signal);
}

/// SIGCONT cancels stops and wakes stopped threads even when it is ignored.
void prepare_cont(Ctx& x, Signal& s) {
  s.shared_pending &= ~kStopSignals;
  const u32 cont = s.flags & SIGNAL_STOP_STOPPED ? SIGNAL_CLD_CONTINUED : s.group_stop_count ? SIGNAL_CLD_STOPPED : 0;
  const u32 v = x.k.new_visit();
  bool traced = false;
  for (Task* p = s.threads.front(); p; p = p->thread_node.next) {
    traced |= p->ptrace != 0;
    p->pending &= ~kStopSignals;
    p->jobctl &= ~(JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED);
    if (p->state & __TASK_STOPPED) x.k.visit(v).push_back(p);
  }
  call_wake_threads(x, v, WakeMode::stopped);
  if (traced) [[unlikely]]
    trap_notify(x, s);
  if (!cont) return;
  s.flags = (s.flags & ~(SIGNAL_STOP_STOPPED | SIGNAL_CLD_STOPPED)) | cont | SIGNAL_STOP_CONTINUED;
  s.group_stop_count = 0;
  s.group_exit_code = 0;
}

/// prepare_signal: stop signals and SIGCONT cancel each other.
Next send_prepare(Ctx& x) {
  Task& t = task_arg(x, kTarget);
  const int sig = static_cast<int>(x.f.a[kSig]);
  if (!t.sighand) return ret();
  preempt_add(x, 1);  // siglock
  Signal& s = *t.signal;
  if (s.flags & SIGNAL_GROUP_EXIT) return advance();
  if (sigbit(sig) & kStopSignals) {
    s.shared_pending &= ~sigbit(kSIGCONT);
    for (Task* p = s.threads.front(); p; p = p->thread_node.next) p->pending &= ~sigbit(kSIGCONT);
  } else if (sig == kSIGCONT) {
    prepare_cont(x, s);
  }
  return advance();
}

/// complete_signal for a fatal one: the whole group gets SIGKILL.
void kill_group(Ctx& x, Signal& s, int sig) {
  s.flags = SIGNAL_GROUP_EXIT;
  s.group_exit_code = sig;
  s.group_stop_count = 0;
  const u32 v = x.k.new_visit();
  for (Task* p = s.threads.front(); p; p = p->thread_node.next) {
    p->jobctl &= ~(JOBCTL_PENDING_MASK | JOBCTL_STOP_CONSUME | JOBCTL_STOP_DEQUEUED);
    p->pending |= sigbit(kSIGKILL);
    x.k.visit(v).push_back(p);
  }
  call_wake_threads(x, v, WakeMode::kill);
}

/// __send_signal after prepare_signal, then complete_signal's choice.
Next send_queue(Ctx& x) {
  Task& t = task_arg(x, kTarget);
  const int sig = static_cast<int>(x.f.a[kSig]);
  const bool group = x.f.a[kGroup];
  if (!t.sighand) {
    preempt_sub(x, 1);
    return ret();
  }
  Signal& s = *t.signal;
  if (sig_ignored(x, t, sig)) return report(x, kResIgnored);
  u64& set = group ? s.shared_pending : t.pending;
  if (set & sigbit(sig)) return report(x, kResAlreadyPending);
  set |= sigbit(sig);
  s.code[static_cast<u32>(sig)] = static_cast<s8>(x.f.a[kCode]);
  if (x.f.a[kGroup] == kOneOfSeveral) delay_for_children(s, sig);
  Task* target = choose_thread(t, sig, group);
  if (!target) return advance();
  fn_enter(x, Fn::complete_signal);
  const bool fatal =
      sig_fatal(*target, sig) && !(s.flags & SIGNAL_GROUP_EXIT) && (sig == kSIGKILL || !((sigbit(sig) & kCoredump) || t.ptrace));
  if (fatal)
    kill_group(x, s, sig);
  else
    call_signal_wake_up(x, *target, sig == kSIGKILL);
  return advance();
}
Next send_done(Ctx& x) { return report(x, kResDelivered); }

/// lock_task_sighand of the target.
LockWord* send_lock(Ctx& x, LockId) { return &task_arg(x, kTarget).signal->siglock; }

constexpr Step kSendSteps[] = {
    {send_prepare, Phase::count_, send_cost, StepFlag::kNoPreempt, marks<enters<Fn::__send_signal>>, LockSet::siglock},
    {send_queue, Phase::count_, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::siglock},
    {send_done, Phase::count_, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::siglock},
};

/// Wakes each; the visit is used up.
Next wake_thread(Ctx& x) {
  auto& list = x.k.visit(static_cast<u32>(x.f.a[0]));
  while (x.f.a[2] < list.size()) {
    Task& t = *list[x.f.a[2]++];
    if (!t.hashed || t.exit_state) continue;
    if (x.f.a[1] == static_cast<u64>(WakeMode::stopped))
      call_ttwu(x, t, __TASK_STOPPED);
    else
      call_signal_wake_up(x, t, x.f.a[1] == static_cast<u64>(WakeMode::kill));
    return jump(0);
  }
  x.k.end_visit(static_cast<u32>(x.f.a[0]));
  return ret();
}
constexpr Step kWakeThreadsSteps[] = {{wake_thread, Phase::count_, nullptr, StepFlag::kNoPreempt}};

/// group_send_sig_info to each process.
Next kill_each(Ctx& x) {
  auto& list = x.k.visit(static_cast<u32>(x.f.a[0]));
  while (x.f.a[4] < list.size()) {
    const Task& t = *list[x.f.a[4]++];
    if (!t.hashed || !t.sighand) continue;
    const u64 sig = x.f.a[1], code = x.f.a[2], charge = x.f.a[3];
    Frame& f = call(x, kSendSignal);
    f.a[kTarget] = as_arg(t);
    f.a[kSig] = sig;
    f.a[kCode] = code;
    f.a[kCharge] = charge & 1;
    f.a[kGroup] = charge & 2 ? kOneOfSeveral : 1;
    return jump(0);
  }
  x.k.end_visit(static_cast<u32>(x.f.a[0]));
  return ret();
}
constexpr Step kKillEachSteps[] = {{kill_each, Phase::count_, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::tasklist_read}};

Next wake_up_mark(Ctx& x) {
  Task& t = task_arg(x);
  t.ti_flags |= TIF_SIGPENDING;
  x.f.a[kResult] = 0;
  call_ttwu(x, t, TASK_INTERRUPTIBLE | static_cast<u32>(x.f.a[1]));
  return advance();
}
/// kick_process: a target running on another CPU is interrupted so that it sees the signal.
Next wake_up_kick(Ctx& x) {
  const Task& t = task_arg(x);
  if (!x.f.a[kResult] && t.on_cpu && t.cpu != x.c.id) x.k.send_reschedule(x.c.id, t.cpu);
  return ret();
}
constexpr Step kWakeUpSteps[] = {
    {wake_up_mark, Phase::count_, nullptr, StepFlag::kNoPreempt, marks<enters<Fn::signal_wake_up_state>>},
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
    if (sigbit(sig) & kStopSignals) t.jobctl |= JOBCTL_STOP_DEQUEUED;
    return sig;
  }
  return 0;
}

bool anything_to_deliver(const Task& t) {
  return ((t.pending | t.signal->shared_pending) & ~t.blocked) || (t.jobctl & JOBCTL_PENDING_MASK) ||
         (t.signal->flags & (SIGNAL_CLD_CONTINUED | SIGNAL_CLD_STOPPED));
}

Ns deliver_cost(Ctx& x) { return anything_to_deliver(x.t) ? x.k.cost(Phase::deliver_signal) : Ns(0); }

/// `sig` stops the group of `t`.
bool set_stop_pending(Task& t, int sig) {
  if (!set_jobctl_pending(t, JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME)) return false;
  t.jobctl = (t.jobctl & ~JOBCTL_STOP_SIGMASK) | static_cast<u32>(sig);
  return true;
}

/// do_signal_stop: this thread begins or joins the stop of its group; false when there is nothing to do after all, or a tracer hears first.
bool do_signal_stop(Ctx& x, int sig) {
  fn(x, Fn::do_signal_stop);
  Task& t = x.t;
  Signal& s = *t.signal;
  u32 v = 0;
  bool others = false;
  if (!(t.jobctl & JOBCTL_STOP_PENDING)) {
    if (!(t.jobctl & JOBCTL_STOP_DEQUEUED) || s.group_exit()) return false;
    if (!(s.flags & SIGNAL_STOP_STOPPED)) s.group_exit_code = sig;
    s.group_stop_count = set_stop_pending(t, sig);
    v = x.k.new_visit();
    others = true;
    for (Task* p = s.threads.front(); p; p = p->thread_node.next) {
      if (p == &t || (p->state & __TASK_STOPPED) || !set_stop_pending(*p, sig)) continue;
      ++s.group_stop_count;
      if (p->ptrace) p->jobctl |= JOBCTL_TRAP_NOTIFY;
      x.k.visit(v).push_back(p);
    }
  }
  if (t.ptrace) [[unlikely]] {
    set_jobctl_pending(t, JOBCTL_TRAP_STOP);
    if (others) call_wake_threads(x, v, WakeMode::signal);
    return false;
  }
  const bool last = participate_group_stop(t);
  t.state = TASK_STOPPED;
  if (last) call_notify_cldstop(x, t, kCLD_STOPPED);
  if (others) call_wake_threads(x, v, WakeMode::signal);
  return true;
}

void set_handler_frame(Ctx& x, int sig) {
  Task& t = x.t;
  fn_leave_all(x);
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

/// do_group_exit of a fatal signal.
Next die(Ctx& x, int sig) {
  Task& t = x.t;
  Signal& s = *t.signal;
  t.flags |= PF_SIGNALED;
  const int code = s.group_exit() ? s.group_exit_code : sig;
  fn_enter(x, Fn::do_group_exit);
  call(x, kDoExit).a[0] = static_cast<u64>(code);
  if (!s.group_exit() && !thread_group_empty(t)) {
    s.flags = SIGNAL_GROUP_EXIT;
    s.group_exit_code = code;
    call(x, kZapThreads).a[0] = as_arg(t);
  }
  return jump(kPcStopped);
}

/// A stop signal by default action; all but SIGSTOP do nothing in an orphaned process group.
Next stop_by_default(Ctx& x, int sig) {
  if (sig != kSIGSTOP && will_become_orphaned_pgrp(x.k, x.t.signal->pgrp, nullptr)) return jump(0);
  return do_signal_stop(x, sig) ? jump(kPcStopped) : jump(kPcGet);
}

/// do_jobctl_trap: the stop of a new tracee, and of one whose group is stopped.
Next jobctl_trap(Ctx& x) {
  const Task& t = x.t;
  const bool stopped = t.signal->group_stop_count || (t.signal->flags & SIGNAL_STOP_STOPPED);
  const int sig = stopped ? static_cast<int>(t.jobctl & JOBCTL_STOP_SIGMASK) : kSIGTRAP;
  call_ptrace_stop(x, stop_code(PTRACE_EVENT_STOP, sig), kCLD_STOPPED);
  return jump(kPcGet);
}

/// A signal that nobody holds back takes effect.
Next deliver(Ctx& x, int sig) {
  Task& t = x.t;
  Signal& s = *t.signal;
  const SigDisposition d = sig == kSIGKILL || sig == kSIGSTOP ? SigDisposition::dfl : t.sighand->action[static_cast<u32>(sig)];
  const Held siglock(x, 1);
  x.k.emit(Tp::signal_deliver, x.c, sig, 0, s64{s.code[static_cast<u32>(sig)]}, handler_address(d), u64{0});
  if (d == SigDisposition::ign) return jump(kPcGet);
  if (d == SigDisposition::handler) {
    if (t.handler_depth) return jump(kPcGet);
    set_handler_frame(x, sig);
    return hold();
  }
  if (sigbit(sig) & kIgnoredByDefault) return jump(kPcGet);
  if ((s.flags & SIGNAL_UNKILLABLE) && sig != kSIGKILL && sig != kSIGSTOP) return jump(kPcGet);
  if (sigbit(sig) & kStopSignals) return stop_by_default(x, sig);
  return die(x, sig);
}

/// ptrace_signal: the tracer hears of it first, and says which signal the tracee is to take.
Next ptrace_signal(Ctx& x, int sig) {
  x.t.jobctl |= JOBCTL_STOP_DEQUEUED;
  call_ptrace_stop(x, sig, kCLD_TRAPPED);
  return jump(kPcTraced);
}
Next after_ptrace_signal(Ctx& x) {
  Task& t = x.t;
  const s32 sig = std::exchange(t.exit_code, 0);
  if (!sig) return jump(kPcGet);
  if (!(t.blocked & sigbit(sig))) return deliver(x, sig);
  t.pending |= sigbit(sig);
  return jump(kPcGet);
}

Next get_signal(Ctx& x) {
  x.k.unlock(x);
  Task& t = x.t;
  Signal& s = *t.signal;
  if (s.flags & (SIGNAL_CLD_CONTINUED | SIGNAL_CLD_STOPPED)) {
    const int why = s.flags & SIGNAL_CLD_CONTINUED ? kCLD_CONTINUED : kCLD_STOPPED;
    s.flags &= ~(SIGNAL_CLD_CONTINUED | SIGNAL_CLD_STOPPED);
    if (ptrace_reparented(*t.group_leader)) call_notify_tracer(x, *t.group_leader, why);  // comes second
    call_notify_cldstop(x, t, why);
    return jump(0);
  }
  if (t.ptrace && s.group_exit()) [[unlikely]] {  // marked for death: no stop any more
    t.pending &= ~sigbit(kSIGKILL);
    recalc_sigpending(t);
    return deliver(x, kSIGKILL);
  }
  if ((t.jobctl & JOBCTL_STOP_PENDING) && do_signal_stop(x, 0)) return jump(kPcStopped);
  if (t.jobctl & JOBCTL_TRAP_MASK) [[unlikely]]
    return jobctl_trap(x);
  const int sig = dequeue_signal(t);
  fn(x, Fn::dequeue_signal);
  recalc_sigpending(t);
  if (!sig) return ret();
  if (t.ptrace && sig != kSIGKILL) [[unlikely]]
    return ptrace_signal(x, sig);
  return deliver(x, sig);
}
/// After the parent's notification: sleep as stopped, unless a SIGCONT or SIGKILL came first.
Next stopped_sleep(Ctx& x) {
  if (x.t.state != TASK_RUNNING) call(x, kSchedule);
  return jump(0);
}

constexpr Step kGetSignalSteps[] = {
    {get_signal, Phase::count_, deliver_cost, StepFlag::kNoPreempt,
     marks<enters<Fn::do_signal, outside<Fn::do_signal>>, enters<Fn::get_signal, outside<Fn::get_signal>>>, LockSet::siglock},
    {stopped_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt},
    {after_ptrace_signal, Phase::count_, nullptr, StepFlag::kNoPreempt},
};
static_assert(kGetSignalSteps[kPcStopped].effect == stopped_sleep && kGetSignalSteps[kPcTraced].effect == after_ptrace_signal);

/// check_kill_permission: the same user, CAP_KILL, or SIGCONT within the session.
bool may_signal(const Task& from, const Task& to, int sig) {
  if (from.cred->capable() || from.cred->user == to.cred->user) return true;
  return sig == kSIGCONT && from.signal->session == to.signal->session;
}

/// Whom kill(2) means: everybody for -1, a group below that and at 0.
u32 visit_targets(Ctx& x, s32 pid) {
  Core& k = x.k;
  if (pid != -1 && pid && !k.find_vgroup(Pid(-pid), x.t)) return k.new_visit();
  if (pid != -1) return visit_pgrp(k, pid ? Pid(-pid) : x.t.signal->pgrp);
  const u32 v = k.new_visit();
  k.for_each_process([&](Task& p) {
    if (p.signal != x.t.signal && k.pid_nr_ns(p.tgid, *x.t.pid_ns) > 1) k.visit(v).push_back(&p);
  });
  return v;
}

/// kill of several: succeeds when one may be signalled.
void kill_many(Ctx& x, s32 pid, int sig) {
  const u32 v = visit_targets(x, pid);
  auto& list = x.k.visit(v);
  const bool none = list.empty();
  std::erase_if(list, [&](Task* p) { return !may_signal(x.t, *p, sig); });
  if (none) x.t.result = -kESRCH;
  if (!none && list.empty()) x.t.result = -kEPERM;
  if (x.t.result || sig == 0) return x.k.end_visit(v);
  call_kill_each(x, v, sig, 0, true);
}

Next kill_enter(Ctx& x) {
  const bool thread = x.f.a[2];
  trace_sys_enter(x, thread ? Nr::tkill : Nr::kill, x.f.a[0], x.f.a[1]);
  fn_enter(x, thread ? Fn::sys_tkill : Fn::sys_kill);
  const s32 pid = static_cast<s32>(x.f.a[0]);
  const int sig = static_cast<int>(x.f.a[1]);
  x.t.result = sig < 0 || sig > 64 || (thread && pid <= 0) ? -kEINVAL : 0;
  if (x.t.result) return advance();
  if (pid <= 0 && !(thread)) {
    kill_many(x, pid, sig);
    return advance();
  }
  Task* p = x.k.find_task_by_vpid(Pid(pid), x.t);
  if (p && !thread) p = p->group_leader;
  if (!p || !p->sighand)
    x.t.result = -kESRCH;
  else if (!may_signal(x.t, *p, sig))
    x.t.result = -kEPERM;
  if (x.t.result || sig == 0) return advance();
  Frame& f = call(x, kSendSignal);
  f.a[kTarget] = as_arg(*p);
  f.a[kSig] = static_cast<u64>(sig);
  f.a[kCode] = thread ? static_cast<u64>(s64{kSI_TKILL}) : 0;
  f.a[kCharge] = 1;
  f.a[kGroup] = !thread;
  return advance();
}
Next kill_exit(Ctx& x) {
  trace_sys_exit(x, x.f.a[2] ? Nr::tkill : Nr::kill, x.t.result);
  return ret();
}
constexpr Step kKillSteps[] = {
    {kill_enter, Phase::syscall_entry, nullptr, 0},
    {kill_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_kill>, leaves<Fn::sys_tkill>>},
};

Next sigreturn_enter(Ctx& x) {
  trace_sys_enter(x, Nr::rt_sigreturn);
  fn_enter(x, Fn::sys_rt_sigreturn);
  return advance();
}
/// The handler's user frame goes; the interrupted one below resumes.
Next sigreturn_exit(Ctx& x) {
  Task& t = x.t;
  fn_leave_all(x);
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

const Path kSendSignal{"__send_signal", kSendSteps, send_lock};
const Path kWakeThreads{"signal_wake_up", kWakeThreadsSteps};
const Path kKillEach{"__kill_pgrp_info", kKillEachSteps};
const Path kSignalWakeUp{"signal_wake_up", kWakeUpSteps};
const Path kGetSignal{"do_signal", kGetSignalSteps};
const Path kSysKill{"sys_kill", kKillSteps};
const Path kSysSigreturn{"sys_rt_sigreturn", kSigreturnSteps};

}  // namespace forksim::km
