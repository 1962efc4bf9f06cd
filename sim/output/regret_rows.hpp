// The tables of regret, from the decisions and their branches.
//
// Purpose: regret.csv, the report's summary and its ten worst decisions. Source: sim/placement/regret.hpp, columns.def.
// Units:   ns. Ownership: values. Errors: none. Choices: a child that never ran waited until the end at least; a decision without any
//          finished branch is left out of the summary; quantiles are nearest rank.
#pragma once

#include <vector>

#include "sim/metrics/run_metrics.hpp"
#include "sim/output/report.hpp"
#include "sim/placement/regret.hpp"

namespace forksim {

/// Fills in the rows of regret.csv, in order of forks and CPUs.
RegretReport regret_report(const std::vector<RegretDecision>& decisions, km::Ns horizon, const PlacementListener& placement,
                           const km::NameTable& names, std::vector<RegretRow>& rows);

}  // namespace forksim
