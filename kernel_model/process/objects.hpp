// What tasks share: mm, files, fs, sighand, signal, cred, nsproxy; pipes, locks, terminals, kernel threads.
//
// Purpose: the reference-counted objects that copy_process shares or copies and do_exit gives up. Source: Linux 4.19
//          include/linux/{mm_types,fdtable,fs_struct,sched/signal}.h, fs/pipe.c; field names are the kernel's.
// Units:   pages of 4 KiB, counts. Ownership: pools of the Core; a task holds one reference each. Errors: contracts.
// Not modelled: individual pages and VMAs (counts stand for them; copy-on-write sharing is tracked per family of address spaces),
//          descriptor numbers, page slots of a pipe (it holds bytes), file positions; namespaces other than those of pids are counted and
//          paid for, not separate.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernel_model/base/ilist.hpp"
#include "kernel_model/process/kernel_bytes.hpp"
#include "kernel_model/process/pid.hpp"
#include "kernel_model/task/task.hpp"

namespace forksim::km {

using WaitQueue = IList<Task, &Task::wait_node>;

/// Address spaces that may share copy-on-write pages: created by fork from one another.
struct CowFamily {
  u32 index = 0;
  u32 live = 0;  ///< address spaces of the family
};

struct Mm {
  u32 index = 0;
  u32 users = 0;
  u32 vmas = 0, anon_pages = 0, file_pages = 0, pgtable_pages = 0;
  u32 anon_private = 0;  ///< of anon_pages: owned by this mm alone since the last fork
  u32 working_set_kib = 0;
  u32 rss = 0;       ///< pages, as far as its tasks have reported their faults (SPLIT_RSS_COUNTING)
  u32 total_vm = 0;  ///< pages mapped
  bool locked = false;  ///< VM_LOCKED, not inherited by fork
  CowFamily* family = nullptr;
  const ProcessShape* shape = nullptr;
  LockWord mmap_sem;
  /// Kernel memory: the struct, its areas and page tables.
  u64 bytes() const { return KernelBytes::mm_struct + KernelBytes::vm_area_struct * vmas + KernelBytes::page * pgtable_pages; }
};

struct Pipe {
  u64 capacity = 65536, used = 0;
  u32 readers = 0, writers = 0;  ///< open ends, counted per descriptor table
  WaitQueue wait;
  LockWord mutex;
};

/// One end of a pipe held by a descriptor table.
struct PipeEnd {
  u32 pipe;
  bool write;
};

struct Files {
  u32 index = 0;
  u32 count = 0;
  u32 fds = 0;  ///< plain descriptors
  std::vector<PipeEnd> ends;
};

struct Fs {
  u32 index = 0;
  u32 users = 0;
  bool in_exec = false;  ///< clone(CLONE_FS) must wait: EAGAIN
};

/// user_struct: what RLIMIT_NPROC counts.
struct User {
  u32 uid = 0;
  u32 processes = 0;
};

struct Cred {
  u32 index = 0;
  u32 usage = 0;
  User* user = nullptr;
  bool capable() const { return user->uid == 0; }  ///< every capability, or none
};

inline constexpr u32 kMaxPidNsLevel = 32;
/// pid_namespace: numbers from 1 on, whose number 1 adopts and, at its end, takes the others along.
struct PidNamespace {
  u32 index = 0;
  u32 count = 0;  ///< nsproxies, numbers and namespaces below
  u32 level = 0;
  PidNamespace* parent = nullptr;
  Task* child_reaper = nullptr;
  std::unique_ptr<PidMap> numbers;  ///< idr; null in the initial one, whose numbers are Core::pids
  u32 pid_allocated = 0;            ///< of numbers
  bool adding = true;               ///< PIDNS_ADDING, until zap_pid_ns_processes
};
/// The numbers that a struct pid has below the initial namespace, by level.
struct Upids {
  u32 index = 0;
  PidNamespace* ns = nullptr;  ///< the deepest
  std::array<Pid, kMaxPidNsLevel + 1> nr{};
};

struct Nsproxy {
  u32 index = 0;
  u32 count = 0;
  PidNamespace* pid_ns_for_children = nullptr;
};

/// sem_undo_list, shared under CLONE_SYSVSEM.
struct SemUndo {
  u32 index = 0;
  u32 refcnt = 0;
};

/// io_context: made by ioprio_set (nothing here does block I/O), shared under CLONE_IO.
struct IoContext {
  u32 index = 0;
  u32 refcount = 0, nr_tasks = 0;
  u32 ioprio = 0;  ///< class << 13 | level
};

/// A controlling terminal (a pty): who is in the foreground.
struct Tty {
  u32 index = 0;  ///< pts/N
  Pid session, pgrp;
};

/// struct kthread, with the kthread_create_info it was born from. It outlives the thread until kthread_stop has its result.
struct Kthread {
  u32 index = 0;
  u32 refs = 0;  ///< the thread, its creator, who stops it
  const KthreadSpec* spec = nullptr;
  Task* task = nullptr;
  Task* creator = nullptr;      ///< waits for `done`
  bool done = false;            ///< completion of the creation
  bool should_stop = false, exited = false;
  s64 result = 0;               ///< pid or -errno of the creation
  u32 irq = 0, irq_pending = 0;  ///< of an interrupt thread: its line + 1, runs asked for
};

enum class SigDisposition : u8 { dfl, ign, handler };

struct Sighand {
  u32 index = 0;
  u32 count = 0;
  std::array<SigDisposition, 65> action{};
  bool nocldwait = false;  ///< SA_NOCLDWAIT of SIGCHLD
};

/// The task group of a session (kernel/sched/autogroup.c), shared by its processes.
struct Autogroup {
  u32 index = 0;
  u32 refs = 0;
  TaskGroup* tg = nullptr;
};

/// Signal::flags (include/linux/sched/signal.h).
inline constexpr u32 SIGNAL_STOP_STOPPED = 1, SIGNAL_STOP_CONTINUED = 2, SIGNAL_GROUP_EXIT = 4, SIGNAL_CLD_STOPPED = 0x10,
                     SIGNAL_CLD_CONTINUED = 0x20, SIGNAL_UNKILLABLE = 0x40;

struct Signal {
  u32 index = 0;
  u32 sigcnt = 0, live = 0, nr_threads = 0;
  s32 notify_count = 0;              ///< de_thread: threads to go, -1: waits for the leader
  Task* group_exit_task = nullptr;   ///< who execs
  u32 group_stop_count = 0;
  u32 flags = 0;
  s32 group_exit_code = 0;
  u64 shared_pending = 0;
  IList<Task, &Task::multiprocess> forking;  ///< multiprocess: clones in progress, which keep signals to several processes for the child
  std::array<s8, 65> code{};  ///< si_code of a pending signal
  IList<Task, &Task::thread_node> threads;
  Task* curr_target = nullptr;
  WaitQueue wait_chldexit;
  Pid pgrp, session;
  bool leader = false;               ///< of its session
  Tty* tty = nullptr;
  ListNode<Signal> pgrp_node;        ///< members of a process group, newest first as pid->tasks
  Autogroup* autogroup = nullptr;  ///< null: the default one, that is the root task group
  bool is_child_subreaper = false, has_child_subreaper = false;
  LockWord siglock;  ///< of the sighand; here because it lives until RCU is done with the process
  Task& group_leader() const { return *threads.front()->group_leader; }
  /// signal_group_exit: the other threads are dying.
  bool group_exit() const { return (flags & SIGNAL_GROUP_EXIT) || group_exit_task; }
};

struct Lock {
  ObjectKind kind = ObjectKind::mutex;
  u64 param = 0;
  u64 value = 0;       ///< mutex: 1 held; semaphore: count; barrier: arrived
  u64 generation = 0;  ///< barrier, condition
  bool robust = false;       ///< mutex: FUTEX_OWNER_DIED when its holder dies
  bool owner_died = false;
  u32 owner = 0;             ///< of a robust mutex, of a rwlock held for writing: TaskId + 1
  u32 readers = 0;           ///< rwlock: that hold it, in a write phase that wait for it
  bool write_phase = false, write_locked = false;  ///< rwlock, see process/rwlock.hpp
  WaitQueue wait;      ///< futex queue, first in first out
  LockWord bucket;     ///< futex_hash_bucket.lock, as if every futex had a bucket of its own
  WaitQueue writers;   ///< rwlock: second futex, of writers that are not next
};

/// What a facade id stands for.
struct SharedObject {
  ObjectKind kind;
  u32 index;   ///< in Core::pipes or Core::locks
  Lock* lock;  ///< null for a pipe
};

// Signals, by the kernel's numbers.
inline constexpr int kSIGHUP = 1, kSIGINT = 2, kSIGQUIT = 3, kSIGILL = 4, kSIGTRAP = 5, kSIGABRT = 6, kSIGBUS = 7, kSIGFPE = 8, kSIGKILL = 9,
                     kSIGSEGV = 11, kSIGTERM = 15, kSIGCHLD = 17, kSIGCONT = 18, kSIGSTOP = 19, kSIGTSTP = 20, kSIGTTIN = 21,
                     kSIGTTOU = 22, kSIGURG = 23, kSIGXCPU = 24, kSIGXFSZ = 25, kSIGWINCH = 28, kSIGSYS = 31;
constexpr u64 sigbit(int sig) { return u64{1} << (sig - 1); }
inline constexpr u64 kStopSignals = sigbit(kSIGSTOP) | sigbit(kSIGTSTP) | sigbit(kSIGTTIN) | sigbit(kSIGTTOU);
inline constexpr u64 kIgnoredByDefault = sigbit(kSIGCONT) | sigbit(kSIGCHLD) | sigbit(kSIGWINCH) | sigbit(kSIGURG);
inline constexpr u64 kCoredump = sigbit(kSIGQUIT) | sigbit(kSIGILL) | sigbit(kSIGTRAP) | sigbit(kSIGABRT) | sigbit(kSIGFPE) |
                                 sigbit(kSIGSEGV) | sigbit(kSIGBUS) | sigbit(kSIGSYS) | sigbit(kSIGXCPU) | sigbit(kSIGXFSZ);
// si_code of SIGCHLD
inline constexpr int kSI_TKILL = -6;
inline constexpr int kCLD_EXITED = 1, kCLD_KILLED = 2, kCLD_DUMPED = 3, kCLD_TRAPPED = 4, kCLD_STOPPED = 5, kCLD_CONTINUED = 6;
// errno values (asm-generic)
inline constexpr u32 kIoprioClassShift = 13;
inline constexpr s64 kEPERM = 1, kENOSPC = 28, kENOENT = 2, kESRCH = 3, kEINTR = 4, kECHILD = 10, kEACCES = 13, kEBUSY = 16, kENOTTY = 25,
                     kEOPNOTSUPP = 95, kEOWNERDEAD = 130, kEAGAIN = 11, kENOMEM = 12, kEINVAL = 22, kEPIPE = 32, kEDEADLK = 35,
                     kENOSYS = 38;
/// Internal results that never reach a program: the system call is restarted.
inline constexpr s64 kERESTARTSYS = 512, kERESTARTNOINTR = 513, kERESTARTNOHAND = 514, kERESTART_RESTARTBLOCK = 516;
// wait4 options
inline constexpr u32 kWNOHANG = 1, kWUNTRACED = 2, kWEXITED = 4, kWCONTINUED = 8, kWNOWAIT = 0x1000000, k__WNOTHREAD = 0x20000000, k__WALL = 0x40000000,
                     k__WCLONE = 0x80000000;

}  // namespace forksim::km
