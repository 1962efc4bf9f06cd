// A task in user mode: fetches operations from its program, takes page faults, enters system calls.
// The return-to-user loop mirrors Linux 4.19 arch/arm64/kernel/signal.c do_notify_resume.
#include <stdexcept>
#include <string>
#include <utility>

#include "kernel_model/process/paths.hpp"
#include "kernel_model/process/rwlock.hpp"

namespace forksim::km {

namespace {

// Locals of kUser.
enum Local : u32 { kRetry = 0 };
enum Pc : u16 { kPcFetch = 0, kPcWork = 1 };
enum FaultPc : u16 { kPcOwnMm = 0, kPcSharedMm = 1 };
enum FaultKind : u64 { kFaultCow = 0, kFaultReuse = 1, kFaultAnon = 2, kFaultFile = 3 };
constexpr u64 kIdleOpsLimit = 10'000'000;

/// The task's own copy of its operation, where system calls find and change it.
Op& op(Ctx& x) { return x.t.op[x.t.handler_depth]; }
/// Makes it so. Operations that are over at once are not copied.
Op& keep(Ctx& x, const Op& o) {
  Op& own = op(x);
  if (&o != &own) own = o;
  return own;
}

/// What an instruction comes to. In two registers, because a program hands one back for every operation.
struct Outcome {
  enum class Kind : u8 {
    fetch,      ///< no time of its own; what was called, if anything, runs before the next instruction
    work,       ///< `ref` in user mode and nothing else
    due,        ///< as work, but before the operation: there may be more of it
    call_first  ///< `ref` in user mode, after what was called
  } kind = Kind::fetch;
  Ns ref{0};  ///< at the reference clock
};

Outcome work(Ns ref) { return {Outcome::Kind::work, ref}; }

// Out of line, like the rarer operations below.
[[gnu::noinline]] Outcome syscall(Ctx& x, const Path& p, u64 a0 = 0, u64 a1 = 0) {
  Frame& f = call(x, p);
  f.a[0] = a0;
  f.a[1] = a1;
  return {};
}
Outcome again(Ctx& x) {
  x.f.a[kRetry] = 1;
  return {};
}

/// Of an operation that is kept. Blocks in futex_wait unless the condition of the lock changed meanwhile; then the operation is tried
/// again.
Outcome futex_wait(Ctx& x, u64 ref, u64 expected) {
  x.f.a[kRetry] = 1;
  return syscall(x, kFutexWait, ref, expected);
}

Lock& lock_of(Ctx& x, u32 object) { return *x.k.objects[object].lock; }
u64 lock_ref(Ctx& x, u32 object) { return queue_ref(QueueOf::lock, x.k.objects[object].index); }

Outcome take(Ctx& x) { return work(x.k.cost(Phase::user_lock)); }
/// As take, after futex_wake.
[[gnu::noinline]] Outcome wake(Ctx& x, u64 ref, u64 how_many) {
  syscall(x, kFutexWake, ref, how_many);
  return {Outcome::Kind::call_first, x.k.cost(Phase::user_lock)};
}

Outcome wait_for_lock(Ctx& x, const Op& o) { return futex_wait(x, lock_ref(x, keep(x, o).object), 0); }
Outcome do_mutex_lock(Ctx& x, const Op& o) {
  Lock& l = lock_of(x, o.object);
  if (l.value) return wait_for_lock(x, o);
  l.value = 1;
  if (l.robust) {
    l.owner = x.t.id.v + 1;
    ++x.t.robust_held;
    if (l.owner_died) x.t.result = -kEOWNERDEAD;
    l.owner_died = false;
  }
  return take(x);
}
/// Releases and wakes one waiter, which has to win the lock again.
Outcome unlock(Ctx& x, u32 object) {
  Lock& l = lock_of(x, object);
  l.value = 0;
  if (l.robust && l.owner == x.t.id.v + 1) --x.t.robust_held;
  l.owner = 0;
  if (l.wait.empty()) return take(x);
  return wake(x, lock_ref(x, object), 1);
}
Outcome do_sem_wait(Ctx& x, const Op& o) {
  Lock& l = lock_of(x, o.object);
  if (!l.value) return wait_for_lock(x, o);
  --l.value;
  return take(x);
}
Outcome do_sem_post(Ctx& x, const Op& o) {
  Lock& l = lock_of(x, o.object);
  ++l.value;
  if (l.wait.empty()) return take(x);
  return wake(x, lock_ref(x, o.object), 1);
}
/// pthread_rwlock_rdlock, wrlock and unlock; op.arg: how far this task has come (RwRole).
[[gnu::noinline]] Outcome do_rwlock(Ctx& x) {
  Op& o = op(x);
  Lock& l = lock_of(x, o.object);
  const u32 i = x.k.objects[o.object].index, self = x.t.id.v + 1;
  RwRole role = static_cast<RwRole>(o.arg);
  RwStep s;
  if (o.kind == OpKind::rw_rdlock)
    s = rwlock_rdlock(l, self, role);
  else
    s = o.kind == OpKind::rw_wrlock ? rwlock_wrlock(l, self, role) : rwlock_unlock(l, self);
  o.arg = static_cast<s64>(role);
  if (s.kind == RwStep::Kind::wait_phase) return futex_wait(x, queue_ref(QueueOf::lock, i), l.write_phase);
  if (s.kind == RwStep::Kind::wait_writers) return futex_wait(x, queue_ref(QueueOf::writers, i), 1);
  x.t.result = -s.err;
  const Outcome done = s.wake_writer ? wake(x, queue_ref(QueueOf::writers, i), 1) : take(x);  // comes second: the frame above runs first
  return s.wake_phase ? wake(x, queue_ref(QueueOf::lock, i), ~u64{0}) : done;
}
/// op.flag: this task has arrived; op.arg: the round it waits for.
[[gnu::noinline]] Outcome do_barrier_wait(Ctx& x) {
  Op& o = op(x);
  Lock& l = lock_of(x, o.object);
  if (!o.flag) {
    o.flag = true;
    o.arg = static_cast<s64>(l.generation);
    if (++l.value >= l.param) {
      l.value = 0;
      ++l.generation;
      if (l.wait.empty()) return take(x);
      return wake(x, lock_ref(x, o.object), ~u64{0});
    }
  }
  if (l.generation != static_cast<u64>(o.arg)) return take(x);
  return futex_wait(x, lock_ref(x, o.object), static_cast<u64>(o.arg));
}
/// First the mutex is released, then the condition's generation is waited for, then the operation becomes a mutex_lock.
[[gnu::noinline]] Outcome do_cond_wait(Ctx& x) {
  Op& o = op(x);
  Lock& c = lock_of(x, o.object);
  if (!o.flag) {
    o.flag = true;
    o.arg = static_cast<s64>(c.generation);
    x.f.a[kRetry] = 1;
    return unlock(x, o.object2);
  }
  if (c.generation == static_cast<u64>(o.arg)) return futex_wait(x, lock_ref(x, o.object), static_cast<u64>(o.arg));
  o.kind = OpKind::mutex_lock;
  o.object = o.object2;
  return again(x);
}
[[gnu::noinline]] Outcome do_cond_wake(Ctx& x, u64 how_many) {
  Lock& c = lock_of(x, op(x).object);
  ++c.generation;
  if (c.wait.empty()) return take(x);
  return wake(x, lock_ref(x, op(x).object), how_many);
}

/// pthread_join: until the thread's clear_child_tid is cleared.
[[gnu::noinline]] Outcome do_join(Ctx& x) {
  const Task* p = x.k.find_task(op(x).pid);
  if (!p || p->signal != x.t.signal || !p->clear_child_tid) return take(x);
  if (!p->join_waiters.empty()) {  // glibc lets one thread join
    x.t.result = -kEINVAL;
    return take(x);
  }
  return futex_wait(x, queue_ref(QueueOf::join, p->id.v), static_cast<u64>(p->pid.v));
}

Outcome do_touch(Ctx& x) {
  const u32 n = static_cast<u32>(op(x).count);
  (op(x).arg == 0 ? x.t.fault_anon : op(x).arg == 1 ? x.t.fault_cow : x.t.fault_file) += n;
  return {};
}

Outcome do_mark(Ctx& x) {
  if (x.k.trace().enabled(Tp::print)) x.k.emit(Tp::print, x.c, x.k.name(op(x).name));
  return {};
}

[[gnu::noinline]] Outcome do_tkill(Ctx& x) {
  const Op& o = op(x);
  const Outcome n = syscall(x, kSysKill, static_cast<u64>(static_cast<s64>(o.pid.v)), static_cast<u64>(o.arg));
  x.st.top().a[2] = 1;
  return n;
}

[[gnu::noinline]] Outcome do_ptrace(Ctx& x) {
  const Op& o = op(x);
  const Outcome n = syscall(x, kSysPtrace, static_cast<u64>(o.arg), static_cast<u64>(static_cast<s64>(o.pid.v)));
  x.st.top().a[2] = o.count;
  return n;
}

/// One operation of the program that is kept. Longer than usual: one line per kind, in the order of OpKind.
[[gnu::noinline]] Outcome dispatch_kept(Ctx& x, Op& o) {
  switch (o.kind) {
    case OpKind::run:
    case OpKind::mutex_lock:
    case OpKind::mutex_unlock:
    case OpKind::sem_wait:
    case OpKind::sem_post: break;  // dispatch
    case OpKind::runtime: return work(Ns((o.ns.v << 16) / x.c.scale[kUserMode]));
    case OpKind::sleep: return syscall(x, kSysNanosleep, o.ns.v, 0);
    case OpKind::sleep_until: return syscall(x, kSysNanosleep, o.ns.v, 1);
    case OpKind::pause: return syscall(x, kSysPause);
    case OpKind::yield: return syscall(x, kSysYield);
    case OpKind::syscall: return syscall(x, kSysNull, static_cast<u64>(o.arg), o.count);
    case OpKind::fork: return syscall(x, kSysClone);
    case OpKind::exec: return syscall(x, kSysExecve);
    case OpKind::exit: return syscall(x, kSysExit, static_cast<u64>(o.arg), 0);
    case OpKind::exit_group: return syscall(x, kSysExit, static_cast<u64>(o.arg), 1);
    case OpKind::wait: return syscall(x, kSysWait4, static_cast<u64>(static_cast<s64>(o.pid.v)), static_cast<u64>(o.arg));
    case OpKind::ptrace:
      return do_ptrace(x);
    case OpKind::kill: return syscall(x, kSysKill, static_cast<u64>(static_cast<s64>(o.pid.v)), static_cast<u64>(o.arg));
    case OpKind::tkill: return do_tkill(x);
    case OpKind::kthread_run: return syscall(x, kSysKthreadRun);
    case OpKind::kthread_stop: return syscall(x, kSysKthreadStop, static_cast<u64>(static_cast<s64>(o.pid.v)));
    case OpKind::queue_work: return syscall(x, kQueueWork, o.ns.v, static_cast<u64>(o.arg));
    case OpKind::sigreturn: return syscall(x, kSysSigreturn);
    case OpKind::sigprocmask:
    case OpKind::setpgid:
    case OpKind::set_ctty:
    case OpKind::tcsetpgrp:
    case OpKind::pdeath_signal:
    case OpKind::sigaction:
    case OpKind::subreaper:
    case OpKind::set_name:
    case OpKind::setsid:
    case OpKind::setuid:
    case OpKind::ioprio_set:
    case OpKind::nice: return syscall(x, kSysMisc);
    case OpKind::affinity: return syscall(x, kSysSetaffinity);
    case OpKind::setscheduler: return syscall(x, kSysSetscheduler);
    case OpKind::cgroup_attach: return syscall(x, kCgroupAttach);
    case OpKind::rw_rdlock:
    case OpKind::rw_wrlock:
    case OpKind::rw_unlock: return do_rwlock(x);
    case OpKind::barrier_wait: return do_barrier_wait(x);
    case OpKind::cond_wait: return do_cond_wait(x);
    case OpKind::cond_signal: return do_cond_wake(x, 1);
    case OpKind::cond_broadcast: return do_cond_wake(x, ~u64{0});
    case OpKind::pipe_read: return syscall(x, kSysPipeRead);
    case OpKind::pipe_write: return syscall(x, kSysPipeWrite);
    case OpKind::pipe_close_read:
    case OpKind::pipe_close_write: return syscall(x, kSysPipeClose);
    case OpKind::join: return do_join(x);
    case OpKind::touch: return do_touch(x);
    case OpKind::open:
    case OpKind::close: return syscall(x, kSysOpenClose);
    case OpKind::mark: return do_mark(x);
    case OpKind::cpu_online: return syscall(x, kSysCpuOnline, static_cast<u64>(o.arg), o.flag);
  }
  return {};
}

/// One operation of the program. Those that rarely need the kernel stay in fetch's loop.
[[gnu::always_inline]] inline Outcome dispatch(Ctx& x, const Op& o) {
  switch (o.kind) {
    case OpKind::run: return work(o.ns);
    case OpKind::mutex_lock: return do_mutex_lock(x, o);
    case OpKind::mutex_unlock: return unlock(x, o.object);
    case OpKind::sem_wait: return do_sem_wait(x, o);
    case OpKind::sem_post: return do_sem_post(x, o);
    default: return dispatch_kept(x, keep(x, o));
  }
}

/// Results that mean "do it again" when no handler ran; handlers are installed with SA_RESTART, as signal() does.
bool restart(const Ctx& x) { return x.t.result <= -kERESTARTSYS && x.t.result >= -kERESTART_RESTARTBLOCK; }

/// What comes before the task's next operation: the first instruction after fork or exec, faults and refills that are due.
bool faults_due(const Task& t) { return t.fault_cow | t.fault_file | t.fault_anon; }
bool user_due(const Task& t) { return t.user_fresh || faults_due(t) || t.refill_kib || t.user_startup != Ns(0); }
Outcome due_work(Ctx& x) {
  Task& t = x.t;
  if (t.user_fresh) {
    t.user_fresh = false;
    x.k.emit(Tp::user_first, x.c, t.pid, int{t.user_fresh_kind});
  }
  if (faults_due(t)) {
    Frame& f = call(x, kFault);
    if (t.mm->users > 1) f.go(kPcSharedMm);
    return {};
  }
  const Ns refill = x.k.cost(Phase::cache_refill_per_kib) * std::exchange(t.refill_kib, 0);
  if (refill != Ns(0)) return {Outcome::Kind::due, refill};
  const Ns startup = std::exchange(t.user_startup, Ns(0));
  return startup != Ns(0) ? Outcome{Outcome::Kind::due, startup} : Outcome{};
}

/// Guard against programs that loop without time.
[[noreturn]] [[gnu::noinline]] void no_progress(const Task& t) {
  throw std::runtime_error("pid " + std::to_string(t.pid.v) + ": its program makes no progress (an endless loop without time)");
}
void count_idle(Task& t) {
  if (++t.idle_ops > kIdleOpsLimit) no_progress(t);
}

/// Whether the operation that the task is in is tried again, in place of the next one.
bool tries_again(Ctx& x) {
  const bool restarted = x.t.result && restart(x);
  if (restarted) x.t.result = 0;
  return std::exchange(x.f.a[kRetry], 0) || restarted;
}

/// User instructions one after the other, as long as each is over before anything else happens on the machine: what is due first, then
/// operations. Nothing comes due meanwhile but the second half of an operation. Time that does not pass here is that of the step: it is
/// entered as one of which `ref` remains. One loop with everything in it, because all that a program does goes through here.
Next fetch(Ctx& x) {
  Task& t = x.t;
  if (x.k.now() != std::exchange(t.last_fetch, x.k.now())) [[likely]]
    t.idle_ops = 0;
  count_idle(t);
  const Ns limit = x.k.undisturbed_until(x.c);
  Outcome o{Outcome::Kind::due};
  do {
    if (o.kind == Outcome::Kind::due && user_due(t)) [[unlikely]]
      o = due_work(x);
    else if (tries_again(x)) [[unlikely]]
      o = dispatch(x, op(x));
    else
      o = dispatch(x, x.k.user.next_op(t.user, std::exchange(t.result, 0), x.k.now(), op(x)));
    if (o.kind == Outcome::Kind::fetch) return jump(kPcFetch);
    if (o.ref != Ns(0)) [[likely]]
      t.idle_ops = 0;
    else
      count_idle(t);
  } while (o.kind != Outcome::Kind::call_first && x.k.pass_user_time(x.c, o.ref, limit));
  x.f.suspend(o.ref);
  return jump(kPcWork);
}

/// The next operation follows at once unless signals or rescheduling come first.
Next work_done(Ctx& x) {
  if (x.t.ti_flags) [[unlikely]]
    return jump(kPcFetch);
  return fetch(x);
}

constexpr Step kUserSteps[] = {
    {fetch, Phase::count_, nullptr, StepFlag::kUser},
    {work_done, Phase::count_, nullptr, StepFlag::kUser},
};

/// do_notify_resume: reschedule and deliver until neither is wanted.
Next user_work(Ctx& x) {
  if (x.t.need_resched()) {
    call(x, kSchedule);
    return jump(0);
  }
  if (x.t.ti_flags & TIF_SIGPENDING) {
    call(x, kGetSignal);
    return jump(0);
  }
  return ret();
}
constexpr Step kUserWorkSteps[] = {{user_work, Phase::count_, nullptr, StepFlag::kIrqsOff | StepFlag::kNoPreempt,
                                    marks<enters<Fn::do_notify_resume, outside<Fn::do_notify_resume>>>}};

/// Which fault comes next; a[0] is FaultKind. A copy-on-write page nobody shares any more is re-used.
FaultKind next_fault(Task& t, bool cow_only) {
  if (t.fault_file && !cow_only) {
    --t.fault_file;
    return kFaultFile;
  }
  if (t.fault_cow || cow_only) {
    if (t.fault_cow) --t.fault_cow;
    return t.mm->family->live > 1 ? kFaultCow : kFaultReuse;
  }
  --t.fault_anon;
  return kFaultAnon;
}
Ns fault_cost(Ctx& x) {
  constexpr std::array kPhase{Phase::fault_cow_copy, Phase::fault_cow_reuse, Phase::fault_anon_zero, Phase::fault_file_around};
  x.f.a[0] = next_fault(x.t, x.f.a[1]);
  return x.k.cost(kPhase[x.f.a[0]]);
}
/// The next fault follows at once unless signals or rescheduling come first.
Next fault_next(Ctx& x) {
  if (!faults_due(x.t) || x.t.ti_flags || x.f.a[1]) return ret();
  return jump(x.f.pc() == kPcOwnMm ? kPcOwnMm : kPcSharedMm);
}
Next fault_done(Ctx& x) {
  constexpr u32 kTaskRssEventsThresh = 64;
  Mm& mm = *x.t.mm;
  switch (x.f.a[0]) {
    case kFaultAnon:
      ++mm.anon_pages;
      ++mm.anon_private;
      ++x.t.rss_delta;
      break;
    case kFaultFile:
      mm.file_pages += 16;
      x.t.rss_delta += 16;
      break;
    default:
      if (mm.anon_private < mm.anon_pages) ++mm.anon_private;
  }
  ++x.t.min_flt;
  if (x.t.rss_events++ > kTaskRssEventsThresh) x.k.sync_mm_rss(x.c, x.t);  // check_sync_rss_stat
  x.k.emit(Tp::page_fault, x.c, x.t.pid, x.f.a[0]);
  return x.f.pc() == kPcOwnMm ? fault_next(x) : advance();
}
/// A mm that nobody else uses has nobody to wait for either: its semaphore is left out.
using FaultMarks = FnMarkList<pays<Fn::do_page_fault>, calls<Fn::find_vma>, pays<Fn::handle_mm_fault>>;
constexpr Step kFaultSteps[] = {
    {fault_done, Phase::count_, fault_cost, StepFlag::kMm | StepFlag::kMightSleep, FaultMarks::list},
    {fault_done, Phase::count_, fault_cost, StepFlag::kMm | StepFlag::kMightSleep, FaultMarks::list, LockSet::mmap_read},
    {fault_next},  // after up_read and whom that wakes
};

}  // namespace

void call_cow_fault(Ctx& x) {
  Frame& f = call(x, kFault);
  f.a[1] = 1;
  if (x.t.mm->users > 1) f.go(kPcSharedMm);
}
bool shares_cow_pages(const Task& t) { return t.mm && t.mm->anon_private < t.mm->anon_pages; }

const Path kUser{"user", kUserSteps};
const Path kUserWork{"do_notify_resume", kUserWorkSteps};
const Path kFault{"do_page_fault", kFaultSteps};

}  // namespace forksim::km
