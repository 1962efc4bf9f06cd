// Scheduler features as a user meets them: the shipped workloads make their point, and it is what arithmetic says.
#include <doctest/doctest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;
using nlohmann::json;

namespace {

std::string workload(const std::string& name) { return kSource + "/workloads/" + name + ".yaml"; }

json report_of(const Session& forksim, const std::string& arguments) {
  const Result r = forksim("run " + arguments + " --out result --json");
  REQUIRE_MESSAGE(r.code == 0, r.err);
  return json::parse(r.out);
}

constexpr std::int64_t kUs = 1'000, kMs = 1'000'000;

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("hrtick_slices: slices are what their weight gives them, and without HRTICK a number of ticks") {
    const Session forksim;
    struct {
      const char* kernel;
      std::int64_t tick;
    } const kKernels[] = {{"rpi-4.19-arm64", 4 * kMs}, {"rpi-4.19-arm32", 10 * kMs}};
    for (const auto& k : kKernels) {
      CAPTURE(k.kernel);
      const std::string run = workload("hrtick_slices") + " --kernel " + k.kernel;
      const json with = report_of(forksim, run);
      // 18 ms of 1822: 526 are 5196485 ns, which is the middle one; the switch itself takes a few microseconds on top.
      const std::int64_t middle = with["latency"]["timeslice"]["p50"];
      CHECK(middle >= 5'196'485);
      CHECK(middle <= 5'196'485 + 10 * kUs);
      CHECK(with["totals"]["hrticks"] > 150);
      const json without = report_of(forksim, run + " --set features.NO_HRTICK=true");
      CHECK(without["totals"]["hrticks"] == 0);
      const std::int64_t grain = without["latency"]["timeslice"]["p50"];
      CHECK(grain % k.tick <= 10 * kUs);
      CHECK(grain >= middle);
      // In the long run everybody gets the share of his weight either way; what differs is how long the others wait for it.
      CHECK(with["latency"]["run_delay"]["p90"] < without["latency"]["run_delay"]["p90"]);
    }
    CHECK(forksim("list features").out.find("DOUBLE_TICK") != std::string::npos);
  }
}
