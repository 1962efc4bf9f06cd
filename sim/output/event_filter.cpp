#include "sim/output/event_filter.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <vector>

#include "sim/config/suggest.hpp"

namespace forksim {

namespace {

bool matches(const std::string& pattern, std::string_view text) { return fnmatch(pattern.c_str(), std::string(text).c_str(), 0) == 0; }

bool names_event(const std::string& pattern, const km::TracepointInfo& t) {
  if (pattern.find(':') != std::string::npos) return matches(pattern, fmt::format("{}:{}", t.system, t.name));
  return matches(pattern, t.name) || matches(pattern, t.system);
}

EventFilter::Wrong refusal(const std::string& pattern) {
  std::vector<std::string> full;
  std::vector<std::string_view> systems, names;
  for (const km::TracepointInfo& t : km::tracepoint_table()) {
    full.push_back(fmt::format("{}:{}", t.system, t.name));
    if (std::ranges::find(systems, t.system) == systems.end()) systems.push_back(t.system);
    names.push_back(t.name);
  }
  names.insert(names.end(), full.begin(), full.end());
  names.insert(names.end(), systems.begin(), systems.end());
  return {pattern,
          fmt::format("allowed is system:name as forksim list tracepoints shows it, with * and ?; systems are {}", one_of(systems)),
          did_you_mean(pattern, names)};
}

}  // namespace

EventFilter parse_event_filter(std::string_view patterns) {
  EventFilter filter;
  const auto& table = km::tracepoint_table();
  for (std::size_t at = 0; at <= patterns.size();) {
    const std::size_t end = std::min(patterns.find(',', at), patterns.size());
    const std::string pattern(patterns.substr(at, end - at));
    at = end + 1;
    bool any = false;
    for (std::size_t i = 0; i < table.size(); ++i) {
      if (!names_event(pattern, table[i])) continue;
      filter.events.set(i);
      any = true;
    }
    if (!any) filter.wrong.push_back(refusal(pattern));
  }
  return filter;
}

}  // namespace forksim
