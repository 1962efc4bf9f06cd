// The pictures a workload asks for. Purpose: draws its `plots:` into DIR/plots. Ownership: none. Errors: those of sim/output/plot.hpp.
#pragma once

#include <filesystem>
#include <vector>

#include "sim/workload/resolved_run.hpp"

namespace forksim {

void draw_planned(const std::filesystem::path& dir, const std::vector<PlannedPlot>& planned);

}  // namespace forksim
