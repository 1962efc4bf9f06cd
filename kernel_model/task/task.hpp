// task_struct and thread_info.
//
// Purpose: one simulated task: scheduling state, identity, relations, signals, and its kernel stack of execution frames.
// Source:  Linux 4.19 include/linux/sched.h, arch/arm64 thread_info; values of states and flags are the kernel's.
// Units:   times in ns. Ownership: tasks live in the kernel's Pool<Task>; `id` is the index. The kernel is the only writer.
// Errors:  none. Not modelled: cgroups, seccomp; what of ptrace is missing says process/ptrace.hpp.
#pragma once

#include <array>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/base/ilist.hpp"
#include "kernel_model/base/types.hpp"
#include "kernel_model/exec/frame.hpp"
#include "kernel_model/lock/lock.hpp"
#include "kernel_model/sched/entity.hpp"
#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/user_space.hpp"

namespace forksim::km {

/// Index of a task in the kernel's pool.
struct TaskId {
  u32 v = 0;
  constexpr auto operator<=>(const TaskId&) const = default;
};

// Values of `state` and `exit_state` (include/linux/sched.h).
inline constexpr u32 TASK_RUNNING = 0, TASK_INTERRUPTIBLE = 1, TASK_UNINTERRUPTIBLE = 2, __TASK_STOPPED = 4, __TASK_TRACED = 8,
                     EXIT_DEAD = 0x10, EXIT_ZOMBIE = 0x20, EXIT_TRACE = EXIT_ZOMBIE | EXIT_DEAD, TASK_PARKED = 0x40, TASK_DEAD = 0x80,
                     TASK_WAKEKILL = 0x100, TASK_WAKING = 0x200, TASK_NOLOAD = 0x400, TASK_NEW = 0x800;
inline constexpr u32 TASK_KILLABLE = TASK_WAKEKILL | TASK_UNINTERRUPTIBLE, TASK_STOPPED = TASK_WAKEKILL | __TASK_STOPPED,
                     TASK_TRACED = TASK_WAKEKILL | __TASK_TRACED, TASK_IDLE = TASK_UNINTERRUPTIBLE | TASK_NOLOAD,
                     TASK_NORMAL = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE;
// on_rq
inline constexpr u8 TASK_ON_RQ_QUEUED = 1, TASK_ON_RQ_MIGRATING = 2;
// flags
inline constexpr u32 PF_IDLE = 0x2, PF_EXITING = 0x4, PF_EXITPIDONE = 0x8, PF_WQ_WORKER = 0x20, PF_FORKNOEXEC = 0x40, PF_SIGNALED = 0x400,
                     PF_KTHREAD = 0x200000, PF_NO_SETAFFINITY = 0x4000000;
// jobctl (include/linux/sched/jobctl.h)
inline constexpr u32 JOBCTL_STOP_DEQUEUED = 1u << 16, JOBCTL_STOP_PENDING = 1u << 17, JOBCTL_STOP_CONSUME = 1u << 18,
                     JOBCTL_TRAP_STOP = 1u << 19, JOBCTL_TRAP_NOTIFY = 1u << 20, JOBCTL_STOP_SIGMASK = 0xffff;
inline constexpr u32 JOBCTL_TRAP_MASK = JOBCTL_TRAP_STOP | JOBCTL_TRAP_NOTIFY, JOBCTL_PENDING_MASK = JOBCTL_STOP_PENDING | JOBCTL_TRAP_MASK;
// preempt_count (include/linux/preempt.h): PREEMPT 8 bits, SOFTIRQ 8, HARDIRQ 4, NMI 1
inline constexpr u32 PREEMPT_OFFSET = 1, SOFTIRQ_OFFSET = 1u << 8, HARDIRQ_OFFSET = 1u << 16, NMI_OFFSET = 1u << 20;
inline constexpr u32 PREEMPT_MASK = 0xff, SOFTIRQ_MASK = 0xff00, HARDIRQ_MASK = 0xf0000, NMI_MASK = NMI_OFFSET;
// thread_info flags (arm64)
inline constexpr u32 TIF_SIGPENDING = 1u << 0, TIF_NEED_RESCHED = 1u << 1;

/// Scheduling class, from most to least urgent; the kernel walks them in this order.
enum class SchedClass : u8 { stop, dl, rt, fair, idle };

inline constexpr int MAX_RT_PRIO = 100, DEFAULT_PRIO = 120;

struct Mm;
struct Files;
struct Fs;
struct Sighand;
struct Signal;
struct Cred;
struct Nsproxy;
struct SemUndo;
struct IoContext;
struct PidNamespace;
struct Kthread;

/// Its first cache lines are what a wake-up and a switch look at; FrameStack keeps its end beside its first frame.
struct alignas(64) Task {
  TaskId id;
  Pid pid, tgid;
  NameId comm;

  u32 state = TASK_RUNNING;
  u32 exit_state = 0;
  u32 flags = 0;     ///< PF_*
  u32 ti_flags = 0;  ///< TIF_*
  u32 preempt_count = 0;

  // --- scheduling (written by Scheduler only) ---
  CpuId cpu;       ///< task_cpu()
  CpuId wake_cpu, recent_used_cpu;
  bool on_cpu = false;
  u8 on_rq = 0;
  SchedClass sched_class = SchedClass::fair;
  SchedPolicy policy = SchedPolicy::normal;
  int prio = DEFAULT_PRIO, static_prio = DEFAULT_PRIO, normal_prio = DEFAULT_PRIO;

