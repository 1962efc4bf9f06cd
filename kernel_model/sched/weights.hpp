// Nice levels to weights, and the scaled division by a weight.
//
// Source:  Linux 4.19 kernel/sched/core.c (sched_prio_to_weight, sched_prio_to_wmult), kernel/sched/fair.c (__calc_delta,
//          __update_inv_weight, update_load_add/sub/set), kernel/sched/sched.h (scale_load).
// Units:   weights in tables are unscaled (nice 0 = 1024); LoadWeight::weight is scaled by 2^10. A 32-bit kernel does not scale: for it the
//          lower ten bits are 0 everywhere, which calc_group_shares sees to. Errors: none.
// Not modelled: products that do not fit the 32 bits of its longs (24 tasks of nice -20 in one group).
#pragma once

#include <array>

#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/entity.hpp"

namespace forksim::km {

inline constexpr u32 kWeightShift = 10;
inline constexpr u64 NICE_0_LOAD = u64{1} << 20;
inline constexpr u64 MIN_SHARES = 2, MAX_SHARES = u64{1} << 18;
inline constexpr u32 WEIGHT_IDLEPRIO = 3, WMULT_IDLEPRIO = 1431655765;

constexpr u64 scale_load(u64 w) { return w << kWeightShift; }
constexpr u64 scale_load_down(u64 w) { return w >> kWeightShift; }

/// Index nice + 20.
inline constexpr std::array<u32, 40> sched_prio_to_weight{
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277,
    1024,  820,   655,   526,   423,   335,   272,   215,   172,   137,   110,  87,   70,   56,   45,   36,   29,   23,   18,   15};
/// About 2^32 / weight; 13 entries differ by one from the truncated quotient, so the table is data, not a formula.
inline constexpr std::array<u32, 40> sched_prio_to_wmult{
    48388,    59856,    76040,    92818,    118348,   147320,    184698,    229616,    287308,    360437,
    449829,   563644,   704093,   875809,   1099582,  1376151,   1717300,   2157191,   2708050,   3363326,
    4194304,  5237765,  6557202,  8165337,  10153587, 12820798,  15790321,  19976592,  24970740,  31350126,
    39045157, 49367440, 61356676, 76695844, 95443717, 119304647, 148102320, 186737708, 238609294, 286331153};

inline void update_load_add(LoadWeight& lw, u64 inc) { lw = {lw.weight + inc, 0}; }
inline void update_load_sub(LoadWeight& lw, u64 dec) { lw = {lw.weight - dec, 0}; }
inline void update_load_set(LoadWeight& lw, u64 w) { lw = {w, 0}; }

/// Fills inv_weight when it is missing.
inline void update_inv_weight(LoadWeight& lw) {
  if (lw.inv_weight) return;
  constexpr u64 kWmultConst = 0xffffffff;
  const u64 w = scale_load_down(lw.weight);
  if (w >= kWmultConst)
    lw.inv_weight = 1;
  else
    lw.inv_weight = w ? static_cast<u32>(kWmultConst / w) : static_cast<u32>(kWmultConst);
}

/// delta * weight / lw.weight in the kernel's fixed point, rounded down; caches lw.inv_weight.
inline u64 calc_delta(u64 delta, u64 weight, LoadWeight& lw) {
  u64 fact = scale_load_down(weight);
  u32 shift = 32;
  update_inv_weight(lw);
  for (; fact >> 32; --shift) fact >>= 1;
  fact = static_cast<u64>(static_cast<u32>(fact)) * lw.inv_weight;
  for (; fact >> 32; --shift) fact >>= 1;
  return mul_u64_u32_shr(delta, static_cast<u32>(fact), shift);
}

/// Wall time to virtual time for this entity.
inline u64 calc_delta_fair(u64 delta, SchedEntity& se) {
  return se.load.weight == NICE_0_LOAD ? delta : calc_delta(delta, NICE_0_LOAD, se.load);
}

/// The weights PELT multiplies with.
inline u64 se_weight(const SchedEntity& se) { return scale_load_down(se.load.weight); }
inline u64 se_runnable(const SchedEntity& se) { return scale_load_down(se.runnable_weight); }

}  // namespace forksim::km
