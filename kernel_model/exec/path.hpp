// Kernel paths as lists of steps.
//
// Purpose: a path (a system call, the exit of a task, an interrupt handler) is a table of steps. A step has a cost, flags that say what may
//          disturb it, and an effect: the state change, applied at the one instant when its cost has been paid.
// Source:  the order of steps is that of the kernel function a path is named after.
// Units:   costs in ns at the reference frequency. Ownership: paths are constants. Errors: contracts.
// Locks:   a step's `locks` are held from its start (before any of its cost is paid; a CPU that finds one held waits first) to its end, and
//          on through the paths its effect calls when the step that follows has the same lock. A lock that the caller holds already is
//          not taken again. While a spinning lock is held there is no preemption, and no interrupt when the kernel disables them.
// Not modelled: the instructions inside a step; an interrupted step resumes with what remained of its cost.
#pragma once

#include <span>
#include <string_view>

#include "kernel_model/cost/cost_table.hpp"
#include "kernel_model/exec/fn_mark.hpp"
#include "kernel_model/exec/frame.hpp"
#include "kernel_model/lock/lock.hpp"

namespace forksim::km {

class Core;
struct Cpu;
struct Task;

/// Where an effect runs: the CPU, the stack and frame it belongs to, and the task current there.
struct Ctx {
  Core& k;
  Cpu& c;
  FrameStack& st;
  Frame& f;
  Task& t;
};

/// What the frame does after an effect.
struct Next {
  enum class Kind : u8 {
    advance,  ///< go to the following step
    jump,     ///< go to step pc
    ret,      ///< the path is done: pop the frame
    hold,     ///< the effect has set the frame itself (context switch, path replaced)
  } kind = Kind::advance;
  u16 pc = 0;
};
constexpr Next advance() { return {}; }
constexpr Next jump(u16 pc) { return {Next::Kind::jump, pc}; }
constexpr Next ret() { return {Next::Kind::ret, 0}; }
constexpr Next hold() { return {Next::Kind::hold, 0}; }

/// Step flags.
struct StepFlag {
  static constexpr u8 kIrqsOff = 1;    ///< interrupts wait for the end of the step
  static constexpr u8 kNoPreempt = 2;  ///< preemption waits for a later step
  static constexpr u8 kCondResched = 8;  ///< calls cond_resched: may be preempted under PREEMPT_VOLUNTARY and PREEMPT_NONE too
  static constexpr u8 kMightSleep = 32;  ///< calls might_sleep, as mutex_lock does: may be preempted under PREEMPT_VOLUNTARY too
  static constexpr u8 kUser = 4;       ///< user mode: needs no pending work, scales with the clock
  static constexpr u8 kMm = 16;        ///< its cost is made of mm rows (phases.def): grows while other CPUs are in such steps
};

/// What a CPU keeps by mode has this index.
enum Mode : u32 { kKernelMode = 0, kUserMode = 1 };
constexpr Mode mode_of(u8 step_flags) { return static_cast<Mode>(step_flags / StepFlag::kUser & 1u); }

/// Written in the order of the constructor; laid out in 32 bytes.
struct Step {
  using Effect = Next (*)(Ctx&);
  using Cost = Ns (*)(Ctx&);
  constexpr Step(Effect effect_, Phase phase_ = Phase::count_, Cost cost_ = nullptr, u8 flags_ = 0, const FnMark* marks_ = nullptr,
                 u16 locks_ = 0)
      : effect(effect_), cost(cost_), marks(marks_), sees(locks_ | Frame::kNoLocks), phase(phase_), flags(flags_) {}
  Effect effect;
  Cost cost;             ///< variable cost at the reference frequency, added to the phase
  const FnMark* marks;   ///< functions that begin and end with the step, see exec/fn_mark.hpp
  u16 sees;              ///< Frame::todo that it looks at: the LockSet that is held from the start of the step (see above), and the rest
  Phase phase;           ///< fixed cost; count_: none
  u8 flags;
};
static_assert(sizeof(Step) == 32);

struct Path {
  std::string_view name;  ///< the kernel function it follows
  std::span<const Step> steps;
  /// Which lock of a class its steps mean, null for none this time; without it those of the CPU and of the current task.
  LockWord* (*lock_of)(Ctx&, LockId) = nullptr;
};

inline void Frame::call(const Path& p) {
  path = &p;
  step = p.steps.data();
  todo = kAllLocks | kGraph;
  fn_base = fn_depth = kNoFn;
  a = {};
}
inline void Frame::go(u16 pc) { step = path->steps.data() + pc; }
inline u16 Frame::pc() const { return static_cast<u16>(step - path->steps.data()); }

/// Pushes `p` on the stack of `x`; it runs before the caller's next step. Returns its frame, to fill the locals.
inline Frame& call(Ctx& x, const Path& p) { return x.st.push(p); }

/// Result slot: a callee leaves its result in the caller's a[5].
inline constexpr u32 kResult = 5;
inline void set_result(Ctx& x, u64 v) {
  if (x.st.depth() > 1) x.st.below_top().a[kResult] = v;
}

}  // namespace forksim::km
