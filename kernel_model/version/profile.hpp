// Kernel profiles: which kernel, which configuration.
//
// Purpose: the seams between kernel generations and configurations, chosen by name (design invariant 4). Source: bcm2711_defconfig and
// upstream arm64 defconfig of Linux 4.19, kernel/sched/{features.h,fair.c}. Units: as named. Errors: find_profile returns nullptr.
// Not modelled: see README.md.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

enum class Feature : u8 {
#define FEATURE(name, def, doc) name,
#include "kernel_model/version/features.def"
#undef FEATURE
  count_
};
inline constexpr std::size_t kFeatures = static_cast<std::size_t>(Feature::count_);

struct FeatureInfo {
  std::string_view name;
  bool default_on;
  std::string_view doc;
};
inline constexpr std::array<FeatureInfo, kFeatures> kFeatureTable{{
#define FEATURE(name, def, doc) FeatureInfo{#name, def, doc},
#include "kernel_model/version/features.def"
#undef FEATURE
}};

struct NotModelledFeature {
  std::string_view name, doc;
};
inline constexpr NotModelledFeature kFeaturesNotModelled[] = {
#define FEATURE(...)
#define FEATURE_NOT_MODELLED(name, doc) {#name, doc},
#include "kernel_model/version/features.def"
#undef FEATURE
};

struct TunableInfo {
  std::string_view name, unit;
  u64 base;
  bool scaled;
  u64 min, max;
  std::string_view doc;
};
enum class Tunable : u8 {
#define TUNABLE(name, ...) name,
#include "kernel_model/version/tunables.def"
#undef TUNABLE
  count_
};
inline constexpr std::size_t kTunables = static_cast<std::size_t>(Tunable::count_);
inline constexpr std::array<TunableInfo, kTunables> kTunableTable{{
#define TUNABLE(name, unit, def, scaled, lo, hi, doc) TunableInfo{#name, #unit, def, scaled, lo, hi, doc},
#include "kernel_model/version/tunables.def"
#undef TUNABLE
}};

/// A configuration: compile-time switches of the modelled kernel plus its features and tunables.
struct KernelProfile {
  std::string_view name;
  std::string_view doc;
  u32 hz;                 ///< CONFIG_HZ
  bool preempt;           ///< CONFIG_PREEMPT (false: VOLUNTARY)
  bool sched_mc;          ///< CONFIG_SCHED_MC: an MC domain with SHARE_PKG_RESOURCES instead of DIE
  bool fair_group_sched;  ///< CONFIG_FAIR_GROUP_SCHED: pick_next_task_fair keeps a re-picked task, task_h_load goes through h_load
  bool cfs_bandwidth;     ///< CONFIG_CFS_BANDWIDTH: groups may have a quota
  bool autogroup;         ///< CONFIG_SCHED_AUTOGROUP and enabled: each session is a task group
  bool vmap_stack;        ///< CONFIG_VMAP_STACK with cached stacks; else page-allocated and freed with the task_struct
  u32 stack_bytes;        ///< THREAD_SIZE
  std::array<bool, kFeatures> features;
  std::array<u64, kTunables> tunables;  ///< before scaling; see resolve_tunables
  u32 imbalance_pct = 0;                ///< of every sched domain, as /proc/sys/kernel/sched_domain sets it; 0: what sd_init gives

  bool feat(Feature f) const { return features[static_cast<std::size_t>(f)]; }
  u64 tun(Tunable t) const { return tunables[static_cast<std::size_t>(t)]; }
  u64 tick_ns() const { return 1'000'000'000 / hz; }
};

/// All profiles, in the order `forksim list kernels` shows them; the first is the default.
std::span<const KernelProfile> kernel_profiles();
const KernelProfile* find_profile(std::string_view name);
/// Applies the LOG scaling for `online_cpus` to every tunable marked scaled and not set in `given` (fair.c update_sysctl()).
void resolve_tunables(KernelProfile& p, u32 online_cpus, const std::array<bool, kTunables>& given);

}  // namespace forksim::km
