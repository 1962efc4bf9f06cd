// From checked values to a compiled workload.
//
// Purpose: resolves names (programs, objects, children, loop indexes, args), gives registers and streams, lays out flat code.
// Source:  the language of sim/config/schema.def. Units: ns, bytes. Ownership: borrows the tree and the document.
// Errors:  Diagnostics: unknown names with hints, arrays overrun by constants, loops that never end, values that must be constant.
// Not here: execution (programs.cpp), overrides and provenance (resolved_run.cpp).
#pragma once

#include <map>
#include <set>

#include "sim/config/diagnostics.hpp"
#include "sim/config/value.hpp"
#include "sim/workload/workload.hpp"

namespace forksim {

class Compiler {
 public:
  Compiler(const Value& tree, const YamlDocument& doc, u64 seed, Diagnostics& diags) : tree_(tree), doc_(doc), seed_(seed), diags_(diags) {}
  Workload compile();

 private:
  struct ChildName {
    std::string name;
    u16 base, count;
  };
  struct Loop {
    std::vector<u32> breaks;  ///< instructions whose target is the end of the loop
  };
  /// Names and registers of one frame: a program with its inline children, or a handler.
  struct Scope {
    std::string label;  ///< for streams and messages
    u32 program = kNoIndex;
    bool handler = false;
    u16 slots = 1;
    std::vector<std::pair<std::string, u16>> numbers;  ///< args and loop indexes in force
    std::vector<ChildName> children;
    std::map<std::string, u32> ordinals;
    std::vector<Loop> loops;
  };

  // declarations (compiler.cpp)
  void declare_objects();
  void declare_object_list(std::string_view key, km::ObjectKind kind, std::string_view param, bool socketpair);
  void declare_programs();
  void compile_program(u32 index);
  void compile_starts();
  void compile_start(const Value& v, std::map<u32, u64>& occurrences);
  std::vector<km::Ns> arrivals(const Value& v, u64 key);
  std::vector<s64> start_args(const Value& start, u32 program);
  void close_objects();
  void check_object_count();
  void check_shapes();
  void check_endless();
  bool endless(const Value& body) const;
  void link_specs();
  km::ProcessShape shape_of(const Value& v);
  km::PlacementIds placement_of(const Value& v);
  km::CpuMask mask_of(const Value& cpus);
  void note_cpu(const Value& place, s64 cpu);
  void declare_failures();
  void declare_groups();
  void check_quota(const Value& place, const km::GroupSpec& spec);
  u32 group(const Value& name);
  PolicyChoice policy_choice(const Value& map);
  void declare_interrupts();

  // phases (compiler_phases.cpp, compiler_tasks.cpp)
  void body(Scope& s, const Value& list);
  void phase(Scope& s, const Value& v);
  void simple(Scope& s, const Value& v, const std::string& action);
  void numeric(Scope& s, const Value& v, const std::string& action, Code code);
  void repeated(Scope& s, Instr i, const Value& count);
  void fork(Scope& s, const Value& v, const std::string& action);
  bool fork_site(Scope& s, const Value& v, const std::string& action, ForkSite& site);
  void fork_names(Scope& s, const Value& v, Instr& i);
  void fork_gap(Scope& s, const Value& v, u16 round);
  void fork_code(Scope& s, const Value& v, Instr i);
  void child_code(Scope& s, const Value& v, u32 site);
  u64 clone_flags(const Value& v, const std::string& action) const;
  void exec(Scope& s, const Value& v);
  void wait(Scope& s, const Value& v);
  void each_child(Scope& s, const Value& v, const std::string& name, Instr i);
  void signal(Scope& s, const Value& v);
  u16 child_slot(Scope& s, const Value& name);
  void process_group(Scope& s, const Value& v, const std::string& action);
  void kthread(Scope& s, const Value& v);
  void queue_work(const Value& v);
  void cpu_online(Scope& s, const Value& v, bool on);
  void sigmask(const Value& v);
  void ptrace(Scope& s, const Value& v, const std::string& action);
  void sched_action(Scope& s, const Value& v, const std::string& action);
  static u8 signal_number(std::string_view name);
  void object_op(Scope& s, const Value& v, const std::string& action);
  void loop(Scope& s, const Value& v);
  void choose(Scope& s, const Value& v);
  void brk(Scope& s, const Value& v);

  // operands
  u32 emit(Instr i);
  /// The end of a loop that `begin` (at `head`) opened and whose body starts at `first`.
  void end_loop(const Instr& begin, u32 head, u32 first);
  void patch(u32 at) { w_.code[at].target = static_cast<u32>(w_.code.size()); }
  u16 slot(Scope& s, const Value& v, u64 n = 1);
  std::string purpose(Scope& s, const std::string& action);
  void number(Scope& s, Instr& i, const Value& v, const std::string& action);
  u32 bind(Scope& s, const Value& v);
  u32 slot_expr(u16 slot);
  u32 draw_site(Scope& s, const Value& v, const std::string& action);
  u32 at_operand(Scope& s, const Value& at, const Value& place, u32 count, const std::string& what);
  u32 object(const Value& name, std::initializer_list<km::ObjectKind> kinds, const char* what);
  u32 program(const Value& name);
  std::vector<u32> args(Scope& s, const Value& v, u32 program);
  OnError policy(const Value& v);
  void leaves(Scope& s, Instr& i, const Value& place);
  void end_code(const Scope& s);
  std::string number_names(const Scope& s) const;
  bool takes_time(const Value& body) const;
  bool action_takes_time(const Value& v) const;

  void error(const Value& v, std::string what, std::string allowed = {}, std::string hint = {});

  const Value& tree_;
  const YamlDocument& doc_;
  const u64 seed_;
  Diagnostics& diags_;
  Workload w_;
  std::map<std::string, u32, std::less<>> program_index_, object_index_, group_index_;
  std::vector<const Value*> program_values_;
  std::vector<std::set<u32>> uses_, calls_;  ///< by program: objects, programs it forks or execs
  std::vector<bool> shaped_;                 ///< started or exec'ed
};

}  // namespace forksim
