#include "sim/output/regret_rows.hpp"

#include <algorithm>

#include "sim/output/row_sources.hpp"

namespace forksim {

using km::s64;
using km::u64;

namespace {

constexpr std::size_t kWorst = 10;

u64 waited(const ChildWait& w) { return w.wait == km::kNever.v ? w.delay : w.wait; }

/// Number in forks.csv of the decision about this child at this date; both lists are in order of time, so the search goes on at `from`.
u64 number_of(const RegretDecision& d, const std::vector<ForkRecord>& forks, u64 from) {
  while (from < forks.size() && !(forks[from].at == d.at && forks[from].child == d.child)) ++from;
  return from;
}

const ChildWait* best_of(const RegretDecision& d) {
  const ChildWait* best = nullptr;
  for (const ChildWait& w : d.waits) {
    const bool own = w.forced == d.chosen.v;
    if (!w.failed && (!best || waited(w) < waited(*best) || (waited(w) == waited(*best) && own))) best = &w;
  }
  return best;
}

RegretRow row_of(const RegretDecision& d, u64 fork, const ChildWait& w, const ChildWait& best) {
  RegretRow r;
  r.fork = fork;
  r.time_ns = d.at.v;
  r.child = d.child.v;
  r.cpu = w.forced;
  r.chosen = w.forced == d.chosen.v;
  r.wait_ns = waited(w);
  r.delay_ns = w.delay;
  r.ran_on = w.wait == km::kNever.v ? -1 : static_cast<s64>(w.ran_on);
  r.regret_ns = r.wait_ns - waited(best);
  r.best = r.regret_ns == 0;
  return r;
}

u64 quantile(const std::vector<u64>& sorted, u64 percent) { return sorted[std::max<u64>((sorted.size() * percent + 99) / 100, 1) - 1]; }

void summarise(std::vector<u64> regrets, RegretSumRow& s) {
  s.forks = regrets.size();
  if (regrets.empty()) return;
  std::ranges::sort(regrets);
  for (u64 r : regrets) s.total_ns += r;
  s.best = static_cast<u64>(std::ranges::count(regrets, 0u));
  s.mean_ns = static_cast<double>(s.total_ns) / static_cast<double>(s.forks);
  s.p50_ns = quantile(regrets, 50);
  s.p90_ns = quantile(regrets, 90);
  s.p99_ns = quantile(regrets, 99);
  s.max_ns = regrets.back();
}

}  // namespace

RegretReport regret_report(const std::vector<RegretDecision>& decisions, km::Ns horizon, const PlacementListener& placement,
                           const km::NameTable& names, std::vector<RegretRow>& rows) {
  RegretReport out;
  out.sum.horizon_ns = horizon.v;
  std::vector<u64> regrets;
  u64 fork = 0;
  for (const RegretDecision& d : decisions) {
    fork = number_of(d, placement.forks(), fork);
    const ChildWait* best = best_of(d);
    const auto own = std::ranges::find(d.waits, d.chosen.v, &ChildWait::forced);
    if (!d.waits.empty()) out.sum.branches += d.waits.size() - 1;
    for (const ChildWait& w : d.waits) out.sum.failed += w.failed;
    if (!best || own == d.waits.end()) continue;
    for (const ChildWait& w : d.waits)
      if (!w.failed) rows.push_back(row_of(d, fork, w, *best));
    const u64 regret = waited(*own) - waited(*best);
    regrets.push_back(regret);
    if (regret == 0) continue;
    const ForkRow row = fork < placement.forks().size() ? fork_row(fork, placement.forks()[fork], placement, names) : ForkRow{};
    out.worst.push_back({fork, d.at.v, d.child.v, d.chosen.v, waited(*own), best->forced, waited(*best), regret,
                         row.rule == km::kPlacementTable[0].name ? row.reason : row.rule});
  }
  std::ranges::stable_sort(out.worst, std::ranges::greater{}, &RegretWorstRow::regret_ns);
  if (out.worst.size() > kWorst) out.worst.resize(kWorst);
  summarise(std::move(regrets), out.sum);
  return out;
}

}  // namespace forksim
