// Execution frames: what a task (or an interrupt) is in the middle of.
//
// Purpose: a kernel path is a list of steps (phase, flags, effect); a frame remembers which path, which step, the locals of the path and
//          how much of an interrupted step remains. A blocked task keeps its frames, like a kernel stack.
// Units:   `remaining` in ns of CPU time at the frequency in force. Ownership: frames live in their task or CPU; no allocation.
// Errors:  overflow is a broken contract. Not modelled: stack depth in bytes.
#pragma once

#include <algorithm>
#include <array>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/base/types.hpp"
#include "kernel_model/lock/lock.hpp"

namespace forksim::km {

struct Path;  // exec/path.hpp
struct Step;

/// call() sets all of it.
struct Frame {
  /// Beside the locks in `todo`. Steps see both (exec/path.hpp).
  static constexpr u16 kGraph = 1u << 14;    ///< always: its functions may have to be shown
  static constexpr u16 kStarted = 1u << 15;  ///< the current step was interrupted: `remaining` is what is left of its cost
  static constexpr u16 kNoLocks = static_cast<u16>(~kAllLocks);  ///< all bits that are no locks

  const Path* path;
  const Step* step;  ///< of `path`, where it is
  u16 todo;  ///< what a step has to see to before it is paid, in one word: LockSet that the path does not hold here, and the two above
  static constexpr u8 kNoFn = 0xff;
  u8 fn_base;     ///< depth of the task's call stack when the path was called; only while somebody listens (exec/func_graph.hpp)
  u8 fn_depth;    ///< depth that lasts beyond the current step
  Ns remaining;   ///< of the current step, when started
  std::array<u64, 6> a;  ///< locals of the path; each path documents its own

  /// At the first step of `p`.
  void call(const Path& p);
  void go(u16 pc);  ///< to step `pc`, counted from 0
  u16 pc() const;

  u32 held() const { return ~u32{todo} & kAllLocks; }  ///< LockSet that the path holds here
  void take(u32 locks) { todo = static_cast<u16>(todo & ~locks); }
  void drop(u32 locks) { todo = static_cast<u16>(todo | locks); }
  /// LockSet that the path holds here although a step that sees `sees` does without.
  u32 held_beyond(u16 sees) const { return static_cast<u16>(~(todo | sees)); }
  bool started() const { return todo & kStarted; }
  /// The current step is interrupted with `left` to pay, or is entered as if it had been.
  void suspend(Ns left) {
    remaining = left;
    todo |= kStarted;
  }
  /// It goes on; what is left.
  Ns resume() {
    todo ^= kStarted;
    return remaining;
  }
};
/// `to` has the locks of `from` from here on.
inline void hand_locks(Frame& from, Frame& to) {
  const u32 held = from.held();
  from.drop(held);
  to.take(held);
}

/// Points into itself, a copy too. Room for frames that are not there has no values: most tasks use few, and a new one is made per fork.
class FrameStack {
 public:
  static constexpr u32 kMax = 16;
  FrameStack() { clear(); }
  FrameStack(const FrameStack& o) { *this = o; }
  FrameStack& operator=(const FrameStack& o) {
    end_ = std::copy_n(o.frames_, o.depth(), frames_);
    return *this;
  }
  Frame& push(const Path& p) {
    FS_CONTRACT(depth() < kMax, "kernel path nesting");
    Frame& f = *end_++;
    f.call(p);
    return f;
  }
  void pop() { --end_; }
  void clear() { end_ = frames_; }
  bool empty() const { return end_ == frames_; }
  u32 depth() const { return static_cast<u32>(end_ - frames_); }
  Frame& top() { return end_[-1]; }
  const Frame& top() const { return end_[-1]; }
  Frame& below_top() { return end_[-2]; }

 private:
  Frame* end_;  ///< behind the top
  union {
    Frame frames_[kMax];
  };
};

}  // namespace forksim::km
