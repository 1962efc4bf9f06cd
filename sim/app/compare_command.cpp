// forksim compare: two sides, the statistics, the first event at which they part.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <utility>

#include "sim/app/commands.hpp"
#include "sim/app/guarded.hpp"
#include "sim/app/single_run.hpp"
#include "sim/app/vocabulary.hpp"
#include "sim/config/suggest.hpp"
#include "sim/config/units.hpp"
#include "sim/output/out_file.hpp"
#include "sim/study/baseline.hpp"
#include "sim/study/compare.hpp"
#include "sim/study/divergence.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

/// "1%" or "0.5%" as a share; prints what is wrong.
bool read_share(const char* option, const std::string& text, double& out) {
  if (text.empty()) return true;
  const auto p = text.ends_with('%') ? parse_real(std::string_view(text).substr(0, text.size() - 1)) : Parsed<double>{};
  if (p && *p.value >= 0 && *p.value < 100) {
    out = *p.value / 100;
    return true;
  }
  fmt::print(stderr, "{} {}: no share, allowed is a number below 100 with %, such as 1%\n", option, text);
  return false;
}

bool read_metrics(const std::vector<std::string>& metrics) {
  std::vector<std::string_view> names{"run"};
  for (std::string_view m : app_vocabulary().metrics) names.push_back(m);
  bool fine = true;
  for (const std::string& m : metrics) {
    if (find_measure(m) || std::ranges::find(names, m) != names.end()) continue;
    const std::string hint = did_you_mean(m, names);
    fmt::print(stderr, "--metric {}: there is no such metric, allowed are {}{}{}\n", m, one_of(names, 24), hint.empty() ? "" : ", ", hint);
    fine = false;
  }
  return fine;
}

/// A trace that is being written by a child which runs one side again; the child goes when the reader has seen enough.
class Rerun {
 public:
  Rerun(const fs::path& resolved, km::u64 seed) {
    int ends[2];
    if (pipe(ends) != 0) return;
    std::fflush(stdout);
    std::fflush(stderr);
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[0]);
      _exit(child(resolved, seed, ends[1]));
    }
    close(ends[1]);
    file_ = fdopen(ends[0], "r");
  }
  ~Rerun() { finish(); }
  Rerun(const Rerun&) = delete;
  Rerun& operator=(const Rerun&) = delete;

  std::FILE* file() const { return file_; }
  /// True when the run was complete or we did not want the rest.
  bool finish() {
    if (file_) std::fclose(std::exchange(file_, nullptr));
    if (pid_ <= 0) return fine_;
    int status = 0;
    // The other side's child may hold our end of the pipe too, so closing it does not end a writer.
    kill(pid_, SIGPIPE);
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    fine_ = (WIFEXITED(status) && WEXITSTATUS(status) == 0) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    return fine_;
  }

 private:
  static int child(const fs::path& resolved, km::u64 seed, int out) {
    try {
      RunCommand c;
      c.workload = resolved.string();
      c.seed = std::to_string(seed);
      c.quiet = true;
      Diagnostics diags;
      memory_run(c, nullptr, fmt::format("/dev/fd/{}", out), diags);
      if (!diags.ok()) fmt::print(stderr, "{}", diags.text());
      return diags.ok() ? 0 : ExitCode::kBadInput;
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}: {}\n", resolved.string(), e.what());
      return ExitCode::kIncomplete;
    }
  }

  pid_t pid_ = -1;
  std::FILE* file_ = nullptr;
  bool fine_ = false;
};

fs::path resolved_of(const RunRecord& run, const CellRuns& cell) { return run.dir.empty() ? cell.resolved : run.dir / "resolved.yaml"; }

std::string from_files(const fs::path& base, const fs::path& next) {
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  const File a(std::fopen(base.c_str(), "r"), &std::fclose), b(std::fopen(next.c_str(), "r"), &std::fclose);
  if (!a || !b) return {};
  return render_divergence(find_divergence(a.get(), b.get()));
}

/// Of the first pair of the first cell that differs: from the traces of both folders, or by running both sides again.
std::string divergence_of(const Comparison& c) {
  for (const CellComparison& cell : c.cells) {
    if (!cell.first_base || !cell.first_next) continue;
    std::error_code ec;
    const std::string about = fmt::format("traces of seed {}{}\n", cell.first_base->seed, c.cells.size() > 1 ? ", " + cell.label : "");
    const fs::path a = cell.first_base->dir / "trace.ftrace", b = cell.first_next->dir / "trace.ftrace";
    if (fs::exists(a, ec) && fs::exists(b, ec)) return about + from_files(a, b);
    const fs::path base = resolved_of(*cell.first_base, *cell.base_cell), next = resolved_of(*cell.first_next, *cell.next_cell);
    if (!fs::exists(base, ec) || !fs::exists(next, ec)) continue;
    Rerun x(base, cell.first_base->seed), y(next, cell.first_next->seed);
    if (!x.file() || !y.file()) return {};
    const Divergence d = find_divergence(x.file(), y.file());
    const bool fine = x.finish() && y.finish();
    return fine ? about + render_divergence(d) : about + "one of the sides could not be run again, see above\n";
  }
  return {};
}

bool read_options(const CompareCommand& c, CompareOptions& o, Diagnostics& diags) {
  o.metrics = c.metrics;
  for (const std::string& text : c.fail_on) {
    Diagnostic place;
    place.file = "--fail-on";
    place.line = place.col = 1;
    place.source_line = text;
    o.fail_on.push_back(parse_fail_on(text, place, diags));
  }
  if (!diags.ok()) fmt::print(stderr, "{}", diags.text());
  return read_share("--alpha", c.alpha, o.alpha) && read_share("--tolerance", c.tolerance, o.least_effect) && read_metrics(c.metrics) && diags.ok();
}

int compare_sides(const CompareCommand& c) {
  CompareOptions options;
  Diagnostics diags;
  if (!read_options(c, options, diags)) return ExitCode::kBadInput;
  const bool named = !c.baseline.empty();
  if (c.sides.size() != (named ? 1u : 2u)) {
    fmt::print(stderr, "compare: {} given; {}\n", c.sides.size() == 1 ? "one folder" : fmt::format("{} folders", c.sides.size()),
               named ? "with --baseline NAME it takes the new side only" : "it takes BASE and NEW, or --baseline NAME and NEW");
    return ExitCode::kBadInput;
  }
  const std::string base_name = named ? baseline_folder(c.baseline).string() : c.sides[0];
  std::error_code ec;
  if (fs::exists(fs::path(base_name) / "baseline.yaml", ec)) {
    const Baseline b = load_baseline(base_name, app_vocabulary(), diags);
    if (!diags.ok()) {
      fmt::print(stderr, "{}", diags.text());
      return ExitCode::kBadInput;
    }
    options.fail_on.insert(options.fail_on.end(), b.fail_on.begin(), b.fail_on.end());
  }
  const ResultSet base = load_result_set(base_name), next = load_result_set(c.sides.back());
  const Comparison result = compare(base, next, options);
  const std::string divergence = c.no_divergence ? "" : divergence_of(result);
  fmt::print("{}", render_compare({base, next, result, options, divergence}, c.format));
  return result.regression ? ExitCode::kFailed : ExitCode::kOk;
}

}  // namespace

int compare_command(const CompareCommand& c) {
  return guarded("the comparison", [&] { return compare_sides(c); });
}

}  // namespace forksim
