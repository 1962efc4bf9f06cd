// The built-in placement rules and what they see. See placement_rule.hpp; one sentence for each rule is in placements.def.
#include "kernel_model/sched/placement_rule.hpp"

#include <algorithm>

#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

Ns PlacementView::now() const { return s_.now(); }
Pid PlacementView::pid() const { return p_.pid; }
Pid PlacementView::decider() const { return s_.current().pid; }
CpuId PlacementView::this_cpu() const { return s_.this_cpu(); }
CpuMask PlacementView::candidates() const { return p_.cpus_allowed & s_.cpu_active_mask(); }
u32 PlacementView::cpus() const { return s_.cpus(); }

CpuLoad PlacementView::cpu(CpuId c) const {
  const Rq& r = s_.rq(c);
  return {r.cfs.avg.runnable_load_avg, r.cfs.avg.load_avg, s_.placement().cpu_util(c), r.cpu_capacity, r.nr_running, s_.idle_cpu(c), r.idle_stamp};
}

CpuMask PlacementView::cache_mates(CpuId c) const {
  for (const TopologyLevel& level : s_.machine().levels)
    if (level.kind == TopologyLevel::Kind::llc) return level.mask[c.v];
  return CpuMask::of(c);
}

std::optional<PlacementName> find_placement(std::string_view name) {
  const auto it = std::ranges::find(kPlacementTable, name, &PlacementInfo::name);
  if (it == kPlacementTable.end()) return std::nullopt;
  return static_cast<PlacementName>(it - kPlacementTable.begin());
}

namespace {

using Choice = std::optional<CpuId>;

/// First CPU of `among` at or after `start`, wrapping around, for which `fits` holds.
template <class F>
Choice first_in_ring(const CpuMask& among, CpuId start, F fits) {
  for (u32 c = among.next(start.v); c < kMaxCpus; c = among.next(c + 1))
    if (fits(CpuId(c))) return CpuId(c);
  for (u32 c = among.first(); c < start.v; c = among.next(c + 1))
    if (fits(CpuId(c))) return CpuId(c);
  return std::nullopt;
}

/// The candidate with the least key; ties: the first one in the ring from this CPU.
template <class Key>
Choice least(const PlacementView& v, Key key) {
  Choice best;
  u64 least_key = 0;
  first_in_ring(v.candidates(), v.this_cpu(), [&](CpuId c) {
    const u64 k = key(v.cpu(c));
    if (!best || k < least_key) {
      best = c;
      least_key = k;
    }
    return false;
  });
  return best;
}
Choice least_load(const PlacementView& v) {
  return least(v, [](const CpuLoad& l) { return l.runnable_load_avg; });
}
Choice least_util(const PlacementView& v) {
  return least(v, [](const CpuLoad& l) { return l.util; });
}
Choice lowest_idle(const PlacementView& v) {
  return first_in_ring(v.candidates(), CpuId(0), [&](CpuId c) { return v.cpu(c).idle; });
}

struct ParentCpu final : PlacementRule {
  Choice select(const PlacementView& v) override {
    return first_in_ring(v.candidates(), v.this_cpu(), [](CpuId) { return true; });
  }
};

struct IdlestLoad final : PlacementRule {
  Choice select(const PlacementView& v) override { return least_load(v); }
};

struct IdlestUtil final : PlacementRule {
  Choice select(const PlacementView& v) override { return least_util(v); }
};

struct LowestIdle final : PlacementRule {
  Choice select(const PlacementView& v) override {
    const Choice idle = lowest_idle(v);
    return idle ? idle : least_load(v);
  }
};

struct RoundRobin final : PlacementRule {
  Choice select(const PlacementView& v) override {
    CpuId& turn = next[static_cast<std::size_t>(v.kind())];
    const Choice c = first_in_ring(v.candidates(), turn, [](CpuId) { return true; });
    if (c) turn = CpuId((c->v + 1) % v.cpus());
    return c;
  }
  std::array<CpuId, kPlacementKinds> next{};
};

struct Random final : PlacementRule {
  explicit Random(DrawPort& d) : draws(d) {}
  Choice select(const PlacementView& v) override {
    const CpuMask among = v.candidates();
    const u32 n = among.count();
    if (!n) return std::nullopt;
    u64 skip = static_cast<u64>((static_cast<u128>(draws.draw()) * n) >> 64);
    return first_in_ring(among, CpuId(0), [&](CpuId) { return skip-- == 0; });
  }
  DrawPort& draws;
};

struct CacheWarm final : PlacementRule {
  Choice select(const PlacementView& v) override {
    const CpuMask mates = v.candidates() & v.cache_mates(v.prev_cpu());
    const Choice idle = first_in_ring(mates, v.prev_cpu(), [&](CpuId c) { return v.cpu(c).idle; });
    if (idle) return idle;
    const auto any = [](CpuId) { return true; };
    const Choice warm = first_in_ring(mates, v.prev_cpu(), any);
    return warm ? warm : first_in_ring(v.candidates(), v.prev_cpu(), any);
  }
};

struct LeastQueued final : PlacementRule {
  Choice select(const PlacementView& v) override {
    return least(v, [](const CpuLoad& l) { return u64{l.nr_running}; });
  }
};

struct Pack final : PlacementRule {
  /// capacity_margin of the kernel's fits_capacity: a CPU counts as full at 1024 / 1280 = 80 %.
  static constexpr u64 kMargin = 1280;
  Choice select(const PlacementView& v) override {
    const Choice busy = first_in_ring(v.candidates(), CpuId(0), [&](CpuId c) {
      const CpuLoad l = v.cpu(c);
      return !l.idle && l.util * kMargin < l.capacity * 1024;
    });
    if (busy) return busy;
    const Choice idle = lowest_idle(v);
    return idle ? idle : least_util(v);
  }
};

}  // namespace

std::unique_ptr<PlacementRule> make_placement_rule(PlacementName name, DrawPort& draws) {
  switch (name) {
    case PlacementName::parent_cpu:
      return std::make_unique<ParentCpu>();
    case PlacementName::idlest_load:
      return std::make_unique<IdlestLoad>();
    case PlacementName::idlest_util:
      return std::make_unique<IdlestUtil>();
    case PlacementName::lowest_idle:
      return std::make_unique<LowestIdle>();
    case PlacementName::round_robin:
      return std::make_unique<RoundRobin>();
    case PlacementName::random:
      return std::make_unique<Random>(draws);
    case PlacementName::cache_warm:
      return std::make_unique<CacheWarm>();
    case PlacementName::least_queued:
      return std::make_unique<LeastQueued>();
    case PlacementName::pack:
      return std::make_unique<Pack>();
    case PlacementName::kernel:
    case PlacementName::oracle:
    case PlacementName::count_:
      break;
  }
  return nullptr;
}

}  // namespace forksim::km
