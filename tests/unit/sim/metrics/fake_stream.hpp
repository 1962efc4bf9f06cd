// A hand-made stream of trace events for the listeners.
//
// Purpose: tests say what happens, one call per event, with the fields in the order of tracepoints.def.
// Units: ns. Ownership: the stream owns the Trace; listeners are the test's. Errors: none.
#pragma once

#include <initializer_list>
#include <string_view>

#include "kernel_model/trace/trace.hpp"

namespace forksim::test {

class FakeStream {
 public:
  using u64 = km::u64;
  km::Trace trace;

  u64 name(std::string_view s) { return trace.names().intern(s).v; }
  /// An event on `cpu` in the context of `pid`.
  void emit(u64 ts, km::u32 cpu, int pid, km::Tp id, std::initializer_list<u64> args) {
    km::TraceEvent e{};
    e.ts = km::Ns(ts);
    e.id = id;
    e.cpu = km::CpuId(cpu);
    e.pid = km::Pid(pid);
    e.comm = km::NameId(static_cast<km::u32>(pid == 0 ? name("swapper/" + std::to_string(cpu)) : name("t" + std::to_string(pid))));
    std::size_t i = 0;
    for (u64 a : args) e.args[i++] = a;
    trace.dispatch(e);
  }
  u64 comm(int pid) { return pid == 0 ? name("swapper") : name("t" + std::to_string(pid)); }

  void sw(u64 ts, km::u32 cpu, int prev, char state, int next, bool preempted = false) {
    const u64 s = static_cast<unsigned char>(state) | (preempted ? km::TaskStateChar::kPreempted : 0);
    emit(ts, cpu, prev, km::Tp::sched_switch, {comm(prev), static_cast<u64>(prev), 120, s, comm(next), static_cast<u64>(next), 120});
  }
  void wake(u64 ts, km::u32 cpu, int by, km::Tp id, int pid, u64 target) {
    emit(ts, cpu, by, id, {comm(pid), static_cast<u64>(pid), 120, target});
  }
  void newtask(u64 ts, km::u32 cpu, int parent, int child, u64 flags = 0x1200011) {
    emit(ts, cpu, parent, km::Tp::task_newtask, {static_cast<u64>(child), comm(child), flags, 0});
  }
  /// Any forksim event whose first field is the pid.
  void mark(u64 ts, km::u32 cpu, int by, km::Tp id, int pid, u64 a = 0, u64 b = 0) { emit(ts, cpu, by, id, {static_cast<u64>(pid), a, b}); }
  void place(u64 ts, km::u32 cpu, int by, u64 kind, int pid, u64 prev_cpu, u64 chosen, u64 idle_mask) {
    emit(ts, cpu, by, km::Tp::placement, {kind, static_cast<u64>(pid), cpu, prev_cpu, chosen, idle_mask, 10, 20});
  }
  void acct(u64 ts, km::u32 cpu, int pid, u64 utime, u64 stime, u64 run_delay, u64 nvcsw = 0, u64 nivcsw = 0) {
    emit(ts, cpu, pid, km::Tp::task_acct, {static_cast<u64>(pid), utime, stime, run_delay, nvcsw, nivcsw, 7, 1});
  }
};

}  // namespace forksim::test
