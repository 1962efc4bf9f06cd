// One CPU of the execution engine.
//
// Purpose: what a CPU is doing at any ns: the segment in progress, pending interrupts, timers, per-CPU caches, and time accounting.
// Source:  contexts nest as in Linux 4.19 (kernel/softirq.c, arch/arm64 entry): interrupt frames above the current task's frames.
// Units:   dates in ns since boot. Ownership: owned by the Core; tasks are borrowed. Errors: contracts.
// Not modelled: FIQ, interrupt priorities, nested hard interrupts (the handler runs with interrupts off).
#pragma once

#include <algorithm>
#include <deque>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "kernel_model/lock/lock.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

/// Sleepers' timers of one CPU, ordered by (date, arming order). Entries whose task was woken otherwise are stale and skipped.
class TimerQueue {
 public:
  struct Entry {
    Ns date;  ///< hard expiry, for which the clock event is programmed
    Ns soft;  ///< earliest expiry: an interrupt that comes anyway takes it from here on (timer slack)
    u64 seq;
    Task* task;
  };
  void push(const Entry& e) {
    heap_.push_back(e);
    std::push_heap(heap_.begin(), heap_.end(), after);
  }
  /// Earliest live entry's date; drops stale ones.
  Ns next() {
    while (!heap_.empty() && heap_.front().task->timer_seq != heap_.front().seq) drop();
    return heap_.empty() ? kNever : heap_.front().date;
  }
  /// Soft expiry of the earliest live entry.
  Ns next_soft() { return next() == kNever ? kNever : heap_.front().soft; }
  /// The earliest live entry; next_soft() must be due.
  Task* pop() {
    Task* t = heap_.front().task;
    drop();
    return t;
  }

 private:
  static bool after(const Entry& a, const Entry& b) { return a.date != b.date ? a.date > b.date : a.seq > b.seq; }
  void drop() {
    std::pop_heap(heap_.begin(), heap_.end(), after);
    heap_.pop_back();
  }
  friend void move_timers(TimerQueue& from, TimerQueue& to);
  std::vector<Entry> heap_;
};
/// migrate_hrtimer_list of a CPU that died.
inline void move_timers(TimerQueue& from, TimerQueue& to) {
  for (const TimerQueue::Entry& e : from.heap_) to.push(e);
  from.heap_.clear();
}

/// call_rcu callbacks of one CPU, in order; each waits for its grace period. Without a task: one that only keeps the tick of the CPU alive.
class RcuQueue {
 public:
  struct Entry {
    Task* task;
    Ns due;
  };
  bool empty() const { return head_ == list_.size(); }
  Ns due() const { return empty() ? kNever : list_[head_].due; }
  Task* front() const { return list_[head_].task; }
  void push(Task* t, Ns due) { list_.push_back({t, due}); }
  Task* pop() {
    Task* t = list_[head_++].task;
    if (head_ == list_.size()) {
      list_.clear();
      head_ = 0;
    }
    return t;
  }
  /// rcutree_migrate_callbacks of a CPU that died.
  void move_to(RcuQueue& to) {
    for (; head_ < list_.size(); ++head_) to.list_.push_back(list_[head_]);
    list_.clear();
    head_ = 0;
  }

 private:
  std::vector<Entry> list_;
  std::size_t head_ = 0;
};

/// Work of a CPU's stopper: migration_cpu_stop of `task`. `waiter` sleeps in stop_one_cpu until it is done, or nobody does.
struct StopWork {
  Task* task = nullptr;
  CpuId dest;
  Task* waiter = nullptr;
};

/// An interrupt of a device to come.
struct DevIrq {
  Ns date;
  u32 irq;  ///< index into Core::irqs
};

enum class TimeKind : u8 { user, system, irq, idle, off };
/// The book that time of a kind belongs to; off is in none.
inline Ns CpuTimes::*time_of(TimeKind k) {
  static constexpr std::array kBook{&CpuTimes::user, &CpuTimes::system, &CpuTimes::irq, &CpuTimes::idle};
  return kBook[static_cast<std::size_t>(k)];
}

