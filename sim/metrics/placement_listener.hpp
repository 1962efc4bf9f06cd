// Where the kernel put each task: at fork, at exec, at wake-up.
//
// Purpose: one row per fork decision (forks.csv), and for every kind of decision its classes and the matrix deciding CPU x chosen CPU.
// Classes: same_cpu (the CPU that decides: the parent's, the waker's), idle_cpu (another one, idle), busy_while_idle (a busy one although
//          idle_mask was not empty), busy_none_idle. They are disjoint and add up to total. idle_mask is the model's, of CPUs 0..63.
// Source:  forksim:placement, sched_wakeup_new, sched_switch. Units: ns. Ownership: the caller's. Errors: none.
// Not modelled: why (the loads behind a decision are in runnable_this and runnable_chosen only).
#pragma once

#include <array>
#include <vector>

#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/pid_table.hpp"

namespace forksim {

using PlacementKind = km::PlacementKind;
enum class PlacementClass : km::u8 { same_cpu, idle_cpu, busy_while_idle, busy_none_idle };

struct ForkRecord {
  km::Ns at, woken = km::kNever, ran = km::kNever;  ///< decision, sched_wakeup_new, first switch-in; kNever: not yet
  km::Pid parent, child;
  km::CpuId this_cpu, cpu, ran_on;
  km::u64 idle_mask = 0, runnable_this = 0, runnable_chosen = 0;
  PlacementClass cls = PlacementClass::same_cpu;
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

 private:
  void on_placement(const km::TraceEvent& e);

  km::u32 cpus_;
  std::array<PlacementCounts, static_cast<std::size_t>(PlacementKind::count_)> counts_;
  std::vector<ForkRecord> forks_;
  PidTable<km::u32> pending_;  ///< fork row + 1 of a child that has not run yet
};

}  // namespace forksim
