// What makes a run another one than the plain profile on the plain platform.
//
// Purpose: the line of a report without which its numbers cannot be repeated: configuration, features, tunables, costs, governor, rules,
//          injected failures. Derived from what is in force, not from who said it, so that a run of resolved.yaml says the same.
// Units:   as `--set` takes them (ns for times). Ownership: values. Errors: none.
// Not here: what makes the workload itself: programs, parameters, groups.
#pragma once

#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim {

/// KEY=VALUE of everything that differs; `platform`: the costs before any of the run's own.
std::vector<std::string> changed_settings(const ResolvedRun& run, const km::KernelConfig& in_force, const km::CostTable& platform);

}  // namespace forksim
