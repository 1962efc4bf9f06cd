#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernel_model/cost/cost_table.hpp"
#include "kernel_model/process/fail_points.hpp"
#include "kernel_model/version/profile.hpp"
#include "sim/config/schema.hpp"

namespace forksim {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kExpr = R"(\$(\{.*\}|[A-Za-z_][A-Za-z0-9_]*))";

Json definition_of(std::string_view object) { return {{"$ref", "#/definitions/" + std::string(object)}}; }
Json array_of(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }
Json text_matching(const std::string& pattern) { return {{"type", "string"}, {"pattern", "^(" + pattern + ")$"}}; }

/// A number with a unit, a bare 0, an expression, and the extra word if there is one.
Json unit_value(const std::string& units, std::string_view extra) {
  std::string pattern = R"([0-9]+(\.[0-9]+)?()" + units + ")|0|" + kExpr;
  if (!extra.empty()) pattern += "|" + std::string(extra);
  return {{"anyOf", Json::array({text_matching(pattern), Json{{"const", 0}}})}};
}

Json integer_value(const KeyInfo& k) {
  Json number{{"type", "integer"}};
  const std::size_t dots = k.range.find("..");
  if (dots != std::string_view::npos && dots > 0) number["minimum"] = std::stoll(std::string(k.range.substr(0, dots)));
  if (dots != std::string_view::npos && dots + 2 < k.range.size()) number["maximum"] = std::stoll(std::string(k.range.substr(dots + 2)));
  std::string words = kExpr;
  if (!k.arg.empty()) words += "|" + std::string(k.arg);
  return {{"anyOf", Json::array({number, text_matching(words)})}};
}

Json choice_value(std::string_view arg, const Vocabulary& vocabulary) {
  Json v{{"type", "string"}};
  const auto allowed = choices(arg, vocabulary);
  const bool numbers =
      !allowed.empty() && std::ranges::all_of(allowed, [](std::string_view w) { return w.find_first_not_of("0123456789") == w.npos; });
  if (numbers) {
    v = Json{{"enum", Json::array()}};
    for (std::string_view w : allowed) v["enum"].push_back(std::stoll(std::string(w)));
    return v;
  }
  if (!allowed.empty()) v["enum"] = allowed;
  if (is_plugin_file(arg, "x.so")) return {{"anyOf", Json::array({v, text_matching(R"(.+\.so)")})}};
  return v;
}

Json draw_value() {
  Json any = Json::array({unit_value("ns|us|ms|s|min|h", "")});
  for (const ObjectInfo& o : schema_objects())
    if (o.id.starts_with("dist.")) any.push_back(definition_of(o.id));
  return {{"anyOf", any}};
}

template <class Table>
Json closed_map(const Table& table, const Json& value, std::string_view also_prefix) {
  Json properties = Json::object();
  for (const auto& row : table) {
    Json described = value;
    described["description"] = row.doc;
    if (!also_prefix.empty()) properties[std::string(also_prefix) + std::string(row.name)] = described;
    properties[std::string(row.name)] = std::move(described);
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

/// A bare integer, in the unit that the kernel's name carries, or a time.
Json tunables_value() {
  Json map = closed_map(km::kTunableTable, Json::object(), "");
  for (const km::TunableInfo& t : km::kTunableTable) {
    Json any = Json::array({Json{{"type", "integer"}, {"minimum", t.min}, {"maximum", t.max}}});
    if (t.unit == "ns") any.push_back(unit_value("ns|us|ms|s", ""));
    map["properties"][std::string(t.name)]["anyOf"] = any;
  }
  return map;
}

Json map_value(Type type) {
  const Json time = unit_value("ns|us|ms|s|min|h", "");
  if (type == Type::features) return closed_map(km::kFeatureTable, Json{{"type", "boolean"}}, "NO_");
  if (type == Type::tunables) return tunables_value();
  if (type == Type::failures) return closed_map(km::kFailPointTable, text_matching(R"((nth|every):[0-9]+|p:0?\.[0-9]+)"), "");
  if (type == Type::costtable) return closed_map(km::kPhaseTable, Json{{"allOf", Json::array({definition_of("cost")})}}, "");
  Json costs = closed_map(km::kPhaseTable, time, "");
  costs["properties"]["bound"] = Json{{"enum", Json::array({"low", "high"})}};
  return costs;
}

Json cpus_value() {
  return {{"anyOf", Json::array({text_matching("[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*"), Json{{"type", "integer"}, {"minimum", 0}},
                                 array_of(Json{{"type", "integer"}, {"minimum", 0}})})}};
}

Json value_of(const KeyInfo& k, const Vocabulary& vocabulary) {
  switch (k.type) {
    case Type::text:
      return {{"type", "string"}, {"minLength", 1}};
    case Type::name:
      return {{"type", k.required() ? Json("string") : Json::array({"string", "null"})}};
    case Type::boolean:
      return {{"type", "boolean"}};
    case Type::integer:
      return integer_value(k);
    case Type::real:
      return {{"type", "number"}};
    case Type::duration:
      return unit_value("ns|us|ms|s|min|h", k.arg);
    case Type::size:
      return unit_value("B|KiB|MiB|GiB|kB|MB|GB", "");
    case Type::frequency:
      return unit_value("Hz|kHz|MHz|GHz", "");
    case Type::draw:
      return draw_value();
    case Type::choice:
      return choice_value(k.arg, vocabulary);
    case Type::object:
      if (k.arg == "placement") return {{"anyOf", Json::array({definition_of(k.arg), choice_value("@fork_placements", vocabulary)})}};
      return definition_of(k.arg);
    case Type::list:
      return array_of(definition_of(k.arg));
    case Type::names:
      return {{"anyOf", Json::array({choice_value(k.arg, vocabulary), array_of(choice_value(k.arg, vocabulary))})}};
    case Type::texts: {
      const Json text{{"type", Json::array({"string", "number", "boolean"})}};
      return {{"anyOf", Json::array({text, array_of(text)})}};
    }
    case Type::cpus:
      return cpus_value();
    case Type::parameters:
      return {{"type", "object"}, {"additionalProperties", Json{{"type", Json::array({"integer", "string"})}}}};
    case Type::body:
    case Type::handler:
      return array_of(definition_of("phase"));
    case Type::tunables:
    case Type::features:
    case Type::failures:
    case Type::costs:
    case Type::costtable:
      return map_value(k.type);
  }
  return {};
}

Json object_of(std::string_view id, std::string_view doc, const Vocabulary& vocabulary) {
  Json properties = Json::object(), required = Json::array();
  for (const KeyInfo& k : keys_of(id)) {
    Json v = value_of(k, vocabulary);
    v["description"] = k.help;
    if (k.has_default()) v["default"] = k.def;
    properties[std::string(k.key)] = std::move(v);
    if (k.required()) required.push_back(k.key);
  }
  // An action's own key picks the object even where it has a default.
  if (id.starts_with("phase.") && required.empty()) required.push_back(id.substr(6));
  Json o{{"type", "object"}, {"description", doc}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) o["required"] = required;
  return o;
}

/// The file an object belongs to: objects of the other files carry its name ("study.factor"), but for the costs' own.
std::string_view root_of(std::string_view id) {
  for (std::string_view root : {"study", "baseline"})
    if (id == root || (id.starts_with(root) && id.substr(root.size()).starts_with('.'))) return root;
  return id == "costs" || id == "cost" || id == "mm_contention" ? "costs" : "workload";
}

}  // namespace

std::string json_schema(std::string_view root, const Vocabulary& vocabulary) {
  Json schema{{"$schema", "http://json-schema.org/draft-07/schema#"},
              {"title", "forksim." + std::string(root) + "/1"},
              {"$ref", "#/definitions/" + std::string(root)}};
  Json& definitions = schema["definitions"] = Json::object();
  for (const ObjectInfo& o : schema_objects())
    if (root_of(o.id) == root) definitions[std::string(o.id)] = object_of(o.id, o.doc, vocabulary);
  if (root == "workload") {
    Json any = Json::array(), bare = Json::array();
    for (const NamedDoc& a : schema_actions()) {
      const std::string id = "phase." + std::string(a.name);
      definitions[id] = object_of(id, a.doc, vocabulary);
      any.push_back(definition_of(id));
      if (find_key(id, a.name)->has_default()) bare.push_back(a.name);
    }
    any.push_back(Json{{"enum", bare}});
    definitions["phase"] = Json{{"description", "one action per item"}, {"anyOf", any}};
  }
  return schema.dump(1) + "\n";
}

}  // namespace forksim
