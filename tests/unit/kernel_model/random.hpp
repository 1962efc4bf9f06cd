// Randomness of property tests.
//
// Purpose: splitmix64 (Steele, Lea, Flood 2014), so that a printed seed means the same machine everywhere; the model itself has no randomness.
// Units: none. Ownership: a value. Errors: below(0) is a broken test. Not here: the named streams of workloads (sim/config/streams.hpp).
#pragma once

#include "kernel_model/base/types.hpp"

namespace forksim::km {

struct Random {
  u64 s;
  u64 next() {
    u64 z = (s += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  u64 below(u64 n) { return next() % n; }
  bool one_in(u64 n) { return below(n) == 0; }
};

}  // namespace forksim::km
