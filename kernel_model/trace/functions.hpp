// Kernel functions that function_graph shows, and those of the life cycle that the compiler has folded into their callers.
//
// Purpose: one table behind the marks of the paths (exec/fn_mark.hpp), the trace writer, `forksim list functions` and the table of README.md.
// Source:  Linux 4.19 built for arm64 by gcc 12 -O2: what is a symbol of its own there is `shown`, the rest is `inlined`.
// Units:   none. Ownership: constants. Errors: none.
// Not modelled: suffixes that compilers add to symbols (copy_process.constprop.0 is copy_process here).
#pragma once

#include <array>
#include <string_view>

#include "kernel_model/base/types.hpp"
#include "kernel_model/cost/cost_table.hpp"

namespace forksim::km {

enum class Fn : u16 {
#define FUNCTION(name, ...) name,
#define INLINED(name, ...) name,
#include "kernel_model/trace/functions.def"
  count_
};
inline constexpr std::size_t kFunctions = static_cast<std::size_t>(Fn::count_);

/// Where in the life of a task a function belongs.
enum class FnStage : u8 {
#define STAGE(name, doc) name,
#include "kernel_model/trace/functions.def"
  count_
};
struct FnStageInfo {
  std::string_view name, doc;
};
inline constexpr std::array<FnStageInfo, static_cast<std::size_t>(FnStage::count_)> kFnStages{{
#define STAGE(name, doc) FnStageInfo{#name, doc},
#include "kernel_model/trace/functions.def"
}};

struct FunctionInfo {
  std::string_view name;
  FnStage stage;
  std::string_view file;  ///< of kernel_model/, where its mark or its model is
  Phase cost;             ///< the row that its time is part of
  std::string_view test;
  bool inlined;
};
inline constexpr std::array<FunctionInfo, kFunctions> kFunctionTable{{
#define FUNCTION(name, stage, file, cost, test) FunctionInfo{#name, FnStage::stage, file, Phase::cost, test, false},
#define INLINED(name, stage, file, cost, test) FunctionInfo{#name, FnStage::stage, file, Phase::cost, test, true},
#include "kernel_model/trace/functions.def"
}};
constexpr const FunctionInfo& info(Fn f) { return kFunctionTable[static_cast<std::size_t>(f)]; }

}  // namespace forksim::km
