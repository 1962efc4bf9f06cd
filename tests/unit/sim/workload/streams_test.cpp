#include "tests/unit/sim/workload/support.hpp"

using namespace forksim;
using namespace forksim::test;

namespace {

/// The first `n` run times of a started process.
std::vector<u64> draws(Rig& r, u32 user, int n) {
  std::vector<u64> out;
  for (int i = 0; i < n; ++i) out.push_back(r.next(user).ns.v);
  return out;
}

const std::string kRun = "{run: {dist: lognormal, median: 1ms, sigma: 1}}";
std::string program(const std::string& name, const std::string& body) {
  return "  - {name: " + name + ", phases: [{loop: 1000, body: [" + body + "]}]}\n";
}

}  // namespace

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("streams: adding a program, a start or an action leaves the draws of all others as they were") {
  Rig alone("processes:\n" + program("a", kRun) + "start:\n  - {process: a}\n");
  const std::vector<u64> expected = draws(alone, 1, 50);

  Rig company("processes:\n" + program("b", kRun) + program("a", kRun) + "start:\n  - {process: b, count: 3}\n  - {process: a}\n");
  CHECK(draws(company, 1, 20) != std::vector<u64>(expected.begin(), expected.begin() + 20));
  CHECK(draws(company, 4, 50) == expected);

  Rig longer("processes:\n" + program("a", kRun + ", {runtime: {dist: exponential, mean: 1ms}}") + "start:\n  - {process: a}\n");
  std::vector<u64> every_other;
  for (int i = 0; i < 50; ++i) {
    every_other.push_back(longer.next().ns.v);
    longer.next();
  }
  CHECK(every_other == expected);
}

TEST_CASE("streams: how the tasks interleave does not matter") {
  const std::string text = "processes:\n" + program("a", kRun) + "start:\n  - {process: a, count: 2}\n";
  Rig one(text), two(text);
  const std::vector<u64> a1 = draws(one, 1, 30), a2 = draws(one, 2, 30);
  std::vector<u64> b1, b2;
  for (int i = 0; i < 30; ++i) {
    b2.push_back(two.next(2).ns.v);
    b1.push_back(two.next(1).ns.v);
  }
  CHECK(a1 == b1);
  CHECK(a2 == b2);
  CHECK(a1 != a2);
}

TEST_CASE("streams: children draw by their parent and number, another seed changes all") {
  const std::string text =
      "processes:\n  - {name: p, phases: [{fork: c, count: 3}]}\n  - {name: c, phases: [" + kRun + "]}\nstart:\n  - {process: p}\n";
  auto children = [&](const std::vector<Override>& overrides) {
    Rig r(text, overrides);
    std::vector<u64> out;
    for (int i = 0; i < 3; ++i) {
      const u32 child = r.fork(r.next(1, i ? 10 + i : 0), 1, 11 + i);
      out.push_back(r.next(child).ns.v);
      r.programs.task_gone(child);
    }
    return out;
  };
  const auto first = children({}), again = children({}), other = children({{"seed", "2", "--seed 2"}});
  CHECK(first == again);
  CHECK(first[0] != first[1]);
  CHECK(first[1] != first[2]);
  CHECK(first[0] != other[0]);
}

TEST_CASE("streams: each run of a handler and each exec draws anew") {
  Rig r(Rig::one("- {signal: SIGUSR1, do: handler, handler: [" + kRun + "]}\n- pause\n- {exec: a}"));
  r.next();
  r.next();
  std::vector<u64> seen;
  for (int i = 0; i < 2; ++i) {
    r.programs.enter_handler(1, 10);
    seen.push_back(r.next().ns.v);
    r.next();
  }
  CHECK(seen[0] != seen[1]);
}

TEST_CASE("arrivals: at, every, burst, and poisson with its mean") {
  Rig r(
      "until: 1s\nprocesses:\n  - {name: a, phases: [yield]}\nstart:\n  - {process: a, at: 3ms}\n  - {process: a, count: 3, at: 1ms, "
      "every: 2ms}\n"
      "  - {process: a, count: 5, burst: {size: 2, every: 10ms}}\n  - {process: a, count: 20000, poisson: 1ms}\n");
  std::vector<u64> at;
  for (const auto& s : r.kernel.started) at.push_back(s.at.v / 1'000'000);
  CHECK(std::vector<u64>(at.begin(), at.begin() + 9) == std::vector<u64>{3, 1, 3, 5, 0, 0, 10, 10, 20});
  CHECK(r.kernel.started[9].at == km::Ns(0));
  // 19,999 gaps of mean 1 ms: 20 s, standard deviation 0.14 s
  CHECK(double(r.kernel.started.back().at.v) == doctest::Approx(20e9).epsilon(0.04));
}

TEST_SUITE_END();
