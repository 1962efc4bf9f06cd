// A study: which runs there are, in which order, and what is to be said about them.
//
// Purpose: STUDY.yaml (schema forksim.study/1) to a list of cells; a job is a cell with a seed. Cells are numbered in the order of the
//          file: workloads, then the grid (last factor fastest), then random samples. Seeds are the same in every cell.
// Units:   values stay the text that --set takes; tables call one that names a file (a plug-in) by the file's stem. Ownership: values. Errors: Diagnostics with file, line and column; what a cell's values
//          mean is checked with the cell (check_cells), so that one bad cell does not stop the rest.
// Not here: running (pool.hpp), tables (tables.hpp).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/config/diagnostics.hpp"
#include "sim/config/schema.hpp"
#include "sim/study/measures.hpp"

namespace forksim {

struct Cell {
  std::string id;                   ///< "0007"
  std::string workload;             ///< path of the file
  std::vector<std::string> values;  ///< of the factors, in the order of Study::factors
  std::vector<std::string> sets;    ///< KEY=VALUE
};

struct StudyReport {
  std::size_t factor = 0;  ///< index in Study::factors
  std::string base;
  std::vector<std::size_t> measures;  ///< rows of measure_table
  std::optional<double> limit;        ///< of the first measure, in its unit
  std::size_t along = 0;              ///< with a limit: index in Study::factors
};

struct Study {
  std::string file, name, description, source;
  std::vector<std::string> factors;  ///< "workload" first
  std::vector<std::string> units;    ///< of the factors' numbers, where the study says
  std::vector<std::string> added;    ///< values from the command line: "rule = my_rule (my_rule.so)"
  std::vector<Cell> cells;
  km::u64 first_seed = 1, seeds = 1;
  std::vector<bool> kept;  ///< by measure: goes into results.csv
  std::optional<StudyReport> report;

  std::size_t jobs() const { return cells.size() * seeds; }
  const Cell& cell_of(std::size_t job) const { return cells[job / seeds]; }
  km::u64 seed_of(std::size_t job) const { return first_seed + job % seeds; }
};

/// `additions`: FACTOR=VALUE of `sweep --add`, further values of factors that have a key.
Study load_study(const std::string& file, const std::vector<std::string>& additions, const Vocabulary& vocabulary, Diagnostics& diags);
/// Everything wrong with the values of single cells, all at once.
void check_cells(const Study& study, const Vocabulary& vocabulary, Diagnostics& diags);

}  // namespace forksim
