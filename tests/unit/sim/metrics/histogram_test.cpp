#include "sim/metrics/histogram.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

TEST_SUITE_BEGIN("sim/metrics");

using forksim::Histogram;
using forksim::km::u64;

namespace {
/// A histogram of the same values that has forgotten its exact samples.
Histogram without_samples(const Histogram& h) {
  Histogram out;
  for (forksim::km::u32 b = 0; b < h.counts().size(); ++b)
    if (h.counts()[b]) out.add_bucket(b, h.counts()[b]);
  out.restore_totals(h.sum(), h.min(), h.max());
  return out;
}
}  // namespace

TEST_CASE("histogram: buckets below 256 hold one value, later ones v / 128 or less, and they tile the integers") {
  CHECK(Histogram::bucket_of(0) == 0);
  CHECK(Histogram::bucket_of(255) == 255);
  // 256 = 1 0000 0000b keeps its top 8 bits: shift 1, bucket 128 + 128; 257 shares it.
  CHECK(Histogram::bucket_of(256) == 256);
  CHECK(Histogram::bucket_of(257) == 256);
  CHECK(Histogram::bucket_of(258) == 257);
  CHECK(Histogram::bucket_of(~u64{0}) == Histogram::kBuckets - 1);
  for (forksim::km::u32 b = 0; b + 1 < Histogram::kBuckets; ++b) {
    const u64 low = Histogram::bucket_low(b), next = Histogram::bucket_low(b + 1);
    REQUIRE(low + Histogram::bucket_width(b) == next);
    REQUIRE(Histogram::bucket_of(low) == b);
    REQUIRE(Histogram::bucket_of(next - 1) == b);
    REQUIRE((b < 256 || Histogram::bucket_width(b) <= low / 128));
  }
}

TEST_CASE("histogram: quantiles of few samples are the nearest rank, exactly") {
  Histogram h;
  for (u64 v = 1; v <= 10; ++v) h.add(v * 1'000'003);
  CHECK(h.exact());
  CHECK(h.quantile(50'000) == 5 * 1'000'003);   // rank ceil(0.5 * 10) = 5
  CHECK(h.quantile(90'000) == 9 * 1'000'003);   // rank 9
  CHECK(h.quantile(99'000) == 10 * 1'000'003);  // rank ceil(9.9) = 10
  CHECK(h.quantile(0) == 1'000'003);
  CHECK(h.mean() == doctest::Approx(5.5 * 1'000'003));
  CHECK(Histogram{}.quantile(50'000) == 0);
}

TEST_CASE("histogram: without samples every quantile is within 1/256 of the true one") {
  const unsigned seed = 20260701;
  std::mt19937_64 random(seed);
  INFO("seed " << seed);
  for (int round = 0; round < 50; ++round) {
    Histogram h;
    std::vector<u64> values(1 + random() % 3000);
    const unsigned bits = 1 + static_cast<unsigned>(random() % 50);
    for (u64& v : values) h.add(v = random() % (u64{1} << bits));
    std::ranges::sort(values);
    const Histogram coarse = without_samples(h);
    for (unsigned q : {0u, 1u, 10'000u, 50'000u, 90'000u, 99'000u, 99'900u, 100'000u}) {
      const u64 rank = std::max<u64>(1, (values.size() * u64{q} + 99'999) / 100'000), truth = values[rank - 1];
      REQUIRE(h.quantile(q) == truth);
      const u64 got = coarse.quantile(q), error = got > truth ? got - truth : truth - got;
      REQUIRE(error <= truth / 256 + 1);
    }
  }
}

TEST_CASE("histogram: merging two runs gives the histogram of both") {
  const unsigned seed = 7;
  std::mt19937_64 random(seed);
  INFO("seed " << seed);
  Histogram a, b, both;
  for (int i = 0; i < 5000; ++i) {
    const u64 v = random() % 1'000'000;
    (i % 3 ? a : b).add(v);
    both.add(v);
  }
  a.merge(b);
  CHECK(a.counts() == both.counts());
  CHECK(a.count() == 5000);
  CHECK(a.sum() == both.sum());
  CHECK(a.min() == both.min());
  CHECK(a.max() == both.max());
  CHECK(a.quantile(99'000) == both.quantile(99'000));
}

TEST_CASE("histogram: more samples than are kept fall back to buckets") {
  Histogram h;
  for (u64 i = 0; i <= Histogram::kExactLimit; ++i) h.add(100'000);
  CHECK_FALSE(h.exact());
  CHECK(h.count() == Histogram::kExactLimit + 1);
  CHECK(h.quantile(50'000) == 100'000);  // clamped to [min, max]
}

TEST_SUITE_END();
