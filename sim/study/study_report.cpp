#include "sim/study/study_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "sim/config/streams.hpp"
#include "sim/output/csv.hpp"
#include "sim/output/gnuplot.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/plot_kinds.hpp"
#include "sim/study/compare.hpp"
#include "sim/study/crossing.hpp"
#include "sim/study/tables.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

/// One value of the factor in one group (a combination of the other factors), one measure.
struct Effect {
  std::string level, group;
  MeasureResult result;
  std::size_t runs = 0;
};

std::vector<std::string> levels_of(const Study& study, std::size_t factor) {
  std::vector<std::string> out;
  for (const Cell& c : study.cells)
    if (std::ranges::find(out, c.values[factor]) == out.end()) out.push_back(c.values[factor]);
  return out;
}

/// Values of the report's factor of which no run finished.
std::vector<std::string> levels_without_runs(const fs::path& dir, const Study& study) {
  std::vector<std::string> out = levels_of(study, study.report->factor);
  for (const CellRuns& c : load_result_set(dir.string()).cells) std::erase(out, c.factors.at(study.report->factor).second);
  return out;
}

bool holds(const std::vector<std::string>& list, const std::string& text) { return std::ranges::find(list, text) != list.end(); }

/// Holm within a comparison, Bonferroni over the values of the factor.
std::vector<Effect> effects_of(const fs::path& dir, const Study& study, const std::vector<std::string>& missing) {
  const StudyReport& r = *study.report;
  const std::string& factor = study.factors[r.factor];
  const std::vector<std::string> levels = levels_of(study, r.factor);
  CompareOptions options;
  for (std::size_t m : r.measures) options.metrics.push_back(measure_table()[m].name());
  options.alpha /= static_cast<double>(std::max<std::size_t>(levels.size() - 1, 1));
  const ResultSet base = load_result_set(dir.string() + ':' + factor + '=' + r.base);
  std::vector<Effect> out;
  for (const std::string& level : levels) {
    if (level == r.base || holds(missing, level)) continue;
    const ResultSet next = load_result_set(dir.string() + ':' + factor + '=' + level);
    for (const CellComparison& c : compare(base, next, options).cells)
      for (const MeasureResult& m : c.measures) out.push_back({level, c.base_cell->label, m, c.pairs});
  }
  return out;
}

std::string summary_csv(const Study& study, const std::vector<Effect>& effects) {
  std::string out = study.factors[study.report->factor] + ",group,measure,unit,pairs,base,median,effect,low,high,p,corrected_p,verdict\n";
  for (const Effect& e : effects) {
    const MeasureInfo& m = measure_table()[e.result.measure];
    append_csv(std::string_view(e.level), out);
    out += ',';
    append_csv(std::string_view(e.group), out);
    const Interval i = e.result.interval.value_or(Interval{e.result.effect, e.result.effect});
    out += fmt::format(",{},{},{},{:.6g},{:.6g},{:.4f},{:.4f},{:.4f},{:.2g},{:.2g},{}\n", m.name(), m.unit, e.runs, e.result.base, e.result.next, e.result.effect, i.low, i.high,
                       e.result.p, e.result.corrected, kVerdictText[static_cast<std::size_t>(e.result.verdict)]);
  }
  return out;
}

/// The axis of the ratios 1 + effect: logarithmic when they spread, never wider than what is drawn. A ratio of 0 (a count may become 0) has
/// no place on a logarithmic axis: it gets one at the left end, with a label of its own.
struct RatioAxis {
  double low = 1, high = 1;  ///< of what is above 0
  bool zero = false, logarithmic = false;

  double place(double effect) const { return logarithmic && 1 + effect < low ? low / 2 : 1 + effect; }
  std::string commands() const {
    if (logarithmic)
      return fmt::format("set logscale x\nset xrange [{:.4g}:{:.4g}]\nset xtics ({})\n", (zero ? low / 2 : low) / 1.3, high * 1.3, tics());
    const double left = zero ? 0 : low, margin = std::max(0.05 * (high - left), 0.01);
    return fmt::format("set xrange [{:.4g}:{:.4g}]\n", left - margin, high + margin);
  }

