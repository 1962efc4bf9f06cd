#include "sim/study/crossing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "sim/config/streams.hpp"
#include "sim/config/units.hpp"
#include "sim/output/csv.hpp"
#include "sim/output/gnuplot.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/plot_kinds.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

constexpr unsigned kResamples = 1000;

double number_of(const std::string& text) {
  const auto n = parse_real(text.substr(0, std::min(text.find_first_not_of("0123456789."), text.size())));
  if (!n) throw ReportError("report.along: \"" + text + "\" is no number");
  return *n.value;
}

/// Values of one seed along x; both ascending in x.
using Course = std::vector<std::pair<double, double>>;

/// Where the course first passes the limit.
double crossing_of(const Course& c, double limit, bool& never, bool& always) {
  const auto over = std::ranges::find_if(c, [&](const auto& p) { return p.second > limit; });
  never = over == c.end();
  always = over == c.begin() && !never;
  if (never) return c.back().first;
  if (always) return c.front().first;
  const auto& [x0, y0] = *(over - 1);
  const auto& [x1, y1] = *over;
  return x0 + (x1 - x0) * (limit - y0) / (y1 - y0);
}

struct Group {
  std::string level, group;
  std::map<km::u64, Course> seeds;
  std::map<double, std::vector<double>> by_x;
};

std::vector<Group> groups_of(const ResultSet& set, const Study& study) {
  const StudyReport& r = *study.report;
  std::vector<Group> groups;
  for (const CellRuns& c : set.cells) {
    std::string rest;
    for (std::size_t f = 0; f < c.factors.size(); ++f)
      if (f != r.factor && f != r.along) rest += (rest.empty() ? "" : " ") + c.factors[f].first + '=' + c.factors[f].second;
    const std::string& level = c.factors.at(r.factor).second;
    auto g = std::ranges::find_if(groups, [&](const Group& x) { return x.level == level && x.group == rest; });
    if (g == groups.end()) g = groups.insert(g, {level, rest, {}, {}});
    const double x = number_of(c.factors.at(r.along).second);
    for (const RunRecord& run : c.runs) {
      const double y = run.values[r.measures[0]];
      if (std::isnan(y)) continue;
      g->seeds[run.seed].emplace_back(x, y);
      g->by_x[x].push_back(y);
    }
  }
  return groups;
}

Crossing cross(Group& g, double limit) {
  Crossing c{g.level, g.group, {}, 0, {}, 0, 0, 0};
  for (auto& [x, values] : g.by_x) {
    std::ranges::sort(values);
    c.curve.push_back({x, quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)});
  }
  std::vector<double> at;
  for (auto& [seed, course] : g.seeds) {
    std::ranges::sort(course);
    bool never = false, always = false;
    at.push_back(crossing_of(course, limit, never, always));
    c.never += never;
    c.always += always;
  }
  c.seeds = at.size();
  c.at = median(at);
  km::u64 stream = derive_key(1, hash_name(g.level + '/' + g.group));
  std::vector<double> drawn(at.size()), medians(kResamples);
  for (double& m : medians) {
    for (double& d : drawn) d = at[below(next_u64(stream), at.size())];
    m = median(drawn);
  }
  std::ranges::sort(medians);
  c.interval = {quantile(medians, 0.025), quantile(medians, 0.975)};
  return c;
}

std::string title(const Crossing& c) { return c.group.empty() ? c.level : c.level + ", " + c.group; }

/// Groups that differ only in the workload need not say so when there is one.
bool one_group(const std::vector<Crossing>& all) {
  return std::ranges::all_of(all, [&](const Crossing& c) { return c.group == all.front().group; });
}

}  // namespace

std::vector<Crossing> crossings_of(const ResultSet& set, const Study& study) {
  std::vector<Crossing> out;
  for (Group& g : groups_of(set, study))
    if (!g.seeds.empty()) out.push_back(cross(g, *study.report->limit));
  return out;
}

std::string crossing_csv(const Study& study, const std::vector<Crossing>& crossings) {
  std::string out = study.factors[study.report->factor] + ",group,measure,limit,along,crossing,low,high,seeds,never,always\n";
  for (const Crossing& c : crossings) {
    append_csv(std::string_view(c.level), out);
    out += ',';
    append_csv(std::string_view(c.group), out);
    out += fmt::format(",{},{:.6g},{},{:.5g},{:.5g},{:.5g},{},{},{}\n", measure_table()[study.report->measures[0]].name(), *study.report->limit, study.factors[study.report->along], c.at,
                       c.interval.low, c.interval.high, c.seeds, c.never, c.always);
  }
  return out;
}

