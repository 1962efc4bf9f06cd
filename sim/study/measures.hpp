// The numbers of a run that studies and comparisons work on.
//
// Purpose: one list of names (`fork_to_run.p99`, `energy_j`, `totals.migrations`) for CSV, SQLite, comparisons and --fail-on.
//          energy_per_fork_j is energy_j over totals.forks.
// Source:  columns.def (LatencyRow, TotalsRow) and metrics.def. Units: as in the columns; ns for latencies, J for energy_j.
// Ownership: static table, values by value. Errors: find_measure returns nothing for an unknown name; a latency without samples has no
//          value (NaN) but its count. Not here: what a difference means (compare.hpp).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/output/report.hpp"

namespace forksim {

struct MeasureInfo {
  std::string metric, statistic;  ///< fork_to_run and p99; run and energy_j
  std::string unit;               ///< ns, J or empty
  bool judged = false;            ///< part of every comparison
  bool less_is_better = judged;   ///< a difference is better or worse
  std::string name() const { return metric == "run" ? statistic : metric + "." + statistic; }
};

/// Every measure, in the order of the tables.
const std::vector<MeasureInfo>& measure_table();
std::optional<std::size_t> find_measure(std::string_view name);

/// One value per row of measure_table; NaN: none.
using Values = std::vector<double>;
Values values_of(const Report& report);

/// "1.234 ms", "0.52 J", "17": for people.
std::string human(double value, std::string_view unit);
/// A change of `value`, with its sign.
std::string human_change(double value, std::string_view unit);

}  // namespace forksim