 private:
  /// Labels at the powers of ten, and at 2 and 5 between them where there are few.
  std::string tics() const {
    constexpr double kFew = 100;
    std::string out = zero ? fmt::format("\"0\" {:.4g}", low / 2) : "";
    for (int power = static_cast<int>(std::floor(std::log10(low / 1.3))); std::pow(10, power) < high * 1.3; ++power)
      for (int digit = 1; digit < 10; ++digit) {
        const double x = digit * std::pow(10, power);
        const bool label = digit == 1 || (high / low < kFew && (digit == 2 || digit == 5));
        if (x >= low / 1.3 && x <= high * 1.3)
          out += fmt::format("{}\"{}\" {:g}{}", out.empty() ? "" : ", ", label ? fmt::format("{:g}", x) : "", x, label ? "" : " 1");
      }
    return out;
  }
};

RatioAxis ratio_axis(const std::vector<Effect>& effects, std::size_t measure) {
  constexpr double kSpread = 3, kZero = 1e-9, kShowsZero = 10;
  RatioAxis axis;
  for (const Effect& e : effects) {
    if (e.result.measure != measure) continue;
    const Interval i = e.result.interval.value_or(Interval{e.result.effect, e.result.effect});
    for (const double effect : {e.result.effect, i.low, i.high}) {
      axis.high = std::max(axis.high, 1 + effect);
      axis.zero |= 1 + effect <= kZero;
      if (1 + effect > kZero) axis.low = std::min(axis.low, 1 + effect);
    }
  }
  axis.logarithmic = axis.high / axis.low >= kSpread && !(axis.zero && axis.high <= kShowsZero);
  return axis;
}

std::string rounded_percent(double share) { return fmt::format("{:+.1f} %", 100 * share); }

std::vector<std::string> groups_of(const std::vector<Effect>& effects) {
  std::vector<std::string> out;
  for (const Effect& e : effects)
    if (std::ranges::find(out, e.group) == out.end()) out.push_back(e.group);
  return out;
}

/// "workload=fork_storm" alone reads better as fork_storm.
std::string short_group(const std::string& group) {
  const bool alone = group.find(' ') == std::string::npos && group.starts_with("workload=");
  return alone ? group.substr(9) : group.empty() ? "all" : group;
}

const Effect* find_effect(const std::vector<Effect>& effects, const std::string& level, const std::string& group, std::size_t measure) {
  const auto at = std::ranges::find_if(effects, [&](const Effect& e) { return e.level == level && e.group == group && e.result.measure == measure; });
  return at == effects.end() ? nullptr : &*at;
}

