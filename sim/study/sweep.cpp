#include "sim/study/sweep.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>

#include "sim/output/out_file.hpp"
#include "sim/output/sha256.hpp"
#include "sim/study/pool.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

constexpr const char* kMark = "sweep.txt";  ///< says that a folder is a sweep's

/// Every cost file beside a platform; which one it uses is its own affair.
std::vector<std::string> all_costs(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ec))
    if (entry.path().string().ends_with(".costs.yaml")) files.push_back(entry.path().string());
  std::ranges::sort(files);
  return files;
}

bool is_file(const std::string& text) {
  std::error_code ec;
  return fs::is_regular_file(text, ec);
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return fmt::format("the run's process was ended by signal {}", WTERMSIG(status));
  return fmt::format("the run's process ended with {} and no result", WEXITSTATUS(status));
}

}  // namespace

Sweep::Sweep(const Study& study, const SweepPort& port, fs::path dir, const std::string& build) : study_(study), port_(port), dir_(std::move(dir)) {
  plan(build);
}

/// The key of a run is made from what it reads: a plug-in or a platform that changes makes another run.
void Sweep::plan(const std::string& build) {
  const auto content = [&](const std::string& file) -> const std::string& {
    const auto at = files_.find(file);
    return at != files_.end() ? at->second : files_[file] = read_file(file);
  };
  for (const Cell& cell : study_.cells) {
    std::string wrong;
    const CellInputs in = port_.inputs_of(cell, wrong);
    wrong_.push_back(wrong);
    const auto keep = [](std::vector<std::string>& list, const std::string& text) {
      if (std::ranges::find(list, text) == list.end()) list.push_back(text);
    };
    keep(platforms_, in.platform);
    if (wrong.empty()) keep(machines_, in.machine);
    std::string input;
    const auto add = [&](const std::string& part) { input += fmt::format("{} {}\n", part.size(), part); };
    add(build);
    add(fs::path(cell.workload).stem().string());
    add(content(cell.workload));
    if (wrong.empty()) add(content(in.platform));
    if (wrong.empty())
      for (const std::string& costs : all_costs(fs::path(in.platform).parent_path())) add(content(costs));
    for (const std::string& file : in.plugins)
      if (is_file(file)) add(content(file));  // the run says what is wrong with one that is not there
    for (const std::string& set : cell.sets) add(set);
    for (bool kept : study_.kept) input += kept ? '1' : '0';
    const std::string cell_key = sha256_hex(input);
    const auto at = static_cast<std::size_t>(std::ranges::find(platforms_, in.platform) - platforms_.begin());
    for (km::u64 s = 0; s < study_.seeds; ++s) jobs_.push_back({fmt::format("{}-{}", cell_key.substr(0, 32), study_.first_seed + s), at});
  }
}

void Sweep::open(bool resume, Shard shard) {
  std::error_code ec;
  const bool there = fs::exists(dir_, ec);
  if (there && !fs::is_directory(dir_, ec)) throw OutputRefused(dir_.string() + ": exists and is not a folder; give another --out");
  if (there && !fs::is_empty(dir_, ec) && !fs::exists(dir_ / kMark, ec))
    throw OutputRefused(fmt::format("{}: exists and is not a sweep's folder (no {}); give another --out", dir_.string(), kMark));
  fs::create_directories(dir_, ec);
  if (ec) throw OutputError(dir_.string() + ": cannot be created: " + ec.message());
  write_file(dir_ / kMark, "Results of forksim sweep; journal*.txt is what --resume and --merge go on from.\n");
  if (resume) found_ = read_journals(dir_);
  for (std::size_t j = 0; j < jobs_.size(); ++j) {
    const auto r = found_.find(jobs_[j].key);
    const bool finished = r != found_.end() && r->second.ok;
    if (!finished && (shard.count == 0 || j % shard.count == shard.index)) todo_.push_back(j);
  }
  if (!resume && shard.count == 0)
    for (const auto& entry : fs::directory_iterator(dir_, ec))
      if (entry.path().filename().string().starts_with("journal")) fs::remove(entry.path(), ec);
  const std::string name = shard.count ? fmt::format("journal-{}-of-{}.txt", shard.index + 1, shard.count) : "journal.txt";
  journal_ = std::make_unique<Journal>(dir_ / name, !resume);
}

