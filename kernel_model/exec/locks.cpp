// Taking, waiting for and handing over locks. Mirrors Linux 4.19 kernel/locking/{qspinlock,qrwlock,rwsem-xadd,mutex}.c.
//
// Which part of a path a lock covers is said by the steps (exec/path.hpp). A CPU that finds a spinning lock held gets kLockSpin on top of
// its frames: it spins, with interrupts off where the kernel has them off, until the holder's release hands the lock over; the cache line
// takes its way from CPU to CPU on top. A sleeping lock gets kLockSleep: a mutex is spun for while its holder runs (mutex_spin_on_owner),
// else, and for an rw_semaphore at once, the task sleeps uninterruptibly and the release wakes it.
// Simplified: a step cannot take a lock in its middle, so where a row of the cost table is not split, the lock is held for the whole row
// and waits come out longer, never shorter: futex_wait and futex_wake (bucket about half), pipe_read and pipe_write (mutex about two
// thirds), get_signal. The other way round, sched_rt_period_timer has no cost per queue and holds their locks for no time; cfs_b->lock
// and the rt_runtime_locks never are held.
// Not covered: wait queue heads, files and fs locks. Zone, LRU and page table locks are part of the mm contention.
#include <algorithm>
#include <bit>
#include <utility>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

LockWord* Core::lock_of(Ctx& x, LockId id) {
  switch (id) {
    case LockId::mmap_read:
    case LockId::mmap_write:
      return x.t.mm ? &x.t.mm->mmap_sem : nullptr;
    case LockId::threadgroup_read:
      return threadgroup_read();
    case LockId::tasklist_read:
    case LockId::tasklist_write:
      return &tasklist_lock_;
    case LockId::siglock:
      return &x.t.signal->siglock;
    case LockId::pidmap:
      return &pidmap_lock_;
    case LockId::pi:
      return &x.t.pi_lock;
    case LockId::rq:
      return &x.c.rq_lock;
    default:
      break;
  }
  FS_CONTRACT(false, "a path does not say which lock it takes");
  return nullptr;
}

namespace {

template <class F>
constexpr u32 set_of(F&& f) {
  u32 set = 0;
  for (std::size_t i = 0; i < kLocks; ++i)
    if (f(kLockTable[i])) set |= 1u << i;
  return set;
}
/// Spinning and exclusive: nearly all of them, taken without detours.
constexpr u32 kPlainLocks = set_of([](const LockInfo& i) { return !i.shared() && !i.sleeps(); });
/// What a spinning lock adds to the StepFlags of its CPU.
constexpr auto kFlagsOf = [] {
  std::array<u8, kLocks> flags{};
  for (std::size_t i = 0; i < kLocks; ++i)
    flags[i] = static_cast<u8>(StepFlag::kNoPreempt | (kLockTable[i].irqs_off ? StepFlag::kIrqsOff : 0));
  return flags;
}();

bool reads_already(const Cpu& c, const LockWord& l) {
  return std::any_of(c.held.begin(), c.held.begin() + c.nr_held, [&l](const HeldLock& h) { return h.lock == &l; });
}

}  // namespace

/// In lock order; false when the CPU has to wait for one of them first. A lock that the caller has is not taken again. Most steps want one.
bool Core::take_locks(Ctx& x, u32 missing) {
  if (missing & (missing - 1)) [[unlikely]]
    return take_each(x, missing);
  return take_one(x, missing);
}

[[gnu::noinline]] bool Core::take_each(Ctx& x, u32 missing) {
  for (; missing; missing &= missing - 1)
    if (!take_one(x, missing & -missing)) return false;
  return true;
}

inline bool Core::take_one(Ctx& x, u32 bit) {
  const LockId id = static_cast<LockId>(std::countr_zero(bit));
  LockWord* l = x.f.path->lock_of ? x.f.path->lock_of(x, id) : lock_of(x, id);
  if (!l) [[unlikely]]
    return true;
  if (!(bit & kPlainLocks) || (l->owner | l->readers)) [[unlikely]]
    return take_other(x, *l, id);
  l->owner = x.c.id.v + 1;
  x.f.take(bit);
  hold_spinning(x.c, *l, id);
  return true;
}

