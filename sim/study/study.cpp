#include "sim/study/study.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "sim/config/overrides.hpp"
#include "sim/config/reader.hpp"
#include "sim/config/streams.hpp"
#include "sim/config/suggest.hpp"
#include "sim/metrics/metrics.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostJobs = 1'000'000;

struct Level {
  std::string label;
  std::vector<std::string> sets;
};
struct Factor {
  std::string name, key, unit;
  std::vector<Level> levels;
};

/// "workloads/fork_storm.yaml" -> fork_storm
std::string stem(const std::string& file) { return fs::path(file).stem().string(); }

bool names_file(const std::string& value) { return value.find('/') != std::string::npos || value.ends_with(".so"); }

/// How tables call a value.
std::string label_of(const std::string& value) { return names_file(value) ? stem(value) : value; }

/// A number with what follows it: 20ms -> 20 and ms.
struct Quantity {
  double value = 0;
  std::string unit;
  int decimals = 0;
};

std::optional<Quantity> quantity(const std::string& text) {
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto number = parse_real(text.substr(0, end));
  if (!number) return std::nullopt;
  const std::size_t dot = text.find('.');
  return Quantity{*number.value, text.substr(end), dot < end ? static_cast<int>(end - dot - 1) : 0};
}

class StudyReader {
 public:
  StudyReader(const YamlDocument& doc, const std::vector<std::string>& additions, const Vocabulary& vocabulary, Diagnostics& diags)
      : doc_(doc), additions_(additions), diags_(diags) {
    tree_ = Reader(doc, vocabulary, diags).read("study");
  }

  Study read() {
    Study s;
    s.file = doc_.file;
    if (!diags_.ok()) return s;
    s.name = tree_["name"] ? tree_["name"].text : stem(doc_.file);
    s.description = tree_["description"].text;
    s.source = tree_["source"].text;
    s.seeds = 10;
    if (const Value& seeds = tree_["seeds"]) {
      s.first_seed = static_cast<km::u64>(seeds["first"].num);
      s.seeds = static_cast<km::u64>(seeds["count"].num);
    }
    read_grid();
    for (const std::string& text : additions_) add_level(s, text);
    const std::vector<Factor> samples = read_random();
    s.factors = {"workload"};
    for (const Factor& f : grid_) s.factors.push_back(f.name);
    s.units = {""};
    for (const Factor& f : grid_) s.units.push_back(f.unit);
    s.units.resize(s.units.size() + tree_["random"]["over"].items.size());
    for (const Value& r : tree_["random"]["over"].items) s.factors.push_back(r["name"].text);
    check_names(s.factors);
    if (diags_.ok()) make_cells(s, samples);
    read_kept(s);
    if (tree_["report"]) read_report(s);
    return s;
  }

 private:
  void error(const Value& v, std::string what, std::string allowed = {}, std::string hint = {}) {
    diags_.add(doc_.at(v.line, v.col, v.path, std::move(what), std::move(allowed), std::move(hint)));
  }

  std::vector<std::string> texts(const Value& list) {
    std::vector<std::string> out;
    for (const Value& v : list.items) out.push_back(v.text);
    return out;
  }

  std::vector<std::string> sets(const Value& list) {
    for (const Value& v : list.items) {
      const Override o = parse_set(v.text);
      if (o.key.empty()) error(v, "\"" + v.text + "\" is no KEY=VALUE", "such as seed=3 or features.NO_START_DEBIT=true");
      if (o.key == "seed") error(v, "seeds are the study's own", "use seeds: {first: ..., count: ...}");
    }
    return texts(list);
  }

  void read_grid() {
    for (const Value& f : tree_["grid"].items) {
      Factor factor{f["name"].text, f["key"].text, f["unit"].text, {}};
      const bool values = bool(f["values"]), cases = bool(f["cases"]);
      if (values == cases || values != bool(f["key"]))
        error(f, "a factor is a key with values, or cases", "write {name: N, key: K, values: [...]} or {name: N, cases: [...]}");
      for (const Value& v : f["values"].items) factor.levels.push_back({label_of(v.text), {f["key"].text + "=" + v.text}});
      for (const Value& c : f["cases"].items) factor.levels.push_back({c["label"].text, sets(c["set"])});
      if (factor.levels.empty()) error(f, "the factor has no value", "at least one");
      for (std::size_t i = 0; i < factor.levels.size(); ++i)
        for (std::size_t k = 0; k < i; ++k)
          if (factor.levels[i].label == factor.levels[k].label) error(f, "\"" + factor.levels[i].label + "\" is there twice", "each value once");
      if (f["key"] && f["key"].text == "seed") error(f["key"], "seeds are the study's own", "use seeds: {first: ..., count: ...}");
      grid_.push_back(std::move(factor));
    }
  }

