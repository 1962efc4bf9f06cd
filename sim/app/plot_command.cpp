// forksim plot, and the `plots:` section of a workload.
#include <fmt/format.h>

#include <cstdio>

#include "sim/app/commands.hpp"
#include "sim/app/guarded.hpp"
#include "sim/app/planned_plots.hpp"
#include "sim/config/units.hpp"
#include "sim/output/plot.hpp"

namespace forksim {

void draw_planned(const std::filesystem::path& dir, const std::vector<PlannedPlot>& planned) {
  for (const PlannedPlot& p : planned) {
    PlotRequest r;
    r.kinds = {p.kind};
    r.metrics = p.metrics;
    if (p.from) r.from = *p.from;
    if (p.to) r.to = *p.to;
    try {
      plot(dir, r);
    } catch (const PlotRefused& e) {  // a run cut short may have nothing to draw; its numbers are still good
      fmt::print(stderr, "plots: {}\n", e.what());
    }
  }
}

namespace {

/// A date of the command line; prints what is wrong.
bool read_date(const char* option, const std::string& text, km::Ns& out) {
  if (text.empty()) return true;
  const auto parsed = parse_duration(text);
  if (!parsed) {
    fmt::print(stderr, "{} {}: {}; allowed: {}\n", option, text, parsed.what, parsed.allowed);
    return false;
  }
  out = km::Ns(static_cast<km::u64>(*parsed.value));
  return true;
}

}  // namespace

int plot_command(const PlotCommand& c) {
  PlotRequest r;
  r.kinds = c.kinds;
  r.formats = c.formats;
  r.metrics = c.metrics;
  r.compare.assign(c.dirs.begin() + 1, c.dirs.end());
  if (!read_date("--from", c.from, r.from) || !read_date("--to", c.to, r.to)) return ExitCode::kBadInput;
  return guarded("the plot", [&] {
    for (const auto& picture : plot(c.dirs.front(), r)) fmt::print("{}\n", picture.string());
    return ExitCode::kOk;
  });
}

}  // namespace forksim
