// The port through which the kernel asks what a task does next in user mode.
//
// Purpose: programs live outside the kernel. When a task's last operation is done the kernel calls next_op; the answer is work, a system
//          call or a memory access. Random draws inside next_op depend on the task's own history alone (invariant 6).
// Units:   as named per operation. Ownership: the implementation owns programs; the kernel holds opaque handles (u32, never 0).
// Errors:  a system call's result (>= 0, or -errno) comes back with the next call. Not modelled: instruction-level behaviour.
#pragma once

#include <string_view>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/base/types.hpp"
#include "kernel_model/sched/placement_rule.hpp"

namespace forksim::km {

// clone flags (include/uapi/linux/sched.h); the k keeps them apart from libc's macros of the same names
inline constexpr u64 kCSIGNAL = 0xff, kCLONE_VM = 0x100, kCLONE_FS = 0x200, kCLONE_FILES = 0x400, kCLONE_SIGHAND = 0x800, kCLONE_PTRACE = 0x2000,
                     kCLONE_VFORK = 0x4000, kCLONE_PARENT = 0x8000, kCLONE_THREAD = 0x10000, kCLONE_NEWNS = 0x20000, kCLONE_SYSVSEM = 0x40000,
                     kCLONE_SETTLS = 0x80000, kCLONE_PARENT_SETTID = 0x100000, kCLONE_CHILD_CLEARTID = 0x200000, kCLONE_UNTRACED = 0x800000,
                     kCLONE_CHILD_SETTID = 0x1000000, kCLONE_NEWCGROUP = 0x2000000, kCLONE_NEWUTS = 0x4000000, kCLONE_NEWIPC = 0x8000000,
                     kCLONE_NEWUSER = 0x10000000, kCLONE_NEWPID = 0x20000000, kCLONE_NEWNET = 0x40000000, kCLONE_IO = 0x80000000;
/// What glibc passes on arm64.
inline constexpr u64 kForkFlags = 0x1200011, kVforkFlags = kCLONE_VFORK | kCLONE_VM | 17, kPthreadFlags = 0x3d0f00;

/// Scheduling policies (include/uapi/linux/sched.h). SCHED_DEADLINE (6) is not modelled.
enum class SchedPolicy : u8 { normal = 0, fifo = 1, rr = 2, batch = 3, idle = 5 };

/// Size of a process: what fork copies, exec builds, exit tears down, and which faults follow.
struct ProcessShape {
  u32 vmas = 15;            ///< vm_area_structs
  u32 anon_pages = 23;      ///< anonymous pages present
  u32 file_pages = 144;     ///< file pages mapped
  u32 pgtable_pages = 6;    ///< page table pages
  u32 fds = 3;              ///< open descriptors (besides pipes)
  u32 working_set_kib = 0;  ///< refilled after a migration
  u32 vm_pages = 0;         ///< pages mapped (total_vm); at least those present
  bool locked = false;      ///< mlockall: nothing but a mark that ps shows
  // faults after fork, taken before the next user operation
  u32 child_cow = 11, child_file = 9, child_anon = 0;
  u32 parent_cow = 0;
  // start-up after exec
  bool dynamic = true;
  u32 startup_file = 12, startup_anon = 17, startup_cow = 8;
};

/// What fork-like operations hand to the child.
struct ForkSpec {
  u64 clone_flags = kForkFlags;
  u32 program = 0;            ///< handed back to UserSpace::fork_child
  const CpuMask* affinity = nullptr;  ///< set for the child before it is placed (as if inherited), or null
  bool has_nice = false;
  int nice = 0;
  bool has_policy = false;  ///< policy and rt_priority are set for the child before it is placed, unchecked
  SchedPolicy policy = SchedPolicy::normal;
  u32 rt_priority = 0;
  bool has_group = false;  ///< the child is put into `group` (0: the root) in place of its parent's
  u32 group = 0;
  PlacementIds placement{};  ///< rules that place the child; 0 in place of each: inherited
};

/// What exec replaces the process with. Pointers stay valid for the whole run.
struct ExecSpec {
  std::string_view filename;  ///< as sched_process_exec shows it; comm is its base name
  const ProcessShape* shape = nullptr;
  u32 program = 0;
  std::string_view command{};  ///< command line as ps shows it; filename when empty
};

/// What a kernel thread made by kthread_run does until it is stopped.
struct KthreadSpec {
  std::string_view name;      ///< comm
  Ns work{0}, period{0};      ///< kernel work at each period; period 0: sleeps until it is stopped
  bool bound = false;         ///< kthread_bind to `cpu`
  CpuId cpu;
  u32 rt_priority = 0;        ///< SCHED_FIFO when above 0
};

/// Requests of ptrace and options of PTRACE_SEIZE (include/uapi/linux/ptrace.h); an option is 1 << its event.
enum class PtraceRequest : u32 { cont = 7, detach = 17, seize = 0x4206 };
inline constexpr u32 kPTRACE_O_TRACEFORK = 1u << 1, kPTRACE_O_TRACEVFORK = 1u << 2, kPTRACE_O_TRACECLONE = 1u << 3,
                     kPTRACE_O_TRACEEXEC = 1u << 4, kPTRACE_O_TRACEVFORKDONE = 1u << 5;

enum class OpKind : u8 {
  run,           ///< ns: work at the reference clock (scales with frequency)
  runtime,       ///< ns: CPU time whatever the clock
  sleep,         ///< ns: clock_nanosleep, relative; arg: 0 interruptible, 1 uninterruptible, 2 killable (a driver waits)
  sleep_until,   ///< ns: clock_nanosleep, absolute
  pause,         ///< until a signal
  yield,         ///< sched_yield
  syscall,       ///< arg: syscall number, count: how often in a row (getpid, umask ... nothing but entry, body 0, exit)
  fork,          ///< fork: ForkSpec; result: child pid or -errno. Covers vfork, clone and threads by flags
  exec,          ///< exec: ExecSpec; no result
  exit,          ///< arg: code; ends this thread
  exit_group,    ///< arg: code; ends the process
  wait,          ///< pid: -1 any, > 0 that child, 0 own group, < -1 group -pid; arg: options (include/uapi/linux/wait.h); result: pid, 0 or -errno; count becomes its status
  ptrace,        ///< arg: PtraceRequest; pid; count: options of a seize, else the signal the tracee goes on with; result: 0 or -errno
  kill,          ///< pid: as for kill(2), arg: signal
  tkill,         ///< pid: a thread, arg: signal
  sigprocmask,   ///< arg: 0 SIG_BLOCK, 1 SIG_UNBLOCK, 2 SIG_SETMASK; count: signals, bit sig-1
  sigaction,     ///< arg: signal; count: 0 default, 1 ignore, 2 handler; flag: SA_NOCLDWAIT
  sigreturn,     ///< end of a handler
  subreaper,     ///< arg: 0 or 1 (PR_SET_CHILD_SUBREAPER)
  set_name,      ///< name (PR_SET_NAME)
  setsid,        ///<
  setpgid,       ///< pid: 0 self; arg: process group, 0 the pid itself
  set_ctty,      ///< TIOCSCTTY: a session leader gets a controlling terminal
  tcsetpgrp,     ///< arg: foreground process group of the controlling terminal, 0 own
  pdeath_signal, ///< arg: signal when the parent dies (PR_SET_PDEATHSIG)
  kthread_run,   ///< kthread: makes and starts a kernel thread; result: pid or -errno
  kthread_stop,  ///< pid: stops it and waits for its end
  queue_work,    ///< ns of work for the kworker of CPU `arg` (-1: this one)
  nice,          ///< arg: new nice value; pid: whose, 0 the caller's (setpriority)
  setuid,        ///< arg: user, of the whole process as glibc does it; result: 0, -EPERM
  ioprio_set,    ///< arg: class << 13 | level, of this task; result: 0, -EPERM
  affinity,      ///< mask; pid: whose, 0 the caller's
  setscheduler,  ///< arg: policy as in the system call, count: priority, flag: SCHED_RESET_ON_FORK; pid: whose, 0 the caller's
  cgroup_attach, ///< arg: task group, 0 the root; pid: a process whose threads all move, 0 the caller's
  mutex_lock, mutex_unlock,            ///< object
  sem_wait, sem_post,                  ///< object
  rw_rdlock, rw_wrlock, rw_unlock,     ///< object; result: 0, -EDEADLK or -EPERM
  barrier_wait,                        ///< object
  cond_wait,                           ///< object: condition, object2: mutex
  cond_signal, cond_broadcast,         ///< object
  pipe_read, pipe_write,               ///< object, count: bytes; result: bytes, 0 at end of file, or -errno
  pipe_close_read, pipe_close_write,   ///< object
  join,          ///< pid: futex wait until that thread's clear_child_tid is cleared
  touch,         ///< arg: 0 anonymous, 1 copy-on-write, 2 file; count: pages (file: groups of 16)
  open, close,   ///< count: descriptors
  mark,          ///< name: text for trace_marker, no cost
  cpu_online,    ///< arg: CPU; flag: 1 on, 0 off. A write to /sys/devices/system/cpu/cpuN/online; result: 1 (bytes) or -errno
};

struct Op {
  OpKind kind = OpKind::exit_group;
  bool flag = false;
  Ns ns{0};
  s64 arg = 0;
  u64 count = 0;
  Pid pid = Pid(0);
  u32 object = 0, object2 = 0;
  const ForkSpec* fork = nullptr;
  const ExecSpec* exec = nullptr;
  const CpuMask* mask = nullptr;
  const KthreadSpec* kthread = nullptr;
  std::string_view name = {};  ///< valid until the next next_op call
};

/// Kernel objects that programs share; created before or during the run by the UserSpace through Kernel::create_object.
enum class ObjectKind : u8 { mutex, semaphore, barrier, condition, pipe, rwlock };

class UserSpace {
 public:
  virtual ~UserSpace() = default;
  /// The next operation of the program `user`. `last_result` is the result of its previous one (0 at first); `now` is simulated time.
  /// Either `space`, filled, or an operation that never changes. `space` still holds the last operation that was put there.
  virtual const Op& next_op(u32 user, s64 last_result, Ns now, Op& space) = 0;
  /// copy_process succeeded: a handle for the child's program. `parent` goes on where it is; `child` is its pid.
  virtual u32 fork_child(u32 parent, const ForkSpec& spec, Pid child) = 0;
  /// execve succeeded: the program behind `user` is replaced.
  virtual void exec_program(u32 user, const ExecSpec& spec) = 0;
  /// A handler for `sig` starts; operations come from it until it yields sigreturn.
  virtual void enter_handler(u32 user, int sig) = 0;
  /// The task is gone; the handle may be reused.
  virtual void task_gone(u32 user) = 0;
};

}  // namespace forksim::km
