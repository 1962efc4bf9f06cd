// A simulation without listeners: what the model and the engine cost by themselves.
//
// Purpose: the subject of the benchmarks. Source: the wiring of sim/app/single_run.cpp, without results. Units: seconds, counts, bytes.
// Ownership: everything lives for the call; once per process. Errors: std::runtime_error with the diagnostics. Not modelled: tracing.
#pragma once

#include <string>

#include "kernel_model/kernel.hpp"

namespace forksim::bench {

struct Measured {
  double seconds = 0;  ///< of the run itself, CPU time
  km::Totals totals;
  km::Alive alive;        ///< before the books are closed
  std::size_t bytes = 0;  ///< held at the end of the run beyond what was held before it
};

/// Runs workload text on the shipped board up to `until`.
Measured simulate(const std::string& text, km::Ns until = km::kNever);
/// The text of a shipped workload, with one parameter changed.
std::string shipped(const std::string& name, const std::string& parameter, km::u64 value);

}  // namespace forksim::bench
