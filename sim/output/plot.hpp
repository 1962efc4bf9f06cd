// Pictures of a result folder, drawn by gnuplot.
//
// Purpose: `forksim plot DIR` and the `plots:` section of a workload. Kinds: cdf (distribution of latency metrics, several metrics and
//          several folders in one picture, logarithmic time axis, percentiles marked) and gantt (who ran on which CPU, with fork and exit
//          marks). Reads report.json, histograms.json and schedule.csv only; nothing is run again.
// Output:  DIR/plots/<name>.svg and .png with script (<name>.gp) and data (<name>.dat ...) beside them; SVG bytes are deterministic for one
//          gnuplot version. Units: us (cdf), ms (gantt). Ownership: values.
// Errors:  PlotRefused (exit code 2: unknown kind, format, metric; nothing to draw), PlotError (exit code 4: gnuplot missing or failed),
//          ReportError for a folder that is not a result, OutputError when DIR cannot be written.
// Not modelled: other kinds and PDF are refused by name.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

struct PlotError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct PlotRefused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct PlotRequest {
  std::vector<std::string> kinds;              ///< cdf, gantt; empty or "all": both
  std::vector<std::string> formats;            ///< svg, png; empty: both
  std::vector<std::string> metrics;            ///< cdf: which metrics; empty: a choice of those that have samples
  std::vector<std::filesystem::path> compare;  ///< cdf: further result folders in the same picture
  km::Ns from{0}, to{0};                       ///< gantt: the part to draw; to = 0: from the first fork, as much as can be told apart
};

/// Draws and returns the pictures, in the order drawn.
std::vector<std::filesystem::path> plot(const std::filesystem::path& dir, const PlotRequest& request);

}  // namespace forksim
