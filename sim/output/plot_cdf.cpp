#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/output/gnuplot.hpp"
#include "sim/output/histograms_json.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/plot_kinds.hpp"

namespace forksim {

namespace fs = std::filesystem;
using km::u32;
using km::u64;

namespace {

struct Curve {
  std::string title;
  std::size_t colour, dash;
};
struct Mark {
  const char* name;
  double percent;
  u64 LatencyRow::*value;
  int point_type;
};
constexpr std::array kMarks{Mark{"p50", 50, &LatencyRow::p50, 7}, Mark{"p90", 90, &LatencyRow::p90, 9},
                            Mark{"p99", 99, &LatencyRow::p99, 5}, Mark{"p99.9", 99.9, &LatencyRow::p999, 13}};
/// Drawn when no metric is asked for, as far as they have samples.
constexpr std::array kDefault{Metric::fork_call, Metric::fork_to_run, Metric::fork_to_user,
                              Metric::exec_call, Metric::wakeup,      Metric::exit_to_reap};

/// A logarithmic axis has no zero: nothing is shown below 1 ns.
double to_us(u64 ns) { return static_cast<double>(std::max<u64>(ns, 1)) / 1000; }

std::vector<Metric> wanted_metrics(const PlotRequest& request, const std::vector<Histograms>& all) {
  std::vector<Metric> out;
  for (const std::string& name : request.metrics) {
    const auto m = find_metric(name);
    if (!m) throw PlotRefused("there is no metric '" + name + "'; `forksim list metrics` shows them");
    out.push_back(*m);
  }
  if (!out.empty()) return out;
  const auto has_samples = [&](Metric m) {
    return std::any_of(all.begin(), all.end(), [&](const Histograms& h) { return h[static_cast<std::size_t>(m)].count() > 0; });
  };
  std::copy_if(kDefault.begin(), kDefault.end(), std::back_inserter(out), has_samples);
  for (std::size_t m = 0; m < kMetrics && out.empty(); ++m)
    if (has_samples(static_cast<Metric>(m))) out.push_back(static_cast<Metric>(m));
  return out;
}

/// What tells the folders apart: the parts of their subjects that differ, or their names when the subjects are the same.
std::vector<std::string> labels_of(const std::vector<Report>& reports, const std::vector<fs::path>& folders) {
  std::vector<std::string> labels(reports.size());
  const auto add = [&](auto part) {
    const bool same = std::all_of(reports.begin(), reports.end(), [&](const Report& r) { return part(r) == part(reports[0]); });
    for (std::size_t i = 0; i < reports.size() && !same; ++i) labels[i] += (labels[i].empty() ? "" : " ") + part(reports[i]);
  };
  add([](const Report& r) { return r.workload; });
  add([](const Report& r) { return r.platform; });
  add([](const Report& r) { return r.kernel; });
  add([](const Report& r) { return "seed " + std::to_string(r.seed); });
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i].empty()) labels[i] = folders[i].lexically_normal().filename().string();
  return labels;
}

/// Steps of one curve, then (second block) the report's percentiles; blocks are separated by two blank lines for gnuplot's `index`.
void append_curve(const Histogram& h, const LatencyRow& row, std::string& data) {
  u64 seen = 0;
  data += fmt::format("{} 0\n", to_us(h.min()));
  for (u32 b = 0; b < h.counts().size(); ++b) {
    if (h.counts()[b] == 0) continue;
    seen += h.counts()[b];
    const u64 middle = Histogram::bucket_low(b) + (Histogram::bucket_width(b) - 1) / 2;
    data += fmt::format("{} {}\n", to_us(std::clamp(middle, h.min(), h.max())),
                        100.0 * static_cast<double>(seen) / static_cast<double>(h.count()));
  }
  data += "\n\n";
  for (const Mark& m : kMarks) data += fmt::format("{} {}\n", to_us(row.*m.value), m.percent);
  data += "\n\n";
}

const LatencyRow& row_of(const Report& r, std::string_view metric) {
  const auto at = std::find_if(r.latency.begin(), r.latency.end(), [&](const LatencyRow& l) { return l.metric == metric; });
  if (at == r.latency.end()) throw ReportError("report.json has no metric " + std::string(metric));
  return *at;
}

