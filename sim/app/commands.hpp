// The sub-commands behind the command line.
//
// Purpose: what each command does, free of option parsing (main.cpp) and of modelling. Source: contract.md, "Sub-commands" and exit codes.
// Units:   times as text with unit where the user gives them. Ownership: plain options in, exit code out.
// Errors:  ExitCode; everything wrong with the input is printed to stderr at once. Not here yet: import.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace forksim {

struct ExitCode {
  static constexpr int kOk = 0, kFailed = 1, kBadInput = 2, kInternal = 3, kIncomplete = 4, kInterrupted = 130;
};

struct RunCommand {
  std::string workload;
  std::string platform, kernel, seed, until, placement, regret;  ///< empty: not given
  std::vector<std::string> sets;              ///< key=value
  unsigned repeat = 1;
  unsigned jobs = 0;                          ///< processes at once; 0: one run after the other, and a branch per CPU of this machine
  std::string out;                            ///< empty: results/runs/<workload>-<hash>
  std::vector<std::string> trace;
  bool json = false, quiet = false, lockstep = false, allow_unmodelled = false;
  std::vector<std::string> argv;              ///< for the manifest
};
int run_command(const RunCommand& c);

int validate_command(const std::vector<std::string>& files);
int schema_command(const std::string& what);
int list_command(const std::string& what, bool json, bool markdown);

struct ReportCommand {
  std::string dir;
  bool json = false;
};
int report_command(const ReportCommand& c);

struct PsCommand {
  std::string dir, at;
  std::string options;  ///< letters of ps: ely, ejH or axjf
};
int ps_command(const PsCommand& c);

struct ExplainCommand {
  std::string dir, pid, fork;
  bool json = false;
};
int explain_command(const ExplainCommand& c);

struct PlotCommand {
  std::vector<std::string> dirs;
  std::vector<std::string> kinds, metrics, formats;
  std::string from, to;
};
int plot_command(const PlotCommand& c);

struct CompareCommand {
  std::vector<std::string> sides;  ///< BASE and NEW, or NEW alone with a baseline
  std::string baseline;            ///< name below results/baselines, or a path
  std::vector<std::string> fail_on, metrics;
  std::string format = "text", alpha, tolerance;  ///< alpha, tolerance: percent; empty: the default
  bool no_divergence = false;
};
int compare_command(const CompareCommand& c);

struct SweepCommand {
  std::string study, out;     ///< out empty: results/runs/<study>
  std::vector<std::string> add;  ///< FACTOR=VALUE
  std::string shard;          ///< i/n, or slurm: from SLURM_ARRAY_TASK_ID
  unsigned jobs = 0;          ///< 0: one for each CPU
  unsigned shards = 0;        ///< of --emit-commands; 0: one for each cell
  unsigned patience_s = 30;   ///< silence after which a rank is lost
  bool resume = false, merge = false, emit_commands = false, quiet = false;
  std::vector<std::string> argv;  ///< for the manifest
};
int sweep_command(const SweepCommand& c);

}  // namespace forksim
