// Seconds of SimGrid <-> integer time of the kernel: the only place where the two meet.
//
// Purpose: SimGrid keeps its clock in seconds (double), the kernel in u64 ns; platform latencies are kept in ps so that 2.67 ns stays
// exact. Source:  measured: t / 1e9 and llround(s * 1e9) round-trip every ns below 2^53 (104 days) through SimGrid's clock. Units:   as
// named. Ownership: values. Errors: dates above kHorizon are not representable; the engine ends a run there. Not here: durations of phases
// (integer arithmetic in the kernel model), text with units (cost_file, platform_text).
#pragma once

#include <cmath>

#include "kernel_model/base/types.hpp"

namespace forksim {

/// Last date at which every ns still has its own double.
inline constexpr km::Ns kHorizon{km::u64{1} << 53};

inline double to_seconds(km::Ns t) { return static_cast<double>(t.v) / 1e9; }
inline km::Ns to_ns(double seconds) { return km::Ns(static_cast<km::u64>(std::llround(seconds * 1e9))); }
inline km::s64 to_ps(double seconds) { return std::llround(seconds * 1e12); }
inline km::u64 to_hz(double flops) { return static_cast<km::u64>(std::llround(flops)); }

/// The step that takes a clock standing at `clock` to exactly to_seconds(t); 0 when it is there already.
inline double step_to(double clock, km::Ns t) {
  const double target = to_seconds(t);
  double step = target - clock;
  if (step <= 0.0) return 0.0;
  // clock + (target - clock) may round to a neighbour of target; one ulp of the step is enough to correct it
  if (clock + step < target) step = std::nextafter(step, INFINITY);
  if (clock + step > target) step = std::nextafter(step, 0.0);
  return step;
}

}  // namespace forksim
