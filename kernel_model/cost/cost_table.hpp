// Cost of every phase.
//
// Purpose: the numbers behind phases.def; filled by the platform, read by the execution engine. Source: platforms/*.costs.yaml.
// Units: ns at the reference frequency of the platform (BCM2711: 1500 MHz). Ownership: a value, copied into the kernel.
// Errors: none here (the reader checks low <= value <= high). Not modelled: caches beyond the rows, contention between CPUs outside mm code.
#pragma once

#include <array>
#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

enum class Phase : u8 {
#define PHASE(name, per, doc) name,
#include "kernel_model/cost/phases.def"
#undef PHASE
  count_
};
inline constexpr std::size_t kPhases = static_cast<std::size_t>(Phase::count_);

struct PhaseInfo {
  std::string_view name, per, doc;
  bool mm = false;  ///< an mm row: memory contention between CPUs makes it longer
};
inline constexpr std::array<PhaseInfo, kPhases> kPhaseTable{{
#define PHASE(name, per, doc) PhaseInfo{#name, #per, doc},
#define MM_PHASE(name, per, doc) PhaseInfo{#name, #per, doc, true},
#include "kernel_model/cost/phases.def"
#undef PHASE
}};

struct CostTable {
  std::array<Ns, kPhases> ns{};
  /// Share of a kernel phase that does not scale with the clock, in 1/256 (BCM2711: 64, a quarter).
  u32 memory_share_256 = 64;
  /// What each further CPU in mm code adds to the cost of mm rows, in 1/65536.
  u32 mm_contention_65536 = 0;
  Ns operator[](Phase p) const { return ns[static_cast<std::size_t>(p)]; }
};

}  // namespace forksim::km
