// life.csv, read back.
//
// Purpose: the input of `forksim ps` and `forksim explain`. Source: LifeRow of columns.def, kinds of life_events.def.
// Units:   ns. Ownership: values. Errors: ReportError (exit code 2) for a folder without life.csv or a file that is none.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sim/metrics/life_listener.hpp"
#include "sim/output/report.hpp"

namespace forksim {

struct LifeEvent {
  LifeKind kind;
  LifeRow row;
};

struct Life {
  std::vector<LifeEvent> events;  ///< in time order, without the last row
  km::u64 complete_until = 0;
  km::u64 cut = 0;  ///< rows left out after that date
};

Life parse_life(const std::string& csv, const std::string& file);
/// Reads DIR/life.csv.
Life load_life(const std::filesystem::path& dir);

/// A comm as the kernel makes it from a file name: the last component, 15 bytes.
std::string comm_of_file(const std::string& file);

}  // namespace forksim
