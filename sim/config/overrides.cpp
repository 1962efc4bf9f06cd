#include "sim/config/overrides.hpp"

#include <algorithm>
#include <vector>

#include "sim/config/suggest.hpp"
#include "sim/config/units.hpp"

namespace forksim {

namespace {

constexpr std::string_view kFeatures = "features.";

/// "a.b[2].c" -> a, b, [2], c. Empty when the path is malformed.
std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t i = 0;
  while (i < path.size()) {
    if (path[i] == '[') {
      const std::size_t end = path.find(']', i);
      if (end == std::string::npos || end == i + 1) return {};
      parts.push_back(path.substr(i, end - i + 1));
      i = end + 1;
      if (i < path.size() && path[i] == '.') ++i;
      continue;
    }
    const std::size_t end = std::min(path.find_first_of(".[", i), path.size());
    if (end == i) return {};
    parts.push_back(path.substr(i, end - i));
    i = end < path.size() && path[end] == '.' ? end + 1 : end;
    if (i == path.size() && path.back() == '.') return {};
  }
  return parts;
}

std::string name_of(const YamlNode& item) {
  for (const char* key : {"name", "process", "kind"})
    if (const YamlNode* n = item.find(key)) return n->scalar;
  return {};
}

YamlNode* element(YamlNode& list, const std::string& part) {
  if (part[0] != '[') {
    auto it = std::ranges::find_if(list.items, [&](const YamlNode& n) { return name_of(n) == part; });
    return it == list.items.end() ? nullptr : &*it;
  }
  const auto i = parse_integer(std::string_view(part).substr(1, part.size() - 2));
  return i && *i.value >= 0 && static_cast<std::size_t>(*i.value) < list.items.size() ? &list.items[static_cast<std::size_t>(*i.value)]
                                                                                      : nullptr;
}

YamlNode* field(YamlNode& map, const std::string& key, const std::string& from) {
  if (YamlNode* n = map.find(key)) return n;
  if (map.kind == YamlNode::Kind::null) map.kind = YamlNode::Kind::map;
  if (!map.is_map()) return nullptr;
  YamlEntry e;
  e.key = key;
  e.value.origin = Origin::command_line;
  e.value.from = from;
  map.fields.push_back(std::move(e));
  return &map.fields.back().value;
}

void refuse(Diagnostics& diags, const Override& o, std::string what, std::string allowed = {}, std::string hint = {}) {
  diags.add({{}, 0, 0, o.option.empty() ? o.key : o.option, std::move(what), std::move(allowed), std::move(hint), {}});
}

/// X and NO_X are one switch: what was there before goes.
void forget_feature(YamlNode& root, const std::string& key) {
  YamlNode* features = root.find("features");
  if (!features) return;
  const std::string plain = key.starts_with("NO_") ? key.substr(3) : key;
  std::erase_if(features->fields, [&](const YamlEntry& e) { return e.key == plain || e.key == "NO_" + plain; });
}

bool known_parameter(const YamlDocument& doc, const Override& o, const std::string& name, Diagnostics& diags) {
  const YamlNode* parameters = doc.root.find("parameters");
  if (parameters && parameters->find(name)) return true;
  std::vector<std::string_view> names;
  if (parameters)
    for (const YamlEntry& e : parameters->fields) names.push_back(e.key);
  refuse(diags, o, "the workload has no parameter \"" + name + "\"", names.empty() ? "it has none" : "parameters are " + one_of(names),
         did_you_mean(name, names));
  return false;
}

}  // namespace

Override parse_set(const std::string& text) {
  const std::size_t eq = text.find('=');
  if (eq != std::string::npos) return {text.substr(0, eq), text.substr(eq + 1), "--set " + text};
  if (text.starts_with(kFeatures)) return {text, "true", "--set " + text};
  return {{}, {}, "--set " + text};
}

void apply_override(YamlDocument& doc, const Override& o, Diagnostics& diags) {
  const std::vector<std::string> parts = split_path(o.key);
  if (parts.empty() || parts[0][0] == '[')
    return refuse(diags, o, "this is no key=value", "such as seed=3 or processes.worker.phases[0].run=5ms");
  if (!doc.root.is_map()) return;
  const std::string from = o.option.empty() ? "command line" : "command line (" + o.option + ")";
  YamlNode value = parse_override(o.value, o.key, from, diags);
  if (parts[0] == "features" && parts.size() == 2) forget_feature(doc.root, parts[1]);
  if (parts[0] == "parameters" && parts.size() == 2 && !known_parameter(doc, o, parts[1], diags)) return;
  YamlNode* at = &doc.root;
  for (const std::string& part : parts) {
    YamlNode* next = at->is_list() ? element(*at, part) : part[0] == '[' ? nullptr : field(*at, part, from);
    if (!next) {
      std::vector<std::string> names;
      for (const YamlNode& n : at->items) names.push_back(name_of(n));
      const std::vector<std::string_view> views(names.begin(), names.end());
      return refuse(diags, o, "there is no " + part + " here",
                    at->is_list() ? "the list has " + std::to_string(at->items.size()) + " items" : "this is a single value",
                    did_you_mean(part, views));
    }
    at = next;
    if (part == "placement" && &part != &parts.back() && at->is_scalar()) *at = placement_map(*at);
  }
  *at = std::move(value);
}

YamlNode placement_map(const YamlNode& name) {
  YamlNode map = name;
  map.kind = YamlNode::Kind::map;
  map.scalar.clear();
  map.fields.push_back({"fork", name.line, name.col, name});
  return map;
}

}  // namespace forksim
