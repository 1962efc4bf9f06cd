// Which functions a graph starts with: patterns as in ftrace's set_graph_function.
//
// Purpose: `--set trace.functions=_do_fork,copy_process*,do_exit`. Source: Documentation/trace/ftrace.rst, "set_ftrace_filter" (shell
//          patterns). Units: none. Ownership: values. Errors: `wrong` tells every pattern that matches nothing, with a hint.
// Not modelled: !function (leave out), :mod:, triggers; a system call is found with and without __arm64_ in front.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forksim {

struct FunctionFilter {
  std::vector<bool> functions;  ///< by km::Fn
  struct Wrong {
    std::string pattern, hint;
  };
  std::vector<Wrong> wrong;  ///< empty: all patterns name something
};

/// Patterns separated by commas.
FunctionFilter parse_function_filter(std::string_view patterns);

}  // namespace forksim
