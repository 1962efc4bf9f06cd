#include "kernel_model/trace/trace.hpp"

#include "kernel_model/sched/balance.hpp"
#include "kernel_model/sched/placement_rule.hpp"

namespace forksim::km {

namespace {
template <class... Fs>
constexpr TracepointInfo make(std::string_view system, std::string_view name, std::string_view format, std::string_view doc, Fs... fs) {
  static_assert(sizeof...(fs) <= 8);
  return TracepointInfo{system, name, format, doc, {fs...}, sizeof...(fs)};
}
#define F(kind, name) \
  FieldInfo { FieldKind::kind, #name }
constexpr std::array<TracepointInfo, kTracepoints> kTable{{
#define TRACEPOINT(system, name, format, doc, ...) make(#system, #name, format, doc, __VA_ARGS__),
#include "kernel_model/trace/tracepoints.def"
#undef TRACEPOINT
}};
#undef F
}  // namespace

const std::array<TracepointInfo, kTracepoints>& tracepoint_table() { return kTable; }

std::span<const std::string_view> event_words(std::string_view field) {
  if (field == "balance_kind") return kBalanceKindNames;
  if (field == "balance_reason") return kBalanceReasonNames;
  if (field == "cpu_idle") return kCpuIdleNames;
  if (field == "domain") return kDomainNames;
  if (field == "placement_step") return kPlacementStepNames;
  return {};
}

NameId NameTable::intern(std::string_view s) {
  auto [it, fresh] = index_.try_emplace(std::string(s), static_cast<u32>(names_.size()));
  if (fresh) names_.emplace_back(s);
  return NameId(it->second);
}

void Trace::subscribe(TraceListener& l, const TpSet& events) {
  subs_.push_back({&l, events});
  enabled_ |= events;
}

void Trace::only(TraceListener& l, const TpSet& events) {
  subs_.assign(1, {&l, events});
  enabled_ = events;
}

void Trace::dispatch(const TraceEvent& e) {
  for (Sub& s : subs_)
    if (s.events[static_cast<std::size_t>(e.id)]) s.listener->on_event(e);
}

}  // namespace forksim::km
