// trace.function_graph: which kernel functions ran, nested, with durations.
//
// Purpose: picks roots and depth as set_graph_function and max_graph_depth do, recognises leaves, and hands lines to graph_text.hpp.
// Source:  Linux 4.19 kernel/trace/trace_functions_graph.c (trace_graph_entry, get_return_for_leaf).
// Units:   ns. Ownership: the caller's; writes to its own file. Errors: OutputError.
// Memory:  a function is written when the next record of its CPU is known; until then the records of all CPUs wait in order.
// Not modelled: lost records; set_ftrace_notrace, set_graph_notrace.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "kernel_model/trace/functions.hpp"
#include "kernel_model/trace/trace.hpp"
#include "sim/output/event_text.hpp"
#include "sim/output/graph_text.hpp"
#include "sim/output/out_file.hpp"

namespace forksim {

struct GraphOptions {
  GraphLayout layout;
  std::vector<bool> roots;  ///< by km::Fn; empty: every function
  km::TpSet events;         ///< shown as comments between the functions
  bool arm64 = true;        ///< system calls are __arm64_sys_x
};

class GraphWriter final : public km::TraceListener {
 public:
  /// `names` must outlive the writer.
  GraphWriter(const std::filesystem::path& file, const km::NameTable& names, km::u32 cpus, GraphOptions options);
  /// What it has to listen to.
  km::TpSet events() const;
  void on_event(const km::TraceEvent& e) override;
  /// Writes what is left; must be called, the destructor does not report errors.
  void close();

 private:
  struct Open {
    km::Fn fn;
    km::u32 depth;  ///< in the model, functions that are not shown included
    km::u64 since;
  };
  struct TaskStack {
    std::vector<Open> shown;
    km::u32 irq = kNoIrq;  ///< depth of the interrupt's entry
  };
  enum class Kind : km::u8 { waiting, entry, leaf, exit, comment };
  struct Record {
    Kind kind;
    bool irq;
    km::Fn fn;
    km::u32 depth, cpu;
    km::s32 pid;
    km::NameId comm;
    km::u64 ts, duration;
    std::string text;
  };
  static constexpr km::u32 kNoIrq = ~km::u32{0};
  static constexpr km::u64 kNone = ~km::u64{0};

  TaskStack& stack_of(const km::TraceEvent& e);
  bool hidden(const TaskStack& s, km::Fn f, km::u32 depth) const;
  void change_pid(std::size_t from, std::size_t to);
  void enter(const km::TraceEvent& e);
  void leave(const km::TraceEvent& e);
  void add(Record r);
  void write_ready(bool all);
  void write(const Record& r);
  std::string_view name_of(km::Fn f);

  OutFile file_;
  const km::NameTable& names_;
  EventText events_text_;
  GraphOptions options_;
  GraphText text_;
  std::vector<TaskStack> tasks_, idle_;  ///< by pid, by CPU
  std::deque<Record> queue_;
  km::u64 first_ = 0;             ///< number of the record at the head of queue_
  std::vector<km::u64> waiting_;  ///< per CPU: number of the entry that may turn out to be a leaf
  std::string buffer_, name_;
};

}  // namespace forksim
