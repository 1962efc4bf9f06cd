#include "sim/config/reader.hpp"

#include <algorithm>
#include <cctype>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/cost/cost_table.hpp"
#include "kernel_model/process/fail_points.hpp"
#include "kernel_model/version/profile.hpp"
#include "sim/config/overrides.hpp"
#include "sim/config/suggest.hpp"

namespace forksim {

namespace {

std::string child(const std::string& path, std::string_view key) { return path.empty() ? std::string(key) : path + "." + std::string(key); }
std::string element(const std::string& path, std::size_t i) { return path + "[" + std::to_string(i) + "]"; }

std::string_view kind_name(YamlNode::Kind k) {
  switch (k) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::scalar:
      return "a single value";
    case YamlNode::Kind::list:
      return "a list";
    case YamlNode::Kind::map:
      return "a map";
  }
  return "";
}

std::vector<std::string_view> key_names(std::string_view object) {
  std::vector<std::string_view> out;
  for (const KeyInfo& k : keys_of(object)) out.push_back(k.key);
  return out;
}

template <class Table>
std::vector<std::string_view> table_names(const Table& table) {
  std::vector<std::string_view> out;
  for (const auto& row : table) out.push_back(row.name);
  return out;
}

NumKind kind_of(Type t) {
  if (t == Type::duration || t == Type::draw) return NumKind::duration;
  return t == Type::size ? NumKind::size : NumKind::integer;
}

Parsed<std::int64_t> parse_number(std::string_view text, NumKind kind) {
  if (kind == NumKind::duration) return parse_duration(text);
  return kind == NumKind::size ? parse_size(text) : parse_integer(text);
}

constexpr const char* kDistObjects[] = {"dist.constant", "dist.uniform",   "dist.exponential",
                                        "dist.normal",   "dist.lognormal", "dist.pareto"};

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  if (!word(text[0]) || std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  return std::ranges::all_of(text, [&](char c) { return word(c) || c == '.' || c == '-' || c == '+'; });
}

const Value* Value::find(std::string_view key) const {
  auto it = std::ranges::find(fields, key, &Field::key);
  return it == fields.end() ? nullptr : &it->value;
}

const Value& Value::operator[](std::string_view key) const {
  static const Value kMissing;
  const Value* v = find(key);
  return v ? *v : kMissing;
}

void Reader::error(const YamlNode& n, const std::string& path, std::string what, std::string allowed, std::string hint) {
  diags_.add(doc_.at(n.line, n.col, path, std::move(what), std::move(allowed), std::move(hint)));
}
void Reader::error(const YamlEntry& e, const std::string& path, std::string what, std::string allowed, std::string hint) {
  diags_.add(doc_.at(e.line, e.col, path, std::move(what), std::move(allowed), std::move(hint)));
}
void Reader::error(const Value& v, std::string what, std::string allowed, std::string hint) {
  diags_.add(doc_.at(v.line, v.col, v.path, std::move(what), std::move(allowed), std::move(hint)));
}

bool Reader::expect(const YamlNode& n, YamlNode::Kind kind, const std::string& path, const std::string& what) {
  if (n.kind == kind) return true;
  error(n, path, "there is " + std::string(kind_name(n.kind)) + " where " + what + " belongs",
        "allowed is " + std::string(kind_name(kind)));
  return false;
}

Value Reader::start(const YamlNode& n, Type type, const std::string& path) const {
  Value v;
  v.kind = n.is_list() ? Value::Kind::list : n.is_map() ? Value::Kind::map : Value::Kind::scalar;
  v.type = type;
  v.origin = n.origin;
  v.line = n.line;
  v.col = n.col;
  v.path = path;
  v.from = n.from;
  v.text = n.scalar;
  return v;
}

Value Reader::read(std::string_view object) {
  if (!expect(doc_.root, YamlNode::Kind::map, {}, "the file's map of keys")) return {};
  const YamlNode* schema = doc_.root.find("schema");
  const std::string wanted(find_key(object, "schema")->arg);
  const std::string stem = wanted.substr(0, wanted.find('/') + 1);
  if (schema && schema->is_scalar() && schema->scalar != wanted && schema->scalar.starts_with(stem)) {
    error(*schema, "schema", "\"" + schema->scalar + "\" is another version of the format", "this version reads " + wanted);
    return {};
  }
  if (const YamlNode* p = doc_.root.find("parameters")) read_parameters(*p, "parameters", true);
  return read_object(doc_.root, object, {});
}

Value Reader::read_object(const YamlNode& n, std::string_view object, const std::string& path) {
  Value v = start(n, Type::object, path);
  v.text = object;
  if (!expect(n, YamlNode::Kind::map, path, "a map")) return v;
  for (const YamlEntry& e : n.fields) {
    const KeyInfo* key = find_key(object, e.key);
    if (!key) {
      const auto names = key_names(object);
      error(e, child(path, e.key), "unknown key", "allowed are " + one_of(names, 40), did_you_mean(e.key, names));
      continue;
    }
    v.fields.push_back({e.key, read_key(e.value, *key, child(path, e.key))});
  }
  for (const KeyInfo& key : keys_of(object))
    if (!n.find(key.key)) fill_default(v, key, path);
  return v;
}

void Reader::fill_default(Value& map, const KeyInfo& key, const std::string& path) {
  if (key.required()) {
    diags_.add(doc_.at(map.line, map.col, child(path, key.key), "the key is missing (" + std::string(key.help) + ")"));
    return;
  }
  if (!key.has_default()) return;
  YamlNode n;
  n.kind = YamlNode::Kind::scalar;
  n.origin = Origin::built_in;
  n.line = map.line;
  n.col = map.col;
  n.scalar = std::string(key.def);
  n.from = kBuiltInDefault;
  map.fields.push_back({std::string(key.key), read_key(n, key, child(path, key.key))});
}

Value Reader::read_key(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  switch (key.type) {
    case Type::object:
      if (key.arg == "placement" && n.is_scalar()) return read_object(placement_map(n), key.arg, path);
      return read_object(n, key.arg, path);
    case Type::list:
      return read_list(n, key, path);
    case Type::body:
      return read_body(n, path, false);
    case Type::handler:
      return read_body(n, path, true);
    case Type::draw:
      return read_draw(n, key, path);
    case Type::names:
      return read_names(n, key, path);
    case Type::texts:
      return read_texts(n, key, path);
    case Type::cpus:
      return read_cpus(n, path);
    case Type::parameters:
      return read_parameters(n, path, false);
    case Type::tunables:
    case Type::features:
    case Type::costs:
    case Type::failures:
      return read_switches(n, key, path);
    case Type::costtable:
      return read_cost_table(n, path);
    default:
      return read_scalar(n, key, path);
  }
}

Value Reader::read_list(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  Value v = start(n, Type::list, path);
  if (!expect(n, YamlNode::Kind::list, path, "a list")) return v;
  for (std::size_t i = 0; i < n.items.size(); ++i) v.items.push_back(read_object(n.items[i], key.arg, element(path, i)));
  if (n.items.empty() && key.required())
    error(n, path, "the list is empty (" + std::string(key.help) + ")", "allowed is a list with at least one item");
  return v;
}

Value Reader::read_body(const YamlNode& n, const std::string& path, bool handler) {
  Value v = start(n, handler ? Type::handler : Type::body, path);
  if (!expect(n, YamlNode::Kind::list, path, "a list of phases")) return v;
  const bool before = in_program_;
  in_program_ = true;
  for (std::size_t i = 0; i < n.items.size(); ++i) v.items.push_back(read_phase(n.items[i], element(path, i)));
  in_program_ = before;
  return v;
}

Value Reader::read_phase(const YamlNode& n, const std::string& path) {
  const auto actions = table_names(schema_actions());
  auto complain = [&](const auto& place, const std::string& where, const std::string& word) {
    const auto refused = std::ranges::find(schema_unmodelled(), word, &NamedDoc::name);
    if (refused != schema_unmodelled().end())
      error(place, where, "\"" + word + "\" is not modelled in this version: " + std::string(refused->doc));
    else
      error(place, where, "\"" + word + "\" is no action", "allowed are " + one_of(actions, 64), did_you_mean(word, actions));
  };
  if (n.is_scalar()) {  // `- yield`: an action with everything at its default
    const KeyInfo* key = is_action(n.scalar) ? find_key("phase." + n.scalar, n.scalar) : nullptr;
    if (!is_action(n.scalar)) complain(n, path, n.scalar);
    if (key && !key->has_default())
      error(n, path, "\"" + n.scalar + "\" needs a value (" + std::string(key->help) + ")", {}, "write {" + n.scalar + ": ...}");
    if (!key || !key->has_default()) return start(n, Type::object, path);
    YamlNode map = n;
    map.kind = YamlNode::Kind::map;
    map.scalar.clear();
    return read_object(map, "phase." + n.scalar, path);
  }
  if (!expect(n, YamlNode::Kind::map, path, "one action")) return start(n, Type::object, path);
  std::vector<const YamlEntry*> found;
  for (const YamlEntry& e : n.fields)
    if (is_action(e.key)) found.push_back(&e);
  // A word may be an action and another action's key (kill's signal): the one that has room for the others is meant.
  auto owns_all = [&](const YamlEntry* a) {
    return std::ranges::all_of(found, [&](const YamlEntry* b) { return find_key("phase." + a->key, b->key) != nullptr; });
  };
  const auto action = std::ranges::find_if(found, owns_all);
  if (action != found.end()) return read_object(n, "phase." + (*action)->key, path);
  if (!found.empty())
    error(*found[1], path, "two actions in one item: " + found[0]->key + " and " + found[1]->key, "one action per list item",
          "start a new item with \"- \"");
  else if (n.fields.empty())
    error(n, path, "the item is empty", "allowed are " + one_of(actions, 64));
  else
    complain(n.fields[0], path, n.fields[0].key);
  return start(n, Type::object, path);
}

Value Reader::read_draw(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  if (!n.is_map()) return read_scalar(n, key, path);
  std::vector<std::string_view> names;
  for (const char* o : kDistObjects) names.push_back(std::string_view(o).substr(5));
  const YamlNode* dist = n.find("dist");
  const bool known = dist && dist->is_scalar() && std::ranges::find(names, dist->scalar) != names.end();
  if (!known) {
    error(dist ? *dist : n, child(path, "dist"), dist ? "\"" + dist->scalar + "\" is no distribution" : "the key is missing",
          "allowed are " + one_of(names), dist ? did_you_mean(dist->scalar, names) : std::string{});
    return start(n, Type::draw, path);
  }
  Value v = read_object(n, "dist." + dist->scalar, path);
  v.type = Type::draw;
  const Value &lo = v["min"], &hi = v["max"];
  if (lo && hi && lo.num > hi.num) error(lo, "min is above max", "min <= max");
  return v;
}

Value Reader::read_names(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  Value v = start(n, Type::names, path);
  const auto allowed = choices(key.arg, vocabulary_);
  std::vector<const YamlNode*> words;
  if (n.is_list())
    for (const YamlNode& i : n.items) words.push_back(&i);
  else
    words.push_back(&n);  // one name needs no brackets
  v.kind = Value::Kind::list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const YamlNode& w = *words[i];
    const std::string at = n.is_list() ? element(path, i) : path;
    if (!expect(w, YamlNode::Kind::scalar, at, "a name")) continue;
    const bool fine = allowed.empty() ? is_name(w.scalar) : std::ranges::find(allowed, w.scalar) != allowed.end();
    if (!fine)
      error(w, at, "\"" + w.scalar + "\" is not known here", allowed.empty() ? "allowed is a name" : "allowed are " + one_of(allowed, 20),
            did_you_mean(w.scalar, allowed));
    const bool twice = std::ranges::any_of(v.items, [&](const Value& o) { return o.text == w.scalar; });
    if (twice) error(w, at, "\"" + w.scalar + "\" is listed twice", "each name once");
    v.items.push_back(start(w, Type::name, at));
  }
  return v;
}