  /// `sweep --add FACTOR=VALUE`; the factor goes by its name or by its key.
  void add_level(Study& s, const std::string& text) {
    const Override o = parse_set(text);
    const auto refuse = [&](std::string what, std::string allowed, std::string hint = {}) {
      diags_.add({{}, 0, 0, "--add " + text, std::move(what), std::move(allowed), std::move(hint), {}});
    };
    if (o.key.empty() || o.value.empty()) return refuse("this is no FACTOR=VALUE", "such as rule=./my_rule.so");
    std::vector<std::string_view> names;
    for (const Factor& f : grid_)
      if (!f.key.empty()) names.push_back(f.name);
    const auto f = std::ranges::find_if(grid_, [&](const Factor& x) { return !x.key.empty() && (x.name == o.key || x.key == o.key); });
    if (f == grid_.end())
      return refuse("the study has no factor \"" + o.key + "\" with a key and values",
                    names.empty() ? "it has none" : "allowed are " + one_of(names), did_you_mean(o.key, names));
    std::error_code ec;
    if (names_file(o.value) && !fs::is_regular_file(o.value, ec))
      return refuse("there is no file " + o.value, "the path of a file, from the current folder");
    const std::string label = label_of(o.value);
    if (std::ranges::find(f->levels, label, &Level::label) != f->levels.end())
      return refuse("\"" + f->name + "\" has a value \"" + label + "\" already", "each value once",
                    names_file(o.value) ? "a file goes by its name without .so: rename it" : "");
    f->levels.push_back({label, {f->key + "=" + o.value}});
    s.added.push_back(f->name + " = " + label + (names_file(o.value) ? " (" + fs::path(o.value).filename().string() + ")" : ""));
  }

  /// One text of a range; linear or logarithmic, rounded to the digits of its ends.
  std::string draw(const Quantity& low, const Quantity& high, bool log, km::u64& stream) {
    const double u = unit_open(next_u64(stream));
    const double v = log ? low.value * std::pow(high.value / low.value, u) : low.value + u * (high.value - low.value);
    return fmt::format("{:.{}f}{}", v, std::max(low.decimals, high.decimals), low.unit);
  }

  /// A factor for each range, whose levels are its samples; they go together, not as a grid.
  std::vector<Factor> read_random() {
    std::vector<Factor> out;
    const Value& random = tree_["random"];
    if (!random) return out;
    for (const Value& r : random["over"].items) {
      const auto low = quantity(r["min"].text), high = quantity(r["max"].text);
      const bool log = r["scale"].text == "log";
      if (!low || !high || low->unit != high->unit || low->value >= high->value || (log && low->value <= 0)) {
        error(r, "min and max are no range", "two numbers with the same unit, min below max, above 0 for a log scale");
        continue;
      }
      Factor f{r["name"].text, {}, {}, {}};
      km::u64 stream = derive_key(static_cast<km::u64>(random["seed"].num), hash_name(f.name));
      for (std::int64_t i = 0; i < random["samples"].num; ++i) {
        const std::string text = draw(*low, *high, log, stream);
        f.levels.push_back({text, {r["key"].text + "=" + text}});
      }
      out.push_back(std::move(f));
    }
    return out;
  }