  // --- wake-up and switch: of other groups below, but used together ---
  Mm* mm = nullptr;
  Signal* signal = nullptr;
  LockWord pi_lock;
  u64 timer_seq = 0;  ///< armed hrtimer, 0 none
  Ns last_queued{0}, run_delay;
  Task* last_wakee = nullptr;
  u64 wakee_flip_decay_ts = 0;  ///< jiffies
  u32 wakee_flips = 0;
  u32 nr_cpus_allowed = 0;
  Task* wake_entry = nullptr;  ///< next in a wake list
  bool sched_remote_wakeup = false, sched_contributes_to_load = false, in_iowait = false;
  bool spin_target = false;  ///< another CPU spins until we leave ours, or finish exit_notify
  CpuId last_ran{0};
  u32 refill_kib = 0;        ///< cache refill due
  HeldLock sleep_lock;       ///< mmap_sem or a pipe's mutex, of which a task holds one at a time
  Ns utime, stime;
  u64 nvcsw = 0, nivcsw = 0;

  SchedEntity se;
  CpuMask cpus_allowed;
  SchedRtEntity rt;
  ListNode<Task> group_node;  ///< rq.cfs_tasks
  ListNode<Task> rt_run_list, pushable_tasks;
  u32 rt_priority = 0;
  bool sched_reset_on_fork = false;
  PlacementIds placement{};     ///< rules of its own, see placement_rule.hpp
  TaskGroup* cgroup = nullptr;  ///< group of the cpu controller it is attached to; null: the root, where an autogroup applies

  // --- accounting ---
  u64 min_flt = 0;
  u32 rss_events = 0;  ///< rss_stat.events: faults since rss_delta was added to the mm
  s32 rss_delta = 0;   ///< rss_stat.count, pages
  Ns start_time;

  // --- life cycle (written by the process room only) ---
  u32 usage = 0;         ///< 2 from birth: the final switch and release_task
  s32 exit_code = 0;
  s32 exit_signal = 0;   ///< -1 for a non-leader thread
  bool has_stack = false;
  bool boot = false;     ///< swapper, init, kthreadd, per-CPU threads: outside the books
  bool hashed = false;   ///< in its parent's children and its group's threads (until __unhash_process)
  Files* files = nullptr;
  Fs* fs = nullptr;
  Sighand* sighand = nullptr;
  Cred* cred = nullptr;
  Nsproxy* nsproxy = nullptr;
  SemUndo* sysvsem = nullptr;
  IoContext* io_context = nullptr;
  PidNamespace* pid_ns = nullptr;  ///< task_active_pid_ns, until released
  Kthread* kthread = nullptr;  ///< of a thread that kthread() runs
  Task *real_parent = nullptr, *group_leader = nullptr;
  ListNode<Task> sibling, thread_node, wait_node;
  IList<Task, &Task::sibling> children;
  u32 ptrace = 0;  ///< PT_*, see process/ptrace.hpp; 0: nobody traces it
  Task* tracer = nullptr;
  ListNode<Task> ptrace_entry;
  IList<Task, &Task::ptrace_entry> ptraced;  ///< whom it traces, newest first
  u64 pending = 0, blocked = 0;  ///< private signals, bit sig-1
  ListNode<Task> multiprocess;   ///< in Signal::forking while we clone a process
  u64 delayed = 0;               ///< signals to several processes that came meanwhile: the child's
  u64 set_child_tid = 0, clear_child_tid = 0;  ///< user addresses; 1 stands for any
  u64 tls = 0;                   ///< thread pointer: TaskId + 1 of the task it was made for by CLONE_SETTLS, else the parent's
  u32 jobctl = 0;                ///< JOBCTL_*
  s32 pdeath_signal = 0;
  u32 self_exec_id = 0, parent_exec_id = 0;
  u32 robust_held = 0;           ///< robust mutexes we hold
  Task* vfork_parent = nullptr;  ///< who waits for our vfork_done
  bool vfork_waiting = false;    ///< we wait for a child's vfork_done
  bool stop_pending = false;     ///< a stopper still has our work (stop_one_cpu)
  bool in_exit_notify = false;   ///< holds tasklist_lock for writing
  IList<Task, &Task::wait_node>* waiting_on = nullptr;  ///< wait queue we are linked in
  IList<Task, &Task::wait_node> join_waiters;           ///< futex waiters on our clear_child_tid
  s32 wait_pid = 0;
  Pid wait_group;                        ///< own process group when wait4 was entered
  u32 wait_options = 0;                  ///< wait4 filter while in wait_chldexit

  // --- locks ---
  LockWord join_bucket;    ///< futex bucket of our clear_child_tid
  LockWaiter lock_waiter;  ///< when its path waits for a lock

  // --- execution ---
  u32 user = 0;  ///< the UserSpace's handle of this task's program; 0 for kernel threads
  u8 handler_depth = 0;
  bool user_fresh = false;  ///< next user instruction is the first after fork or exec
  u8 user_fresh_kind = 0;
  s64 result = 0;                                     ///< of the last operation
  u32 fault_cow = 0, fault_file = 0, fault_anon = 0;  ///< page faults due before the next user instruction
  Ns user_startup;                                    ///< dynamic loader work due after exec
  Ns last_fetch;                                      ///< guard against programs that loop without time
  u64 idle_ops = 0;
  std::array<Op, 2> op;  ///< operation in progress: of the program, of its signal handler
  s64 saved_result = 0;  ///< of the call that a handler interrupted
  FrameStack frames;     ///< the lower ones are used most

  /// task_struct.parent: who hears of it.
  Task* parent() const { return tracer ? tracer : real_parent; }
  /// in_interrupt(): in a hard interrupt, a softirq or an NMI.
  bool in_interrupt() const { return preempt_count & (HARDIRQ_MASK | SOFTIRQ_MASK | NMI_MASK); }
  bool need_resched() const { return ti_flags & TIF_NEED_RESCHED; }
};

}  // namespace forksim::km