Value Reader::read_texts(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  Value v = start(n, Type::texts, path);
  if (!n.is_list() && !expect(n, YamlNode::Kind::scalar, path, "a text or a list of texts")) return v;
  const std::size_t count = n.is_list() ? n.items.size() : 1;  // one text needs no brackets
  v.kind = Value::Kind::list;
  for (std::size_t i = 0; i < count; ++i) {
    const YamlNode& w = n.is_list() ? n.items[i] : n;
    const std::string at = n.is_list() ? element(path, i) : path;
    if (!expect(w, YamlNode::Kind::scalar, at, "a text")) continue;
    if (w.scalar.empty()) error(w, at, "the text is empty (" + std::string(key.help) + ")", "allowed is a text");
    v.items.push_back(start(w, Type::text, at));
  }
  if (count == 0 && key.required()) error(n, path, "the list is empty (" + std::string(key.help) + ")", "allowed is a list with at least one item");
  return v;
}

Value Reader::read_cpus(const YamlNode& n, const std::string& path) {
  Value v = start(n, Type::cpus, path);
  std::string text = n.scalar;
  if (n.is_list()) {
    for (const YamlNode& i : n.items) text += (text.empty() ? "" : ",") + i.scalar;
  } else if (!expect(n, YamlNode::Kind::scalar, path, "a set of CPUs")) {
    return v;
  }
  v.kind = Value::Kind::list;
  const auto cpus = parse_cpu_list(text, km::kMaxCpus);
  if (!cpus) error(n, path, cpus.what, cpus.allowed, cpus.hint);
  if (!cpus) return v;
  for (std::uint32_t c : *cpus.value) {
    Value cpu = start(n, Type::integer, path);
    cpu.kind = Value::Kind::scalar;
    cpu.num = c;
    cpu.text = std::to_string(c);
    v.items.push_back(std::move(cpu));
  }
  return v;
}

