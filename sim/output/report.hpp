// The report of a run, as plain data.
//
// Purpose: everything report.json holds; text and JSON are rendered from it, and it can be read back without running again.
// Source:  contract.md, "report.json" (schema forksim.report/1). Keys added to the contract's: placement.*.busy_none_idle,
//          same_cpu_while_idle_existed, prev_cpu; balance, opps, locks, task_latency, groups, irqtime, warnings, violations, not_modelled,
//          measure.
// Units:   ns and J. Ownership: values. Errors: ReportError for a file that is not a report (exit code 2).
#pragma once

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "sim/metrics/run_metrics.hpp"
#include "sim/output/rows.hpp"

namespace forksim {

struct ReportError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct PlacementReport {
  PlacementRow row;
  std::vector<std::vector<km::u64>> matrix;  ///< [deciding CPU][CPU chosen]
};

/// What the other CPUs would have been like, when asked for.
struct RegretReport {
  RegretSumRow sum;
  std::vector<RegretWorstRow> worst;
};

struct Report {
  std::string workload, platform, kernel;
  km::u64 seed = 0, simulated_ns = 0;
  std::vector<std::string> settings;  ///< KEY=VALUE, what differs from the plain kernel profile and platform
  TotalsRow totals;
  std::vector<LatencyRow> latency;  ///< in the order of metrics.def
  std::vector<CpuRow> cpus;
  std::vector<GroupRow> groups;
  PlacementReport fork, wake, exec;
  std::vector<LockRow> locks;  ///< in the order of lock_ids.def
  double energy_j = 0;
  InvariantRow invariants;
  std::vector<std::pair<std::string, km::u64>> diagnostics;  ///< what was clipped, cut or not modelled, by name
  std::vector<TaskLatencyRow> task_latency;
  std::vector<BalanceRow> balance;
  std::optional<RegretReport> regret;
  std::vector<OppRow> opps;
  std::vector<IrqTimeRow> irqtime;        ///< empty without CONFIG_IRQ_TIME_ACCOUNTING
  std::vector<std::string> warnings;      ///< what the kernel would have logged, one text each
  std::vector<std::string> violations;    ///< one text each, with the events before it
  std::vector<std::string> measure;       ///< metrics the workload is about, marked in the text; empty: no mark
  std::vector<std::string> not_modelled;  ///< metrics that this version has no source for
};

/// What the application knows about a run besides its metrics.
struct RunSummary {
  std::string workload, platform, kernel;
  km::u64 seed = 0;
  std::vector<std::string> settings = {};
  FinalNumbers final;
  double energy_j = 0;  ///< of the CPUs together, as charged by the engine
  std::vector<std::string> measure;  ///< the workload's own list
  std::vector<km::GroupView> groups = {};
  bool irq_time_accounting = false;
  std::vector<std::string> warnings = {};
  std::vector<std::pair<std::string, km::u64>> diagnostics;
};

Report build_report(const RunSummary& run, const RunMetrics& metrics, const km::NameTable& names);
std::string render_report_text(const Report& r);
/// report.json, byte for byte.
std::string render_report_json(const Report& r);
Report parse_report_json(const std::string& text);
/// Reads DIR/report.json.
Report load_report(const std::filesystem::path& dir);

}  // namespace forksim
