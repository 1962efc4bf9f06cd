#include "sim/platform/platform_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "kernel_model/base/cpumask.hpp"

namespace forksim {
namespace {

using km::u32;
using km::u64;

std::vector<std::string_view> split(std::string_view s, char sep) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0;;) {
    const std::size_t end = s.find(sep, at);
    parts.push_back(s.substr(at, end - at));
    if (end == std::string_view::npos) return parts;
    at = end + 1;
  }
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

template <class T>
bool number(std::string_view s, T& out) {
  const auto r = std::from_chars(s.data(), s.data() + s.size(), out);
  return r.ec == std::errc{} && r.ptr == s.data() + s.size() && !s.empty();
}

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

bool parse_bytes(std::string_view s, u64& out) {
  constexpr std::array<std::pair<std::string_view, u64>, 3> kUnits{{{"KiB", 1024}, {"MiB", u64{1} << 20}, {"GiB", u64{1} << 30}}};
  for (const auto& [unit, bytes] : kUnits) {
    if (!s.ends_with(unit) || !number(s.substr(0, s.size() - unit.size()), out)) continue;
    out *= bytes;
    return out > 0;
  }
  return false;
}

/// "0-3,6" as 0 1 2 3 6.
bool parse_cpu_list(std::string_view s, std::vector<u32>& out) {
  for (std::string_view part : split(s, ',')) {
    const std::size_t dash = part.find('-');
    u32 first = 0, last = 0;
    if (!number(part.substr(0, dash), first)) return false;
    last = first;
    if (dash != std::string_view::npos && !number(part.substr(dash + 1), last)) return false;
    if (last < first || last >= km::kMaxCpus) return false;
    for (u32 c = first; c <= last; ++c) out.push_back(c);
  }
  std::sort(out.begin(), out.end());
  return std::adjacent_find(out.begin(), out.end()) == out.end();
}

/// One word `key=value` of a cache property.
std::string apply_cache_word(std::string_view key, std::string_view value, CacheDesc& common, CacheProperty& out, std::string_view& cpus,
                             bool& latency) {
  if (key == "level") {
    if (number(value, common.level) && common.level >= 1 && common.level <= 9) return "";
    return "level=" + std::string(value) + ": a number from 1 to 9 is expected";
  }
  if (key == "kind") {
    constexpr std::array<std::string_view, 3> kKinds{"data", "instruction", "unified"};
    const auto it = std::find(kKinds.begin(), kKinds.end(), value);
    if (it == kKinds.end()) return "kind=" + std::string(value) + ": data, instruction or unified is expected";
    common.kind = static_cast<CacheKind>(it - kKinds.begin());
    return "";
  }
  if (key == "size")
    return parse_bytes(value, common.bytes) ? "" : "size=" + std::string(value) + ": a size such as 32KiB or 1MiB is expected";
  if (key == "latency") {
    const std::optional<u64> ps = parse_ps(value);
    if (!ps) return "latency=" + std::string(value) + ": a time such as 2.67ns is expected";
    common.latency_ps = *ps;
    latency = true;
    return "";
  }
  if (key == "link") {
    out.link = value;
    return "";
  }
  if (key == "cpus") {
    cpus = value;
    return "";
  }
  return "unknown word " + quoted(key) + ": level, kind, size, latency, link and cpus are known";
}

}  // namespace

std::optional<u64> parse_ps(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, int>, 5> kUnits{{{"ps", 0}, {"ns", 3}, {"us", 6}, {"ms", 9}, {"s", 12}}};
  for (const auto& [unit, digits] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const std::string_view value = text.substr(0, text.size() - unit.size());
    const std::size_t dot = value.find('.');
    std::string_view fraction = dot == std::string_view::npos ? std::string_view{} : value.substr(dot + 1);
    while (fraction.ends_with('0')) fraction.remove_suffix(1);
    if (static_cast<int>(fraction.size()) > digits) return std::nullopt;
    std::string all(value.substr(0, dot));
    if (all.empty()) return std::nullopt;
    all += std::string(fraction) + std::string(static_cast<std::size_t>(digits) - fraction.size(), '0');
    u64 ps = 0;
    if (!std::all_of(all.begin(), all.end(), [](char c) { return c >= '0' && c <= '9'; }) || !number(std::string_view(all), ps))
      return std::nullopt;
    return ps;
  }
  return std::nullopt;
}

std::string parse_cache_property(std::string_view name, std::string_view value, CacheProperty& out) {
  CacheDesc common;
  std::string_view cpus;
  bool latency = false;
  for (std::string_view word : split(trim(value), ' ')) {
    if (word.empty()) continue;
    const std::size_t eq = word.find('=');
    if (eq == std::string_view::npos) return quoted(word) + ": key=value is expected";
    if (std::string wrong = apply_cache_word(word.substr(0, eq), word.substr(eq + 1), common, out, cpus, latency); !wrong.empty())
      return wrong;
  }
  if (cpus.empty()) return "no cpus: cpus=0-3 for one cache, cpus=0;1;2;3 for one each";
  if (common.bytes == 0) return "no size: size=32KiB for example";
  if (latency == !out.link.empty()) return "either latency=TIME or link=NAME is expected";
  for (std::string_view group : split(cpus, ';')) {
    CacheDesc c = common;
    c.name = std::string(name) + "." + std::to_string(out.caches.size());
    if (!parse_cpu_list(group, c.cpus))
      return "cpus=" + std::string(cpus) + ": lists of CPU numbers such as 0-3 or 0,2 are expected, each number once";
    out.caches.push_back(std::move(c));
  }
  return "";
}

std::string parse_wattage(std::string_view text, std::size_t pstates, std::vector<double>& out) {
  const std::vector<std::string_view> entries = split(text, ',');
  if (entries.size() != pstates) return std::to_string(entries.size()) + " entries for " + std::to_string(pstates) + " pstates";
  for (std::string_view entry : entries) {
    const std::vector<std::string_view> three = split(trim(entry), ':');
    double watts = -1.0;
    if (three.size() != 3 || !number(three[0], watts) || !(watts >= 0.0 && watts < 1e6))
      return quoted(trim(entry)) + ": Idle:Epsilon:AllCores in W is expected";
    // a pstate already says busy or idle; SimGrid must charge the same whatever load it believes in
    if (three[1] != three[0] || three[2] != three[0]) return quoted(trim(entry)) + ": the same number three times is expected";
    out.push_back(watts);
  }
  return "";
}

}  // namespace forksim