/// One that sleeps, is shared or is not free; false when the CPU has to wait for it.
[[gnu::noinline]] bool Core::take_other(Ctx& x, LockWord& l, LockId id) {
  const u32 who = info(id).sleeps() ? x.t.id.v + 1 : x.c.id.v + 1;
  if (l.owner == who || (info(id).shared() && reads_already(x.c, l))) return true;
  if (!l.try_take(id, who, !x.c.irq.empty())) {
    wait_for(x, l, id, who);
    return false;
  }
  x.f.take(lock_bit(id));
  hold(x.c, x.t, l, id);
  return true;
}

void Core::hold(Cpu& c, Task& t, LockWord& l, LockId id) {
  if (!(lock_bit(id) & kSleepingLocks)) return hold_spinning(c, l, id);
  emit(Tp::lock_acquired, c, lock_names_[static_cast<std::size_t>(id)], lock_number(l));
  FS_CONTRACT(!t.sleep_lock.lock, "a task holds one sleeping lock at a time");
  t.sleep_lock = {&l, id, 0, now()};
}

inline void Core::hold_spinning(Cpu& c, LockWord& l, LockId id) {
  if (trace_.enabled(Tp::lock_acquired)) [[unlikely]]
    return hold_watched(c, l, id);
  add_held(c, l, id);
}

/// As hold_spinning, for those who look on.
[[gnu::noinline]] void Core::hold_watched(Cpu& c, LockWord& l, LockId id) {
  emit(Tp::lock_acquired, c, lock_names_[static_cast<std::size_t>(id)], lock_number(l));
  add_held(c, l, id);
}

inline void Core::add_held(Cpu& c, LockWord& l, LockId id) {
  const u32 n = c.nr_held;
  FS_CONTRACT(n < c.held.size() && (!n || c.held[n - 1].id < id), "locks are taken in the order of lock_ids.def");
  c.held[n] = {&l, id, c.lock_flags, now()};
  c.nr_held = n + 1;
  c.lock_flags |= kFlagsOf[static_cast<std::size_t>(id)];
}

bool Core::pass_free_lock(LockWord& l, LockId id) {
  if (!locks_on()) return true;
  if (l.in_use() || trace_.enabled(Tp::lock_acquired) || trace_.enabled(Tp::lock_release)) return false;
  ++lock_stats_[static_cast<std::size_t>(id)].acquisitions;
  return true;
}

/// Numbers are given when somebody looks.
u64 Core::lock_number(LockWord& l) {
  if (!l.number && trace_.enabled(Tp::lock_acquired)) l.number = ++lock_numbers_;
  return l.number;
}

