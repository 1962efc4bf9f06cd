// The command line (the only file that includes CLI11).
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <cstdio>

#include "sim/app/build_info.hpp"
#include "sim/app/commands.hpp"
#include "sim/config/suggest.hpp"

namespace {

using namespace forksim;

/// One value, such as `text` shows, each time the option is given.
void one_each(CLI::Option* o, const std::string& text) { o->option_text(text)->allow_extra_args(false); }
/// Names in one word, with commas between them.
void by_commas(CLI::Option* o) { one_each(o->delimiter(','), "A,B"); }

void add_run(CLI::App& app, RunCommand& c) {
  CLI::App* run = app.add_subcommand("run", "simulate a workload, print the report, write the result folder");
  run->add_option("workload", c.workload, "workload file (YAML)")->required()->check(CLI::ExistingFile);
  run->add_option("--platform", c.platform, "name or file of the platform");
  run->add_option("--kernel", c.kernel, "kernel profile (forksim list kernels)");
  run->add_option("--seed", c.seed, "master seed");
  one_each(run->add_option(
               "--set", c.sets,
               "a value of the workload, parameters.*, costs.*, features.*, tunables.*, trace.* (forksim list trace_options); repeatable"),
           "KEY=VALUE");
  run->add_option(
      "--placement", c.placement,
      "rule that places new tasks (forksim list placements), or a plug-in such as ./my_rule.so; the same as --set placement.fork=RULE");
  run->add_flag("--regret{all}", c.regret,
                "branch the simulation at every fork, or at N of them (--regret=N), and tell how long the children would have waited on "
                "the other CPUs");
  run->add_option("--until", c.until, "end date, such as 2s");
  run->add_option("--repeat", c.repeat, "number of runs with consecutive seeds")->check(CLI::Range(1, 1000000));
  run->add_option("--jobs", c.jobs, "processes for --repeat and --regret")->check(CLI::Range(1, 4096));
  run->add_option("--out", c.out, "result folder");
  by_commas(run->add_option("--trace", c.trace, "traces to write: ftrace, function_graph"));
  run->add_flag("--json", c.json, "print report.json instead of the text");
  run->add_flag("--quiet", c.quiet, "print nothing but errors");
  run->add_flag("--allow-unmodelled", c.allow_unmodelled, "run what is not modelled as the nearest thing that is, and count it in diagnostics");
  run->add_flag("--lockstep", c.lockstep, "one engine round per kernel date (the slow reference; same bytes)");
}

/// ps takes the letters of its namesake, bundled or not, with or without the dash.
void add_ps(CLI::App& app, PsCommand& c) {
  CLI::App* ps = app.add_subcommand("ps", "print the process table of a result folder at a date, as ps -ely, -ejH or axjf does");
  ps->add_option("dir", c.dir, "result folder")->required();
  ps->add_option("options", c.options, "ely, ejH or axjf, also with a dash; refs: who shares what");
  ps->add_option("--at", c.at, "date, such as 12ms")->required();
  constexpr std::pair<const char*, const char*> kLetters[] = {
      {"-e", "every process (always so)"}, {"-l", "long"},     {"-y", "with -l: RSS for ADDR, no flags"}, {"-j", "jobs: process group, session"},
      {"-H", "indent children"},           {"-a", "with x: all"}, {"-x", "with a: all"},                     {"-f", "with a BSD layout: forest"}};
  for (const auto& [letter, help] : kLetters)
    ps->add_flag_function(letter, [&c, l = letter[1]](std::int64_t) { c.options += l; }, help);
}

void add_explain(CLI::App& app, ExplainCommand& c) {
  CLI::App* explain =
      app.add_subcommand("explain", "tell the life of a task of a result folder, phase by phase, or why a child was placed where it was");
  explain->add_option("dir", c.dir, "result folder")->required();
  explain->add_option("--pid", c.pid, "the task (pids are in tasks.csv)");
  explain->add_option("--fork", c.fork, "why that child was placed where it was (numbers are in forks.csv)");
  explain->add_flag("--json", c.json, "for machines");
}

void add_compare(CLI::App& app, CompareCommand& c) {
  CLI::App* cmp = app.add_subcommand("compare", "set two results, or two sets of runs, against each other; exit code 1 on a regression");
  cmp->add_option("sides", c.sides, "BASE and NEW: result folders, folders of them, or a sweep's output (FOLDER:factor=value picks cells)");
  cmp->add_option("--baseline", c.baseline, "a folder of results/baselines in place of BASE, with its limits");
  one_each(cmp->add_option("--fail-on", c.fail_on, "such as fork_to_run.p99>+5%; with limits only these make a regression; repeatable"),
           "MEASURE>LIMIT");
  by_commas(cmp->add_option("--metric", c.metrics, "only these metrics or measures (default: all)"));
  cmp->add_option("--format", c.format, "text, markdown, json or junit")->check(CLI::IsMember({"text", "markdown", "json", "junit"}));
  cmp->add_option("--alpha", c.alpha, "chance of a false alarm in a whole comparison (default 1%)");
  cmp->add_option("--tolerance", c.tolerance, "smaller changes are no regression (default 0.1%)");
  cmp->add_flag("--no-divergence", c.no_divergence, "do not look for the first event that differs (which may run both sides again)");
}

void add_sweep(CLI::App& app, SweepCommand& c) {
  CLI::App* sweep = app.add_subcommand("sweep", "run a study: every cell with every seed, in parallel; also below mpirun and in Slurm job arrays");
  sweep->add_option("study", c.study, "study file (YAML)")->required()->check(CLI::ExistingFile);
  sweep->add_option("--jobs", c.jobs, "processes at a time (default: one for each CPU)")->check(CLI::Range(1, 4096));
  sweep->add_option("--out", c.out, "folder of the results (default results/runs/<study>)");
  one_each(sweep->add_option("--add", c.add, "one more value of a factor of the study, such as rule=./my_rule.so; repeatable"),
           "FACTOR=VALUE");
  sweep->add_flag("--resume", c.resume, "keep the runs that are there and whose input is the same");
  sweep->add_option("--shard", c.shard, "only part I of N, as I/N; slurm takes both from SLURM_ARRAY_TASK_ID and its limits");
  sweep->add_flag("--merge", c.merge, "run nothing: make the tables of what all shards have finished");
  sweep->add_flag("--emit-commands", c.emit_commands, "print the commands of all shards, one a line, for GNU parallel or xargs");
  sweep->add_option("--shards", c.shards, "how many shards --emit-commands makes (default: one for each cell)")->check(CLI::Range(1, 1000000));
  sweep->add_option("--patience", c.patience_s, "below mpirun: seconds of silence after which a rank is lost (default 30)")->check(CLI::Range(1, 86400));
  sweep->add_flag("--quiet", c.quiet, "print nothing but errors");
}

void add_report(CLI::App& app, ReportCommand& c) {
  CLI::App* report = app.add_subcommand("report", "print the report of a result folder");
  report->add_option("dir", c.dir, "result folder")->required();
  report->add_flag("--json", c.json, "report.json instead of the text");
}

void add_plot(CLI::App& app, PlotCommand& c) {
  CLI::App* plot = app.add_subcommand("plot", "draw plots of result folders into DIR/plots");
  plot->add_option("dirs", c.dirs, "result folders; plots go to the first")->required();
  by_commas(plot->add_option("--kind", c.kinds, "cdf, gantt or all"));
  by_commas(plot->add_option("--metric", c.metrics, "latency metrics of the CDF (default fork_to_run)"));
  by_commas(plot->add_option("--format", c.formats, "svg, png"));
  plot->add_option("--from", c.from, "start of the Gantt chart, such as 10ms");
  plot->add_option("--to", c.to, "end of the Gantt chart");
}

const std::vector<std::string> kSchemas{"workload", "costs", "study", "baseline"};
const std::vector<std::string> kLists{"platforms",   "kernels",   "placements",    "features", "tunables", "metrics",
                                      "tracepoints", "functions", "trace_options", "phases",   "failures"};

struct ListCommand {
  std::string what;
  bool json = false, markdown = false;
};
void add_list(CLI::App& app, ListCommand& c) {
  CLI::App* list = app.add_subcommand("list", "what there is, one line each");
  list->add_option("what", c.what, fmt::format("{}", fmt::join(kLists, ", ")))->required()->check(CLI::IsMember(kLists));
  list->add_flag("--json", c.json, "for machines");
  list->add_flag("--markdown", c.markdown, "of functions: the table of kernel_model/README.md");
}

bool is_command(const CLI::App& app, const std::string& word) {
  return !app.get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; }).empty();
}

