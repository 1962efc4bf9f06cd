#include "sim/app/trace_options.hpp"

#include <algorithm>
#include <string_view>

#include "sim/config/overrides.hpp"
#include "sim/config/suggest.hpp"
#include "sim/output/event_filter.hpp"

namespace forksim {

namespace {

constexpr std::string_view kPrefix = "trace.", kEvents = "trace.events";

void refuse(Diagnostics& diags, const Override& o, std::string what, std::string allowed, std::string hint = {}) {
  diags.add({{}, 0, 0, o.option, std::move(what), std::move(allowed), std::move(hint), {}});
}

void read_events(const Override& o, TraceOptions& out, Diagnostics& diags) {
  const EventFilter filter = parse_event_filter(o.value);
  out.events = filter.events;
  for (const EventFilter::Wrong& w : filter.wrong) refuse(diags, o, "no tracepoint is called \"" + w.pattern + '"', w.allowed, w.hint);
}

}  // namespace

TraceOptions take_trace_options(std::vector<std::string>& sets, const std::vector<std::string>& formats, Diagnostics& diags) {
  TraceOptions out;
  const auto ours = std::stable_partition(sets.begin(), sets.end(), [](const std::string& s) { return !s.starts_with(kPrefix); });
  for (auto text = ours; text != sets.end(); ++text) {
    const Override o = parse_set(*text);
    if (o.key != kEvents) {
      refuse(diags, o, "there is no such value of a trace", "allowed is trace.events=PATTERN,PATTERN", did_you_mean(o.key, {kEvents}));
      continue;
    }
    if (std::ranges::find(formats, "ftrace") == formats.end())
      refuse(diags, o, "no trace is written that it could limit", "give --trace ftrace too");
    read_events(o, out, diags);
  }
  sets.erase(ours, sets.end());
  return out;
}

}  // namespace forksim