Value Reader::read_parameters(const YamlNode& n, const std::string& path, bool define) {
  Value v = start(n, Type::parameters, path);
  const bool defining = define || path == "parameters";
  if (!n.is_map()) {
    if (define || !defining) expect(n, YamlNode::Kind::map, path, "a map of names and values");
    return v;
  }
  for (const YamlEntry& e : n.fields) {
    const std::string at = child(path, e.key);
    Value f = start(e.value, Type::integer, at);
    const bool scalar = e.value.is_scalar();
    if (!defining) {
      static constexpr KeyInfo kArg{"", "with", Type::integer, "", "", "", "an integer"};
      v.fields.push_back({e.key, read_scalar(e.value, kArg, at)});
      continue;
    }
    const auto p = parse_parameter(scalar ? std::string_view(e.value.scalar) : std::string_view{});
    if (p) {
      parameters_[e.key] = *p.value;
      f.num = p.value->value;
    }
    if (define && !is_name(e.key)) error(e, at, "\"" + e.key + "\" is no name", "letters, digits and _");
    if (define && !p)
      error(e.value, at, scalar ? p.what : "a parameter is one value", "allowed is an integer, a time or a size, such as 20, 5ms or 64KiB",
            p.hint);
    v.fields.push_back({e.key, std::move(f)});
  }
  return v;
}

