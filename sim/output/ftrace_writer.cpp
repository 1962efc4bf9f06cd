#include "sim/output/ftrace_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace forksim {

FtraceWriter::FtraceWriter(const std::filesystem::path& file, const km::NameTable& names, km::u32 cpus) : file_(file), text_(names, cpus) {
  batch_.reserve(kBatch);
  file_.write(
      fmt::format("# tracer: nop\n"
                  "#\n"
                  "# CPUs: {}, stamps: seconds with 9 digits, then a 5 so that rounding down keeps every ns\n"
                  "#\n"
                  "#                              _-----=> irqs-off\n"
                  "#                             / _----=> need-resched\n"
                  "#                            | / _---=> hardirq/softirq\n"
                  "#                            || / _--=> preempt-depth\n"
                  "#                            ||| /\n"
                  "#           TASK-PID   CPU#  ||||      TIMESTAMP   FUNCTION\n"
                  "#              | |       |   ||||          |          |\n",
                  cpus));
}

km::TpSet FtraceWriter::events() {
  return km::TpSet().set().reset(static_cast<std::size_t>(km::Tp::funcgraph_entry)).reset(static_cast<std::size_t>(km::Tp::funcgraph_exit));
}

void FtraceWriter::flush() {
  buffer_.clear();
  for (const km::TraceEvent& e : batch_) text_.append_line(e, buffer_);
  lines_ += batch_.size();
  batch_.clear();
  file_.write(buffer_);
}

void FtraceWriter::close() {
  flush();
  file_.close();
}

std::string check_trace_formats(const std::vector<std::string>& formats) {
  constexpr std::array<std::string_view, 2> kLater{"perfetto", "chrome"};
  std::string wrong;
  for (const std::string& f : formats) {
    if (f == "ftrace" || f == "function_graph") continue;
    const bool later = std::find(kLater.begin(), kLater.end(), f) != kLater.end();
    if (!wrong.empty()) wrong += "; ";
    wrong += fmt::format("{}: {}; allowed: ftrace, function_graph", f, later ? "not in this version" : "no such trace format");
  }
  return wrong;
}

}  // namespace forksim
