#include "sim/output/result_writer.hpp"

#include <doctest/doctest.h>

#include <set>

#include "sim/output/out_file.hpp"
#include "tests/unit/sim/output/sample_run.hpp"
#include "tests/unit/sim/output/temp_place.hpp"

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
namespace fs = std::filesystem;

namespace {

struct ResultPlace : test::TempPlace {
  ResultPlace() : TempPlace("forksim-result") {}
};

std::set<std::string> names_in(const fs::path& dir) {
  std::set<std::string> out;
  for (const auto& e : fs::directory_iterator(dir)) out.insert(e.path().filename().string());
  return out;
}

void write_sample(const fs::path& target, const std::string& resolved) {
  const test::SampleRun sample;
  ResultWriter w(target);
  w.add_report(sample.report(), sample.metrics, sample.s.trace.names());
  w.add_file("resolved.yaml", resolved);
  ManifestInfo m;
  m.command = {"forksim", "run", "sample.yaml"};
  m.versions = {{"forksim", "0.1.0"}};
  m.seeds = {1};
  m.inputs = {{"sample.yaml", "abc"}};
  m.wall_s = 0.5;
  m.sched_events = 1000;
  w.commit(m);
}

}  // namespace

TEST_CASE("sha256: the known digest of abc, of text and of a file") {
  const char* abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  CHECK(sha256_hex("abc") == abc);
  ResultPlace p;
  write_file(p.path / "f", "abc");
  CHECK(sha256_file(p.path / "f") == abc);
  CHECK_THROWS_AS(sha256_file(p.path / "missing"), OutputError);
}

TEST_CASE("short hash: depends on contents and their borders, not on names") {
  CHECK(short_hash({{"a", "xy"}}) == short_hash({{"b", "xy"}}));
  CHECK(short_hash({{"a", "xy"}, {"b", "z"}}) != short_hash({{"a", "x"}, {"b", "yz"}}));
  CHECK(short_hash({{"a", "xy"}}).size() == 8);
  CHECK(default_result_dir("my/load", {{"a", "xy"}}) == fs::path("results/runs/my_load-" + short_hash({{"a", "xy"}})));
}

TEST_CASE("result folder: appears complete, with the files of the contract and nothing beside it") {
  ResultPlace p;
  write_sample(p.path / "run", "seed: 1\n");
  CHECK(names_in(p.path) == std::set<std::string>{"run"});
  CHECK(names_in(p.path / "run") == std::set<std::string>{"report.json", "report.txt", "tasks.csv", "latency.csv", "forks.csv", "cpus.csv", "balance.csv", "opps.csv", "locks.csv", "groups.csv",
                                                          "histograms.json", "schedule.csv", "life.csv", "resolved.yaml", "manifest.json"});
  const Report r = load_report(p.path / "run");
  CHECK(render_report_text(r) == read_file(p.path / "run/report.txt"));
  CHECK(render_report_json(r) == read_file(p.path / "run/report.json"));
  CHECK(read_file(p.path / "run/forks.csv") ==
        "fork,time_ns,parent,child,this_cpu,cpu,idle_mask,placement,runnable_this,runnable_chosen,wait_ns,ran_on,rule,reason,candidates,"
        "trail\n"
        "0,1055000,10,11,0,1,0x2,idle_cpu,10,20,6500,1,kernel,,,\n");
  CHECK(read_file(p.path / "run/tasks.csv")
            .find("\n11,11,10,t11,1050000,6055000,4900000,83500,6500,1,0,1,7,0,4988500,1,6500,6500,1060000,1066500\n") !=
        std::string::npos);
  const std::string manifest = read_file(p.path / "run/manifest.json");
  CHECK(manifest.find("\"resolved.yaml\": \"" + sha256_hex("seed: 1\n") + "\"") != std::string::npos);
  CHECK(manifest.find("\"sample.yaml\": \"" + sha256_hex("abc") + "\"") != std::string::npos);
  CHECK(manifest.find("\"events_per_second\": 2000.0") != std::string::npos);
  CHECK(manifest.find("\"peak_memory_bytes\": ") != std::string::npos);
}

TEST_CASE("result folder: two runs give the same bytes in every file but the manifest") {
  ResultPlace p;
  write_sample(p.path / "a", "seed: 1\n");
  write_sample(p.path / "b", "seed: 1\n");
  for (const std::string& n : names_in(p.path / "a")) {
    if (n == "manifest.json") continue;
    INFO(n);
    CHECK(read_file(p.path / "a" / n) == read_file(p.path / "b" / n));
  }
}

TEST_CASE("result folder: an older result is replaced whole") {
  ResultPlace p;
  write_sample(p.path / "run", "old\n");
  write_file(p.path / "run/trace.ftrace", "left over");
  write_sample(p.path / "run", "new\n");
  CHECK(read_file(p.path / "run/resolved.yaml") == "new\n");
  CHECK_FALSE(fs::exists(p.path / "run/trace.ftrace"));
  CHECK(names_in(p.path) == std::set<std::string>{"run"});
}

TEST_CASE("result folder: without commit nothing is left and the older result stays") {
  ResultPlace p;
  write_sample(p.path / "run", "old\n");
  {
    ResultWriter w(p.path / "run");
    w.add_file("resolved.yaml", "new\n");
    CHECK(names_in(p.path).size() == 2);
  }
  CHECK(names_in(p.path) == std::set<std::string>{"run"});
  CHECK(read_file(p.path / "run/resolved.yaml") == "old\n");
}

TEST_CASE("result folder: a folder that is not ours, or a file, is never replaced") {
  ResultPlace p;
  fs::create_directories(p.path / "photos");
  write_file(p.path / "photos/cat", "miau");
  CHECK_THROWS_AS(ResultWriter(p.path / "photos"), OutputRefused);
  CHECK_THROWS_AS(ResultWriter(p.path / "photos/cat"), OutputRefused);
  CHECK(read_file(p.path / "photos/cat") == "miau");
  fs::create_directories(p.path / "empty");
  write_sample(p.path / "empty/", "x\n");
  CHECK(fs::exists(p.path / "empty/report.json"));
}

TEST_CASE("output: a full disk is an error, and a missing report says what to give") {
  CHECK_THROWS_AS(write_file("/dev/full", "x"), OutputError);
  CHECK_THROWS_AS(write_file(fs::temp_directory_path() / "no-such-folder-of-forksim/x", "x"), OutputError);
  ResultPlace p;
  CHECK_THROWS_WITH_AS(load_report(p.path), doctest::Contains("give a result folder written by forksim run"), ReportError);
}

TEST_SUITE_END();
