#include "sim/config/units.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "sim/config/suggest.hpp"

namespace forksim {

namespace {

__extension__ typedef __int128 Wide;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <class T>
Parsed<T> bad(std::string what, std::string allowed, std::string hint = {}) {
  return {std::nullopt, std::move(what), std::move(allowed), std::move(hint)};
}

std::string quoted(std::string_view s) {
  std::string out = "\"";
  for (char c : s.substr(0, 60)) out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out + (s.size() > 60 ? "...\"" : "\"");
}

std::vector<std::string_view> names_of(const std::vector<UnitInfo>& units) {
  std::vector<std::string_view> out;
  for (const UnitInfo& u : units) out.push_back(u.name);
  return out;
}

/// Digits before and after the point, and what follows them.
struct Split {
  std::string_view whole, fraction, rest;
  bool point = false;
};
Split split_number(std::string_view t) {
  Split s;
  std::size_t i = 0;
  while (i < t.size() && is_digit(t[i])) ++i;
  s.whole = t.substr(0, i);
  if (i < t.size() && t[i] == '.') {
    s.point = true;
    const std::size_t start = ++i;
    while (i < t.size() && is_digit(t[i])) ++i;
    s.fraction = t.substr(start, i - start);
  }
  s.rest = t.substr(i);
  return s;
}

/// whole.fraction * factor, or nothing when that is no 64-bit integer. `exact` says which of the two failed.
std::optional<std::int64_t> scale(const Split& s, std::int64_t factor, bool& exact) {
  exact = true;
  std::int64_t value = 0;
  for (char c : s.whole)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, c - '0', &value)) return std::nullopt;
  if (__builtin_mul_overflow(value, factor, &value)) return std::nullopt;
  std::string_view fraction = s.fraction;
  while (fraction.ends_with('0')) fraction.remove_suffix(1);
  std::int64_t digits = 0, ten = 1;
  exact = fraction.size() <= 18;
  for (char c : fraction.substr(0, 18)) {
    digits = digits * 10 + (c - '0');
    ten *= 10;
  }
  const Wide part = static_cast<Wide>(factor) * digits;
  exact = exact && part % ten == 0;
  if (!exact || __builtin_add_overflow(value, static_cast<std::int64_t>(part / ten), &value)) return std::nullopt;
  return value;
}

Parsed<std::int64_t> parse_with_unit(std::string_view text, const std::vector<UnitInfo>& units, const char* thing, const char* example,
                                     const char* guess) {
  const std::string allowed = std::string("allowed is a number with its unit, such as ") + example;
  const Split s = split_number(text);
  if (text == "0") return {0, {}, {}, {}};
  if (!text.empty() && text[0] == '-') return bad<std::int64_t>(quoted(text) + " is negative", allowed);
  if (s.whole.empty() || (s.point && s.fraction.empty())) return bad<std::int64_t>(quoted(text) + " is no " + thing, allowed);
  if (s.whole.size() > 1 && s.whole[0] == '0') return bad<std::int64_t>(quoted(text) + " has a leading zero", "numbers are decimal");
  if (s.rest.empty())
    return bad<std::int64_t>(quoted(text) + " has no unit", "only 0 may be bare; units are " + one_of(names_of(units)),
                             "write " + std::string(text) + guess + " if that is what you mean");
  auto unit = std::ranges::find(units, s.rest, &UnitInfo::name);
  if (unit == units.end())
    return bad<std::int64_t>(quoted(text) + " has an unknown unit " + quoted(s.rest), "units are " + one_of(names_of(units)),
                             did_you_mean(s.rest, names_of(units)));
  bool exact = true;
  const auto value = scale(s, unit->factor, exact);
  if (!exact)
    return bad<std::int64_t>(quoted(text) + " is not a whole number of " + std::string(units[0].name), "values are exact or refused");
  if (!value) return bad<std::int64_t>(quoted(text) + " is too large", "the limit is 2^63-1 " + std::string(units[0].name));
  return {*value, {}, {}, {}};
}

}  // namespace

const std::vector<UnitInfo>& duration_units() {
  static const std::vector<UnitInfo> kUnits{
      {"ns", 1}, {"us", 1000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}, {"h", 3'600'000'000'000}};
  return kUnits;
}

