// Tournament of the CPUs' next events.
//
// Purpose: which CPU has the earliest event after one of them changed, and how long it stays the earliest.
// Units:   dates in ns. Ownership: values. Errors: none; an event at kFar or later does not come.
// Cost:    up to kScan CPUs, one pass over the keys for the two earliest; above, a tournament: log2(CPUs) comparisons per update and for
//          the second, O(1) for the first. Measured fastest for per-CPU slots among the structures considered.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/base/types.hpp"

namespace forksim::km {

/// What comes next on a CPU, in one number: its date, then interrupts before ends of steps, then the lower CPU. To compare is to order.
class EventKey {
 public:
  /// Last date, 104 days: later ones cannot be told from it.
  static constexpr Ns kFar{(u64{1} << 53) - 2};

  constexpr EventKey() = default;  ///< never
  constexpr EventKey(Ns date, bool step_ends, CpuId cpu)
      : v_(std::min(date, kFar).v << (kCpuBits + 1) | u64{step_ends} << kCpuBits | cpu.v) {}
  /// Before everything that happens at `date`.
  static constexpr EventKey before(Ns date) { return EventKey(date, false, CpuId(0)); }
  constexpr auto operator<=>(const EventKey&) const = default;
  constexpr Ns date() const { return Ns(v_ >> (kCpuBits + 1)); }
  constexpr bool step_ends() const { return v_ >> kCpuBits & 1; }
  constexpr CpuId cpu() const { return CpuId(v_ & (kMaxCpus - 1)); }
  /// The two, the earlier one first. Without a branch, because nobody could foretell it.
  friend constexpr std::pair<EventKey, EventKey> in_order(EventKey a, EventKey b) {
    const u64 swap = (a.v_ ^ b.v_) & -u64{b.v_ < a.v_};
    return {EventKey(a.v_ ^ swap), EventKey(b.v_ ^ swap)};
  }

 private:
  static constexpr u32 kCpuBits = std::countr_zero(kMaxCpus);
  static_assert(std::has_single_bit(kMaxCpus) && kFar.v < ~u64{0} >> (kCpuBits + 1));
  constexpr explicit EventKey(u64 v) : v_(v) {}
  u64 v_ = std::numeric_limits<u64>::max();
};

class WinnerTree {
 public:
  struct Firsts {
    EventKey first, second;
  };

  explicit WinnerTree(u32 n) : leaves_(std::bit_ceil(n)), key_(std::max(leaves_, 4u)), win_(n > kScan ? leaves_ : 0) {}
  void update(CpuId cpu, EventKey key) {
    key_[cpu.v] = key;
    if (leaves_ > kScan) [[unlikely]]
      climb(cpu.v);
  }
  Firsts firsts() const {
    if (leaves_ <= 4) [[likely]]
      return four();
    return leaves_ <= kScan ? scan() : descend();
  }
  EventKey first() const { return firsts().first; }

 private:
  static constexpr u32 kScan = 8;
  /// The usual board: two semi-finals and a final.
  Firsts four() const {
    const EventKey* k = key_.data();
    const auto [a, b] = in_order(k[0], k[1]);
    const auto [c, d] = in_order(k[2], k[3]);
    const auto [first, loser] = in_order(a, c);
    return {first, in_order(loser, in_order(b, d).first).first};
  }
  Firsts scan() const {
    Firsts f{key_[0], {}};
    for (u32 i = 1; i < leaves_; ++i) {
      f.second = std::min(f.second, std::max(f.first, key_[i]));
      f.first = std::min(f.first, key_[i]);
    }
    return f;
  }
  /// Entry n of the tournament, 1 the final: pairs 2n and 2n + 1, which are keys from `leaves_` on.
  EventKey entry(u32 n) const { return n < leaves_ ? win_[n] : key_[n - leaves_]; }
  void climb(u32 i) {
    for (u32 n = (leaves_ + i) / 2; n > 0; n /= 2) win_[n] = std::min(entry(2 * n), entry(2 * n + 1));
  }
  Firsts descend() const {
    Firsts f{win_[1], {}};
    if (f.first == EventKey()) return f;
    for (u32 n = leaves_ + f.first.cpu().v; n > 1; n /= 2) f.second = std::min(f.second, entry(n ^ 1));
    return f;
  }
  u32 leaves_;
  std::vector<EventKey> key_, win_;
};

}  // namespace forksim::km
