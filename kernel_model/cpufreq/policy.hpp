// One cpufreq policy: the operating points that all CPUs of the board share, and the limits within which a governor chooses.
//
// Purpose: table look-ups and clamping by the kernel's relations. Source: Linux 4.19 include/linux/cpufreq.h (cpufreq_table_find_index_*
//          of an ascending table), drivers/cpufreq/cpufreq.c __cpufreq_driver_target, cpufreq_policy_transition_delay_us.
// Units:   kHz, as the kernel counts. Ownership: a value. Errors: contract when the table is empty.
// Not modelled: several policies, boost, limits by QoS; scaling_min_freq and scaling_max_freq are the ends of the table.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/base/types.hpp"

namespace forksim::km {

enum class Governor : u8 {
#define GOVERNOR(name, doc) name,
#include "kernel_model/cpufreq/governors.def"
#undef GOVERNOR
  count_
};
inline constexpr std::size_t kGovernors = static_cast<std::size_t>(Governor::count_);
inline constexpr std::array<std::string_view, kGovernors> kGovernorNames{
#define GOVERNOR(name, doc) #name,
#include "kernel_model/cpufreq/governors.def"
#undef GOVERNOR
};

/// Which frequency of the table a target stands for: CPUFREQ_RELATION_L, _H, _C.
enum class Relation : u8 { at_least, at_most, closest };

class FreqPolicy {
 public:
  FreqPolicy() = default;
  /// `table_khz` in any order; the ends become min and max.
  explicit FreqPolicy(std::vector<u32> table_khz) : table_(std::move(table_khz)) {
    FS_CONTRACT(!table_.empty(), "a policy has operating points");
    std::ranges::sort(table_);
    cur = max();
  }
  const std::vector<u32>& table() const { return table_; }
  u32 min() const { return table_.front(); }
  u32 max() const { return table_.back(); }
  u32 cur;  ///< policy->cur

  /// cpufreq_frequency_table_target: the frequency that `target` is rounded to.
  u32 resolve(u32 target, Relation r) const {
    target = std::clamp(target, min(), max());
    const auto above = std::ranges::lower_bound(table_, target);  // the first that is not below
    if (*above == target || r == Relation::at_least || above == table_.begin()) return *above;
    const u32 below = *(above - 1);
    if (r == Relation::at_most) return below;
    return target - below > *above - target ? *above : below;
  }
  /// How long a governor waits between two changes by default, for hardware that takes `latency` for one.
  static u64 transition_delay_us(Ns latency) {
    constexpr u64 kLatencyMultiplier = 1000, kCap = 10'000;
    const u64 us = latency.v / 1000;
    return us ? std::min(us * kLatencyMultiplier, kCap) : kLatencyMultiplier;
  }
  /// arch_set_freq_scale: the scale of utilisation at the present frequency.
  u64 freq_scale() const { return (u64{cur} << 10) / max(); }

 private:
  std::vector<u32> table_;
};

}  // namespace forksim::km