Value Reader::read_switches(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  Value v = start(n, key.type, path);
  if (!expect(n, YamlNode::Kind::map, path, "a map of names and values")) return v;
  for (const YamlEntry& e : n.fields) {
    const std::string at = child(path, e.key);
    std::vector<std::string_view> names;
    if (key.type == Type::tunables) names = table_names(km::kTunableTable);
    if (key.type == Type::features) names = table_names(km::kFeatureTable);
    if (key.type == Type::failures) names = table_names(km::kFailPointTable);
    if (key.type == Type::costs) names = table_names(km::kPhaseTable);
    if (key.type == Type::costs) names.push_back("bound");
    std::string_view name = e.key;
    if (key.type == Type::features && name.starts_with("NO_")) name.remove_prefix(3);
    const auto unknown = std::ranges::find(km::kAbsentTunables, name, &km::AbsentTunable::name);
    if (key.type == Type::tunables && unknown != std::end(km::kAbsentTunables)) {
      error(e, at, std::string(name) + " does not exist in these kernels", "see forksim list tunables", std::string(unknown->doc));
      continue;
    }
    if (std::ranges::find(names, name) == names.end()) {
      const char* list = key.type == Type::tunables   ? "tunables"
                         : key.type == Type::features ? "features"
                         : key.type == Type::failures ? "failures"
                                                      : "phases";
      error(e, at, "unknown name", std::string("see forksim list ") + list, did_you_mean(name, names));
      continue;
    }
    if (key.type == Type::features && e.key != name && n.find(name))
      error(e, at, "the feature is given as " + std::string(name) + " and as NO_" + std::string(name), "one of the two");
    Value f = key.type == Type::tunables   ? read_tunable(e.value, e.key, at)
              : key.type == Type::features ? read_feature(e.value, e.key, at)
              : key.type == Type::failures ? read_failure(e.value, at)
                                           : read_cost(e.value, e.key, at);
    v.fields.push_back({e.key, std::move(f)});
  }
  return v;
}

Value Reader::read_tunable(const YamlNode& n, const std::string& name, const std::string& path) {
  const auto& info = *std::ranges::find(km::kTunableTable, name, &km::TunableInfo::name);
  Value v = start(n, Type::integer, path);
  const bool bare = !n.scalar.empty() && std::isdigit(static_cast<unsigned char>(n.scalar.back()));
  const auto p = info.unit == "ns" && !bare ? parse_duration(n.scalar) : parse_integer(n.scalar);
  if (!p) error(n, path, p.what, p.allowed, p.hint);
  if (!p) return v;
  v.num = *p.value;
  if (v.num < info.min || v.num > info.max)
    error(n, path,
          n.scalar + " is outside " + std::to_string(info.min) + ".." + std::to_string(info.max) + " " + std::string(info.unit) + " (" +
              std::string(info.doc) + ")");
  return v;
}

