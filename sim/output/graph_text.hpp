// Lines of ftrace's function_graph tracer.
//
// Purpose: the layout of trace.function_graph, column by column, for records of any source: the simulator's, or a recorded trace in tests.
// Source:  Linux 4.19 kernel/trace/trace_functions_graph.c (print_graph_entry_leaf, print_graph_return, print_graph_comment, verif_pid,
//          print_graph_headers_flags) and trace_output.c trace_find_mark.
// Units:   ns in, us with three digits and seconds with six out, cut off as the kernel does. Ownership: borrows nothing.
// Errors:  none. Not modelled: the latency format, funcgraph-overrun.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

struct GraphLayout {
#define GRAPH_FLAG(name, value, ftrace, doc) bool name = value;
#define GRAPH_NUMBER(name, value, ftrace, doc) km::u32 name = value;
#include "sim/output/graph_options.def"
};

/// Where a line comes from.
struct GraphPoint {
  km::u64 ts = 0;
  km::u32 cpu = 0;
  km::s32 pid = 0;
  std::string_view comm;  ///< of pid 0 it is not looked at
};

class GraphText {
 public:
  GraphText(const GraphLayout& layout, km::u32 cpus);
  void append_header(std::string& out) const;
  /// A function without anything shown inside. `irq`: it is the entry of a hard interrupt.
  void append_leaf(const GraphPoint& p, std::string_view function, km::u32 depth, km::u64 duration, bool irq, std::string& out);
  void append_entry(const GraphPoint& p, std::string_view function, km::u32 depth, bool irq, std::string& out);
  void append_return(const GraphPoint& p, std::string_view function, km::u32 depth, km::u64 duration, bool irq, std::string& out);
  void append_comment(const GraphPoint& p, std::string_view text, std::string& out);

 private:
  static constexpr km::u32 kMaxDepth = 50;  // FTRACE_RETFUNC_DEPTH
  /// What the last lines of a CPU were about; a brace names its function when another one was opened at its depth since.
  struct CpuState {
    bool any = false;
    km::s32 pid = 0, depth = 0;
    std::string comm;
    std::array<std::string, kMaxDepth> open;
  };
  void prologue(const GraphPoint& p, std::string& out);
  void columns(const GraphPoint& p, std::string& out) const;
  void irq_mark(const GraphPoint& p, std::string_view arrow, std::string& out) const;
  void append_cpu(km::u32 cpu, std::string& out) const;
  static void append_proc(std::string_view comm, km::s32 pid, std::string& out);
  void append_duration(km::u64 ns, std::string& out) const;
  void no_duration(std::string& out) const;

  GraphLayout layout_;
  std::size_t cpu_width_;
  std::vector<CpuState> cpus_;
};

}  // namespace forksim
