// Rank tests, shifts and corrections against numbers worked out by hand, and against counting every arrangement.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "sim/study/rank_tests.hpp"
#include "sim/config/streams.hpp"

using namespace forksim;

namespace {

std::vector<double> ranks(const std::vector<double>& v) {
  std::vector<double> r;
  for (double x : v) {
    double below_x = 0, equal = 0;
    for (double y : v) {
      below_x += y < x;
      equal += y == x;
    }
    r.push_back(below_x + (equal + 1) / 2);
  }
  return r;
}

double two_tails(double low, double high, double all) { return std::min(1.0, 2 * std::min(low, high) / all); }

/// Every choice of signs.
double signed_rank_by_counting(const std::vector<double>& d) {
  std::vector<double> size, kept;
  for (double x : d)
    if (x != 0) {
      kept.push_back(x);
      size.push_back(std::abs(x));
    }
  const std::vector<double> r = ranks(size);
  double seen = 0, low = 0, high = 0;
  for (std::size_t i = 0; i < r.size(); ++i)
    if (kept[i] > 0) seen += r[i];
  for (unsigned signs = 0; signs < 1u << r.size(); ++signs) {
    double sum = 0;
    for (std::size_t i = 0; i < r.size(); ++i)
      if (signs >> i & 1) sum += r[i];
    low += sum <= seen;
    high += sum >= seen;
  }
  return two_tails(low, high, std::pow(2.0, static_cast<double>(r.size())));
}

/// Every choice of the second sample.
double rank_sum_by_counting(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> all = a;
  all.insert(all.end(), b.begin(), b.end());
  const std::vector<double> r = ranks(all);
  double seen = 0, low = 0, high = 0, ways = 0;
  for (std::size_t i = a.size(); i < all.size(); ++i) seen += r[i];
  for (unsigned chosen = 0; chosen < 1u << all.size(); ++chosen) {
    if (static_cast<std::size_t>(std::popcount(chosen)) != b.size()) continue;
    double sum = 0;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (chosen >> i & 1) sum += r[i];
    ++ways;
    low += sum <= seen;
    high += sum >= seen;
  }
  return two_tails(low, high, ways);
}

}  // namespace

TEST_SUITE("sim/study") {
  TEST_CASE("signed rank: five differences of one sign have 2 of 32 arrangements as extreme") {
    RankTests t;
    const std::vector<double> up{1, 2, 3, 4, 5}, mixed{1, 2, -3}, none{0, 0};
    CHECK(t.signed_rank(up).p == doctest::Approx(2.0 / 32));
    // ranks 1 2 3, those above zero sum to 3: 5 of 8 arrangements are at most that, 5 at least
    CHECK(t.signed_rank(mixed).p == 1.0);
    CHECK(t.signed_rank(none).p == 1.0);
  }

  TEST_CASE("rank sum: three above three is 1 of 20 arrangements on each side") {
    RankTests t;
    const std::vector<double> low{1, 2, 3}, high{4, 5, 6};
    CHECK(t.rank_sum(low, high).p == doctest::Approx(2.0 / 20));
    // ranks 2 2 2 4: half of the six pairs hold the 4
    const std::vector<double> a{1, 1}, b{1, 2};
    CHECK(t.rank_sum(a, b).p == 1.0);
  }

  TEST_CASE("exact p-values are those of counting every arrangement, ties and zeros included") {
    for (u64 seed = 1; seed <= 200; ++seed) {
      CAPTURE(seed);
      u64 s = seed;
      std::vector<double> a(1 + below(next_u64(s), 6)), b(1 + below(next_u64(s), 6)), d(1 + below(next_u64(s), 9));
      for (double& x : a) x = static_cast<double>(below(next_u64(s), 8));
      for (double& x : b) x = static_cast<double>(below(next_u64(s), 8));
      for (double& x : d) x = static_cast<double>(below(next_u64(s), 11)) - 5;
      RankTests t;
      CHECK(t.rank_sum(a, b).p == doctest::Approx(rank_sum_by_counting(a, b)));
      CHECK(t.signed_rank(d).p == doctest::Approx(signed_rank_by_counting(d)));
    }
  }

  TEST_CASE("beyond the exact limit the normal approximation takes over without a jump") {
    // 25 pairs against 25 exactly, 26 against 26 approximately: the same slight shift must look much the same
    const auto p_of = [](std::size_t n) {
      std::vector<double> a, b;
      for (std::size_t i = 0; i < n; ++i) {
        a.push_back(static_cast<double>(2 * i));
        b.push_back(static_cast<double>(2 * i) + 9.0);
      }
      RankTests t;
      return t.rank_sum(a, b);
    };
    CHECK(p_of(25).exact);
    CHECK_FALSE(p_of(26).exact);
    CHECK(p_of(26).p == doctest::Approx(p_of(25).p).epsilon(0.05));
  }

  TEST_CASE("shifts are medians of Walsh averages and of all differences") {
    // 1 1.5 5 2 5.5 9 in order: 1 1.5 2 5 5.5 9
    CHECK(paired_shift(std::vector<double>{1, 2, 9}) == 3.5);
    // 3-1 3-2 7-1 7-2 in order: 1 2 5 6
    CHECK(unpaired_shift(std::vector<double>{1, 2}, std::vector<double>{3, 7}) == 3.5);
  }

  TEST_CASE("holm multiplies the smallest p by all tests, the next by one less, and never falls") {
    const std::vector<double> corrected = holm({0.01, 0.04, 0.03});
    CHECK(corrected[0] == doctest::Approx(0.03));
    CHECK(corrected[2] == doctest::Approx(0.06));
    CHECK(corrected[1] == doctest::Approx(0.06));
  }

  TEST_CASE("a bootstrap interval holds the effect, repeats with its stream, and is a point when every pair agrees") {
    std::vector<double> d;
    for (int i = 0; i < 20; ++i) d.push_back(4 + 0.37 * (i * i % 13) - 0.41 * (i * i % 11));
    const Interval i = paired_interval(d, 0.95, 500, 42);
    CHECK(i.low < paired_shift(d));
    CHECK(i.high > paired_shift(d));
    CHECK(paired_interval(d, 0.95, 500, 42).low == i.low);
    CHECK(paired_interval(d, 0.95, 500, 43).low != i.low);
    const std::vector<double> flat(10, 100.0), up(10, 105.0);
    CHECK(paired_interval(std::vector<double>(10, 5.0), 0.95, 200, 1).low == doctest::Approx(5));
    CHECK(unpaired_interval(flat, up, 0.95, 200, 1).high == doctest::Approx(5));
  }
}
