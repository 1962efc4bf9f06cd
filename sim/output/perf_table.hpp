// The table of `perf sched latency`.
//
// Purpose: scheduler engineers read this first, so it is printed as perf prints it. Source: Linux 6.12 tools/perf/builtin-sched.c,
//          perf_sched__lat, output_lat_thread, __merge_work_atoms: tasks of one comm are merged, sorted by avg, max, switch, runtime.
//          (perf of 4.19 calls the Count column Switches and lacks the start of the longest delay.)
// Units:   rows in ns, the text in ms and s. Ownership: values. Errors: none.
// Not modelled: perf's own -s, -p options; perf 6.12 counts from sched_waking where that was recorded, this table from sched_wakeup, as the
//          contract says.
#pragma once

#include <string>
#include <vector>

#include "kernel_model/trace/trace.hpp"
#include "sim/metrics/task_listener.hpp"
#include "sim/output/rows.hpp"

namespace forksim {

/// Merged and sorted rows; tasks that never waited are left out, as perf does.
std::vector<TaskLatencyRow> perf_rows(const std::vector<TaskRecord>& tasks, const km::NameTable& names);
/// The table with its frame. At most `limit` rows, then one line that counts the rest.
std::string render_perf_table(const std::vector<TaskLatencyRow>& rows, std::size_t limit);

}  // namespace forksim
