// How often compare finds a real change, and how often it sees one where there is none; both rates are printed.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "sim/config/streams.hpp"
#include "sim/study/compare.hpp"
#include "tests/cli/study/study.hpp"

using namespace forksim::cli;
using forksim::below;
using forksim::next_u64;

namespace {

constexpr std::size_t kSeeds = 20, kPool = 400, kNulls = 300;

/// One cell with the runs at the places given.
forksim::ResultSet some_of(const forksim::ResultSet& all, std::vector<std::size_t> at) {
  std::ranges::sort(at);
  forksim::ResultSet s;
  s.name = all.name;
  s.cells.push_back({"cell", {}, {}, {}});
  for (std::size_t i : at) s.cells[0].runs.push_back(all.cells[0].runs[i]);
  return s;
}

std::string forks_of(int children) {
  return "schema: forksim.workload/1\ndescription: forks one after the other\nsource: invented for the tests\nprocesses:\n  - name: parent\n    phases:\n"
         "      - {fork: child, count: " +
         std::to_string(children) +
         ", gap: {dist: exponential, mean: 400us}}\n      - {wait: all}\n  - name: child\n    phases:\n"
         "      - run: {dist: lognormal, median: 500us, sigma: 0.5, min: 100us, max: 20ms}\nstart:\n  - {process: parent}\n";
}

std::vector<std::size_t> from_to(std::size_t first, std::size_t end) {
  std::vector<std::size_t> v;
  for (std::size_t i = first; i < end; ++i) v.push_back(i);
  return v;
}

}  // namespace

TEST_SUITE("cli") {
  // 500 forks a run, so that the 99th percentile is one: of thirty forks it is the longest. The machine is about a third busy.
  TEST_CASE("20 seeds find a 5 % slowdown of one phase at p99, equals raise at most 1 false alarm in 100 comparisons") {
    const Session forksim;
    forksim.file("tiny.yaml", forks_of(500));
    forksim.file("study.yaml", study_text("grid:\n  - name: side\n    cases:\n      - {label: base}\n      - {label: slow, set: [costs.copy_mm_per_vma=2310ns]}\n", static_cast<int>(kPool)));
    const Result r = forksim("sweep study.yaml --jobs 2 --out out");
    REQUIRE_MESSAGE(r.code == 0, r.err);
    const std::string folder = (forksim.path() / "out").string();
    const auto base = forksim::load_result_set(folder + ":side=base"), slow = forksim::load_result_set(folder + ":side=slow");
    REQUIRE(base.cells[0].runs.size() == kPool);

    forksim::CompareOptions options;
    options.resamples = 0;  // verdicts do not depend on the intervals
    std::size_t found = 0;
    for (std::size_t first = 0; first < kPool; first += kSeeds) {
      const auto group = from_to(first, first + kSeeds);
      const auto a = some_of(base, group), b = some_of(slow, group);
      const auto c = forksim::compare(a, b, options);
      const auto p99 = std::ranges::find(c.cells[0].measures, *forksim::find_measure("fork_call.p99"), &forksim::MeasureResult::measure);
      found += c.regression && p99->verdict == forksim::Verdict::worse;
    }
    std::size_t alarms = 0;
    forksim::km::u64 stream = 7;
    for (std::size_t k = 0; k < kNulls; ++k) {
      auto order = from_to(0, kPool);
      for (std::size_t i = 0; i < 2 * kSeeds; ++i) std::swap(order[i], order[i + below(next_u64(stream), kPool - i)]);
      const auto a = some_of(base, {order.begin(), order.begin() + kSeeds}), b = some_of(base, {order.begin() + kSeeds, order.begin() + 2 * kSeeds});
      const auto c = forksim::compare(a, b, options);
      alarms += c.worse + c.better > 0;
    }
    MESSAGE("found a 5 % slowdown of copy_mm_per_vma at fork_call.p99 in " << found << " of " << kPool / kSeeds << " comparisons of 20 pairs; false alarms in " << alarms << " of " << kNulls
                                                                           << " comparisons of 20 seeds against 20 others");
    CHECK(found == kPool / kSeeds);
    CHECK(alarms <= kNulls / 100);
  }

  TEST_CASE("the command line tells a regression by its exit code, and where the runs part") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    REQUIRE(forksim("run tiny.yaml --repeat 20 --out base --quiet").code == 0);
    REQUIRE(forksim("run tiny.yaml --repeat 20 --out slow --quiet --set costs.copy_mm_per_vma=2310ns").code == 0);
    const Result same = forksim("compare base base"), worse = forksim("compare base slow");
    CHECK(same.code == 0);
    CHECK(contains(same.out, "events are the same"));
    CHECK(worse.code == 1);
    CHECK(contains(worse.out, "first difference, in time only: event"));
    CHECK(contains(worse.out, "CPU 1:"));
    CHECK(contains(worse.out, "forks, one by one:"));
    CHECK(forksim("compare base slow --fail-on 'fork_call.p99>+5%'").code == 0);
    const Result limit = forksim("compare base slow --fail-on 'fork_call.p99>+1%' --format markdown");
    CHECK(limit.code == 1);
    CHECK(contains(limit.out, "limit fork_call.p99>+1%: broken, +"));
    CHECK(is_json(forksim("compare base slow --format json").out));
    CHECK(contains(forksim("compare base slow --format junit --no-divergence").out, "<failure message=\"worse by +"));
    const Result bad = forksim("compare base slow --fail-on 'fork_cal.p99>+1%' --fail-on 'energy_j'");
    CHECK(bad.code == 2);
    CHECK(contains(bad.err, "--fail-on:1:1: there is no measure \"fork_cal\""));
    CHECK(contains(bad.err, "did you mean \"fork_call\"?"));
    CHECK(contains(bad.err, "\"energy_j\" is no limit"));
    CHECK(forksim("compare base").code == 2);
    CHECK(contains(forksim("compare base nowhere").err, "nowhere: no such folder"));
  }

  TEST_CASE("a baseline is a gate with its own limits") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text("metrics: [fork_call]\n", 20));
    REQUIRE(forksim("sweep study.yaml --out results/baselines/tiny").code == 0);
    forksim.file("results/baselines/tiny/baseline.yaml", "schema: forksim.baseline/1\nstudy: study.yaml\nfail_on: [fork_call.p50>+1%, fork_call.p99>+1%]\n");
    forksim.file("slow.yaml", study_text("metrics: [fork_call]\nset: [costs.copy_mm_per_vma=2310ns]\n", 20));
    REQUIRE(forksim("sweep study.yaml --out new").code == 0);
    REQUIRE(forksim("sweep slow.yaml --out slow").code == 0);
    CHECK(forksim("compare --baseline tiny new").code == 0);
    const Result r = forksim("compare --baseline tiny slow");
    CHECK(r.code == 1);
    CHECK(contains(r.out, "limit fork_call.p99>+1%: broken"));
    CHECK(forksim("validate results/baselines/tiny/baseline.yaml").code == 0);
    forksim.file("results/baselines/tiny/baseline.yaml", "schema: forksim.baseline/1\nfail_on: [fork_call.p50>+1%, fork_call.p98>+5%]\n");
    const Result bad = forksim("compare --baseline tiny new");
    CHECK(bad.code == 2);
    CHECK(contains(bad.err, "baseline.yaml:2:"));
    CHECK(contains(bad.err, "fork_call has no statistic \"p98\""));
  }
}
