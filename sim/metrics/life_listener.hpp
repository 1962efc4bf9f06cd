// The life of every task, event by event: the data of `forksim ps` and `forksim explain`.
//
// Purpose: life.csv, from which the process table at any date and the phases of any task can be rebuilt without running again.
// Source:  sched_switch, sched_stat_runtime, sched_waking, sched_wakeup, sched_wakeup_new, sched_migrate_task, task_newtask,
// sched_process_fork, task_rename,
//          sched_process_exec, signal_generate, forksim:{task_attr,tty,cmdline,rss_stat,de_thread,do_exit,exit_notify,reparent,release_task,task_struct_free},
//          and sys_enter and sys_exit for the system call that a sleeper sleeps in. Kinds of rows: life_events.def.
// Units:   ns. Ownership: the caller's. Errors: none.
// Limit:   at most `limit` rows; later ones are only counted (cut()), complete_until() tells how far the file reaches.
// Choices: a wake-up of a task that is still on its way to sleep gets its row when the task has left its CPU; one that keeps it from
//          sleeping gets none.
// Not modelled: threads of the boot say nothing about where they sleep (their loop does, see wchan.def).
#pragma once

#include <vector>

#include "kernel_model/kernel.hpp"
#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/pid_table.hpp"

namespace forksim {

enum class LifeKind : km::u8 {
#define LIFE(name, ...) name,
#include "sim/metrics/life_events.def"
#undef LIFE
};

struct LifeRecord {
  km::Ns at;
  km::s64 other = 0, value = 0;
  km::Pid pid;
  km::NameId text;
  km::CpuId cpu;
  km::Ns runtime;        ///< kind run: CPU time of `other` so far, sum_exec_runtime
  km::s32 syscall = -1;  ///< kind run: what `other` sleeps in, -1 for none
  LifeKind kind = LifeKind::end;
  char state = 0;  ///< kinds boot and run: a letter of sched_switch, 0 for none
  bool preempted = false;
};

class LifeListener final : public km::TraceListener {
 public:
  static constexpr km::u32 kDefaultLimit = 400'000;
  explicit LifeListener(km::u32 limit = kDefaultLimit) : limit_(limit) {}
  static km::TpSet events();
  /// Tasks of the boot, before the run.
  void describe(const km::TaskView& t);
  void on_event(const km::TraceEvent& e) override;
  void finish(km::Ns now);
  const std::vector<LifeRecord>& records() const { return records_; }
  km::u64 cut() const { return cut_; }
  km::Ns complete_until() const { return complete_until_; }

 private:
  /// What the stream said of a task so far.
  struct Known {
    km::s32 nr = -1;  ///< system call it is in, -1 outside
    km::u32 uid = 0;
    bool running = false, woken = false;
    km::Ns runtime;   ///< sum of sched_stat_runtime
    LifeRecord wake;  ///< woken: sched_waking came while it was still on its CPU, sched_wakeup has not come yet
  };
  void push(const LifeRecord& r);
  bool on_background(const km::TraceEvent& e);
  void on_switch(const km::TraceEvent& e, LifeRecord r);
  void on_fork(const km::TraceEvent& e, LifeRecord r);
  void on_wake(const km::TraceEvent& e, LifeRecord r);
  void on_change(const km::TraceEvent& e, LifeRecord r);
  void on_attr(const km::TraceEvent& e, LifeRecord r);
  void on_view(const km::TraceEvent& e, LifeRecord r);
  void on_end(const km::TraceEvent& e, LifeRecord r);

  km::u32 limit_;
  std::vector<LifeRecord> records_;
  PidTable<Known> known_;
  km::u64 cut_ = 0;
  km::Ns complete_until_;
};

}  // namespace forksim
