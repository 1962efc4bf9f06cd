// How long new tasks wait: until they first run, and within a horizon after that.
//
// Purpose: the measurement of regret and oracle, the same in a branch of the simulation (one child) and in the run itself (many).
// Source:  sched_wakeup_new, sched_wakeup, sched_switch. Units: ns. Ownership: the caller's; must outlive the run. Errors: none.
// Choices: a wait goes from runnable to running: the first from sched_wakeup_new, others from sched_wakeup or a switch-out as runnable.
// Not modelled: waits that are still open when the run ends count until its end; a child that dies has no more.
#pragma once

#include <deque>
#include <vector>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/trace/trace.hpp"

namespace forksim {

/// In place of a forced CPU: where the kernel's own rule puts the child.
inline constexpr km::CpuId kAnyCpu{km::kMaxCpus};

/// What became of a child; fixed size, written to a pipe as it is.
struct ChildWait {
  km::u64 fork = 0;                ///< number of the decision
  km::u32 forced = 0, ran_on = 0;  ///< CPU it was put on; CPU of the first switch-in
  km::u64 woken = 0;               ///< date of sched_wakeup_new
  km::u64 wait = km::kNever.v;     ///< until the first switch-in; kNever: it never ran
  km::u64 delay = 0;               ///< all waits until the horizon after the first switch-in
  km::u32 failed = 0, closed = 0;
};

class ChildWatch : public km::TraceListener {
 public:
  explicit ChildWatch(km::Ns horizon) : horizon_(horizon) {}
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;

  /// From now on `child` is measured; the result keeps `fork` and `forced`.
  void watch(km::Pid child, km::u64 fork, km::CpuId forced);
  /// The run is over at `now`: closes what is open.
  void finish(km::Ns now);
  const std::vector<ChildWait>& waits() const { return waits_; }

 protected:
  /// A measurement is complete.
  virtual void closed(const ChildWait&) {}

 private:
  struct Open {
    km::u32 wait = 0;           ///< index + 1 in waits_; 0: not watched
    km::Ns since = km::kNever;  ///< runnable since
    km::Ns deadline = km::kNever;
  };
  Open& open(km::u64 pid);
  void on_switch(const km::TraceEvent& e);
  void close(Open& o, km::Ns now);

  km::Ns horizon_;
  std::vector<ChildWait> waits_;
  std::vector<Open> open_;                            ///< by pid
  std::deque<std::pair<km::Ns, km::u32>> deadlines_;  ///< date, pid; in order, because the horizon is the same for all
};

}  // namespace forksim
