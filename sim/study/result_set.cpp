#include "sim/study/result_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>

#include "sim/config/suggest.hpp"
#include "sim/output/csv.hpp"
#include "sim/output/out_file.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

using Factors = std::vector<std::pair<std::string, std::string>>;

/// PATH:a=b,c=d; a path with a colon of its own is taken as it is when it exists.
std::pair<fs::path, Factors> split_selection(const std::string& text) {
  std::error_code ec;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || fs::exists(text, ec)) return {text, {}};
  Factors wanted;
  for (std::size_t at = colon + 1; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    const std::size_t eq = part.find('=');
    if (eq == std::string::npos || eq == 0)
      throw ReportError(fmt::format("{}: \"{}\" selects nothing; write FOLDER:factor=value,factor=value", text, part));
    wanted.emplace_back(part.substr(0, eq), part.substr(eq + 1));
    at = end + 1;
  }
  return {text.substr(0, colon), wanted};
}

template <class T>
T number(std::string_view text, const fs::path& file, std::size_t line) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size())
    throw ReportError(fmt::format("{}:{}: \"{}\" is no number", file.string(), line, text));
  return value;
}

CellRuns& cell_for(std::vector<CellRuns>& cells, const std::string& label) {
  const auto at = std::ranges::find(cells, label, &CellRuns::label);
  if (at != cells.end()) return *at;
  cells.push_back({label, {}, {}, {}});
  return cells.back();
}

void add_folder(ResultSet& set, const fs::path& dir) {
  const Report r = load_report(dir);
  CellRuns& cell = cell_for(set.cells, fmt::format("{} on {}, kernel {}", r.workload, r.platform, r.kernel));
  cell.runs.push_back({r.seed, values_of(r), dir});
}

/// Columns of a sweep's results.csv: cell, factors ..., seed, metric, statistic, value.
struct Columns {
  std::size_t factors = 0;
  std::vector<std::string> names;
};

Columns read_header(std::string_view line, const fs::path& file) {
  Columns c;
  c.names = split_csv(line);
  const std::size_t n = c.names.size();
  const bool ours = n >= 5 && c.names[0] == "cell" && c.names[n - 4] == "seed" && c.names[n - 3] == "metric" &&
                    c.names[n - 2] == "statistic" && c.names[n - 1] == "value";
  if (!ours) throw ReportError(file.string() + ":1: not the results.csv of a sweep (cell, factors ..., seed, metric, statistic, value)");
  c.factors = n - 5;
  return c;
}

class SweepReader {
 public:
  SweepReader(ResultSet& set, const fs::path& file) : set_(set), file_(file) {
    for (std::size_t i = 0; i < measure_table().size(); ++i) rows_.emplace(key(measure_table()[i].metric, measure_table()[i].statistic), i);
  }

  void line(std::string_view text, std::size_t number_of_line) {
    if (number_of_line == 1) {
      columns_ = read_header(text, file_);
      return;
    }
    const std::vector<std::string> c = split_csv(text);
    if (c.size() != columns_.names.size())
      throw ReportError(fmt::format("{}:{}: {} columns, the header has {}", file_.string(), number_of_line, c.size(), columns_.names.size()));
    const std::size_t n = c.size();
    RunRecord& run = run_of(c, number<km::u64>(c[n - 4], file_, number_of_line));
    const auto row = rows_.find(key(c[n - 3], c[n - 2]));
    if (row != rows_.end()) run.values[row->second] = number<double>(c[n - 1], file_, number_of_line);
  }

 private:
  static std::string key(std::string_view metric, std::string_view statistic) { return std::string(metric) + '.' + std::string(statistic); }

