// resolved.yaml: writes a checked tree back, one value a line, each with its provenance.
#include <algorithm>
#include <cctype>
#include <sstream>

#include "kernel_model/version/config_switches.hpp"
#include "sim/config/units.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim {

namespace {

constexpr std::string_view kMark = "  #< ";
constexpr std::string_view kHead =
    "# The complete input of one run. Every value says after #< where it came from; running this file repeats the run.\n";

std::string quote(const std::string& s) {
  const bool plain = !s.empty() && std::ranges::all_of(s, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '/' || c == '$';
  });
  if (plain && s != "null" && s != "Null" && s != "NULL") return s;
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (char c : s) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (u < 0x20)
      out += std::string("\\x") + kHex[u >> 4] + kHex[u & 15];
    else
      out += c;
  }
  return out + "\"";
}

class Emitter {
 public:
  void line(int indent, const std::string& text, const std::string& from) {
    out_ << std::string(static_cast<std::size_t>(indent), ' ') << text;
    if (!from.empty()) out_ << kMark << from;
    out_ << '\n';
  }

  /// `lead` is what stands before the value on its first line: "key:" or "-".
  void value(const Value& v, const std::string& lead, int indent) {
    if (v.type == Type::names || v.type == Type::cpus) return flow(v, lead, indent);
    if (v.kind == Value::Kind::list) return list(v, lead, indent);
    if (v.kind == Value::Kind::map) return map(v, lead, indent);
    line(indent, v.text.empty() ? lead : lead + " " + quote(v.text), v.from);
  }

  void object(const Value& v, std::string_view object, int indent, bool in_list) {
    std::vector<const Field*> fields;
    for (const KeyInfo& k : keys_of(object))
      for (const Field& f : v.fields)
        if (f.key == k.key) fields.push_back(&f);
    bool first = in_list;
    for (const Field* f : fields) {
      value(f->value, (first ? "- " : "") + f->key + ":", first ? indent - 2 : indent);
      first = false;
    }
  }
  std::string text() const { return out_.str(); }

 private:
  void flow(const Value& v, const std::string& lead, int indent) {
    std::string items;
    for (const Value& i : v.items) items += (items.empty() ? "" : ", ") + i.text;
    line(indent, lead + " [" + items + "]", v.from);
  }

  void list(const Value& v, const std::string& lead, int indent) {
    if (v.items.empty()) return line(indent, lead + " []", v.from);
    line(indent, lead, {});
    const int inner = indent + (lead.starts_with("- ") ? 4 : 2);
    for (const Value& i : v.items) object(i, i.text, inner + 2, true);
  }

  void map(const Value& v, const std::string& lead, int indent) {
    if (v.fields.empty()) return line(indent, lead + " {}", v.from);
    line(indent, lead, {});
    const int inner = indent + (lead.starts_with("- ") ? 4 : 2);
    const bool free = v.type == Type::parameters || v.type == Type::failures;
    if (!free) return object(v, v.text, inner, false);
    for (const Field& f : v.fields) value(f.value, f.key + ":", inner);
  }

  std::ostringstream out_;
};

std::string from_of(const Value& map, std::string_view key, const std::string& otherwise) {
  const Value* v = map.find(key);
  return v ? v->from : otherwise;
}

void emit_tunables(Emitter& e, const ResolvedRun& run, const EffectiveMachine& m) {
  const Value& given = run.tree["tunables"];
  const km::KernelProfile& k = m.kernel ? *m.kernel : run.kernel;
  if (!m.kernel && given.fields.empty()) return;
  e.line(0, "tunables:", {});
  for (std::size_t i = 0; i < km::kTunables; ++i) {
    const auto& info = km::kTunableTable[i];
    if (!m.kernel && !run.given_tunables[i]) continue;
    e.line(2, std::string(info.name) + ": " + std::to_string(static_cast<s64>(k.tunables[i])),
           from_of(given, info.name, "kernel profile " + std::string(k.name)));
  }
}

/// What is built in, whatever the profile of that name says one day.
void emit_config(Emitter& e, const ResolvedRun& run, const EffectiveMachine& m) {
  const Value& given = run.tree["config"];
  if (!m.kernel) {
    if (given) e.value(given, "config:", 0);
    return;
  }
  const km::KernelProfile& k = *m.kernel;
  e.line(0, "config:", {});
  const auto line = [&](std::string_view key, const std::string& value) {
    e.line(2, std::string(key) + ": " + value, from_of(given, key, "kernel profile " + std::string(k.name)));
  };
  line("HZ", std::to_string(k.hz));
  line("PREEMPT", std::string(km::kPreemptModelNames[static_cast<std::size_t>(k.preempt)]));
  for (const km::ConfigSwitch& s : km::kConfigSwitches) line(s.name, k.*s.on ? "true" : "false");
}

void emit_features(Emitter& e, const ResolvedRun& run, const EffectiveMachine& m) {
  const Value& given = run.tree["features"];
  const km::KernelProfile& k = m.kernel ? *m.kernel : run.kernel;
  if (!m.kernel && given.fields.empty()) return;
  e.line(0, "features:", {});
  for (std::size_t i = 0; i < km::kFeatures; ++i) {
    const std::string name(km::kFeatureTable[i].name);
    const bool said = given.find(name) || given.find("NO_" + name);
    if (!m.kernel && !said) continue;
    const std::string from = from_of(given, name, from_of(given, "NO_" + name, "kernel profile " + std::string(k.name)));
    e.line(2, name + ": " + (k.features[i] ? "true" : "false"), from);
  }
}

void emit_costs(Emitter& e, const ResolvedRun& run, const EffectiveMachine& m) {
  if (!m.costs && run.costs.empty()) return;
  e.line(0, "costs:", {});
  if (!m.costs) {
    for (const CostOverride& c : run.costs) e.line(2, c.key + ": " + c.text, c.from);
    return;
  }
  for (const CostOverride& c : run.costs)
    if (c.key == "bound") e.line(2, "bound: " + c.text, c.from);  // of mm_contention, too
  for (std::size_t i = 0; i < km::kPhases; ++i) {
    const std::string name(km::kPhaseTable[i].name);
    std::string from = "platform " + m.platform_file;
    for (const CostOverride& c : run.costs)
      if (c.key == "bound") from = c.from;
    for (const CostOverride& c : run.costs)
      if (c.key == name) from = c.from;  // a phase of its own wins over a bound
    e.line(2, name + ": " + format_duration(static_cast<s64>(m.costs->ns[i].v)), from);
  }
}

}  // namespace

std::string resolved_yaml(const ResolvedRun& run, const EffectiveMachine& machine) {
  Emitter e;
  for (const KeyInfo& k : keys_of("workload")) {
    if (k.type == Type::tunables) emit_tunables(e, run, machine);
    if (k.type == Type::features) emit_features(e, run, machine);
    if (k.type == Type::costs) emit_costs(e, run, machine);
    if (k.key == "config") emit_config(e, run, machine);
    if (k.type == Type::tunables || k.type == Type::features || k.type == Type::costs || k.key == "config") continue;
    if (const Value* v = run.tree.find(k.key)) e.value(*v, std::string(k.key) + ":", 0);
  }
  return std::string(kHead) + e.text();
}

std::string canonical_text(const std::string& resolved) {
  std::istringstream in(resolved);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    const std::size_t mark = line.rfind(kMark);
    if (mark != std::string::npos) line.resize(mark);
    if (!line.starts_with('#')) out += line + "\n";
  }
  return out;
}

}  // namespace forksim
