// Kernel locks: the lock word, its queue, who gets it next, and the statistics per class.
//
// Purpose: the arithmetic of holding and handing over, apart from time and CPUs (exec/locks.cpp puts a CPU that has to wait into a spin or
//          a sleep). Source: Linux 4.19 kernel/locking/{qspinlock,qrwlock,rwsem-xadd,mutex}.c: first come, first served; readers share; a
//          writer that waits keeps later readers out; a reader in an interrupt waits for the writer inside only and goes before the queue.
// Units:   ns since boot. Ownership: a word lives in the object it protects, a waiter in the CPU or task that waits. Errors: contracts.
// Not modelled: stealing (a pending spinner or a mutex taker overtaking the queue), the cost of an uncontended cache-line transfer.
#pragma once

#include <array>
#include <string_view>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/base/types.hpp"

namespace forksim::km {

struct Frame;
struct Task;

enum class LockKind : u8 { spin, read, write, sleep_read, sleep_write, mutex };

enum class LockId : u8 {
#define LOCK(id, ...) id,
#include "kernel_model/lock/lock_ids.def"
#undef LOCK
  count_
};
inline constexpr std::size_t kLocks = static_cast<std::size_t>(LockId::count_);

struct LockInfo {
  std::string_view name;
  LockKind kind;
  bool irqs_off;
  std::string_view doc;
  constexpr bool shared() const { return kind == LockKind::read || kind == LockKind::sleep_read; }
  constexpr bool sleeps() const { return kind == LockKind::sleep_read || kind == LockKind::sleep_write || kind == LockKind::mutex; }
};
inline constexpr std::array<LockInfo, kLocks> kLockTable{{
#define FS_LOCK_IRQS_on false
#define FS_LOCK_IRQS_off true
#define LOCK(id, name, kind, irqs, doc) LockInfo{name, LockKind::kind, FS_LOCK_IRQS_##irqs, doc},
#include "kernel_model/lock/lock_ids.def"
#undef LOCK
#undef FS_LOCK_IRQS_on
#undef FS_LOCK_IRQS_off
}};
constexpr const LockInfo& info(LockId id) { return kLockTable[static_cast<std::size_t>(id)]; }

/// Sets of locks, as steps and frames carry them.
struct LockSet {
#define LOCK(id, ...) static constexpr u16 id = 1u << static_cast<unsigned>(LockId::id);
#include "kernel_model/lock/lock_ids.def"
#undef LOCK
};
inline constexpr u16 kAllLocks = (1u << kLocks) - 1;
static_assert(kLocks <= 14, "exec/frame.hpp has two more flags in the same word");
constexpr u16 lock_bit(LockId id) { return static_cast<u16>(1u << static_cast<unsigned>(id)); }
/// Locks that put a waiter to sleep (or to spin only as long as the holder runs).
inline constexpr u16 kSleepingLocks = LockSet::threadgroup_read | LockSet::threadgroup_write | LockSet::mmap_read |
                                       LockSet::mmap_write | LockSet::pipe;

struct LockWord;

/// A CPU (spinning) or a task (sleeping) in the queue of a lock.
struct LockWaiter {
  LockWaiter* next = nullptr;
  LockWord* lock = nullptr;
  Frame* frame = nullptr;  ///< that waits
  Task* task = nullptr;    ///< of a sleeping lock
  CpuId cpu;               ///< of a spinning one
  LockId id = LockId::count_;
  u32 owner = 0;           ///< what the lock word will show
  bool granted = false, asleep = false;
  bool to_wake = false;             ///< in the wake_q of who released the lock; perhaps no longer asleep, because others may wake it too
  LockWaiter* wake_next = nullptr;  ///< in that wake_q
  Ns since{0};
};

/// One lock. `owner` is 0 or CPU + 1 for spinning locks, TaskId + 1 for sleeping ones.
struct LockWord {
  u32 owner = 0;
  u32 readers = 0;
  u32 number = 0;  ///< for events: in order of first use; 0: not yet
  LockWaiter *head = nullptr, *tail = nullptr;
  LockWord() = default;
  bool in_use() const { return owner || readers || head; }
  /// A copied object has a lock of its own, free.
  LockWord(const LockWord&) : LockWord() {}
  LockWord& operator=(const LockWord&) {
    FS_CONTRACT(!in_use(), "an object is overwritten while its lock is in use");
    number = 0;
    return *this;
  }

  /// Takes the lock when `id` may have it at once. `in_irq`: a reader in an interrupt, which a waiting writer does not stop.
  bool try_take(LockId id, u32 who, bool in_irq) {
    if (owner) return false;
    if (info(id).shared()) {
      if (head && !in_irq) return false;
      ++readers;
      return true;
    }
    if (readers || head) return false;
    owner = who;
    return true;
  }
  /// Queues `w`; a reader in an interrupt goes first.
  void enqueue(LockWaiter& w, bool in_irq) {
    w.granted = false;
    w.next = nullptr;
    if (in_irq && info(w.id).shared()) {
      w.next = head;
      head = &w;
      if (!tail) tail = &w;
      return;
    }
    (tail ? tail->next : head) = &w;
    tail = &w;
  }
  void release(LockId id) {
    if (!info(id).shared()) {
      FS_CONTRACT(owner, "a lock is released that nobody holds");
      owner = 0;
      return;
    }
    FS_CONTRACT(readers, "a lock is released that nobody holds");
    --readers;
  }
  /// The next in the queue that has the lock from now on, or null: call until null after a release.
  LockWaiter* grant() {
    LockWaiter* w = head;
    if (!w || owner) return nullptr;
    if (info(w->id).shared()) {
      ++readers;
    } else {
      if (readers) return nullptr;
      owner = w->owner;
    }
    head = w->next;
    if (!head) tail = nullptr;
    w->next = nullptr;
    w->granted = true;
    return w;
  }
};

/// A lock that a CPU or a task holds.
struct HeldLock {
  LockWord* lock = nullptr;
  LockId id = LockId::count_;
  u8 outer_flags = 0;  ///< StepFlags that the spinning locks taken before imply
  Ns since{0};
};

/// As /proc/lock_stat counts, per class.
struct LockStats {
  u64 acquisitions = 0;  ///< finished: held and released again
  u64 contended = 0;
  Ns wait_total, wait_max, hold_total, hold_max;
};

}  // namespace forksim::km
