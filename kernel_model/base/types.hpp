// Strong types of the kernel model.
//
// Purpose: one type per quantity, so that wall time, virtual time, weights, CPUs and pids cannot be mixed by accident.
// Source:  widths follow Linux 4.19 (u64 clocks, unsigned long weights, 32-bit pids).
// Units:   Ns is nanoseconds of simulated time since boot; VNs is weighted (virtual) nanoseconds and wraps modulo 2^64;
//          Weight is the kernel's scaled weight (nice 0 = 1 << 20 on 64-bit).
// Errors:  none; arithmetic wraps like the kernel's, `before()` is the kernel's signed-difference comparison.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace forksim::km {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
__extension__ typedef unsigned __int128 u128;

/// Simulated wall time or a duration, nanoseconds.
struct Ns {
  u64 v = 0;
  constexpr Ns() = default;
  constexpr explicit Ns(u64 value) : v(value) {}
  constexpr auto operator<=>(const Ns&) const = default;
  constexpr Ns operator+(Ns o) const { return Ns(v + o.v); }
  constexpr Ns operator-(Ns o) const { return Ns(v - o.v); }
  constexpr Ns operator*(u64 k) const { return Ns(v * k); }
  constexpr Ns operator/(u64 k) const { return Ns(v / k); }
  constexpr Ns& operator+=(Ns o) { v += o.v; return *this; }
  constexpr Ns& operator-=(Ns o) { v -= o.v; return *this; }
};
inline constexpr Ns kNever{std::numeric_limits<u64>::max()};

/// Virtual (weighted) time of CFS, nanoseconds modulo 2^64.
struct VNs {
  u64 v = 0;
  constexpr VNs() = default;
  constexpr explicit VNs(u64 value) : v(value) {}
  constexpr bool operator==(const VNs&) const = default;
  constexpr VNs operator+(VNs o) const { return VNs(v + o.v); }
  constexpr VNs operator-(VNs o) const { return VNs(v - o.v); }
  constexpr VNs& operator+=(VNs o) { v += o.v; return *this; }
  constexpr VNs& operator-=(VNs o) { v -= o.v; return *this; }
  /// Signed difference, as the kernel's (s64)(a - b).
  constexpr s64 minus(VNs o) const { return static_cast<s64>(v - o.v); }
  /// Kernel order: (s64)(a - b) < 0.
  constexpr bool before(VNs o) const { return minus(o) < 0; }
};

/// Scaled load weight (unsigned long in the kernel).
struct Weight {
  u64 v = 0;
  constexpr Weight() = default;
  constexpr explicit Weight(u64 value) : v(value) {}
  constexpr auto operator<=>(const Weight&) const = default;
};

/// Index of a CPU, dense from 0.
struct CpuId {
  u32 v = 0;
  constexpr CpuId() = default;
  constexpr explicit CpuId(u32 value) : v(value) {}
  constexpr auto operator<=>(const CpuId&) const = default;
};

/// Process or thread number as user space sees it; 0 is a swapper.
struct Pid {
  s32 v = 0;
  constexpr Pid() = default;
  constexpr explicit Pid(s32 value) : v(value) {}
  constexpr auto operator<=>(const Pid&) const = default;
};

/// Index into the kernel's table of interned names (task comm, file name); names keep at most 255 bytes, comm 15.
struct NameId {
  u32 v = 0;
  constexpr NameId() = default;
  constexpr explicit NameId(u32 value) : v(value) {}
  constexpr auto operator<=>(const NameId&) const = default;
};

namespace literals {
constexpr Ns operator""_ns(unsigned long long n) { return Ns(n); }
constexpr Ns operator""_us(unsigned long long n) { return Ns(n * 1000); }
constexpr Ns operator""_ms(unsigned long long n) { return Ns(n * 1'000'000); }
constexpr Ns operator""_s(unsigned long long n) { return Ns(n * 1'000'000'000); }
}  // namespace literals

}  // namespace forksim::km
