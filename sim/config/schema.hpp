// The schema of our YAML files as a table.
//
// Purpose: one look at schema.def for the reader, the JSON Schema export, resolved.yaml and help. Source: sim/config/schema.def.
// Ownership: static data. Errors: none; lookups return nullptr. Not here: YAML (reader.hpp), tables of other rooms (Vocabulary).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace forksim {

enum class Type : unsigned char {
  text,
  name,
  boolean,
  integer,
  real,
  duration,
  draw,
  size,
  frequency,
  choice,
  object,
  list,
  names,
  texts,
  cpus,
  parameters,
  body,
  handler,
  tunables,
  features,
  failures,
  costs,
  costtable
};

struct ObjectInfo {
  std::string_view id, doc;
};
struct KeyInfo {
  std::string_view object, key;
  Type type;
  std::string_view arg, def, range, help;
  bool required() const { return def == "!"; }
  bool has_default() const { return !def.empty() && def != "!"; }
};
struct NamedDoc {
  std::string_view name, doc;
};

std::span<const ObjectInfo> schema_objects();  ///< maps, without the actions
std::span<const NamedDoc> schema_actions();
std::span<const NamedDoc> schema_unmodelled();
/// The keys of an object ("workload", "phase.fork"), in the order of the table.
std::span<const KeyInfo> keys_of(std::string_view object);
const KeyInfo* find_key(std::string_view object, std::string_view key);
bool is_action(std::string_view name);

/// Names the schema needs from other rooms; an empty list accepts any word.
struct Vocabulary {
  std::vector<std::string_view> metrics;
};

/// The words of a choice: "a|b|c", or a table by "@name" (kernels, signals, clone_flags, syscalls, metrics, placements).
std::vector<std::string_view> choices(std::string_view arg, const Vocabulary& vocabulary);
/// A placement may also be the file of a plug-in.
bool is_plugin_file(std::string_view arg, std::string_view text);

struct SignalInfo {
  std::string_view name;
  int number;
};
struct CloneFlagInfo {
  std::string_view name;
  unsigned long long flag;
};
struct SyscallInfo {
  std::string_view name;
  int number;  ///< arm64
};
std::span<const SignalInfo> signal_table();
std::span<const CloneFlagInfo> clone_flag_table();
std::span<const SyscallInfo> syscall_table();

/// JSON Schema draft-07 of "workload", "costs", "study" or "baseline", for editors.
std::string json_schema(std::string_view root, const Vocabulary& vocabulary);

}  // namespace forksim
