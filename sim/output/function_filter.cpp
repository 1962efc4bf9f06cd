#include "sim/output/function_filter.hpp"

#include <fnmatch.h>

#include <algorithm>

#include "kernel_model/trace/functions.hpp"
#include "sim/config/suggest.hpp"

namespace forksim {

FunctionFilter parse_function_filter(std::string_view patterns) {
  constexpr std::string_view kArch = "__arm64_";
  FunctionFilter filter;
  filter.functions.resize(km::kFunctions);
  for (std::size_t at = 0; at <= patterns.size();) {
    const std::size_t end = std::min(patterns.find(',', at), patterns.size());
    std::string pattern(patterns.substr(at, end - at));
    at = end + 1;
    if (pattern.starts_with(kArch)) pattern.erase(0, kArch.size());
    bool any = false;
    for (std::size_t i = 0; i < km::kFunctions; ++i) {
      if (fnmatch(pattern.c_str(), std::string(km::kFunctionTable[i].name).c_str(), 0) != 0) continue;
      filter.functions[i] = any = true;
    }
    if (any) continue;
    std::vector<std::string_view> names;
    for (const km::FunctionInfo& f : km::kFunctionTable) names.push_back(f.name);
    filter.wrong.push_back({pattern, did_you_mean(pattern, names)});
  }
  return filter;
}

}  // namespace forksim
