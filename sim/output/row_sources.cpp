#include "sim/output/row_sources.hpp"

#include <fmt/format.h>

#include "sim/output/wchan.hpp"

namespace forksim {

using km::s64;
using km::u64;

LatencyRow latency_row(Metric m, const Histogram& h) {
  LatencyRow r;
  r.metric = kMetricTable[static_cast<std::size_t>(m)].name;
  r.unit = "ns";
  r.count = h.count();
  r.min = h.min();
  r.mean = h.mean();
  r.p50 = h.quantile(50'000);
  r.p90 = h.quantile(90'000);
  r.p95 = h.quantile(95'000);
  r.p99 = h.quantile(99'000);
  r.p999 = h.quantile(99'900);
  r.max = h.max();
  return r;
}

TaskRow task_row(const TaskRecord& t, const km::NameTable& names) {
  TaskRow r;
  r.pid = t.pid.v;
  r.tgid = t.tgid.v;
  r.ppid = t.ppid.v;
  r.comm = names[t.comm];
  r.start_ns = t.start.v;
  r.end_ns = t.end.v;
  r.utime_ns = t.utime.v;
  r.stime_ns = t.stime.v;
  r.run_delay_ns = t.run_delay.v;
  r.nvcsw = t.nvcsw;
  r.nivcsw = t.nivcsw;
  r.migrations = t.migrations;
  r.minflt = t.minflt;
  r.exit_code = t.exit_code;
  r.runtime_ns = t.runtime.v;
  r.delays = t.delays;
  r.total_delay_ns = t.total_delay.v;
  r.max_delay_ns = t.max_delay.v;
  r.max_delay_start_ns = t.max_delay_start.v;
  r.max_delay_end_ns = t.max_delay_end.v;
  return r;
}

LockRow lock_row(km::LockId id, const km::LockStats& s) {
  LockRow r;
  r.lock = km::info(id).name;
  r.acquisitions = s.acquisitions;
  r.contended = s.contended;
  r.wait_total_ns = s.wait_total.v;
  r.wait_max_ns = s.wait_max.v;
  r.hold_total_ns = s.hold_total.v;
  r.hold_max_ns = s.hold_max.v;
  return r;
}

std::string_view placement_name(PlacementClass c) {
  switch (c) {
    case PlacementClass::same_cpu:
      return "same_cpu";
    case PlacementClass::idle_cpu:
      return "idle_cpu";
    case PlacementClass::busy_while_idle:
      return "busy_cpu_while_idle_existed";
    case PlacementClass::busy_none_idle:
      break;
  }
  return "busy_none_idle";
}

namespace {

std::string_view step_name(km::PlacementStep s) { return km::kPlacementStepNames[static_cast<std::size_t>(s)]; }

std::string candidates_text(std::span<const CandidateRecord> list) {
  std::string out;
  for (const CandidateRecord& c : list)
    out += fmt::format("{}{}:{}/{}/{}/{}/{}/{}", out.empty() ? "" : " ", c.cpu.v, c.runnable, c.load, c.util, c.capacity, c.nr_running,
                       c.idle ? 1 : 0);
  return out;
}

/// One number in hex, however many CPUs there are.
std::string mask_text(const km::CpuMask& m) {
  std::string out = "0x";
  for (km::u32 w = km::CpuMask::kWords; w-- > 0;) {
    if (out.size() > 2)
      out += fmt::format("{:016x}", m.word(w));
    else if (m.word(w) || w == 0)
      out += fmt::format("{:x}", m.word(w));
  }
  return out;
}

std::string trail_text(std::span<const StepRecord> steps, std::span<const GroupRecord> groups, const PlacementListener& placement,
                       const km::NameTable& names) {
  std::string out;
  for (const StepRecord& s : steps) {
    if (!out.empty()) out += ' ';
    if (s.groups) {
      out += fmt::format("{}/{}[", names[s.level], s.pct);
      for (const GroupRecord& g : groups.first(s.groups))
        out += fmt::format("{}{}:{}/{}:{}", out.back() == '[' ? "" : ";", mask_text(placement.mask(g.span)), g.runnable, g.load,
                           step_name(g.step));
      out += ']';
    } else if (!names[s.level].empty()) {
      out += names[s.level] + ':';
    }
    groups = groups.subspan(s.groups);
    out += fmt::format("{}>{}", step_name(s.step), s.cpu.v);
  }
  return out;
}

/// What decided in each domain; without domains the first step, which says why there was nothing to weigh.
std::string reason_text(std::span<const StepRecord> steps) {
  std::string out;
  if (!steps.empty() && (steps.back().step == km::PlacementStep::by_rule || steps.back().step == km::PlacementStep::rule_illegal))
    return std::string(step_name(steps.back().step));
  for (const StepRecord& s : steps)
    if (s.groups) out += std::string(out.empty() ? "" : "+") + std::string(step_name(s.step));
  return out.empty() && !steps.empty() ? std::string(step_name(steps.front().step)) : out;
}

std::string rule_text(std::span<const StepRecord> steps, const km::NameTable& names) {
  for (const StepRecord& s : steps)
    if (s.step == km::PlacementStep::by_rule || s.step == km::PlacementStep::rule_illegal) return names[s.level];
  return std::string(km::kPlacementTable[0].name);
}

}  // namespace

ForkRow fork_row(u64 number, const ForkRecord& f, const PlacementListener& placement, const km::NameTable& names) {
  ForkRow r;
  r.fork = number;
  r.time_ns = f.at.v;
  r.parent = f.parent.v;
  r.child = f.child.v;
  r.this_cpu = f.this_cpu.v;
  r.cpu = f.cpu.v;
  r.idle_mask = mask_text(placement.mask(f.idle_mask));
  r.placement = placement_name(f.cls);
  r.runnable_this = f.runnable_this;
  r.runnable_chosen = f.runnable_chosen;
  const bool ran = f.ran != km::kNever;
  r.wait_ns = ran && f.woken != km::kNever ? static_cast<s64>((f.ran - f.woken).v) : -1;
  r.ran_on = ran ? static_cast<s64>(f.ran_on.v) : -1;
  const auto steps = placement.steps(f);
  r.rule = rule_text(steps, names);
  r.reason = reason_text(steps);
  r.candidates = candidates_text(placement.candidates(f));
  r.trail = trail_text(steps, placement.groups(f), placement, names);
  return r;
}

ScheduleRow schedule_row(const ScheduleRecord& s, const km::NameTable& names) {
  ScheduleRow r;
  r.kind = s.kind == ScheduleRecord::Kind::run ? "run" : s.kind == ScheduleRecord::Kind::fork ? "fork" : "exit";
  r.cpu = s.cpu.v;
  r.start_ns = s.start.v;
  r.end_ns = s.end.v;
  r.pid = s.pid.v;
  r.comm = names[s.comm];
  return r;
}

namespace {
constexpr std::string_view kLifeNames[] = {
#define LIFE(name, ...) #name,
#include "sim/metrics/life_events.def"
#undef LIFE
};
constexpr std::string_view kStopped = "do_signal_stop", kTraced = "ptrace_stop", kYield = "sys_sched_yield";
constexpr km::s32 kYieldNr = 124;
}  // namespace

LifeRow life_row(const LifeRecord& l, const km::NameTable& names) {
  LifeRow r;
  r.time_ns = l.at.v;
  r.cpu = l.cpu.v;
  r.event = kLifeNames[static_cast<std::size_t>(l.kind)];
  r.pid = l.pid.v;
  r.other = l.other;
  r.value = l.value;
  r.runtime_ns = l.runtime.v;
  if (l.state) r.state = l.state;
  if (l.preempted) r.state += '+';
  r.text = names[l.text];
  if (l.kind != LifeKind::run) return r;
  if (l.state == 'R') {
    if (l.syscall == kYieldNr && !l.preempted) r.text = kYield;
    return r;
  }
  r.text = l.state == 'T' ? kStopped : l.state == 't' ? kTraced : wchan_of_call(l.syscall);
  return r;
}

std::vector<BalanceRow> balance_rows(const BalanceListener& l) {
  std::vector<BalanceRow> rows;
  l.for_each([&](const BalanceKey& key, const BalanceCounts& c) {
    BalanceRow& r = rows.emplace_back();
    r.cpu = key.cpu;
    r.domain = km::kDomainNames[key.domain];
    r.kind = km::kBalanceKindNames[key.kind];
    r.attempts = c.attempts;
    r.while_idle = c.while_idle;
#define BALANCE_REASON(name, doc) r.name = c.by_reason[static_cast<std::size_t>(km::BalanceReason::name)];
#include "kernel_model/sched/balance.def"
#undef BALANCE_REASON
    r.tasks = c.tasks;
    r.imbalance = c.imbalance;
  });
  return rows;
}

LifeRow life_end_row(const LifeListener& l) {
  LifeRow r;
  r.time_ns = l.complete_until().v;
  r.event = kLifeNames[static_cast<std::size_t>(LifeKind::end)];
  r.value = static_cast<s64>(l.cut());
  return r;
}

}  // namespace forksim
