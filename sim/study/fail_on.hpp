// Limits that a comparison must keep: `fork_to_run.p99>+5%`.
//
// Purpose: the expressions of --fail-on and of a baseline's `fail_on`. Grammar: MEASURE > LIMIT or MEASURE < LIMIT, MEASURE as in
//          measures.hpp (fork_to_run.p99, energy_j, totals.migrations). LIMIT is a change with its sign (+5%, +20us, -3) or a value of the
//          new side (1ms, 500). Units: times carry theirs; counts and joules have none.
// Ownership: values. Errors: Diagnostics at the column of the expression. Not here: whether a limit is broken (compare.hpp).
#pragma once

#include <string>

#include "sim/config/diagnostics.hpp"

namespace forksim {

struct FailOn {
  enum class Kind : unsigned char { percent, change, value };
  std::string text;
  std::size_t measure = 0;  ///< row of measure_table
  bool above = true;        ///< fails above the limit; false: below
  Kind kind = Kind::percent;
  double limit = 0;  ///< percent / 100, or the measure's unit
};

/// Reads one expression; `place` has file, line and col of its first character (and its path).
FailOn parse_fail_on(const std::string& text, const Diagnostic& place, Diagnostics& diags);

}  // namespace forksim
