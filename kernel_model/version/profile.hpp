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

struct AbsentTunable {
  std::string_view name, doc;
};
inline constexpr AbsentTunable kAbsentTunables[] = {
#define TUNABLE(...)
#define TUNABLE_ABSENT(name, doc) {#name, doc},
#include "kernel_model/version/tunables.def"
#undef TUNABLE
};

struct TunableInfo {
  std::string_view name, unit;
  u64 base;
  bool scaled;
  s64 min, max;
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

/// What every scheduling domain is built with in place of sd_init's.
enum class SdValue : u8 {
#define SD_VALUE(name, ...) name,
#include "kernel_model/version/sched_domain.def"
#undef SD_VALUE
  count_
};
inline constexpr std::size_t kSdValues = static_cast<std::size_t>(SdValue::count_);
inline constexpr std::array<std::string_view, kSdValues> kSdValueNames{
#define SD_VALUE(name, ...) #name,
#include "kernel_model/version/sched_domain.def"
#undef SD_VALUE
};
/// Negative: what sd_init gives.
struct SdValues {
  std::array<s64, kSdValues> of;
  constexpr SdValues() : of{} { of.fill(-1); }
  constexpr s64& operator[](SdValue v) { return of[static_cast<std::size_t>(v)]; }
  constexpr s64 operator[](SdValue v) const { return of[static_cast<std::size_t>(v)]; }
};

/// CONFIG_PREEMPT_NONE, CONFIG_PREEMPT_VOLUNTARY, CONFIG_PREEMPT.
enum class PreemptModel : u8 { none, voluntary, full };
inline constexpr std::array<std::string_view, 3> kPreemptModelNames{"none", "voluntary", "full"};

/// A configuration: compile-time switches of the modelled kernel plus its features and tunables.
struct KernelProfile {
  std::string_view name;
  std::string_view doc;
  u32 hz;                 ///< CONFIG_HZ
  PreemptModel preempt;   ///< where the kernel itself may be preempted, see StepFlag
  bool sched_mc;          ///< CONFIG_SCHED_MC: an MC domain with SHARE_PKG_RESOURCES instead of DIE
  bool fair_group_sched;  ///< CONFIG_FAIR_GROUP_SCHED: pick_next_task_fair keeps a re-picked task, task_h_load goes through h_load
  bool cfs_bandwidth;     ///< CONFIG_CFS_BANDWIDTH: groups may have a quota
  bool autogroup;         ///< CONFIG_SCHED_AUTOGROUP: each session is a task group, see autogroups()
  bool vmap_stack;        ///< CONFIG_VMAP_STACK with cached stacks; else page-allocated and freed with the task_struct
  u32 stack_bytes;        ///< THREAD_SIZE
  bool config_64bit;      ///< CONFIG_64BIT: weights of groups have ten bits below those of nice levels (SCHED_FIXEDPOINT_SHIFT)
  std::array<bool, kFeatures> features;
  std::array<u64, kTunables> tunables;  ///< before scaling (see resolve_tunables); a negative one as the u64 of the same bits
  SdValues sched_domain{};              ///< as /proc/sys/kernel/sched_domain sets them
  bool irq_time_accounting = false;     ///< CONFIG_IRQ_TIME_ACCOUNTING: clock_task stands still during interrupts

  /// CONFIG_PREEMPT, and with it PREEMPT_COUNT and PREEMPT_RCU.
  bool config_preempt() const { return preempt == PreemptModel::full; }
  /// The 64-bit kernels of the board are arm64's, the others arm's.
  bool arm64() const { return config_64bit; }
  /// Whether sessions get task groups: built in and sched_autogroup_enabled.
  bool autogroups() const { return autogroup && tun(Tunable::sched_autogroup_enabled); }
  bool feat(Feature f) const { return features[static_cast<std::size_t>(f)]; }
  u64 tun(Tunable t) const { return tunables[static_cast<std::size_t>(t)]; }
  u64 tick_ns() const { return 1'000'000'000 / hz; }
};

/// All profiles, in the order `forksim list kernels` shows them; the first is the default.
std::span<const KernelProfile> kernel_profiles();
const KernelProfile* find_profile(std::string_view name);
/// get_update_sysctl_factor: by sched_tunable_scaling.
u64 sysctl_factor(const KernelProfile& p, u32 online_cpus);
/// Applies that factor to every tunable marked scaled and not set in `given` (fair.c update_sysctl()).
void resolve_tunables(KernelProfile& p, u32 online_cpus, const std::array<bool, kTunables>& given);

}  // namespace forksim::km
