// Profiles: scaling of tunables, switches of what is built in.
#include <doctest/doctest.h>

#include "kernel_model/version/profile.hpp"

using namespace forksim::km;

namespace {

KernelProfile scaled(u64 scaling, u32 cpus, const std::array<bool, kTunables>& given = {}) {
  KernelProfile k = *find_profile("rpi-4.19-arm64");
  k.tunables[static_cast<std::size_t>(Tunable::sched_tunable_scaling)] = scaling;
  resolve_tunables(k, cpus, given);
  return k;
}

}  // namespace

TEST_SUITE("kernel_model/version") {
  TEST_CASE("sched_tunable_scaling: none 1, log 1 + log2, linear the CPUs, and eight CPUs are the most that count") {
    // get_update_sysctl_factor: 6 ms x 1, x 3 and x 4 on four CPUs; x 4 and x 8 on eight and on sixty-four
    CHECK(scaled(0, 4).tun(Tunable::sched_latency_ns) == 6'000'000);
    CHECK(scaled(1, 4).tun(Tunable::sched_latency_ns) == 18'000'000);
    CHECK(scaled(2, 4).tun(Tunable::sched_latency_ns) == 24'000'000);
    for (u32 cpus : {8u, 64u}) {
      CHECK(scaled(1, cpus).tun(Tunable::sched_latency_ns) == 24'000'000);
      CHECK(scaled(2, cpus).tun(Tunable::sched_latency_ns) == 48'000'000);
      CHECK(scaled(2, cpus).tun(Tunable::sched_min_granularity_ns) == 6'000'000);
    }
    CHECK(scaled(2, 4).tun(Tunable::sched_migration_cost_ns) == 500'000);  // not one of those
    std::array<bool, kTunables> given{};
    given[static_cast<std::size_t>(Tunable::sched_latency_ns)] = true;
    CHECK(scaled(2, 4, given).tun(Tunable::sched_latency_ns) == 6'000'000);  // what is given is final
  }

  TEST_CASE("sched_autogroup_enabled=0 leaves CONFIG_SCHED_AUTOGROUP without groups") {
    KernelProfile k = *find_profile("rpi-4.19-arm64");
    CHECK(k.autogroups());
    k.tunables[static_cast<std::size_t>(Tunable::sched_autogroup_enabled)] = 0;
    CHECK_FALSE(k.autogroups());
    CHECK_FALSE(find_profile("mc-4.19-arm64")->autogroups());
  }
}
