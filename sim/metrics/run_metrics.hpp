// All listeners of a run, and how to connect them.
//
// Purpose: one object that the application subscribes before the run and asks afterwards. Source: design invariant 7 (one stream).
// Units:   ns. Ownership: owns the listeners; must outlive the run; not copyable. Errors: none.
// Order:   subscribed in the order of the members, which is the order they see each event in.
#pragma once

#include "sim/metrics/balance_listener.hpp"
#include "sim/metrics/invariant_listener.hpp"
#include "sim/metrics/latency_listener.hpp"
#include "sim/metrics/life_listener.hpp"
#include "sim/metrics/placement_listener.hpp"
#include "sim/metrics/schedule_listener.hpp"
#include "sim/metrics/task_listener.hpp"

namespace forksim {

struct RunMetrics {
  explicit RunMetrics(km::u32 cpus, km::u32 schedule_limit = ScheduleListener::kDefaultLimit)
      : placement(cpus), invariants(cpus), schedule(cpus, schedule_limit) {}
  RunMetrics(const RunMetrics&) = delete;
  RunMetrics& operator=(const RunMetrics&) = delete;

  void subscribe(km::Trace& trace) {
    trace.subscribe(latency, LatencyListener::events());
    trace.subscribe(tasks, TaskListener::events());
    trace.subscribe(placement, PlacementListener::events());
    trace.subscribe(invariants, InvariantListener::events());
    trace.subscribe(schedule, ScheduleListener::events());
    trace.subscribe(life, LifeListener::events());
    trace.subscribe(balance, BalanceListener::events());
  }
  /// A task of the boot, before the run.
  void describe(const km::TaskView& t) {
    tasks.describe(t.pid, t.tgid, t.ppid, t.start_time);
    life.describe(t);
  }
  /// After Kernel::finish.
  void finish(const FinalNumbers& f) {
    schedule.finish(f.now);
    life.finish(f.now);
    invariants.finish(f);
  }

  LatencyListener latency;
  TaskListener tasks;
  PlacementListener placement;
  InvariantListener invariants;
  ScheduleListener schedule;
  LifeListener life;
  BalanceListener balance;
};

}  // namespace forksim