Value Reader::read_feature(const YamlNode& n, const std::string& name, const std::string& path) {
  Value v = start(n, Type::boolean, path);
  const auto p = parse_boolean(n.scalar);
  if (!p) error(n, path, p.what, p.allowed, "features." + name + "=false, or features.NO_X");
  v.num = p && *p.value;
  return v;
}

/// nth:N and every:N keep N in `num`, p:X keeps X in `real`; the word before the colon is the text's.
Value Reader::read_failure(const YamlNode& n, const std::string& path) {
  Value v = start(n, Type::text, path);
  const std::size_t colon = n.scalar.find(':');
  const std::string word = n.scalar.substr(0, colon), rest = colon == std::string::npos ? std::string{} : n.scalar.substr(colon + 1);
  const auto count = parse_integer(rest);
  const auto share = parse_real(rest);
  const bool by_count = (word == "nth" || word == "every") && count && *count.value > 0;
  const bool by_chance = word == "p" && share && *share.value >= 0 && *share.value <= 1;
  if (!by_count && !by_chance)
    error(n, path, "\"" + n.scalar + "\" says not when it fails", "nth:N, every:N with N from 1, or p:X with X in 0..1");
  if (by_count) v.num = *count.value;
  if (by_chance) v.real = *share.value;
  return v;
}

Value Reader::read_cost(const YamlNode& n, const std::string& name, const std::string& path) {
  if (name == "bound") {
    static constexpr KeyInfo kBound{"workload", "bound", Type::choice, "low|high", "", "", "end of every band"};
    return read_scalar(n, kBound, path);
  }
  static constexpr KeyInfo kCost{"workload", "costs", Type::duration, "", "", "0..", "time at the reference frequency"};
  return read_scalar(n, kCost, path);
}

Value Reader::read_scalar(const YamlNode& n, const KeyInfo& key, const std::string& path) {
  Value v = start(n, key.type, path);
  const bool may_be_empty = key.type == Type::name && key.arg == "process" && !key.required();  // fork: with child:
  if (n.kind == YamlNode::Kind::null && may_be_empty) return v;
  if (!expect(n, YamlNode::Kind::scalar, path, key.type == Type::text ? "a text" : "a value")) return v;
  switch (key.type) {
    case Type::integer:
    case Type::duration:
    case Type::draw:
    case Type::size:
    case Type::real:
      read_number(v, n, key);
      break;
    case Type::frequency: {
      const auto p = parse_frequency(n.scalar);
      if (!p) error(n, path, p.what, p.allowed, p.hint);
      v.num = p ? *p.value : 0;
      break;
    }
    case Type::boolean: {
      const auto p = parse_boolean(n.scalar);
      if (!p) error(n, path, p.what, p.allowed, p.hint);
      v.num = p && *p.value;
      break;
    }
    default:
      read_word(v, n, key);
  }
  return v;
}

void Reader::note_parameters(std::string_view expr) {
  auto word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  while (!expr.empty()) {
    const auto end = static_cast<std::size_t>(std::ranges::find_if_not(expr, word) - expr.begin());
    if (end > 0 && parameters_.contains(expr.substr(0, end))) used_parameters_.emplace(expr.substr(0, end));
    expr.remove_prefix(std::max<std::size_t>(end, 1));
  }
}

void Reader::refuse_unused_parameters(const Value& root) {
  for (const Field& f : root["parameters"].fields)
    if (!used_parameters_.contains(f.key))
      error(f.value, "nothing uses the parameter \"" + f.key + "\"", "write ${" + f.key + "} where it is meant, or leave it out");
}

