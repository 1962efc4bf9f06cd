// Tournament of the CPUs' next dates.
//
// Purpose: the CPU with the earliest event, ties to the lower index, after one date changed. Units: keys are dates (ns) with a phase bit.
// Cost: log2(CPUs) comparisons per update, O(1) for the winner; measured fastest for per-CPU slots among the structures considered.
// Ownership: a value. Errors: none.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

class WinnerTree {
 public:
  explicit WinnerTree(u32 n) : leaves_(std::bit_ceil(n)), key_(leaves_, std::numeric_limits<u64>::max()), win_(2 * leaves_) {
    for (u32 i = 0; i < leaves_; ++i) win_[leaves_ + i] = i;
    for (u32 i = leaves_ - 1; i > 0; --i) win_[i] = better(win_[2 * i], win_[2 * i + 1]);
  }
  void update(u32 i, u64 key) {
    key_[i] = key;
    for (u32 n = (leaves_ + i) / 2; n > 0; n /= 2) win_[n] = better(win_[2 * n], win_[2 * n + 1]);
  }
  u32 winner() const { return leaves_ == 1 ? 0 : win_[1]; }
  /// Smallest key of all but the winner.
  u64 second_key() const {
    u64 k = std::numeric_limits<u64>::max();
    for (u32 n = leaves_ + winner(); n > 1; n /= 2) k = std::min(k, key_[win_[n ^ 1]]);
    return k;
  }
  u64 key(u32 i) const { return key_[i]; }
  u64 min_key() const { return key_[winner()]; }

 private:
  u32 better(u32 a, u32 b) const { return key_[b] < key_[a] ? b : a; }
  u32 leaves_;
  std::vector<u64> key_;
  std::vector<u32> win_;
};

}  // namespace forksim::km
