// Set of CPUs, up to kMaxCpus.
//
// Purpose: cpus_allowed, domain spans, idle masks. Source: the role of struct cpumask (include/linux/cpumask.h, 4.19).
// Units: bit i is CPU i. Ownership: a value. Errors: indices must be < kMaxCpus (contract).
#pragma once

#include <algorithm>
#include <array>
#include <bit>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

inline constexpr u32 kMaxCpus = 1024;

class CpuMask {
 public:
  constexpr CpuMask() = default;
  static constexpr CpuMask first_n(u32 n) {
    CpuMask m;
    for (u32 i = 0; i < n; ++i) m.set(CpuId(i));
    return m;
  }
  static constexpr CpuMask of(CpuId c) {
    CpuMask m;
    m.set(c);
    return m;
  }
  /// The low 64 CPUs from a word; used by tests and vectors.
  static constexpr CpuMask from_word(u64 w) {
    CpuMask m;
    m.words_[0] = w;
    m.used_ = 1;
    return m;
  }
  constexpr void set(CpuId c) {
    words_[c.v / 64] |= u64{1} << (c.v % 64);
    if (used_ <= c.v / 64) used_ = c.v / 64 + 1;
  }
  constexpr void clear(CpuId c) { words_[c.v / 64] &= ~(u64{1} << (c.v % 64)); }
  constexpr bool test(CpuId c) const { return (words_[c.v / 64] >> (c.v % 64)) & 1; }
  constexpr bool operator==(const CpuMask& o) const { return words_ == o.words_; }
  constexpr CpuMask operator&(const CpuMask& o) const {
    CpuMask m;
    m.used_ = std::min(used_, o.used_);
    for (u32 i = 0; i < m.used_; ++i) m.words_[i] = words_[i] & o.words_[i];
    return m;
  }
  constexpr CpuMask operator|(const CpuMask& o) const {
    CpuMask m;
    m.used_ = std::max(used_, o.used_);
    for (u32 i = 0; i < m.used_; ++i) m.words_[i] = words_[i] | o.words_[i];
    return m;
  }
  constexpr u32 count() const {
    u32 n = 0;
    for (u32 i = 0; i < used_; ++i) n += static_cast<u32>(std::popcount(words_[i]));
    return n;
  }
  constexpr bool empty() const {
    for (u32 i = 0; i < used_; ++i)
      if (words_[i]) return false;
    return true;
  }
  constexpr bool intersects(const CpuMask& o) const {
    for (u32 i = 0; i < std::min(used_, o.used_); ++i)
      if (words_[i] & o.words_[i]) return true;
    return false;
  }
  constexpr bool subset_of(const CpuMask& o) const {
    for (u32 i = 0; i < used_; ++i)
      if (words_[i] & ~o.words_[i]) return false;
    return true;
  }
  /// First CPU at or after `from`, or kMaxCpus when there is none.
  constexpr u32 next(u32 from) const {
    for (u32 i = from / 64; i < used_; ++i) {
      u64 w = words_[i];
      if (i == from / 64) w &= ~u64{0} << (from % 64);
      if (w) return i * 64 + static_cast<u32>(std::countr_zero(w));
    }
    return kMaxCpus;
  }
  constexpr u32 first() const { return next(0); }
  static constexpr u32 kWords = kMaxCpus / 64;
  /// CPUs 64 i to 64 i + 63.
  constexpr u64 word(u32 i) const { return words_[i]; }
  constexpr void set_word(u32 i, u64 bits) {
    words_[i] = bits;
    if (bits && used_ <= i) used_ = i + 1;
  }
  /// CPUs 0..63 as one word (placement events, small machines).
  constexpr u64 low_word() const { return words_[0]; }

 private:
  std::array<u64, kWords> words_{};
  u32 used_ = 0;  ///< words behind these are 0
};

}  // namespace forksim::km