namespace {

enum SpinPc : u16 { kPcSpinIrqsOff = 0, kPcSpinIrqsOn = 1 };
enum SleepPc : u16 { kPcMutexSpin = 0, kPcSleep = 1 };

u64 contention_flags(LockKind k) {
  constexpr u64 kSpin = 1, kRead = 2, kWrite = 4;
  switch (k) {
    case LockKind::spin:
      return kSpin;
    case LockKind::read:
      return kSpin | kRead;
    case LockKind::write:
      return kSpin | kWrite;
    case LockKind::sleep_read:
      return kRead;
    case LockKind::sleep_write:
      return kWrite;
    case LockKind::mutex:
      break;
  }
  return 0;
}

/// A spinner cannot leave its CPU: one waiter for its task, one for an interrupt on top of that.
LockWaiter& spin_waiter(Ctx& x) { return x.c.spin_waiters[!x.c.irq.empty()]; }

Ns spin_cost(Ctx& x) { return spin_waiter(x).granted ? Ns(0) : kNever; }
Next spin_done(Ctx& x) {
  x.k.has_lock(x, spin_waiter(x));
  return ret();
}

Ns mutex_cost(Ctx& x) { return x.t.lock_waiter.granted ? Ns(0) : kNever; }

/// The holder has left its CPU when the lock is not ours yet.
Next mutex_spin(Ctx& x) {
  if (!x.t.lock_waiter.granted) return advance();
  x.k.has_lock(x, x.t.lock_waiter);
  return ret();
}
Next sleep_for_lock(Ctx& x) {
  LockWaiter& w = x.t.lock_waiter;
  if (w.granted) {
    x.k.has_lock(x, w);
    return ret();
  }
  w.asleep = true;
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(kPcSleep);
}

/// wake_up_q of the sleepers that have the lock now, in the order in which they came; a[0] is the next one.
Next wake_granted(Ctx& x) {
  Task& p = task_arg(x);
  const LockWaiter* next = std::exchange(p.lock_waiter.wake_next, nullptr);
  p.lock_waiter.to_wake = false;
  call_ttwu(x, p, TASK_UNINTERRUPTIBLE);
  if (!next) return advance();
  x.f.a[0] = as_arg(*next->task);
  return jump(0);
}
Next granted_woken(Ctx&) { return ret(); }

constexpr Step kSpinSteps[] = {
    {spin_done, Phase::count_, spin_cost, StepFlag::kIrqsOff | StepFlag::kNoPreempt},
    {spin_done, Phase::count_, spin_cost, StepFlag::kNoPreempt},
};
constexpr Step kWakeGrantedSteps[] = {wake_granted, granted_woken};
constexpr Step kSleepSteps[] = {
    {mutex_spin, Phase::count_, mutex_cost, StepFlag::kCondResched},
    {sleep_for_lock, Phase::count_, nullptr, StepFlag::kNoPreempt},
};

}  // namespace

const Path kWakeGranted{"wake_up_q", kWakeGrantedSteps};
const Path kLockSpin{"queued_spin_lock_slowpath", kSpinSteps};
const Path kLockSleep{"rwsem_down_failed_common", kSleepSteps};

void Core::wait_for(Ctx& x, LockWord& l, LockId id, u32 who) {
  const LockInfo& i = info(id);
  LockWaiter& w = i.sleeps() ? x.t.lock_waiter : spin_waiter(x);
  const bool in_irq = !x.c.irq.empty();
  FS_CONTRACT(!w.lock, "a context waits for one lock at a time");
  w.lock = &l;
  w.task = i.sleeps() ? &x.t : nullptr;
  w.cpu = x.c.id;
  w.id = id;
  w.owner = who;
  w.asleep = false;
  w.since = now();
  ++lock_stats_[static_cast<std::size_t>(id)].contended;
  emit(Tp::contention_begin, x.c, lock_names_[static_cast<std::size_t>(id)], lock_number(l), contention_flags(i.kind));
  const u32 holder = l.owner;
  l.enqueue(w, in_irq);
  Frame& f = call(x, i.sleeps() ? kLockSleep : kLockSpin);
  if (i.sleeps())
    f.go(i.kind == LockKind::mutex && task_pool[holder - 1].on_cpu ? kPcMutexSpin : kPcSleep);
  else
    f.go(i.irqs_off ? kPcSpinIrqsOff : kPcSpinIrqsOn);
  w.frame = &f;
}

void Core::has_lock(Ctx& x, LockWaiter& w) {
  LockStats& s = lock_stats_[static_cast<std::size_t>(w.id)];
  const Ns waited = now() - w.since;
  s.wait_total += waited;
  s.wait_max = std::max(s.wait_max, waited);
  LockWord& l = *w.lock;
  w.lock = nullptr;
  if (w.task) x.t.state = TASK_RUNNING;
  x.st.below_top().take(lock_bit(w.id));
  emit(Tp::contention_end, x.c, lock_names_[static_cast<std::size_t>(w.id)], lock_number(l), 0, waited);
  hold(x.c, x.t, l, w.id);
}