std::string script(const std::string& title, const std::string& data_file, const std::vector<Curve>& curves, double low, double high) {
  std::string s = fmt::format(
      "set title {}\n"
      "set xlabel \"latency (us, logarithmic)\"\n"
      "set ylabel \"share of samples that took at most this long (%)\"\n"
      "set logscale x\n"
      "set xrange [{}:{}]\n"
      "set yrange [0:102]\n"
      "set ytics 0,10,100\n"
      "set format x \"%.10g\"\n"
      "set mxtics 10\n"
      "set grid xtics mxtics ytics lt 1 lw 1 lc rgb \"#c8c8c8\", lt 1 lw 1 lc rgb \"#ebebeb\"\n"
      "set border 3\n"
      "set tics nomirror\n"
      "set key outside right top vertical Left reverse samplen 2 spacing 1.2\n"
      "plot ",
      gnuplot_quote(title), low / 1.6, high * 1.6);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const std::string colour = fmt::format("\"#{:06x}\"", kPlotColours[curves[i].colour % kPlotColours.size()]);
    s += fmt::format("{} index {} using 1:2 with steps lw 2 dt {} lc rgb {} title {}, \\\n     ", gnuplot_quote(data_file), 2 * i,
                     1 + curves[i].dash, colour, gnuplot_quote(curves[i].title));
    for (std::size_t m = 0; m < kMarks.size(); ++m)
      s += fmt::format("{} index {} every ::{}::{} using 1:2 with points pt {} ps 1.2 lc rgb {} notitle, \\\n     ",
                       gnuplot_quote(data_file), 2 * i + 1, m, m, kMarks[m].point_type, colour);
  }
  for (std::size_t m = 0; m < kMarks.size(); ++m)
    s += fmt::format("keyentry with points pt {} ps 1.2 lc rgb \"#404040\" title \"{}\"{}", kMarks[m].point_type, kMarks[m].name,
                     m + 1 < kMarks.size() ? ", \\\n     " : "\n");
  return s;
}

std::string picture_name(const PlotRequest& request) {
  std::string name = "cdf";
  for (const std::string& m : request.metrics) name += '-' + m;
  return request.compare.empty() ? name : name + "-compared";
}

}  // namespace

std::vector<fs::path> plot_cdf(const fs::path& dir, const PlotRequest& request) {
  std::vector<fs::path> folders{dir};
  folders.insert(folders.end(), request.compare.begin(), request.compare.end());
  std::vector<Report> reports;
  std::vector<Histograms> histograms;
  for (const fs::path& f : folders) {
    reports.push_back(load_report(f));
    histograms.push_back(load_histograms(f));
  }
  const std::vector<Metric> metrics = wanted_metrics(request, histograms);
  const std::vector<std::string> labels = labels_of(reports, folders);
  const bool many = folders.size() > 1;
  std::vector<Curve> curves;
  std::string data;
  u64 low = ~u64{0}, high = 1;
  for (std::size_t m = 0; m < metrics.size(); ++m)
    for (std::size_t f = 0; f < folders.size(); ++f) {
      const Histogram& h = histograms[f][static_cast<std::size_t>(metrics[m])];
      if (h.count() == 0) continue;
      const std::string_view name = kMetricTable[static_cast<std::size_t>(metrics[m])].name;
      curves.push_back({many ? fmt::format("{}, {} ({})", name, labels[f], h.count()) : fmt::format("{} ({})", name, h.count()),
                        many ? f : m, many ? m : m / kPlotColours.size()});
      append_curve(h, row_of(reports[f], name), data);
      low = std::min(low, std::max<u64>(h.min(), 1));
      high = std::max(high, h.max());
    }
  if (curves.empty()) throw PlotRefused(dir.string() + ": no latency metric asked for has a sample; nothing to draw");
  const std::string name = picture_name(request);
  const fs::path plots = plots_folder(dir);
  write_file(plots / (name + ".dat"), data);
  const std::string title =
      plot_subject(reports[0]) + (many ? fmt::format(" and {} more", folders.size() - 1) : "") + " (samples in brackets)";
  return run_gnuplot(plots, name, request.formats, many ? 1200 : 1000, 560, script(title, name + ".dat", curves, to_us(low), to_us(high)));
}

}  // namespace forksim
