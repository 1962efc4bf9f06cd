// manifest.json: where a result comes from and what it cost to compute.
//
// Purpose: provenance; the only file of a result folder that is not deterministic. Format: schema forksim.manifest/1.
// Units:   seconds, bytes, events per second. Ownership: values. Errors: none (what the system does not tell is left out).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernel_model/base/types.hpp"
#include "sim/output/sha256.hpp"

namespace forksim {

struct ManifestInfo {
  std::vector<std::string> command;                           ///< argv as given
  std::vector<std::pair<std::string, std::string>> versions;  ///< forksim, SimGrid, Boost, yaml-cpp ...
  std::string git;                                            ///< hash of the source at build time, empty when not known
  std::vector<km::u64> seeds;
  std::vector<InputFile> inputs;
  double wall_s = 0;         ///< of the simulation
  km::u64 sched_events = 0;  ///< km::Totals::sched_events
};

/// `outputs`: name and SHA-256 of every deterministic file.
std::string render_manifest(const ManifestInfo& info, const std::vector<std::pair<std::string, std::string>>& outputs);

}  // namespace forksim
