// Tournament of the CPUs' next dates.
//
// Purpose: the CPU with the earliest event, ties to the lower index, after one date changed. Units: keys are dates (ns) with a phase bit.
// Cost:    up to kScan CPUs, one pass over the keys for the two earliest; above, a tournament: log2(CPUs) comparisons per update and for
//          the second, O(1) for the winner. Measured fastest for per-CPU slots among the structures considered.
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
  /// The earliest event, and the date of the earliest of the other CPUs.
  struct Firsts {
    u32 winner;
    u64 key, second_key;
  };

  explicit WinnerTree(u32 n) : leaves_(std::bit_ceil(n)), key_(leaves_, kNone), win_(n > kScan ? 2 * leaves_ : 0) {
    if (n <= kScan) return;
    for (u32 i = 0; i < leaves_; ++i) win_[leaves_ + i] = i;
    for (u32 i = leaves_ - 1; i > 0; --i) win_[i] = better(win_[2 * i], win_[2 * i + 1]);
  }
  void update(u32 i, u64 key) {
    key_[i] = key;
    if (win_.empty()) [[likely]]
      return;
    for (u32 n = (leaves_ + i) / 2; n > 0; n /= 2) win_[n] = better(win_[2 * n], win_[2 * n + 1]);
  }
  Firsts firsts() const {
    if (win_.empty()) [[likely]]
      return scan();
    Firsts f{win_[1], key_[win_[1]], kNone};
    for (u32 n = leaves_ + f.winner; n > 1; n /= 2) f.second_key = std::min(f.second_key, key_[win_[n ^ 1]]);
    return f;
  }
  u64 min_key() const { return firsts().key; }

 private:
  static constexpr u32 kScan = 8;
  static constexpr u64 kNone = std::numeric_limits<u64>::max();
  Firsts scan() const {
    if (leaves_ == 4) [[likely]]
      return four();
    Firsts f{0, key_[0], kNone};
    for (u32 i = 1; i < leaves_; ++i) {
      const u64 k = key_[i];
      const bool first = k < f.key;
      f.second_key = first ? f.key : std::min(f.second_key, k);
      f.winner = first ? i : f.winner;
      f.key = first ? k : f.key;
    }
    return f;
  }
  /// The usual board: two semi-finals and a final, without a branch, because nobody could foretell it.
  Firsts four() const {
    const u64* k = key_.data();
    const bool s01 = k[1] < k[0], s23 = k[3] < k[2];
    const u64 a = k[s01], b = k[!s01], c = k[2 + s23], d = k[3 - s23];
    const u64 first = lower(a, c), loser = a ^ c ^ first;
    const u32 left = s01, right = 2u + s23, winner = left ^ ((left ^ right) & -u32{c < a});
    return {winner, first, lower(loser, lower(b, d))};
  }
  static u64 lower(u64 a, u64 b) { return b ^ ((a ^ b) & -u64{a < b}); }
  u32 better(u32 a, u32 b) const { return key_[b] < key_[a] ? b : a; }
  u32 leaves_;
  std::vector<u64> key_;
  std::vector<u32> win_;
};

}  // namespace forksim::km
