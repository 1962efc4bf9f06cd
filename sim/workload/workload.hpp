// A workload, compiled: programs as flat code, objects, starts.
//
// Purpose: what sim/workload/programs.hpp executes; made by compile_workload from checked values, read-only afterwards.
// Source:  the workload language of sim/config/schema.def. Units: ns, bytes, counts.
// Ownership: one Workload per run; ForkSpec, ExecSpec, shapes and names inside keep their addresses when it is moved; it is not copied.
// Errors:  none here. Not modelled: what schema.def lists as UNMODELLED.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "kernel_model/user_space.hpp"
#include "sim/config/expr.hpp"
#include "sim/workload/distributions.hpp"

namespace forksim {

enum class Code : u8 {
#define CODE(name, failed) name,
#include "sim/workload/codes.def"
#undef CODE
};

enum class OnError : u8 { ignore, retry, exit, leave };
enum class NumSource : u8 { constant, expr, draw };

inline constexpr u32 kNoIndex = 0xffffffff;

/// One instruction. Which fields count depends on the code; slots are registers of the task's frame.
struct Instr {
  Code code = Code::end;
  OnError on_error = OnError::ignore;
  OnError on_eof = OnError::ignore;
  NumSource source = NumSource::constant;
  bool flag = false;  ///< sigaction: SA_NOCLDWAIT; ptrace: the tracee takes its signal
  u8 arg = 0;         ///< policy, signal, wait options, touch kind, direction in a socket pair, sigaction's disposition
  u16 slot = 0;       ///< loop: index, limit, deadline; sleep and timer: date; fork, wait, kill, join: first child
  u16 children = 0;   ///< number of child slots
  u32 a = 0;          ///< object, fork site, exec site, text, mask, choice, handler
  u32 b = 0;          ///< cond_wait: mutex
  u32 target = 0;     ///< jumps and `break`
  u32 at = kNoIndex;  ///< expression: which of an array; loop_begin: time limit
  u32 index = 0;      ///< expression or draw behind `num`
  s64 num = 0;        ///< constant value
};

/// Postfix code with names bound to slots.
struct RunExpr {
  std::vector<ExprTok> code;
};

struct DrawSite {
  Distribution dist;
  u16 slot = 0;     ///< state of the stream
  u64 purpose = 0;  ///< hash of program and purpose
};

struct ObjectDecl {
  km::ObjectKind kind = km::ObjectKind::mutex;
  std::string name;
  u64 param = 0;
  u32 count = 1;
  bool per_instance = false;
  bool socketpair = false;
  /// Kernel objects behind the declaration.
  u32 size() const { return count * (socketpair ? 2 : 1); }
};

struct ForkSite {
  km::ForkSpec spec;  ///< spec.program is the site's index
  u32 entry = 0;      ///< first instruction of the child
  u32 program = 0;
  bool inline_child = false;  ///< the child keeps a copy of the parent's frame
  bool thread = false;
  bool deadline = false;  ///< the child's program asks for SCHED_DEADLINE
  u16 ordinal_slot = 0;   ///< how many children this site has made
  u32 index = kNoIndex;   ///< expression: number of the child
  u64 label = 0;          ///< hash of the child's name, for its streams
  std::vector<u32> args;  ///< expressions for the program's args
};

struct ExecSite {
  km::ExecSpec spec;  ///< spec.program is the site's index
  u32 program = 0;
  std::vector<u32> args;
};

/// A branch of choose is taken when the draw is below `upto`.
struct Choice {
  struct Branch {
    u64 upto;
    u32 target;
  };
  std::vector<Branch> branches;
  u16 slot = 0;
  u64 purpose = 0;
};

struct HandlerCode {
  u32 entry = 0;
  u16 slots = 0;
};

/// A policy as the file gives it.
struct PolicyChoice {
  bool given = false, deadline = false;  ///< deadline: asked for, runs as SCHED_FIFO 99
  km::SchedPolicy policy = km::SchedPolicy::normal;
  u32 rt_priority = 0;
};

struct Program {
  std::string name, file, command;
  u32 entry = 0;
  u16 slots = 1;  ///< size of the frame; slot 0 is `index`, then the args
  u16 args = 0;
  km::ProcessShape shape;
  bool has_nice = false;
  int nice = 0;
  bool has_affinity = false;
  km::CpuMask affinity;
  km::PlacementIds placement{};
  PolicyChoice policy;
  bool has_group = false;
  u32 group = 0;  ///< index into Workload::groups + 1; 0: the root
  std::vector<u32> objects;  ///< declarations it or its descendants use, ascending
};

struct StartDecl {
  u32 program = 0;
  std::vector<km::Ns> arrivals;
  bool has_nice = false;
  int nice = 0;
  bool has_affinity = false;
  km::CpuMask affinity;
  PolicyChoice policy;
  bool has_group = false;
  u32 group = 0;
  std::vector<s64> args;
  u32 uid = 0;
  km::PlacementIds placement{};
  u64 key = 0;  ///< of its streams
};

/// When a place of copy_process and its kin fails.
struct FailureDecl {
  km::FailPoint point{};
  enum class When : u8 { nth, every, chance } when = When::nth;
  u64 n = 0;
  double chance = 0;
};

struct InterruptDecl {
  km::IrqSpec spec;
  std::vector<km::Ns> dates;
};

struct Workload {
  Workload() = default;
  Workload(Workload&&) = default;
  Workload& operator=(Workload&&) = default;
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  std::string name, description, source;
  std::vector<km::GroupSpec> groups;  ///< names are in texts
  std::vector<ObjectDecl> objects;
  std::vector<Program> programs;
  std::vector<StartDecl> starts;
  std::vector<Instr> code;
  std::vector<RunExpr> exprs;
  std::vector<DrawSite> draws;
  std::vector<ForkSite> forks;
  std::vector<ExecSite> execs;
  std::vector<Choice> choices;
  std::vector<HandlerCode> handlers;
  std::vector<km::CpuMask> masks;
  std::deque<std::string> texts;
  std::deque<km::KthreadSpec> kthreads;
  std::vector<std::string> placements{"kernel"};  ///< names and files of rules; PlacementIds count from 1
  km::PlacementIds placement{};                   ///< of the run
  std::vector<FailureDecl> failures;
  std::vector<InterruptDecl> interrupts;
  bool hotplug = false;  ///< a program takes CPUs off or on
  /// Highest CPU named anywhere, for the check against the platform; -1 when none is.
  int highest_cpu = -1;
  /// Where that CPU is named (file:line:col is in the diagnostic made of it).
  std::string highest_cpu_path;
  int highest_cpu_line = 0, highest_cpu_col = 0;
};

}  // namespace forksim
