// Comparisons of sets made by hand: pairing, verdicts, limits, the first difference of two traces.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>

#include "sim/study/compare.hpp"
#include "sim/study/divergence.hpp"
#include "sim/config/streams.hpp"

using namespace forksim;

namespace {

const std::size_t kP99 = *find_measure("fork_to_run.p99");

/// A cell whose fork_to_run.p99 is given for each seed; everything else has no value.
ResultSet set_of(const std::string& name, u64 first_seed, const std::vector<double>& values) {
  ResultSet s;
  s.name = name;
  s.cells.push_back({"cell", {}, {}, {}});
  for (std::size_t i = 0; i < values.size(); ++i) {
    Values v(measure_table().size(), std::numeric_limits<double>::quiet_NaN());
    v[kP99] = values[i];
    s.cells[0].runs.push_back({first_seed + i, v, {}});
  }
  return s;
}

std::vector<double> noisy(u64 seed, std::size_t n, double factor) {
  std::vector<double> v;
  for (std::size_t i = 0; i < n; ++i) v.push_back(factor * (1000 + static_cast<double>(below(next_u64(seed), 200))));
  return v;
}

FailOn limit(const std::string& text, Diagnostics& diags) {
  Diagnostic place;
  place.file = "--fail-on";
  place.line = place.col = 1;
  place.source_line = text;
  return parse_fail_on(text, place, diags);
}
FailOn limit(const std::string& text) {
  Diagnostics diags;
  const FailOn f = limit(text, diags);
  REQUIRE_MESSAGE(diags.ok(), diags.text());
  return f;
}
std::string complaint(const std::string& text) {
  Diagnostics diags;
  limit(text, diags);
  return diags.text();
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_of(const std::string& text) {
  std::FILE* f = std::tmpfile();
  std::fputs(text.c_str(), f);
  std::rewind(f);
  return {f, &std::fclose};
}

}  // namespace

TEST_SUITE("sim/study") {
  TEST_CASE("common seeds make pairs, and a steady 5 % is found among noise of 20 %") {
    const ResultSet base = set_of("base", 1, noisy(7, 20, 1)), next = set_of("new", 1, noisy(7, 20, 1.05));
    const Comparison c = compare(base, next, {});
    REQUIRE(c.cells.size() == 1);
    CHECK(c.cells[0].pairs == 20);
    REQUIRE(c.cells[0].measures.size() == 1);
    const MeasureResult& r = c.cells[0].measures[0];
    CHECK(r.effect == doctest::Approx(0.05).epsilon(0.02));
    CHECK(r.p == doctest::Approx(2 / std::pow(2.0, 20)));  // every pair is longer
    CHECK(r.verdict == Verdict::worse);
    REQUIRE(r.interval);
    CHECK(r.interval->low > 0.04);
    CHECK(c.regression);
  }

  TEST_CASE("different seeds make two samples, and noise is no difference") {
    const ResultSet base = set_of("base", 1, noisy(7, 20, 1)), next = set_of("new", 101, noisy(8, 20, 1));
    const Comparison c = compare(base, next, {});
    CHECK(c.cells[0].pairs == 0);
    CHECK(c.cells[0].measures[0].verdict == Verdict::no_difference);
    CHECK_FALSE(c.regression);
  }

  TEST_CASE("equal numbers are the same, one pair is not tested, and a tiny change is small") {
    const ResultSet base = set_of("base", 1, noisy(7, 20, 1)), tiny = set_of("new", 1, noisy(7, 20, 1.0001));
    CHECK(compare(base, base, {}).cells[0].measures[0].verdict == Verdict::same);
    CHECK(compare(base, tiny, {}).cells[0].measures[0].verdict == Verdict::small);
    const ResultSet one = set_of("a", 1, {100}), other = set_of("b", 1, {110});
    const Comparison c = compare(one, other, {});
    CHECK(c.cells[0].measures[0].verdict == Verdict::untested);
    CHECK(c.cells[0].measures[0].effect == doctest::Approx(0.1));
    CHECK_FALSE(c.regression);
  }

  TEST_CASE("where a value is 0 each pair has its own relative change: all gone is -100 %, whatever there was") {
    const auto effect = [](const std::vector<double>& base, const std::vector<double>& next) {
      const Comparison c = compare(set_of("base", 1, base), set_of("next", 1, next), {});
      return c.cells.at(0).measures.at(0);
    };
    // Differences of -3, -60, -100, -103 and -906 over the median 100 would make the typical change -103 %.
    const MeasureResult gone = effect({3, 60, 100, 103, 906}, {0, 0, 0, 0, 0});
    CHECK(gone.effect == -1);
    REQUIRE(gone.interval);
    CHECK(gone.interval->low == -1);
    CHECK(gone.interval->high == -1);
    // Changes of -1, -1/2, -1/2, -1/2 and -1/2: the median of their averages in pairs is -1/2.
    CHECK(effect({3, 60, 100, 102, 906}, {0, 30, 50, 51, 453}).effect == doctest::Approx(-0.5));
    // A base of 0 has no relative change: the shift over the median, never below -100 %.
    CHECK(effect({0, 1, 1, 9, 9}, {0, 0, 0, 0, 0}).effect >= -1);
  }

  TEST_CASE("a limit on a change is broken only past it and only when it is no accident") {
    const ResultSet base = set_of("base", 1, noisy(7, 20, 1)), next = set_of("new", 1, noisy(7, 20, 1.05));
    const auto broken = [&](const std::string& text, const ResultSet& side) {
      CompareOptions o;
      o.fail_on.push_back(limit(text));
      return compare(base, side, o).regression;
    };
    CHECK(broken("fork_to_run.p99>+4%", next));
    CHECK_FALSE(broken("fork_to_run.p99>+6%", next));
    CHECK(broken("fork_to_run.p99>+40ns", next));
    CHECK_FALSE(broken("fork_to_run.p99>+70ns", next));
    CHECK(broken("fork_to_run.p99>1us", next));
    CHECK_FALSE(broken("fork_to_run.p99>2us", next));
    CHECK_FALSE(broken("fork_to_run.p99<-1%", next));
    // other seeds, a shift below the noise
    CHECK_FALSE(broken("fork_to_run.p99>+0.1%", set_of("new", 101, noisy(9, 20, 1.004))));
    // no samples at all: a gate must not pass silently
    CHECK(broken("vfork_block.p99>+5%", next));
  }

  TEST_CASE("a bad limit is refused at its column with what is allowed and a hint") {
    CHECK(contains(complaint("fork_to_rnu.p99>+5%"), "--fail-on:1:1: there is no measure \"fork_to_rnu\""));
    CHECK(contains(complaint("fork_to_rnu.p99>+5%"), "did you mean \"fork_to_run\"?"));
    CHECK(contains(complaint("fork_to_run.p98>+5%"), "--fail-on:1:13: fork_to_run has no statistic \"p98\""));
    CHECK(contains(complaint("fork_to_run>+5%"), "has several statistics"));
    CHECK(contains(complaint("fork_to_run.p99"), "is no limit"));
    CHECK(contains(complaint("fork_to_run.p99>5%"), "write +5%"));
    CHECK(contains(complaint("fork_to_run.p99>5"), "such as"));
    CHECK(contains(complaint("fork_to_run.p99>=+5%"), "write >"));
    CHECK(contains(complaint("energy_j>+x%"), "no change in percent"));
  }

  TEST_CASE("every format says the same verdict") {
    const ResultSet base = set_of("base", 1, noisy(7, 20, 1)), next = set_of("new", 1, noisy(7, 20, 1.05));
    const CompareOptions o;
    const Comparison c = compare(base, next, o);
    const CompareView v{base, next, c, o, ""};
    CHECK(contains(render_compare(v, "text"), "1 worse, 0 better"));
    CHECK(contains(render_compare(v, "markdown"), "| fork_to_run.p99 | 1."));
    CHECK(contains(render_compare(v, "markdown"), "**worse**"));
    CHECK(contains(render_compare(v, "json"), "\"regression\": true"));
    CHECK(contains(render_compare(v, "junit"), "tests=\"1\" failures=\"1\""));
  }

  TEST_CASE("the first difference of two traces is told with who runs and waits where") {
    const std::string common =
        "# tracer: nop\n"
        "          <idle>-0     [001] d...     0.0000010005: sched_switch:         prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> "
        "next_comm=storm next_pid=11 next_prio=120\n"
        "           storm-11    [001] d...     0.0000020005: sched_wakeup_new:     comm=storm pid=12 prio=120 target_cpu=002\n";
    const std::string later = "           storm-11    [001] d...     0.0000030005: sys_exit:             NR 220 = 12\n";
    const std::string shifted = "           storm-11    [001] d...     0.0000040005: sys_exit:             NR 220 = 12\n";
    const std::string left = "           storm-11    [001] d...     0.0000050005: sched_wakeup_new:     comm=storm pid=13 prio=120 target_cpu=003\n";
    const std::string right = "           storm-11    [001] d...     0.0000060005: sched_wakeup_new:     comm=storm pid=13 prio=120 target_cpu=000\n";
    const auto a = file_of(common + later + left), b = file_of(common + shifted + right);
    const Divergence d = find_divergence(a.get(), b.get());
    REQUIRE(d.any);
    REQUIRE(d.order);
    CHECK(d.any->event == 2);
    CHECK(d.order->event == 3);
    const std::vector<std::string> state{"CPU 0: idle", "CPU 1: storm-11 runs", "CPU 2: idle, 1 waiting: storm-12"};
    CHECK(d.order->base.state == state);
    CHECK(contains(render_divergence(d), "target_cpu=000"));
    const auto x = file_of(common + later), y = file_of(common + later);
    CHECK(contains(render_divergence(find_divergence(x.get(), y.get())), "all 3 events are the same"));
    const auto longer = file_of(common + later), shorter = file_of(common);
    CHECK(contains(render_divergence(find_divergence(longer.get(), shorter.get())), "(the trace has ended)"));
  }
}
