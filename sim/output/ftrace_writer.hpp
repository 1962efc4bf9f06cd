// trace.ftrace: the trace in the kernel's text format.
//
// Purpose: opens in Perfetto's text importer and reads like `trace-cmd report`. Source: Linux 4.19 trace file format ("# tracer: nop" and
//          the header of the latency columns); line and field text from event_text.hpp.
// Units:   seconds with 9 digits and a tenth digit 5. Ownership: the caller's; writes to its own file. Errors: OutputError.
// Cost:    an event is copied (under 10 ns); text is made in batches of kBatch events.
// Not modelled: ring-buffer loss; formats that are not there are refused by name (check_trace_formats).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kernel_model/trace/trace.hpp"
#include "sim/output/event_text.hpp"
#include "sim/output/out_file.hpp"

namespace forksim {

class FtraceWriter final : public km::TraceListener {
 public:
  static constexpr std::size_t kBatch = 4096;
  /// `names` must outlive the writer.
  FtraceWriter(const std::filesystem::path& file, const km::NameTable& names, km::u32 cpus);
  /// Every tracepoint but the functions, which are shown when they are asked for by name.
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override {
    batch_.push_back(e);
    if (batch_.size() == kBatch) [[unlikely]]
      flush();
  }
  /// Writes what is left; must be called, the destructor does not report errors.
  void close();
  km::u64 lines() const { return lines_; }

 private:
  void flush();

  OutFile file_;
  EventText text_;
  std::vector<km::TraceEvent> batch_;
  std::string buffer_;
  km::u64 lines_ = 0;
};

/// What is wrong with the formats of --trace, e.g. "perfetto: not in this version; allowed: ftrace, function_graph"; empty when all are
/// served.
std::string check_trace_formats(const std::vector<std::string>& formats);

}  // namespace forksim
