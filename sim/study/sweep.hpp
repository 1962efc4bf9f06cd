// A sweep: a study's runs, those that are missing, in local processes, over MPI or in shards.
//
// Purpose: the engine behind `forksim sweep`. Source: contract.md, facts on process pools. What a run is comes through SweepPort, because
//          simulations are wired by the application. Units: none. Ownership: everything lives for the call; files below `dir`.
// Errors:  OutputError (disk), OutputRefused (dir is not ours); a run that fails is an outcome. Nothing depends on the order of runs.
// Not here: command line, progress line (sim/app), what the results say (study_report.hpp).
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/study/ranks.hpp"
#include "sim/study/tables.hpp"

namespace forksim {

/// What a run of a cell reads besides the workload file.
struct CellInputs {
  std::string platform;              ///< path
  std::string machine;               ///< platform and kernel by name, for people
  std::vector<std::string> plugins;  ///< files of placement rules, also those that the workload names itself
};

struct SweepPort {
  /// Inputs of a cell, or what is wrong with it.
  std::function<CellInputs(const Cell& cell, std::string& wrong)> inputs_of;
  /// Loads a platform, once in a process that then forks its runs.
  std::function<void(const std::string& platform)> warm;
  /// One run, in a child. `with_resolved`: its resolved.yaml is wanted.
  std::function<RunOutcome(const Cell& cell, km::u64 seed, bool with_resolved)> run;
  /// Said after each run; `done` of `todo`.
  std::function<void(std::size_t done, std::size_t todo, std::size_t failed)> progress;
  std::function<void(const std::string& line)> say;  ///< a line for people
};

struct Shard {
  std::size_t index = 0, count = 0;  ///< count 0: not a shard
};

class Sweep {
 public:
  /// `build`: what the program was built from, part of every key.
  Sweep(const Study& study, const SweepPort& port, std::filesystem::path dir, const std::string& build);

  /// Makes the folder and the journal; without `resume` an older sweep's is emptied. A folder that is not a sweep's is refused.
  void open(bool resume, Shard shard);
  void run_local(unsigned jobs, const std::atomic<bool>& stop);
  /// Rank 0; true when no rank was lost.
  bool run_ranks(Ranks& ranks, int patience_ms, const std::atomic<bool>& stop);
  /// Every other rank.
  bool serve_ranks(Ranks& ranks, int patience_ms);
  /// Reads every journal of the folder and writes the tables.
  SweepCounts write();
  /// Outcomes by job, after write().
  const JobOutcomes& outcomes() const { return outcomes_; }
  std::size_t todo() const { return todo_.size(); }
  /// CellInputs::machine of the cells, each once, in their order.
  const std::vector<std::string>& machines() const { return machines_; }
  /// Every file that a run reads, each once, by name.
  const std::map<std::string, std::string>& files() const { return files_; }

 private:
  struct Job {
    std::string key;
    std::size_t platform = 0;  ///< index in platforms_
  };
  void plan(const std::string& build);
  std::string run_one(std::size_t job);
  void keep(std::size_t job, const std::string& sent, const std::string& why);
  std::string run_in_pool(std::size_t job, const std::function<void()>& tick);

  const Study& study_;
  const SweepPort& port_;
  std::filesystem::path dir_;
  std::vector<Job> jobs_;
  std::vector<std::string> platforms_, wrong_;  ///< wrong_: by cell
  std::vector<std::string> machines_;
  std::map<std::string, std::string> files_;  ///< content by name
  std::vector<std::size_t> todo_;
  std::unique_ptr<Journal> journal_;
  std::size_t done_ = 0, failed_ = 0;
  Outcomes found_;
  JobOutcomes outcomes_;
};

}  // namespace forksim