/// What every step looks at comes first.
struct Cpu {
  CpuId id;
  Task* cur = nullptr;  ///< whose frames execute
  Task* idle = nullptr;
  Task* prev = nullptr;                    ///< being switched away from
  FrameStack* stack = nullptr;             ///< whose top executes: `irq` unless empty, else the frames of `cur`
  std::array<TimeKind, 2> kind_of{TimeKind::idle, TimeKind::idle};  ///< what its time counts as, by Mode

  Ns seg_end = kNever;                           ///< when the step in progress is paid
  u8 seg_flags = 0;                              ///< its StepFlags
  u64 seg_scale = 65536;                         ///< 16.16: reference ns to ns of this step
  u8 lock_flags = 0;                             ///< StepFlags that the held locks imply
  u8 in_mm = 0;                                  ///< kMm while the step in progress is mm work
  Ns irq_next = kNever;                          ///< earliest of the six dates below; update_irq() after any of them changed
  std::array<u64, 2> scale{65536, 65536};        ///< 16.16, by Mode: reference ns to ns at the frequency in force
  TimeKind kind = TimeKind::idle;
  Ns acct_at{0};  ///< from when on `times` and those of `cur` lack what `kind` says (Core::charge)
  CpuTimes times;

  FrameStack irq;        ///< frames of interrupts and softirqs
  bool wfi = false;      ///< in WFI
  bool polling = false;  ///< idle loop looks at need_resched itself
  bool online = true;
  Task* spin_on = nullptr;
  s8 irqs_here = 0;  ///< interrupts in the effect that runs: 0 as its step says, 1 off, -1 on (class Held)

  LockWord rq_lock;               ///< rq.lock
  std::array<HeldLock, 12> held;  ///< spinning locks, in the order taken
  u32 nr_held = 0;
  std::array<LockWaiter, 2> spin_waiters;  ///< of its task, of an interrupt or softirq

  Ns ipi_at = kNever, tick_at = kNever, dev_at = kNever, irq_work_at = kNever;
  Ns call_at = kNever;  ///< function call interrupt: rto_push_irq_work, hrtick_start_here
  bool call_rto = false, call_hrtick = false;
  std::deque<DevIrq> dev_irqs;  ///< by date
  TimerQueue timers;
  Ns sched_timer_at = kNever;  ///< earliest of the scheduler's own timers that is armed here (exec/sched_timers.hpp)
  Ns timer_at = kNever;        ///< earlier of timers.next() and sched_timer_at, cached
  RcuQueue rcu;
  u32 softirq_pending = 0;

  u32 cached_stacks = 0;
  u32 vfree_pending = 0;
  std::deque<Ns> works;  ///< of the kworker, besides vfree
  Task *kworker = nullptr, *migration = nullptr;
  std::deque<StopWork> stop_works;  ///< of the stopper, in order
  bool active_balance = false;  ///< the stopper has to run active_load_balance_cpu_stop

  // hotplug (process/hotplug.cpp)
  enum class HpWork : u8 { none, offline, online } hp_work = HpWork::none;  ///< of cpuhp
  Task* cpuhp = nullptr;
  bool multi_stop = false;     ///< the stopper has to run multi_cpu_stop
  bool multi_waiting = false;  ///< it spins there
  bool dying = false;          ///< take_cpu_down was here: the idle loop dies next
  bool off_by_write = false;   ///< off, and not by a profile of the platform

  bool dbs_work = false;  ///< the kworker has to run dbs_work_handler
  u64 nice_ns = 0;        ///< CPUTIME_NICE, by ticks
  u64 cap_hz = 0;         ///< clock that a profile of the platform leaves; 0: no limit

  u32 opp = 0;

  void update_irq() { irq_next = std::min({ipi_at, tick_at, timer_at, dev_at, irq_work_at, call_at}); }
  void update_timer() {
    timer_at = std::min(timers.next(), sched_timer_at);
    update_irq();
  }
};

}  // namespace forksim::km
