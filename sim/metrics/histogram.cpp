#include "sim/metrics/histogram.hpp"

#include <algorithm>

namespace forksim {

void Histogram::drop_samples() {
  exact_ = false;
  samples_ = {};
}

void Histogram::keep(u64 v) {
  if (samples_.size() == kExactLimit) return drop_samples();
  samples_.push_back(v);
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  counts_.resize(kBuckets);
  for (u32 i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  if (!exact_ || !other.exact_ || samples_.size() + other.samples_.size() > kExactLimit) return drop_samples();
  samples_.insert(samples_.end(), other.samples_.begin(), other.samples_.end());
}

void Histogram::add_bucket(u32 bucket, u64 n) {
  drop_samples();
  counts_.resize(kBuckets);
  counts_[bucket] += n;
  count_ += n;
  const u64 low = bucket_low(bucket);
  sum_ += n * (low + (bucket_width(bucket) - 1) / 2);
  min_ = std::min(min_, low);
  max_ = std::max(max_, low + bucket_width(bucket) - 1);
}

void Histogram::restore_totals(u64 sum, u64 min, u64 max) {
  sum_ = sum;
  min_ = count_ ? min : min_;
  max_ = max;
}

Histogram::u64 Histogram::quantile(u32 per_100k) const {
  if (count_ == 0) return 0;
  const auto scaled = static_cast<km::u128>(count_) * per_100k;
  const u64 rank = std::max<u64>(1, static_cast<u64>((scaled + 99'999) / 100'000));
  if (exact_) {
    std::vector<u64> sorted = samples_;
    const auto nth = sorted.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(sorted.begin(), nth, sorted.end());
    return *nth;
  }
  u64 seen = 0;
  u32 bucket = 0;
  while ((seen += counts_[bucket]) < rank) ++bucket;
  return std::clamp(bucket_low(bucket) + (bucket_width(bucket) - 1) / 2, min_, max_);
}

}  // namespace forksim
