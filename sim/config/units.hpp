// Numbers and units of our YAML and command line.
//
// Purpose: one parser for times, sizes, integers and reals, so that nothing goes through yaml-cpp's conversions (octal, hex, NaN, yes/no).
// Units:   durations in ns, sizes in bytes, both signed 64-bit and exact: a text that is no whole number of ns or bytes is refused.
// Rules:   decimal only, no exponent, no leading zeros, no blanks, no sign except for integers and reals; only 0 may come without its unit.
// Errors:  Parsed::what/allowed/hint, to be put into a Diagnostic. Ownership: values. Not here: expressions (expr.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forksim {

template <class T>
struct Parsed {
  std::optional<T> value;
  std::string what, allowed, hint;  ///< set when there is no value
  explicit operator bool() const { return value.has_value(); }
};

struct UnitInfo {
  std::string_view name;
  std::int64_t factor;
};
/// ns us ms s min h, in ns.
const std::vector<UnitInfo>& duration_units();
/// B KiB MiB GiB kB MB GB, in bytes.
const std::vector<UnitInfo>& size_units();

/// Hz kHz MHz GHz, in Hz.
const std::vector<UnitInfo>& frequency_units();

Parsed<std::int64_t> parse_duration(std::string_view text);
Parsed<std::int64_t> parse_size(std::string_view text);
Parsed<std::int64_t> parse_frequency(std::string_view text);
Parsed<std::int64_t> parse_integer(std::string_view text);
/// A finite decimal number without exponent.
Parsed<double> parse_real(std::string_view text);
Parsed<bool> parse_boolean(std::string_view text);
/// "0", "0-3", "0,2-3": CPU numbers below `limit`, ascending, each once.
Parsed<std::vector<std::uint32_t>> parse_cpu_list(std::string_view text, std::uint32_t limit);

/// The shortest exact text: 1500000 -> "1500us", 0 -> "0".
std::string format_duration(std::int64_t ns);

}  // namespace forksim
