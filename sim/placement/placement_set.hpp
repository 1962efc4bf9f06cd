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
#include "sim/placement/regret.hpp"

namespace forksim {

class PlacementSet final : public km::DrawPort {
 public:
  /// `trace` is the run's; at most `jobs` branches at once.
  PlacementSet(km::u64 seed, km::u32 cpus, km::Trace& trace, unsigned jobs);
  PlacementSet(const PlacementSet&) = delete;
  PlacementSet& operator=(const PlacementSet&) = delete;

  /// Makes rule i for name i; the first name is `kernel`.
  void load(const std::vector<std::string>& names, Diagnostics& diags);
  /// For KernelConfig::placement; null is the kernel's own.
  std::vector<km::PlacementRule*> rules() const;
  /// Files of plug-ins among the names.
  const std::vector<std::string>& plugins() const { return plugins_; }
  km::u64 draw() override;

  /// Regret of `forks` decisions of `total`; the result is the port of KernelConfig::placement.
  Regret& start_regret(km::Ns horizon, km::u64 forks, km::u64 total);
  /// This process is a branch, and must end with end_branch when the simulation does.
  bool in_branch() const { return in_branch_; }
  [[noreturn]] void end_branch(km::Ns now, bool failed);

 private:
  std::vector<std::unique_ptr<km::PlacementRule>> rules_;
  std::vector<std::string> plugins_;
  km::u64 seed_, stream_;
  km::u32 cpus_;
  km::Trace& trace_;
  unsigned jobs_;
  bool in_branch_ = false;
  Brancher oracle_;
  std::unique_ptr<Brancher> regret_branches_;
  std::unique_ptr<Regret> regret_;
};

}  // namespace forksim
