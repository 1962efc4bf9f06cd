// Is the new side worse? Two sets of runs, measure by measure.
//
// Purpose: `forksim compare`. Runs are paired by seed when both sides have seeds in common (common random numbers: what differs is the
//          change, not the draw), else taken as two samples. Each measure of each cell: effect (Hodges-Lehmann shift,
//          of logarithms where all values are above 0: a typical ratio), bootstrap interval, rank test, p corrected by Holm over the whole comparison, verdict.
// Verdict: worse or better only when the corrected p is below `alpha` and the effect at least `least_effect`; a whole comparison of equals
//          then raises a false alarm with a chance of at most alpha. All judged measures are better when smaller. Limits (--fail-on, a
//          baseline) are corrected among themselves, with the same promise for the gate.
// Units:   as in measures.hpp. Ownership: values. Errors: ReportError when the sides have no cell in common.
// Not modelled: tests of one run against one run; a single pair has an effect but no verdict.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "sim/study/fail_on.hpp"
#include "sim/study/rank_tests.hpp"
#include "sim/study/result_set.hpp"

namespace forksim {

enum class Verdict : unsigned char { same, no_difference, small, better, worse, untested };
inline constexpr std::array<std::string_view, 6> kVerdictText{"same", "no difference", "small", "better", "worse", "not tested"};

struct CompareOptions {
  double alpha = 0.01;          ///< chance of a false alarm in a whole comparison
  double confidence = 0.95;     ///< of the intervals
  double least_effect = 0.001;  ///< a smaller relative change is called small, whatever its p
  unsigned resamples = 1000;    ///< of the bootstrap; 0: no intervals
  km::u64 seed = 1;             ///< of the bootstrap
  std::vector<std::string> metrics;  ///< empty: all
  std::vector<FailOn> fail_on;
};

struct MeasureResult {
  std::size_t measure = 0;  ///< row of measure_table
  double base = 0, next = 0;  ///< medians
  double change = 0;          ///< shift, in the measure's unit
  double effect = 0;          ///< typical ratio to the base, minus 1
  std::optional<Interval> interval;  ///< of the effect
  double p = 1, corrected = 1;
  double limit_p = 1;  ///< corrected among the measures of --fail-on alone
  bool exact = true;
  Verdict verdict = Verdict::untested;
};

struct ForkPairs {
  std::size_t runs = 0;       ///< pairs of runs whose forks could be set side by side
  km::u64 forks = 0;          ///< forks with the same number, parent and child on both sides
  km::u64 unmatched = 0;      ///< forks after the sides took different ways
  km::u64 other_cpu = 0;      ///< of `forks`, placed on another CPU
  km::u64 longer = 0, shorter = 0;  ///< of `forks`, the child waited longer, shorter
  double shift_ns = 0;        ///< mean over runs of the median change of the wait
  std::optional<Interval> interval_ns;  ///< of the shift, runs drawn whole; with two runs or more
};

struct CellComparison {
  std::string label;
  std::size_t base_runs = 0, next_runs = 0;
  std::size_t pairs = 0;     ///< 0: two samples
  std::size_t left_out = 0;  ///< runs whose seed the other side lacks
  std::vector<MeasureResult> measures;
  std::optional<ForkPairs> forks;
  const RunRecord *first_base = nullptr, *first_next = nullptr;  ///< the pair whose traces may be compared; null when there is none
  const CellRuns *base_cell = nullptr, *next_cell = nullptr;
};

struct BrokenLimit {
  std::string text, cell, said;
};

struct Comparison {
  std::vector<CellComparison> cells;
  std::vector<std::string> only_base, only_next;  ///< cells without a partner
  std::size_t tests = 0;
  std::size_t worse = 0, better = 0, small = 0, unchanged = 0, untested = 0;
  std::vector<BrokenLimit> broken;
  bool regression = false;  ///< a broken limit, or, without limits, something worse
  /// Pairs (or runs a side) from which on a single measure could be called different.
  std::size_t enough_pairs = 0;
};

/// The sets must outlive the result.
Comparison compare(const ResultSet& base, const ResultSet& next, const CompareOptions& options);

struct CompareView {
  const ResultSet &base, &next;
  const Comparison& result;
  const CompareOptions& options;
  std::string divergence;  ///< text of divergence.hpp; may be empty
};
std::string render_compare(const CompareView& v, std::string_view format);
inline constexpr std::array<std::string_view, 4> kCompareFormats{"text", "markdown", "json", "junit"};

}  // namespace forksim
