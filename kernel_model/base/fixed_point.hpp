// Fixed-point helpers with the kernel's rounding.
//
// Purpose: the few multiply-shift, average and saturating operations the scheduler is built from, each with its rounding in the name.
// Source:  Linux 4.19 include/linux/math64.h, kernel/sched/fair.c (sub_positive, add_positive), kernel/sched/core.c (update_avg),
//          kernel/sched/sched.h (scale_irq_capacity).
// Units:   plain integers. Errors: none; arithmetic wraps modulo 2^64 as in the kernel.
#pragma once

#include <algorithm>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

/// (a * mul) >> shift through a 128-bit product, rounded down.
constexpr u64 mul_u64_u32_shr(u64 a, u32 mul, u32 shift) { return static_cast<u64>((static_cast<u128>(a) * mul) >> shift); }

/// var -= val, stopping at zero.
template <class T>
constexpr void sub_positive(T& var, T val) {
  var = var > val ? static_cast<T>(var - val) : T{0};
}

/// var += signed val; a result that wrapped below zero becomes zero.
template <class T>
constexpr void add_positive(T& var, s64 val) {
  const T res = static_cast<T>(var + static_cast<T>(val));
  var = (val < 0 && res > var) ? T{0} : res;
}

/// Moving average with weight 1/8; the difference is shifted arithmetically, i.e. rounded towards minus infinity.
constexpr void update_avg(u64& avg, u64 sample) { avg += static_cast<u64>(static_cast<s64>(sample - avg) >> 3); }

/// What interrupts leave of `util`, of which they take `irq` of every `max`.
constexpr u64 scale_irq_capacity(u64 util, u64 irq, u64 max) { return util * (max - irq) / max; }

/// Kernel order of jiffies: a is at or after b, whatever wraps in between.
constexpr bool time_after_eq(u64 a, u64 b) { return static_cast<s64>(a - b) >= 0; }
constexpr bool time_after(u64 a, u64 b) { return static_cast<s64>(b - a) < 0; }

}  // namespace forksim::km
