// One record per task: identity, life, accounting, and the delays of the `perf sched latency` table.
//
// Purpose: tasks.csv and the per-task table. Source: forksim:task_acct for the kernel's own accounting; the delay state machine follows
//          perf sched latency (tools/perf/builtin-sched.c: latency_switch_event, latency_wakeup_event, latency_runtime_event) with
//          sched_wakeup and sched_wakeup_new as wake-ups and sched_stat_runtime as run time (and forksim:rt_runtime, for which perf shows 0).
// Units:   ns. Ownership: records live as long as the listener, in order of birth (or of first sight for tasks of the boot).
// Errors:  none. Not modelled: perf's counts of unordered or lost events (there are none in a simulation).
#pragma once

#include <vector>

#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/pid_table.hpp"

namespace forksim {

struct TaskRecord {
  km::Pid pid, tgid, ppid;  ///< ppid: the parent at birth, 0 when not known
  km::NameId comm;          ///< the last one
  km::Ns start{0}, end{0};  ///< birth; final switch away, 0 while alive
  km::Ns utime, stime, run_delay;
  km::u64 nvcsw = 0, nivcsw = 0, minflt = 0, migrations = 0;
  km::s32 exit_code = -1;  ///< -1 while alive

  // perf sched latency
  enum class Wait : km::u8 { unseen, sleeping, wait_cpu, sched_in };
  Wait wait = Wait::unseen;
  km::Ns wake_up;  ///< valid while wait_cpu
  km::Ns runtime, total_delay, max_delay, max_delay_start, max_delay_end;
  km::u64 delays = 0;
};

class TaskListener final : public km::TraceListener {
 public:
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;
  /// What no event says about a task that was there before the trace; it gets a record when an event is about it.
  void describe(km::Pid pid, km::Pid tgid, km::Pid ppid, km::Ns start);
  const std::vector<TaskRecord>& records() const { return records_; }

 private:
  TaskRecord& record(km::u64 pid, km::NameId comm, km::Ns now);
  TaskRecord& record(km::u32& row, km::u64 pid, km::NameId comm, km::Ns now);
  void on_switch(const km::TraceEvent& e);
  void on_newtask(const km::TraceEvent& e);
  void on_fork(const km::TraceEvent& e);
  void on_wakeup(const km::TraceEvent& e);
  void on_exec(const km::TraceEvent& e);
  void on_acct(const km::TraceEvent& e);

  struct Boot {
    km::Pid tgid, ppid;
    km::Ns start = km::kNever;  ///< kNever: born in the trace
  };
  std::vector<TaskRecord> records_;
  PidTable<Boot> boot_;
  PidTable<km::u32> index_;  ///< record + 1 of the pid's present owner, 0 for none
};

}  // namespace forksim
