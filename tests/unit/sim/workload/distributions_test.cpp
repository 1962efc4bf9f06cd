#include "sim/workload/distributions.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

using namespace forksim;

namespace {

constexpr s64 kFar = s64{1} << 62;
constexpr int kDraws = 200'000;

struct Moments {
  double mean, stddev;
  s64 median;
  int clipped;
};
Moments moments(const Distribution& d, u64 seed) {
  std::vector<s64> v;
  double sum = 0, squares = 0;
  int clipped = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Drawn x = draw(d, next_u64(seed));
    v.push_back(x.value);
    sum += static_cast<double>(x.value);
    squares += static_cast<double>(x.value) * static_cast<double>(x.value);
    clipped += x.clipped;
  }
  std::ranges::nth_element(v, v.begin() + kDraws / 2);
  const double mean = sum / kDraws;
  return {mean, std::sqrt(squares / kDraws - mean * mean), v[kDraws / 2], clipped};
}

}  // namespace

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("the engine is SplitMix64: seed 1234567 gives the published sequence") {
  u64 s = 1234567;
  CHECK(next_u64(s) == 6457827717110365317ULL);
  CHECK(next_u64(s) == 3203168211198807973ULL);
  CHECK(next_u64(s) == 9817491932198370423ULL);
  CHECK(next_u64(s) == 4593380528125082431ULL);
  CHECK(next_u64(s) == 16408922859458223821ULL);
}

TEST_CASE("known sequences: the same bits give the same values on every compiler") {
  u64 s = 1234567;
  const u64 bits[] = {next_u64(s), next_u64(s), next_u64(s)};  // u = 0.350079..., 0.173644..., 0.532207...
  CHECK(draw({DistKind::uniform, 0, 0, 1000, 1999}, bits[0]).value == 1350);
  CHECK(draw({DistKind::uniform, 0, 0, 1000, 1999}, bits[1]).value == 1173);
  CHECK(draw({DistKind::exponential, 1e6, 0, 0, kFar}, bits[0]).value ==
        static_cast<s64>(std::floor(-1e6 * std::log(unit_open(bits[0])) + 0.5)));
  CHECK(draw({DistKind::normal, 1e6, 1e5, 0, kFar}, 0x8000000000000000ULL).value == 1'000'000);  // u = 1/2 + 2^-54
  CHECK(draw({DistKind::lognormal, 200'000, 0.8, 0, kFar}, 0x8000000000000000ULL).value == 200'000);
  CHECK(draw({DistKind::pareto, 1000, 2, 0, kFar}, 0x4000000000000000ULL).value == 2000);  // (1/4)^(-1/2) = 2
  CHECK(draw({DistKind::constant, 77, 0, 0, 0}, bits[2]).value == 77);
}

TEST_CASE("quantiles of the normal distribution are those of the tables") {
  CHECK(normal_quantile(0.5) == 0);
  CHECK(normal_quantile(0.975) == doctest::Approx(1.959963984540054).epsilon(1e-14));
  CHECK(normal_quantile(0.8413447460685429) == doctest::Approx(1).epsilon(1e-13));
  CHECK(normal_quantile(0.001) == doctest::Approx(-3.090232306167814).epsilon(1e-14));
  CHECK(normal_quantile(1e-12) == doctest::Approx(-7.034483825301132).epsilon(1e-13));
  for (double p : {1e-9, 0.01, 0.2, 0.4249, 0.49}) CHECK(normal_quantile(p) == doctest::Approx(-normal_quantile(1 - p)).epsilon(1e-6));
}

TEST_CASE("moments of 200,000 draws are within five standard errors") {
  constexpr u64 kSeed = 42;
  MESSAGE("seed " << kSeed);
  const double root = std::sqrt(double(kDraws));
  const Moments u = moments({DistKind::uniform, 0, 0, 0, 1'000'000}, kSeed);
  CHECK(std::fabs(u.mean - 500'000) < 5 * 288'675 / root);  // (max - min) / sqrt(12)
  CHECK(u.stddev == doctest::Approx(288'675).epsilon(0.01));
  const Moments e = moments({DistKind::exponential, 1e6, 0, 0, kFar}, kSeed);
  CHECK(std::fabs(e.mean - 1e6) < 5 * 1e6 / root);
  CHECK(double(e.median) == doctest::Approx(1e6 * std::log(2)).epsilon(0.02));
  const Moments n = moments({DistKind::normal, 1e6, 1e5, 0, kFar}, kSeed);
  CHECK(std::fabs(n.mean - 1e6) < 5 * 1e5 / root);
  CHECK(n.stddev == doctest::Approx(1e5).epsilon(0.01));
  const Moments l = moments({DistKind::lognormal, 200'000, 0.8, 0, kFar}, kSeed);
  CHECK(double(l.median) == doctest::Approx(200'000).epsilon(0.01));
  CHECK(l.mean == doctest::Approx(200'000 * std::exp(0.32)).epsilon(0.02));  // median * exp(sigma^2 / 2)
  const Moments p = moments({DistKind::pareto, 1000, 3, 0, kFar}, kSeed);
  CHECK(p.mean == doctest::Approx(1500).epsilon(0.02));  // scale * a / (a - 1)
  CHECK(double(p.median) == doctest::Approx(1000 * std::cbrt(2.0)).epsilon(0.01));
}

TEST_CASE("draws beyond the bounds are set to the bound and say so") {
  const Distribution d{DistKind::exponential, 1e6, 0, 500'000, 2'000'000};
  const Moments m = moments(d, 7);
  // P(X < 0.5 mean) + P(X > 2 mean) = 1 - e^-0.5 + e^-2 = 0.5288
  CHECK(double(m.clipped) / kDraws == doctest::Approx(0.5288).epsilon(0.02));
  CHECK(draw(d, ~u64{0}).value == 500'000);
  CHECK(draw(d, 0).value == 2'000'000);
  CHECK(draw({DistKind::normal, 0, 1e6, 0, kFar}, 1).value == 0);
}

TEST_CASE("a uniform draw reaches both ends and nothing beyond") {
  std::set<s64> seen;
  u64 s = 3;
  for (int i = 0; i < 1000; ++i) seen.insert(draw({DistKind::uniform, 0, 0, 5, 8}, next_u64(s)).value);
  CHECK(seen == std::set<s64>{5, 6, 7, 8});
  CHECK(draw({DistKind::uniform, 0, 0, 5, 8}, 0).value == 5);
  CHECK(draw({DistKind::uniform, 0, 0, 5, 8}, ~u64{0}).value == 8);
}

TEST_CASE("keys of neighbours differ in about half of their bits") {
  for (u64 i = 0; i < 100; ++i) {
    const int bits = std::popcount(derive_key(1, i) ^ derive_key(1, i + 1));
    CHECK(bits > 10);
    CHECK(bits < 54);
  }
  CHECK(derive_key(1, 2) != derive_key(2, 1));
}

TEST_SUITE_END();
