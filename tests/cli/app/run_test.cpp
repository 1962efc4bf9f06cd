// What forksim run leaves behind, and the commands that read it again.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;

namespace {

const std::vector<std::string> kResultFiles = {"balance.csv", "cpus.csv",    "forks.csv",  "histograms.json", "latency.csv", "locks.csv", "manifest.json",
                                               "report.json", "report.txt", "resolved.yaml",   "tasks.csv"};

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("run prints the report, writes the result folder and nothing else") {
    const Session forksim;
    const Result r = forksim("run " + kSmall + " --out result");
    CHECK_MESSAGE(r.code == 0, r.err);
    CHECK(r.err == "result folder: result\n");  // where it is; no progress line, stderr is no terminal here
    CHECK(r.out == read_file(forksim.path() / "result/report.txt"));
    for (const std::string& f : kResultFiles) CHECK_MESSAGE(std::filesystem::exists(forksim.path() / "result" / f), f);
    for (const std::string& f : forksim.files()) CHECK_MESSAGE(f.starts_with("result/"), f);
    CHECK(is_json(read_file(forksim.path() / "result/report.json")));
    CHECK(is_json(read_file(forksim.path() / "result/manifest.json")));
    CHECK(is_json(read_file(forksim.path() / "result/histograms.json")));
  }

  TEST_CASE("the report fits one screen: no wider than perf's own table, at most 60 lines") {
    constexpr std::size_t kPerfColumns = 141;
    const Session forksim;
    const std::string out = forksim("run " + kSmall + " --out result").out;
    CHECK(std::ranges::count(out, '\n') <= 60);
    for (std::size_t at = 0; at < out.size();) {
      const std::size_t end = std::min(out.find('\n', at), out.size());
      CHECK_MESSAGE(end - at <= kPerfColumns, out.substr(at, end - at));
      at = end + 1;
    }
  }

  TEST_CASE("without --out the result goes to results/runs, under a name made of its inputs") {
    const Session forksim;
    CHECK(forksim("run " + kSmall + " --quiet").code == 0);
    CHECK(forksim("run " + kSmall + " --quiet").code == 0);
    CHECK(forksim("run " + kSmall + " --quiet --seed 2").code == 0);
    std::size_t folders = 0;
    for (const auto& entry : std::filesystem::directory_iterator(forksim.path() / "results/runs")) {
      CHECK(entry.path().filename().string().starts_with("kill_sleeper-"));
      ++folders;
    }
    CHECK(folders == 2);
  }

  TEST_CASE("--quiet prints nothing, --json prints report.json") {
    const Session forksim;
    const Result quiet = forksim("run " + kSmall + " --out a --quiet");
    CHECK(quiet.code == 0);
    CHECK(quiet.out.empty());
    CHECK(quiet.err.empty());
    const Result json = forksim("run " + kSmall + " --out b --json");
    CHECK(json.code == 0);
    CHECK(json.out == read_file(forksim.path() / "b/report.json"));
  }

  TEST_CASE("--until ends the run at that date") {
    const Session forksim;
    const Result r = forksim("run " + kSmall + " --until 1ms --json --out a");
    CHECK(r.code == 0);
    CHECK(contains(r.out, "\"simulated_ns\": 1000000,"));
  }

  TEST_CASE("costs can be set from the command line, and low is faster than high") {
    const Session forksim;
    const auto simulated_ns = [&](const std::string& set) {
      const std::string out = forksim("run " + kSource + "/workloads/vfork_exec_loop.yaml --json --out x --set " + set).out;
      const std::string key = "\"simulated_ns\": ";
      const std::size_t at = out.find(key);
      REQUIRE(at != std::string::npos);
      return std::stoull(out.substr(at + key.size()));
    };
    CHECK(simulated_ns("costs.bound=low") < simulated_ns("costs.bound=high"));
    CHECK(simulated_ns("costs.alloc_pid=1us") < simulated_ns("costs.alloc_pid=100us"));
  }

