#include "sim/platform/cost_file.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/config/reader.hpp"
#include "sim/config/suggest.hpp"
#include "sim/config/units.hpp"

namespace forksim {
namespace {

using km::kPhases;
using km::Ns;
using km::Phase;

constexpr std::array<std::string_view, 3> kBasisNames{"measured", "derived", "assumed"};
constexpr std::array<std::string_view, 3> kBoundNames{"value", "low", "high"};

/// Phases that are taken off: their high end makes the pipeline cheap.
bool is_saving(Phase p) { return p == Phase::switch_same_mm_saving || p == Phase::switch_lazy_tlb_saving; }

std::optional<Phase> find_phase(std::string_view name) {
  const auto it = std::find_if(km::kPhaseTable.begin(), km::kPhaseTable.end(), [&](const km::PhaseInfo& p) { return p.name == name; });
  if (it == km::kPhaseTable.end()) return std::nullopt;
  return static_cast<Phase>(it - km::kPhaseTable.begin());
}

Ns ns_of(const Value& v) { return Ns(static_cast<km::u64>(v.num)); }

CostBasis basis_of(const Value& v) {
  const auto basis = std::find(kBasisNames.begin(), kBasisNames.end(), v["basis"].text);
  return basis == kBasisNames.end() ? CostBasis::assumed : static_cast<CostBasis>(basis - kBasisNames.begin());
}

MmContention contention_of(const Value& v, const YamlDocument& doc, Diagnostics& diags) {
  MmContention c{v["value"].real, v["low"].real, v["high"].real, static_cast<km::u32>(v["cpus"].num), basis_of(v), v["source"].text};
  if (c.low > c.value || c.value > c.high)
    diags.add(doc.at(v["value"].line, v["value"].col, v["value"].path, "the value is not between low and high", "low <= value <= high"));
  return c;
}

CostRow row_of(const Value& v) {
  CostRow row;
  row.value = ns_of(v["value"]);
  row.low = ns_of(v["low"]);
  row.high = ns_of(v["high"]);
  row.basis = basis_of(v);
  row.scales_with = v["scales_with"].text == "user" ? ClockScale::user : ClockScale::kernel;
  row.source = v["source"].text;
  row.note = v["note"].text;
  return row;
}

std::vector<std::string_view> override_names() {
  std::vector<std::string_view> names{"bound"};
  for (const km::PhaseInfo& p : km::kPhaseTable) names.push_back(p.name);
  return names;
}

}  // namespace

km::CostTable PlatformCosts::table() const {
  km::CostTable t;
  t.memory_share_256 = memory_share_256;
  for (std::size_t i = 0; i < kPhases; ++i) {
    const CostRow& r = rows[i];
    const bool low = (bound == CostBound::low) != is_saving(static_cast<Phase>(i));
    const Ns banded = bound == CostBound::value ? r.value : low ? r.low : r.high;
    t.ns[i] = r.given.value_or(banded);
  }
  const MmContention& mm = mm_contention;
  const double factor = bound == CostBound::value ? mm.value : bound == CostBound::low ? mm.low : mm.high;
  t.mm_contention_65536 = static_cast<km::u32>(std::lround((factor - 1) * 65536 / (mm.cpus - 1)));
  return t;
}

std::string costs_file_of(const std::string& platform_file) {
  const std::string stem = platform_file.ends_with(".xml") ? platform_file.substr(0, platform_file.size() - 4) : platform_file;
  return stem + ".costs.yaml";
}

PlatformCosts load_costs(const std::string& file, Diagnostics& diags) {
  PlatformCosts costs;
  costs.file = file;
  Diagnostics found;
  const YamlDocument doc = load_yaml(file, found);
  if (found.ok()) {
    const Vocabulary vocabulary;
    const Value tree = Reader(doc, vocabulary, found).read("costs");
    // percent to 1/256, to the nearest
    costs.memory_share_256 = static_cast<km::u32>((tree["memory_share_percent"].num * 256 + 50) / 100);
    if (const Value& mm = tree["mm_contention"]) costs.mm_contention = contention_of(mm, doc, found);
    for (const Field& f : tree["phases"].fields)
      if (const std::optional<Phase> p = find_phase(f.key)) costs.rows[static_cast<std::size_t>(*p)] = row_of(f.value);
  }
  for (const Diagnostic& d : found.list()) diags.add(d);
  return costs;
}

void apply_cost_override(PlatformCosts& costs, std::string_view key, std::string_view text, std::string_view option, Diagnostics& diags) {
  if (key.starts_with("costs.")) key.remove_prefix(6);
  const auto error = [&](std::string what, std::string allowed, std::string hint) {
    diags.add({std::string(option), 0, 0, "costs." + std::string(key), std::move(what), std::move(allowed), std::move(hint), ""});
  };
  if (key == "bound") {
    const auto it = std::find(kBoundNames.begin(), kBoundNames.end(), text);
    if (it == kBoundNames.end())
      return error("\"" + std::string(text) + "\" is no end of the bands", "value, low, high",
                   did_you_mean(text, {kBoundNames.begin(), kBoundNames.end()}));
    costs.bound = static_cast<CostBound>(it - kBoundNames.begin());
    return;
  }
  const std::optional<Phase> phase = find_phase(key);
  if (!phase) return error("unknown phase", "bound, or a phase of forksim list phases", did_you_mean(key, override_names()));
  const Parsed<std::int64_t> ns = parse_duration(text);
  if (!ns) return error(ns.what, ns.allowed, ns.hint);
  costs.rows[static_cast<std::size_t>(*phase)].given = Ns(static_cast<km::u64>(*ns.value));
}

std::string_view basis_name(CostBasis b) { return kBasisNames[static_cast<std::size_t>(b)]; }

}  // namespace forksim
