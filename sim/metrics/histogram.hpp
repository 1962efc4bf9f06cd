// Mergeable log-linear histogram of u64 values, with exact samples while there are few.
//
// Purpose: quantiles of latencies. Counts of two runs add up to the histogram of both.
// Layout:  7 significant bits. v < 128 has a bucket of its own; otherwise with e = bit_width(v) - 8 the bucket is 128 * e + (v >> e), so
// each
//          octave has 128 buckets (7424 in all, 58 KiB). A bucket is at most v / 128 wide.
// Error:   a quantile is the nearest-rank value: exact while samples are kept, else the middle of its bucket, off by at most 1/256 (0.4 %)
//          and never outside [min, max]. count, sum, min and max are always exact.
// Units:   those of the values (ns here). Ownership: a value; memory is taken at the first add. Errors: none; sum wraps at 2^64.
#pragma once

#include <bit>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

class Histogram {
 public:
  using u64 = km::u64;
  using u32 = km::u32;
  static constexpr u32 kBits = 7;
  static constexpr u32 kBuckets = (64 - kBits + 1) << kBits;
  /// Samples kept exactly, per histogram.
  static constexpr u32 kExactLimit = 1u << 16;

  static constexpr u32 bucket_of(u64 v) {
    const u32 width = static_cast<u32>(std::bit_width(v));
    const u32 e = width > kBits + 1 ? width - kBits - 1 : 0;
    return (e << kBits) + static_cast<u32>(v >> e);
  }
  /// Smallest value of a bucket.
  static constexpr u64 bucket_low(u32 bucket) {
    const u32 e = bucket < (2u << kBits) ? 0 : (bucket >> kBits) - 1;
    return static_cast<u64>(bucket - (e << kBits)) << e;
  }
  /// Number of values a bucket holds.
  static constexpr u64 bucket_width(u32 bucket) { return u64{1} << (bucket < (2u << kBits) ? 0 : (bucket >> kBits) - 1); }

  void add(u64 v) {
    if (counts_.empty()) [[unlikely]]
      counts_.resize(kBuckets);
    ++counts_[bucket_of(v)];
    ++count_;
    sum_ += v;
    if (v < min_) min_ = v;
    if (v > max_) max_ = v;
    if (exact_) keep(v);
  }
  void merge(const Histogram& other);
  /// Puts `n` values back into a bucket (reading histograms.json); quantiles are then those of the buckets.
  void add_bucket(u32 bucket, u64 n);
  /// Exact totals of what add_bucket restored.
  void restore_totals(u64 sum, u64 min, u64 max);

  u64 count() const { return count_; }
  u64 sum() const { return sum_; }
  u64 min() const { return count_ ? min_ : 0; }
  u64 max() const { return max_; }
  double mean() const { return count_ ? static_cast<double>(sum_) / static_cast<double>(count_) : 0.0; }
  /// Value of rank ceil(per_100k / 100000 * count), at least 1: quantile(50000) is p50, quantile(99900) is p99.9. 0 when empty.
  u64 quantile(u32 per_100k) const;
  bool exact() const { return exact_; }
  /// Counts by bucket; empty when nothing was added.
  const std::vector<u64>& counts() const { return counts_; }

 private:
  void keep(u64 v);
  void drop_samples();

  std::vector<u64> counts_, samples_;
  u64 count_ = 0, sum_ = 0, min_ = ~u64{0}, max_ = 0;
  bool exact_ = true;
};

}  // namespace forksim
