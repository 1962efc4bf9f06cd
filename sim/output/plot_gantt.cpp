#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "sim/output/csv.hpp"
#include "sim/output/gnuplot.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/plot_kinds.hpp"

namespace forksim {

namespace fs = std::filesystem;
using km::u32;
using km::u64;

namespace {

constexpr std::size_t kRowsShown = 2500;  ///< more cannot be told apart in one picture
constexpr u64 kVisible = 500;             ///< a name with less than this part of the run time is one of the others
constexpr u32 kOther = 0x9a9a9a;

double to_ms(u64 ns) { return static_cast<double>(ns) / 1e6; }

u64 number(const std::string& cell) {
  u64 v = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), v);
  if (error != std::errc{} || end != cell.data() + cell.size()) throw ReportError("schedule.csv: not a number: " + cell);
  return v;
}

std::vector<ScheduleRow> load_schedule(const fs::path& dir) {
  const std::string text = read_file(dir / "schedule.csv");
  std::vector<ScheduleRow> rows;
  std::string header;
  append_csv_header<ScheduleRow>(header);
  if (!text.starts_with(header)) throw ReportError((dir / "schedule.csv").string() + ": not written by forksim run");
  for (std::size_t from = header.size(); from < text.size();) {
    const std::size_t end = std::min(text.find('\n', from), text.size());
    const std::vector<std::string> cells = split_csv(std::string_view(text).substr(from, end - from));
    if (cells.size() != 6) throw ReportError("schedule.csv: a row has " + std::to_string(cells.size()) + " cells, not 6");
    ScheduleRow r;
    r.kind = cells[0];
    r.cpu = number(cells[1]);
    r.start_ns = number(cells[2]);
    r.end_ns = number(cells[3]);
    r.pid = static_cast<km::s64>(number(cells[4]));
    r.comm = cells[5];
    rows.push_back(std::move(r));
    from = end + 1;
  }
  return rows;
}

struct Window {
  u64 from, to;
  bool whole;
};

Window choose_window(const std::vector<ScheduleRow>& rows, const Report& report, const PlotRequest& request) {
  if (request.to.v > request.from.v) return {request.from.v, request.to.v, false};
  if (rows.size() <= kRowsShown) return {0, report.simulated_ns, true};
  const auto fork = std::find_if(rows.begin(), rows.end(), [](const ScheduleRow& r) { return r.kind == "fork"; });
  const std::size_t first = fork == rows.end() ? 0 : static_cast<std::size_t>(fork - rows.begin());
  const std::size_t last = std::min(first + kRowsShown, rows.size()) - 1;
  return {rows[first].start_ns, std::max(rows[last].end_ns, rows[first].start_ns + 1), false};
}

