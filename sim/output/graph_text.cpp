#include "sim/output/graph_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace forksim {

using km::s32;
using km::u32;
using km::u64;

namespace {
/// trace_find_mark.
char overhead_mark(u64 ns) {
  struct Mark {
    u64 above;
    char sign;
  };
  constexpr Mark kMarks[] = {{1'000'000'000, '$'}, {100'000'000, '@'}, {10'000'000, '*'}, {1'000'000, '#'}, {100'000, '!'}, {10'000, '+'}};
  for (const Mark& m : kMarks)
    if (ns > m.above) return m.sign;
  return ' ';
}
void indent(u32 depth, std::string& out) { out.append(std::size_t{depth} * 2, ' '); }
std::string_view shown_comm(const GraphPoint& p) { return p.pid == 0 ? std::string_view("<idle>") : p.comm; }
}  // namespace

GraphText::GraphText(const GraphLayout& layout, u32 cpus)
    : layout_(layout), cpu_width_(fmt::formatted_size("{}", cpus ? cpus - 1 : 0)), cpus_(cpus) {}

void GraphText::append_header(std::string& out) const {
  out += "# tracer: function_graph\n#\n#";
  if (layout_.abstime) out += "     TIME       ";
  if (layout_.cpu) out += " CPU";
  if (layout_.proc) out += "  TASK/PID       ";
  if (layout_.duration) out += "  DURATION   ";
  out += "               FUNCTION CALLS\n#";
  if (layout_.abstime) out += "      |         ";
  if (layout_.cpu) out += " |  ";
  if (layout_.proc) out += "   |    |        ";
  if (layout_.duration) out += "   |   |      ";
  out += "               |   |   |   |\n";
}

void GraphText::append_cpu(u32 cpu, std::string& out) const { fmt::format_to(std::back_inserter(out), " {:>{}}) ", cpu, cpu_width_); }

/// "comm-pid" in the middle of 14 columns, comm cut to 7.
void GraphText::append_proc(std::string_view comm, s32 pid, std::string& out) {
  constexpr std::size_t kWidth = 14;
  const std::string text = fmt::format("{}-{}", comm.substr(0, 7), pid);
  const std::size_t blanks = text.size() < kWidth ? kWidth - text.size() : 0;
  out.append(blanks / 2, ' ');
  out += text;
  out.append(blanks - blanks / 2, ' ');
}

void GraphText::append_duration(u64 ns, std::string& out) const {
  if (!layout_.duration) return;
  out += layout_.overhead ? overhead_mark(ns) : ' ';
  out += ' ';
  const std::string us = fmt::format("{}", ns / 1000);
  std::size_t width = us.size();
  out += us;
  if (width < 7) {  // at most seven digits
    const std::string rest = fmt::format("{:03}", ns % 1000).substr(0, std::min<std::size_t>(3, 7 - width));
    out += '.';
    out += rest;
    width += rest.size() + 1;
  }
  out += " us ";
  if (width < 8) out.append(8 - width, ' ');
  out += "|  ";
}

void GraphText::no_duration(std::string& out) const {
  if (layout_.duration) out += "              |  ";
}

void GraphText::columns(const GraphPoint& p, std::string& out) const {
  if (layout_.abstime) fmt::format_to(std::back_inserter(out), "{:5}.{:06} |  ", p.ts / 1'000'000'000, p.ts % 1'000'000'000 / 1000);
  if (layout_.cpu) append_cpu(p.cpu, out);
  if (!layout_.proc) return;
  append_proc(shown_comm(p), p.pid, out);
  out += " | ";
}

/// verif_pid, then the columns: another task on the CPU is announced by a block.
void GraphText::prologue(const GraphPoint& p, std::string& out) {
  CpuState& c = cpus_[p.cpu];
  if (c.any && c.pid != p.pid) {
    out += " ------------------------------------------\n";
    append_cpu(p.cpu, out);
    append_proc(c.comm, c.pid, out);
    out += " => ";
    append_proc(shown_comm(p), p.pid, out);
    out += "\n ------------------------------------------\n\n";
  }
  c.any = true;
  c.pid = p.pid;
  c.comm = shown_comm(p);
}

void GraphText::irq_mark(const GraphPoint& p, std::string_view arrow, std::string& out) const {
  columns(p, out);
  if (layout_.duration) out += "  ";
  out += arrow;
  if (layout_.duration) out += " |";
  out += '\n';
}

void GraphText::append_leaf(const GraphPoint& p, std::string_view function, u32 depth, u64 duration, bool irq, std::string& out) {
  prologue(p, out);
  if (irq) irq_mark(p, "==========>", out);
  columns(p, out);
  CpuState& c = cpus_[p.cpu];
  c.depth = static_cast<s32>(depth) - 1;
  if (depth < kMaxDepth) c.open[depth].clear();
  append_duration(duration, out);
  indent(depth, out);
  out += function;
  out += "();\n";
  if (irq) irq_mark(p, "<==========", out);
}

void GraphText::append_entry(const GraphPoint& p, std::string_view function, u32 depth, bool irq, std::string& out) {
  prologue(p, out);
  if (irq) irq_mark(p, "==========>", out);
  columns(p, out);
  CpuState& c = cpus_[p.cpu];
  c.depth = static_cast<s32>(depth);
  if (depth < kMaxDepth) c.open[depth] = function;
  no_duration(out);
  indent(depth, out);
  out += function;
  out += "() {\n";
}

void GraphText::append_return(const GraphPoint& p, std::string_view function, u32 depth, u64 duration, bool irq, std::string& out) {
  CpuState& c = cpus_[p.cpu];
  c.depth = static_cast<s32>(depth) - 1;
  bool match = true;
  if (depth < kMaxDepth) {
    match = c.open[depth] == function;
    c.open[depth].clear();
  }
  prologue(p, out);
  columns(p, out);
  append_duration(duration, out);
  indent(depth, out);
  out += '}';
  if (!match || layout_.tail) fmt::format_to(std::back_inserter(out), " /* {} */", function);
  out += '\n';
  if (irq) irq_mark(p, "<==========", out);
}

void GraphText::append_comment(const GraphPoint& p, std::string_view text, std::string& out) {
  prologue(p, out);
  columns(p, out);
  no_duration(out);
  if (const s32 depth = cpus_[p.cpu].depth; depth > 0) indent(static_cast<u32>(depth) + 1, out);
  fmt::format_to(std::back_inserter(out), "/* {} */\n", text);
}

}  // namespace forksim