/// One picture for each measure: a row for each value of the factor, a colour for each group, ratio to the base with its interval.
void plot_effects(const fs::path& dir, const Study& study, const std::vector<Effect>& effects, std::size_t measure) {
  const std::string& factor = study.factors[study.report->factor];
  const std::vector<std::string> groups = groups_of(effects);
  std::vector<std::string> levels = levels_of(study, study.report->factor);
  std::erase(levels, study.report->base);
  const RatioAxis axis = ratio_axis(effects, measure);
  std::string data, tics, plots;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t l = 0; l < levels.size(); ++l) {
      const Effect* e = find_effect(effects, levels[l], groups[g], measure);
      if (!e) continue;
      const Interval i = e->result.interval.value_or(Interval{e->result.effect, e->result.effect});
      const double y = static_cast<double>(levels.size() - l) + 0.35 - 0.7 * (static_cast<double>(g) + 0.5) / static_cast<double>(groups.size());
      data += fmt::format("{:.5g} {:.5g} {:.5g} {:.5g}\n", axis.place(e->result.effect), y, axis.place(i.low), axis.place(i.high));
    }
    data += "\n\n";
    plots += fmt::format("{}\"{{data}}\" index {} using 1:2:3:4 with xerrorbars pt 7 ps 0.8 lw 1.6 lc rgb \"#{:06x}\" title {}", g ? ", \\\n     " : "", g,
                         kPlotColours[g % kPlotColours.size()], gnuplot_quote(short_group(groups[g])));
  }
  for (std::size_t l = 0; l < levels.size(); ++l) tics += fmt::format("{}{} {}", l ? ", " : "", gnuplot_quote(levels[l]), levels.size() - l);
  const std::string measure_name = measure_table()[measure].name();
  std::string name = "effect-" + measure_name;
  std::ranges::replace(name, '.', '-');
  for (std::size_t at = plots.find("{data}"); at != std::string::npos; at = plots.find("{data}")) plots.replace(at, 6, name + ".dat");
  const fs::path folder = plots_folder(dir);
  write_file(folder / (name + ".dat"), data);
  const std::string body = fmt::format(
      "set title {}\nset xlabel {}\n{}set format x \"%.4g\"\n"
      "set yrange [0.4:{}]\nset ytics ({})\nset border 3\nset tics nomirror\n"
      "set grid xtics mxtics lt 1 lw 1 lc rgb \"#c8c8c8\", lt 1 lw 1 lc rgb \"#ebebeb\"\nset arrow from 1, graph 0 to 1, graph 1 nohead lw "
      "1.5 lc rgb \"#404040\"\n"
      "set key outside right top vertical Left reverse samplen 1 spacing 1.2\nplot {}\n",
      gnuplot_quote(fmt::format("{}: {} by {}", study.name, measure_name, factor)),
      gnuplot_quote(fmt::format("{} relative to {} = {}, 95 % interval, {} seeds", measure_name, factor, study.report->base, study.seeds)),
      axis.commands(), static_cast<double>(levels.size()) + 0.6, tics, plots);
  run_gnuplot(folder, name, {"svg", "png"}, 1000, std::max(320, 180 + 48 * static_cast<int>(levels.size())), body);
}

std::string mark(Verdict v) {
  if (v == Verdict::worse) return " worse";
  return v == Verdict::better ? " better" : "";
}

std::string effect_table(const Study& study, const std::vector<Effect>& effects, std::size_t measure) {
  const std::vector<std::string> groups = groups_of(effects);
  std::string out = "| " + study.factors[study.report->factor] + " |";
  for (const std::string& g : groups) out += ' ' + short_group(g) + " |";
  out += "\n|---|";
  for (std::size_t i = 0; i < groups.size(); ++i) out += "--:|";
  out += "\n| " + study.report->base + " |";
  for (const std::string& g : groups) {
    const auto e = std::ranges::find_if(effects, [&](const Effect& x) { return x.group == g && x.result.measure == measure; });
    out += ' ' + (e == effects.end() ? "-" : human(e->result.base, measure_table()[measure].unit)) + " |";
  }
  out += '\n';
  for (const std::string& level : levels_of(study, study.report->factor)) {
    if (level == study.report->base) continue;
    out += "| " + level + " |";
    for (const std::string& g : groups) {
      const Effect* e = find_effect(effects, level, g, measure);
      out += ' ' + (e ? rounded_percent(e->result.effect) + mark(e->result.verdict) : std::string("-")) + " |";
    }
    out += '\n';
  }
  return out;
}

/// What stands out, group by group.
std::string effect_findings(const Study& study, const std::vector<Effect>& effects, std::size_t measure) {
  std::string out;
  for (const std::string& g : groups_of(effects)) {
    std::size_t better = 0, worse = 0, all = 0;
    const Effect *best = nullptr, *worst = nullptr;
    for (const Effect& e : effects) {
      if (e.group != g || e.result.measure != measure) continue;
      ++all;
      better += e.result.verdict == Verdict::better;
      worse += e.result.verdict == Verdict::worse;
      if (!best || e.result.effect < best->result.effect) best = &e;
      if (!worst || e.result.effect > worst->result.effect) worst = &e;
    }
    out += fmt::format("- {}: {} of {} are better than {}, {} worse", short_group(g), better, all, study.report->base, worse);
    const auto say = [](const Effect& e) {
      const Interval i = e.result.interval.value_or(Interval{e.result.effect, e.result.effect});
      return fmt::format("{} ({}, interval {} to {})", e.level, rounded_percent(e.result.effect), rounded_percent(i.low),
                         rounded_percent(i.high));
    };
    if (better) out += "; lowest with " + say(*best);
    if (worse) out += "; highest with " + say(*worst);
    out += ".\n";
  }
  return out;
}

