#include "sim/workload/resolved_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "kernel_model/version/config_switches.hpp"
#include "sim/config/reader.hpp"
#include "sim/config/suggest.hpp"
#include "sim/workload/compiler.hpp"

namespace forksim {

namespace {

bool folder_safe(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '+' || c == '-'; }

/// "dir/fork_storm.yaml" -> "fork_storm"; what cannot be in a folder's name becomes '_'.
std::string stem(const std::string& file) {
  std::string s = file.substr(file.find_last_of('/') + 1);
  for (const char* tail : {".yaml", ".yml"})
    if (s.ends_with(tail)) s.resize(s.size() - std::string_view(tail).size());
  std::ranges::replace_if(
      s, [](char c) { return !folder_safe(c); }, '_');
  return s.empty() || s[0] == '.' ? "workload" : s;
}

void name_workload(Value& tree, const YamlDocument& doc, Diagnostics& diags) {
  if (const Value* name = tree.find("name")) {
    if (!std::ranges::all_of(name->text, folder_safe) || name->text.starts_with('.'))
      diags.add(doc.at(name->line, name->col, "name", "\"" + name->text + "\" cannot name a result folder",
                       "letters, digits, _ . + - and no dot first"));
    return;
  }
  Value v;
  v.kind = Value::Kind::scalar;
  v.text = stem(doc.file);
  v.path = "name";
  v.from = "file name";
  tree.fields.push_back({"name", std::move(v)});
}

void apply_profile(ResolvedRun& run) {
  const km::KernelProfile* profile = km::find_profile(run.tree["kernel"].text);
  run.kernel = profile ? *profile : km::kernel_profiles().front();
  for (const Field& f : run.tree["tunables"].fields) {
    const auto i =
        static_cast<std::size_t>(std::ranges::find(km::kTunableTable, f.key, &km::TunableInfo::name) - km::kTunableTable.begin());
    run.kernel.tunables[i] = static_cast<u64>(f.value.num);
    run.given_tunables[i] = true;
  }
  for (const Field& f : run.tree["features"].fields) {
    const bool no = f.key.starts_with("NO_");
    const std::string_view name = std::string_view(f.key).substr(no ? 3 : 0);
    const auto i = static_cast<std::size_t>(std::ranges::find(km::kFeatureTable, name, &km::FeatureInfo::name) - km::kFeatureTable.begin());
    run.kernel.features[i] = (f.value.num != 0) != no;
  }
}

/// sched_rt_global_validate: a write of what does not fit fails with EINVAL.
void check_tunables(const ResolvedRun& run, const YamlDocument& doc, Diagnostics& diags) {
  const s64 period = static_cast<s64>(run.kernel.tun(km::Tunable::sched_rt_period_us));
  const s64 runtime = static_cast<s64>(run.kernel.tun(km::Tunable::sched_rt_runtime_us));
  if (runtime <= period) return;
  const Value &given = run.tree["tunables"]["sched_rt_runtime_us"], &v = given ? given : run.tree["tunables"]["sched_rt_period_us"];
  diags.add(doc.at(v.line, v.col, v.path, fmt::format("{} us of a period of {} us are refused by the kernel (EINVAL)", runtime, period),
                   "sched_rt_runtime_us of at most the period, or -1"));
}

/// What the configuration cannot do for groups.
void check_groups(const ResolvedRun& run, const YamlDocument& doc, Diagnostics& diags) {
  auto refuse = [&](const Value& v, const char* option, const char* why, bool km::KernelProfile::*has) {
    std::vector<std::string_view> able;
    for (const km::KernelProfile& k : km::kernel_profiles())
      if (k.*has) able.push_back(k.name);
    diags.add(doc.at(v.line, v.col, v.path, fmt::format("kernel {} is built without CONFIG_{}: {}", run.kernel.name, option, why),
                     "kernels with it are " + one_of(able), fmt::format("or write config: {{{}: true}}", option)));
  };
  for (const Value& v : run.tree["cgroups"].items) {
    if (!run.kernel.fair_group_sched) return refuse(v, "FAIR_GROUP_SCHED", "it has no groups", &km::KernelProfile::fair_group_sched);
    if (v["cfs_quota_us"].num >= 0 && !run.kernel.cfs_bandwidth)
      return refuse(v["cfs_quota_us"], "CFS_BANDWIDTH", "its groups have no quotas", &km::KernelProfile::cfs_bandwidth);
  }
}

/// Kconfig: SCHED_AUTOGROUP selects FAIR_GROUP_SCHED, CFS_BANDWIDTH depends on it. What is on because of the profile goes with it, what
/// was asked for contradicts.
void check_config(const ResolvedRun& run, const YamlDocument& doc, Diagnostics& diags) {
  const Value &config = run.tree["config"], &groups = config["FAIR_GROUP_SCHED"];
  if (!groups || groups.num) return;
  for (const char* needs : {"SCHED_AUTOGROUP", "CFS_BANDWIDTH"})
    if (const Value& v = config[needs]; v && v.num)
      diags.add(doc.at(v.line, v.col, v.path, std::string(needs) + " needs FAIR_GROUP_SCHED", "leave out one of them"));
}

void apply_model(ResolvedRun& run) {
  run.locks = run.tree["model"]["locks"].text != "off";
  run.mm_contention = run.tree["model"]["mm_contention"].text != "off";
}

/// CONFIG_* and values of domains, in place of the profile's.
void apply_config(ResolvedRun& run) {
  const Value& config = run.tree["config"];
  if (const Value& hz = config["HZ"]) run.kernel.hz = static_cast<u32>(std::stoul(hz.text));
  if (const Value& preempt = config["PREEMPT"]) {
    const auto model = std::ranges::find(km::kPreemptModelNames, preempt.text) - km::kPreemptModelNames.begin();
    run.kernel.preempt = static_cast<km::PreemptModel>(model);
  }
  if (const Value& groups = config["FAIR_GROUP_SCHED"]; groups && !groups.num) run.kernel.autogroup = run.kernel.cfs_bandwidth = false;
  for (const km::ConfigSwitch& s : km::kConfigSwitches)
    if (const Value& v = config[s.name]) run.kernel.*s.on = v.num != 0;
  run.kernel.fair_group_sched |= run.kernel.autogroup || run.kernel.cfs_bandwidth;
  for (std::size_t i = 0; i < km::kSdValues; ++i)
    if (const Value& v = run.tree["sched_domain"][km::kSdValueNames[i]]) run.kernel.sched_domain.of[i] = v.num;
}

void collect_regret(ResolvedRun& run) {
  const Value& v = run.tree["regret"];
  if (!v) return;
  const s64 forks = v["forks"].num;
  run.regret = RegretPlan{forks < 0 ? ~u64{0} : static_cast<u64>(forks), km::Ns(static_cast<u64>(v["horizon"].num))};
}

void collect_audit(ResolvedRun& run) {
  if (const Value& bound = run.tree["audit"]["balance_bound"]) run.balance_bound = km::Ns(static_cast<u64>(bound.num));
}

void apply_cpufreq(ResolvedRun& run) {
  const auto governor = std::ranges::find(km::kGovernorNames, run.tree["governor"].text) - km::kGovernorNames.begin();
  run.cpufreq.governor = static_cast<km::Governor>(governor);
  run.cpufreq.setspeed_khz = static_cast<u32>(run.tree["frequency"].num / 1000);
  using Driver = km::CpufreqConfig::Driver;
  run.cpufreq.driver = run.tree["cpufreq_driver"].text == "cpufreq-dt" ? Driver::cpufreq_dt : Driver::bcm2835_cpufreq;
}

/// `frequency` is what userspace sets.
void check_cpufreq(const Value& tree, const YamlDocument& doc, Diagnostics& diags) {
  const Value& f = tree["frequency"];
  if (f && tree["governor"].text != "userspace")
    diags.add(doc.at(f.line, f.col, f.path, "frequency belongs to the userspace governor", "leave it out, or write governor: userspace"));
  constexpr s64 kMaxHz = 4'000'000'000'000;
  if (f && (f.num < 1000 || f.num > kMaxHz)) diags.add(doc.at(f.line, f.col, f.path, f.text + " is out of range", "allowed is 1kHz to 4000GHz"));
}

/// Bounds first, then single phases; of each, the command line after the file.
void collect_costs(ResolvedRun& run) {
  for (const Field& f : run.tree["costs"].fields) run.costs.push_back({f.key, f.value.text, f.value.origin, f.value.from});
  std::ranges::stable_sort(run.costs, {}, [](const CostOverride& c) { return std::pair(c.key != "bound", c.origin); });
}

void collect_views(ResolvedRun& run) {
  for (const Value& m : run.tree["measure"].items) run.measure.push_back(m.text);
  for (const Value& p : run.tree["plots"].items) {
    PlannedPlot r;
    r.kind = p["kind"].text;
    for (const Value& m : p["metric"].items) r.metrics.push_back(m.text);
    if (p["from"]) r.from = km::Ns(static_cast<u64>(p["from"].num));
    if (p["to"]) r.to = km::Ns(static_cast<u64>(p["to"].num));
    run.plots.push_back(std::move(r));
  }
}

/// A plot's keys must fit its kind.
void check_plots(const Value& tree, const YamlDocument& doc, Diagnostics& diags) {
  for (const Value& p : tree["plots"].items) {
    const bool cdf = p["kind"].text == "cdf", gantt = p["kind"].text == "gantt";
    auto refuse = [&](const Value& v, const char* what, const char* allowed) { diags.add(doc.at(v.line, v.col, v.path, what, allowed)); };
    if (cdf && !p["metric"]) refuse(p, "a cdf needs its metrics", "such as metric: [fork_to_run, wakeup]");
    if (cdf && (p["from"] || p["to"])) refuse(p["from"] ? p["from"] : p["to"], "from and to belong to a gantt", "leave it out");
    if (gantt && p["metric"]) refuse(p["metric"], "metric belongs to a cdf", "leave it out");
    if (p["from"] && p["to"] && p["from"].num >= p["to"].num) refuse(p["to"], "to is not after from", "allowed is from < to");
  }
}

/// Fills in where values came from, in words, for those that do not say so already (a resolved.yaml does).
void tell_origins(Value& v, const std::string& file) {
  if (v.from.empty()) {
    if (v.origin == Origin::workload) v.from = file + ":" + std::to_string(v.line);
    if (v.origin == Origin::built_in) v.from = kBuiltInDefault;
  }
  for (Value& i : v.items) tell_origins(i, file);
  for (Field& f : v.fields) tell_origins(f.value, file);
}

ResolvedRun resolve_document(YamlDocument& doc, const std::vector<Override>& overrides, const Vocabulary& vocabulary, Diagnostics& diags) {
  ResolvedRun run;
  run.file = doc.file;
  if (!diags.ok()) return run;
  for (const Override& o : overrides) apply_override(doc, o, diags);
  Reader reader(doc, vocabulary, diags);
  run.tree = reader.read("workload");
  if (run.tree.kind != Value::Kind::map) return run;
  name_workload(run.tree, doc, diags);
  check_plots(run.tree, doc, diags);
  check_cpufreq(run.tree, doc, diags);
  const s64 until = run.tree["until"].num;
  run.until = until < 0 ? km::kNever : km::Ns(static_cast<u64>(until));
  run.seed = static_cast<u64>(run.tree["seed"].num);
  run.workload = Compiler(run.tree, doc, run.seed, diags).compile();
  if (diags.ok()) reader.refuse_unused_parameters(run.tree);
  if (!diags.ok()) return run;
  tell_origins(run.tree, doc.file.substr(doc.file.find_last_of('/') + 1));
  run.platform = run.tree["platform"].text;
  apply_profile(run);
  apply_model(run);
  apply_config(run);
  collect_regret(run);
  collect_audit(run);
  apply_cpufreq(run);
  check_tunables(run, doc, diags);
  check_config(run, doc, diags);
  check_groups(run, doc, diags);
  collect_costs(run);
  collect_views(run);
  return run;
}

}  // namespace

ResolvedRun resolve_run(const std::string& file, const std::vector<Override>& overrides, const Vocabulary& vocabulary, Diagnostics& diags) {
  YamlDocument doc = load_yaml(file, diags);
  return resolve_document(doc, overrides, vocabulary, diags);
}

ResolvedRun resolve_text(const std::string& text, const std::string& file, const std::vector<Override>& overrides,
                         const Vocabulary& vocabulary, Diagnostics& diags) {
  YamlDocument doc = parse_yaml(text, file, diags);
  return resolve_document(doc, overrides, vocabulary, diags);
}

void check_cpus(const ResolvedRun& run, u32 cpus, Diagnostics& diags) {
  const Workload& w = run.workload;
  if (w.highest_cpu < 0 || static_cast<u32>(w.highest_cpu) < cpus) return;
  diags.add({w.highest_cpu_line > 0 ? run.file : std::string{},
             w.highest_cpu_line,
             w.highest_cpu_col,
             w.highest_cpu_path,
             "CPU " + std::to_string(w.highest_cpu) + " is not on platform " + run.platform,
             "it has CPUs 0.." + std::to_string(cpus - 1),
             {},
             {}});
}

Diagnostics validate_file(const std::string& file, const Vocabulary& vocabulary) {
  Diagnostics diags;
  YamlDocument doc = load_yaml(file, diags);
  if (!diags.ok()) return diags;
  if (!doc.root.is_map()) {
    diags.add(doc.at(std::max(doc.root.line, 1), std::max(doc.root.col, 1), {}, "the file is no map of keys",
                     "allowed is a file that begins with its schema key"));
    return diags;
  }
  const YamlNode* schema = doc.root.find("schema");
  const std::string name = schema ? schema->scalar : std::string{};
  if (name.starts_with("forksim.costs/")) {
    Reader(doc, vocabulary, diags).read("costs");
  } else if (name.starts_with("forksim.workload/")) {
    resolve_document(doc, {}, vocabulary, diags);
  } else {
    const std::vector<std::string_view> known{"forksim.workload/1", "forksim.costs/1", "forksim.study/1", "forksim.baseline/1"};
    diags.add(doc.at(schema ? schema->line : 1, schema ? schema->col : 1, "schema",
                     schema ? "\"" + name + "\" is no format of ours" : "the key is missing", "allowed are " + one_of(known),
                     did_you_mean(name, known)));
  }
  return diags;
}

}  // namespace forksim
