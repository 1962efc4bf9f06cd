// Locks and memory contention as a user meets them: locks.csv, the report's table, the switches.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;

namespace {

const std::string kShort = " --set parameters.bursts=10 --quiet --out ";

/// One number of report.json that is written `"key":number` or `"key": number`.
double number(const std::string& json, const std::string& key) {
  const std::size_t at = json.find("\"" + key + "\":");
  REQUIRE(at != std::string::npos);
  return std::stod(json.substr(at + key.size() + 3));
}

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("locks.csv has a row per class, and lock_wait one sample per wait") {
    const Session forksim;
    const std::string run = "run " + workload("tasklist_lock_contention");
    CHECK(forksim(run + kShort + "on").code == 0);
    const std::string csv = read_file(forksim.path() / "on/locks.csv"), report = read_file(forksim.path() / "on/report.txt");
    CHECK(csv.starts_with("lock,acquisitions,contended,wait_total_ns,wait_max_ns,hold_total_ns,hold_max_ns\ncgroup_threadgroup-R,"));
    CHECK(csv.find("\nmmap_sem-R,") != std::string::npos);
    CHECK(csv.find("\ntasklist_lock-W,") != std::string::npos);
    CHECK(report.find("\ntasklist_lock-W") != std::string::npos);
    const std::string latency = read_file(forksim.path() / "on/latency.csv");
    const std::size_t at = latency.find("\nlock_wait,ns,");
    REQUIRE(at != std::string::npos);
    unsigned long contended = 0;
    for (std::size_t line = csv.find('\n') + 1; line < csv.size(); line = csv.find('\n', line) + 1) {
      const std::size_t second = csv.find(',', csv.find(',', line) + 1) + 1;
      contended += std::stoul(csv.substr(second));
    }
    CHECK(contended > 10);
    CHECK(std::stoul(latency.substr(at + 14)) == contended);
  }

  TEST_CASE("model.locks=off and model.mm_contention=off, as option or key, give a faster machine without waits") {
    const Session forksim;
    const std::string run = "run " + workload("tasklist_lock_contention");
    CHECK(forksim(run + " --set model.locks=off" + kShort + "nolocks").code == 0);
    CHECK(forksim(run + " --set model.locks=off --set model.mm_contention=off" + kShort + "ideal").code == 0);
    const auto system = [&](const char* dir) { return number(read_file(forksim.path() / dir / "report.json"), "system_ns"); };
    CHECK(read_file(forksim.path() / "nolocks/report.txt").find("\ntasklist_lock") == std::string::npos);
    CHECK(system("ideal") < system("nolocks"));
    // no lock was waited for, or even taken
    const std::string csv = read_file(forksim.path() / "nolocks/locks.csv");
    CHECK(csv.find("\ntasklist_lock-W,0,0,0,0,0,0\n") != std::string::npos);
    CHECK(csv.find("\nrq_lock,0,0,0,0,0,0\n") != std::string::npos);
    // the switch is part of the resolved input
    CHECK(forksim("run nolocks/resolved.yaml --quiet --out again").code == 0);
    CHECK(read_file(forksim.path() / "again/report.json") == read_file(forksim.path() / "nolocks/report.json"));
  }

  TEST_CASE("run-ahead and lock-step give the same bytes where CPUs wait for each other") {
    const Session forksim;
    for (const char* name : {"tasklist_lock_contention", "unixbench_spawn4"}) {
      const std::string parameter = std::string(name) == "unixbench_spawn4" ? "loops" : "bursts";
      const std::string run = "run " + workload(name) + " --set parameters." + parameter + "=10 --quiet --trace ftrace --out ";
      CHECK(forksim(run + "ahead_" + name).code == 0);
      CHECK(forksim(run + "step_" + name + " --lockstep").code == 0);
      for (const char* file : {"report.json", "trace.ftrace", "locks.csv", "life.csv", "histograms.json"})
        CHECK_MESSAGE(read_file(forksim.path() / ("ahead_" + std::string(name)) / file) == read_file(forksim.path() / ("step_" + std::string(name)) / file), file);
    }
  }

  TEST_CASE("model: unknown words and keys are refused with what is allowed") {
    const Session forksim;
    const Result r = forksim("run " + workload("tasklist_lock_contention") + " --set model.locks=maybe");
    CHECK(r.code == 2);
    CHECK_MESSAGE(r.err.find("\"maybe\" is not known here, allowed are on, off") != std::string::npos, r.err);
  }
}
