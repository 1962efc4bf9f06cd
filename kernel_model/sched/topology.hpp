// Sched domains from the machine's topology.
//
// Purpose: build the domain chain and group rings of each CPU for a profile. Source: Linux 4.19 kernel/sched/topology.c (default_topology,
//          sd_init, build_sched_domains, sd_degenerate, update_top_cache_domain). Units: intervals in ms as in the kernel.
// Ownership: a DomainTree owns its domains; run queues hold pointers into it. Errors: contract when a level does not nest.
// Not modelled: NUMA levels, asymmetric capacity, overlapping groups.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "kernel_model/base/cpumask.hpp"
#include "kernel_model/base/types.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim::km {

/// What the platform knows: nested sets of CPUs, innermost first. For each level, sibling_mask[cpu].
struct TopologyLevel {
  enum class Kind : u8 { smt, llc, die } kind;
  std::vector<CpuMask> mask;
};
struct MachineTopology {
  u32 cpus = 0;
  std::vector<TopologyLevel> levels;  ///< the last covers all CPUs
};

inline constexpr u32 SD_LOAD_BALANCE = 0x1, SD_BALANCE_NEWIDLE = 0x2, SD_BALANCE_EXEC = 0x4, SD_BALANCE_FORK = 0x8, SD_BALANCE_WAKE = 0x10,
                     SD_WAKE_AFFINE = 0x20, SD_ASYM_CPUCAPACITY = 0x40, SD_SHARE_CPUCAPACITY = 0x80, SD_SHARE_POWERDOMAIN = 0x100,
                     SD_SHARE_PKG_RESOURCES = 0x200, SD_SERIALIZE = 0x400, SD_PREFER_SIBLING = 0x1000, SD_OVERLAP = 0x2000;

struct SchedGroup {
  CpuMask span;
  u32 weight = 0;
  u64 capacity = 1024, min_capacity = 1024;
  u64 next_update = 0;  ///< jiffies
  bool imbalance = false;
};

struct SchedDomain {
  std::string_view name;
  TopologyLevel::Kind kind = TopologyLevel::Kind::die;
  u32 flags = 0;
  u32 imbalance_pct = 125, cache_nice_tries = 0, busy_factor = 32;
  u32 busy_idx = 0, idle_idx = 0, newidle_idx = 0, wake_idx = 0, forkexec_idx = 0;
  u64 min_interval = 1, max_interval = 1, balance_interval = 1;  ///< ms
  u32 span_weight = 0;
  CpuMask span;
  std::vector<SchedGroup*> groups;  ///< ring order for this CPU: its own group first
  SchedDomain *parent = nullptr, *child = nullptr;
  // balancing state
  u64 last_balance = 0, next_decay_max_lb_cost = 0;  ///< jiffies
  u64 max_newidle_lb_cost = 0, avg_scan_cost = 0;    ///< ns
  u32 nr_balance_failed = 0;
};

/// The domains of all CPUs, lowest level first per CPU.
class DomainTree {
 public:
  DomainTree(const MachineTopology& m, const KernelProfile& k) : DomainTree(m, k, CpuMask::first_n(m.cpus)) {}
  /// Only over the CPUs in `online`, as hotplug rebuilds them; the others have no domain.
  DomainTree(const MachineTopology& m, const KernelProfile& k, const CpuMask& online);
  /// Lowest domain of a CPU; null when it has no other CPU to share with.
  SchedDomain* lowest(CpuId c) const { return lowest_[c.v]; }
  /// sd_llc: highest domain with SD_SHARE_PKG_RESOURCES, or null; llc size and id as update_top_cache_domain sets them.
  SchedDomain* llc(CpuId c) const { return llc_[c.v]; }
  u32 llc_size(CpuId c) const { return llc_size_[c.v]; }
  CpuId llc_id(CpuId c) const { return llc_id_[c.v]; }

 private:
  /// Ring of groups of `sd` as seen from `cpu`; `shared` holds the groups of this level by first CPU.
  void build_sched_groups(SchedDomain& sd, CpuId cpu, std::vector<SchedGroup*>& shared, u32 cpus);
  void update_top_cache_domain(CpuId cpu);

  std::vector<std::unique_ptr<SchedDomain>> domains_;
  std::vector<std::unique_ptr<SchedGroup>> groups_;
  std::vector<SchedDomain*> lowest_, llc_;
  std::vector<u32> llc_size_;
  std::vector<CpuId> llc_id_;
};

}  // namespace forksim::km
