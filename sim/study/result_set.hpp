// A set of runs to compare: where they came from, under which conditions, and their numbers.
//
// Purpose: one view of a result folder, of a folder of result folders (run --repeat), of a sweep's output and of a baseline.
// Format:  report.json of each run, or a sweep's results.csv (cell, factors ..., seed, metric, statistic, value).
// Units:   see measures.hpp. Ownership: values. Errors: ReportError with the path and what was expected (exit code 2).
// Selection: PATH:factor=value,factor=value keeps the cells of a sweep with these values.
// Not here: how two sets are set against each other (compare.hpp).
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "sim/study/measures.hpp"

namespace forksim {

struct RunRecord {
  km::u64 seed = 0;
  Values values;
  std::filesystem::path dir;  ///< its result folder; empty for a run of a sweep
};

/// Runs under the same conditions but for the seed.
struct CellRuns {
  std::string label;                                         ///< "placement=kernel workload=fork_storm", or the subject of a single cell
  std::vector<std::pair<std::string, std::string>> factors;  ///< of a sweep
  std::filesystem::path resolved;                            ///< resolved.yaml of its first seed, when there is one
  std::vector<RunRecord> runs;                               ///< by seed
};

struct ResultSet {
  std::string name;  ///< as given
  std::filesystem::path path;
  std::vector<CellRuns> cells;  ///< in the order of the study, or by label
};

ResultSet load_result_set(const std::string& path_and_selection);

}  // namespace forksim