/// The names with the most run time in the window, longest first; they get colours of their own.
std::vector<std::string> main_names(const std::vector<ScheduleRow>& rows) {
  std::map<std::string, u64> time;
  u64 all = 0;
  for (const ScheduleRow& r : rows) {
    if (r.kind != "run") continue;
    time[r.comm] += r.end_ns - r.start_ns;
    all += r.end_ns - r.start_ns;
  }
  std::vector<std::pair<std::string, u64>> sorted(time.begin(), time.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> names;
  for (const auto& [name, ns] : sorted)
    if (names.size() < kPlotColours.size() && ns >= all / kVisible) names.push_back(name);
  return names;
}

u32 lighter(u32 rgb, u32 step) {
  u32 out = 0;
  for (u32 shift : {16u, 8u, 0u}) {
    const u32 c = (rgb >> shift) & 0xff;
    out |= (c + (255 - c) * step / 8) << shift;
  }
  return out;
}

u32 colour_of(const ScheduleRow& r, const std::vector<std::string>& names) {
  const auto at = std::find(names.begin(), names.end(), r.comm);
  const u32 base = at == names.end() ? kOther : kPlotColours[static_cast<std::size_t>(at - names.begin())];
  // Neighbouring pids of one name differ in lightness.
  return lighter(base, static_cast<u32>(r.pid % 3) * 2);
}

std::string boxes_of(const std::vector<ScheduleRow>& rows, const std::vector<std::string>& names) {
  std::string out = "# ms, CPU, from, to, lower, upper, colour\n";
  for (const ScheduleRow& r : rows) {
    if (r.kind != "run") continue;
    const double y = static_cast<double>(r.cpu);
    out += fmt::format("{} {} {} {} {} {} {}\n", to_ms(r.start_ns), y, to_ms(r.start_ns), to_ms(r.end_ns), y - 0.3, y + 0.3,
                       colour_of(r, names));
  }
  return out;
}

/// Forks sit above their CPU's lane, exits below.
std::string marks_of(const std::vector<ScheduleRow>& rows, std::string_view kind, double offset, std::size_t& count) {
  std::string out = "# ms, CPU\n";
  for (const ScheduleRow& r : rows) {
    if (r.kind != kind) continue;
    ++count;
    out += fmt::format("{} {}\n", to_ms(r.start_ns), static_cast<double>(r.cpu) + offset);
  }
  return out;
}

struct Marks {
  std::size_t forks = 0, exits = 0;
};

std::string script(const Report& report, const Window& w, const std::vector<std::string>& names, bool others, const Marks& marks) {
  const std::string part =
      w.whole ? "" : fmt::format(", {:.3f} to {:.3f} ms of {:.3f}", to_ms(w.from), to_ms(w.to), to_ms(report.simulated_ns));
  std::string ytics;
  for (std::size_t c = 0; c < report.cpus.size(); ++c) ytics += fmt::format("{}\"CPU {}\" {}", c ? ", " : "", c, c);
  std::string s = fmt::format(
      "set title {}\n"
      "set xlabel \"simulated time (ms)\"\n"
      "set xrange [{}:{}]\n"
      "set yrange [{}:-0.6]\n"
      "set ytics ({})\n"
      "set format x \"%g\"\n"
      "set grid xtics lt 1 lw 1 lc rgb \"#e0e0e0\"\n"
      "set border 3\n"
      "set tics nomirror out\n"
      "set key outside right top vertical Left reverse samplen 1.5 spacing 1.2\n"
      "set style fill solid 1.0 noborder\n"
      "plot \"gantt.dat\" using 1:2:3:4:5:6:7 with boxxyerror lc rgb variable notitle",
      gnuplot_quote(plot_subject(report) + part), to_ms(w.from), to_ms(w.to), static_cast<double>(report.cpus.size()) - 0.4, ytics);
  for (std::size_t i = 0; i < names.size(); ++i)
    s += fmt::format(", \\\n     keyentry with boxes lc rgb \"#{:06x}\" title {}", kPlotColours[i], gnuplot_quote(names[i]));
  if (others) s += fmt::format(", \\\n     keyentry with boxes lc rgb \"#{:06x}\" title \"other names\"", kOther);
  if (marks.forks)
    s += fmt::format(", \\\n     \"gantt-forks.dat\" using 1:2 with points pt 11 ps 0.9 lc rgb \"#006400\" title \"fork ({})\"",
                     marks.forks);
  if (marks.exits)
    s += fmt::format(", \\\n     \"gantt-exits.dat\" using 1:2 with points pt 2 ps 0.7 lw 1.5 lc rgb \"#b00020\" title \"exit ({})\"",
                     marks.exits);
  return s + '\n';
}

}  // namespace

std::vector<fs::path> plot_gantt(const fs::path& dir, const PlotRequest& request) {
  const Report report = load_report(dir);
  std::vector<ScheduleRow> rows = load_schedule(dir);
  const Window w = choose_window(rows, report, request);
  std::erase_if(rows, [&](const ScheduleRow& r) { return r.end_ns < w.from || r.start_ns > w.to; });
  if (rows.empty()) throw PlotRefused(dir.string() + ": nothing ran in the part asked for; nothing to draw");
  const std::vector<std::string> names = main_names(rows);
  const bool others = std::any_of(rows.begin(), rows.end(), [&](const ScheduleRow& r) {
    return r.kind == "run" && std::find(names.begin(), names.end(), r.comm) == names.end();
  });
  const fs::path plots = plots_folder(dir);
  Marks marks;
  write_file(plots / "gantt.dat", boxes_of(rows, names));
  write_file(plots / "gantt-forks.dat", marks_of(rows, "fork", -0.42, marks.forks));
  write_file(plots / "gantt-exits.dat", marks_of(rows, "exit", 0.42, marks.exits));
  const int height = 170 + 75 * static_cast<int>(std::min<std::size_t>(report.cpus.size(), 24));
  return run_gnuplot(plots, "gantt", request.formats, 1200, height, script(report, w, names, others, marks));
}

}  // namespace forksim
