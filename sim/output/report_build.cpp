#include <algorithm>

#include "sim/output/event_text.hpp"
#include "sim/output/perf_table.hpp"
#include "sim/output/report.hpp"
#include "sim/output/row_sources.hpp"

namespace forksim {

using km::u32;
using km::u64;

namespace {

constexpr std::string_view kScheduleCut = "schedule_rows_cut";

TotalsRow totals_row(const km::Totals& t) {
  TotalsRow r;
#define TOTAL(name, doc) r.name = t.name;
#include "sim/output/totals.def"
#undef TOTAL
  return r;
}

CpuRow cpu_row(u32 cpu, const FinalNumbers::Cpu& c) {
  CpuRow r;
  r.cpu = cpu;
  r.user_ns = c.times.user.v;
  r.system_ns = c.times.system.v;
  r.irq_ns = c.times.irq.v;
  r.idle_ns = c.times.idle.v;
  r.context_switches = c.times.context_switches;
  r.forks_placed = c.times.forks_placed;
  r.stack_hits = c.times.stack_hits;
  r.stack_misses = c.times.stack_misses;
  r.stack_cached = c.times.stack_cached;
  r.stack_full = c.times.stack_full;
  r.rt_throttled = c.times.rt_throttled;
  r.rt_throttled_ns = c.times.rt_throttled_time.v;
  r.energy_j = c.energy_j;
  return r;
}

void add_opp_rows(u32 cpu, const FinalNumbers::Cpu& c, std::vector<OppRow>& rows) {
  for (const FinalNumbers::Cpu::Opp& o : c.opps) rows.push_back({cpu, o.hz / 1000, o.busy.v, o.wfi.v, o.energy_j});
  if (c.off != km::Ns(0)) rows.push_back({cpu, 0, 0, c.off.v, c.off_energy_j});
}

IrqTimeRow irq_time_row(u32 cpu, const km::CpuTimes& t) { return {cpu, t.hardirq.v, t.softirq.v, t.util_irq, t.capacity}; }

GroupRow group_row(const km::GroupView& g, const std::vector<km::GroupView>& all) {
  GroupRow r;
  r.name = g.name;
  if (g.parent) r.parent = all[g.parent - 1].name;
  r.shares = g.shares;
  r.cfs_quota_us = g.cfs_quota_us == km::GroupSpec::kNoQuota ? -1 : static_cast<km::s64>(g.cfs_quota_us);
  r.cfs_period_us = g.cfs_period_us;
  r.nr_periods = g.nr_periods;
  r.nr_throttled = g.nr_throttled;
  r.throttled_time_ns = g.throttled_time.v;
  r.usage_ns = g.usage.v;
  return r;
}

PlacementReport placement_report(std::string_view kind, const PlacementCounts& c, u32 cpus) {
  PlacementReport p;
  p.row.kind = kind;
  p.row.total = c.total;
  p.row.same_cpu = c.same_cpu;
  p.row.idle_cpu = c.idle_cpu;
  p.row.busy_cpu_while_idle_existed = c.busy_while_idle;
  p.row.busy_none_idle = c.busy_none_idle;
  p.row.same_cpu_while_idle_existed = c.same_cpu_while_idle;
  p.row.prev_cpu = c.prev_cpu;
  for (u32 i = 0; i < cpus; ++i)
    p.matrix.emplace_back(c.matrix.begin() + static_cast<std::ptrdiff_t>(i) * cpus,
                          c.matrix.begin() + static_cast<std::ptrdiff_t>(i + 1) * cpus);
  return p;
}

std::string violation_text(const Violation& v, const EventText& text) {
  std::string s = std::to_string(v.at.v) + " ns, CPU " + std::to_string(v.cpu.v) + ": " + v.what;
  for (const km::TraceEvent& e : v.before) {
    s += '\n';
    text.append_line(e, s);
    s.pop_back();
  }
  return s;
}

}  // namespace

Report build_report(const RunSummary& run, const RunMetrics& metrics, const km::NameTable& names) {
  Report r;
  r.workload = run.workload;
  r.settings = run.settings;
  r.platform = run.platform;
  r.kernel = run.kernel;
  r.seed = run.seed;
  r.simulated_ns = run.final.now.v;
  r.totals = totals_row(run.final.totals);
  for (std::size_t m = 0; m < kMetrics; ++m)
    r.latency.push_back(latency_row(static_cast<Metric>(m), metrics.latency.histogram(static_cast<Metric>(m))));
  for (u32 c = 0; c < run.final.cpus.size(); ++c) r.cpus.push_back(cpu_row(c, run.final.cpus[c]));
  for (u32 c = 0; c < run.final.cpus.size(); ++c) add_opp_rows(c, run.final.cpus[c], r.opps);
  for (const km::GroupView& g : run.groups) r.groups.push_back(group_row(g, run.groups));
  for (u32 c = 0; run.irq_time_accounting && c < run.final.cpus.size(); ++c) r.irqtime.push_back(irq_time_row(c, run.final.cpus[c].times));
  r.warnings = run.warnings;
  const PlacementListener& p = metrics.placement;
  r.fork = placement_report("fork", p.counts(PlacementKind::fork), p.cpus());
  r.wake = placement_report("wake", p.counts(PlacementKind::wake), p.cpus());
  r.exec = placement_report("exec", p.counts(PlacementKind::exec), p.cpus());
  for (std::size_t i = 0; i < km::kLocks; ++i) r.locks.push_back(lock_row(static_cast<km::LockId>(i), run.final.locks[i]));
  r.energy_j = run.energy_j;
  r.invariants.checked = metrics.invariants.checked();
  r.invariants.violated = metrics.invariants.violated();
  r.diagnostics = run.diagnostics;
  const bool told = std::any_of(r.diagnostics.begin(), r.diagnostics.end(), [](const auto& d) { return d.first == kScheduleCut; });
  if (metrics.schedule.cut() > 0 && !told) r.diagnostics.emplace_back(kScheduleCut, metrics.schedule.cut());
  r.balance = balance_rows(metrics.balance);
  r.task_latency = perf_rows(metrics.tasks.records(), names);
  const EventText text(names);
  for (const Violation& v : metrics.invariants.violations()) r.violations.push_back(violation_text(v, text));
  r.measure = run.measure;
  for (Metric m : kMetricsNotModelled) r.not_modelled.emplace_back(kMetricTable[static_cast<std::size_t>(m)].name);
  return r;
}

}  // namespace forksim