/// CLI11 would only say that a sub-command is required.
int no_such_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!sub->get_group().empty()) names.push_back(sub->get_name());
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string hint = did_you_mean(word, views);
  std::fprintf(stderr, "forksim %s: no such command; allowed: %s%s%s\n", word.c_str(), one_of(views).c_str(), hint.empty() ? "" : "; ", hint.c_str());
  return ExitCode::kBadInput;
}

/// Commands of the contract that later versions bring: refused by name.
void add_later(CLI::App& app, std::string& later) {
  for (const char* name : {"import", "migrate"}) {
    CLI::App* sub = app.add_subcommand(name, "not in this version");
    sub->group("")->allow_extras();
    sub->callback([name, &later] { later = name; });
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"forksim: how Linux creates, places, runs, switches and buries processes, event by event"};
  app.require_subcommand(1);
  app.set_version_flag("--version", build_version());

  RunCommand run;
  run.argv.assign(argv, argv + argc);
  add_run(app, run);

  std::vector<std::string> files;
  app.add_subcommand("validate", "check YAML files of ours; all errors at once")->add_option("files", files, "files")->required();

  ReportCommand report;
  add_report(app, report);
  PsCommand ps;
  add_ps(app, ps);
  ExplainCommand explain;
  add_explain(app, explain);

  PlotCommand plot;
  add_plot(app, plot);
  std::string schema;
  app.add_subcommand("schema", "JSON Schema (draft-07) for editors")->add_option("what", schema, fmt::format("{}", fmt::join(kSchemas, ", ")))->required()->check(CLI::IsMember(kSchemas));
  ListCommand list;
  add_list(app, list);
  CompareCommand compare;
  add_compare(app, compare);

  SweepCommand sweep;
  sweep.argv.assign(argv, argv + argc);
  add_sweep(app, sweep);

  std::string later;
  add_later(app, later);
  if (argc > 1 && argv[1][0] != '-' && !is_command(app, argv[1])) return no_such_command(app, argv[1]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? ExitCode::kOk : ExitCode::kBadInput;
  }
  if (!later.empty()) {
    std::fprintf(stderr, "forksim %s: not in this version\n", later.c_str());
    return ExitCode::kBadInput;
  }
  if (app.got_subcommand("run")) return run_command(run);
  if (app.got_subcommand("validate")) return validate_command(files);
  if (app.got_subcommand("report")) return report_command(report);
  if (app.got_subcommand("ps")) return ps_command(ps);
  if (app.got_subcommand("explain")) return explain_command(explain);
  if (app.got_subcommand("plot")) return plot_command(plot);
  if (app.got_subcommand("sweep")) return sweep_command(sweep);
  if (app.got_subcommand("compare")) return compare_command(compare);
  if (app.got_subcommand("schema")) return schema_command(schema);
  return list_command(list.what, list.json, list.markdown);
}
