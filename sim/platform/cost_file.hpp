// Cost of every phase from a platform's *.costs.yaml, with its band and where it comes from.
//
// Purpose: read and check the file, apply --set costs.PHASE=TIME and costs.bound=low|high, hand the kernel its CostTable.
// Source:  platforms/bcm2711.costs.yaml; phases are declared in kernel_model/cost/phases.def, keys in sim/config/schema.def.
// Units:   ns at the reference clock (the platform's fastest operating point). Ownership: values.
// Errors:  Diagnostics with file:line:col, all at once: unknown or missing phase, value outside its band, a time without unit.
// Not modelled: costs that depend on other CPUs, but for the mm rows.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "kernel_model/cost/cost_table.hpp"
#include "sim/config/diagnostics.hpp"

namespace forksim {

enum class CostBasis : km::u8 { measured, derived, assumed };
enum class CostBound : km::u8 { value, low, high };
enum class ClockScale : km::u8 { kernel, user };

struct CostRow {
  km::Ns value, low, high;
  CostBasis basis = CostBasis::assumed;
  ClockScale scales_with = ClockScale::kernel;
  std::string source, note;
  std::optional<km::Ns> given;  ///< by --set or by the workload; wins over every bound
};

/// Factor of mm rows with `cpus` CPUs in mm code.
struct MmContention {
  double value = 1, low = 1, high = 1;
  km::u32 cpus = 2;
  CostBasis basis = CostBasis::assumed;
  std::string source;
};

struct PlatformCosts {
  std::string file;
  std::array<CostRow, km::kPhases> rows;
  km::u32 memory_share_256 = 0;
  MmContention mm_contention;
  CostBound bound = CostBound::value;

  const CostRow& operator[](km::Phase p) const { return rows[static_cast<std::size_t>(p)]; }
  /// What the kernel gets: given times, else the chosen end of each band.
  km::CostTable table() const;
};

/// platforms/NAME.costs.yaml beside platforms/NAME.xml.
std::string costs_file_of(const std::string& platform_file);

PlatformCosts load_costs(const std::string& file, Diagnostics& diags);

/// One override: `key` is a phase or "bound" (with or without "costs." before it), `text` a time with its unit, or low, high or value.
/// `option` is how messages call it. The order of overrides does not matter, except that the last of the same key wins.
void apply_cost_override(PlatformCosts& costs, std::string_view key, std::string_view text, std::string_view option, Diagnostics& diags);

std::string_view basis_name(CostBasis b);

}  // namespace forksim
