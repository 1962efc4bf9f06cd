// wait4, waitid and the waking of waiting parents.
// Mirrors Linux 4.19 kernel/exit.c do_wait, ptrace_do_wait, wait_consider_task, wait_task_zombie, wait_task_stopped, __wake_up_parent.
#include "kernel_model/process/paths.hpp"
#include "kernel_model/process/ptrace.hpp"

namespace forksim::km {

bool eligible_pid(const Task& child, s32 pid, Pid own_group) {
  if (pid == -1) return true;
  if (pid > 0) return child.pid.v == pid;
  return child.signal->pgrp == (pid ? Pid(-pid) : own_group);
}

namespace {

// Locals of kSysWait4.
enum Local : u32 { kPid = 0, kOptions = 1, kRet = 2, kZombie = 3, kNumber = 4 };
enum Pc : u16 { kPcScan = 1, kPcSpin = 2, kPcReap = 3, kPcExit = 5, kPcKernel = 6, kPcThread = 7, kPcTraced = 8 };
constexpr u64 kOfKernel = u64{1} << 32;  // of kOptions: no system call

s32 wanted(const Ctx& x) { return static_cast<s32>(x.f.a[kPid]); }
u32 options(const Ctx& x) { return static_cast<u32>(x.f.a[kOptions]); }
/// WNOWAIT exists in waitid only.
s64 nr(const Ctx& x) { return options(x) & kWNOWAIT ? Nr::waitid : Nr::wait4; }

/// eligible_child: whose number fits, and whose exit signal says "clone" or not, unless __WALL or traced.
bool eligible_child(const Ctx& x, const Task& c, bool ptrace) {
  if (!eligible_pid(c, wanted(x), x.t.wait_group)) return false;
  return ptrace || (options(x) & k__WALL) || (c.exit_signal != kSIGCHLD) == ((options(x) & k__WCLONE) != 0);
}

/// The head of do_wait.
void do_wait(Ctx& x, s32 pid) {
  fn_enter(x, Fn::do_wait);
  x.k.emit(Tp::sched_process_wait, x.c, x.t.comm, Pid(pid > 0 ? pid : 0), x.t.prio);
  x.t.wait_pid = pid;
  x.t.wait_options = options(x);
  x.t.wait_group = x.t.signal->pgrp;
  x.k.add_wait(x.t.signal->wait_chldexit, x.t, true);
  fn(x, Fn::add_wait_queue);
}

Next wait_enter(Ctx& x) {
  const s32 pid = wanted(x);
  trace_sys_enter(x, nr(x), x.f.a[kPid], 0, x.f.a[kOptions]);
  fn_enter(x, nr(x) == Nr::wait4 ? Fn::sys_wait4 : Fn::sys_waitid);
  constexpr u32 kKnown = kWNOHANG | kWUNTRACED | kWCONTINUED | kWEXITED | kWNOWAIT | k__WNOTHREAD | k__WALL | k__WCLONE;
  x.f.a[kRet] = static_cast<u64>(-kEINVAL);
  if (options(x) & ~kKnown) return jump(kPcExit);
  if (nr(x) == Nr::wait4) fn_enter(x, Fn::kernel_wait4);
  if (pid > 0) fn(x, Fn::find_get_pid);
  do_wait(x, pid);
  return advance();
}
Next kernel_wait(Ctx& x) {
  fn_enter(x, Fn::kernel_wait4);
  do_wait(x, wanted(x));
  return jump(kPcScan);
}

/// The number by which the caller knows a child.
void set_number(Ctx& x, const Task& child) { x.f.a[kNumber] = static_cast<u64>(s64{x.k.pid_nr_ns(child.pid, *x.t.pid_ns)}); }

Next finish(Ctx& x, s64 result) {
  x.f.a[kRet] = static_cast<u64>(result);
  x.t.state = TASK_RUNNING;
  return jump(kPcExit);
}

enum class Seen : u8 { nobody, alive, reap, report, spin };

/// What wait4 stores: how a task ended, or what it stopped for.
void set_status(Ctx& x, s32 status) {
  if (!(x.f.a[kOptions] & kOfKernel)) x.t.op[x.t.handler_depth].count = static_cast<u32>(status);
}
constexpr s32 kStopped = 0x7f, kContinued = 0xffff;

/// wait_task_stopped of a tracee, whose stop is reported once.
Seen consider_traced(Ctx& x, Task& c) {
  if (!(c.state & __TASK_TRACED) || c.exit_state || !c.exit_code) return Seen::alive;
  set_status(x, c.exit_code << 8 | kStopped);
  if (!(options(x) & kWNOWAIT)) c.exit_code = 0;
  return Seen::report;
}

/// wait_consider_task: what a child, or with `ptrace` a tracee, offers to this wait.
Seen consider(Ctx& x, Task& c, bool ptrace) {
  if (c.exit_state == EXIT_DEAD || !eligible_child(x, c, ptrace)) return Seen::nobody;
  if (c.exit_state == EXIT_TRACE) return ptrace ? Seen::nobody : Seen::alive;
  if (!ptrace && c.ptrace && !ptrace_reparented(c)) ptrace = true;
  if (c.in_exit_notify) {
    c.spin_target = true;
    x.c.spin_on = &c;
    return Seen::spin;
  }
  if (c.exit_state == EXIT_ZOMBIE && !delay_group_leader(c) && (ptrace || !c.ptrace)) return Seen::reap;
  if (ptrace) return consider_traced(x, c);
  Signal& s = *c.signal;
  const bool keep = options(x) & kWNOWAIT;
  if ((options(x) & kWUNTRACED) && (s.flags & SIGNAL_STOP_STOPPED) && s.group_exit_code) {
    set_status(x, s.group_exit_code << 8 | kStopped);
    if (!keep) s.group_exit_code = 0;
    return Seen::report;
  }
  if ((options(x) & kWCONTINUED) && (s.flags & SIGNAL_STOP_CONTINUED)) {
    set_status(x, kContinued);
    if (!keep) s.flags &= ~SIGNAL_STOP_CONTINUED;
    return Seen::report;
  }
  return Seen::alive;
}

/// The reap of a zombie goes on inside wait_consider_task.
void fn_consider(Ctx& x, Seen seen) {
  if (seen != Seen::reap || (options(x) & kWNOWAIT)) return fn(x, Fn::wait_consider_task);
  fn_enter(x, Fn::wait_consider_task);
  fn_enter(x, Fn::wait_task_zombie);
}

/// The thread whose children come after those of `p`: the caller's own are first, then those of its siblings.
Task* next_waiter(const Ctx& x, const Task* p) {
  if (options(x) & k__WNOTHREAD) return nullptr;
  Task* n = p->thread_node.next ? p->thread_node.next : x.t.signal->threads.front();
  return n == &x.t ? nullptr : n;
}

/// The zombie found: another's child that is only traced goes back to its real parent, a traced thread is nobody's child.
Next begin_reap(Ctx& x, Task& c) {
  x.f.a[kZombie] = as_arg(c);
  x.t.state = TASK_RUNNING;
  c.exit_state = EXIT_DEAD;
  if (c.group_leader != &c) return jump(kPcThread);
  if (!ptrace_reparented(c)) return jump(kPcReap);
  c.exit_state = EXIT_TRACE;
  return jump(kPcTraced);
}

/// One child or tracee of the scan; true when the wait is over or goes on elsewhere, and `next` says where.
bool scan_one(Ctx& x, Task& c, bool ptrace, bool& children, Next& next) {
  const Seen seen = consider(x, c, ptrace);
  if (x.k.graph_on()) [[unlikely]]
    fn_consider(x, seen);
  if (seen == Seen::nobody) return false;
  if (seen == Seen::spin) {
    next = jump(kPcSpin);
    return true;
  }
  set_number(x, c);
  if (seen == Seen::reap) set_status(x, c.signal->flags & SIGNAL_GROUP_EXIT ? c.signal->group_exit_code : c.exit_code);
  if (seen == Seen::report || (seen == Seen::reap && (options(x) & kWNOWAIT))) {
    next = finish(x, c.pid.v);
    return true;
  }
  if (seen == Seen::reap) {
    next = begin_reap(x, c);
    return true;
  }
  x.f.a[kNumber] = 0;
  children = true;
  return false;
}

/// do_wait: children of this thread, then its tracees, then those of every other thread of the group, in list order.
Next wait_scan(Ctx& x) {
  bool children = false;
  Next next;
  for (Task* p = &x.t; p; p = next_waiter(x, p)) {
    for (Task* c = p->children.front(); c; c = c->sibling.next)
      if (scan_one(x, *c, false, children, next)) return next;
    for (Task* c = p->ptraced.front(); c; c = c->ptrace_entry.next)
      if (scan_one(x, *c, true, children, next)) return next;
  }
  x.k.unlock(x);
  if (!children) return finish(x, -kECHILD);
  if (x.f.a[kOptions] & kWNOHANG) return finish(x, 0);
  if (x.t.ti_flags & TIF_SIGPENDING) return finish(x, -kERESTARTSYS);
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(kPcScan);
}

/// Without locks (model.locks=off) a parent still waits for a child that is inside exit_notify: what it sees depends on the end of that.
Ns spin_cost(Ctx& x) { return x.c.spin_on && x.c.spin_on->in_exit_notify ? kNever : Ns(0); }
Next spin_done(Ctx& x) {
  x.c.spin_on = nullptr;
  return jump(kPcScan);
}

Next wait_task_zombie(Ctx&) { return advance(); }
Next wait_reap(Ctx& x) {
  Task& z = task_arg(x, kZombie);
  x.f.a[kRet] = static_cast<u64>(static_cast<s64>(z.pid.v));
  ++x.k.totals.reaped;
  release_task_now(x, z);
  return advance();
}

/// A traced thread: release_task as its own path, for it may be the last that its leader waits for.
Next reap_thread(Ctx& x) {
  Task& z = task_arg(x, kZombie);
  x.f.a[kRet] = static_cast<u64>(static_cast<s64>(z.pid.v));
  ++x.k.totals.reaped;
  call(x, kReleaseTask).a[0] = as_arg(z);
  return jump(kPcExit);
}
/// EXIT_TRACE: no tracer any more; the real parent hears of the end, or wants to know nothing.
Next reap_traced(Ctx& x) {
  Task& z = task_arg(x, kZombie);
  x.f.a[kRet] = static_cast<u64>(static_cast<s64>(z.pid.v));
  x.f.a[kResult] = 0;
  ptrace_unlink(z);
  call_notify_parent(x, z, z.exit_signal);
  return advance();
}
Next back_to_parent(Ctx& x) {
  Task& z = task_arg(x, kZombie);
  z.exit_state = x.f.a[kResult] ? EXIT_DEAD : EXIT_ZOMBIE;
  if (z.exit_state == EXIT_DEAD) {
    ++x.k.totals.autoreaped;
    call(x, kReleaseTask).a[0] = as_arg(z);
  }
  return jump(kPcExit);
}

Next wait_exit(Ctx& x) {
  x.k.remove_wait(x.t);
  x.t.state = TASK_RUNNING;
  x.t.result = static_cast<s64>(x.f.a[kRet]);
  if (!(x.f.a[kOptions] & kOfKernel)) trace_sys_exit(x, nr(x), x.t.result > 0 ? static_cast<s64>(x.f.a[kNumber]) : x.t.result);
  return ret();
}
Ns exit_cost(Ctx& x) { return x.f.a[kOptions] & kOfKernel ? Ns(0) : x.k.cost(Phase::syscall_exit); }

bool inside_wait(Ctx& x) { return x.k.graph().is_open(x, Fn::do_wait); }
bool is_wait4(Ctx& x) { return x.k.graph().is_open(x, Fn::kernel_wait4); }

constexpr Step kWaitSteps[] = {
    {wait_enter, Phase::syscall_entry, nullptr, 0},
    {wait_scan, Phase::do_wait, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::tasklist_read},
    {spin_done, Phase::count_, spin_cost, StepFlag::kNoPreempt},
    {wait_task_zombie, Phase::count_, before_reap_cost, 0},
    {wait_reap, Phase::count_, reap_locked_cost, 0, nullptr, LockSet::tasklist_write},
    {wait_exit, Phase::count_, exit_cost, 0,
     marks<leaves<Fn::wait_consider_task>, calls<Fn::remove_wait_queue, inside_wait>, leaves<Fn::do_wait>, calls<Fn::put_pid, is_wait4>,
           leaves<Fn::sys_wait4>, leaves<Fn::sys_waitid>>},
    {kernel_wait, Phase::count_, nullptr, 0},
    {reap_thread, Phase::count_, nullptr, 0},
    {reap_traced, Phase::count_, reap_locked_cost, StepFlag::kNoPreempt, nullptr, LockSet::tasklist_write},
    {back_to_parent, Phase::count_, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::tasklist_write},
};
static_assert(kWaitSteps[kPcScan].effect == wait_scan && kWaitSteps[kPcSpin].effect == spin_done &&
              kWaitSteps[kPcReap].effect == wait_task_zombie && kWaitSteps[kPcExit].effect == wait_exit &&
              kWaitSteps[kPcKernel].effect == kernel_wait && kWaitSteps[kPcThread].effect == reap_thread &&
              kWaitSteps[kPcTraced].effect == reap_traced);

/// __wake_up_sync_key on wait_chldexit with child_wait_callback's filter; a[2] counts the waiters already seen.
Next wake_parent(Ctx& x) {
  if (!x.f.a[3]) preempt_add(x, 1);  // the lock of wait_chldexit
  x.f.a[3] = 1;
  Task& parent = task_arg(x);
  const Task& child = task_arg(x, 1);
  u64 i = 0;
  for (Task* w = parent.signal->wait_chldexit.front(); w; w = w->wait_node.next, ++i) {
    if (i < x.f.a[2] || !eligible_pid(child, w->wait_pid, w->wait_group)) continue;
    if ((w->wait_options & k__WNOTHREAD) && child.parent() != w) continue;
    x.f.a[2] = i + 1;
    call_ttwu(x, *w, TASK_INTERRUPTIBLE, WF_SYNC);
    return jump(0);
  }
  preempt_sub(x, 1);
  return ret();
}
constexpr Step kWakeParentSteps[] = {
    {wake_parent, Phase::count_, nullptr, StepFlag::kNoPreempt, marks<enters<Fn::__wake_up_parent, outside<Fn::__wake_up_parent>>>}};

}  // namespace

void call_kernel_wait4(Ctx& x, s32 pid, u32 options) {
  Frame& f = call(x, kSysWait4);
  f.go(kPcKernel);
  f.a[kPid] = static_cast<u64>(s64{pid});
  f.a[kOptions] = options | kOfKernel;
}

const Path kSysWait4{"sys_wait4", kWaitSteps};
const Path kWakeParent{"__wake_up_parent", kWakeParentSteps};

}  // namespace forksim::km
