#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/output/json_lines.hpp"
#include "sim/output/report.hpp"

namespace forksim {

using Json = nlohmann::ordered_json;
using km::u64;

namespace {

constexpr const char* kReportSchema = "forksim.report/1";

template <class Row>
Json row_to_json(const Row& row, std::string_view without = {}) {
  Json j = Json::object();
  visit(row, [&](const ColumnInfo& c, const auto& value) {
    if (c.name != without) j[std::string(c.name)] = value;
  });
  return j;
}

/// `may_lack`: reports of earlier versions lack columns that came later.
template <class Row>
Row row_from_json(const Json& j, std::string_view without = {}, bool may_lack = false) {
  Row row;
  visit(row, [&](const ColumnInfo& c, auto& value) {
    if (c.name == without || (may_lack && !j.contains(std::string(c.name)))) return;
    value = j.at(std::string(c.name)).template get<std::remove_reference_t<decltype(value)>>();
  });
  return row;
}

Json placement_to_json(const PlacementReport& p) {
  Json j = Json::object();
  visit(p.row, [&](const ColumnInfo& c, const auto& value) {
    if (c.name == "kind") return;
    j[std::string(c.name)] = value;
    // The contract shows the matrix after the classes it names.
    if (c.name == "busy_cpu_while_idle_existed") j["matrix"] = p.matrix;
  });
  return j;
}

PlacementReport placement_from_json(const Json& all, const char* kind) {
  const Json& j = all.at(kind);
  PlacementReport p;
  p.row = row_from_json<PlacementRow>(j, "kind");
  p.row.kind = kind;
  p.matrix = j.at("matrix").get<std::vector<std::vector<u64>>>();
  return p;
}

Report report_from_json(const Json& j) {
  if (!j.is_object() || j.value("schema", std::string()) != kReportSchema)
    throw ReportError(std::string("not a report of schema ") + kReportSchema);
  Report r;
  r.workload = j.at("workload").get<std::string>();
  r.platform = j.at("platform").get<std::string>();
  r.kernel = j.at("kernel").get<std::string>();
  r.seed = j.at("seed").get<u64>();
  r.simulated_ns = j.at("simulated_ns").get<u64>();
  if (j.contains("settings")) r.settings = j.at("settings").get<std::vector<std::string>>();
  r.totals = row_from_json<TotalsRow>(j.at("totals"), {}, true);
  for (const auto& [name, value] : j.at("latency").items()) {
    r.latency.push_back(row_from_json<LatencyRow>(value, "metric"));
    r.latency.back().metric = name;
  }
  for (const Json& c : j.at("cpus")) r.cpus.push_back(row_from_json<CpuRow>(c));
  for (const Json& g : j.at("groups")) r.groups.push_back(row_from_json<GroupRow>(g));
  r.fork = placement_from_json(j.at("placement"), "fork");
  r.wake = placement_from_json(j.at("placement"), "wake");
  r.exec = placement_from_json(j.at("placement"), "exec");
  if (j.contains("locks"))  // reports of earlier versions have none
    for (const Json& l : j.at("locks")) r.locks.push_back(row_from_json<LockRow>(l));
  r.energy_j = j.at("energy_j").get<double>();
  r.invariants = row_from_json<InvariantRow>(j.at("invariants"));
  for (const auto& [name, value] : j.at("diagnostics").items()) r.diagnostics.emplace_back(name, value.get<u64>());
  if (j.contains("balance"))  // reports of earlier versions have none
    for (const Json& b : j.at("balance")) r.balance.push_back(row_from_json<BalanceRow>(b));
  if (j.contains("opps"))
    for (const Json& o : j.at("opps")) r.opps.push_back(row_from_json<OppRow>(o));
  if (j.contains("irqtime"))  // only with CONFIG_IRQ_TIME_ACCOUNTING
    for (const Json& i : j.at("irqtime")) r.irqtime.push_back(row_from_json<IrqTimeRow>(i));
  for (const Json& t : j.at("task_latency")) r.task_latency.push_back(row_from_json<TaskLatencyRow>(t));
  if (const auto regret = j.find("regret"); regret != j.end()) {
    r.regret.emplace();
    r.regret->sum = row_from_json<RegretSumRow>(*regret);
    for (const Json& w : regret->at("worst")) r.regret->worst.push_back(row_from_json<RegretWorstRow>(w));
  }
  if (j.contains("warnings")) r.warnings = j.at("warnings").get<std::vector<std::string>>();
  r.violations = j.at("violations").get<std::vector<std::string>>();
  r.measure = j.at("measure").get<std::vector<std::string>>();
  r.not_modelled = j.at("not_modelled").get<std::vector<std::string>>();
  return r;
}

}  // namespace

std::string render_report_json(const Report& r) {
  Json j = {{"schema", kReportSchema}, {"workload", r.workload},         {"platform", r.platform},         {"kernel", r.kernel},
            {"seed", r.seed},          {"simulated_ns", r.simulated_ns}, {"totals", row_to_json(r.totals)}};
  if (!r.settings.empty()) j["settings"] = r.settings;
  Json& latency = j["latency"] = Json::object();
  for (const LatencyRow& l : r.latency) latency[l.metric] = row_to_json(l, "metric");
  Json& cpus = j["cpus"] = Json::array();
  for (const CpuRow& c : r.cpus) cpus.push_back(row_to_json(c));
  Json& groups = j["groups"] = Json::array();
  for (const GroupRow& g : r.groups) groups.push_back(row_to_json(g));
  Json& placement = j["placement"] = Json::object();
  placement["fork"] = placement_to_json(r.fork);
  placement["wake"] = placement_to_json(r.wake);
  placement["exec"] = placement_to_json(r.exec);
  Json& locks = j["locks"] = Json::array();
  for (const LockRow& l : r.locks) locks.push_back(row_to_json(l));
  j["energy_j"] = r.energy_j;
  j["invariants"] = row_to_json(r.invariants);
  Json& diagnostics = j["diagnostics"] = Json::object();
  for (const auto& [name, count] : r.diagnostics) diagnostics[name] = count;
  Json& balance = j["balance"] = Json::array();
  for (const BalanceRow& b : r.balance) balance.push_back(row_to_json(b));
  Json& opps = j["opps"] = Json::array();
  for (const OppRow& o : r.opps) opps.push_back(row_to_json(o));
  for (const IrqTimeRow& i : r.irqtime) j["irqtime"].push_back(row_to_json(i));
  Json& tasks = j["task_latency"] = Json::array();
  for (const TaskLatencyRow& t : r.task_latency) tasks.push_back(row_to_json(t));
  if (r.regret) {
    Json& regret = j["regret"] = row_to_json(r.regret->sum);
    regret["worst"] = Json::array();
    for (const RegretWorstRow& w : r.regret->worst) regret["worst"].push_back(row_to_json(w));
  }
  if (!r.warnings.empty()) j["warnings"] = r.warnings;
  j["violations"] = r.violations;
  j["measure"] = r.measure;
  j["not_modelled"] = r.not_modelled;
  return json_lines(j);
}

Report parse_report_json(const std::string& text) {
  try {
    return report_from_json(Json::parse(text));
  } catch (const Json::exception& e) {
    throw ReportError(e.what());
  }
}

Report load_report(const std::filesystem::path& dir) {
  const std::filesystem::path file = dir / "report.json";
  std::ifstream in(file, std::ios::binary);
  if (!in) throw ReportError(file.string() + ": cannot be read; give a result folder written by forksim run");
  std::ostringstream text;
  text << in.rdbuf();
  try {
    return parse_report_json(text.str());
  } catch (const ReportError& e) {
    throw ReportError(file.string() + ": " + e.what());
  }
}

}  // namespace forksim