void Core::unlock(Ctx& x, u16 set) {
  const u32 gone = x.f.held() & set;
  FS_CONTRACT(!(gone & kSleepingLocks), "a sleeping lock is dropped between steps, where whom it wakes goes first");
  x.f.drop(gone);
  if (gone) drop_locks(x.c, gone);
}

/// Innermost first.
void Core::drop_locks(Cpu& c, u32 set) {
  if (set & (set - 1)) [[unlikely]]
    return drop_each(c, set);
  drop_one(c, set);
}

[[gnu::noinline]] void Core::drop_each(Cpu& c, u32 set) {
  while (set) {
    const u32 bit = std::bit_floor(set);
    set ^= bit;
    drop_one(c, bit);
  }
}

inline void Core::drop_one(Cpu& c, u32 bit) {
  const LockId id = static_cast<LockId>(std::countr_zero(bit));
  if (!(bit & kPlainLocks)) [[unlikely]]
    return drop_other(c, id);
  const HeldLock& h = top_lock(c, id);
  FS_CONTRACT(h.lock->owner, "a lock is released that nobody holds");
  h.lock->owner = 0;
  released(c, h);
}

/// The lock taken last by `c`, which is of class `id`; it is not in its list any more.
inline const HeldLock& Core::top_lock(Cpu& c, LockId id) {
  FS_CONTRACT(c.nr_held && c.held[c.nr_held - 1].id == id, "locks are dropped in the opposite order");
  const HeldLock& h = c.held[--c.nr_held];
  c.lock_flags = h.outer_flags;
  return h;
}

/// One that sleeps or is shared.
[[gnu::noinline]] void Core::drop_other(Cpu& c, LockId id) {
  const HeldLock h = info(id).sleeps() ? std::exchange(c.cur->sleep_lock, {}) : top_lock(c, id);
  h.lock->release(id);
  released(c, h);
}

/// The books, and who is next.
inline void Core::released(Cpu& c, const HeldLock& h) {
  LockStats& s = lock_stats_[static_cast<std::size_t>(h.id)];
  const Ns held = now() - h.since;
  ++s.acquisitions;
  s.hold_total += held;
  if (held > s.hold_max) s.hold_max = held;
  if (h.lock->head || trace_.enabled(Tp::lock_release)) [[unlikely]]
    hand_over(c, *h.lock, h.id);
}

/// Somebody waits for `l`, or looks on. The last call of whoever drops a lock, who needs no stack of its own then.
[[gnu::noinline]] void Core::hand_over(Cpu& c, LockWord& l, LockId id) {
  emit(Tp::lock_release, c, lock_names_[static_cast<std::size_t>(id)], lock_number(l));
  LockWaiter* last = nullptr;
  while (LockWaiter* w = l.grant()) {
    if (!w->asleep) {
      const CpuId to = w->task ? w->task->cpu : w->cpu;
      end_spin(*w, machine_.transfer.empty() ? Ns(0) : machine_.transfer[c.id.v * nr_cpus() + to.v]);
    } else if (!w->to_wake) {
      w->to_wake = true;
      if (last)
        last->wake_next = w;
      else
        c.stack->push(kWakeGranted).a[0] = as_arg(*w->task);
      last = w;
    }
  }
}

/// The spin of `w` is over `after` ns of running from now; it may be interrupted or, for a mutex, preempted at present.
void Core::end_spin(LockWaiter& w, Ns after) {
  Cpu& c = *cpus_[(w.task ? w.task->cpu : w.cpu).v];
  if (&c.stack->top() == w.frame) {
    c.seg_end = now() + after;
    touch(c);
  } else {
    w.frame->remaining = after;
  }
}

void Core::stop_mutex_spinners(const Task& t) {
  for (LockWaiter* w = t.sleep_lock.lock->head; w; w = w->next)
    if (w->id == LockId::pipe && !w->asleep && w->frame->pc() == kPcMutexSpin) end_spin(*w, Ns(0));
}

}  // namespace forksim::km
