// What tasks share: mm, files, fs, sighand, signal; pipes and locks.
//
// Purpose: the reference-counted objects that copy_process shares or copies and do_exit gives up. Source: Linux 4.19
//          include/linux/{mm_types,fdtable,fs_struct,sched/signal}.h, fs/pipe.c; field names are the kernel's.
// Units:   pages of 4 KiB, counts. Ownership: pools of the Core; a task holds one reference each. Errors: contracts.
// Not modelled: individual pages and VMAs (counts stand for them; copy-on-write sharing is tracked per family of address spaces),
//          descriptor numbers, page slots of a pipe (it holds bytes), robust futexes, file positions.
#pragma once

#include <array>
#include <vector>

#include "kernel_model/base/ilist.hpp"
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
  CowFamily* family = nullptr;
  const ProcessShape* shape = nullptr;
};

struct Pipe {
  u64 capacity = 65536, used = 0;
  u32 readers = 0, writers = 0;  ///< open ends, counted per descriptor table
  WaitQueue wait;
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
  u32 flags = 0;
  s32 group_exit_code = 0;
  u64 shared_pending = 0;
  std::array<s8, 65> code{};  ///< si_code of a pending signal
  IList<Task, &Task::thread_node> threads;
  Task* curr_target = nullptr;
  WaitQueue wait_chldexit;
  Pid pgrp, session;
  Autogroup* autogroup = nullptr;  ///< null: the default one, that is the root task group
  bool is_child_subreaper = false, has_child_subreaper = false;
  bool stop_unreported = false;  ///< a stop that wait(WUNTRACED) has not seen
};

struct Lock {
  ObjectKind kind = ObjectKind::mutex;
  u64 param = 0;
  u64 value = 0;       ///< mutex: 1 held; semaphore: count; barrier: arrived
  u64 generation = 0;  ///< barrier, condition
  WaitQueue wait;      ///< futex queue, first in first out
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
inline constexpr int kCLD_EXITED = 1, kCLD_KILLED = 2, kCLD_DUMPED = 3, kCLD_STOPPED = 5, kCLD_CONTINUED = 6;
// errno values (asm-generic)
inline constexpr s64 kEPERM = 1, kESRCH = 3, kEINTR = 4, kECHILD = 10, kEAGAIN = 11, kENOMEM = 12, kEINVAL = 22, kEPIPE = 32, kENOSYS = 38;
/// Internal results that never reach a program: the system call is restarted.
inline constexpr s64 kERESTARTSYS = 512, kERESTARTNOINTR = 513, kERESTARTNOHAND = 514, kERESTART_RESTARTBLOCK = 516;
// wait4 options
inline constexpr u32 kWNOHANG = 1, kWUNTRACED = 2, kWCONTINUED = 8;

}  // namespace forksim::km
