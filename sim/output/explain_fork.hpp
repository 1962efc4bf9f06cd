// Why a child was placed where it was, in words and numbers.
//
// Purpose: `forksim explain DIR --fork N`. Source: forks.csv (its trail says which comparison of Linux 4.19 kernel/sched/fair.c decided),
// and
//          tasks.csv for the names. Units: ns; loads in the kernel's units.
// Ownership: values. Errors: ReportError for a fork that never was, or a folder without the files.
// Not modelled: exec and wake-up decisions (a trace shows them).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/output/report.hpp"

namespace forksim {

/// A decision with the names of those it is about.
struct ExplainedFork {
  ForkRow row;
  std::string parent, child;      ///< comm; empty when not known
  std::vector<RegretRow> regret;  ///< by CPU; empty when the run was without regret, or did not sample this fork
};

/// Row `number` of DIR/forks.csv.
ExplainedFork load_fork(const std::filesystem::path& dir, km::s64 number);
std::string render_fork_text(const ExplainedFork& f);
std::string render_fork_json(const ExplainedFork& f);

}  // namespace forksim