std::string Sweep::run_one(std::size_t job) {
  const std::size_t cell = job / study_.seeds;
  RunOutcome r;
  if (wrong_[cell].empty())
    r = port_.run(study_.cells[cell], study_.seed_of(job), job % study_.seeds == 0);
  else
    r.error = wrong_[cell];
  r.key = jobs_[job].key;
  std::erase_if(r.values, [&](const auto& v) { return !study_.kept[v.first]; });
  return encode(r);
}

/// `sent` is a whole record, or the run failed for the reason given.
void Sweep::keep(std::size_t job, const std::string& sent, const std::string& why) {
  Outcomes one;
  decode(sent, one);
  ++done_;
  if (one.contains(jobs_[job].key)) {
    failed_ += !one.begin()->second.ok;
    journal_->append(sent);
  } else {
    ++failed_;
    RunOutcome r;
    r.key = jobs_[job].key;
    r.error = why;
    journal_->append(encode(r));
  }
  port_.progress(done_, todo_.size(), failed_);
}

void Sweep::run_local(unsigned jobs, const std::atomic<bool>& stop) {
  for (std::size_t p = 0; p < platforms_.size() && !stop; ++p) {
    std::vector<std::size_t> mine;
    std::ranges::copy_if(todo_, std::back_inserter(mine), [&](std::size_t j) { return jobs_[j].platform == p; });
    if (mine.empty()) continue;
    // A process loads one platform: each has a process of its own, from which its runs are forked.
    in_child([&] {
      if (!platforms_[p].empty()) port_.warm(platforms_[p]);
      const PoolCalls calls{[&](std::size_t job) { return run_one(job); },
                            [&](std::size_t job, const std::string& sent, int status) { keep(job, sent, how_it_ended(status)); },
                            {}};
      run_pool(mine, jobs, calls, stop);
      return 0;
    }, stop);
    done_ += mine.size();
  }
}

/// One run in a child of its own, which loads the platform itself.
std::string Sweep::run_in_pool(std::size_t job, const std::function<void()>& tick) {
  static const std::atomic<bool> kNever{false};
  std::string record;
  const PoolCalls calls{[&](std::size_t j) {
                          const std::string& platform = platforms_[jobs_[j].platform];
                          if (!platform.empty()) port_.warm(platform);
                          return run_one(j);
                        },
                        [&](std::size_t, const std::string& sent, int status) { record = sent.empty() ? how_it_ended(status) : sent; }, tick};
  run_pool({job}, 1, calls, kNever);
  return record;
}

bool Sweep::run_ranks(Ranks& ranks, int patience_ms, const std::atomic<bool>& stop) {
  CoordinatorCalls calls;
  calls.finished = [&](std::size_t job, const std::string& record) { keep(job, record, record); };
  calls.run_here = [&](std::size_t job) { return run_in_pool(job, {}); };
  calls.lost = [&](int rank, std::size_t job) {
    port_.say(job < jobs_.size() ? fmt::format("rank {} is lost; its run (cell {}, seed {}) is given again", rank, study_.cell_of(job).id, study_.seed_of(job))
                                 : fmt::format("rank {} is lost", rank));
  };
  return coordinate(ranks, todo_, calls, patience_ms, stop);
}

bool Sweep::serve_ranks(Ranks& ranks, int patience_ms) {
  return serve(ranks, [&](std::size_t job, const std::function<void()>& tick) { return run_in_pool(job, tick); }, patience_ms);
}

SweepCounts Sweep::write() {
  journal_.reset();
  found_ = read_journals(dir_);
  outcomes_.clear();
  for (const Job& j : jobs_) {
    const auto r = found_.find(j.key);
    outcomes_.push_back(r == found_.end() ? nullptr : &r->second);
  }
  write_tables(dir_, study_, outcomes_);
  return count_outcomes(outcomes_);
}

}  // namespace forksim
