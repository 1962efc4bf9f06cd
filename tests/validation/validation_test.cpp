#include "tests/validation/validation.hpp"

#include <doctest/doctest.h>

#include <cstdio>

#include "tests/cli/process.hpp"

using namespace forksim::validation;

TEST_SUITE("validation") {
  TEST_CASE("a simulation is judged against the middle of the measured range") {
    const auto targets = read_targets("id,what,low,high,unit,within_pct,workload,loops\nX,\"a, b\",90,110,us,20,w,10\n");
    REQUIRE(targets.size() == 1);
    CHECK(targets[0].what == "a, b");
    CHECK(judge(targets[0], 120).within);
    CHECK(judge(targets[0], 80).within);
    CHECK_FALSE(judge(targets[0], 121).within);
    CHECK_FALSE(judge(targets[0], 79).within);
    CHECK(judge(targets[0], 110).error_pct == doctest::Approx(10));
    CHECK(table({judge(targets[0], 121)}).find("OUTSIDE") != std::string::npos);
  }

  TEST_CASE("targets that cannot be compared are refused") {
    CHECK_THROWS(read_targets("id,what,low,high,unit,within_pct,workload,loops\nX,a,90,80,us,20,w,10\n"));
    CHECK_THROWS(read_targets("id,what,low,high,unit,within_pct,workload,loops\nX,a,90,90,ms,20,w,10\n"));
    CHECK_THROWS(read_targets("id,what\nX,a\n"));
  }

  TEST_CASE("the benchmarks take as long as measured, within their bands") {
    std::vector<Row> rows;
    for (const Target& t : read_targets(forksim::cli::read_file(FORKSIM_SOURCE_DIR "/tests/validation/targets.csv")))
      rows.push_back(judge(t, simulate(t)));
    CHECK(rows.size() == 7);
    const std::string text = table(rows);
    std::fputs(text.c_str(), stdout);
    forksim::cli::write_file(FORKSIM_BINARY_DIR "/validation.txt", text);  // tests/run.sh prints it
    for (const Row& r : rows) CHECK_MESSAGE(r.within, r.target.id << " simulated " << r.simulated << " " << r.target.unit << ", error " << r.error_pct << " %");
  }
}