  TEST_CASE("report prints an old result again without running") {
    const Session forksim;
    REQUIRE(forksim("run " + kSmall + " --out result --quiet").code == 0);
    const Result text = forksim("report result");
    CHECK(text.code == 0);
    CHECK(text.out == read_file(forksim.path() / "result/report.txt"));
    CHECK(forksim("report result --json").out == read_file(forksim.path() / "result/report.json"));
    const Result missing = forksim("report nowhere");
    CHECK(missing.code == 2);
    CHECK(contains(missing.err, "nowhere"));
  }

  TEST_CASE("plot draws a CDF and a Gantt, as SVG and PNG") {
    const Session forksim;
    REQUIRE(forksim("run " + kSmall + " --out result --quiet").code == 0);
    const auto before = forksim.files();
    const Result r = forksim("plot result --kind cdf,gantt --format svg,png");
    CHECK_MESSAGE(r.code == 0, r.err);
    int svg = 0, png = 0;
    for (const std::string& f : forksim.files()) {
      if (std::ranges::find(before, f) != before.end() || f.ends_with('/')) continue;
      const std::string content = read_file(forksim.path() / f);
      if (f.ends_with(".svg")) svg += contains(content, "<svg");
      if (f.ends_with(".png")) png += content.starts_with("\x89PNG");
    }
    CHECK(svg == 2);
    CHECK(png == 2);
  }

  TEST_CASE("a trace is written only when asked for, and reads like ftrace") {
    const Session forksim;
    REQUIRE(forksim("run " + kSmall + " --out without --quiet").code == 0);
    CHECK_FALSE(std::filesystem::exists(forksim.path() / "without/trace.ftrace"));
    REQUIRE(forksim("run " + kSmall + " --out with --quiet --trace ftrace").code == 0);
    const std::string trace = read_file(forksim.path() / "with/trace.ftrace");
    CHECK(trace.starts_with("# tracer: nop\n"));
    CHECK(contains(trace, " sched_switch: "));
    CHECK(contains(trace, " prev_comm="));
  }

  TEST_CASE("a bad workload leaves nothing behind") {
    const Session forksim;
    forksim.file("bad.yaml", "schema: forksim.workload/1\nname: bad\nnonsense: 1\n");
    const Result r = forksim("run bad.yaml --out result");
    CHECK(r.code == 2);
    CHECK(r.out.empty());
    CHECK(contains(r.err, "bad.yaml:3:"));
    CHECK(forksim.files() == std::vector<std::string>{"bad.yaml"});
  }

  TEST_CASE("a result folder that cannot be made ends the run with 4") {
    const Session forksim;
    forksim.file("taken", "a file\n");
    const Result r = forksim("run " + kSmall + " --out taken/result");
    CHECK(r.code == 4);
    CHECK(contains(r.err, "taken"));
    CHECK(forksim.files() == std::vector<std::string>{"taken"});
  }

  TEST_CASE("plots that cannot be put into the result end the command with 4") {
    const Session forksim;
    REQUIRE(forksim("run " + kSmall + " --quiet --out result").code == 0);
    std::filesystem::remove_all(forksim.path() / "result/plots");
    forksim.file("result/plots", "a file\n");
    const Result r = forksim("plot result --kind cdf");
    CHECK(r.code == 4);
    CHECK(r.out.empty());
    CHECK(contains(r.err, "the plot could not be completed: result/plots: cannot be created"));
  }

  TEST_CASE("an interrupted run ends with 130 and says so") {
    const Session forksim;
    const Result r = run("timeout --preserve-status -s INT 2 '" + kForksim + "' run " + kSource +
                             "/workloads/unixbench_syscall.yaml --set parameters.loops=1000000000 --out cut",
                         forksim.path());
    CHECK(r.code == 130);
    CHECK(contains(r.err, "interrupted"));
  }

  TEST_CASE("repeated runs differ in their seed only, and each has a folder of its own") {
    const Session forksim;
    const Result r = forksim("run " + kSmall + " --repeat 3 --jobs 2 --out set");
    CHECK_MESSAGE(r.code == 0, r.err);
    int reports = 0;
    for (const std::string& f : forksim.files()) reports += f.ends_with("/report.json");
    CHECK(reports >= 3);
  }
}
