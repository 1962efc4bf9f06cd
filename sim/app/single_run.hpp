// One simulation in this process: platform, kernel, programs and listeners wired together, result folder written.
//
// Purpose: the wiring of a run. Source: design.md, "How data flows". Units: ns. Ownership: everything lives for the call.
// Errors:  SingleRunError carries diagnostics (exit code 2); contracts and output errors pass through.
// Not here: several runs (run_command.cpp); SimGrid allows one simulation per process.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "sim/app/commands.hpp"
#include "sim/config/diagnostics.hpp"
#include "sim/engine/sim_engine.hpp"
#include "sim/output/report.hpp"

namespace forksim {

struct SingleRun {
  Report report;
  std::filesystem::path dir;
  bool interrupted = false;
  int exit_code = ExitCode::kOk;
};

/// Runs `c` with its seed; `dir` empty: the default folder. Diagnostics: nothing was run or written.
SingleRun single_run(const RunCommand& c, const std::filesystem::path& dir, const std::atomic<bool>& stop, Diagnostics& diags);

/// A run that leaves no folder: one cell of a sweep, one side of a comparison.
struct MemoryRun {
  Report report;
  std::string resolved;  ///< resolved.yaml
};
/// `warm`: null, or an engine that has loaded the run's platform already.
/// `trace_file`: every event goes there as ftrace text; empty: no trace. Diagnostics: nothing was run.
MemoryRun memory_run(const RunCommand& c, std::unique_ptr<SimEngine> warm, const std::filesystem::path& trace_file, Diagnostics& diags);

}  // namespace forksim
