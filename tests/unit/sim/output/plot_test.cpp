#include "sim/output/plot.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "sim/output/csv.hpp"
#include "sim/output/gnuplot.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/result_writer.hpp"
#include "tests/unit/sim/output/sample_run.hpp"
#include "tests/unit/sim/output/temp_place.hpp"

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
namespace fs = std::filesystem;

namespace {

struct PlotPlace : test::TempPlace {
  PlotPlace() : TempPlace("forksim-plot") {}
  fs::path run(const std::string& name) const {
    const test::SampleRun sample;
    ResultWriter w(path / name);
    w.add_report(sample.report(), sample.metrics, sample.s.trace.names());
    w.commit({});
    return path / name;
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("plot: by default both kinds in both formats, with scripts and data beside them") {
  const PlotPlace p;
  const fs::path dir = p.run("a");
  const auto pictures = plot(dir, {});
  REQUIRE(pictures ==
          std::vector<fs::path>{dir / "plots/cdf.svg", dir / "plots/cdf.png", dir / "plots/gantt.svg", dir / "plots/gantt.png"});
  for (const fs::path& f : pictures) CHECK(fs::file_size(f) > 5000);
  CHECK(read_file(pictures[1]).starts_with("\x89PNG"));
  const std::string svg = read_file(pictures[0]);
  CHECK(contains(svg, "sample on bcm2711, kernel rpi-4.19-arm64, seed 1"));
  CHECK(contains(svg, "fork_to_run (1)"));
  CHECK(contains(svg, "latency (us, logarithmic)"));
  const std::string gantt = read_file(pictures[2]);
  for (const char* label : {"CPU 0", "CPU 1", "fork (1)", "exit (1)", "t10", "t11", "simulated time (ms)"}) CHECK(contains(gantt, label));
  CHECK(fs::exists(dir / "plots/cdf.gp"));
  CHECK_FALSE(fs::exists(dir / "plots/cdf.err"));
}

TEST_CASE("plot: the CDF's data are the samples, its marks the percentiles") {
  const PlotPlace p;
  const fs::path dir = p.run("a");
  PlotRequest r;
  r.kinds = {"cdf"};
  r.formats = {"svg"};
  r.metrics = {"run_delay"};
  REQUIRE(plot(dir, r) == std::vector<fs::path>{dir / "plots/cdf-run_delay.svg"});
  // Waits of 4000 and 6500 ns. The steps are at the middles of their buckets, 4000..4015 and 6496..6527, never beyond the largest sample;
  // the marks are the report's exact percentiles.
  CHECK(read_file(dir / "plots/cdf-run_delay.dat").starts_with("4 0\n4.007 50\n6.5 100\n\n\n4 50\n6.5 90\n6.5 99\n6.5 99.9\n"));
}

TEST_CASE("plot: the Gantt's boxes are who ran when") {
  const PlotPlace p;
  const fs::path dir = p.run("a");
  PlotRequest r;
  r.kinds = {"gantt"};
  r.formats = {"svg"};
  plot(dir, r);
  const std::string boxes = read_file(dir / "plots/gantt.dat");
  CHECK(contains(boxes, "\n0 0 0 2 -0.3 0.3 "));               // pid 10 on CPU 0, 0..2 ms
  CHECK(contains(boxes, "\n1.0665 1 1.0665 6.055 0.7 1.3 "));  // pid 11 on CPU 1
  CHECK(contains(boxes, "\n6.059 0 6.059 10 -0.3 0.3 "));      // pid 10 again, until the end
  CHECK(read_file(dir / "plots/gantt-forks.dat") == "# ms, CPU\n1.05 -0.42\n");
  CHECK(read_file(dir / "plots/gantt-exits.dat") == "# ms, CPU\n6 1.42\n");
  SUBCASE("a part of the run") {
    r.from = km::Ns(7'000'000);
    r.to = km::Ns(9'000'000);
    plot(dir, r);
    CHECK(contains(read_file(dir / "plots/gantt.gp"), "seed 1, 7.000 to 9.000 ms of 10.000"));
    CHECK_FALSE(contains(read_file(dir / "plots/gantt.dat"), "1.0665"));
  }
}

TEST_CASE("plot: SVG bytes are the same every time") {
  const PlotPlace p;
  const fs::path a = p.run("a"), b = p.run("b");
  PlotRequest r;
  r.formats = {"svg"};
  plot(a, r);
  plot(b, r);
  for (const char* f : {"plots/cdf.svg", "plots/gantt.svg"}) CHECK(read_file(a / f) == read_file(b / f));
}

TEST_CASE("plot: several results share one picture and are told apart") {
  const PlotPlace p;
  const fs::path a = p.run("a"), b = p.run("b");
  PlotRequest r;
  r.kinds = {"cdf"};
  r.formats = {"svg"};
  r.metrics = {"wakeup"};
  r.compare = {b};
  const auto pictures = plot(a, r);
  REQUIRE(pictures.size() == 1);
  const std::string svg = read_file(pictures[0]);
  CHECK(contains(svg, "wakeup, a (1)"));
  CHECK(contains(svg, "wakeup, b (1)"));
  CHECK(contains(svg, "and 1 more"));
}

TEST_CASE("plot: what cannot be drawn is refused by name") {
  const PlotPlace p;
  const fs::path dir = p.run("a");
  const auto refused = [&](auto change) {
    PlotRequest r;
    change(r);
    CHECK_THROWS_AS(plot(dir, r), PlotRefused);
  };
  refused([](PlotRequest& r) { r.kinds = {"placement"}; });
  refused([](PlotRequest& r) { r.formats = {"pdf"}; });
  refused([](PlotRequest& r) { r.metrics = {"wakupe"}; });
  refused([](PlotRequest& r) { r.metrics = {"lock_wait"}; });
  refused([](PlotRequest& r) {
    r.kinds = {"gantt"};
    r.from = km::Ns(11'000'000);
    r.to = km::Ns(12'000'000);
  });
  CHECK_FALSE(fs::exists(dir / "plots"));
  CHECK_THROWS_AS(plot(p.path, {}), ReportError);
}

TEST_CASE("gnuplot: its own words reach the user, and quotes in a name do no harm") {
  const PlotPlace p;
  CHECK(gnuplot_quote("a \"b\" \\c") == "\"a \\\"b\\\" \\\\c\"");
  CHECK_THROWS_WITH_AS(run_gnuplot(p.path, "bad", {"svg"}, 100, 100, "plot nonsense(\n"), doctest::Contains("bad.gp"), PlotError);
}

TEST_CASE("csv: splitting undoes quoting") {
  ScheduleRow r;
  r.kind = "run";
  r.comm = "a \"b\", c";
  std::string line;
  append_csv_row(r, line);
  line.pop_back();
  const auto cells = split_csv(line);
  REQUIRE(cells.size() == 6);
  CHECK(cells[0] == "run");
  CHECK(cells[5] == r.comm);
  CHECK(split_csv("").size() == 1);
  CHECK(split_csv(",").size() == 2);
}

TEST_SUITE_END();
