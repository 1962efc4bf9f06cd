// The SimGrid bridge: SimGrid owns clock and loop, the kernel model is one more of its resource models.
//
// Purpose: run a KernelModel on a platform file. Every round SimGrid asks our model for its next date, jumps there, and the model runs
//          its events. Power states of CPUs become host pstates at their exact dates, for which host_energy charges Joules; state and
//          speed profiles of the platform reach the kernel as CPU off/on and throttling.
//          Run-ahead (the default): the kernel runs, in windows, up to the next date at which SimGrid has something of its own; power
//          transitions are replayed at their dates. Lock-step: a round per kernel date. Same dates, same bytes, same Joules.
// Source:  SimGrid 3.32 src/kernel/EngineImpl.cpp (a round: models, profile events, clock, on_time_advance, timers). Our model says it is
//          not idempotent, which makes SimGrid ask it last and tell it the date beyond which nothing may be run.
// Units:   u64 ns outside, seconds inside (sim_time.hpp).
// Ownership: one SimEngine and one run per process (SimGrid is a singleton, its clock never goes back); a study forks a process per case.
// Errors:  Diagnostics at construction; FS_CONTRACT for our bugs; EngineError ends a run.
// Not modelled: actors and Execs of SimGrid beside the kernel (they would coexist, nothing here starts one).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "sim/config/diagnostics.hpp"
#include "sim/engine/kernel_model.hpp"
#include "sim/platform/platform_desc.hpp"

namespace forksim {

/// Something outside ends the run, e.g. a profile that no kernel can follow.
struct EngineError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct RunOptions {
  km::Ns until = km::kNever;                 ///< events dated `until` still run
  bool lockstep = false;                     ///< the slow reference for run-ahead
  const std::atomic<bool>* stop = nullptr;   ///< checked once per window; set by a signal handler
  std::function<void(km::Ns now)> progress;  ///< once per window; how often it prints is its own affair
};

enum class RunEnd : km::u8 {
  finished,  ///< the kernel has nothing to do any more
  until,     ///< cut at RunOptions::until
  stopped,   ///< RunOptions::stop was set
  horizon,   ///< 2^50 ns (13 days): beyond, seconds as doubles cannot tell every ns
};

struct RunResult {
  RunEnd end = RunEnd::finished;
  km::Ns now;                    ///< date of the end: call Kernel::finish with it
  std::vector<double> energy_j;  ///< by CPU, as host_energy charged it
  double energy_total_j = 0.0;   ///< sum in CPU order
  /// Largest relative difference between host_energy and power x integer time over all CPUs; above 1e-9 is a broken invariant.
  double energy_error = 0.0;
  km::u64 rounds = 0;       ///< rounds of SimGrid's loop
  km::u64 transitions = 0;  ///< power states set
};

class SimEngine {
 public:
  /// Loads the platform. Check `diags` before anything else is called. `simgrid_args`: further --cfg= and --log= of SimGrid.
  SimEngine(const std::string& platform_file, Diagnostics& diags, const std::vector<std::string>& simgrid_args = {});
  ~SimEngine();
  SimEngine(const SimEngine&) = delete;
  SimEngine& operator=(const SimEngine&) = delete;

  const PlatformDesc& platform() const;
  const km::MachineDesc& machine() const;
  /// The port to construct the kernel with. All CPUs start idle at the boot operating point.
  km::PowerPort& power();

  /// Runs to the end; once per SimEngine.
  RunResult run(KernelModel& kernel, const RunOptions& options);

  /// ns that `cpu` spent in a pstate (operating point, plus the number of operating points when idle); off time is in off_ns.
  km::Ns residency(km::CpuId cpu, km::u32 pstate) const;
  km::Ns off_ns(km::CpuId cpu) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forksim
