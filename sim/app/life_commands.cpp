// forksim ps and forksim explain: a result folder's life.csv seen as a process table, or as the phases of one task.
#include <fmt/format.h>

#include <cstdio>

#include "sim/app/commands.hpp"
#include "sim/app/guarded.hpp"
#include "sim/config/units.hpp"
#include "sim/output/explain.hpp"
#include "sim/output/explain_fork.hpp"
#include "sim/output/ps_text.hpp"

namespace forksim {

namespace {

int refuse(const std::string& what) {
  fmt::print(stderr, "{}\n", what);
  return ExitCode::kBadInput;
}

/// Why there is no table at `at`; empty when there is one.
std::string out_of_reach(const Life& life, km::u64 at) {
  if (at <= life.complete_until) return {};
  const std::string until = format_duration(static_cast<std::int64_t>(life.complete_until));
  if (life.cut == 0) return fmt::format("--at: the run ended at {}; allowed: 0 to {}", until, until);
  return fmt::format("--at: life.csv reaches its limit of {} rows at {} and lacks {} more; allowed: 0 to {}", life.events.size(), until,
                     life.cut, until);
}

}  // namespace

int ps_command(const PsCommand& c) {
  const auto layout = find_ps_layout(c.options.empty() ? "ely" : c.options);
  if (!layout) return refuse(fmt::format("ps {}: no such layout; allowed: -ely, -ejH, -axjf, refs", c.options));
  const auto at = parse_duration(c.at);
  if (!at || *at.value < 0)
    return refuse(fmt::format("--at {}: {}; allowed: {}", c.at, at ? "before the start" : at.what, at ? "0 and later" : at.allowed));
  return guarded("the table", [&] {
    const Life life = load_life(c.dir);
    const auto now = static_cast<km::u64>(*at.value);
    if (const std::string why = out_of_reach(life, now); !why.empty()) return refuse(why);
    const ProcessTable table = table_at(life, now);
    fmt::print("{}", *layout == PsLayout::refs ? render_references(table.references()) : render_ps(table.rows(now), *layout, now));
    return ExitCode::kOk;
  });
}

namespace {

int explain_fork(const ExplainCommand& c) {
  const auto number = parse_integer(c.fork);
  if (!number) return refuse(fmt::format("--fork {}: {}; allowed: {}", c.fork, number.what, number.allowed));
  return guarded("the explanation", [&] {
    const ExplainedFork f = load_fork(c.dir, *number.value);
    fmt::print("{}", c.json ? render_fork_json(f) : render_fork_text(f));
    return ExitCode::kOk;
  });
}

}  // namespace

int explain_command(const ExplainCommand& c) {
  if (!c.fork.empty() && !c.pid.empty()) return refuse("explain: --pid and --fork are two questions; give one of them");
  if (!c.fork.empty()) return explain_fork(c);
  if (c.pid.empty())
    return refuse("explain: --pid or --fork is missing; such as --pid 12 (pids are in tasks.csv) or --fork 0 (numbers are in forks.csv)");
  const auto pid = parse_integer(c.pid);
  if (!pid) return refuse(fmt::format("--pid {}: {}; allowed: {}", c.pid, pid.what, pid.allowed));
  return guarded("the explanation", [&] {
    const auto lives = explain(load_life(c.dir), *pid.value);
    fmt::print("{}", c.json ? render_explain_json(lives) : render_explain_text(lives));
    return ExitCode::kOk;
  });
}

}  // namespace forksim
