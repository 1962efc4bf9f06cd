#include "sim/app/trace_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "sim/config/overrides.hpp"
#include "sim/config/suggest.hpp"
#include "sim/output/event_filter.hpp"
#include "sim/output/function_filter.hpp"

namespace forksim {

namespace {

constexpr std::string_view kPrefix = "trace.", kEvents = "trace.events", kFunctions = "trace.functions", kGraph = "trace.graph.";

/// What needs kernel.sched_schedstats=1.
km::TpSet schedstat_events() {
  km::TpSet set;
  for (const km::Tp id : {km::Tp::sched_stat_wait, km::Tp::sched_stat_sleep, km::Tp::sched_stat_blocked, km::Tp::sched_stat_iowait})
    set.set(static_cast<std::size_t>(id));
  return set;
}

struct Reader {
  const std::vector<std::string>& formats;
  TraceOptions& out;
  Diagnostics& diags;

  bool written(std::string_view format) const { return std::ranges::find(formats, format) != formats.end(); }
  void refuse(const Override& o, std::string what, std::string allowed, std::string hint = {}) const {
    diags.add({{}, 0, 0, o.option, std::move(what), std::move(allowed), std::move(hint), {}});
  }
  void need(const Override& o, bool there, std::string_view format) const {
    if (!there) refuse(o, "no trace is written that it could limit", fmt::format("give --trace {} too", format));
  }
};

void read_events(const Override& o, Reader& r) {
  r.need(o, r.written("ftrace") || r.written("function_graph"), "ftrace");
  const EventFilter filter = parse_event_filter(o.value);
  r.out.events = r.out.graph.events = filter.events;
  r.out.schedstats_named = o.value.find("sched_stat_") != std::string::npos && (filter.events & schedstat_events()).any();
  for (const EventFilter::Wrong& w : filter.wrong) r.refuse(o, "no tracepoint is called \"" + w.pattern + '"', w.allowed, w.hint);
}

void read_functions(const Override& o, Reader& r) {
  r.need(o, r.written("function_graph"), "function_graph");
  const FunctionFilter filter = parse_function_filter(o.value);
  r.out.graph.roots = filter.functions;
  for (const FunctionFilter::Wrong& w : filter.wrong)
    r.refuse(o, "no function is called \"" + w.pattern + '"', "allowed is a name of forksim list functions, with * and ?", w.hint);
}

void read_flag(const Override& o, bool& value, Reader& r) {
  if (o.value == "true" || o.value == "false")
    value = o.value == "true";
  else
    r.refuse(o, fmt::format("\"{}\" is no truth value", o.value), "allowed are true and false");
}

void read_number(const Override& o, km::u32& value, Reader& r) {
  const char* end = o.value.data() + o.value.size();
  const auto [at, ec] = std::from_chars(o.value.data(), end, value);
  if (o.value.empty() || ec != std::errc() || at != end)
    r.refuse(o, fmt::format("\"{}\" is no number", o.value), "allowed is 0..4294967295");
}

void read_graph(const Override& o, Reader& r) {
  r.need(o, r.written("function_graph"), "function_graph");
  const std::string_view name = std::string_view(o.key).substr(kGraph.size());
  GraphLayout& g = r.out.graph.layout;
#define GRAPH_FLAG(flag, value, ftrace, doc) \
  if (name == #flag) return read_flag(o, g.flag, r);
#define GRAPH_NUMBER(number, value, ftrace, doc) \
  if (name == #number) return read_number(o, g.number, r);
#include "sim/output/graph_options.def"
}

bool known(std::string_view key) {
  return std::ranges::any_of(trace_option_table(), [&](const TraceOptionInfo& t) { return t.key == key; });
}

void refuse_key(const Override& o, const Reader& r) {
  const std::vector<TraceOptionInfo> table = trace_option_table();
  std::vector<std::string_view> keys;
  for (const TraceOptionInfo& t : table) keys.push_back(t.key);
  r.refuse(o, "there is no such value of a trace", "allowed are " + one_of(keys) + " (forksim list trace_options)",
           did_you_mean(o.key, keys));
}

}  // namespace

std::vector<TraceOptionInfo> trace_option_table() {
  std::vector<TraceOptionInfo> table{
      {std::string(kEvents), "all",
       "tracepoints of trace.ftrace; comments between the functions of trace.function_graph, which has none unless they are named"},
      {std::string(kFunctions), "all",
       "functions that trace.function_graph starts with, each with all below it; names with * and ?, separated by commas"}};
  const auto add = [&](std::string_view name, std::string value, std::string_view ftrace, std::string_view doc) {
    table.push_back(
        {fmt::format("{}{}", kGraph, name), std::move(value), ftrace.empty() ? std::string(doc) : fmt::format("{} ({})", doc, ftrace)});
  };
#define GRAPH_FLAG(name, value, ftrace, doc) add(#name, value ? "true" : "false", ftrace, doc);
#define GRAPH_NUMBER(name, value, ftrace, doc) add(#name, #value, ftrace, doc);
#include "sim/output/graph_options.def"
  return table;
}

TraceOptions take_trace_options(std::vector<std::string>& sets, const std::vector<std::string>& formats, Diagnostics& diags) {
  TraceOptions out;
  Reader r{formats, out, diags};
  const auto ours = std::stable_partition(sets.begin(), sets.end(), [](const std::string& s) { return !s.starts_with(kPrefix); });
  for (auto text = ours; text != sets.end(); ++text) {
    const Override o = parse_set(*text);
    if (o.key == kEvents)
      read_events(o, r);
    else if (o.key == kFunctions)
      read_functions(o, r);
    else if (known(o.key))
      read_graph(o, r);
    else
      refuse_key(o, r);
  }
  sets.erase(ours, sets.end());
  return out;
}

}  // namespace forksim
