// Text, Markdown, JSON and JUnit XML of a comparison.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/output/json_lines.hpp"
#include "sim/study/compare.hpp"

namespace forksim {

namespace {

std::string percent(double share) { return fmt::format("{:+.2f} %", 100 * share); }
std::string p_text(double p) { return p >= 0.001 ? fmt::format("{:.3f}", p) : fmt::format("{:.1e}", p); }

std::string seeds_of(const std::vector<RunRecord>& runs) {
  if (runs.size() == 1) return fmt::format("seed {}", runs.front().seed);
  const bool run = runs.back().seed - runs.front().seed + 1 == runs.size();
  return run ? fmt::format("seeds {}-{}", runs.front().seed, runs.back().seed) : fmt::format("{} seeds from {} to {}", runs.size(), runs.front().seed, runs.back().seed);
}

std::string design(const CellComparison& c) {
  if (c.pairs == 0) return fmt::format("two samples: {} runs against {}; Mann-Whitney", c.base_runs, c.next_runs);
  const std::string left = c.left_out ? fmt::format(", {} runs without a partner left out", c.left_out) : "";
  return fmt::format("{} pair{} with the same seed{}; Wilcoxon signed rank", c.pairs, c.pairs == 1 ? "" : "s", left);
}

std::string sides(const CellComparison& c) {
  return fmt::format("base {}, new {}", seeds_of(c.base_cell->runs), seeds_of(c.next_cell->runs));
}

struct Line {
  std::string measure, base, next, effect, interval, p, corrected, verdict;
};

Line line_of(const MeasureResult& r) {
  const MeasureInfo& m = measure_table()[r.measure];
  Line l;
  l.measure = m.name();
  l.base = human(r.base, m.unit);
  l.next = human(r.next, m.unit);
  l.effect = r.base == 0 ? human_change(r.change, m.unit) : percent(r.effect);
  if (r.interval) l.interval = fmt::format("{:+.2f} .. {:+.2f} %", 100 * r.interval->low, 100 * r.interval->high);
  const bool tested = r.verdict != Verdict::untested && r.verdict != Verdict::same;
  if (tested) l.p = p_text(r.p) + (r.exact ? "" : "~");
  if (tested) l.corrected = p_text(r.corrected);
  l.verdict = kVerdictText[static_cast<std::size_t>(r.verdict)];
  return l;
}

std::string fork_text(const ForkPairs& f) {
  std::string s = fmt::format(
      "forks, one by one: {} pairs in {} run{}, {} placed on another CPU, the child waited longer in {} and shorter in {}; median change of the wait {}",
      f.forks, f.runs, f.runs == 1 ? "" : "s", f.other_cpu, f.longer, f.shorter, human_change(f.shift_ns, "ns"));
  if (f.interval_ns) s += fmt::format(" ({} .. {})", human_change(f.interval_ns->low, "ns"), human_change(f.interval_ns->high, "ns"));
  if (f.unmatched) s += fmt::format("; {} forks have no partner", f.unmatched);
  return s;
}

std::string summary(const Comparison& c, const CompareOptions& o) {
  std::string s = fmt::format("{} worse, {} better, {} small, {} without a difference, {} not tested", c.worse, c.better, c.small, c.unchanged, c.untested);
  if (c.tests > 0) s += fmt::format("; {} tests, Holm, at most {:g} % false alarms in a whole comparison", c.tests, 100 * o.alpha);
  return s;
}

/// Why nothing could be called different, when the samples are the reason.
std::string too_few(const Comparison& c) {
  std::size_t pairs = ~std::size_t{0};
  for (const CellComparison& cell : c.cells) pairs = std::min(pairs, cell.pairs ? cell.pairs : std::max(cell.base_runs, cell.next_runs));
  if (pairs >= c.enough_pairs) return {};
  return fmt::format("with fewer than {} pairs no difference can be told from chance; run more seeds (forksim run --repeat {}), or name fewer metrics",
                     c.enough_pairs, c.enough_pairs);
}

std::string limits(const Comparison& c, const CompareOptions& o) {
  std::string s;
  for (const FailOn& f : o.fail_on)
    if (std::ranges::find(c.broken, f.text, &BrokenLimit::text) == c.broken.end()) s += fmt::format("limit {}: kept\n", f.text);
  for (const BrokenLimit& b : c.broken) s += fmt::format("limit {}: broken, {}{}\n", b.text, b.said, c.cells.size() > 1 ? " in " + b.cell : "");
  return s;
}

std::string text(const CompareView& v) {
  std::string s = fmt::format("base: {}\nnew:  {}\n", v.base.name, v.next.name);
  for (const CellComparison& c : v.result.cells) {
    s += fmt::format("\n{}\n{}; {}; {:g} % bootstrap intervals\n\n", c.label, design(c), sides(c), 100 * v.options.confidence);
    s += fmt::format("{:<24}{:>15}{:>15}{:>12}{:>24}{:>10}{:>11}  {}\n", "measure (medians)", "base", "new", "effect", "interval", "p", "corrected", "verdict");
    for (const MeasureResult& r : c.measures) {
      const Line l = line_of(r);
      s += fmt::format("{:<24}{:>15}{:>15}{:>12}{:>24}{:>10}{:>11}  {}\n", l.measure, l.base, l.next, l.effect, l.interval, l.p, l.corrected, l.verdict);
    }
    if (c.forks) s += fork_text(*c.forks) + '\n';
  }
  for (const std::string& o : v.result.only_base) s += "only in base: " + o + '\n';
  for (const std::string& o : v.result.only_next) s += "only in new: " + o + '\n';
  if (!v.divergence.empty()) s += '\n' + v.divergence;
  s += '\n' + limits(v.result, v.options);
  if (const std::string few = too_few(v.result); !few.empty()) s += few + '\n';
  return s + summary(v.result, v.options) + "\n" + (v.result.regression ? "regression\n" : "no regression\n");
}

std::string escape_cell(std::string s) {
  for (std::size_t at = s.find('|'); at != std::string::npos; at = s.find('|', at + 2)) s.insert(at, "\\");
  return s;
}

std::string markdown(const CompareView& v) {
  std::string s = fmt::format("**{}** `{}` against `{}`\n", v.result.regression ? "Regression:" : "No regression:", v.next.name, v.base.name);
  for (const CellComparison& c : v.result.cells) {
    s += fmt::format("\n{}: {}; {}\n\n| measure (medians) | base | new | effect | {:g} % interval | p, corrected | verdict |\n|---|--:|--:|--:|--:|--:|---|\n", escape_cell(c.label),
                     design(c), sides(c), 100 * v.options.confidence);
    for (const MeasureResult& r : c.measures) {
      const Line l = line_of(r);
      const bool marked = r.verdict == Verdict::worse || r.verdict == Verdict::better;
      s += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", l.measure, l.base, l.next, l.effect, l.interval, l.corrected,
                       marked ? "**" + l.verdict + "**" : l.verdict);
    }
    if (c.forks) s += '\n' + fork_text(*c.forks) + '\n';
  }
  if (!v.divergence.empty()) s += "\n```\n" + v.divergence + "```\n";
  s += '\n' + limits(v.result, v.options) + summary(v.result, v.options) + '\n';
  return s;
}

using Json = nlohmann::ordered_json;

Json interval_json(const std::optional<Interval>& i) { return i ? Json::array({i->low, i->high}) : Json(); }

Json cell_json(const CellComparison& c) {
  Json j{{"label", c.label}, {"base_runs", c.base_runs}, {"new_runs", c.next_runs}, {"pairs", c.pairs}, {"left_out", c.left_out}};
  Json& rows = j["measures"] = Json::array();
  for (const MeasureResult& r : c.measures) {
    const MeasureInfo& m = measure_table()[r.measure];
    rows.push_back({{"measure", m.name()},
                    {"unit", m.unit},
                    {"base", r.base},
                    {"new", r.next},
                    {"change", r.change},
                    {"effect", r.effect},
                    {"interval", interval_json(r.interval)},
                    {"p", r.p},
                    {"corrected_p", r.corrected},
                    {"exact", r.exact},
                    {"verdict", kVerdictText[static_cast<std::size_t>(r.verdict)]}});
  }
  if (const auto& f = c.forks)
    j["forks"] = {{"runs", f->runs},           {"pairs", f->forks},     {"unmatched", f->unmatched}, {"other_cpu", f->other_cpu},
                  {"longer", f->longer},       {"shorter", f->shorter}, {"shift_ns", f->shift_ns},   {"interval_ns", interval_json(f->interval_ns)}};
  return j;
}

std::string json(const CompareView& v) {
  const Comparison& c = v.result;
  Json j{{"schema", "forksim.compare/1"}, {"base", v.base.name}, {"new", v.next.name}, {"regression", c.regression}, {"tests", c.tests},
         {"alpha", v.options.alpha},      {"worse", c.worse},    {"better", c.better}, {"small", c.small},           {"without_difference", c.unchanged},
         {"not_tested", c.untested}};
  j["only_base"] = c.only_base;
  j["only_new"] = c.only_next;
  Json& broken = j["broken_limits"] = Json::array();
  for (const BrokenLimit& b : c.broken) broken.push_back({{"limit", b.text}, {"cell", b.cell}, {"said", b.said}});
  Json& cells = j["cells"] = Json::array();
  for (const CellComparison& cell : c.cells) cells.push_back(cell_json(cell));
  j["divergence"] = v.divergence;
  return json_lines(j);
}

std::string xml(std::string_view text) {
  std::string out;
  for (char ch : text) {
    if (ch == '&')
      out += "&amp;";
    else if (ch == '<')
      out += "&lt;";
    else if (ch == '>')
      out += "&gt;";
    else if (ch == '"')
      out += "&quot;";
    else
      out += ch;
  }
  return out;
}

/// A test case for each measure and each limit: with limits only these may fail, as for the exit code.
std::string junit(const CompareView& v) {
  const Comparison& c = v.result;
  std::string cases;
  std::size_t tests = 0, failures = 0;
  const auto add = [&](const std::string& group, const std::string& name, const std::string& failure, const std::string& detail) {
    ++tests;
    failures += !failure.empty();
    cases += fmt::format("    <testcase classname=\"{}\" name=\"{}\"", xml(group), xml(name));
    cases += failure.empty() ? "/>\n" : fmt::format(">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n", xml(failure), xml(detail));
  };
  for (const CellComparison& cell : c.cells) {
    for (const MeasureResult& r : cell.measures) {
      const Line l = line_of(r);
      const bool fails = v.options.fail_on.empty() && r.verdict == Verdict::worse;
      add(cell.label, l.measure, fails ? "worse by " + l.effect : "", fmt::format("{} -> {}, interval {}, corrected p {}", l.base, l.next, l.interval, l.corrected));
    }
    for (const FailOn& f : v.options.fail_on) {
      const auto b = std::ranges::find_if(c.broken, [&](const BrokenLimit& x) { return x.text == f.text && x.cell == cell.label; });
      add(cell.label, f.text, b == c.broken.end() ? "" : "broken: " + b->said, v.divergence);
    }
  }
  return fmt::format("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"forksim compare\" tests=\"{}\" failures=\"{}\" errors=\"0\">\n{}  </testsuite>\n</testsuites>\n",
                     tests, failures, cases);
}

}  // namespace

std::string render_compare(const CompareView& v, std::string_view format) {
  if (format == "markdown") return markdown(v);
  if (format == "json") return json(v);
  return format == "junit" ? junit(v) : text(v);
}

}  // namespace forksim
