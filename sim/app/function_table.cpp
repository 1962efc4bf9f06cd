#include "sim/app/function_table.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

#include "kernel_model/trace/functions.hpp"

namespace forksim {

namespace {

struct Row {
  std::string_view name, file, symbol;
  km::FnStage stage;
  km::Phase cost;
  std::string_view test;
};
constexpr Row kNamed[] = {
#define NAMED(name, stage, file, symbol, cost, test) Row{#name, file, symbol, km::FnStage::stage, km::Phase::cost, test},
#include "kernel_model/trace/named_functions.def"
#undef NAMED
};

void append(const Row& r, std::string_view shown, std::string& out) {
  fmt::format_to(std::back_inserter(out), "| `{}` | {} | `{}` | `{}` | {} | {} | {} |\n", r.name, shown, r.file, r.symbol,
                 km::kFnStages[static_cast<std::size_t>(r.stage)].name, km::kPhaseTable[static_cast<std::size_t>(r.cost)].name, r.test);
}

}  // namespace

std::string function_markdown() {
  std::string out =
      "| function | in a graph | file | symbol | stage | cost row | test |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const km::FunctionInfo& f : km::kFunctionTable) {
    const std::string symbol = fmt::format("Fn::{}", f.name);
    append({f.name, f.file, symbol, f.stage, f.cost, f.test}, f.inlined ? "inlined" : "yes", out);
  }
  for (const Row& r : kNamed) append(r, "part of its caller", out);
  return out;
}

}  // namespace forksim
