// A checked value: what the reader makes of a YAML node and its schema row.
//
// Purpose: everything behind the reader (workload compiler, resolved.yaml) works on these and never on YAML. Units: num is ns, bytes or a
// count, by the key's type. Ownership: a tree of values. Errors: none; a tree with diagnostics must not be used to run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/expr.hpp"
#include "sim/config/schema.hpp"
#include "sim/config/yaml_tree.hpp"

namespace forksim {

struct Field;

struct Value {
  enum class Kind : unsigned char { none, scalar, list, map };
  Kind kind = Kind::none;
  Type type = Type::text;
  Origin origin = Origin::built_in;
  int line = 0, col = 0;
  std::string path;      ///< processes[0].phases[2].run
  std::string from;      ///< where it came from, in words, when known
  std::string text;      ///< as written; of a map from a variant: the object's id ("phase.fork", "dist.uniform")
  std::int64_t num = 0;  ///< integer, time, size, truth value; meaningless when !expr.constant
  double real = 0;
  Expr expr;                  ///< of numeric scalars
  std::vector<Value> items;   ///< of a list
  std::vector<Field> fields;  ///< of a map: as written, then defaults

  const Value* find(std::string_view key) const;
  /// The field, or an empty value when it is missing.
  const Value& operator[](std::string_view key) const;
  explicit operator bool() const { return kind != Kind::none; }
};

struct Field {
  std::string key;
  Value value;
};

}  // namespace forksim
