#include "sim/study/rank_tests.hpp"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>

#include "sim/config/streams.hpp"

namespace forksim {

namespace {

/// Work of one bootstrap: resamples are cut, not below kFewest, when a sample has many pairs.
constexpr std::size_t kPairBudget = 1'000'000;
constexpr unsigned kFewest = 200;

double two_sided(double statistic, double mean, double variance) {
  if (variance <= 0) return 1;
  const double z = (std::abs(statistic - mean) - 0.5) / std::sqrt(variance);
  if (z <= 0) return 1;
  return std::min(1.0, 2 * boost::math::cdf(boost::math::complement(boost::math::normal(), z)));
}

/// Twice the smaller tail, the value itself in both.
double two_sided(const std::vector<double>& ways, std::size_t sum) {
  const double all = std::accumulate(ways.begin(), ways.end(), 0.0);
  const double low = std::accumulate(ways.begin(), ways.begin() + static_cast<std::ptrdiff_t>(sum) + 1, 0.0);
  const double high = std::accumulate(ways.begin() + static_cast<std::ptrdiff_t>(sum), ways.end(), 0.0);
  return std::min(1.0, 2 * std::min(low, high) / all);
}

template <class Draw>
Interval bootstrap(double confidence, unsigned resamples, Draw draw) {
  std::vector<double> values(resamples);
  for (double& v : values) v = draw();
  std::ranges::sort(values);
  const double tail = (1 - confidence) / 2;
  return {quantile(values, tail), quantile(values, 1 - tail)};
}

unsigned affordable(unsigned resamples, std::size_t pairs) {
  const std::size_t budget = kPairBudget / std::max<std::size_t>(pairs, 1);
  return static_cast<unsigned>(std::min<std::size_t>(resamples, std::max<std::size_t>(budget, kFewest)));
}

}  // namespace

RankTests::Ranked RankTests::rank(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return values[i]; });
  Ranked r;
  r.of.resize(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t end = first + 1;
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    const double ties = static_cast<double>(end - first);
    r.tie_sum += ties * ties * ties - ties;
    for (std::size_t i = first; i < end; ++i) {
      r.of[order[i]] = static_cast<int>(first + end + 1);
      r.doubled.push_back(r.of[order[i]]);
    }
    first = end;
  }
  return r;
}

const std::vector<double>& RankTests::ways(const std::vector<int>& doubled, int take) {
  const auto [at, fresh] = cache_.try_emplace({doubled, take});
  if (!fresh) return at->second;
  const auto total = static_cast<std::size_t>(std::accumulate(doubled.begin(), doubled.end(), 0));
  const std::size_t sets = take < 0 ? 1 : static_cast<std::size_t>(take) + 1;
  std::vector<std::vector<double>> counts(sets, std::vector<double>(total + 1, 0.0));
  counts[0][0] = 1;
  for (int value : doubled) {
    const auto v = static_cast<std::size_t>(value);
    for (std::size_t k = sets; k-- > 0;) {
      if (take >= 0 && k == 0) break;
      const std::vector<double>& from = counts[take < 0 ? 0 : k - 1];
      for (std::size_t s = total; s >= v; --s) counts[k][s] += from[s - v];
    }
  }
  at->second = std::move(counts[sets - 1]);
  return at->second;
}

RankTests::Outcome RankTests::signed_rank(std::span<const double> differences) {
  std::vector<double> sizes;
  std::vector<bool> up;
  for (double d : differences) {
    if (d == 0) continue;
    sizes.push_back(std::abs(d));
    up.push_back(d > 0);
  }
  const double n = static_cast<double>(sizes.size());
  if (sizes.empty()) return {};
  const Ranked r = rank(sizes);
  std::size_t sum = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    if (up[i]) sum += static_cast<std::size_t>(r.of[i]);
  if (sizes.size() <= kExactLimit) return {two_sided(ways(r.doubled, -1), sum), true};
  const double variance = n * (n + 1) * (2 * n + 1) / 24 - r.tie_sum / 48;
  return {two_sided(static_cast<double>(sum) / 2, n * (n + 1) / 4, variance), false};
}

RankTests::Outcome RankTests::rank_sum(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) return {};
  std::vector<double> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  const Ranked r = rank(all);
  std::size_t sum = 0;
  for (std::size_t i = a.size(); i < all.size(); ++i) sum += static_cast<std::size_t>(r.of[i]);
  if (all.size() <= kExactLimit) return {two_sided(ways(r.doubled, static_cast<int>(b.size())), sum), true};
  const double n = static_cast<double>(all.size()), na = static_cast<double>(a.size()), nb = static_cast<double>(b.size());
  const double variance = na * nb / 12 * (n + 1 - r.tie_sum / (n * (n - 1)));
  return {two_sided(static_cast<double>(sum) / 2, nb * (n + 1) / 2, variance), false};
}

double quantile(const std::vector<double>& sorted, double q) {
  if (sorted.empty()) return 0;
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  if (i + 1 >= sorted.size()) return sorted.back();
  return sorted[i] + (at - static_cast<double>(i)) * (sorted[i + 1] - sorted[i]);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double paired_shift(std::span<const double> differences) {
  std::vector<double> walsh;
  walsh.reserve(differences.size() * (differences.size() + 1) / 2);
  for (std::size_t i = 0; i < differences.size(); ++i)
    for (std::size_t j = i; j < differences.size(); ++j) walsh.push_back((differences[i] + differences[j]) / 2);
  return median(std::move(walsh));
}

double unpaired_shift(std::span<const double> a, std::span<const double> b) {
  std::vector<double> all;
  all.reserve(a.size() * b.size());
  for (double x : a)
    for (double y : b) all.push_back(y - x);
  return median(std::move(all));
}

Interval paired_interval(std::span<const double> differences, double confidence, unsigned resamples, km::u64 stream) {
  const std::size_t n = differences.size();
  std::vector<double> drawn(n);
  return bootstrap(confidence, affordable(resamples, n * (n + 1) / 2), [&] {
    for (double& d : drawn) d = differences[below(next_u64(stream), n)];
    return paired_shift(drawn);
  });
}

Interval unpaired_interval(std::span<const double> base, std::span<const double> next, double confidence, unsigned resamples,
                           km::u64 stream) {
  std::vector<double> a(base.size()), b(next.size());
  return bootstrap(confidence, affordable(resamples, a.size() * b.size()), [&] {
    for (double& v : a) v = base[below(next_u64(stream), base.size())];
    for (double& v : b) v = next[below(next_u64(stream), next.size())];
    return unpaired_shift(a, b);
  });
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return p[i]; });
  std::vector<double> out(p.size());
  double highest = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    highest = std::max(highest, std::min(1.0, p[order[k]] * static_cast<double>(p.size() - k)));
    out[order[k]] = highest;
  }
  return out;
}

}  // namespace forksim
