// ptrace: who traces whom, and the events that fork, exec and signals stop for.
//
// Purpose: the tracer's side is a system call (seize, cont, detach) and wait4; the tracee's side a stop in TASK_TRACED (kPtraceStop).
// Source:  Linux 4.19 include/linux/ptrace.h, include/uapi/linux/ptrace.h, kernel/ptrace.c, kernel/signal.c ptrace_stop; the values are
//          the kernel's. Task::parent() is task_struct.parent: the tracer, or real_parent when there is none.
// Units:   none. Ownership: a tracee is in its tracer's `ptraced` until it is detached or released. Errors: -errno of the system call.
// Not modelled: PTRACE_TRACEME and PTRACE_ATTACH (their tracees have no PT_SEIZED), LISTEN, INTERRUPT, memory and registers, stops at
//          system calls, single step, PTRACE_EVENT_EXIT and SECCOMP, PTRACE_O_EXITKILL, GETEVENTMSG, SIGINFO, Yama.
#pragma once

#include "kernel_model/exec/path.hpp"
#include "kernel_model/process/objects.hpp"

namespace forksim::km {

// Task::ptrace
inline constexpr u32 PT_PTRACED = 1, PT_SEIZED = 0x10000, PT_OPT_FLAG_SHIFT = 3;
inline constexpr u32 PTRACE_EVENT_FORK = 1, PTRACE_EVENT_VFORK = 2, PTRACE_EVENT_CLONE = 3, PTRACE_EVENT_EXEC = 4,
                     PTRACE_EVENT_VFORK_DONE = 5, PTRACE_EVENT_STOP = 128;
/// What a stop shows in exit_code: a signal, and above it the event.
constexpr s32 stop_code(u32 event, int sig = kSIGTRAP) { return static_cast<s32>(event << 8) | sig; }

inline bool ptrace_event_enabled(const Task& t, u32 event) { return t.ptrace & (1u << (PT_OPT_FLAG_SHIFT + event)); }
/// Traced by somebody else than its real parent's process.
inline bool ptrace_reparented(const Task& t) { return t.tracer && t.tracer->signal != t.real_parent->signal; }

/// The head of _do_fork: the event that a clone with `flags` is to its caller, 0 for none that its tracer has asked for.
u32 choose_fork_event(const Task& t, u64 flags);
/// ptrace_init_task for a child whose parent's tracer is to have it too.
void ptrace_init_task(const Task& parent, Task& child);
/// The links of __ptrace_unlink: `t` has no tracer any more; it may have had none.
void ptrace_unlink(Task& t);
/// ptrace_event: stops for the tracer.
void call_ptrace_event(Ctx& x, u32 event);
/// ptrace_stop of the current task.
void call_ptrace_stop(Ctx& x, s32 code, int why);
/// task_set_jobctl_pending: not for a thread that is about to die.
bool set_jobctl_pending(Task& t, u32 mask);

}  // namespace forksim::km
