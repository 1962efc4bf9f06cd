#include "sim/app/single_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/sched/audit.hpp"
#include "sim/app/build_info.hpp"
#include "sim/app/planned_plots.hpp"
#include "sim/app/platform_files.hpp"
#include "sim/app/progress.hpp"
#include "sim/app/settings.hpp"
#include "sim/app/stop_flag.hpp"
#include "sim/app/trace_options.hpp"
#include "sim/app/vocabulary.hpp"
#include "sim/engine/km_kernel.hpp"
#include "sim/engine/sim_engine.hpp"
#include "sim/output/ftrace_writer.hpp"
#include "sim/output/out_file.hpp"
#include "sim/output/regret_rows.hpp"
#include "sim/output/result_writer.hpp"
#include "sim/output/time_text.hpp"
#include "sim/placement/placement_set.hpp"
#include "sim/platform/cost_file.hpp"
#include "sim/workload/faults.hpp"
#include "sim/workload/programs.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim {

namespace fs = std::filesystem;

namespace {

std::vector<Override> overrides_of(const RunCommand& c, const std::vector<std::string>& sets) {
  std::vector<Override> all;
  for (const std::string& s : sets) all.push_back(parse_set(s));
  const std::pair<const char*, const std::string*> options[] = {{"platform", &c.platform},   {"kernel", &c.kernel},
                                                                {"seed", &c.seed},           {"placement.fork", &c.placement},
                                                                {"regret.forks", &c.regret}, {"until", &c.until}};
  for (const auto& [key, value] : options) {
    const std::string_view option = std::string_view(key).substr(0, std::string_view(key).find('.'));
    if (!value->empty()) all.push_back({key, *value, fmt::format("--{} {}", option, *value)});
  }
  if (c.allow_unmodelled) all.push_back({"allow_unmodelled", "true", "--allow-unmodelled"});
  return all;
}

/// Everything that has to exist before a kernel can be made.
struct Setup {
  ResolvedRun run;
  std::unique_ptr<SimEngine> engine;
  km::KernelConfig config;
  std::unique_ptr<km::Trace> hub = std::make_unique<km::Trace>();
  std::unique_ptr<PlacementSet> placement;
  std::string resolved;
  std::vector<std::string> settings;
  TraceOptions trace;
};

Diagnostic no_platform(const std::string& workload, const std::string& platform) {
  std::string names;
  for (const std::string& n : platform_names()) names += n + ", ";
  Diagnostic d;
  d.file = workload;
  d.path = "platform";
  d.what = fmt::format("no platform \"{}\"", platform);
  d.allowed = "allowed are " + names + "or the path of a platform file";
  if (!names.empty()) return d;
  d.allowed = "allowed is the path of a platform file (.xml)";
  d.hint = fmt::format("no platform files are in {}: run from the repository's folder, or give --platform PATH", platform_places());
  return d;
}

/// Processes that branches may use.
unsigned jobs_of(const RunCommand& c) { return c.jobs ? c.jobs : std::max(std::thread::hardware_concurrency(), 1u); }

bool wants(const RunCommand& c, std::string_view format) { return std::ranges::find(c.trace, format) != c.trace.end(); }

/// `warm`: null, or an engine that has loaded the run's platform already.
bool set_up(const RunCommand& c, Setup& s, Diagnostics& diags, std::unique_ptr<SimEngine> warm = nullptr) {
  std::vector<std::string> sets = c.sets;
  s.trace = take_trace_options(sets, c.trace, diags);
  s.run = resolve_run(c.workload, overrides_of(c, sets), app_vocabulary(), diags);
  if (!diags.ok()) return false;
  const std::string platform = find_platform(s.run.platform);
  if (platform.empty()) {
    diags.add(no_platform(c.workload, s.run.platform));
    return false;
  }
  FS_CONTRACT(!warm || warm->platform().file == platform, "a process loads one platform");
  s.engine = warm ? std::move(warm) : std::make_unique<SimEngine>(platform, diags);
  if (!diags.ok()) return false;
  const PlatformDesc& desc = s.engine->platform();
  PlatformCosts costs = load_costs(desc.costs_file.empty() ? costs_file_of(platform) : desc.costs_file, diags);
  if (!diags.ok()) return false;
  const km::CostTable plain_costs = costs.table();
  for (const CostOverride& o : s.run.costs) apply_cost_override(costs, o.key, o.text, o.from, diags);
  check_cpus(s.run, static_cast<km::u32>(desc.cpus.size()), diags);
  if (!diags.ok()) return false;
  s.config.machine = s.engine->machine();
  s.config.costs = costs.table();
  s.config.locks = s.run.locks;
  s.config.mm_contention = s.run.mm_contention;
  s.config.profile = s.run.kernel;
  km::resolve_tunables(s.config.profile, s.config.machine.topology.cpus, s.run.given_tunables);
  s.placement = std::make_unique<PlacementSet>(s.run.seed, s.config.machine.topology.cpus, *s.hub, jobs_of(c));
  s.placement->load(s.run.workload.placements, diags);
  if (!diags.ok()) return false;
  s.config.placement.rules = s.placement->rules();
  s.config.placement.names.assign(s.run.workload.placements.begin(), s.run.workload.placements.end());
  s.config.placement.run = s.run.workload.placement;
  s.config.cpufreq = s.run.cpufreq;
  s.config.hotplug = s.run.workload.hotplug;
  s.settings = changed_settings(s.run, s.config, plain_costs);
  s.resolved = resolved_yaml(s.run, {&s.config.profile, &s.config.costs, costs.file});
  return true;
}

/// Time and energy of a CPU by operating point.
void add_opps(const SimEngine& engine, km::CpuId cpu, FinalNumbers::Cpu& c) {
  const CpuDesc& d = engine.platform().cpus[cpu.v];
  const auto opps = static_cast<km::u32>(d.opp_hz.size());
  const auto joules = [](km::Ns t, double watts) { return watts * (static_cast<double>(t.v) / 1e9); };
  for (km::u32 o = 0; o < opps; ++o) {
    const km::Ns busy = engine.residency(cpu, o), wfi = engine.residency(cpu, opps + o);
    c.opps.push_back({d.opp_hz[o], busy, wfi, joules(busy, d.watts[o]) + joules(wfi, d.watts[opps + o])});
  }
  c.off = engine.off_ns(cpu);
  c.off_energy_j = joules(c.off, d.watts_off);
}

FinalNumbers final_numbers(const Setup& s, const km::Kernel& kernel, const RunResult& result) {
  FinalNumbers f;
  f.now = result.now;
  f.totals = kernel.totals();
  f.alive = kernel.alive();
  f.locks = kernel.lock_stats();
  const km::u32 cpus = s.config.machine.topology.cpus;
  for (km::u32 i = 0; i < cpus; ++i) {
    FinalNumbers::Cpu& c = f.cpus.emplace_back();
    c.times = kernel.cpu_times(km::CpuId(i));
    c.online = result.now - s.engine->off_ns(km::CpuId(i));
    c.energy_j = result.energy_j[i];
    add_opps(*s.engine, km::CpuId(i), c);
  }
  const CpuDesc& cpu = s.engine->platform().cpus[0];
  const std::size_t opps = cpu.opp_hz.size();
  for (std::size_t o = 0; o < opps; ++o) f.watts.push_back({cpu.watts[opps + o], cpu.watts[o]});
  f.boot_opp = cpu.boot_opp;
  return f;
}

std::vector<std::pair<std::string, km::u64>> diagnostics_of(const Programs& programs, const km::Kernel& kernel, const RunMetrics& metrics) {
  std::vector<std::pair<std::string, km::u64>> out;
  for (const auto& [name, count] : programs.diagnostics()) out.emplace_back(std::string(name), count);
  if (const km::u64 n = kernel.totals().start_errors) out.emplace_back("starts_failed", n);
  if (const km::u64 n = kernel.totals().placement_illegal) out.emplace_back("placement_illegal", n);
  if (const km::u64 n = kernel.totals().affinity_widened) out.emplace_back("affinity_widened", n);
  if (const auto stuck = kernel.stuck_tasks(); !stuck.empty()) out.emplace_back("tasks_stuck_at_end", stuck.size());
  if (metrics.life.cut()) out.emplace_back("life_rows_cut", metrics.life.cut());
  if (metrics.schedule.cut()) out.emplace_back("schedule_rows_cut", metrics.schedule.cut());
  return out;
}

/// As check_schedstat_required does. It is about the trace alone: the report does not depend on what is traced.
void hint_at_schedstats(const Setup& s) {
  if (s.trace.schedstats_named && !s.config.profile.tun(km::Tunable::sched_schedstats))
    fmt::print(stderr,
               "trace.events: sched_stat_wait, _sleep, _blocked and _iowait need --set tunables.sched_schedstats=1; none will come\n");
}

/// What the kernel would have logged. It says each of them once.
std::vector<std::string> warnings_of(const km::Kernel& kernel) {
  const km::DoubleClock& d = kernel.double_clock();
  if (!d.count) return {};
  return {
      fmt::format("rq->clock_update_flags & RQCF_UPDATED at {} s: CPU {} updates the clock of CPU {} twice under one lock, in {}; {} "
                  "such updates in all, of which the kernel reports the first",
                  exact_s(d.first.v), d.by.v, d.rq.v, d.where, d.count)};
}

RunSummary summary_of(const Setup& s, const km::Kernel& kernel, const FinalNumbers& final, const RunResult& result, std::vector<std::pair<std::string, km::u64>> diagnostics) {
  return {.workload = s.run.workload.name,
          .platform = s.engine->platform().name,
          .kernel = std::string(s.config.profile.name),
          .seed = s.run.seed,
          .settings = s.settings,
          .final = final,
          .energy_j = result.energy_total_j,
          .measure = s.run.measure,
          .groups = kernel.groups(),
          .irq_time_accounting = s.config.profile.irq_time_accounting,
          .warnings = warnings_of(kernel),
          .diagnostics = std::move(diagnostics)};
}

ManifestInfo manifest_of(const RunCommand& c, const Setup& s, const std::vector<InputFile>& inputs, double wall, km::u64 sched_events) {
  return {.command = c.argv,
          .versions = build_versions(),
          .git = build_git(),
          .seeds = {s.run.seed},
          .inputs = inputs,
          .wall_s = wall,
          .sched_events = sched_events};
}

/// What a simulation leaves behind besides its metrics.
struct Simulated {
  Report report;
  RunResult result;
  double wall_s = 0;
  km::u64 sched_events = 0;
};

/// The engine's run; in a branch of the simulation it does not return.
RunResult run_or_branch(Setup& s, KmKernel& model, const RunOptions& options) {
  try {
    const RunResult r = s.engine->run(model, options);
    if (s.placement->in_branch()) s.placement->end_branch(r.now, r.end == RunEnd::stopped);
    return r;
  } catch (...) {
    if (s.placement->in_branch()) s.placement->end_branch(model.now(), true);
    throw;
  }
}

/// Kernel and programs of one run, from boot to the end; listeners are subscribed by the caller.
Simulated simulate(const RunCommand& c, Setup& s, km::Trace& trace, RunMetrics& metrics, const std::atomic<bool>& stop) {
  Simulated out;
  Programs programs(s.run.workload);
  Faults faults(s.run.workload.failures, s.run.seed);
  if (!s.run.workload.failures.empty()) s.config.faults = &faults;
  km::Kernel kernel(s.config, programs, s.engine->power(), trace);
  const km::Ns bound = s.run.balance_bound.value_or(km::kBalanceBound);
  metrics.invariants.set_audit([&kernel, bound](km::CpuId cpu, km::Ns idle_since, std::vector<std::string>& broken) { return kernel.audit(cpu, idle_since, bound, broken); }, bound);
  programs.instantiate(kernel);
  for (const km::TaskView& t : kernel.tasks()) metrics.describe(t);

  const auto start = std::chrono::steady_clock::now();
  KmKernel model(kernel);
  {
    Progress progress(kernel, s.run.until, !c.quiet);
    const auto update = [&](km::Ns now) {
      if (!s.placement->in_branch()) progress.update(now);
    };
    out.result = run_or_branch(s, model, {.until = s.run.until, .lockstep = c.lockstep, .stop = &stop, .progress = update});
  }
  kernel.finish(out.result.now);
  out.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  const FinalNumbers final = final_numbers(s, kernel, out.result);
  metrics.finish(final);
  out.report = build_report(summary_of(s, kernel, final, out.result, diagnostics_of(programs, kernel, metrics)), metrics, trace.names());
  out.sched_events = final.totals.sched_events;
  return out;
}

/// Makes the port that branches at forks. A sample needs to know how many forks there will be: a copy of this process runs ahead to count.
Regret& start_regret(const RunCommand& c, Setup& s, const std::atomic<bool>& stop) {
  const RegretPlan& plan = *s.run.regret;
  const bool all = plan.forks == ~km::u64{0};
  const km::u64 total = all ? plan.forks : count_in_a_copy([&] {
    ForkCounter counter;
    s.config.placement.branches = &counter;
    RunCommand silent = c;
    silent.quiet = true;
    RunMetrics nobody(s.config.machine.topology.cpus);
    simulate(silent, s, *s.hub, nobody, stop);
    return counter.count();
  });
  Regret& regret = s.placement->start_regret(plan.horizon, plan.forks, total);
  s.config.placement.branches = &regret;
  return regret;
}

}  // namespace

