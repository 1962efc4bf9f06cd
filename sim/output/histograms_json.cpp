#include "sim/output/histograms_json.hpp"

#include <nlohmann/json.hpp>

#include "sim/output/json_lines.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/report.hpp"

namespace forksim {

using Json = nlohmann::ordered_json;
using km::u32;
using km::u64;

namespace {

constexpr const char* kHistogramsSchema = "forksim.histograms/1";

Json to_json(const Histogram& h) {
  Json buckets = Json::array();
  for (u32 b = 0; b < h.counts().size(); ++b)
    if (h.counts()[b]) buckets.push_back(Json::array({b, h.counts()[b]}));
  return {{"count", h.count()}, {"sum", h.sum()}, {"min", h.min()}, {"max", h.max()}, {"buckets", buckets}};
}

Histogram histogram_from_json(const Json& j) {
  Histogram h;
  for (const Json& pair : j.at("buckets")) {
    const u32 bucket = pair.at(0).get<u32>();
    if (bucket >= Histogram::kBuckets) throw ReportError("a bucket number is " + std::to_string(bucket) + ", too large");
    h.add_bucket(bucket, pair.at(1).get<u64>());
  }
  if (j.at("min").get<u64>() > j.at("max").get<u64>()) throw ReportError("min is larger than max");
  h.restore_totals(j.at("sum").get<u64>(), j.at("min").get<u64>(), j.at("max").get<u64>());
  return h;
}

}  // namespace

std::string render_histograms_json(const LatencyListener& latency) {
  Json j = {{"schema", kHistogramsSchema},
            {"unit", "ns"},
            {"layout", {{"significant_bits", Histogram::kBits}, {"buckets", Histogram::kBuckets}}}};
  Json& metrics = j["metrics"] = Json::object();
  for (std::size_t m = 0; m < kMetrics; ++m)
    metrics[std::string(kMetricTable[m].name)] = to_json(latency.histogram(static_cast<Metric>(m)));
  return json_lines(j);
}

Histograms parse_histograms_json(const std::string& text) {
  try {
    const Json j = Json::parse(text);
    if (!j.is_object() || j.value("schema", std::string()) != kHistogramsSchema)
      throw ReportError(std::string("not of schema ") + kHistogramsSchema);
    Histograms out;
    for (const auto& [name, value] : j.at("metrics").items())
      if (const auto m = find_metric(name)) out[static_cast<std::size_t>(*m)] = histogram_from_json(value);
    return out;
  } catch (const Json::exception& e) {
    throw ReportError(e.what());
  }
}

Histograms load_histograms(const std::filesystem::path& dir) {
  const std::filesystem::path file = dir / "histograms.json";
  try {
    return parse_histograms_json(read_file(file));
  } catch (const OutputError& e) {
    throw ReportError(e.what());
  } catch (const ReportError& e) {
    throw ReportError(file.string() + ": " + e.what());
  }
}

}  // namespace forksim
