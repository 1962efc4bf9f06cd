// forksim run: one simulation, or several with consecutive seeds in a pool of processes.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <map>

#include "sim/app/guarded.hpp"
#include "sim/app/single_run.hpp"
#include "sim/app/stop_flag.hpp"
#include "sim/engine/sim_engine.hpp"
#include "sim/output/ftrace_writer.hpp"
#include "sim/output/out_file.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

void print(const SingleRun& r, const RunCommand& c) {
  if (!c.quiet) fmt::print("{}", c.json ? render_report_json(r.report) : render_report_text(r.report));
  std::fflush(stdout);
  if (!c.quiet && !r.interrupted) fmt::print(stderr, "result folder: {}\n", r.dir.string());
  if (r.interrupted) fmt::print(stderr, "interrupted: the run ends at {} ns, what was simulated is in {}\n", r.report.simulated_ns, r.dir.string());
  for (const std::string& v : r.report.violations) fmt::print(stderr, "invariant violated: {}\n", v);
}

/// One run with every way to fail turned into its exit code.
int guarded_run(const RunCommand& c, const fs::path& dir, bool show) {
  return guarded("the run", [&] {
    Diagnostics diags;
    const SingleRun r = single_run(c, dir, stop_flag(), diags);
    if (!diags.ok()) {
      fmt::print(stderr, "{}", diags.text());
      return int{ExitCode::kBadInput};
    }
    if (show) print(r, c);
    return r.exit_code;
  });
}

/// Replications: seed, seed + 1 ...; each in its own process, because SimGrid keeps one simulation per process.
int repeated_run(const RunCommand& c) {
  unsigned long long seed = 1;
  if (!c.seed.empty()) {
    const auto end = c.seed.data() + c.seed.size();
    if (std::from_chars(c.seed.data(), end, seed).ptr != end) {
      fmt::print(stderr, "--seed {}: not a whole number\n", c.seed);
      return ExitCode::kBadInput;
    }
  }
  const fs::path root = c.out.empty() ? fs::path("results/runs") / (fs::path(c.workload).stem().string() + "-repeat") : fs::path(c.out);
  std::map<pid_t, unsigned> running;
  std::vector<int> codes(c.repeat, ExitCode::kOk);
  unsigned started = 0, finished = 0;
  while (finished < c.repeat) {
    while (started < c.repeat && running.size() < std::max(c.jobs, 1u) && !stop_flag()) {
      RunCommand one = c;
      one.seed = std::to_string(seed + started);
      const pid_t pid = fork();
      if (pid == 0) {
        const int code = guarded_run(one, root / ("seed-" + one.seed), false);
        std::fflush(stderr);
        _exit(code);
      }
      if (pid < 0) {
        fmt::print(stderr, "the run could not be completed: no process for seed {}\n", one.seed);
        return ExitCode::kIncomplete;
      }
      running.emplace(pid, started++);
    }
    if (running.empty()) break;
    int status = 0;
    const pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0) continue;
    codes[running.at(pid)] = WIFEXITED(status) ? WEXITSTATUS(status) : ExitCode::kIncomplete;
    running.erase(pid);
    ++finished;
  }
  int worst = stop_flag() ? ExitCode::kInterrupted : ExitCode::kOk;
  for (unsigned i = 0; i < started; ++i) {
    worst = std::max(worst, codes[i]);
    if (codes[i] != ExitCode::kOk && codes[i] != ExitCode::kFailed) continue;
    const fs::path dir = root / ("seed-" + std::to_string(seed + i));
    const Report r = load_report(dir);
    if (!c.quiet) fmt::print("seed {}: {} ns simulated, {} forks, {:.6f} J, {}\n", r.seed, r.simulated_ns, r.totals.forks, r.energy_j, dir.string());
  }
  return worst;
}

}  // namespace

int run_command(const RunCommand& c) {
  if (const std::string wrong = check_trace_formats(c.trace); !wrong.empty()) {
    fmt::print(stderr, "--trace: {}\n", wrong);
    return ExitCode::kBadInput;
  }
  install_stop_handler();
  return c.repeat > 1 ? repeated_run(c) : guarded_run(c, c.out, true);
}

}  // namespace forksim
