// Everything a run needs to know, resolved: built-in defaults < platform < workload file < command line.
//
// Purpose: the one entry point of the app into configuration: read a workload, apply overrides, check all, compile.
// Source:  contract.md, "Workload files". Units: ns. Ownership: values; `workload` is moved into the run.
// Errors:  Diagnostics, all at once; a ResolvedRun with diagnostics must not be run. Not here: platform files (sim/platform).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "kernel_model/cost/cost_table.hpp"
#include "kernel_model/kernel.hpp"
#include "kernel_model/version/profile.hpp"
#include "sim/config/diagnostics.hpp"
#include "sim/config/overrides.hpp"
#include "sim/config/value.hpp"
#include "sim/workload/workload.hpp"

namespace forksim {

/// For the platform's cost table, in this order. key: a phase or "bound"; text: a time, low or high.
struct CostOverride {
  std::string key, text;
  Origin origin = Origin::workload;
  std::string from;  ///< where it came from, in words
};

struct PlannedPlot {
  std::string kind;                  ///< cdf or gantt
  std::vector<std::string> metrics;  ///< of a cdf
  std::optional<km::Ns> from, to;    ///< of a gantt
};

/// Branches at forks, when asked for.
struct RegretPlan {
  u64 forks = ~u64{0};  ///< how many; all by default
  km::Ns horizon;
};

struct ResolvedRun {
  Workload workload;
  std::string file;            ///< the workload file as given
  std::string platform;        ///< name or path
  km::KernelProfile kernel{};  ///< features and tunables applied; call resolve_tunables(kernel, cpus, given_tunables)
  std::array<bool, km::kTunables> given_tunables{};
  std::vector<CostOverride> costs;
  bool locks = true, mm_contention = true;  ///< `model`
  km::CpufreqConfig cpufreq;
  u64 seed = 1;
  km::Ns until = km::kNever;         ///< kNever: when nothing is left to happen
  std::vector<std::string> measure;  ///< empty: all metrics
  std::vector<PlannedPlot> plots;
  std::optional<RegretPlan> regret;
  std::optional<km::Ns> balance_bound;  ///< of the invariants, in place of the kernel's own
  Value tree;  ///< the input as read, for resolved_yaml
};

/// Reads, overrides, checks and compiles. On errors `diags` is not ok and the result is of no use.
ResolvedRun resolve_run(const std::string& file, const std::vector<Override>& overrides, const Vocabulary& vocabulary, Diagnostics& diags);
/// The same from memory; `file` is how messages call it.
ResolvedRun resolve_text(const std::string& text, const std::string& file, const std::vector<Override>& overrides,
                         const Vocabulary& vocabulary, Diagnostics& diags);

/// The machine has `cpus` CPUs: adds a diagnostic when the workload names a higher one.
void check_cpus(const ResolvedRun& run, u32 cpus, Diagnostics& diags);

/// What is effective once the platform is known; pinned into resolved.yaml so that it repeats the run whatever the built-ins become.
struct EffectiveMachine {
  const km::KernelProfile* kernel = nullptr;  ///< after resolve_tunables
  const km::CostTable* costs = nullptr;       ///< after all overrides
  std::string platform_file;                  ///< named as the origin of costs
};
/// resolved.yaml: the complete input with defaults filled, each value with a comment on where it came from. Running it gives the same
/// result and the same resolved.yaml.
std::string resolved_yaml(const ResolvedRun& run, const EffectiveMachine& machine);
/// resolved.yaml without its comments: the text to hash for "the same inputs".
std::string canonical_text(const std::string& resolved);

/// Checks any YAML file of ours (workload or costs) by its `schema` key.
Diagnostics validate_file(const std::string& file, const Vocabulary& vocabulary);

}  // namespace forksim
