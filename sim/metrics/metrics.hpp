// Names and definitions of the latency metrics, from metrics.def.
//
// Purpose: the enum and the table that the listener, reports, plots and `forksim list metrics` share. Source: contract.md, "Latency
//          metrics". Units: every metric is in ns. Ownership: constants. Errors: find_metric returns nothing for an unknown name.
// Not modelled: nothing at present (kMetricsNotModelled).
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim {

enum class Metric : km::u8 {
#define METRIC(name, from, to) name,
#include "sim/metrics/metrics.def"
#undef METRIC
  count_
};
inline constexpr std::size_t kMetrics = static_cast<std::size_t>(Metric::count_);

struct MetricInfo {
  std::string_view name, from, to;
};
inline constexpr std::array<MetricInfo, kMetrics> kMetricTable{{
#define METRIC(name, from, to) MetricInfo{#name, from, to},
#include "sim/metrics/metrics.def"
#undef METRIC
}};

/// Metrics that this version has no source for.
inline constexpr std::array<Metric, 0> kMetricsNotModelled{};

inline std::optional<Metric> find_metric(std::string_view name) {
  for (std::size_t i = 0; i < kMetrics; ++i)
    if (kMetricTable[i].name == name) return static_cast<Metric>(i);
  return std::nullopt;
}

}  // namespace forksim
