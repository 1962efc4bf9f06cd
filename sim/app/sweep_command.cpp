// forksim sweep: a study's runs on this machine, below mpirun, or as one shard of many.
#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "kernel_model/base/contract.hpp"
#include "sim/app/build_info.hpp"
#include "sim/app/commands.hpp"
#include "sim/app/guarded.hpp"
#include "sim/app/platform_files.hpp"
#include "sim/app/single_run.hpp"
#include "sim/app/stop_flag.hpp"
#include "sim/app/vocabulary.hpp"
#include "sim/config/overrides.hpp"
#include "sim/output/manifest.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/plot.hpp"
#include "sim/output/sha256.hpp"
#include "sim/study/study_report.hpp"
#include "sim/study/sweep.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

/// What a call of the command is about.
struct Task {
  const SweepCommand& c;
  const Study& study;
  const fs::path& dir;
  Clock::time_point started;
};

/// The line on a terminal: how far, how fast, how long still.
class SweepProgress {
 public:
  explicit SweepProgress(bool wanted) : on_(wanted && isatty(STDERR_FILENO)) {}
  void update(std::size_t done, std::size_t todo, std::size_t failed) {
    const auto now = Clock::now();
    if (!on_ || (done < todo && now - last_ < std::chrono::milliseconds(100))) return;
    last_ = now;
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double rate = static_cast<double>(done) / std::max(elapsed, 1e-3);
    fmt::print(stderr, "\r\033[K{} of {} runs, {} failed, {:.1f} a second, {:.0f} s left{}", done, todo, failed, rate,
               static_cast<double>(todo - done) / std::max(rate, 1e-3), done == todo ? "\n" : "");
    std::fflush(stderr);
  }

