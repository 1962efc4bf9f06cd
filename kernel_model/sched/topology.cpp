#include "kernel_model/sched/topology.hpp"

#include "kernel_model/base/contract.hpp"

namespace forksim::km {

namespace {

bool configured(TopologyLevel::Kind kind, const KernelProfile& k) { return kind == TopologyLevel::Kind::die || k.sched_mc; }

/// Defaults of a level for a span of `weight` CPUs (sd_init).
SchedDomain sd_init(TopologyLevel::Kind kind, const CpuMask& span) {
  SchedDomain sd;
  sd.kind = kind;
  sd.span = span;
  sd.span_weight = span.count();
  sd.min_interval = sd.balance_interval = sd.span_weight;
  sd.max_interval = 2 * u64{sd.span_weight};
  sd.flags = SD_LOAD_BALANCE | SD_BALANCE_NEWIDLE | SD_BALANCE_EXEC | SD_BALANCE_FORK | SD_WAKE_AFFINE | SD_PREFER_SIBLING;
  switch (kind) {
    case TopologyLevel::Kind::smt:
      sd.name = "SMT";
      sd.flags |= SD_SHARE_CPUCAPACITY | SD_SHARE_PKG_RESOURCES;
      sd.imbalance_pct = 110;
      break;
    case TopologyLevel::Kind::llc:
      sd.name = "MC";
      sd.flags |= SD_SHARE_PKG_RESOURCES;
      sd.imbalance_pct = 117;
      sd.cache_nice_tries = 1;
      sd.busy_idx = 2;
      break;
    case TopologyLevel::Kind::die:
      sd.name = "DIE";
      sd.cache_nice_tries = 1;
      sd.busy_idx = 2;
      sd.idle_idx = 1;
      break;
  }
  return sd;
}

/// What /proc/sys/kernel/sched_domain was told to hold. balance_interval stays what sd_init made it until the first balance.
void apply_values(SchedDomain& sd, const SdValues& values) {
  const auto set = [&](SdValue v, auto& to) {
    if (values[v] >= 0) to = static_cast<std::remove_reference_t<decltype(to)>>(values[v]);
  };
  set(SdValue::min_interval, sd.min_interval);
  set(SdValue::max_interval, sd.max_interval);
  set(SdValue::busy_idx, sd.busy_idx);
  set(SdValue::idle_idx, sd.idle_idx);
  set(SdValue::newidle_idx, sd.newidle_idx);
  set(SdValue::wake_idx, sd.wake_idx);
  set(SdValue::forkexec_idx, sd.forkexec_idx);
  set(SdValue::busy_factor, sd.busy_factor);
  set(SdValue::imbalance_pct, sd.imbalance_pct);
  set(SdValue::cache_nice_tries, sd.cache_nice_tries);
  set(SdValue::max_newidle_lb_cost, sd.max_newidle_lb_cost);
}

}  // namespace

DomainTree::DomainTree(const MachineTopology& m, const KernelProfile& k, const CpuMask& online)
    : lowest_(m.cpus), llc_(m.cpus), llc_size_(m.cpus, 1), llc_id_(m.cpus) {
  FS_CONTRACT(m.levels.empty() || m.levels.back().kind == TopologyLevel::Kind::die, "the last level is the whole machine");
  // Groups are shared by every CPU that sees them: one per level and first CPU of the span below.
  std::vector<std::vector<SchedGroup*>> group_of(m.levels.size() + 1, std::vector<SchedGroup*>(m.cpus));
  for (u32 c = online.first(); c < kMaxCpus; c = online.next(c + 1)) {
    SchedDomain* child = nullptr;
    for (std::size_t l = 0; l < m.levels.size(); ++l) {
      const TopologyLevel& level = m.levels[l];
      if (!configured(level.kind, k)) continue;
      const CpuMask span = level.mask[c] & online;
      FS_CONTRACT(span.test(CpuId(c)) && (!child || child->span.subset_of(span)), "topology levels nest");
      // Degenerate: a single CPU, or the same span (hence a single group) as the level below.
      if (span.count() == 1 || (child && child->span == span)) continue;
      domains_.push_back(std::make_unique<SchedDomain>(sd_init(level.kind, span)));
      SchedDomain* sd = domains_.back().get();
      apply_values(*sd, k.sched_domain);
      sd->child = child;
      (child ? child->parent : lowest_[c]) = sd;
      child = sd;
      if (span == online) break;
    }
  }
  for (u32 c = 0; c < m.cpus; ++c) {
    llc_id_[c] = CpuId(c);
    std::size_t depth = 0;
    for (SchedDomain* sd = lowest_[c]; sd; sd = sd->parent, ++depth) build_sched_groups(*sd, CpuId(c), group_of[depth], m.cpus);
    update_top_cache_domain(CpuId(c));
  }
}

void DomainTree::build_sched_groups(SchedDomain& sd, CpuId cpu, std::vector<SchedGroup*>& shared, u32 cpus) {
  CpuMask covered;
  for (u32 k = 0; k < cpus; ++k) {
    const CpuId i((cpu.v + k) % cpus);
    if (!sd.span.test(i) || covered.test(i)) continue;
    CpuMask span = CpuMask::of(i);
    if (sd.child)
      for (SchedDomain* d = lowest_[i.v]; d && d->span_weight < sd.span_weight; d = d->parent) span = d->span;
    SchedGroup*& g = shared[span.first()];
    if (!g || !(g->span == span)) {
      groups_.push_back(std::make_unique<SchedGroup>());
      g = groups_.back().get();
      g->span = span;
      g->weight = span.count();
      g->capacity = 1024 * u64{g->weight};
    }
    covered = covered | span;
    sd.groups.push_back(g);
  }
}

void DomainTree::update_top_cache_domain(CpuId cpu) {
  SchedDomain* top = nullptr;
  for (SchedDomain* sd = lowest_[cpu.v]; sd && (sd->flags & SD_SHARE_PKG_RESOURCES); sd = sd->parent) top = sd;
  llc_[cpu.v] = top;
  llc_size_[cpu.v] = top ? top->span_weight : 1;
  llc_id_[cpu.v] = top ? CpuId(top->span.first()) : cpu;
}

}  // namespace forksim::km
