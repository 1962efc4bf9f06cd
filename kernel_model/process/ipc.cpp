// Pipes and futexes.
// Mirrors Linux 4.19 fs/pipe.c pipe_read, pipe_write, pipe_wait (one wait queue for both ends, woken synchronously) and kernel/futex.c.
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

WaitQueue& queue_arg(Core& k, u64 ref) {
  const u32 i = static_cast<u32>(ref);
  switch (static_cast<QueueOf>(ref >> 32)) {
    case QueueOf::lock: return k.locks[i].wait;
    case QueueOf::pipe: return k.pipes[i].wait;
    case QueueOf::writers: return k.locks[i].writers;
    case QueueOf::join: break;
  }
  return k.task_pool[i].join_waiters;
}

namespace {

Op& op(Ctx& x) { return x.t.op[x.t.handler_depth]; }

/// Wakes waiters from the head, removing each (autoremove_wake_function); those that come meanwhile are not counted.
Next wake_queue(Ctx& x) {
  WaitQueue& q = queue_arg(x.k, x.f.a[0]);
  const bool locked = static_cast<QueueOf>(x.f.a[0] >> 32) == QueueOf::pipe;  // futexes wake after their bucket is unlocked
  if (locked && !x.f.a[3]) preempt_add(x, 1);
  x.f.a[3] = 1;
  if (x.f.a[1] == ~u64{0}) {
    x.f.a[1] = 0;
    for (const Task* t = q.front(); t; t = t->wait_node.next) ++x.f.a[1];
  }
  if (!x.f.a[1] || q.empty()) {
    if (locked) preempt_sub(x, 1);
    return ret();
  }
  --x.f.a[1];
  Task& w = *q.front();
  x.k.remove_wait(w);
  call_ttwu(x, w, TASK_NORMAL, static_cast<u32>(x.f.a[2]));
  return jump(0);
}
constexpr Step kWakeQueueSteps[] = {{wake_queue, Phase::count_, nullptr, StepFlag::kNoPreempt}};

void wake_pipe(Ctx& x, u32 pipe) {
  if (x.k.pipes[pipe].wait.empty()) return;
  Frame& f = call(x, kWakeQueue);
  f.a[0] = queue_ref(QueueOf::pipe, pipe);
  f.a[1] = ~u64{0};
  f.a[2] = WF_SYNC;
}

// Locals of the pipe paths.
enum PipeLocal : u32 { kPipe = 0, kDone = 1 };
Pipe& pipe(Ctx& x) { return x.k.pipes[x.f.a[kPipe]]; }
u64 kib_cost(Ctx& x, u64 bytes) { return x.k.cost(Phase::copy_user_per_kib).v * bytes / 1024; }

Next pipe_enter(Ctx& x) {
  const bool write = op(x).kind == OpKind::pipe_write;
  x.f.a[kPipe] = x.k.objects[op(x).object].index;
  trace_sys_enter(x, write ? Nr::write : Nr::read, op(x).object, 0, op(x).count);
  fn_enter(x, write ? Fn::sys_write : Fn::sys_read);
  fn_enter(x, write ? Fn::pipe_write : Fn::pipe_read);
  return advance();
}
Next pipe_locked(Ctx&) { return advance(); }

/// pipe_wait.
Next pipe_wait(Ctx& x) {
  x.k.add_wait(pipe(x).wait, x.t, true);
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return advance();
}
Next pipe_woken(Ctx& x) {
  x.k.remove_wait(x.t);
  x.t.state = TASK_RUNNING;
  return jump(2);
}

Next done(Ctx& x, s64 result) {
  x.t.result = result;
  return jump(4);
}

Ns read_cost(Ctx& x) { return Ns(kib_cost(x, std::min(pipe(x).used, op(x).count))); }
Next pipe_read(Ctx& x) {
  Pipe& p = pipe(x);
  if (p.used) {
    const u64 n = std::min(p.used, op(x).count);
    p.used -= n;
    wake_pipe(x, static_cast<u32>(x.f.a[kPipe]));
    return done(x, static_cast<s64>(n));
  }
  if (!p.writers) return done(x, 0);
  if (x.t.ti_flags & TIF_SIGPENDING) return done(x, -kERESTARTSYS);
  return pipe_wait(x);
}

Ns write_cost(Ctx& x) { return Ns(kib_cost(x, std::min(pipe(x).capacity - pipe(x).used, op(x).count - x.f.a[kDone]))); }

/// Writes of up to PIPE_BUF bytes are atomic; longer ones fill what there is and wait for room.
Next pipe_write(Ctx& x) {
  constexpr u64 kPipeBuf = 4096;
  Pipe& p = pipe(x);
  if (!p.readers) return done(x, -kEPIPE);
  const u64 left = op(x).count - x.f.a[kDone], room = p.capacity - p.used;
  const u64 n = op(x).count <= kPipeBuf && room < left ? 0 : std::min(left, room);
  p.used += n;
  x.f.a[kDone] += n;
  if (n) wake_pipe(x, static_cast<u32>(x.f.a[kPipe]));
  if (x.f.a[kDone] == op(x).count) return done(x, static_cast<s64>(op(x).count));
  if (n) return jump(2);
  if (x.t.ti_flags & TIF_SIGPENDING) return done(x, x.f.a[kDone] ? static_cast<s64>(x.f.a[kDone]) : -kERESTARTSYS);
  return pipe_wait(x);
}

Next pipe_exit(Ctx& x) {
  trace_sys_exit(x, op(x).kind == OpKind::pipe_write ? Nr::write : Nr::read, x.t.result);
  return ret();
}

LockWord* pipe_lock(Ctx& x, LockId) { return &pipe(x).mutex; }
constexpr Step kReadSteps[] = {
    {pipe_enter, Phase::syscall_entry, nullptr, 0},
    {pipe_locked, Phase::pipe_read, nullptr, StepFlag::kMightSleep, nullptr, LockSet::pipe},
    {pipe_read, Phase::count_, read_cost, StepFlag::kNoPreempt, nullptr, LockSet::pipe},
    {pipe_woken, Phase::count_, nullptr, 0},
    {pipe_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_write>, leaves<Fn::sys_read>>},
};
constexpr Step kWriteSteps[] = {
    {pipe_enter, Phase::syscall_entry, nullptr, 0},
    {pipe_locked, Phase::pipe_write, nullptr, StepFlag::kMightSleep, nullptr, LockSet::pipe},
    {pipe_write, Phase::count_, write_cost, StepFlag::kNoPreempt, nullptr, LockSet::pipe},
    {pipe_woken, Phase::count_, nullptr, 0},
    {pipe_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_write>, leaves<Fn::sys_read>>},
};

/// close of one end; the last reader or writer gone wakes the other side.
Next close_enter(Ctx& x) {
  trace_sys_enter(x, Nr::close, op(x).object);
  return advance();
}
Next close_apply(Ctx& x) {
  const u32 i = x.k.objects[op(x).object].index;
  const bool write = op(x).kind == OpKind::pipe_close_write;
  auto& ends = x.t.files->ends;
  x.t.result = 0;
  for (auto e = ends.begin(); e != ends.end(); ++e) {
    if (e->pipe != i || e->write != write) continue;
    ends.erase(e);
    Pipe& p = x.k.pipes[i];
    if (--(write ? p.writers : p.readers) == 0) wake_pipe(x, i);
    break;
  }
  return advance();
}
Next close_exit(Ctx& x) {
  trace_sys_exit(x, Nr::close, x.t.result);
  return ret();
}
constexpr Step kCloseSteps[] = {
    {close_enter, Phase::syscall_entry, nullptr, 0},
    {close_apply, Phase::close_file, nullptr, StepFlag::kNoPreempt},
    {close_exit, Phase::syscall_exit, nullptr, 0},
};

/// Whether the value a futex waiter saw still holds, so that it must sleep.
bool must_wait(Ctx& x) {
  const u32 i = static_cast<u32>(x.f.a[0]);
  if (static_cast<QueueOf>(x.f.a[0] >> 32) == QueueOf::join) {
    const Task* p = x.k.find_task(Pid(static_cast<s32>(x.f.a[1])));
    return p && p->id.v == i && p->clear_child_tid;
  }
  const Lock& l = x.k.locks[i];
  if (static_cast<QueueOf>(x.f.a[0] >> 32) == QueueOf::writers) return l.write_locked;
  switch (l.kind) {
    case ObjectKind::mutex: return l.value != 0;
    case ObjectKind::semaphore: return l.value == 0;
    case ObjectKind::rwlock: return l.write_phase == (x.f.a[1] != 0);
    default: return l.generation == x.f.a[1];
  }
}
LockWord* futex_lock(Ctx& x, LockId) {
  const u32 i = static_cast<u32>(x.f.a[0]);
  return static_cast<QueueOf>(x.f.a[0] >> 32) == QueueOf::join ? &x.k.task_pool[i].join_bucket : &x.k.locks[i].bucket;
}
Next futex_wait_enter(Ctx& x) {
  trace_sys_enter(x, Nr::futex, 0, 0, 0);
  fn_enter(x, Fn::sys_futex);
  fn_enter(x, Fn::futex_wait);
  return advance();
}
Next futex_wait_sleep(Ctx& x) {
  if (!must_wait(x) || (x.t.ti_flags & TIF_SIGPENDING)) return advance();
  x.k.add_wait(queue_arg(x.k, x.f.a[0]), x.t, false);
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return advance();
}
Next futex_wait_exit(Ctx& x) {
  x.k.remove_wait(x.t);
  x.t.state = TASK_RUNNING;
  trace_sys_exit(x, Nr::futex, 0);
  return ret();
}
constexpr Step kFutexWaitSteps[] = {
    {futex_wait_enter, Phase::syscall_entry, nullptr, 0},
    {futex_wait_sleep, Phase::futex_wait, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::futex},
    {futex_wait_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_futex>>},
};

Next futex_wake_enter(Ctx& x) {
  trace_sys_enter(x, Nr::futex, 0, 1, x.f.a[1]);
  fn_enter(x, Fn::sys_futex);
  fn_enter(x, Fn::futex_wake);
  return advance();
}
Next futex_wake_call(Ctx& x) {
  if (x.f.a[1] == 1) {  // an unlock or a post: no loop needed
    WaitQueue& q = queue_arg(x.k, x.f.a[0]);
    if (q.empty()) return advance();
    Task& w = *q.front();
    x.k.remove_wait(w);
    call_ttwu(x, w, TASK_NORMAL);
    return advance();
  }
  Frame& f = call(x, kWakeQueue);
  f.a[0] = x.f.a[0];
  f.a[1] = x.f.a[1];
  return advance();
}
Next futex_wake_exit(Ctx& x) {
  trace_sys_exit(x, Nr::futex, 0);
  return ret();
}
constexpr Step kFutexWakeSteps[] = {
    {futex_wake_enter, Phase::syscall_entry, nullptr, 0},
    {futex_wake_call, Phase::futex_wake, nullptr, StepFlag::kNoPreempt, nullptr, LockSet::futex},
    {futex_wake_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_futex>>},
};

}  // namespace

const Path kWakeQueue{"__wake_up", kWakeQueueSteps};
const Path kSysPipeRead{"pipe_read", kReadSteps, pipe_lock};
const Path kSysPipeWrite{"pipe_write", kWriteSteps, pipe_lock};
const Path kSysPipeClose{"pipe_release", kCloseSteps};
const Path kFutexWait{"futex_wait", kFutexWaitSteps, futex_lock};
const Path kFutexWake{"futex_wake", kFutexWakeSteps, futex_lock};

}  // namespace forksim::km
