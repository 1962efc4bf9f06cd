// Reduces a trace to the phase-by-phase order of life-cycle events.
//
// Purpose: the form of the recordings' order.txt, so that a recorded and a simulated run of one program can be laid side by side.
//          A phase begins with a mark. The task that writes marks is P; tasks created by tasks of a phase are C1, C2 ... in order of
//          creation, counted anew in each phase; `-` is idle, `o` any other task.
// What is kept: system calls of the recording's filter (clone, execve, exit, exit_group, waitid, wait4, futex, nanosleep,
//          clock_nanosleep, kill) and deliveries made by a task of the phase; switches from or to one; wake-ups, migrations, creation,
//          exec, exit and free of one. Interrupts, statistics and other tasks' events are left out.
// Units:   ns. Ownership: values. Errors: std::runtime_error on events without the fields they must have.
// Not modelled: tasks of an earlier phase still alive (the recorded programs have none).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/traces/trace_text.hpp"

namespace forksim::traces {

enum class StepKind {
  sys_enter,
  sys_exit,
  newtask,
  fork,
  wakeup_new,
  waking,
  wakeup,
  migrate,
  switch_,
  wait,
  exit,
  free,
  rename,
  exec,
  generate,
  deliver
};

struct Step {
  std::uint64_t ns = 0;
  unsigned cpu = 0;
  std::string who;  ///< current task on `cpu`
  StepKind kind = StepKind::switch_;
  std::string subject;        ///< the task acted upon; of a switch, the next task
  std::string prev, state;    ///< of a switch
  int target_cpu = -1;        ///< of wake-ups and migrations
  bool target_free = false;   ///< no task of the phase was current on target_cpu
  bool reaped_early = false;  ///< of a switch to X: another task reaps prev in a wait4 it was already in and did not sleep in (known from
                              ///< release_task, simulated only)
  std::string detail;         ///< call and result, flags, signal
};

/// As order.txt writes it, e.g. `switch(P:S->-)` or `waking(P@3)`.
std::string to_text(const Step& s);

struct Phase {
  std::string mark;
  std::uint64_t ns = 0;
  unsigned cpu = 0;  ///< where P wrote the mark
  std::vector<Step> steps;
};

std::vector<Phase> reduce(const std::vector<Event>& events);

/// The lines of order.txt for one program, without its `#####` title.
std::string order_text(const std::vector<Phase>& phases);

}  // namespace forksim::traces
