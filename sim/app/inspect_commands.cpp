// validate, schema, list, report: commands that look at files and tables.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernel_model/cost/cost_table.hpp"
#include "kernel_model/process/fail_points.hpp"
#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/trace/functions.hpp"
#include "kernel_model/trace/trace.hpp"
#include "kernel_model/version/profile.hpp"
#include "sim/app/commands.hpp"
#include "sim/app/function_table.hpp"
#include "sim/app/guarded.hpp"
#include "sim/app/platform_files.hpp"
#include "sim/app/trace_options.hpp"
#include "sim/app/vocabulary.hpp"
#include "sim/output/report.hpp"
#include "sim/study/baseline.hpp"
#include "sim/study/study.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim {

namespace {

/// A file by its schema key: studies and baselines belong to the study room, the rest is the workload room's.
Diagnostics check_file(const std::string& file) {
  Diagnostics diags;
  const YamlDocument doc = load_yaml(file, diags);
  const YamlNode* schema = diags.ok() ? doc.root.find("schema") : nullptr;
  const std::string name = schema ? schema->scalar : std::string{};
  if (name.starts_with("forksim.study/")) {
    const Study study = load_study(file, {}, app_vocabulary(), diags);
    if (diags.ok()) check_cells(study, app_vocabulary(), diags);
    return diags;
  }
  if (name.starts_with("forksim.baseline/")) {
    load_baseline(file, app_vocabulary(), diags);
    return diags;
  }
  return validate_file(file, app_vocabulary());
}

}  // namespace

int validate_command(const std::vector<std::string>& files) {
  int code = ExitCode::kOk;
  for (const std::string& file : files) {
    const Diagnostics d = check_file(file);
    if (d.ok()) {
      fmt::print("{}: ok\n", file);
      continue;
    }
    fmt::print(stderr, "{}", d.text());
    code = ExitCode::kBadInput;
  }
  return code;
}

int schema_command(const std::string& what) {
  fmt::print("{}\n", json_schema(what, app_vocabulary()));
  return ExitCode::kOk;
}

namespace {

/// One line of a list: name, columns in between, text.
struct Entry {
  std::string name, detail, doc;
};
using List = std::vector<Entry>;

List kernels() {
  List l;
  for (const km::KernelProfile& p : km::kernel_profiles()) l.push_back({std::string(p.name), fmt::format("HZ={}", p.hz), std::string(p.doc)});
  return l;
}
List features() {
  List l;
  for (const km::FeatureInfo& f : km::kFeatureTable) l.push_back({std::string(f.name), f.default_on ? "on" : "off", std::string(f.doc)});
  return l;
}
List tunables() {
  List l;
  for (const km::TunableInfo& t : km::kTunableTable)
    l.push_back({std::string(t.name), fmt::format("{} {}{}, {}..{}", t.base, t.unit, t.scaled ? " (scaled by CPUs)" : "", t.min, t.max), std::string(t.doc)});
  return l;
}
List metrics() {
  return {
#define METRIC(name, from, to) {#name, "ns", "from " from " to " to},
#include "sim/metrics/metrics.def"
#undef METRIC
  };
}
List tracepoints() {
  List l;
  for (const km::TracepointInfo& t : km::tracepoint_table()) l.push_back({fmt::format("{}:{}", t.system, t.name), std::string(t.format), std::string(t.doc)});
  return l;
}
List functions() {
  List l;
  for (const km::FunctionInfo& f : km::kFunctionTable)
    l.push_back({std::string(f.name),
                 fmt::format("{}{}, {}", km::kFnStages[static_cast<std::size_t>(f.stage)].name, f.inlined ? " (inlined)" : "",
                             km::kPhaseTable[static_cast<std::size_t>(f.cost)].name),
                 std::string(f.file)});
  return l;
}
List trace_options() {
  List l;
  for (const TraceOptionInfo& t : trace_option_table()) l.push_back({t.key, t.value, t.doc});
  return l;
}
List phases() {
  List l;
  for (const km::PhaseInfo& p : km::kPhaseTable) l.push_back({std::string(p.name), fmt::format("per {}{}", p.per, p.mm ? ", mm" : ""), std::string(p.doc)});
  return l;
}
List failures() {
  List l;
  for (const km::FailPointInfo& f : km::kFailPointTable) l.push_back({std::string(f.name), std::string(f.err), std::string(f.doc)});
  return l;
}
List platforms() {
  List l;
  for (const std::string& n : platform_names()) l.push_back({n, find_platform(n), ""});
  return l;
}
List placements() {
  List l;
  for (const km::PlacementInfo& p : km::kPlacementTable)
    l.push_back({std::string(p.name), p.fork_only ? "fork" : "fork, exec, wake", std::string(p.doc)});
  return l;
}

struct Kind {
  std::string_view name;
  List (*make)();
};
constexpr Kind kKinds[] = {{"platforms", platforms},         {"kernels", kernels}, {"placements", placements},   {"features", features},
                           {"tunables", tunables},           {"metrics", metrics}, {"tracepoints", tracepoints}, {"functions", functions},
                           {"trace_options", trace_options}, {"phases", phases},   {"failures", failures}};

}  // namespace

int list_command(const std::string& what, bool json, bool markdown) {
  if (markdown) {
    if (what == "functions")
      fmt::print("{}", function_markdown());
    else
      fmt::print(stderr, "list {}: only functions have a table in Markdown\n", what);
    return what == "functions" ? ExitCode::kOk : ExitCode::kBadInput;
  }
  for (const Kind& k : kKinds) {
    if (k.name != what) continue;
    nlohmann::ordered_json out = nlohmann::ordered_json::array();
    for (const Entry& e : k.make()) {
      if (json)
        out.push_back({{"name", e.name}, {"detail", e.detail}, {"doc", e.doc}});
      else
        fmt::print("{:<28} {}{}{}\n", e.name, e.detail, e.detail.empty() || e.doc.empty() ? "" : "  ", e.doc);
    }
    if (json) fmt::print("{}\n", out.dump(2));
    return ExitCode::kOk;
  }
  return ExitCode::kBadInput;
}

int report_command(const ReportCommand& c) {
  return guarded("the report", [&] {
    const Report r = load_report(c.dir);
    fmt::print("{}", c.json ? render_report_json(r) : render_report_text(r));
    return ExitCode::kOk;
  });
}

}  // namespace forksim
