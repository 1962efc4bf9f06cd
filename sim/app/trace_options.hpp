// What a trace shows: the `--set trace.*` values.
//
// Purpose: they choose what is written, not what is simulated, so they stay out of the workload, of resolved.yaml and of the name of the
//          result folder. Source: contract.md (`--set trace.events=...`), options of ftrace's function_graph tracer (graph_options.def).
// Units:   none. Ownership: values.
// Errors:  Diagnostics at the option: unknown keys, patterns that match nothing, values without the trace they belong to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel_model/trace/trace.hpp"
#include "sim/config/diagnostics.hpp"
#include "sim/output/ftrace_writer.hpp"
#include "sim/output/graph_writer.hpp"

namespace forksim {

struct TraceOptions {
  km::TpSet events = FtraceWriter::events();  ///< of trace.ftrace
  GraphOptions graph;                         ///< of trace.function_graph
  bool schedstats_named = false;              ///< an event that only comes with kernel.sched_schedstats=1 was asked for by name
};

/// Takes the trace.* values out of `sets` (each KEY=VALUE). `formats` are those of --trace.
TraceOptions take_trace_options(std::vector<std::string>& sets, const std::vector<std::string>& formats, Diagnostics& diags);

/// The keys, for `forksim list trace_options`.
struct TraceOptionInfo {
  std::string key, value, doc;
};
std::vector<TraceOptionInfo> trace_option_table();

}  // namespace forksim
