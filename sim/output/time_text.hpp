// Simulated time in texts.
//
// Purpose: one spelling of ns as s, ms and us, with every digit or as a number that a format rounds. Units: ns in. Ownership: values.
// Errors:  none. Not here: the clock of a trace line (event_text.hpp), perf's seconds of six digits (perf_table.cpp).
#pragma once

#include <fmt/format.h>

#include <string>

#include "kernel_model/base/types.hpp"

namespace forksim {

inline std::string exact_s(km::u64 ns) { return fmt::format("{}.{:09}", ns / 1'000'000'000, ns % 1'000'000'000); }
inline std::string exact_ms(km::u64 ns) { return fmt::format("{}.{:06}", ns / 1'000'000, ns % 1'000'000); }
inline std::string exact_us(km::u64 ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }
inline double in_ms(km::u64 ns) { return static_cast<double>(ns) / 1e6; }

}  // namespace forksim
