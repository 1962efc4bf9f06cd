// Placement rules: what may stand in for the kernel's own choice of a CPU at fork, exec and wake-up.
//
// Purpose: a rule sees a task, the CPUs it may run on and their loads exactly as the kernel keeps them (stale averages included), and names
//          a CPU, or leaves the decision to the kernel. The Scheduler checks the answer as select_task_rq does (select_fallback_rq).
// Source:  own; the loads are those of Linux 4.19 kernel/sched/fair.c. Rules are declared in placements.def.
// Units:   load, utilisation, capacity in the kernel's units (1024 = one CPU); dates in ns.
// Ownership: rules are borrowed by the Scheduler and must outlive it; a view lives for one decision.
// Errors:  an illegal CPU is reported (forksim:placement_illegal) and replaced; what a rule throws ends the run.
// Not modelled: the time that a rule would take (the phase select_task_rq_* stays what the kernel's own rule costs); real-time tasks and
//          tasks bound to one CPU are never asked about.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/base/types.hpp"

namespace forksim::km {

class Scheduler;
struct Task;

/// Which decision: SD_BALANCE_FORK, SD_BALANCE_EXEC, SD_BALANCE_WAKE.
enum class PlacementKind : u8 { fork, exec, wake, count_ };
inline constexpr std::size_t kPlacementKinds = static_cast<std::size_t>(PlacementKind::count_);
inline constexpr std::array<std::string_view, kPlacementKinds> kPlacementKindNames{"fork", "exec", "wake"};

enum class PlacementName : u8 {
#define PLACEMENT(name, fork_only, doc) name,
#include "kernel_model/sched/placements.def"
#undef PLACEMENT
  count_
};
struct PlacementInfo {
  std::string_view name;
  bool fork_only;
  std::string_view doc;
};
inline constexpr std::array<PlacementInfo, static_cast<std::size_t>(PlacementName::count_)> kPlacementTable{{
#define PLACEMENT(name, fork_only, doc) PlacementInfo{#name, fork_only, doc},
#include "kernel_model/sched/placements.def"
#undef PLACEMENT
}};
std::optional<PlacementName> find_placement(std::string_view name);

/// What decided: the branches of select_task_rq and below.
enum class PlacementStep : u8 {
#define STEP(name, function, doc) name,
#include "kernel_model/sched/placement_steps.def"
#undef STEP
  count_
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(PlacementStep::count_)> kPlacementStepNames{
#define STEP(name, function, doc) #name,
#include "kernel_model/sched/placement_steps.def"
#undef STEP
};
struct PlacementStepInfo {
  std::string_view name, function, doc;
};
inline constexpr std::array<PlacementStepInfo, static_cast<std::size_t>(PlacementStep::count_)> kPlacementStepTable{{
#define STEP(name, function, doc) PlacementStepInfo{#name, #function, doc},
#include "kernel_model/sched/placement_steps.def"
#undef STEP
}};

/// One CPU as the kernel sees it.
struct CpuLoad {
  u64 runnable_load_avg = 0, load_avg = 0;  ///< of the root cfs_rq
  u64 util = 0;                             ///< cpu_util()
  u64 capacity = 1024;                      ///< what real-time tasks leave of it
  u32 nr_running = 0;
  bool idle = false;   ///< idle_cpu()
  u64 idle_stamp = 0;  ///< run-queue clock when it went newly idle; 0: not idle, or never
};

/// One decision, read-only.
class PlacementView {
 public:
  PlacementView(Scheduler& s, const Task& p, PlacementKind kind, CpuId prev_cpu) : s_(s), p_(p), kind_(kind), prev_cpu_(prev_cpu) {}
  PlacementKind kind() const { return kind_; }
  Ns now() const;
  Pid pid() const;         ///< of the task to place
  Pid decider() const;     ///< of the task that forks, execs or wakes
  CpuId this_cpu() const;  ///< where the decision is made
  CpuId prev_cpu() const { return prev_cpu_; }  ///< where the task is (exec), was last (wake), or its parent is (fork)
  CpuMask candidates() const;                   ///< allowed and active
  u32 cpus() const;
  CpuLoad cpu(CpuId c) const;
  /// CPUs with the same last-level cache by the platform's word, whatever sched domains the profile builds.
  CpuMask cache_mates(CpuId c) const;

 private:
  Scheduler& s_;
  const Task& p_;
  PlacementKind kind_;
  CpuId prev_cpu_;
};

class PlacementRule {
 public:
  virtual ~PlacementRule() = default;
  /// The CPU, or nothing: as the kernel would.
  virtual std::optional<CpuId> select(const PlacementView& v) = 0;
};

/// Random bits for the rule `random`.
class DrawPort {
 public:
  virtual ~DrawPort() = default;
  virtual u64 draw() = 0;
};

/// What sees every fork decision and may replace it: branching the simulation lives outside the model.
class BranchPort {
 public:
  virtual ~BranchPort() = default;
  /// `choice` is legal; the return value must be too.
  virtual CpuId decided(const PlacementView& v, CpuId choice) = 0;
};

/// A built-in rule; null for `kernel`, and for `oracle`, which needs more than the model. `draws` must outlive it.
std::unique_ptr<PlacementRule> make_placement_rule(PlacementName name, DrawPort& draws);

/// For each kind of decision the number of a rule: 0 as the run says, i the rule rules[i - 1].
using PlacementIds = std::array<u8, kPlacementKinds>;

/// Which rules a run has. rules[0] is the kernel's own (null).
struct PlacementConfig {
  std::vector<PlacementRule*> rules;
  std::vector<std::string_view> names;  ///< of the rules, for the trace
  PlacementIds run{};  ///< for tasks that say nothing; 0: the kernel's own
  BranchPort* branches = nullptr;
  bool active() const { return rules.size() > 1 || branches; }
};

}  // namespace forksim::km
