// Text of a trace event, as the kernel prints it.
//
// Purpose: trace.ftrace and the context of violations. Source: formats of tracepoints.def (Linux 4.19 TP_printk) and, for the header of
//          a line, kernel/trace/trace_output.c trace_print_context with the column widths of `trace-cmd report`.
// Units:   stamps in seconds with 9 digits, plus a tenth digit 5: readers that turn seconds into ns by truncating a double (Perfetto)
//          would lose 1 ns in 2 % of the stamps without it. Ownership: compiled once from the table. Errors: none.
// Choices: blanks in a comm become '_' (readers split at them); the flags column is irqs-off, need-resched, hardirq/softirq, depth.
// Not modelled: prev_state's off-by-one letter of 4.19.0; the sane letters are printed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel_model/trace/trace.hpp"

namespace forksim {

class EventText {
 public:
  /// `cpus`: masks are printed that wide (num_possible_cpus), in whole 64-bit words as the kernel does.
  explicit EventText(const km::NameTable& names, km::u32 cpus = 64);
  /// The whole line with its newline, appended to `out`.
  void append_line(const km::TraceEvent& e, std::string& out) const;
  /// Only the fields, e.g. "comm=a pid=1 prio=120 target_cpu=000".
  void append_fields(const km::TraceEvent& e, std::string& out) const;

 private:
  enum class Style : km::u8 { literal, func, comm, name, signed_dec, unsigned_dec, hex, zero3, state, cpu_bitmap, irq_ret, word };
  struct Piece {
    Style style;
    km::u8 field;
    std::string literal;
    std::span<const std::string_view> words = {};
  };
  void append_piece(const Piece& p, const km::TraceEvent& e, std::string& out) const;
  void append_comm(km::u64 id, std::string& out) const;
  static Style style_of(const km::TracepointInfo& info, const km::FieldInfo& field, std::string_view inside);
  static std::vector<Piece> compile(const km::TracepointInfo& info);

  void append_mask_of(km::u64 cpu, std::string& out) const;

  const km::NameTable& names_;
  km::u64 mask_words_;  ///< of 32 bits
  std::vector<std::vector<Piece>> formats_;
};

}  // namespace forksim