std::string head(const Study& study, const Provenance& from) {
  std::string out = "# " + study.name + "\n\n";
  if (!study.description.empty()) out += study.description + ".\n\n";
  if (!study.source.empty()) out += "Source: " + study.source + ".\n\n";
  for (const std::string& a : study.added) out += "Added to the study on the command line: " + a + ".\n\n";
  out += fmt::format("{} cells, seeds {} to {} in each, the same in all (common random numbers): {} runs. {}; {}.", study.cells.size(),
                     study.first_seed, study.first_seed + study.seeds - 1, study.jobs(), from.program, fmt::join(from.machines, "; "));
  return out + " Written by the sweep from its results.csv; versions, host and hashes of all inputs are in manifest.json.\n";
}

std::string missing_text(const Study& study, const std::vector<std::string>& missing) {
  std::string out;
  for (const std::string& level : missing)
    out += fmt::format("\nNo run with {} = {} finished{}; cells.csv says why.\n\n", study.factors[study.report->factor], level,
                       level == study.report->base && !study.report->limit ? ", so there is nothing to compare with" : "");
  return out;
}

std::string picture_link(const std::string& name) { return fmt::format("\n![{}](plots/{}.png)\n", name, name); }

void report_effects(const fs::path& dir, const Study& study, const Provenance& from) {
  const std::vector<std::string> missing = levels_without_runs(dir, study);
  const std::vector<Effect> effects = holds(missing, study.report->base) ? std::vector<Effect>{} : effects_of(dir, study, missing);
  replace_file(dir / "summary.csv", summary_csv(study, effects));
  std::string text = head(study, from);
  text += missing_text(study, missing);
  text += fmt::format(
      "Effects are typical ratios to {} of runs paired by seed (Hodges-Lehmann shift of logarithms, or of relative changes where a value "
      "is 0), with a 95 % bootstrap interval; \"better\" and \"worse\" are those "
      "whose p-value, corrected for all comparisons, is below 1 %.\n",
      study.report->base);
  for (std::size_t m : study.report->measures) {
    const std::string name = measure_table()[m].name();
    if (std::ranges::none_of(effects, [&](const Effect& e) { return e.result.measure == m; })) {
      text += "\n## " + name + "\n\nNo samples.\n";
      continue;
    }
    text += "\n## " + name + "\n\n" + effect_table(study, effects, m);
    if (measure_table()[m].less_is_better) text += '\n' + effect_findings(study, effects, m);
    plot_effects(dir, study, effects, m);
    std::string picture = "effect-" + name;
    std::ranges::replace(picture, '.', '-');
    text += picture_link(picture);
  }
  replace_file(dir / "report.md", text);
}

void report_crossings(const fs::path& dir, const Study& study, const Provenance& from) {
  const std::vector<Crossing> crossings = crossings_of(load_result_set(dir.string()), study);
  replace_file(dir / "summary.csv", crossing_csv(study, crossings));
  plot_crossings(dir, study, crossings);
  replace_file(dir / "report.md", head(study, from) + missing_text(study, levels_without_runs(dir, study)) +
                                      crossing_text(study, crossings) + picture_link("crossing"));
}

}  // namespace

void write_study_report(const fs::path& dir, const Study& study, const Provenance& from) {
  std::error_code ec;
  fs::remove_all(dir / "plots", ec);
  if (study.report->limit)
    report_crossings(dir, study, from);
  else
    report_effects(dir, study, from);
}

}  // namespace forksim
