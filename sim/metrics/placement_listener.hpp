// Where the kernel put each task: at fork, at exec, at wake-up.
//
// Purpose: one row per fork decision (forks.csv), and for every kind of decision its classes and the matrix deciding CPU x chosen CPU.
// Classes: same_cpu (the CPU that decides: the parent's, the waker's), idle_cpu (another one, idle), busy_while_idle (a busy one although
//          idle_mask was not empty), busy_none_idle. They are disjoint and add up to total. idle_mask is the model's.
//          A fork decision keeps its candidates and the trail of comparisons that led to it.
// Source:  forksim:placement and its placement_cpu, placement_mask, placement_group, placement_step; sched_wakeup_new, sched_switch.
// Units:   ns; loads in the kernel's units. Ownership: the caller's. Errors: none.
// Not modelled: the trail of exec and wake-up decisions (a trace shows them).
#pragma once

#include <array>
#include <span>
#include <vector>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/pid_table.hpp"

namespace forksim {

using PlacementKind = km::PlacementKind;
enum class PlacementClass : km::u8 { same_cpu, idle_cpu, busy_while_idle, busy_none_idle };

/// A CPU the child might have got, as the kernel saw it.
struct CandidateRecord {
  km::CpuId cpu;
  km::u64 runnable = 0, load = 0, util = 0, capacity = 0;
  km::u32 nr_running = 0;
  bool idle = false;
};
/// A stretch of one of the listener's lists.
struct Stretch {
  km::u32 first = 0, count = 0;
};
/// A mask: CPUs 0..63, and the words above that are not 0.
struct MaskRecord {
  km::u64 low = 0;
  Stretch high;
};
struct MaskWord {
  km::u32 word = 0;
  km::u64 bits = 0;
};
/// A group that find_idlest_group weighed, in ring order.
struct GroupRecord {
  MaskRecord span;
  km::u64 runnable = 0, load = 0;
  km::PlacementStep step{};
};
/// A comparison that decided; its groups are those since the step before.
struct StepRecord {
  km::PlacementStep step{};
  km::NameId level;  ///< domain or rule
  km::CpuId cpu;
  km::u32 pct = 0;
  km::u32 groups = 0;
};

struct ForkRecord {
  km::Ns at, woken = km::kNever, ran = km::kNever;  ///< decision, sched_wakeup_new, first switch-in; kNever: not yet
  km::Pid parent, child;
  km::CpuId this_cpu, cpu, ran_on;
  MaskRecord idle_mask;
  km::u64 runnable_this = 0, runnable_chosen = 0;
  PlacementClass cls = PlacementClass::same_cpu;
  Stretch candidates, groups, steps;
};

struct PlacementCounts {
  km::u64 total = 0, same_cpu = 0, idle_cpu = 0, busy_while_idle = 0, busy_none_idle = 0;
  km::u64 same_cpu_while_idle = 0;  ///< part of same_cpu: an idle CPU existed
  km::u64 prev_cpu = 0;             ///< the CPU chosen is the one the task was on
  std::vector<km::u64> matrix;      ///< [this_cpu * cpus + cpu]
};

class PlacementListener final : public km::TraceListener {
 public:
  explicit PlacementListener(km::u32 cpus);
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;
  const std::vector<ForkRecord>& forks() const { return forks_; }
  const PlacementCounts& counts(PlacementKind k) const { return counts_[static_cast<std::size_t>(k)]; }
  km::u32 cpus() const { return cpus_; }
  std::span<const CandidateRecord> candidates(const ForkRecord& f) const {
    return std::span(candidates_).subspan(f.candidates.first, f.candidates.count);
  }
  std::span<const GroupRecord> groups(const ForkRecord& f) const { return std::span(groups_).subspan(f.groups.first, f.groups.count); }
  std::span<const StepRecord> steps(const ForkRecord& f) const { return std::span(steps_).subspan(f.steps.first, f.steps.count); }
  km::CpuMask mask(const MaskRecord& m) const;

 private:
  MaskRecord take_mask(km::u64 low);
  bool has(const MaskRecord& m, km::u32 cpu) const;
  void on_placement(const km::TraceEvent& e);
  bool on_detail(const km::TraceEvent& e);
  void forget_details();

  km::u32 cpus_;
  std::array<PlacementCounts, static_cast<std::size_t>(PlacementKind::count_)> counts_;
  std::vector<ForkRecord> forks_;
  std::vector<CandidateRecord> candidates_;
  std::vector<GroupRecord> groups_;
  std::vector<StepRecord> steps_;
  std::vector<MaskWord> words_;
  km::u32 kept_candidates_ = 0, kept_groups_ = 0, kept_steps_ = 0, kept_words_ = 0;  ///< how many belong to decisions that are done
  km::u32 taken_words_ = 0;                                                          ///< how many belong to a mask
  PidTable<km::u32> pending_;  ///< fork row + 1 of a child that has not run yet
};

}  // namespace forksim
