// Where two runs part: the first event that differs, and the state of both machines there.
//
// Purpose: the cause behind a comparison's numbers. Two places are told: the first line that differs at all (mostly a date), and the first
//          event that differs in more than dates and measured times (another task, another CPU, another order). Source: two traces in ftrace
//          text (sim/output/ftrace_writer.hpp), read side by side; neither is kept.
// State:   reconstructed from the common events: who runs on each CPU and who waits there, as sched_switch, sched_wakeup(_new),
//          sched_migrate_task and sched_process_exit tell it. Units: s in stamps. Ownership: values; the files are the caller's.
// Errors:  none; a trace that ends early differs there. Not here: producing the traces (sim/app).
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

struct DivergenceSide {
  std::string line;                ///< the event; empty: this trace has ended
  std::vector<std::string> state;  ///< one text per CPU
};
struct DivergencePlace {
  km::u64 event = 0;                ///< events before it
  std::vector<std::string> before;  ///< the last events of the base before it
  DivergenceSide base, next;
};
struct Divergence {
  km::u64 events = 0;  ///< compared
  std::optional<DivergencePlace> any, order;
};

/// Reads both to the first event that differs in more than its date, or to the end.
Divergence find_divergence(std::FILE* base, std::FILE* next);
std::string render_divergence(const Divergence& d);

}  // namespace forksim
