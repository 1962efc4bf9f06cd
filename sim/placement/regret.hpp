// Regret: how long each child would have waited on the other CPUs; and the rule `oracle`, which acts on the answer.
//
// Purpose: a port that sees every fork decision of the kernel model, branches the simulation for each other allowed CPU, and keeps the
//          waits; the wait on the CPU that was chosen is measured in the run itself. Source: own.
// Units:   ns. Ownership: borrows the Brancher. Errors: BranchError passes through. Randomness: which N forks are sampled is drawn from
//          stream regret.sample of the seed, without looking at them.
// Choices: oracle measures every allowed CPU, the kernel's choice too, and takes the least wait until the child first runs; ties: the
//          kernel's choice, then the lowest CPU. In a branch all later forks are placed by the kernel's rule, so each decision's bound is
//          against that future.
#pragma once

#include <optional>

#include "kernel_model/sched/placement_rule.hpp"
#include "sim/placement/brancher.hpp"

namespace forksim {

/// A fork decision and what it would have been on each CPU.
struct RegretDecision {
  km::Ns at;
  km::Pid parent, child;
  km::CpuId chosen;
  std::vector<ChildWait> waits;  ///< by CPU; the one of `chosen` is the run's own
};

class Regret final : public km::BranchPort {
 public:
  /// `forks` of `total` decisions are sampled; as many as total: all.
  Regret(Brancher& brancher, km::Ns horizon, km::u64 seed, km::u64 forks, km::u64 total);
  /// Subscribe this to the run's trace: it measures the CPUs that were chosen.
  ChildWatch& watch() { return watch_; }
  km::CpuId decided(const km::PlacementView& v, km::CpuId choice) override;
  /// After the run: every sampled decision, in order.
  std::vector<RegretDecision> results(km::Ns now);

 private:
  bool sampled();

  Brancher& brancher_;
  ChildWatch watch_;
  km::u64 stream_, wanted_, left_;
  std::vector<RegretDecision> decisions_;
};

/// Counts fork decisions, for the sample.
class ForkCounter final : public km::BranchPort {
 public:
  km::CpuId decided(const km::PlacementView&, km::CpuId choice) override {
    ++count_;
    return choice;
  }
  km::u64 count() const { return count_; }

 private:
  km::u64 count_ = 0;
};

class OracleRule final : public km::PlacementRule {
 public:
  explicit OracleRule(Brancher& brancher) : brancher_(brancher) {}
  std::optional<km::CpuId> select(const km::PlacementView& v) override;

 private:
  Brancher& brancher_;
};

}  // namespace forksim
