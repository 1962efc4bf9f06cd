#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

#include "sim/output/csv.hpp"
#include "sim/output/histograms_json.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/perf_table.hpp"
#include "sim/output/row_sources.hpp"
#include "tests/unit/sim/output/sample_run.hpp"

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
using km::Ns;
using km::Pid;

namespace {

/// Positions of the words in the text, to compare orders.
std::vector<std::size_t> places(const std::string& text, std::initializer_list<const char*> words) {
  std::vector<std::size_t> out;
  for (const char* w : words) out.push_back(text.find(w, out.empty() ? 0 : out.back()));
  return out;
}

TaskRecord waited(int pid, km::NameId comm, km::u64 runtime, km::u64 count, km::u64 total, km::u64 max, km::u64 from) {
  TaskRecord t;
  t.pid = Pid(pid);
  t.comm = comm;
  t.runtime = Ns(runtime);
  t.delays = count;
  t.total_delay = Ns(total);
  t.max_delay = Ns(max);
  t.max_delay_start = Ns(from);
  t.max_delay_end = Ns(from + max);
  return t;
}

}  // namespace

TEST_CASE("perf table: header, rows and total are laid out as perf sched latency lays them out") {
  km::NameTable names;
  const std::vector<TaskRecord> tasks{waited(7, names.intern("hog"), 12'345'678, 3, 6'000'000, 4'500'000, 1'250'000'000)};
  const std::string dashes(139, '-');
  CHECK(render_perf_table(perf_rows(tasks, names), 10) == " " + dashes + "\n" +
                                                              "  Task                  |   Runtime ms  |  Count   | Avg delay ms    | Max "
                                                              "delay ms    | Max delay start           | Max delay end          |\n"
                                                              " " +
                                                              dashes + "\n" +
                                                              "  hog:7                 |     12.346 ms |        3 | avg:   2.000 ms | max: "
                                                              "  4.500 ms | max start:     1.250000 s | max end:     1.254500 s\n"
                                                              " " +
                                                              std::string(113, '-') + "\n" +
                                                              "  TOTAL:                |     12.346 ms |        3 |\n"
                                                              " " +
                                                              std::string(51, '-') + "\n");
}

TEST_CASE("perf table: tasks of one name are merged, tasks that never waited and the swappers are left out") {
  km::NameTable names;
  const km::NameId a = names.intern("a"), b = names.intern("b");
  const auto rows = perf_rows({waited(0, names.intern("swapper"), 9, 9, 9, 9, 9), waited(5, a, 100, 1, 40, 40, 1000),
                               waited(9, a, 200, 3, 80, 60, 2000), waited(6, b, 50, 0, 0, 0, 0)},
                              names);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].comm == "a");
  CHECK(rows[0].tasks == 2);
  CHECK(rows[0].pid == 9);
  CHECK(rows[0].runtime_ns == 300);
  CHECK(rows[0].count == 4);
  CHECK(rows[0].total_delay_ns == 120);
  CHECK(rows[0].max_delay_ns == 60);
  CHECK(rows[0].max_delay_start_ns == 2000);
  CHECK(render_perf_table(rows, 10).find("  a:(2)                 |      0.000 ms |        4 |") != std::string::npos);
}

TEST_CASE("perf table: sorted by average, then longest, then count, then run time, all falling, what is cut is counted") {
  km::NameTable names;
  const auto name = [&](const char* s) { return names.intern(s); };
  const auto rows = perf_rows({waited(1, name("low"), 1, 2, 20, 15, 0), waited(2, name("high"), 1, 1, 30, 30, 0),
                               waited(3, name("mid"), 1, 2, 20, 16, 0), waited(4, name("long"), 2, 4, 40, 15, 0)},
                              names);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].comm == "high");  // average 30
  CHECK(rows[1].comm == "mid");   // average 10, longest 16
  CHECK(rows[2].comm == "long");  // average 10, longest 15, count 4
  CHECK(rows[3].comm == "low");
  const std::string text = render_perf_table(rows, 1);
  CHECK(text.find("  (3 more in tasks.csv)\n") != std::string::npos);
  CHECK(text.find("mid") == std::string::npos);
  CHECK(text.find("TOTAL:                |      0.000 ms |        9 |") != std::string::npos);
}