std::string crossing_text(const Study& study, const std::vector<Crossing>& crossings) {
  const MeasureInfo& m = measure_table()[study.report->measures[0]];
  const std::string limit = human(*study.report->limit, m.unit), &along = study.factors[study.report->along];
  std::string out = fmt::format("\nThe value of {} at which {} passes {}: median over the seeds of a linear interpolation, 95 % bootstrap interval.\n\n", along, m.name(), limit);
  const bool one = one_group(crossings);
  out += fmt::format("| {} | {} at {} | interval | seeds that never pass it | that always do |\n|---|--:|--:|--:|--:|\n", study.factors[study.report->factor], along, limit);
  std::vector<const Crossing*> order;
  for (const Crossing& c : crossings) order.push_back(&c);
  std::ranges::stable_sort(order, std::greater{}, &Crossing::at);
  for (const Crossing* c : order)
    out += fmt::format("| {} | {:.4g} | {:.4g} to {:.4g} | {} of {} | {} |\n", one ? c->level : title(*c), c->at, c->interval.low, c->interval.high, c->never, c->seeds, c->always);
  const auto base = std::ranges::find(order, study.report->base, [](const Crossing* c) { return c->level; });
  if (base != order.end())
    out += fmt::format("\n{} comes as number {} of {}; the highest is {} with {:.4g}, {:.2f} times that of {}.\n", study.report->base, base - order.begin() + 1, order.size(),
                       one ? order[0]->level : title(*order[0]), order[0]->at, order[0]->at / (*base)->at, study.report->base);
  return out;
}

void plot_crossings(const fs::path& dir, const Study& study, const std::vector<Crossing>& crossings) {
  const MeasureInfo& m = measure_table()[study.report->measures[0]];
  const double scale = m.unit == "ns" ? 1e6 : 1;
  const bool one = one_group(crossings);
  std::string data, plots;
  for (std::size_t i = 0; i < crossings.size(); ++i) {
    for (const Crossing::Point& p : crossings[i].curve)
      data += fmt::format("{:.6g} {:.5g} {:.5g} {:.5g}\n", p.x, std::max(p.median / scale, 1e-6), std::max(p.low / scale, 1e-6), std::max(p.high / scale, 1e-6));
    data += "\n\n";
    plots += fmt::format(", \\\n     \"crossing.dat\" index {} using 1:2:3:4 with yerrorlines lw 1.8 dt {} pt {} ps 0.7 lc rgb \"#{:06x}\" title {}", i, 1 + i / kPlotColours.size(), 5 + i % 9,
                         kPlotColours[i % kPlotColours.size()], gnuplot_quote(one ? crossings[i].level : title(crossings[i])));
  }
  const fs::path folder = plots_folder(dir);
  write_file(folder / "crossing.dat", data);
  const std::string &along = study.factors[study.report->along], &unit = study.units[study.report->along];
  const std::string scale_text = m.unit == "ns" ? " (ms, logarithmic)" : " (logarithmic)";
  const std::string body = fmt::format(
      "set title {}\nset xlabel {}\nset ylabel {}\nset logscale y\nset format y \"%.4g\"\nset border 3\nset tics nomirror\n"
      "set grid xtics ytics lt 1 lw 1 lc rgb \"#c8c8c8\"\nset key outside right top vertical Left reverse samplen 2 spacing 1.2\n"
      "plot {:.6g} with lines lw 1.5 dt 2 lc rgb \"#404040\" title {}{}\n",
      gnuplot_quote(fmt::format("{}: {} by {}, median and quartiles over {} seeds", study.name, m.name(), along, study.seeds)),
      gnuplot_quote(unit.empty() ? along : along + " (" + unit + ")"), gnuplot_quote(m.name() + scale_text), *study.report->limit / scale,
      gnuplot_quote("limit " + human(*study.report->limit, m.unit)), plots);
  run_gnuplot(folder, "crossing", {"svg", "png"}, 1000, 560, body);
}

}  // namespace forksim
