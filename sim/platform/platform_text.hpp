// Text inside the properties of a platform file.
//
// Purpose: parse cache.NAME and wattage properties without SimGrid, so that mistakes are told before SimGrid would abort on them.
// Source:  the grammar described in platforms/bcm2711.xml. Units: as named. Ownership: values.
// Errors:  a message (empty when all is well) that names the word and what is allowed; nothing throws.
// Not here: units of SimGrid's own attributes (speed, bandwidth, latency), which SimGrid parses.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/platform/platform_desc.hpp"

namespace forksim {

/// "2.67ns" as 2670; units ps, ns, us, ms, s; exact to 1 ps or nothing.
std::optional<km::u64> parse_ps(std::string_view text);

/// A cache property: its caches (one per ';' of cpus), and the name of the link that carries the latency when it is not given itself.
struct CacheProperty {
  std::vector<CacheDesc> caches;
  std::string link;
};
/// Parses "level=2 kind=unified size=1MiB link=l2 cpus=0-3" of the property cache.`name`; returns what is wrong, or "".
std::string parse_cache_property(std::string_view name, std::string_view value, CacheProperty& out);

/// Parses "idle:epsilon:all, ..." with one entry per pstate; all three must be equal. Returns what is wrong, or "".
std::string parse_wattage(std::string_view text, std::size_t pstates, std::vector<double>& out);

}  // namespace forksim