TEST_CASE("perf table: a name too long for its column keeps a blank before the bar") {
  km::NameTable names;
  const auto rows = perf_rows({waited(3133982, names.intern("Pingora HTTP Pr"), 80'000, 1, 881'614'000, 881'614'000, 0)}, names);
  CHECK(render_perf_table(rows, 9).find("  Pingora HTTP Pr:3133982 |      0.080 ms |        1 | avg: 881.614 ms |") != std::string::npos);
}

TEST_CASE("report.json: the keys of the contract, in its order") {
  const std::string json = render_report_json(test::SampleRun().report());
  const auto order =
      places(json, {"\"schema\": \"forksim.report/1\"",
                    "\"workload\"",
                    "\"platform\"",
                    "\"kernel\"",
                    "\"seed\"",
                    "\"simulated_ns\"",
                    "\"totals\"",
                    "\"forks\"",
                    "\"threads\"",
                    "\"kthreads\"",
                    "\"execs\"",
                    "\"exits\"",
                    "\"reaped\"",
                    "\"autoreaped\"",
                    "\"reparented\"",
                    "\"fork_errors\"",
                    "\"context_switches\"",
                    "\"voluntary_switches\"",
                    "\"involuntary_switches\"",
                    "\"wakeups\"",
                    "\"migrations\"",
                    "\"ticks\"",
                    "\"ipis\"",
                    "\"stacks_allocated\"",
                    "\"stack_cache_hits\"",
                    "\"stacks_freed\"",
                    "\"task_structs_allocated\"",
                    "\"task_structs_freed\"",
                    "\"balance_attempts\"",
                    "\"balance_pulls\"",
                    "\"latency\"",
                    "\"fork_call\": {\"unit\":\"ns\",\"count\":1,\"min\":",
                    "\"mean\":",
                    "\"p50\":",
                    "\"p90\":",
                    "\"p95\":",
                    "\"p99\":",
                    "\"p999\":",
                    "\"max\":",
                    "\"lock_wait\"",
                    "\"cpus\"",
                    "{\"cpu\":0,\"user_ns\":5000000,\"system_ns\":900000,\"irq_ns\":100000,\"idle_ns\":4000000,\"context_switches\":3,"
                    "\"forks_placed\":0,"
                    "\"energy_j\":",
                    "\"placement\"",
                    "\"fork\": {\"total\":1,\"same_cpu\":0,\"idle_cpu\":1,\"busy_cpu_while_idle_existed\":0,\"matrix\":[[0,1],[0,0]]",
                    "\"wake\"",
                    "\"exec\"",
                    "\"energy_j\": ",
                    "\"invariants\"",
                    "\"checked\"",
                    "\"violated\"",
                    "\"diagnostics\""});
  for (std::size_t i = 0; i < order.size(); ++i) {
    INFO("key number " << i);
    REQUIRE(order[i] != std::string::npos);
  }
}

TEST_CASE("report.json: reading it back gives the same report") {
  const Report r = test::SampleRun().report();
  const std::string json = render_report_json(r);
  const Report back = parse_report_json(json);
  CHECK(render_report_json(back) == json);
  CHECK(render_report_text(back) == render_report_text(r));
  CHECK_THROWS_AS(parse_report_json("{\"schema\":\"forksim.report/2\"}"), ReportError);
  CHECK_THROWS_AS(parse_report_json("{\"schema\":\"forksim.report/1\"}"), ReportError);
  CHECK_THROWS_AS(parse_report_json("not json"), ReportError);
}

TEST_CASE("report: the sample run's numbers are those of its events") {
  const Report r = test::SampleRun().report();
  CHECK(r.invariants.violated == 0);
  CHECK(r.violations.empty());
  const auto row = [&](Metric m) { return r.latency[static_cast<std::size_t>(m)]; };
  CHECK(row(Metric::fork_to_run).p50 == 6'500);
  CHECK(row(Metric::wakeup).max == 8'000);
  CHECK(row(Metric::timeslice).mean == (2'000'000 + 4'988'500) / 2.0);
  CHECK(r.not_modelled.empty());
}

TEST_CASE("report.txt: the sample's report is the golden one (set FORKSIM_UPDATE_GOLDEN to rewrite it)") {
  const std::string golden = std::string(FORKSIM_SOURCE_DIR) + "/tests/unit/sim/output/sample_report.txt";
  const std::string text = render_report_text(test::SampleRun().report());
  if (std::getenv("FORKSIM_UPDATE_GOLDEN")) write_file(golden, text);
  CHECK(text == read_file(golden));
}

TEST_CASE("report.txt: with many tasks on four CPUs it still fits one screen") {
  Report r = test::SampleRun().report();
  r.cpus.resize(4);
  r.task_latency.resize(40);
  const std::string text = render_report_text(r);
  CHECK(std::count(text.begin(), text.end(), '\n') <= 55);
}

TEST_CASE("report.txt: a violated invariant is shown with the events before it") {
  test::FakeStream s;
  RunMetrics m(2);
  m.subscribe(s.trace);
  s.sw(10, 0, 0, 'R', 11);
  s.sw(20, 1, 0, 'R', 11);
  RunSummary run;
  run.final.totals.context_switches = 2;
  m.finish(run.final);
  const Report r = build_report(run, m, s.trace.names());
  CHECK(r.invariants.violated == 1);
  const std::string text = render_report_text(r);
  CHECK(text.find("violated: 20 ns, CPU 1: pid 11 starts on CPU 1 while it runs on CPU 0\n") != std::string::npos);
  CHECK(text.find("0.0000000105: sched_switch:         prev_comm=swapper prev_pid=0") != std::string::npos);
}

TEST_CASE("csv: header from the declaration, text with commas and quotes is quoted, doubles read back the same") {
  std::string out;
  append_csv_header<CpuRow>(out);
  CHECK(out ==
        "cpu,user_ns,system_ns,irq_ns,idle_ns,context_switches,forks_placed,energy_j,"
        "stack_hits,stack_misses,stack_cached,stack_full,rt_throttled,rt_throttled_ns\n");
  CpuRow c;
  c.cpu = 3;
  c.energy_j = 0.1;
  out.clear();
  append_csv_row(c, out);
  CHECK(out == "3,0,0,0,0,0,0,0.1,0,0,0,0,0,0\n");
  ScheduleRow s;
  s.kind = "run";
  s.pid = -1;
  s.comm = "a \"b\", c";
  out.clear();
  append_csv_row(s, out);
  CHECK(out == "run,0,0,0,-1,\"a \"\"b\"\", c\"\n");
}

TEST_CASE("tables: every column is documented and no name occurs twice in a table") {
  const auto tables = output_tables();
  CHECK(tables.size() >= 13);
  for (const TableInfo& t : tables) {
    CHECK_FALSE(t.doc.empty());
    for (std::size_t i = 0; i < t.columns.size(); ++i) {
      INFO(std::string(t.name) << "." << std::string(t.columns[i].name));
      CHECK_FALSE(t.columns[i].doc.empty());
      for (std::size_t k = 0; k < i; ++k) CHECK(t.columns[k].name != t.columns[i].name);
    }
  }
}

TEST_CASE("histograms.json: buckets, count, sum, min and max survive writing and reading") {
  const test::SampleRun sample;
  const std::string text = render_histograms_json(sample.metrics.latency);
  const Histograms back = parse_histograms_json(text);
  for (std::size_t m = 0; m < kMetrics; ++m) {
    const Histogram& h = sample.metrics.latency.histogram(static_cast<Metric>(m));
    CHECK(back[m].counts() == h.counts());
    CHECK(back[m].count() == h.count());
    CHECK(back[m].sum() == h.sum());
    CHECK(back[m].min() == h.min());
    CHECK(back[m].max() == h.max());
  }
  CHECK_THROWS_AS(parse_histograms_json(
                      "{\"schema\":\"forksim.histograms/1\",\"metrics\":{\"wakeup\":{\"sum\":1,\"min\":5,\"max\":1,\"buckets\":[[1,1]]}}}"),
                  ReportError);
  CHECK_THROWS_AS(parse_histograms_json("{}"), ReportError);
  CHECK_THROWS_AS(parse_histograms_json("{\"schema\":\"forksim.histograms/1\",\"metrics\":{\"wakeup\":{\"buckets\":[[999999,1]]}}}"),
                  ReportError);
}

TEST_SUITE_END();
