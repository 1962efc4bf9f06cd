// Is one set of numbers larger than another? Rank tests, location shifts, bootstrap intervals, a correction for many tests.
//
// Purpose: the statistics of `forksim compare`. Source: Wilcoxon (1945), Mann and Whitney (1947), Hodges and Lehmann (1963), Efron (1979),
//          Holm (1979). Tests are two-sided. Units: those of the samples. Ownership: values; RankTests remembers null distributions.
// Exact:   the permutation distribution given the ranks, ties included, while the samples together are no larger than kExactLimit; beyond it
//          the normal approximation with the correction for ties and for continuity.
// Errors:  none; a test without information (too few samples, all differences 0) has p = 1. Samples are finite numbers.
// Not modelled: dependence between samples; forks of one run are not independent, runs with different seeds are.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

class RankTests {
 public:
  static constexpr std::size_t kExactLimit = 50;
  struct Outcome {
    double p = 1;
    bool exact = true;
  };
  /// Wilcoxon signed rank of paired differences; zeros are left out.
  Outcome signed_rank(std::span<const double> differences);
  /// Mann-Whitney: do the values of `b` tend to be larger or smaller than those of `a`?
  Outcome rank_sum(std::span<const double> a, std::span<const double> b);

 private:
  struct Ranked {
    std::vector<int> doubled;  ///< twice the rank, so that the mean rank of ties is whole; by size
    std::vector<int> of;       ///< the same, in the order of the input
    double tie_sum = 0;        ///< sum of t^3 - t over groups of t equal values
  };
  static Ranked rank(std::span<const double> values);
  /// How many ways lead to each sum: over all subsets of `doubled` (take < 0) or those of `take` elements.
  const std::vector<double>& ways(const std::vector<int>& doubled, int take);

  std::map<std::pair<std::vector<int>, int>, std::vector<double>> cache_;
};

/// Median of the means of all pairs of differences (Walsh averages).
double paired_shift(std::span<const double> differences);
/// Median of all differences b - a.
double unpaired_shift(std::span<const double> a, std::span<const double> b);
double median(std::vector<double> values);
/// The value below which a share `q` of the sorted `values` lies, by linear interpolation.
double quantile(const std::vector<double>& sorted, double q);

struct Interval {
  double low = 0, high = 0;
};
/// Percentile bootstrap of the shift at the given confidence. `stream` seeds the resampling. Paired: differences are drawn; unpaired: each
/// side for itself.
Interval paired_interval(std::span<const double> differences, double confidence, unsigned resamples, km::u64 stream);
Interval unpaired_interval(std::span<const double> base, std::span<const double> next, double confidence, unsigned resamples, km::u64 stream);

/// Holm's step-down p-values, in the order of the input: the chance of any false alarm in the family is at most the level they are held to.
std::vector<double> holm(const std::vector<double>& p);

}  // namespace forksim
