// Scheduler features as a user meets them: the shipped workloads make their point, and it is what arithmetic says.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;
using nlohmann::json;

namespace {

/// User time of the task "hog" that got least.
std::int64_t least_work(const Session& forksim) {
  std::istringstream in(read_file(forksim.path() / "result" / "tasks.csv"));
  std::int64_t least = INT64_MAX;
  for (std::string line; std::getline(in, line);) {
    std::istringstream cells(line);
    std::vector<std::string> row;
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(cell);
    if (row.at(3) == "hog") least = std::min<std::int64_t>(least, std::stoll(row.at(6)));
  }
  return least;
}

constexpr std::int64_t kUs = 1'000;

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

  TEST_CASE("irq_capacity: the CPU with the interrupts gets one task of seven, without IRQ_TIME_ACCOUNTING nobody knows") {
    const Session forksim;
    const json with = report_of(forksim, workload("irq_capacity"));
    // 100000 interrupts of 40 us and the second half of 660 ns, 2500 ticks of 1650 ns likewise; 4 ms of ticks on the other CPUs.
    const json& busy = with["irqtime"][0];
    CHECK(busy["hardirq_ns"] == 100'000LL * 40'330 + 2'499 * 1'980);
    CHECK(busy["util_irq"] > 400);
    CHECK(busy["util_irq"] < 440);
    CHECK(busy["capacity"] > 1024 - 440);
    CHECK(busy["capacity"] < 1024 - 400);
    for (int c = 1; c < 4; ++c) CHECK(with["irqtime"][c]["capacity"] == 1024);
    CHECK(with["irqtime"][0]["hardirq_ns"].get<std::int64_t>() + busy["softirq_ns"].get<std::int64_t>() <= with["cpus"][0]["irq_ns"]);
    CHECK(read_file(forksim.path() / "result" / "irqtime.csv").find("cpu,hardirq_ns,softirq_ns,util_irq,capacity\n0,") == 0);
    // Work done by the hog that got least: two of seven share a whole CPU, 10 s / 2.
    const std::int64_t least = least_work(forksim);
    CHECK(least > 4950 * kMs);
    for (const char* off : {"features.NO_NONTASK_CAPACITY=true", "config.IRQ_TIME_ACCOUNTING=false"}) {
      CAPTURE(off);
      report_of(forksim, workload("irq_capacity") + " --set " + off);
      CHECK(least_work(forksim) < least - 100 * kMs);
    }
  }

  TEST_CASE("without IRQ_TIME_ACCOUNTING, NO_NONTASK_CAPACITY changes nothing and there is no irqtime") {
    const Session forksim;
    json plain = report_of(forksim, workload("fork_storm_loaded"));
    json off = report_of(forksim, workload("fork_storm_loaded") + " --set features.NO_NONTASK_CAPACITY=true");
    CHECK(off["settings"] == json::array({"features.NO_NONTASK_CAPACITY"}));
    CHECK_FALSE(off.contains("irqtime"));
    for (json* r : {&plain, &off}) r->erase("settings");
    CHECK(plain == off);
  }

  TEST_CASE("WARN_DOUBLE_CLOCK: the report tells how often and where first, and that 4.19 itself does it") {
    const Session forksim;
    // A session of its own for each process that is started: online_fair_sched_group.
    const json groups = report_of(forksim, workload("fork_storm_loaded") + " --set features.WARN_DOUBLE_CLOCK=true");
    REQUIRE(groups["warnings"].size() == 1);
    CHECK(groups["warnings"][0].get<std::string>().find("in online_fair_sched_group; ") != std::string::npos);
    CHECK(groups["diagnostics"] == json::object());
    CHECK(read_file(forksim.path() / "result" / "report.txt").find("\nwarning: rq->clock_update_flags & RQCF_UPDATED at 0.") !=
          std::string::npos);
    // Without groups there are only real-time tasks that are pushed, and the timer that gives them their bandwidth.
    const json rt = report_of(forksim, workload("rt_audio_under_load") + " --kernel mc-4.19-arm64 --set features.WARN_DOUBLE_CLOCK=true");
    REQUIRE(rt["warnings"].size() == 1);
    CHECK(rt["warnings"][0].get<std::string>().find("rt") != std::string::npos);
    const json none = report_of(forksim, workload("fork_storm_loaded") + " --kernel mc-4.19-arm64 --set features.WARN_DOUBLE_CLOCK=true");
    CHECK_FALSE(none.contains("warnings"));
    // It is a report and nothing else: the run is the same.
    json plain = report_of(forksim, workload("fork_storm_loaded"));
    json with = groups;
    for (json* r : {&plain, &with}) {
      r->erase("settings");
      r->erase("warnings");
    }
    CHECK(plain == with);
  }

  TEST_CASE("sched_schedstats=1: the trace has waits and sleeps, in the kernel's format, and the run is the same") {
    const Session forksim;
    json plain = report_of(forksim, kSmall + " --trace ftrace");
    CHECK(read_file(forksim.path() / "result/trace.ftrace").find("sched_stat_wait") == std::string::npos);
    json with = report_of(forksim, kSmall + " --set tunables.sched_schedstats=1 --trace ftrace --set 'trace.events=sched:sched_stat_*'");
    CHECK(with["settings"] == json::array({"tunables.sched_schedstats=1"}));
    const std::string trace = read_file(forksim.path() / "result/trace.ftrace");
    for (const char* line : {": sched_stat_wait:      comm=", ": sched_stat_sleep:     comm=", ": sched_stat_blocked:   comm=",
                             ": sched_stat_runtime:   comm="})
      CHECK_MESSAGE(trace.find(line) != std::string::npos, line);
    CHECK(trace.find(" delay=0 [ns]\n") != std::string::npos);
    CHECK(trace.find("sched_switch") == std::string::npos);
    for (json* r : {&plain, &with}) r->erase("settings");
    CHECK(plain == with);
    const Result list = forksim("list tracepoints");
    for (const char* name : {"sched_stat_wait", "sched_stat_sleep", "sched_stat_blocked", "sched_stat_iowait"})
      CHECK(list.out.find(name) != std::string::npos);
  }

  TEST_CASE("who asks for sched_stat_wait without sched_schedstats=1 is told that none will come, as the kernel does") {
    const Session forksim;
    const std::string run = "run " + kSmall + " --quiet --out result --trace ftrace --set trace.events=sched:sched_stat_";
    const Result named = forksim(run + "wait");
    CHECK(named.code == 0);
    CHECK(named.err ==
          "trace.events: sched_stat_wait, _sleep, _blocked and _iowait need --set tunables.sched_schedstats=1; none will come\n");
    CHECK(forksim(run + "runtime").err.empty());
    CHECK(forksim(run + "wait --set tunables.sched_schedstats=1").err.empty());
  }

  TEST_CASE("timer_migration: without quotas 0 and 1 give the same bytes") {
    const Session forksim;
    const auto traced = [&](int value) {
      json report =
          report_of(forksim, workload("nohz_idle_wake") + " --trace ftrace --set tunables.timer_migration=" + std::to_string(value));
      report.erase("settings");
      return report.dump() + read_file(forksim.path() / "result/trace.ftrace");
    };
    CHECK(traced(0) == traced(1));
  }
}