 private:
  bool on_;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

CellInputs inputs_of(const Cell& cell, std::string& wrong) {
  std::vector<Override> overrides;
  for (const std::string& set : cell.sets) overrides.push_back(parse_set(set));
  Diagnostics diags;
  const ResolvedRun run = resolve_run(cell.workload, overrides, app_vocabulary(), diags);
  CellInputs in;
  if (!diags.ok())
    wrong = diags.text();
  else if (in.platform = find_platform(run.platform); in.platform.empty())
    wrong = fmt::format("{}: platform: no platform \"{}\"", cell.workload, run.platform);
  if (!wrong.empty()) return in;
  in.machine = fmt::format("platform {}, kernel {}", fs::path(run.platform).stem().string(), run.kernel.name);
  for (const std::string& rule : run.workload.placements)
    if (!km::find_placement(rule)) in.plugins.push_back(rule);
  return in;
}

RunOutcome run_cell(const Cell& cell, km::u64 seed, bool with_resolved, std::unique_ptr<SimEngine>& warm) {
  RunOutcome r;
  try {
    RunCommand c;
    c.workload = cell.workload;
    c.sets = cell.sets;
    c.seed = std::to_string(seed);
    c.quiet = true;
    Diagnostics diags;
    const MemoryRun run = memory_run(c, std::move(warm), {}, diags);
    r.ok = diags.ok();
    r.error = diags.text();
    if (!r.ok) return r;
    const Values values = values_of(run.report);
    for (std::size_t i = 0; i < values.size(); ++i)
      if (values[i] == values[i]) r.values.emplace_back(i, values[i]);  // not NaN
    r.violated = run.report.invariants.violated;
    if (with_resolved) r.resolved = run.resolved;
  } catch (const km::ContractBroken& e) {
    r.ok = false;
    r.error = std::string("internal error: ") + e.what();
  } catch (const std::exception& e) {
    r.ok = false;
    r.error = e.what();
  }
  return r;
}

bool number(std::string_view text, std::size_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

std::size_t from_environment(const char* name, bool& fine) {
  const char* text = std::getenv(name);
  std::size_t value = 0;
  fine = fine && text && number(text, value);
  return value;
}

/// I/N counts from 1; Slurm's task ids run from MIN to MAX.
bool read_shard(const std::string& text, Shard& out) {
  if (text.empty()) return true;
  bool fine = true;
  if (text == "slurm") {
    const std::size_t id = from_environment("SLURM_ARRAY_TASK_ID", fine), min = from_environment("SLURM_ARRAY_TASK_MIN", fine),
                      max = from_environment("SLURM_ARRAY_TASK_MAX", fine);
    out = {id - min, max - min + 1};
    if (!fine) fmt::print(stderr, "--shard slurm: SLURM_ARRAY_TASK_ID, _MIN or _MAX is not set; submit with sbatch --array=1-N\n");
    return fine;
  }
  const std::size_t slash = text.find('/');
  std::size_t index = 0;
  fine = slash != std::string::npos && number(std::string_view(text).substr(0, slash), index) && number(std::string_view(text).substr(slash + 1), out.count) && index >= 1 &&
         index <= out.count;
  out.index = index - 1;
  if (!fine) fmt::print(stderr, "--shard {}: no part of a whole, allowed is I/N with I from 1 to N, or slurm\n", text);
  return fine;
}

unsigned cpus_here() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

/// The module of the transport lies beside the program. Null: not below mpirun. SimGrid has MPI functions of its own (SMPI), which a module
/// that is bound deeply does not see.
std::unique_ptr<Ranks> join_ranks() {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (!size || std::string_view(size) == "1") return nullptr;
  const fs::path module = fs::read_symlink("/proc/self/exe").parent_path() / "forksim_mpi.so";
  auto* library = dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  auto* make = library ? reinterpret_cast<Ranks* (*)()>(dlsym(library, "forksim_make_ranks")) : nullptr;
  if (!make) throw OutputRefused(fmt::format("below mpirun, but {}: install libopenmpi-dev and build again", dlerror()));
  return std::unique_ptr<Ranks>(make());
}

/// For a shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char ch : text) out += ch == '\'' ? "'\\''" : std::string(1, ch);
  return out + "'";
}

/// `--add` of the command, with a space before each.
std::string additions(const SweepCommand& c) {
  std::string out;
  for (const std::string& a : c.add) out += " --add " + quoted(a);
  return out;
}

/// Versions, host, hashes of what was read and written.
void write_manifest(const Sweep& sweep, const Task& t) {
  const double wall_s = std::chrono::duration<double>(Clock::now() - t.started).count();
  ManifestInfo info{.command = t.c.argv,
                    .versions = build_versions(),
                    .git = build_git(),
                    .seeds = {},
                    .inputs = {{t.study.file, read_file(t.study.file)}},
                    .wall_s = wall_s,
                    .sched_events = 0};
  for (km::u64 s = 0; s < t.study.seeds; ++s) info.seeds.push_back(t.study.first_seed + s);
  for (const auto& [name, content] : sweep.files()) info.inputs.push_back({name, content});
  std::vector<std::pair<std::string, std::string>> outputs;
  for (const char* name : {"results.csv", "cells.csv", "summary.csv", "report.md"})
    if (std::error_code ec; fs::is_regular_file(t.dir / name, ec)) outputs.emplace_back(name, sha256_file(t.dir / name));
  replace_file(t.dir / "manifest.json", render_manifest(info, outputs));
}

int finish(Sweep& sweep, const Task& t, bool interrupted) {
  const auto& [c, study, dir, started] = t;
  const SweepCounts n = sweep.write();
  const std::string again = fmt::format("forksim sweep {}{} --out {} --resume", study.file, additions(c), dir.string());
  if (study.report && n.missing == 0 && n.finished > 0) write_study_report(dir, study, {"forksim " + build_version(), sweep.machines()});
  write_manifest(sweep, t);
  if (!c.quiet)
    fmt::print("{}: {} cells, {} runs: {} finished, {} failed, {} missing\n{}\n", study.name, study.cells.size(), study.jobs(), n.finished,
               n.failed, n.missing, dir.string());
  if (n.failed) fmt::print(stderr, "{} runs failed, see {}\n", n.failed, (dir / "cells.csv").string());
  if (n.violated) fmt::print(stderr, "{} runs violated an invariant, see {}\n", n.violated, (dir / "cells.csv").string());
  if (n.missing) fmt::print(stderr, "{} runs are missing; {} goes on\n", n.missing, again);
  if (interrupted) return ExitCode::kInterrupted;
  if (n.failed || n.missing) return ExitCode::kIncomplete;
  return n.violated ? ExitCode::kFailed : ExitCode::kOk;
}

void emit_commands(const SweepCommand& c, const Study& study, const fs::path& dir) {
  const std::size_t n = c.shards ? c.shards : study.cells.size();
  const std::string self = fs::read_symlink("/proc/self/exe").string();
  for (std::size_t i = 1; i <= n; ++i)
    fmt::print("{} sweep {}{} --out {} --jobs 1 --quiet --shard {}/{}{}\n", self, c.study, additions(c), dir.string(), i, n,
               c.resume ? " --resume" : "");
}

int run_ranks(Ranks& ranks, Sweep& sweep, const Task& t) {
  const int patience = static_cast<int>(t.c.patience_s) * 1000;
  if (ranks.rank() > 0) {
    ranks.leave(sweep.serve_ranks(ranks, patience));
    std::_Exit(ExitCode::kOk);  // below mpirun a rank that ends otherwise would end the others
  }
  sweep.open(t.c.resume, {});
  const bool all_there = sweep.run_ranks(ranks, patience, stop_flag());
  const int code = finish(sweep, t, stop_flag());
  std::fflush(stdout);
  ranks.leave(all_there);
  std::_Exit(code);
}

int sweep_study(const SweepCommand& c) {
  Diagnostics diags;
  const Study study = load_study(c.study, c.add, app_vocabulary(), diags);
  Shard shard;
  if (!diags.ok()) fmt::print(stderr, "{}", diags.text());
  if (!diags.ok() || !read_shard(c.shard, shard)) return ExitCode::kBadInput;
  const fs::path dir = c.out.empty() ? fs::path("results/runs") / study.name : fs::path(c.out);
  if (c.emit_commands) {
    emit_commands(c, study, dir);
    return ExitCode::kOk;
  }
  const Task t{c, study, dir, Clock::now()};
  const std::unique_ptr<Ranks> ranks = join_ranks();
  install_stop_handler();
  std::unique_ptr<SimEngine> warm;
  SweepProgress progress(!c.quiet);
  SweepPort port;
  port.inputs_of = inputs_of;
  port.warm = [&](const std::string& platform) {
    Diagnostics found;
    warm = std::make_unique<SimEngine>(platform, found);
    if (!found.ok()) warm.reset();  // the run finds it again and says so
    install_stop_handler();
  };
  port.run = [&](const Cell& cell, km::u64 seed, bool with_resolved) { return run_cell(cell, seed, with_resolved, warm); };
  port.progress = [&](std::size_t done, std::size_t todo, std::size_t failed) { progress.update(done, todo, failed); };
  port.say = [](const std::string& line) { fmt::print(stderr, "{}\n", line); };
  Sweep sweep(study, port, dir, sha256_file("/proc/self/exe"));
  if (ranks) return run_ranks(*ranks, sweep, t);
  if (c.merge) return finish(sweep, t, false);
  sweep.open(c.resume, shard);
  sweep.run_local(c.jobs ? c.jobs : cpus_here(), stop_flag());
  if (shard.count == 0) return finish(sweep, t, stop_flag());
  return stop_flag() ? ExitCode::kInterrupted : ExitCode::kOk;
}

}  // namespace

int sweep_command(const SweepCommand& c) {
  return guarded("the sweep", [&] { return sweep_study(c); });
}

}  // namespace forksim
