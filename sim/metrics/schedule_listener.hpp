// Who ran where and when, with fork and exit marks: the data of the Gantt chart.
//
// Purpose: schedule.csv. Source: sched_switch, sched_process_fork, forksim:do_exit, task_rename. Units: ns. Ownership: the caller's.
// Choices: a task that changes its name while it runs (execve, prctl) gets a row per name.
// Limit:   at most `limit` rows; later ones are only counted (cut()), which the report shows as diagnostics.schedule_rows_cut.
// Errors:  none. Not modelled: idle time and interrupts (gaps between rows).
#pragma once

#include <vector>

#include "kernel_model/trace/trace.hpp"

namespace forksim {

struct ScheduleRecord {
  enum class Kind : km::u8 { run, fork, exit };
  km::Ns start, end;  ///< equal for marks
  km::Pid pid;        ///< who ran, the child, who exits
  km::NameId comm;
  km::CpuId cpu;
  Kind kind;
};

class ScheduleListener final : public km::TraceListener {
 public:
  static constexpr km::u32 kDefaultLimit = 200'000;
  explicit ScheduleListener(km::u32 cpus, km::u32 limit = kDefaultLimit) : limit_(limit), running_(cpus) {}
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;
  /// Ends what still runs at `now`.
  void finish(km::Ns now);
  /// In order of their ends.
  const std::vector<ScheduleRecord>& records() const { return records_; }
  km::u64 cut() const { return cut_; }

 private:
  struct Running {
    km::Ns since;
    km::Pid pid;
    km::NameId comm;
  };
  void push(ScheduleRecord r);
  void end_run(km::CpuId cpu, km::Ns now);

  km::u32 limit_;
  std::vector<Running> running_;
  std::vector<ScheduleRecord> records_;
  km::u64 cut_ = 0;
};

}  // namespace forksim
