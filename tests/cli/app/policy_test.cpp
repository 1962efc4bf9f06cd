// Scheduling policies, groups and quotas as a user meets them: the shipped workloads make their point, and it is what arithmetic says.
#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;
using nlohmann::json;

namespace {

/// The rows of a CSV file by column name.
std::vector<std::map<std::string, std::string>> csv(const Session& forksim, const std::string& file) {
  std::istringstream in(read_file(forksim.path() / "result" / file));
  std::vector<std::string> head;
  std::vector<std::map<std::string, std::string>> rows;
  for (std::string line; std::getline(in, line);) {
    std::istringstream cells(line);
    std::vector<std::string> row;
    for (std::string cell; std::getline(cells, cell, ',');) row.push_back(cell);
    if (head.empty()) {
      head = row;
      continue;
    }
    rows.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) rows.back()[head[i]] = row[i];
  }
  return rows;
}

std::map<std::string, std::string> task(const Session& forksim, const std::string& comm) {
  for (auto& row : csv(forksim, "tasks.csv"))
    if (row["comm"] == comm) return row;
  FAIL("no task " << comm);
  return {};
}

std::int64_t ns(const std::string& number) { return std::stoll(number); }

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("CFS_BANDWIDTH and FAIR_GROUP_SCHED are options of any kernel, in one place: config") {
    const Session forksim;
    const std::string w =
        forksim.file("w.yaml",
                     "schema: forksim.workload/1\nuntil: 400ms\ncgroups:\n  - {name: batch, cfs_quota_us: 50000}\nprocesses:\n"
                     "  - {name: hog, cgroup: batch, phases: [{run: 10s}]}\nstart: [{process: hog}]\n");
    for (const std::string kernel : {"rpi-4.19-arm64", "mc-4.19-arm64"}) {
      CAPTURE(kernel);
      const Result refused = forksim("run " + w + " --kernel " + kernel);
      CHECK(refused.code == 2);
      CHECK(refused.err.find(kernel[0] == 'r' ? "or write config: {CFS_BANDWIDTH: true}" : "or write config: {FAIR_GROUP_SCHED: true}") !=
            std::string::npos);
      const Result r = forksim("run " + w + " --out result --set config.CFS_BANDWIDTH=true --kernel " + kernel);
      REQUIRE_MESSAGE(r.code == 0, r.err);
      CHECK(r.out.find("config.CFS_BANDWIDTH=true") != std::string::npos);
      CHECK(task(forksim, "hog").at("runtime_ns").substr(0, 1) == "2");  // half of 400 ms
    }
    CHECK(
        forksim("run " + w + " --out a --set cgroups[0].cfs_quota_us=-1 --set config.FAIR_GROUP_SCHED=true --kernel mc-4.19-arm64").code ==
        0);
    CHECK(forksim("run " + w + " --out a --set config.FAIR_GROUP_SCHED=false --set config.CFS_BANDWIDTH=true")
              .err.find("CFS_BANDWIDTH needs FAIR_GROUP_SCHED") != std::string::npos);
    CHECK(forksim("run " + w + " --out a --set cgroups[0].cfs_quota_us=-1 --set config.FAIR_GROUP_SCHED=false")
              .err.find("without CONFIG_FAIR_GROUP_SCHED") != std::string::npos);
    CHECK(forksim("list kernels").out.find("quota") == std::string::npos);
  }

  TEST_CASE("quota_throttle: two hogs share 50 ms of each 100 ms, and the file and the report say so") {
    const Session forksim;
    const json r = report_of(forksim, workload("quota_throttle"));
    const json& g = r["groups"][0];
    CHECK(g["name"] == "batch");
    // Period timers at 100, 200 ... 1000 ms, each with both CPUs throttled: the hogs are never idle.
    CHECK(g["nr_periods"] == 10);
    CHECK(g["nr_throttled"] == 10);
    // Eleven periods have begun: at least ten quotas, at most eleven and a tick of 4 ms on each CPU.
    CHECK(g["usage_ns"] >= 10 * 50 * kMs);
    CHECK(g["usage_ns"] <= (11 * 50 + 2 * 4) * kMs);
    // On two CPUs each period leaves 2 x 100 ms; 50 of them are run, the rest is waited but for what the editor takes from one hog.
    CHECK(g["throttled_time_ns"] >= 10 * (150 - 8) * kMs);
    CHECK(g["throttled_time_ns"] <= 10 * 150 * kMs);
    CHECK(csv(forksim, "groups.csv").at(0).at("nr_throttled") == "10");
    const Result none = forksim("run " + workload("quota_throttle") + " --set parameters.quota=-1 --out none --json");
    REQUIRE_MESSAGE(none.code == 0, none.err);
    CHECK(json::parse(none.out)["groups"][0]["nr_periods"] == 0);
  }

  TEST_CASE("rt_audio_under_load: SCHED_FIFO starts within microseconds, the ordinary thread waits for its slice, hogs are throttled") {
    const Session forksim;
    report_of(forksim, workload("rt_audio_under_load") + " --set parameters.runaways=0");
    // From the wake-up to the switch: the rest of the interrupt, __schedule. No tick, no slice.
    CHECK(ns(task(forksim, "audio").at("max_delay_ns")) < 20'000);
    CHECK(ns(task(forksim, "ordinary").at("max_delay_ns")) > kMs);
    const json r = report_of(forksim, workload("rt_audio_under_load"));
    const auto audio = task(forksim, "audio"), ordinary = task(forksim, "ordinary");
    // At 1 s every CPU is taken by a hog of the real-time class until that is throttled at 1960 ms, and audio with it to 2010 ms.
    CHECK(ns(ordinary.at("max_delay_ns")) > 900 * kMs);
    CHECK(ns(audio.at("max_delay_start_ns")) > 1960 * kMs);
    CHECK(ns(audio.at("max_delay_end_ns")) / kMs == 2010);
    for (const json& c : r["cpus"]) {
      CHECK(c["rt_throttled"] == 1);
      // audio first ran at 10 ms, so a period ends at 2010 ms; 950 ms of the one before are used up at the tick of 1960 ms.
      CHECK(c["rt_throttled_ns"] > 49 * kMs);
      CHECK(c["rt_throttled_ns"] < 51 * kMs);
    }
    const json one = report_of(forksim, workload("rt_audio_under_load") + " --set parameters.runaways=1");
    for (const json& c : one["cpus"]) CHECK(c["rt_throttled"] == 0);  // it borrows 50 ms from its neighbours
  }

  TEST_CASE("autogroup_make_vs_desktop: every frame in time with autogroup, two thirds of them without") {
    const Session forksim;
    report_of(forksim, workload("autogroup_make_vs_desktop"));
    // 57 frames of 12 ms fit between 100 ms and 2 s at 30 a second.
    CHECK(ns(task(forksim, "player").at("utime_ns")) == 57 * 12 * kMs);
    const json flat = report_of(forksim, workload("autogroup_make_vs_desktop") + " --kernel mc-4.19-arm64");
    // One of 17 tasks on four CPUs gets about 4 / 17 of a CPU, and not the 36 % it needs.
    const double share = static_cast<double>(ns(task(forksim, "player").at("utime_ns"))) / (1900.0 * kMs);
    CHECK(share > 0.20);
    CHECK(share < 0.27);
    CHECK(flat["diagnostics"]["timer_overrun"] > 10);
  }

  TEST_CASE("affinity_fork_imbalance: children keep to the mask they inherit, and widening it comes late") {
    const Session forksim;
    const json r = report_of(forksim, workload("affinity_fork_imbalance"));
    CHECK(r["placement"]["fork"]["total"] == 1 + 24 + 1 + 12);
    const auto forks = csv(forksim, "forks.csv");
    int workers = 0;
    for (const auto& f : forks) {
      if (f.at("parent") != forks[0].at("child")) continue;  // the pinned server is the first process
      ++workers;
      CHECK(ns(f.at("cpu")) <= 1);
    }
    CHECK(workers == 24);
    // 24 workers of 40 ms are 960 ms: 480 ms on two CPUs, at least 200 + (960 - 400) / 4 = 340 ms when all four help at once.
    CHECK(r["simulated_ns"] > 340 * kMs);
    CHECK(r["simulated_ns"] < 490 * kMs);
    std::int64_t user01 = 0;
    for (int c : {0, 1}) user01 += r["cpus"][static_cast<std::size_t>(c)]["user_ns"].get<std::int64_t>();
    CHECK(user01 > 2 * 200 * kMs);
  }

  TEST_CASE("nohz_idle_wake: one idle CPU balances for the others at the first interval after the masks are widened") {
    const Session forksim;
    const Result r =
        forksim("run " + workload("nohz_idle_wake") + " --out result --quiet --trace ftrace --set trace.events=sched:sched_migrate_task");
    REQUIRE_MESSAGE(r.code == 0, r.err);
    std::istringstream in(read_file(forksim.path() / "result/trace.ftrace"));
    std::vector<std::string> pulls;
    for (std::string line; std::getline(in, line);)
      if (line.find("sched_migrate_task:") != std::string::npos) pulls.push_back(line);
    REQUIRE(pulls.size() >= 2);
    // Idle CPUs balance every 8 ms: at 4 ms, at 12 ms when all is pinned, which doubles the interval, and at 28 ms.
    for (std::size_t i : {0u, 1u}) {
      CHECK_MESSAGE(pulls[i].find(" 0.0280") != std::string::npos, pulls[i]);
      CHECK_MESSAGE(pulls[i].find("<idle>-0     [001]") != std::string::npos, pulls[i]);
      CHECK_MESSAGE(pulls[i].find("orig_cpu=0 dest_cpu=" + std::to_string(2 + i)) != std::string::npos, pulls[i]);
    }
  }

  TEST_CASE("periodic16: sixteen fifths of a CPU are 3.2 CPUs, and the sleepers' dates are kept") {
    const Session forksim;
    const json r = report_of(forksim, workload("periodic16"));
    std::int64_t user = 0;
    for (const json& c : r["cpus"]) user += c["user_ns"].get<std::int64_t>();
    CHECK(user == 16 * 2000 * kMs);  // ten seconds of 16 tasks, each a fifth
    // 22500 jobs; the fair class at 80 % misses few of their dates.
    CHECK(r["diagnostics"]["timer_overrun"] < 22500 / 20);
  }

  TEST_CASE("deadline is refused by name, and with --allow-unmodelled counted and run as fifo 99") {
    const Session forksim;
    const std::string file =
        forksim.file("d.yaml",
                     "schema: forksim.workload/1\nprocesses:\n  - name: a\n    policy: deadline\n    phases:\n      - {run: 1ms}\n"
                     "      - {policy: deadline}\nstart:\n  - {process: a}\n");
    const Result refused = forksim("run " + file);
    CHECK(refused.code == 2);
    CHECK_MESSAGE(
        refused.err.find("d.yaml:4:13: processes[0].policy: policy \"deadline\" is not modelled in this version") != std::string::npos,
        refused.err);
    CHECK(refused.err.find("--allow-unmodelled") != std::string::npos);
    const Result r = forksim("run " + file + " --allow-unmodelled --out result --json --trace ftrace");
    REQUIRE_MESSAGE(r.code == 0, r.err);
    CHECK(json::parse(r.out)["diagnostics"]["unmodelled_deadline"] == 2);
    CHECK(read_file(forksim.path() / "result/trace.ftrace").find("comm=a pid=11 prio=0 target_cpu=") != std::string::npos);
    CHECK(forksim("run result/resolved.yaml --quiet --out again").code == 0);  // the flag is part of the input
  }
}
