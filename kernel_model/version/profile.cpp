#include "kernel_model/version/profile.hpp"

#include <algorithm>
#include <bit>

namespace forksim::km {

namespace {

constexpr std::array<bool, kFeatures> default_features() {
  std::array<bool, kFeatures> f{};
  for (std::size_t i = 0; i < kFeatures; ++i) f[i] = kFeatureTable[i].default_on;
  return f;
}
constexpr std::array<u64, kTunables> default_tunables() {
  std::array<u64, kTunables> t{};
  for (std::size_t i = 0; i < kTunables; ++i) t[i] = kTunableTable[i].base;
  return t;
}

constexpr std::array kProfiles{
    KernelProfile{.name = "rpi-4.19-arm64",
                  .doc = "Raspberry Pi OS 64-bit: HZ=250, PREEMPT, no SCHED_MC (DIE domain), autogroup, VMAP_STACK",
                  .hz = 250,
                  .preempt = PreemptModel::full,
                  .sched_mc = false,
                  .fair_group_sched = true,
                  .cfs_bandwidth = false,
                  .autogroup = true,
                  .vmap_stack = true,
                  .stack_bytes = 16384,
                  .config_64bit = true,
                  .features = default_features(),
                  .tunables = default_tunables()},
    KernelProfile{.name = "mc-4.19-arm64",
                  .doc = "upstream arm64 with SCHED_MC: one MC domain that shares its cache, no group scheduling",
                  .hz = 250,
                  .preempt = PreemptModel::full,
                  .sched_mc = true,
                  .fair_group_sched = false,
                  .cfs_bandwidth = false,
                  .autogroup = false,
                  .vmap_stack = true,
                  .stack_bytes = 16384,
                  .config_64bit = true,
                  .features = default_features(),
                  .tunables = default_tunables()},
    KernelProfile{.name = "rpi-4.19-arm32",
                  .doc = "Raspberry Pi OS 32-bit: HZ=100, PREEMPT_VOLUNTARY, DIE domain, autogroup, 8 KiB stacks freed with the task_struct",
                  .hz = 100,
                  .preempt = PreemptModel::voluntary,
                  .sched_mc = false,
                  .fair_group_sched = true,
                  .cfs_bandwidth = true,
                  .autogroup = true,
                  .vmap_stack = false,
                  .stack_bytes = 8192,
                  .config_64bit = false,
                  .features = default_features(),
                  .tunables = default_tunables()},
};

}  // namespace

std::span<const KernelProfile> kernel_profiles() { return kProfiles; }

const KernelProfile* find_profile(std::string_view name) {
  auto it = std::ranges::find(kProfiles, name, &KernelProfile::name);
  return it == kProfiles.end() ? nullptr : &*it;
}

u64 sysctl_factor(const KernelProfile& p, u32 online_cpus) {
  constexpr u64 kScalingNone = 0, kScalingLinear = 2;
  const u32 cpus = std::min(online_cpus, 8u);
  const u64 scaling = p.tun(Tunable::sched_tunable_scaling);
  if (scaling == kScalingNone) return 1;
  return scaling == kScalingLinear ? cpus : static_cast<u64>(std::bit_width(cpus));  // 1 + ilog2
}

void resolve_tunables(KernelProfile& p, u32 online_cpus, const std::array<bool, kTunables>& given) {
  const u64 factor = sysctl_factor(p, online_cpus);
  for (std::size_t i = 0; i < kTunables; ++i)
    if (kTunableTable[i].scaled && !given[i]) p.tunables[i] *= factor;
}

}  // namespace forksim::km
