// The strict reader: YAML tree + schema -> checked values, all errors at once.
//
// Purpose: closed maps with near-name hints, units, ranges, choices, parameters, defaults; order lives only in lists.
// Source:  facts on yaml-cpp and the contract's rules for workload files. Units: see schema.def. Ownership: values.
// Errors:  Diagnostics; reading goes on after each. Not here: names that refer to other parts of the file (sim/workload checks those).
#pragma once

#include <set>

#include "sim/config/value.hpp"

namespace forksim {

class Reader {
 public:
  Reader(const YamlDocument& doc, const Vocabulary& vocabulary, Diagnostics& diags) : doc_(doc), vocabulary_(vocabulary), diags_(diags) {}

  /// Reads the whole document as `object` ("workload", "costs", "study" or "baseline").
  Value read(std::string_view object);
  const Parameters& parameters() const { return parameters_; }
  /// A parameter that nothing uses would be set in vain: an error. To be called last, when all else is well.
  void refuse_unused_parameters(const Value& root);

 private:
  Value read_key(const YamlNode& n, const KeyInfo& key, const std::string& path);
  Value read_object(const YamlNode& n, std::string_view object, const std::string& path);
  Value read_list(const YamlNode& n, const KeyInfo& key, const std::string& path);
  Value read_body(const YamlNode& n, const std::string& path, bool handler);
  Value read_phase(const YamlNode& n, const std::string& path);
  Value read_draw(const YamlNode& n, const KeyInfo& key, const std::string& path);
  Value read_names(const YamlNode& n, const KeyInfo& key, const std::string& path);
  Value read_texts(const YamlNode& n, const KeyInfo& key, const std::string& path);
  Value read_cpus(const YamlNode& n, const std::string& path);
  Value read_parameters(const YamlNode& n, const std::string& path, bool define);
  Value read_switches(const YamlNode& n, const KeyInfo& key, const std::string& path);
  Value read_tunable(const YamlNode& n, const std::string& name, const std::string& path);
  Value read_failure(const YamlNode& n, const std::string& path);
  Value read_feature(const YamlNode& n, const std::string& name, const std::string& path);
  Value read_cost(const YamlNode& n, const std::string& name, const std::string& path);
  Value read_cost_table(const YamlNode& n, const std::string& path);
  Value read_scalar(const YamlNode& n, const KeyInfo& key, const std::string& path);
  void note_parameters(std::string_view expr);
  void read_number(Value& v, const YamlNode& n, const KeyInfo& key);
  void read_word(Value& v, const YamlNode& n, const KeyInfo& key);
  void fill_default(Value& map, const KeyInfo& key, const std::string& path);
  void check_range(const Value& v, const KeyInfo& key);
  void check_bands(const Value& cost);

  Value start(const YamlNode& n, Type type, const std::string& path) const;
  bool expect(const YamlNode& n, YamlNode::Kind kind, const std::string& path, const std::string& what);
  void error(const YamlNode& n, const std::string& path, std::string what, std::string allowed = {}, std::string hint = {});
  void error(const Value& v, std::string what, std::string allowed = {}, std::string hint = {});
  void error(const YamlEntry& e, const std::string& path, std::string what, std::string allowed = {}, std::string hint = {});

  const YamlDocument& doc_;
  const Vocabulary& vocabulary_;
  Diagnostics& diags_;
  Parameters parameters_;
  std::set<std::string, std::less<>> used_parameters_;
  bool in_program_ = false;  ///< loop indexes and args may appear in expressions
};

/// True for [A-Za-z_][A-Za-z0-9_.+-]*, at most 64 bytes.
bool is_name(std::string_view text);

}  // namespace forksim
