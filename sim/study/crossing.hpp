// Up to where does a measure stay below a limit?
//
// Purpose: studies with `limit` and `along`: for each value of the study's factor (and each combination of the others), the value of the
//          numeric factor `along` at which the measure passes the limit. Each seed has a crossing of its own, interpolated between two
//          neighbours; told are the median over the seeds and its bootstrap interval. Units: those of the factor and of the measure.
// Ownership: values. Errors: ReportError when a value of `along` is no number. A seed that never crosses counts as the largest value, one
//          that always does as the smallest; both are said.
// Not here: files (study_report.cpp).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/study/rank_tests.hpp"
#include "sim/study/result_set.hpp"
#include "sim/study/study.hpp"

namespace forksim {

struct Crossing {
  std::string level, group;
  struct Point {
    double x = 0, low = 0, median = 0, high = 0;  ///< quartiles over the seeds
  };
  std::vector<Point> curve;  ///< by x
  double at = 0;
  Interval interval;
  std::size_t seeds = 0, never = 0, always = 0;
};

std::vector<Crossing> crossings_of(const ResultSet& set, const Study& study);
std::string crossing_csv(const Study& study, const std::vector<Crossing>& crossings);
std::string crossing_text(const Study& study, const std::vector<Crossing>& crossings);
void plot_crossings(const std::filesystem::path& dir, const Study& study, const std::vector<Crossing>& crossings);

}  // namespace forksim
