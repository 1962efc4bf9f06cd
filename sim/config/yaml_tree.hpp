// A YAML document as a tree that knows where every node stands.
//
// Purpose: yaml-cpp parses, this keeps line and column of keys and values and refuses what our files never use: duplicate keys, anchors,
//          aliases, merge keys, tags, several documents, more than kNodeBudget nodes, files above kByteBudget.
// Units:   lines and columns count from 1 (columns in bytes). Ownership: values; a Document keeps the text for caret lines.
// Errors:  Diagnostics; a document with errors may still be walked. Not here: meaning (reader.hpp), numbers (units.hpp).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/config/diagnostics.hpp"

namespace forksim {

inline constexpr std::size_t kNodeBudget = 200'000;
inline constexpr std::size_t kByteBudget = 4 << 20;

/// Where a value came from; the order is the precedence.
enum class Origin : unsigned char { built_in, platform, workload, command_line };

/// How resolved.yaml calls a default; read back, the value counts as a default again.
inline constexpr std::string_view kBuiltInDefault = "built-in default";

struct YamlEntry;

struct YamlNode {
  enum class Kind : unsigned char { null, scalar, list, map };
  Kind kind = Kind::null;
  Origin origin = Origin::workload;
  int line = 0, col = 0;
  std::string scalar;
  std::string from;               ///< text for resolved.yaml: "workload file fork.yaml:12", "command line"
  std::vector<YamlNode> items;    ///< of a list
  std::vector<YamlEntry> fields;  ///< of a map, in file order

  bool is_map() const { return kind == Kind::map; }
  bool is_list() const { return kind == Kind::list; }
  bool is_scalar() const { return kind == Kind::scalar; }
  const YamlNode* find(std::string_view key) const;
  YamlNode* find(std::string_view key);
};

struct YamlEntry {
  std::string key;
  int line = 0, col = 0;  ///< of the key
  YamlNode value;
};

struct YamlDocument {
  std::string file;
  std::vector<std::string> lines;
  YamlNode root;

  /// A diagnostic at a place of this document, with its source line; line 0 means the command line.
  Diagnostic at(int line, int col, std::string path, std::string what, std::string allowed = {}, std::string hint = {}) const;
};

/// Parses `text`; `file` is how messages call it.
YamlDocument parse_yaml(const std::string& text, const std::string& file, Diagnostics& diags);
/// Reads and parses a file.
YamlDocument load_yaml(const std::string& file, Diagnostics& diags);
/// Parses the right-hand side of --set: a scalar or flow YAML. Every node is marked as coming from the command line.
YamlNode parse_override(const std::string& text, const std::string& path, const std::string& from, Diagnostics& diags);

}  // namespace forksim
