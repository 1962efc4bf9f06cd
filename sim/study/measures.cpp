#include "sim/study/measures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "sim/metrics/metrics.hpp"

namespace forksim {

namespace {

/// Statistics that a comparison judges: the mean follows from the others and a count is no latency.
constexpr std::array<std::string_view, 5> kJudged{"p50", "p90", "p99", "p999", "max"};
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

template <class Row, class F>
void each_number(const Row& row, F&& f) {
  visit(row, [&](const ColumnInfo& c, const auto& value) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) f(c, static_cast<double>(value));
  });
}

std::vector<MeasureInfo> make_table() {
  std::vector<MeasureInfo> t;
  for (const MetricInfo& m : kMetricTable)
    each_number(LatencyRow{}, [&](const ColumnInfo& c, double) {
      t.push_back({std::string(m.name), std::string(c.name), std::string(c.unit), std::ranges::find(kJudged, c.name) != kJudged.end()});
    });
  t.push_back({"run", "simulated_ns", "ns", true});
  t.push_back({"run", "energy_j", "J", true});
  t.push_back({"run", "energy_per_fork_j", "J", false, true});
  each_number(TotalsRow{}, [&](const ColumnInfo& c, double) { t.push_back({"totals", std::string(c.name), "", false}); });
  return t;
}

}  // namespace

const std::vector<MeasureInfo>& measure_table() {
  static const std::vector<MeasureInfo> kTable = make_table();
  return kTable;
}

std::optional<std::size_t> find_measure(std::string_view name) {
  const auto& table = measure_table();
  for (std::size_t i = 0; i < table.size(); ++i)
    if (table[i].name() == name) return i;
  return std::nullopt;
}

Values values_of(const Report& report) {
  Values v;
  v.reserve(measure_table().size());
  for (const MetricInfo& m : kMetricTable) {
    const auto row = std::ranges::find(report.latency, m.name, &LatencyRow::metric);
    const LatencyRow& r = row == report.latency.end() ? LatencyRow{} : *row;
    each_number(r, [&](const ColumnInfo& c, double value) { v.push_back(c.name == "count" || r.count > 0 ? value : kNone); });
  }
  v.push_back(static_cast<double>(report.simulated_ns));
  v.push_back(report.energy_j);
  v.push_back(report.totals.forks ? report.energy_j / static_cast<double>(report.totals.forks) : kNone);
  each_number(report.totals, [&](const ColumnInfo&, double value) { v.push_back(value); });
  return v;
}

std::string human(double value, std::string_view unit) {
  if (std::isnan(value)) return "-";
  const double size = std::abs(value);
  if (unit == "ns" && size >= 1e9) return fmt::format("{:.3f} s", value / 1e9);
  if (unit == "ns" && size >= 1e6) return fmt::format("{:.3f} ms", value / 1e6);
  if (unit == "ns" && size >= 1e3) return fmt::format("{:.3f} us", value / 1e3);
  if (unit == "ns") return fmt::format("{:.0f} ns", value);
  if (unit == "J") return fmt::format("{:.6f} J", value);
  return size == std::floor(size) ? fmt::format("{:.0f}", value) : fmt::format("{:.2f}", value);
}

std::string human_change(double value, std::string_view unit) { return (value >= 0 ? "+" : "") + human(value, unit); }

}  // namespace forksim
