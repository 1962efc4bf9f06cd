// The call stacks that function_graph sees.
//
// Purpose: turns the marks of steps into ftrace:funcgraph_entry and funcgraph_exit. A task keeps the functions it is inside of while it
//          sleeps; interrupts nest on the task they interrupt; do_exit never returns, so its functions are never left.
// Source:  Linux 4.19 kernel/trace/trace_functions_graph.c (ftrace_push_return_trace, ftrace_pop_return_trace).
// Units:   simulated ns. Ownership: by the Core; stacks are made when the first listener is served and cost nothing before.
// Errors:  none. Not modelled: the depth limit of 50 return addresses, lost events, the tracer's own time.
#pragma once

#include <vector>

#include "kernel_model/exec/fn_mark.hpp"
#include "kernel_model/exec/frame.hpp"

namespace forksim::km {

class Core;
struct Cpu;
struct Ctx;
struct Mm;
struct Step;
struct Task;

class FuncGraph {
 public:
  /// A step of the frame of `x` begins.
  void step(Ctx x, const Step& s);
  /// The path of `f` returns: what it has entered is left.
  void ret(Core& k, const Cpu& c, const Frame& f);
  /// For effects: calls a leaf, enters, leaves (with all that is open inside; nothing when it is not open).
  void call(Ctx& x, Fn f);
  void enter(Ctx& x, Fn f);
  void leave(Ctx& x, Fn f);
  /// The task goes to user mode by another way than the return of its paths (a handler's frame, sigreturn, execve in a handler).
  void leave_all(Ctx& x);
  /// Whether the path of `x` is inside of `f`, which it or one of its earlier steps has entered.
  bool is_open(Ctx& x, Fn f);
  /// Around a piece of an effect that runs on `c`; the two come in pairs.
  void span_enter(Core& k, const Cpu& c, Fn f);
  void span_leave(Core& k, const Cpu& c);
  /// The address space that `c` has loaded: whether `next` needs another one, and a dead one that it leaves by that.
  bool switch_mm(const Cpu& c, const Mm* next);
  bool drop_mm(const Cpu& c);
  void mm_gone(const Mm* mm);
  /// What the workload's start of a process does is nobody's call.
  void pause(bool on) { paused_ = on; }
  /// The task_struct is freed.
  void forget(const Task& t);

 private:
  std::vector<Fn>& stack(const Task& t);
  void open(Core& k, const Cpu& c, Fn f);
  void close_to(Core& k, const Cpu& c, u8 depth);
  void begin(Ctx& x);
  void apply(Ctx& x, const FnMark& m);
  static u8 size(const std::vector<Fn>& s) { return static_cast<u8>(s.size()); }

  /// A CPU keeps the address space of its last user task, even one that is dead, until it loads another.
  struct Lazy {
    const Mm* mm = nullptr;
    u64 dead = 0;  ///< number of a dead one, 0: none
    u64 drop = 0;  ///< of the one just left
  };
  Lazy& lazy(const Cpu& c);

  std::vector<std::vector<Fn>> stacks_;  ///< by task_pool index
  std::vector<Lazy> lazy_;               ///< by CPU
  u64 deaths_ = 0;
  bool paused_ = false;
};

}  // namespace forksim::km
