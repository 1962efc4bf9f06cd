// Looks at every function that is entered and left.
//
// Purpose: a task leaves what it entered last, at the depth that it is told; interrupts are gone when it goes on. Units: none.
// Ownership: the caller's. Errors: `wrong` tells the first. Not here: which functions there are.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernel_model/trace/functions.hpp"
#include "kernel_model/trace/trace.hpp"

namespace forksim::km::test {

class GraphChecker final : public TraceListener {
 public:
  static TpSet events() {
    TpSet s;
    for (Tp t : {Tp::funcgraph_entry, Tp::funcgraph_exit, Tp::de_thread}) s.set(static_cast<std::size_t>(t));
    return s;
  }
  void on_event(const TraceEvent& e) override {
    if (e.id == Tp::de_thread) {
      take_over(e, static_cast<s32>(e.args[0]), static_cast<s32>(e.args[1]));
      return;
    }
    if (const auto old = old_leader_on_.find(e.cpu.v); old != old_leader_on_.end()) {
      if (old->second == e.pid.v) return;
      old_leader_on_.erase(old);
    }
    last_cpu_[e.pid.v] = e.cpu.v;
    // idle tasks share 0
    std::vector<Fn>& s = open_[e.pid.v ? e.pid.v : -1 - static_cast<s32>(e.cpu.v)];
    const Fn f = static_cast<Fn>(e.args[0]);
    ++seen_;
    if (e.id == Tp::funcgraph_entry) {
      // what a dead task with the same number has left
      if (e.args[1] < s.size()) s.resize(e.args[1]);
      if (e.args[1] != s.size() && !s.empty()) fail(e, "enters at another depth", f);
      s.resize(e.args[1]);
      s.push_back(f);
      return;
    }
    if (s.size() != e.args[1] + 1 || s.back() != f) {
      if (!s.empty()) fail(e, "leaves another function", f);
      s.resize(e.args[1]);
      return;
    }
    s.pop_back();
  }
  const std::string& wrong() const { return wrong_; }
  u64 seen() const { return seen_; }

 private:
  /// execve of a thread: it goes on under its leader's number, which that keeps too, perhaps still in its last schedule() elsewhere.
  void take_over(const TraceEvent& e, s32 pid, s32 old_pid) {
    open_[pid] = std::exchange(open_[old_pid], {});
    if (last_cpu_[pid] != e.cpu.v) old_leader_on_[last_cpu_[pid]] = pid;
    last_cpu_[pid] = e.cpu.v;
  }
  void fail(const TraceEvent& e, const char* what, Fn f) {
    if (!wrong_.empty()) return;
    wrong_ = "pid " + std::to_string(e.pid.v) + " on CPU " + std::to_string(e.cpu.v) + " at " + std::to_string(e.ts.v) + " ns " + what +
             ": " + std::string(info(f).name);
  }
  std::map<s32, std::vector<Fn>> open_;
  std::map<s32, u32> last_cpu_;
  std::map<u32, s32> old_leader_on_;
  std::string wrong_;
  u64 seen_ = 0;
};

}  // namespace forksim::km::test
