// histograms.json: the latency histograms in a form that adds up across runs.
//
// Format:  schema forksim.histograms/1; per metric count, sum, min, max and the non-empty buckets as [index, count]; the bucket of an index
//          is defined in sim/metrics/histogram.hpp and repeated in the file (`layout`). Units: ns. Ownership: values.
// Errors:  ReportError for a file that is not of this schema.
#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "sim/metrics/latency_listener.hpp"

namespace forksim {

using Histograms = std::array<Histogram, kMetrics>;

std::string render_histograms_json(const LatencyListener& latency);
Histograms parse_histograms_json(const std::string& text);
/// Reads DIR/histograms.json.
Histograms load_histograms(const std::filesystem::path& dir);

}  // namespace forksim
