#include "sim/output/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "sim/output/out_file.hpp"
#include "sim/output/plot_kinds.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

struct Kind {
  std::string_view name;
  std::vector<fs::path> (*draw)(const fs::path&, const PlotRequest&);
};
constexpr std::array kKinds{Kind{"cdf", &plot_cdf}, Kind{"gantt", &plot_gantt}};
constexpr std::array<std::string_view, 2> kFormats{"svg", "png"};

void check(const PlotRequest& r) {
  for (const std::string& k : r.kinds)
    if (k != "all" && std::none_of(kKinds.begin(), kKinds.end(), [&](const Kind& known) { return known.name == k; }))
      throw PlotRefused(fmt::format("plot kind '{}' is not in this version; allowed: cdf, gantt, all", k));
  for (const std::string& f : r.formats)
    if (std::find(kFormats.begin(), kFormats.end(), f) == kFormats.end())
      throw PlotRefused(fmt::format("plot format '{}' is not in this version; allowed: svg, png", f));
}

}  // namespace

std::string plot_subject(const Report& r) { return fmt::format("{} on {}, kernel {}, seed {}", r.workload, r.platform, r.kernel, r.seed); }

fs::path plots_folder(const fs::path& dir) {
  const fs::path plots = dir / "plots";
  std::error_code ec;
  fs::create_directories(plots, ec);
  if (ec) throw OutputError(plots.string() + ": cannot be created: " + ec.message());
  return plots;
}

std::vector<fs::path> plot(const fs::path& dir, const PlotRequest& request) {
  check(request);
  PlotRequest r = request;
  if (r.formats.empty()) r.formats.assign(kFormats.begin(), kFormats.end());
  const bool all = r.kinds.empty() || std::find(r.kinds.begin(), r.kinds.end(), "all") != r.kinds.end();
  std::vector<fs::path> out;
  for (const Kind& k : kKinds) {
    if (!all && std::find(r.kinds.begin(), r.kinds.end(), k.name) == r.kinds.end()) continue;
    const std::vector<fs::path> drawn = k.draw(dir, r);
    out.insert(out.end(), drawn.begin(), drawn.end());
  }
  return out;
}

}  // namespace forksim
