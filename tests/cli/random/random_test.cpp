// Workloads drawn at random: whatever the vocabulary allows runs, breaks no invariant and no contract, and says the same whoever looks on.
//
// FORKSIM_SEEDS=FIRST:COUNT draws others, or more of them; every failure prints its seed.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/cli/app/app.hpp"
#include "tests/cli/random/random_workload.hpp"

using namespace forksim::cli;
using nlohmann::json;

namespace {

struct Seeds {
  std::uint64_t first = 1, count = 24;
};
Seeds seeds() {
  Seeds s;
  if (const char* wish = std::getenv("FORKSIM_SEEDS")) {
    const std::string text = wish;
    s.first = std::stoull(text);
    s.count = std::stoull(text.substr(text.find(':') + 1));
  }
  return s;
}

/// The keys of the actions in a body and in what is nested in it. The signal of a kill is no action.
void collect(const json& body, std::set<std::string>& keys) {
  for (const json& action : body) {
    for (const auto& [key, value] : action.items())
      if (key != "signal" || !action.contains("kill")) keys.insert(key);
    for (const char* part : {"body", "child", "handler"})
      if (action.contains(part)) collect(action[part], keys);
    if (action.contains("choose"))
      for (const json& c : action["choose"]) collect(c["body"], keys);
  }
}

/// Files of a result folder that tell of the run; a workload that was resolved before is another file to the report.
const char* const kFiles[] = {"report.json",  "latency.csv", "tasks.csv", "cpus.csv",  "forks.csv",      "schedule.csv",
                              "life.csv",     "locks.csv",   "opps.csv",  "groups.csv", "histograms.json", "balance.csv"};

}  // namespace

TEST_SUITE("cli/random") {
  TEST_CASE("random workloads: every action of the schema is drawn") {
    std::set<std::string> drawn;
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
      const json w = random_workload(seed);
      for (const json& p : w["processes"]) collect(p["phases"], drawn);
    }
    const char* const kActions[] = {
#define OBJECT(...)
#define KEY(...)
#define ACTION(name, doc) name,
#define UNMODELLED(...)
#include "sim/config/schema.def"
#undef OBJECT
#undef KEY
#undef ACTION
#undef UNMODELLED
    };
    for (const std::string action : kActions) {
      CAPTURE(action);
      CHECK(drawn.contains(action));
    }
  }

  TEST_CASE("random workloads: accepted, nothing violated, the same with a trace, in lock-step and from what was resolved") {
    const Session forksim;
    const Seeds s = seeds();
    for (std::uint64_t seed = s.first; seed < s.first + s.count; ++seed) {
      INFO("seed ", seed);
      const json w = random_workload(seed);
      forksim.file("w.yaml", w.dump(1));
      const Result plain = forksim("run w.yaml --quiet --out plain");
      INFO(plain.err);
      CHECK(plain.code == 0);
      if (plain.code != 0) continue;
      const Result traced = forksim("run w.yaml --quiet --out traced --trace " + std::string(seed % 2 ? "ftrace" : "function_graph"));
      CHECK(traced.code == 0);
      const Result again = forksim("run plain/resolved.yaml --quiet --out again");
      INFO(again.err);
      CHECK(again.code == 0);
      const Result reference = forksim("run w.yaml --quiet --out reference --lockstep");
      CHECK(reference.code == 0);
      for (const std::string file : kFiles) {
        CAPTURE(file);
        const std::string text = read_file(forksim.path() / "plain" / file);
        CHECK(text == read_file(forksim.path() / "traced" / file));
        CHECK(text == read_file(forksim.path() / "reference" / file));
        if (file != kFiles[0]) CHECK(text == read_file(forksim.path() / "again" / file));
      }
      const json report = json::parse(read_file(forksim.path() / "plain" / "report.json"));
      CHECK(report["invariants"]["checked"] > 0);
      const std::string half = std::to_string(report["simulated_ns"].get<std::uint64_t>() / 2);
      CHECK(forksim("ps plain refs --at " + half + "ns").code == 0);
      CHECK(forksim("explain plain --pid 1").code == 0);
    }
  }
}
