// The scheduler's own hrtimers, on the CPUs where the kernel arms them.
//
// Purpose: rt_period_timer, period_timer and slack_timer of every group with a quota, and hrtick_timer of every CPU: which is armed where,
//          and when it expires. They share the clock event with sleepers' timers (exec/irq.cpp serves both in order of their dates). Also
//          when period timers are all that is left of a run: they go on for a period after their last user, and a run does not wait.
// Source:  Linux 4.19 kernel/sched/{rt,fair}.c, kernel/time/hrtimer.c. Units: ns since boot.
// Locks:   the callbacks of period and slack timers go from run queue to run queue; each is a stage under that queue's lock (kSchedTimer).
// Ownership: the Core's; groups are borrowed and outlive their timers. Errors: contracts.
// Not modelled: the hrtimer softirq; a timer that was armed elsewhere keeps that CPU's clock event as the kernel does.
#pragma once

#include <vector>

#include "kernel_model/exec/cpu.hpp"

namespace forksim::km {

class Core;

class SchedTimers {
 public:
  /// hrtimer_start on `cpu`: a timer that is armed already moves.
  void start(Core& k, SchedTimer which, TaskGroup* tg, CpuId cpu, Ns expires);
  /// hrtimer_cancel of the hrtick timer of `cpu`.
  void cancel_hrtick(Core& k, CpuId cpu);
  /// Whether the earliest timer of `c` is its hrtick timer, whose callback needs the run queue's lock.
  bool hrtick_first(const Cpu& c) const { return !hrticks_.empty() && earliest(c.id) == &hrticks_[c.id.v]; }
  /// Runs it; a timer whose date another CPU has put off is armed for that date instead.
  void run_hrtick(Core& k, Cpu& c);
  /// Begins the callback of the earliest timer of `c`, which must be due: up to the first run queue that it wants, if any.
  void begin(Core& k, Cpu& c);
  /// The queue whose lock the callback on `cpu` needs to go on, null when there is none to finish.
  Rq* wanted(CpuId cpu) const;
  /// Whether it is a throttled one of a group.
  bool unthrottles(CpuId cpu) const;
  /// Goes on with that lock held, up to the next; a timer that goes on is armed again at the end.
  void advance(Core& k, Cpu& c);
  /// Date of the earliest timer on any CPU.
  Ns first() const { return first_; }
  /// No armed timer has anything to put back: until a task runs again they only find that their period was idle.
  bool idle(const Core& k) const;
  /// hrtimers_dead_cpu.
  void migrate(Core& k, CpuId from, CpuId to);

 private:
  struct Entry {
    SchedTimer which;
    TaskGroup* tg;
    CpuId cpu;
    Ns expires;
    u64 seq;  ///< order of arming
  };
  /// The callback that a CPU is in.
  struct Callback {
    SchedTimer which = SchedTimer::hrtick;
    BandwidthWalk cfs;
    RtPeriodWalk rt;
  };
  void finish(Core& k, Cpu& c);
  const Entry* earliest(CpuId cpu) const;
  void arm_hrtick(Core& k, CpuId cpu, Ns expires);
  void program_cpu(Core& k, CpuId cpu);
  void program(Core& k, CpuId cpu);

  std::vector<Entry> armed_;
  std::vector<Entry> hrticks_;       ///< by CPU, once there is one; not armed: kNever
  std::vector<Callback> callbacks_;  ///< by CPU, once there was one
  Ns first_ = kNever;                ///< of armed_
  u64 seq_ = 0;
};

}  // namespace forksim::km
