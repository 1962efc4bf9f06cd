// Every latency metric of metrics.def, from the stream of tracepoints.
//
// Purpose: one histogram per metric. Source: contract.md, "Latency metrics"; each interval opens and closes at the events named there.
// Choices: wakeup     a task woken while still on its CPU that never sleeps (ttwu_remote) gives no sample.
//          run_delay  one sample per arrival on a CPU: what the kernel's own sched_info.run_delay grew by.
//          fork_call  failed calls return to user mode too, so they count.
//          exit_to_reap  a task that reaps itself (thread, ignored SIGCHLD) is never a zombie and gives no sample.
//          kill_to_exit  the signal that ended the task is the low 7 bits of do_exit's code; ignored signals never match.
// Units:   ns. Ownership: the caller's; must outlive the run. Errors: none. Cost: a few ns per event, no allocation once pids repeat.
//          lock_wait  one sample per acquisition that had to wait (contention_end); the others are counted in locks.csv.
// Not modelled: an interval still open when the run ends gives no sample.
#pragma once

#include <array>
#include <vector>

#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/histogram.hpp"
#include "sim/metrics/metrics.hpp"
#include "sim/metrics/pid_table.hpp"

namespace forksim {

class LatencyListener final : public km::TraceListener {
 public:
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;
  const Histogram& histogram(Metric m) const { return histograms_[static_cast<std::size_t>(m)]; }

 private:
  /// Dates at which the open intervals of one task began; kNever when closed.
  struct TaskState {
    km::Ns waking = km::kNever, wakeup_new = km::kNever, switched_in = km::kNever;
    km::Ns fork_call = km::kNever, clone_entry = km::kNever, vfork_wait = km::kNever, exec_call = km::kNever;
    km::Ns do_exit = km::kNever, exit_notify = km::kNever, killed = km::kNever;
    km::Ns run_delay{0};  ///< sum of the waits at the last arrival
    km::u8 kill_sig = 0;
  };

  void add(Metric m, km::Ns from, km::Ns to) { histograms_[static_cast<std::size_t>(m)].add(to.v - from.v); }
  /// Closes the interval that began at `from`, if it is open.
  void close(Metric m, km::Ns& from, km::Ns now) {
    if (from == km::kNever) return;
    add(m, from, now);
    from = km::kNever;
  }
  void on_switch(const km::TraceEvent& e);
  void on_wakeup(const km::TraceEvent& e);
  void on_arrive(const km::TraceEvent& e);
  void on_newtask(const km::TraceEvent& e);
  void on_exec(const km::TraceEvent& e);
  void on_user_first(const km::TraceEvent& e);
  void on_exit_path(const km::TraceEvent& e);
  void on_free(const km::TraceEvent& e);
  void on_call(const km::TraceEvent& e);
  void on_signal(const km::TraceEvent& e);

  std::array<Histogram, kMetrics> histograms_;
  PidTable<TaskState> tasks_;
  PidTable<std::vector<km::Ns>> unfreed_;  ///< do_exit of owners of a pid whose task_struct is not freed yet, the oldest first
};

}  // namespace forksim
