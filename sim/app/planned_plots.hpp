// The pictures a workload asks for.
//
// Purpose: draws the workload's `plots:` section into DIR/plots with the run. Source: sim/config/schema.def, object "plot".
// Units: ns in requests. Ownership: none. Errors: PlotError and PlotRefused of sim/output/plot.hpp pass through.
// Not here: what `forksim plot` reads from its command line (plot_command.cpp).
#pragma once

#include <filesystem>
#include <vector>

#include "sim/workload/resolved_run.hpp"

namespace forksim {

void draw_planned(const std::filesystem::path& dir, const std::vector<PlannedPlot>& planned);

}  // namespace forksim