  /// Rows of one run follow each other, runs of one cell too.
  RunRecord& run_of(const std::vector<std::string>& c, km::u64 seed) {
    if (set_.cells.empty() || last_cell_ != c[0]) {
      CellRuns cell;
      for (std::size_t f = 0; f < columns_.factors; ++f) {
        cell.factors.emplace_back(columns_.names[1 + f], c[1 + f]);
        cell.label += (f ? " " : "") + columns_.names[1 + f] + "=" + c[1 + f];
      }
      cell.resolved = file_.parent_path() / "resolved" / (c[0] + ".yaml");
      set_.cells.push_back(std::move(cell));
      last_cell_ = c[0];
    }
    std::vector<RunRecord>& runs = set_.cells.back().runs;
    if (runs.empty() || runs.back().seed != seed)
      runs.push_back({seed, Values(measure_table().size(), std::numeric_limits<double>::quiet_NaN()), {}});
    return runs.back();
  }

  ResultSet& set_;
  const fs::path& file_;
  Columns columns_;
  std::string last_cell_;
  std::map<std::string, std::size_t> rows_;
};

void add_sweep(ResultSet& set, const fs::path& file) {
  const std::string text = read_file(file);
  SweepReader reader(set, file);
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    reader.line(std::string_view(text).substr(at, end - at), ++line);
    at = end + 1;
  }
}

void add_subfolders(ResultSet& set, const fs::path& dir) {
  std::vector<fs::path> folders;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(dir, ec))
    if (entry.is_directory() && fs::exists(entry.path() / "report.json", ec)) folders.push_back(entry.path());
  std::ranges::sort(folders);
  for (const fs::path& f : folders) add_folder(set, f);
}

void keep_selected(ResultSet& set, const Factors& wanted) {
  for (const auto& factor : wanted) {
    const auto& [name, value] = factor;
    std::vector<std::string> names, values;
    for (const CellRuns& c : set.cells)
      for (const auto& f : c.factors) {
        if (std::ranges::find(names, f.first) == names.end()) names.push_back(f.first);
        if (f.first == name && std::ranges::find(values, f.second) == values.end()) values.push_back(f.second);
      }
    std::erase_if(set.cells, [&](const CellRuns& c) { return std::ranges::find(c.factors, factor) == c.factors.end(); });
    if (!set.cells.empty()) continue;
    const std::vector<std::string>& known = values.empty() ? names : values;
    const std::vector<std::string_view> views(known.begin(), known.end());
    const std::string& wrong = values.empty() ? name : value;
    throw ReportError(fmt::format("{}: no cell has {}={}; allowed: {}{}", set.name, name, value, views.empty() ? "no selection, this is no sweep" : one_of(views),
                                  did_you_mean(wrong, views).empty() ? "" : "; " + did_you_mean(wrong, views)));
  }
}

/// What was selected says nothing about a cell any more: it must not keep two sides from being paired.
void drop_selected_labels(ResultSet& set, const Factors& wanted) {
  for (CellRuns& c : set.cells) {
    c.label.clear();
    for (const auto& f : c.factors)
      if (std::ranges::find(wanted, f.first, &Factors::value_type::first) == wanted.end())
        c.label += (c.label.empty() ? "" : " ") + f.first + "=" + f.second;
  }
}

}  // namespace

ResultSet load_result_set(const std::string& path_and_selection) {
  const auto [path, wanted] = split_selection(path_and_selection);
  ResultSet set;
  set.name = path_and_selection;
  set.path = path;
  std::error_code ec;
  if (!fs::is_directory(path, ec)) throw ReportError(path.string() + ": no such folder; give a result folder, a folder of them or a sweep's output");
  if (fs::exists(path / "report.json", ec))
    add_folder(set, path);
  else if (fs::exists(path / "results.csv", ec))
    add_sweep(set, path / "results.csv");
  else
    add_subfolders(set, path);
  if (set.cells.empty())
    throw ReportError(path.string() + ": holds no result; expected report.json, results.csv or folders with a report.json");
  keep_selected(set, wanted);
  if (!wanted.empty()) drop_selected_labels(set, wanted);
  for (CellRuns& c : set.cells) std::ranges::stable_sort(c.runs, {}, &RunRecord::seed);
  return set;
}

}  // namespace forksim