const std::vector<UnitInfo>& size_units() {
  static const std::vector<UnitInfo> kUnits{{"B", 1},     {"KiB", 1024},     {"MiB", 1 << 20},     {"GiB", 1 << 30},
                                            {"kB", 1000}, {"MB", 1'000'000}, {"GB", 1'000'000'000}};
  return kUnits;
}

const std::vector<UnitInfo>& frequency_units() {
  static const std::vector<UnitInfo> kUnits{{"Hz", 1}, {"kHz", 1000}, {"MHz", 1'000'000}, {"GHz", 1'000'000'000}};
  return kUnits;
}

Parsed<std::int64_t> parse_frequency(std::string_view text) {
  return parse_with_unit(text, frequency_units(), "frequency", "600MHz or 1.5GHz", "MHz");
}

Parsed<std::int64_t> parse_duration(std::string_view text) {
  return parse_with_unit(text, duration_units(), "time", "250us or 1.5ms", "us");
}

Parsed<std::int64_t> parse_size(std::string_view text) { return parse_with_unit(text, size_units(), "size", "100B or 64KiB", "B"); }

Parsed<std::int64_t> parse_integer(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  const std::string_view digits = text.substr(negative ? 1 : 0);
  const std::string allowed = "allowed is a decimal integer";
  if (digits.empty() || !std::ranges::all_of(digits, is_digit)) {
    const Split s = split_number(digits);
    const bool unit = !s.whole.empty() && std::ranges::any_of(duration_units(), [&](const UnitInfo& u) { return u.name == s.rest; });
    return bad<std::int64_t>(quoted(text) + " is no integer", allowed, unit ? "this key is a count and takes no unit" : "");
  }
  if (digits.size() > 1 && digits[0] == '0') return bad<std::int64_t>(quoted(text) + " has a leading zero", allowed + " without octal");
  std::int64_t v = 0;
  for (char c : digits)
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, c - '0', &v))
      return bad<std::int64_t>(quoted(text) + " is too large", "the limit is 2^63-1");
  return {negative ? -v : v, {}, {}, {}};
}

Parsed<double> parse_real(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  const Split s = split_number(text.substr(negative ? 1 : 0));
  const bool fine = !s.whole.empty() && s.rest.empty() && !(s.point && s.fraction.empty()) && text.size() < 40;
  if (!fine) return bad<double>(quoted(text) + " is no number", "allowed is a decimal number without unit or exponent, such as 0.8");
  return {std::strtod(std::string(text).c_str(), nullptr), {}, {}, {}};
}

Parsed<bool> parse_boolean(std::string_view text) {
  if (text == "true") return {true, {}, {}, {}};
  if (text == "false") return {false, {}, {}, {}};
  std::string hint;
  for (std::string_view yes : {"yes", "on", "True", "TRUE", "1"})
    if (text == yes) hint = "write true";
  for (std::string_view no : {"no", "off", "False", "FALSE", "0"})
    if (text == no) hint = "write false";
  return bad<bool>(quoted(text) + " is no truth value", "allowed are true and false", hint);
}

Parsed<std::vector<std::uint32_t>> parse_cpu_list(std::string_view text, std::uint32_t limit) {
  using List = std::vector<std::uint32_t>;
  const std::string allowed = "allowed are CPU numbers and ranges below " + std::to_string(limit) + ", such as \"0,2-3\"";
  List out;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    const auto lo = parse_integer(part.substr(0, dash));
    const auto hi = dash == std::string_view::npos ? lo : parse_integer(part.substr(dash + 1));
    if (!lo || !hi || *lo.value < 0 || *hi.value < *lo.value) return bad<List>(quoted(part) + " is no CPU or range of CPUs", allowed);
    if (*hi.value >= limit) return bad<List>("CPU " + std::to_string(*hi.value) + " is too high", allowed);
    for (auto c = *lo.value; c <= *hi.value; ++c) out.push_back(static_cast<std::uint32_t>(c));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  std::ranges::sort(out);
  if (std::ranges::adjacent_find(out) != out.end()) return bad<List>("a CPU is listed twice", allowed);
  return {std::move(out), {}, {}, {}};
}

std::string format_duration(std::int64_t ns) {
  if (ns == 0) return "0";
  const auto& units = duration_units();
  for (std::size_t i = 3; i > 0; --i)  // s, ms, us: larger units read badly
    if (ns % units[i].factor == 0) return std::to_string(ns / units[i].factor) + std::string(units[i].name);
  return std::to_string(ns) + "ns";
}

}  // namespace forksim
