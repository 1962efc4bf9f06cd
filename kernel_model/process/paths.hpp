// All paths, and the helpers by which one path calls another.
//
// Purpose: the index of the life cycle: each path is named after the kernel function it follows; its file says which source it mirrors.
// Source:  Linux 4.19. Units: see exec/path.hpp. Ownership: constants. Errors: contracts. Not modelled: kernel_model/README.md.
#pragma once

#include <utility>

#include "kernel_model/core.hpp"
#include "kernel_model/exec/path.hpp"

namespace forksim::km {

// exec/schedule.cpp
extern const Path kSchedule;     ///< a[0]: 1 for a preemption
extern const Path kRetFromFork;  ///< first path of a new task
extern const Path kRtPull;       ///< a[0] CPU that pulls real-time tasks to itself (NO_RT_PUSH_IPI)
extern const Path kRtPush;       ///< a[0] CPU whose queue has real-time tasks to push
extern const Path kMoveAttach;   ///< a[0] task that move_detach took from its queue
extern const Path kTaskRqSpin;   ///< a[0] task that is between two queues
extern const Path kLockSpin, kLockSleep;  ///< a path that waits for a lock
extern const Path kTtwu;         ///< a[0] task, a[1] state mask, a[2] wake flags; result: woken
extern const Path kComplete;     ///< a[0] task that waits for a completion
// exec/irq.cpp
extern const Path kIrqIpi, kIrqCall, kIrqTimer, kIrqDevice, kSoftirq;
extern const Path kIdle;
extern const Path kSchedTimer;  ///< the rest of a callback that SchedTimers has begun, one run queue after the other
extern const Path kBalance;  ///< what Scheduler::begin_... has begun, lock by lock; a[0] spin locks that its events show
// exec/cpufreq.cpp
extern const Path kIrqWork;       ///< irq_work_run of the governor
extern const Path kDbsWork;       ///< of the kworker
extern const Path kSugov;         ///< the sugov thread
extern const Path kDriverTarget;  ///< a[0] kHz
// process/user.cpp
extern const Path kUser;      ///< a task in user mode
extern const Path kUserWork;  ///< the work loop before a return to user mode
extern const Path kFault;     ///< a[0] kind, chosen by itself; a[1]: 1 for a copy-on-write one
// process/signal.cpp
extern const Path kSendSignal;     ///< a[0] task, a[1] sig, a[2] si_code, a[3]: 1 charge the cost, a[4]: 1 to the group, 2 as one of several
extern const Path kSignalWakeUp;   ///< a[0] task, a[1] states it is woken from besides TASK_INTERRUPTIBLE
extern const Path kGetSignal;
extern const Path kWakeThreads;    ///< a[0] visit, a[1] WakeMode
extern const Path kKillEach;       ///< a[0] visit, a[1] sig, a[2] si_code, a[3]: 1 charge the cost, 2 as one of several
extern const Path kSysKill;        ///< a[0] pid, a[1] sig, a[2]: 1 for tkill
extern const Path kSysSigreturn;
// process/fork.cpp
extern const Path kSysClone;
extern const Path kDoFork;         ///< a[1] clone flags; result: pid or -errno
// process/exec.cpp
extern const Path kSysExecve;
// process/exit.cpp
extern const Path kDoExit;         ///< a[0] exit code
extern const Path kSysExit;        ///< a[0] code, a[1]: 1 for exit_group
extern const Path kZapThreads;     ///< a[0]: task to spare; wakes the others with SIGKILL pending
extern const Path kReleaseTask;    ///< a[0] task
extern const Path kNotifyParent;   ///< a[0] task, a[1] sig, a[2] NotifyStop, a[3] si_code; result: autoreap
// process/ptrace.cpp
extern const Path kPtraceStop;    ///< a[0] exit_code, a[1] si_code
extern const Path kPtraceDetach;  ///< a[0] tracee
extern const Path kExitPtrace;    ///< all tracees of the current task
extern const Path kSysPtrace;     ///< a[0] PtraceRequest, a[1] pid, a[2] data
// process/pid_namespace.cpp
extern const Path kZapPidNs;       ///< the end of a pid namespace's init: kills and waits for all others in it
// process/wait.cpp
extern const Path kSysWait4;       ///< a[0] pid, a[1] options
extern const Path kWakeParent;     ///< a[0] parent task, a[1] child task
// process/syscalls.cpp
extern const Path kSysNull;        ///< a[0] number, a[1] count
extern const Path kSysNanosleep;   ///< a[0] ns or date, a[1]: 1 absolute
extern const Path kSysPause, kSysYield, kSysMisc, kSysOpenClose;
// process/sched_calls.cpp
extern const Path kSysSetscheduler, kSysSetaffinity, kCgroupAttach;
// process/ipc.cpp
extern const Path kSysPipeRead, kSysPipeWrite, kSysPipeClose;
extern const Path kFutexWait;      ///< a[0] queue_ref, a[1] generation, pid or phase that must still hold
extern const Path kFutexWake;      ///< a[0] queue_ref, a[1] how many
extern const Path kWakeQueue;      ///< a[0] queue_ref, a[1] how many, a[2] wake flags
// process/kthread.cpp
extern const Path kInit, kKworker, kStopper, kKthreadd;
extern const Path kKthread;                     ///< a thread made by kthread_create: struct kthread, then its function
extern const Path kSysKthreadRun, kSysKthreadStop, kQueueWork;
// process/hotplug.cpp
extern const Path kSysCpuOnline;  ///< a[0] CPU, a[1]: 1 on
extern const Path kCpuhp;         ///< cpuhp/N
extern const Path kMultiStop;     ///< multi_cpu_stop of a stopper

/// Step of kKthread at which its function goes round.
inline constexpr u16 kKthreadLoop = 2;
inline constexpr KthreadSpec kIrqThread{};

/// A task in a frame's locals.
inline u64 as_arg(const Task& t) { return t.id.v; }
inline Task& task_arg(Ctx& x, u32 i = 0) { return x.k.task_pool[static_cast<u32>(x.f.a[i])]; }

/// A wait queue in a frame's locals: which kind of object, and its index.
enum class QueueOf : u64 { lock, pipe, join, writers };
constexpr u64 queue_ref(QueueOf kind, u32 index) { return static_cast<u64>(kind) << 32 | index; }
WaitQueue& queue_arg(Core& k, u64 ref);

/// try_to_wake_up of `p` before the caller's next step.
inline void call_ttwu(Ctx& x, const Task& p, u32 mask, u32 wake_flags = 0) {
  Frame& f = call(x, kTtwu);
  f.a[0] = as_arg(p);
  f.a[1] = mask;
  f.a[2] = wake_flags;
}

/// Spin locks and preempt_disable that a path keeps from one step to the next.
inline void preempt_add(Ctx& x, u32 n) { x.t.preempt_count += n * x.k.preempt_offset(); }
inline void preempt_sub(Ctx& x, u32 n) { x.t.preempt_count -= n * x.k.preempt_offset(); }

/// What the code behind one effect holds while it runs: spin locks, each of which raises preempt_count, and interrupts off or on where that
/// differs from the step. Both show in the ftrace header of the events it causes.
class Held {
 public:
  enum class Irqs : s8 { as_step = 0, off = 1, on = -1 };
  Held(Ctx& x, u32 locks, Irqs irqs = Irqs::off) : x_(x), locks_(locks), before_(x.c.irqs_here) {
    preempt_add(x_, locks_);
    x_.c.irqs_here = static_cast<s8>(irqs);
  }
  ~Held() {
    preempt_sub(x_, locks_);
    x_.c.irqs_here = before_;
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Ctx& x_;
  const u32 locks_;
  const s8 before_;
};

/// Pushes real-time tasks from the queue of `cpu` before the caller's next step, when the effect has found that it should.
inline void push_rt_tasks(Ctx& x, CpuId cpu) {
  Rq& rq = x.k.sched.rq(cpu);
  if (!(rq.rt_push_wanted | rq.rt_pull_wanted)) [[likely]]
    return;
  if (std::exchange(rq.rt_pull_wanted, false)) call(x, kRtPull).a[0] = cpu.v;
  if (std::exchange(rq.rt_push_wanted, false)) call(x, kRtPush).a[0] = cpu.v;
}
/// task_rq_lock of a task that is between two queues: lets go and spins until it is there; the caller's step has to run again.
inline bool waits_for_attach(Ctx& x, const Task& t) {
  if (t.on_rq != TASK_ON_RQ_MIGRATING) [[likely]]
    return false;
  x.k.unlock(x, static_cast<u16>(~kSleepingLocks));
  call(x, kTaskRqSpin).a[0] = as_arg(t);
  return true;
}
/// Those who spin there for a task that has arrived go on.
void release_attach_spinners(Core& k);

/// complete(): wakes who waits for a completion, under the lock of its wait queue.
inline void call_complete(Ctx& x, const Task& waiter) { call(x, kComplete).a[0] = as_arg(waiter); }
/// A write of the kernel to a page of the task that is still shared copy-on-write.
void call_cow_fault(Ctx& x);
/// Whether such a page of the task is there.
bool shares_cow_pages(const Task& t);

// Shared by system call paths (process/syscalls.cpp).
void trace_sys_enter(Ctx& x, s64 nr, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0);
void trace_sys_exit(Ctx& x, s64 nr, s64 result);

/// arm64 system call numbers (include/uapi/asm-generic/unistd.h).
struct Nr {
  static constexpr s64 dup = 23, openat = 56, close = 57, pipe2 = 59, read = 63, write = 64, ppoll = 73, exit = 93, exit_group = 94,
                       waitid = 95, futex = 98, clock_nanosleep = 115, sched_setscheduler = 119, sched_setaffinity = 122, sched_yield = 124,
                       kill = 129, tkill = 130, rt_sigaction = 134, rt_sigprocmask = 135, rt_sigreturn = 139, ioprio_set = 30,
                       setpriority = 140, finit_module = 273, delete_module = 106, ioctl = 29, setpgid = 154, setsid = 157, setuid = 146,
                       umask = 166, prctl = 167, getpid = 172, getppid = 173, getuid = 174, ptrace = 117, clone = 220, execve = 221,
                       wait4 = 260;
};

// exec/irq.cpp
/// Runs what Scheduler::begin_... has begun, before the caller's next step.
void call_balance(Ctx& x, u32 shown_locks);
/// irq_exit(): the end of every interrupt path.
Next irq_exit(Ctx& x);
/// account_irq_enter_time of irq_enter: the time before belongs to the task, or to the softirq that is interrupted.
inline void account_irq_enter(Ctx& x) {
  if (x.k.sched.irq_time_accounting()) [[unlikely]]
    x.k.sched.irqtime_account_irq(x.c.id, x.c.cur->preempt_count & SOFTIRQ_OFFSET ? IrqContext::softirq : IrqContext::task);
}
inline void account_irq_exit(Ctx& x, IrqContext what) {
  if (x.k.sched.irq_time_accounting()) [[unlikely]]
    x.k.sched.irqtime_account_irq(x.c.id, what);
}
// process/signal.cpp
bool signal_pending_state(u32 state, const Task& t);
void recalc_sigpending(Task& t);
void call_signal_wake_up(Ctx& x, const Task& t, bool kill);
/// signal_wake_up_state: from TASK_INTERRUPTIBLE and from `state`.
void call_signal_wake_up_state(Ctx& x, const Task& t, u32 state);
/// signal_wake_up without and with WAKEKILL, or wake_up_state(__TASK_STOPPED).
enum class WakeMode : u64 { signal, kill, stopped };
void call_wake_threads(Ctx& x, u32 visit, WakeMode mode);
/// Sends `sig` to every process of a visit; `many`: to whom they clone meanwhile, too (type above PIDTYPE_TGID).
void call_kill_each(Ctx& x, u32 visit, int sig, int code, bool charge, bool many = true);
/// Leaders of a process group, newest first.
u32 visit_pgrp(Core& k, Pid pgrp);
void retarget_shared_pending(Ctx& x, Task& t, u64 which);
bool participate_group_stop(Task& t);
/// Of kNotifyParent: the end of a task, a stop or continuation of its process for the real parent, of itself for its tracer.
enum class NotifyStop : u64 { no, process, traced };
void call_notify_cldstop(Ctx& x, const Task& t, int why);
void call_notify_tracer(Ctx& x, const Task& t, int why);
/// Whether nobody outside the group but inside its session is a parent in it, `ignored` left out.
bool will_become_orphaned_pgrp(const Core& k, Pid pgrp, const Task* ignored);
// process/pid_namespace.cpp
/// free_pid: the dying init of `ns`, or of one above, may wait for the number that is gone. Puts the reference to `ns`.
void wake_reapers(Ctx& x, PidNamespace& ns);
// process/wait.cpp
/// wait4 of the kernel itself; the result is in task_struct.result.
void call_kernel_wait4(Ctx& x, s32 pid, u32 options);
bool eligible_pid(const Task& child, s32 pid, Pid own_group);
// process/exit.cpp
/// do_notify_parent of the end of `t`; the result is in a[kResult].
void call_notify_parent(Ctx& x, const Task& t, s32 sig);
/// __exit_signal and __unhash_process; wakes an execing thread that waits for this one.
void release_task_now(Ctx& x, Task& t);
Ns release_locked_cost(Ctx& x);
Ns before_release_cost(Ctx& x);
Ns reap_locked_cost(Ctx& x);
Ns before_reap_cost(Ctx& x);
bool release_robust(Ctx& x);
/// The cost of a step that spins until `t` lets go: open-ended, ended by release_spinners, and the step's effect clears Cpu::spin_on.
Ns spin_for(Ctx& x, Task& t);
/// Lets CPUs go on that spin until `t` has left its CPU or finished exit_notify.
void release_spinners(Core& k, Task& t);
bool thread_group_empty(const Task& t);
bool delay_group_leader(const Task& t);
// process/fork.cpp
void count_workload(Core& k, Task& t, int delta);
// process/sched_calls.cpp
s64 do_setpriority(Ctx& x);
/// task_rq_lock: pi_lock and the run queue of the task that a call about scheduling changes.
LockWord* target_lock(Ctx& x, LockId id);
/// What dequeuing and enqueuing a task takes in sched_move_task, under its queue's lock.
inline Ns sched_move_cost(const Core& k) { return k.cost(Phase::detach_task) + k.cost(Phase::enqueue_task); }
/// waits_for_attach of that task.
bool target_waits_for_attach(Ctx& x);
// process/kthread.cpp
/// stop_one_cpu(migration_cpu_stop): the stopper of `cpu` moves `t`; the caller then sleeps until its stop_pending is clear.
void call_stop_one_cpu(Ctx& x, CpuId cpu, Task& t, CpuId dest);
/// Wakes the stopper of `c` from `this_cpu` within an effect; sched/scheduler.hpp says what is left out.
void wake_stopper(Core& k, Cpu& c, CpuId this_cpu);
/// Asks the stopper of `c` to move its current task away.
void request_push(Core& k, Cpu& c, Task& t);
void call_stopper(Ctx& x, Task& t, CpuId dest);

}  // namespace forksim::km
