// Lays a simulated run beside a recorded one, phase by phase, and checks what every trace must keep.
//
// Purpose: acceptance of the event order. A task's story in a phase is what it does and what is done to it (creation, wake-ups, migration,
//          switches), in order, with the CPU of each event. Two runs agree when every task has the same story. Stories share events
//          (a switch or a wake-up is in the story of both tasks), so equal stories mean the same order of cause and effect; what the
//          recordings call concurrent (`||`) is in no common story and may interleave freely: the child's first switch against the
//          parent's return from clone, a remote sched_wakeup against the waker's last switch.
// Rules on what is not compared, nothing else is let through:
//   - dates; other tasks' doings. A switch to or from a task outside the program (`o`) counts as one to or from idle, and being put
//     aside runnable by such a task and coming back is left out: it happens at the whim of the recorder's and the kernel's threads.
//   - sched_process_free: an RCU callback, on any CPU, in this phase or a later one; its rules are in check_trace.
//   - the receiver of a signal sent outside the program, unless it is init: P's parent is the recorder there, init here.
//   - Z or X of a last switch, when the recording has Z and the simulated trace shows the parent in the middle of the wait4 that reaps the
//     task: a fast parent on another CPU may claim it between exit_notify and the switch, and the recordings' grammar allows it.
//   - CPU numbers up to a renaming, made anew in each phase: P's CPU at the mark is P's CPU; a new task's CPU takes the name of the
//     recorded one when neither has a name yet and no task of the program ran there. So which of several idle CPUs a child gets may
//     differ (their decayed load comes from threads that are not simulated), never whether it gets one of its own.
// Units:   none. Ownership: values. Errors: differences are returned as text, each beginning with the phase's mark.
// Not compared: durations; see the validation table for those.
#pragma once

#include <string>
#include <vector>

#include "tests/traces/phases.hpp"

namespace forksim::traces {

/// Differences of `simulated` against `recorded`; empty when they agree.
std::vector<std::string> compare(const std::vector<Phase>& recorded, const std::vector<Phase>& simulated);

/// Broken rules of a single trace: time never goes back; events belong to the task last switched in; only a woken task runs, on the CPU
/// it was woken for; a wake-up follows its waking; a delivered signal was generated; wait returns a child only after it reported;
/// a task is freed once, after its last switch.
std::vector<std::string> check_trace(const std::vector<Event>& events);

}  // namespace forksim::traces
