// The placement rules of one run.
//
// Purpose: makes the rules that a workload names: built in, or the plug-in behind a file. Source: kernel_model/sched/placements.def.
// Units:   none. Ownership: owns the rules and their random stream; must outlive the kernel that borrows them; not movable, because the
//          rules borrow from it. Errors: Diagnostics for a plug-in that cannot be loaded. Randomness: stream placement.random of the seed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "sim/config/diagnostics.hpp"

namespace forksim {

class PlacementSet final : public km::DrawPort {
 public:
  explicit PlacementSet(km::u64 seed);
  PlacementSet(const PlacementSet&) = delete;
  PlacementSet& operator=(const PlacementSet&) = delete;

  /// Makes rule i for name i; the first name is `kernel`.
  void load(const std::vector<std::string>& names, Diagnostics& diags);
  /// For KernelConfig::placement; null is the kernel's own.
  std::vector<km::PlacementRule*> rules() const;
  km::u64 draw() override;

 private:
  std::vector<std::unique_ptr<km::PlacementRule>> rules_;
  km::u64 stream_;
};

}  // namespace forksim
