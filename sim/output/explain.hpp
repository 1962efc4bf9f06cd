// One task's life as phases: what it did, for how long, where, and why it had to wait.
//
// Purpose: `forksim explain DIR --pid P`. Source: life.csv. Phases follow each other without gap or overlap from task_newtask to the free
// of the
//          task_struct, so their durations add up to the life:
//   created              task_newtask .. sched_wakeup_new
//   waiting to run       sched_wakeup_new or sched_waking .. switch-in
//   running, preempted   switch-in .. switch-out; switch-out as runnable .. switch-in
//   sleeping in X        switch-out .. sched_waking; X is the system call, or the kernel function where there is no word for it
//   exiting              do_exit .. exit_notify (.. release_task when nobody will wait)
//   zombie               exit_notify .. release_task
//   dead until RCU       release_task .. free_task
// Units:   ns. Ownership: values. Errors: ReportError for a pid that never was. A pid used again gives one life for each use.
// Not modelled: time stolen by interrupts inside a running phase; what begins after the end of life.csv.
#pragma once

#include <string>
#include <vector>

#include "sim/output/life_file.hpp"

namespace forksim {

struct TaskLife {
  km::s64 pid = 0;
  std::string title;              ///< who it is and where it comes from
  std::vector<PhaseRow> phases;   ///< in order
  std::vector<PhaseSumRow> sums;  ///< by kind, in order of first appearance
  bool complete = false;          ///< its end is in the file
};

std::vector<TaskLife> explain(const Life& life, km::s64 pid);
std::string render_explain_text(const std::vector<TaskLife>& lives);
std::string render_explain_json(const std::vector<TaskLife>& lives);

}  // namespace forksim
