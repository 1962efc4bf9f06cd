// A baseline: results to hold new ones against, with their limits.
//
// Purpose: `results/baselines/NAME` as a gate: baseline.yaml (schema forksim.baseline/1) names the limits, results.csv beside it holds the
//          runs. Units: see fail_on.hpp. Ownership: values. Errors: Diagnostics at the file's lines.
// Not here: making one (`forksim sweep STUDY --out results/baselines/NAME`).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/config/schema.hpp"
#include "sim/study/fail_on.hpp"

namespace forksim {

struct Baseline {
  std::string study;  ///< as written; empty: not said
  std::vector<FailOn> fail_on;
};

/// Folder of a baseline given by name (below results/baselines) or as a path.
std::filesystem::path baseline_folder(const std::string& name);
/// Reads FOLDER/baseline.yaml or the file itself.
Baseline load_baseline(const std::filesystem::path& file_or_folder, const Vocabulary& vocabulary, Diagnostics& diags);

}  // namespace forksim
