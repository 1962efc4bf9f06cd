// Seconds of SimGrid <-> integer time of the kernel: the only place where the two meet.
//
// Purpose: SimGrid keeps its clock in seconds (double), the kernel in u64 ns; latencies of the platform are kept in ps (2.67 ns is exact).
// Source:  below 2^50 ns (13 days) a second as double is within 0.12 ns and its product within 0.07, so rounding s * 1e9 finds every ns.
// Units:   as named. Ownership: values. Errors: dates above kHorizon cannot be told apart; the engine ends a run there.
// Not here: durations of phases (integer arithmetic in the kernel model), text with units (cost_file, platform_text).
#pragma once

#include <cmath>

#include "kernel_model/base/types.hpp"

namespace forksim {

/// Dates beyond are refused: at 2^53 ns a double of seconds counts in steps of 1.9 ns.
inline constexpr km::Ns kHorizon{km::u64{1} << 50};

inline double to_seconds(km::Ns t) { return static_cast<double>(t.v) / 1e9; }
inline km::Ns to_ns(double seconds) { return km::Ns(static_cast<km::u64>(static_cast<km::s64>(seconds * 1e9 + 0.5))); }
inline km::s64 to_ps(double seconds) { return std::llround(seconds * 1e12); }
inline km::u64 to_hz(double flops) { return static_cast<km::u64>(std::llround(flops)); }

/// From half of the way on, the difference of two dates is exact (Sterbenz 1974), and so is the clock after such a step.
inline bool exact_from(double clock, double target) { return clock >= target / 2; }
/// The step that takes a clock standing at `clock` to exactly to_seconds(t); 0 when it is there already. Before half of the way there may
/// be none, as every other sum is a tie: then to the ns before `t`, from where there is one.
inline double step_to(double clock, km::Ns t) {
  const double target = to_seconds(t), step = target - clock;
  if (step <= 0.0) return 0.0;
  if (exact_from(clock, target) || clock + step == target) return step;
  const double near = t.v > 0 ? to_seconds(t - km::Ns(1)) - clock : 0.0;
  return near > 0.0 ? near : step;
}

}  // namespace forksim
