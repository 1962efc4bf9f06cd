// Small integer expressions in values: ${groups * fds}, $name.
//
// Purpose: parameters and, inside programs, loop indexes and args. + - * / % and brackets over signed 64-bit integers.
// Units:   every operand is an integer, a time (ns) or a size (bytes); adding needs equal kinds, a product has at most one dimension.
// Errors:  Parsed::what; overflow and division by zero of constants are errors, at run time they give 0 and are counted.
// Ownership: values. Not here: which names are in scope (the workload compiler knows).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/units.hpp"

namespace forksim {

enum class NumKind : unsigned char { integer, duration, size };
std::string_view to_string(NumKind k);

enum class ExprOp : unsigned char { push, var, add, sub, mul, div, mod };
struct ExprTok {
  ExprOp op;
  std::int64_t imm = 0;  ///< push: the value; var: the slot, once bound
  std::string name;      ///< var
};

/// Postfix code; `constant` when no variable is left.
struct Expr {
  std::vector<ExprTok> code;
  NumKind kind = NumKind::integer;
  bool constant = true;
  std::int64_t value = 0;
};

struct Parameter {
  NumKind kind = NumKind::integer;
  std::int64_t value = 0;
};
using Parameters = std::map<std::string, Parameter, std::less<>>;

/// True for $name and ${...}.
bool is_expr(std::string_view text);
/// Names that are no parameter stay variables (integers).
Parsed<Expr> parse_expr(std::string_view text, const Parameters& parameters);
/// An integer, a time or a size, by its unit: what a parameter's value may be.
Parsed<Parameter> parse_parameter(std::string_view text);

/// Depth of the evaluation stack; parse_expr refuses what needs more.
inline constexpr std::size_t kExprDepth = 16;
/// One step on two operands; false on overflow or division by zero.
bool apply(ExprOp op, std::int64_t a, std::int64_t b, std::int64_t& out);

}  // namespace forksim
