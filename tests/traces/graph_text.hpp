// Reads the text of ftrace's function_graph tracer, recorded or simulated, in any of its layouts.
//
// Purpose: lines for the tests of the layout, call trees for the comparison with the real kernel. Source: layouts recorded on Linux 4.19.
// Units:   durations in ns as far as the text tells them, dates in us. Ownership: values.
// Errors:  std::runtime_error names a line that is none of the layout. Not modelled: the latency format.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forksim::traces {

/// Which columns the text has.
struct GraphColumns {
  bool abstime = false, cpu = true, proc = false, duration = true;
};
/// From the second line of the header.
GraphColumns graph_columns(std::string_view text);

struct GraphLine {
  enum class Kind { entry, leaf, exit, comment, irq_begin, irq_end, switch_block } kind;
  unsigned depth = 0;
  std::string text;      ///< function or comment; after a brace empty unless the trace names it
  std::string task;      ///< "comm-pid" of the task column
  std::string from, to;  ///< of a switch block
  int cpu = -1;
  long long us = -1, ns = -1;  ///< date; duration
};
std::vector<GraphLine> parse_graph(std::string_view text);

struct CallTree {
  std::string function, task;
  int cpu = -1;
  std::vector<CallTree> calls;
};
/// Calls of every task between the comments `from` and `to` (all when empty), outermost functions in order of their entry. Needs the
/// columns of CPU and task. What was entered before is not there, what has not returned is as far as it went.
std::vector<CallTree> call_trees(const std::vector<GraphLine>& lines, std::string_view from = {}, std::string_view to = {});

/// Without what compilers add to a symbol: copy_process.constprop.0 is copy_process.
std::string plain_symbol(std::string_view symbol);
/// "a( b c( d ) )".
std::string to_text(const CallTree& t);

}  // namespace forksim::traces
