#include <fmt/format.h>

#include <algorithm>

#include "sim/output/perf_table.hpp"
#include "sim/output/report.hpp"
#include "sim/output/time_text.hpp"

namespace forksim {

using km::u64;

namespace {

constexpr std::size_t kPerfRows = 8;
constexpr std::size_t kMatrixCpus = 16;  ///< wider machines: the matrix is in report.json only
constexpr std::size_t kViolations = 3;

double share(u64 part, u64 whole) { return whole ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0; }

void head(const Report& r, std::string& out) {
  const TotalsRow& t = r.totals;
  out += fmt::format("{} on {}, kernel {}, seed {}: {} s simulated\n", r.workload, r.platform, r.kernel, r.seed, exact_s(r.simulated_ns));
  if (!r.settings.empty()) out += fmt::format("set: {}\n", fmt::join(r.settings, ", "));
  out += fmt::format("{} forks, {} threads, {} kthreads, {} execs; {} exits: {} reaped, {} autoreaped, {} reparented; {} fork errors\n",
                     t.forks, t.threads, t.kthreads, t.execs, t.exits, t.reaped, t.autoreaped, t.reparented, t.fork_errors);
  const u64 of_tasks = t.voluntary_switches + t.involuntary_switches;
  out += fmt::format("{} switches ({} voluntary, {} involuntary, {} from idle), {} wake-ups, {} migrations, {} ticks, {} IPIs{}\n",
                     t.context_switches, t.voluntary_switches, t.involuntary_switches,
                     t.context_switches > of_tasks ? t.context_switches - of_tasks : 0, t.wakeups, t.migrations, t.ticks, t.ipis,
                     t.hrticks ? fmt::format(", {} hrticks", t.hrticks) : "");
  out += fmt::format("{} kernel stacks ({} from the cache), {} freed; {} task_structs, {} freed\n\n", t.stacks_allocated,
                     t.stack_cache_hits, t.stacks_freed, t.task_structs_allocated, t.task_structs_freed);
}

void latency(const Report& r, std::string& out) {
  out += fmt::format("{:<20}{:>9}{:>15}{:>15}{:>15}{:>15}{:>15}   (us)\n", "latency", "count", "p50", "p90", "p99", "p99.9", "max");
  for (const LatencyRow& l : r.latency) {
    const bool wanted = std::find(r.measure.begin(), r.measure.end(), l.metric) != r.measure.end();
    out += fmt::format("{:<20}{:>9}", l.metric + (wanted ? " *" : ""), l.count);
    const bool unknown = std::find(r.not_modelled.begin(), r.not_modelled.end(), l.metric) != r.not_modelled.end();
    if (l.count == 0)
      out += unknown ? "  not modelled in this version" : fmt::format("{:>15}{:>15}{:>15}{:>15}{:>15}", "-", "-", "-", "-", "-");
    else
      for (u64 v : {l.p50, l.p90, l.p99, l.p999, l.max}) out += fmt::format("{:>15}", exact_us(v));
    out += '\n';
  }
}

void cpus(const Report& r, std::string& out) {
  out += fmt::format("\n{:<5}{:>14}{:>14}{:>14}{:>14}{:>8}{:>10}{:>9}{:>14}\n", "CPU", "user ms", "system ms", "irq ms", "idle ms",
                     "busy %", "switches", "forks", "energy J");
  for (const CpuRow& c : r.cpus) {
    const u64 busy = c.user_ns + c.system_ns + c.irq_ns;
    out +=
        fmt::format("{:<5}{:>14.3f}{:>14.3f}{:>14.3f}{:>14.3f}{:>8.2f}{:>10}{:>9}{:>14.6f}\n", c.cpu, in_ms(c.user_ns), in_ms(c.system_ns),
                    in_ms(c.irq_ns), in_ms(c.idle_ns), share(busy, busy + c.idle_ns), c.context_switches, c.forks_placed, c.energy_j);
  }
  out += fmt::format("{:<88}{:>14.6f}\n", "together", r.energy_j);
}

/// What the scheduler knows of interrupts; nothing without CONFIG_IRQ_TIME_ACCOUNTING.
void irq_time(const Report& r, std::string& out) {
  if (r.irqtime.empty()) return;
  out += fmt::format("\n{:<14}{:>14}{:>14}{:>18}{:>18}\n", "irq time", "hardirq ms", "softirq ms", "utilisation/1024", "capacity/1024");
  for (const IrqTimeRow& i : r.irqtime)
    out +=
        fmt::format("CPU {:<10}{:>14.3f}{:>14.3f}{:>18}{:>18}\n", i.cpu, in_ms(i.hardirq_ns), in_ms(i.softirq_ns), i.util_irq, i.capacity);
}

/// Groups with their quotas, and CPUs that held real-time tasks back; nothing when there are none.
void throttling(const Report& r, std::string& out) {
  if (!r.groups.empty())
    out += fmt::format("\n{:<20}{:>9}{:>22}{:>12}{:>11}{:>17}{:>14}\n", "group", "shares", "quota / period us", "usage ms", "periods",
                       "throttled", "throttled ms");
  for (const GroupRow& g : r.groups) {
    const std::string quota = g.cfs_quota_us < 0 ? "-" : fmt::format("{} / {}", g.cfs_quota_us, g.cfs_period_us);
    out += fmt::format("{:<20}{:>9}{:>22}{:>12.3f}{:>11}{:>8} {:>6.1f} %{:>14.3f}\n", g.parent.empty() ? g.name : g.parent + '/' + g.name,
                       g.shares, quota, in_ms(g.usage_ns), g.nr_periods, g.nr_throttled, share(g.nr_throttled, g.nr_periods),
                       in_ms(g.throttled_time_ns));
  }
  for (const CpuRow& c : r.cpus)
    if (c.rt_throttled)
      out += fmt::format("real-time tasks of CPU {} throttled: {}, held back {:.3f} ms\n", c.cpu, c.rt_throttled, in_ms(c.rt_throttled_ns));
}

/// The columns of CpuRow that are about kernel stacks, when any were made or freed.
void stacks(const Report& r, std::string& out) {
  u64 any = 0;
  for (const CpuRow& c : r.cpus) any += c.stack_hits + c.stack_misses + c.stack_cached + c.stack_full;
  if (any == 0) return;
  out += fmt::format("\n{:<14}{:>14}{:>14}{:>20}{:>20}\n", "kernel stacks", "cache hits", "misses", "cached at death", "full: freed");
  for (const CpuRow& c : r.cpus)
    out += fmt::format("CPU {:<10}{:>14}{:>14}{:>20}{:>20}\n", c.cpu, c.stack_hits, c.stack_misses, c.stack_cached, c.stack_full);
}

void placement_line(std::string_view name, const PlacementReport& p, std::string& out) {
  const PlacementRow& w = p.row;
  out += fmt::format("{:<20}{:>9}", name, w.total);
  for (u64 n : {w.same_cpu, w.idle_cpu, w.busy_cpu_while_idle_existed, w.busy_none_idle})
    out += fmt::format("{:>14} {:>5.1f} %", n, share(n, w.total));
  out += '\n';
}

void placement(const Report& r, std::string& out) {
  out += fmt::format("\n{:<20}{:>9}{:>22}{:>22}{:>22}{:>22}\n", "placement", "decided", "same CPU", "idle CPU", "busy, one was idle",
                     "busy, none idle");
  placement_line("fork", r.fork, out);
  placement_line("exec", r.exec, out);
  placement_line("wake", r.wake, out);
  if (r.fork.row.total == 0 || r.fork.matrix.size() > kMatrixCpus) return;
  out += "children by parent's CPU:";
  for (std::size_t i = 0; i < r.fork.matrix.size(); ++i) {
    out += fmt::format("{} {} ->", i ? ";" : "", i);
    for (u64 n : r.fork.matrix[i]) out += fmt::format(" {}", n);
  }
  out += fmt::format("   (to CPU 0..{})\n", r.fork.matrix.size() - 1);
}

/// Locks that somebody had to wait for; none, no table.
void locks(const Report& r, std::string& out) {
  if (std::none_of(r.locks.begin(), r.locks.end(), [](const LockRow& l) { return l.contended > 0; })) return;
  out += fmt::format("\n{:<20}{:>12}{:>12}{:>8}{:>15}{:>12}{:>15}{:>12}\n", "lock", "acquired", "contended", "%", "wait us", "max",
                     "hold us", "max");
  for (const LockRow& l : r.locks) {
    if (l.contended == 0) continue;
    out += fmt::format("{:<20}{:>12}{:>12}{:>8.2f}{:>15}{:>12}{:>15}{:>12}\n", l.lock, l.acquisitions, l.contended,
                       share(l.contended, l.acquisitions), exact_us(l.wait_total_ns), exact_us(l.wait_max_ns), exact_us(l.hold_total_ns),
                       exact_us(l.hold_max_ns));
  }
}

void regret(const Report& r, std::string& out) {
  if (!r.regret) return;
  const RegretSumRow& s = r.regret->sum;
  out += fmt::format("\nregret of {} forks, {} branches{}, horizon {} us: no CPU was better than the chosen one {} times ({:.1f} %)\n",
                     s.forks, s.branches, s.failed ? fmt::format(" ({} failed)", s.failed) : "", exact_us(s.horizon_ns), s.best,
                     share(s.best, s.forks));
  if (s.forks == 0) return;
  out += fmt::format("{:<20}{:>9}{:>15}{:>15}{:>15}{:>15}{:>15}   (us)\n", "", "mean", "p50", "p90", "p99", "max", "sum");
  out += fmt::format("{:<20}{:>9.1f}{:>15}{:>15}{:>15}{:>15}{:>15}\n", "wait over the best", s.mean_ns / 1e3, exact_us(s.p50_ns),
                     exact_us(s.p90_ns), exact_us(s.p99_ns), exact_us(s.max_ns), exact_us(s.total_ns));
  if (!r.regret->worst.empty())
    out += fmt::format("{:<8}{:>14}{:>8}{:>6}{:>15}{:>8}{:>15}{:>15}   {}\n", "worst", "time s", "child", "CPU", "waited us", "best",
                       "would wait us", "regret us", "decided by");
  for (const RegretWorstRow& w : r.regret->worst)
    out += fmt::format("{:<8}{:>14}{:>8}{:>6}{:>15}{:>8}{:>15}{:>15}   {}\n", w.fork, exact_s(w.time_ns), w.child, w.cpu,
                       exact_us(w.wait_ns), w.best_cpu, exact_us(w.best_wait_ns), exact_us(w.regret_ns), w.reason);
}

void foot(const Report& r, std::string& out) {
  out += fmt::format("\ninvariants: {} checked, {} violated", r.invariants.checked, r.invariants.violated);
  if (!r.diagnostics.empty()) out += "; diagnostics:";
  for (const auto& [name, count] : r.diagnostics) out += fmt::format(" {} {}", name, count);
  out += '\n';
  for (const std::string& w : r.warnings) out += "warning: " + w + '\n';
  for (std::size_t i = 0; i < r.violations.size() && i < kViolations; ++i) out += "violated: " + r.violations[i] + '\n';
}

}  // namespace

std::string render_report_text(const Report& r) {
  std::string out;
  head(r, out);
  out += render_perf_table(r.task_latency, kPerfRows);
  out += '\n';
  latency(r, out);
  cpus(r, out);
  irq_time(r, out);
  throttling(r, out);
  stacks(r, out);
  placement(r, out);
  locks(r, out);
  regret(r, out);
  foot(r, out);
  return out;
}

}  // namespace forksim
