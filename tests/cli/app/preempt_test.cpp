// The switches config.PREEMPT and config.VMAP_STACK, as a user sees what they do.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/app/app.hpp"

namespace forksim::cli {

namespace {

using nlohmann::json;

/// The longest wait of the tasks called `comm` in a report, ms.
double max_delay_ms(const std::string& report, const std::string& comm) {
  const std::size_t row = report.find("  " + comm + ":"), max = report.find("max:", row);
  return std::stod(report.substr(max + 4));
}

}  // namespace

TEST_SUITE("cli/preempt") {
  TEST_CASE("preemption_models: the sampler waits least under PREEMPT, longest under PREEMPT_NONE, and the documented loop shows it") {
    const Session s;
    std::vector<double> waits;
    for (const char* model : {"none", "voluntary", "full"}) {
      CAPTURE(model);
      const Result r = s("run " + kSource + "/workloads/preemption_models.yaml --quiet --out out --set config.PREEMPT=" + model);
      REQUIRE_MESSAGE(r.code == 0, r.err);
      waits.push_back(max_delay_ms(read_file(s.path() / "out/report.txt"), "sampler"));
    }
    CHECK(waits[0] > 10 * waits[1]);
    CHECK(waits[1] > waits[2]);
    CHECK(waits[2] < 0.010);  // an interrupt, a wake-up, a switch
  }

  TEST_CASE("config.VMAP_STACK=false: no stack is cached, and each costs its pages") {
    const Session s;
    const auto totals = [&](const std::string& set) {
      REQUIRE(s("run " + kSource + "/workloads/stack_cache.yaml --quiet --out out " + set).code == 0);
      return json::parse(read_file(s.path() / "out/report.json"))["totals"];
    };
    const json with = totals("--set config.VMAP_STACK=true"), without = totals("--set config.VMAP_STACK=false");
    CHECK(with["stack_cache_hits"].get<int>() > 0);
    CHECK(without["stack_cache_hits"].get<int>() == 0);
    CHECK(with["forks"] == without["forks"]);
  }
}

}  // namespace forksim::cli
