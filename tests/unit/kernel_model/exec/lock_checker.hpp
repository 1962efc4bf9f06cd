// Watches lock_acquired and lock_release: whoever writes is alone, whoever reads has no writer beside him.
//
// Purpose: mutual exclusion at every instant of a run, for any test that subscribes it. Source: the tracepoints of the system `lock`.
// Units: ns. Ownership: the test's; must outlive the run. Errors: what is wrong is kept as text, the first time only.
// Not checked: the order in which waiters get a lock (the tests of lock.hpp do).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernel_model/lock/lock.hpp"
#include "kernel_model/trace/trace.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

namespace forksim::km::test {

/// The end of a wait for a lock: on which CPU, when, after how long.
struct WaitEnd {
  u32 cpu;
  Ns at, wait;
  bool operator==(const WaitEnd&) const = default;
};
/// Dates from `since` on.
inline std::vector<WaitEnd> wait_ends(const ScriptMachine& m, Ns since) {
  std::vector<WaitEnd> out;
  for (const TraceEvent& e : m.of(Tp::contention_end)) out.push_back({e.cpu.v, e.ts - since, Ns(e.args[3])});
  return out;
}

/// A system call that locks the caller's run queue, and the end of what a test asks of a task.
inline const Op kNice{.kind = OpKind::nice, .arg = 0}, kPause{.kind = OpKind::pause};

class LockChecker final : public TraceListener {
 public:
  explicit LockChecker(Trace& trace) : names_(trace.names()) {
    TpSet s;
    for (Tp id : {Tp::lock_acquired, Tp::lock_release, Tp::contention_begin, Tp::contention_end}) s.set(static_cast<std::size_t>(id));
    trace.subscribe(*this, s);
  }
  void on_event(const TraceEvent& e) override {
    const std::string& name = names_[NameId(static_cast<u32>(e.args[0]))];
    const bool shared = name.ends_with("-R");
    State& l = locks_[e.args[1]];
    if (e.id == Tp::contention_begin) ++waits_;
    if (e.id == Tp::contention_end) waited_ += Ns(e.args[3]);
    if (e.id == Tp::lock_acquired) {
      if (l.writer || (!shared && l.readers)) wrong(e, name + " is taken while it is held");
      shared ? ++l.readers : l.writer = 1;
      ++taken_;
    }
    if (e.id == Tp::lock_release) {
      if (shared ? !l.readers : !l.writer) wrong(e, name + " is given up by nobody");
      shared ? --l.readers : l.writer = 0;
    }
  }
  /// Empty when all is well.
  const std::string& wrong() const { return wrong_; }
  u64 taken() const { return taken_; }
  u64 waits() const { return waits_; }
  Ns waited() const { return waited_; }
  /// Locks held now.
  u64 held() const {
    u64 n = 0;
    for (const auto& [number, l] : locks_) n += l.readers + l.writer;
    return n;
  }

 private:
  struct State {
    u32 readers = 0, writer = 0;
  };
  void wrong(const TraceEvent& e, const std::string& what) {
    if (wrong_.empty()) wrong_ = std::to_string(e.ts.v) + " ns, CPU " + std::to_string(e.cpu.v) + ": " + what + "; ";
  }
  const NameTable& names_;
  std::map<u64, State> locks_;  ///< by number
  std::string wrong_;
  u64 taken_ = 0, waits_ = 0;
  Ns waited_;
};

}  // namespace forksim::km::test