  void check_names(const std::vector<std::string>& names) {
    constexpr std::array<std::string_view, 5> kTaken{"cell", "seed", "metric", "statistic", "value"};
    for (std::size_t i = 1; i < names.size(); ++i)
      if (std::ranges::find(kTaken, names[i]) != kTaken.end() || std::ranges::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) != names.begin() + static_cast<std::ptrdiff_t>(i))
        error(tree_, "the column \"" + names[i] + "\" is there already", "each factor has a name of its own, and none is cell, workload, seed, metric, statistic or value");
  }

  void make_cells(Study& s, const std::vector<Factor>& samples) {
    const std::vector<std::string> common = sets(tree_["set"]);
    std::size_t combinations = 1;
    for (const Factor& f : grid_) combinations *= f.levels.size();
    const std::size_t draws = samples.empty() ? 1 : samples[0].levels.size(), workloads = tree_["workloads"].items.size();
    if (combinations * draws * workloads * s.seeds > kMostJobs) {
      error(tree_, fmt::format("the study has {} runs", combinations * draws * workloads * s.seeds), fmt::format("at most {}", kMostJobs));
      return;
    }
    const fs::path folder = fs::path(doc_.file).parent_path();
    for (const Value& w : tree_["workloads"].items) {
      std::error_code ec;
      const std::string path = (folder / w.text).lexically_normal().string();
      if (!fs::is_regular_file(path, ec)) error(w, "there is no file " + path, "a workload file, relative to the study");
      for (std::size_t c = 0; c < combinations * draws; ++c) s.cells.push_back(make_cell(path, c, draws, common, samples));
    }
    for (std::size_t i = 0; i < s.cells.size(); ++i) s.cells[i].id = fmt::format("{:04}", i);
  }

  Cell make_cell(const std::string& path, std::size_t number, std::size_t draws, const std::vector<std::string>& common, const std::vector<Factor>& samples) {
    Cell cell{{}, path, {stem(path)}, common};
    std::size_t rest = number / draws;
    std::vector<const Level*> levels(grid_.size());
    for (std::size_t f = grid_.size(); f-- > 0; rest /= grid_[f].levels.size()) levels[f] = &grid_[f].levels[rest % grid_[f].levels.size()];
    for (const Factor& f : samples) levels.push_back(&f.levels[number % draws]);
    for (const Level* l : levels) {
      cell.values.push_back(l->label);
      cell.sets.insert(cell.sets.end(), l->sets.begin(), l->sets.end());
    }
    return cell;
  }

  void read_kept(Study& s) {
    const std::vector<std::string> metrics = texts(tree_["metrics"]);
    for (const MeasureInfo& m : measure_table())
      s.kept.push_back(metrics.empty() || !find_metric(m.metric) || std::ranges::find(metrics, m.metric) != metrics.end());
  }

  std::size_t factor_named(const Study& s, const Value& name) {
    const auto at = std::ranges::find(s.factors, name.text);
    const std::vector<std::string_view> views(s.factors.begin(), s.factors.end());
    if (at == s.factors.end()) error(name, "there is no factor \"" + name.text + "\"", "allowed are " + one_of(views), did_you_mean(name.text, views));
    return at == s.factors.end() ? 0 : static_cast<std::size_t>(at - s.factors.begin());
  }

  void read_report(Study& s) {
    const Value& r = tree_["report"];
    StudyReport out;
    out.factor = factor_named(s, r["factor"]);
    out.base = label_of(r["base"].text);
    if (!s.cells.empty() && std::ranges::none_of(s.cells, [&](const Cell& c) { return c.values[out.factor] == out.base; }))
      error(r["base"], "the factor has no value \"" + out.base + "\"", "one of its values");
    for (const Value& m : r["measures"].items) {
      const auto row = find_measure(m.text);
      if (!row || !s.kept[*row]) error(m, "there is no measure \"" + m.text + "\"", "such as fork_to_run.p99, energy_j, totals.migrations, of the metrics kept");
      if (row) out.measures.push_back(*row);
    }
    if (bool(r["limit"]) != bool(r["along"])) error(r, "a crossing needs limit and along", "both or none");
    if (r["limit"] && r["along"] && !out.measures.empty()) {
      const bool time = measure_table()[out.measures[0]].unit == "ns";
      const auto ns = parse_duration(r["limit"].text);
      const auto real = parse_real(r["limit"].text);
      if (time ? !ns : !real) error(r["limit"], "\"" + r["limit"].text + "\" is no value of " + measure_table()[out.measures[0]].name(), time ? "a time such as 1ms" : "a number");
      out.limit = time ? (ns ? static_cast<double>(*ns.value) : 0) : (real ? *real.value : 0);
      out.along = factor_named(s, r["along"]);
    }
    s.report = std::move(out);
  }

  const YamlDocument& doc_;
  const std::vector<std::string>& additions_;
  Diagnostics& diags_;
  Value tree_;
  std::vector<Factor> grid_;
};

}  // namespace

Study load_study(const std::string& file, const std::vector<std::string>& additions, const Vocabulary& vocabulary, Diagnostics& diags) {
  const YamlDocument doc = load_yaml(file, diags);
  if (!diags.ok()) return {};
  return StudyReader(doc, additions, vocabulary, diags).read();
}

void check_cells(const Study& study, const Vocabulary& vocabulary, Diagnostics& diags) {
  for (const Cell& c : study.cells) {
    std::vector<Override> overrides;
    for (const std::string& set : c.sets) {
      overrides.push_back(parse_set(set));
      overrides.back().option = fmt::format("cell {} of {}: {}", c.id, study.file, set);
    }
    Diagnostics found;
    resolve_run(c.workload, overrides, vocabulary, found);
    for (const Diagnostic& d : found.list()) diags.add(d);
  }
}

}  // namespace forksim