SingleRun single_run(const RunCommand& c, const fs::path& dir, const std::atomic<bool>& stop, Diagnostics& diags) {
  Setup s;
  SingleRun out;
  out.exit_code = ExitCode::kBadInput;
  if (!set_up(c, s, diags)) return out;
  out.exit_code = ExitCode::kOk;
  install_stop_handler();
  std::vector<InputFile> inputs{{"resolved.yaml", canonical_text(s.resolved)}};
  for (const std::string& file : s.placement->plugins()) inputs.push_back({file, read_file(file)});
  Regret* regret = s.run.regret ? &start_regret(c, s, stop) : nullptr;
  out.dir = dir.empty() ? default_result_dir(s.run.workload.name, inputs) : dir;
  ResultWriter writer(out.dir);

  km::Trace& trace = *s.hub;
  RunMetrics metrics(s.config.machine.topology.cpus);
  metrics.subscribe(trace);
  const km::u32 cpus = s.config.machine.topology.cpus;
  std::unique_ptr<FtraceWriter> ftrace;
  if (wants(c, "ftrace")) {
    ftrace = std::make_unique<FtraceWriter>(writer.dir() / "trace.ftrace", trace.names(), cpus);
    trace.subscribe(*ftrace, s.trace.events);
    hint_at_schedstats(s);
  }
  if (regret) trace.subscribe(regret->watch(), ChildWatch::events());
  std::unique_ptr<GraphWriter> graph;
  if (wants(c, "function_graph")) {
    s.trace.graph.arm64 = s.config.profile.arm64();
    graph = std::make_unique<GraphWriter>(writer.dir() / "trace.function_graph", trace.names(), cpus, s.trace.graph);
    trace.subscribe(*graph, graph->events());
  }
  Simulated done = simulate(c, s, trace, metrics, stop);
  if (ftrace) ftrace->close();
  if (graph) graph->close();

  out.report = std::move(done.report);
  if (regret) {
    std::vector<RegretRow> rows;
    out.report.regret = regret_report(regret->results(done.result.now), s.run.regret->horizon, metrics.placement, trace.names(), rows);
    writer.add_regret(rows);
  }
  writer.add_file("resolved.yaml", s.resolved);
  writer.add_report(out.report, metrics, trace.names());
  draw_planned(writer.dir(), s.run.plots);
  writer.commit(manifest_of(c, s, inputs, done.wall_s, done.sched_events));
  out.interrupted = done.result.end == RunEnd::stopped;
  if (out.interrupted)
    out.exit_code = ExitCode::kInterrupted;
  else if (out.report.invariants.violated)
    out.exit_code = ExitCode::kFailed;
  return out;
}

MemoryRun memory_run(const RunCommand& c, std::unique_ptr<SimEngine> warm, const fs::path& trace_file, Diagnostics& diags) {
  MemoryRun out;
  Setup s;
  if (!set_up(c, s, diags, std::move(warm))) return out;
  km::Trace& trace = *s.hub;
  RunMetrics metrics(s.config.machine.topology.cpus);
  metrics.subscribe(trace);
  std::unique_ptr<FtraceWriter> ftrace;
  if (!trace_file.empty()) {
    ftrace = std::make_unique<FtraceWriter>(trace_file, trace.names(), s.config.machine.topology.cpus);
    trace.subscribe(*ftrace, FtraceWriter::events());
  }
  static const std::atomic<bool> kNeverStops{false};
  out.report = simulate(c, s, trace, metrics, kNeverStops).report;
  if (ftrace) ftrace->close();
  out.resolved = std::move(s.resolved);
  return out;
}

}  // namespace forksim