void Reader::read_number(Value& v, const YamlNode& n, const KeyInfo& key) {
  if (!key.arg.empty() && n.scalar == key.arg) {  // the extra word: end, forever
    v.num = -1;
    return;
  }
  if (key.type == Type::real) {
    const auto p = parse_real(n.scalar);
    if (!p) error(n, v.path, p.what, p.allowed, p.hint);
    v.real = p ? *p.value : 0;
    if (p) check_range(v, key);
    return;
  }
  const NumKind kind = kind_of(key.type);
  if (is_expr(n.scalar)) {
    note_parameters(n.scalar);
    const auto e = parse_expr(n.scalar, parameters_);
    if (!e) error(n, v.path, e.what, e.allowed, e.hint);
    if (!e) return;
    v.expr = *e.value;
    std::vector<std::string_view> known;
    for (const auto& [name, unused] : parameters_) known.push_back(name);
    for (const ExprTok& t : v.expr.code)
      if (t.op == ExprOp::var && !in_program_)
        error(n, v.path, "unknown parameter \"" + t.name + "\"", "parameters are " + one_of(known), did_you_mean(t.name, known));
    if (v.expr.constant && v.expr.value == 0) v.expr.kind = kind;  // 0 needs no unit
    if (v.expr.kind != kind)
      error(n, v.path, n.scalar + " is " + std::string(to_string(v.expr.kind)), "allowed is " + std::string(to_string(kind)));
    v.num = v.expr.value;
    if (v.expr.constant) check_range(v, key);
    return;
  }
  const auto p = parse_number(n.scalar, kind);
  if (!p) {
    error(n, v.path, p.what, key.arg.empty() ? p.allowed : p.allowed + " or \"" + std::string(key.arg) + "\"", p.hint);
    return;
  }
  v.num = v.expr.value = *p.value;
  v.expr.kind = kind;
  check_range(v, key);
}

void Reader::check_range(const Value& v, const KeyInfo& key) {
  if (key.range.empty()) return;
  const std::size_t dots = key.range.find("..");
  const std::string_view lo = key.range.substr(0, dots), hi = key.range.substr(dots + 2);
  bool fine = true;
  if (key.type == Type::real) {
    fine = (lo.empty() || v.real >= *parse_real(lo).value) && (hi.empty() || v.real <= *parse_real(hi).value);
  } else {
    const NumKind kind = kind_of(key.type);
    fine = (lo.empty() || v.num >= *parse_number(lo, kind).value) && (hi.empty() || v.num <= *parse_number(hi, kind).value);
  }
  if (fine) return;
  const std::string shown = is_expr(v.text) ? v.text + " = " + std::to_string(v.num) : v.text;
  error(v, shown + " is outside " + std::string(key.range) + " (" + std::string(key.help) + ")");
}

void Reader::read_word(Value& v, const YamlNode& n, const KeyInfo& key) {
  if (key.type == Type::text) {
    if (n.scalar.empty()) error(n, v.path, "the text is empty (" + std::string(key.help) + ")", "allowed is a text");
    return;
  }
  if (key.type == Type::name) {
    if (!is_name(n.scalar)) error(n, v.path, "\"" + n.scalar + "\" is no name", "letters, digits, _ . + - and no digit first");
    return;
  }
  const auto allowed = choices(key.arg, vocabulary_);
  if (std::ranges::find(allowed, n.scalar) != allowed.end() || is_plugin_file(key.arg, n.scalar)) return;
  error(n, v.path, "\"" + n.scalar + "\" is not known here",
        (allowed.size() == 1 ? "allowed is " : "allowed are ") + one_of(allowed, 32) +
            (key.arg.ends_with("placements") ? " or the file of a plug-in (.so)" : ""),
        did_you_mean(n.scalar, allowed));
}

Value Reader::read_cost_table(const YamlNode& n, const std::string& path) {
  Value v = start(n, Type::costtable, path);
  if (!expect(n, YamlNode::Kind::map, path, "a map of phases")) return v;
  const auto names = table_names(km::kPhaseTable);
  for (const YamlEntry& e : n.fields) {
    const std::string at = child(path, e.key);
    if (std::ranges::find(names, e.key) == names.end()) {
      error(e, at, "unknown phase", "see forksim list phases", did_you_mean(e.key, names));
      continue;
    }
    v.fields.push_back({e.key, read_object(e.value, "cost", at)});
    check_bands(v.fields.back().value);
  }
  std::vector<std::string_view> missing;
  for (std::string_view name : names)
    if (!n.find(name)) missing.push_back(name);
  if (!missing.empty())
    error(n, path, std::to_string(missing.size()) + " phases are missing: " + one_of(missing, 8),
          "every phase of forksim list phases is needed");
  return v;
}

void Reader::check_bands(const Value& cost) {
  const Value &low = cost["low"], &value = cost["value"], &high = cost["high"];
  if (!low || !value || !high) return;
  if (low.num > value.num || value.num > high.num)
    error(value, value.text + " is outside its band " + low.text + ".." + high.text, "low <= value <= high");
}

}  // namespace forksim
