// The tables of a sweep: results.csv, cells.csv, results.sqlite, resolved/.
//
// Purpose: one row for each number (cell, factors ..., seed, metric, statistic, value), sorted by cell and seed, so that the bytes do not
//          depend on who ran what and when. Units: ns for latencies and simulated_ns, J for energy_j, counts else.
// Ownership: written below the sweep's folder, each file whole or not at all. Errors: OutputError.
// Not here: what the numbers say (study_report.hpp).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/study/journal.hpp"
#include "sim/study/study.hpp"

namespace forksim {

/// The outcome of each job, in order; null: not run.
using JobOutcomes = std::vector<const RunOutcome*>;

struct SweepCounts {
  std::size_t finished = 0, failed = 0, missing = 0, violated = 0;
};
SweepCounts count_outcomes(const JobOutcomes& outcomes);

void write_tables(const std::filesystem::path& dir, const Study& study, const JobOutcomes& outcomes);
/// Writes beside the target and renames.
void replace_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace forksim
