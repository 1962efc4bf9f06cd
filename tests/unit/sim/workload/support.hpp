// Helpers of the workload tests.
//
// Purpose: compile a workload from text and drive its programs by hand, with a stand-in for the kernel that only keeps books.
// Source: km::UserSpace's contract. Units: ns. Ownership: Rig owns run, programs and kernel. Errors: REQUIRE. Not modelled: time, blocking.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sim/workload/programs.hpp"
#include "sim/workload/resolved_run.hpp"

namespace forksim::test {

struct FakeKernel {
  struct Object {
    km::ObjectKind kind;
    u64 param;
  };
  std::vector<Object> objects;
  std::vector<km::StartSpec> started;
  std::vector<std::pair<u32, u32>> attached;

  u32 create_object(km::ObjectKind kind, u64 param) {
    objects.push_back({kind, param});
    return static_cast<u32>(objects.size() - 1);
  }
  void start(const km::StartSpec& s) { started.push_back(s); }
  void attach_pipe(u32 user, u32 pipe) { attached.emplace_back(user, pipe); }
};

inline ResolvedRun compiled(const std::string& text, const std::vector<Override>& overrides = {}) {
  Diagnostics d;
  ResolvedRun run = resolve_text("schema: forksim.workload/1\n" + text, "t.yaml", overrides, {}, d);
  REQUIRE_MESSAGE(d.ok(), d.text());
  return run;
}

/// A compiled workload whose tasks are driven one operation at a time.
struct Rig {
  explicit Rig(const std::string& text, const std::vector<Override>& overrides = {})
      : run(compiled(text, overrides)), programs(run.workload) {
    programs.instantiate(kernel);
  }
  /// One program `a` with these phases (flow YAML items, one per line).
  static std::string one(const std::string& phases, const std::string& before = "") {
    std::string body;
    for (std::size_t at = 0; at < phases.size();) {
      const std::size_t end = std::min(phases.find('\n', at), phases.size());
      body += "      " + phases.substr(at, end - at) + "\n";
      at = end + 1;
    }
    return "until: 1s\n" + before + "processes:\n  - name: a\n    phases:\n" + body + "start:\n  - {process: a}\n";
  }

  km::Op next(u32 user = 1, s64 result = 0) {
    km::Op space;
    return programs.next_op(user, result, km::Ns(now), space);
  }
  /// A fork operation of `parent` succeeds: the child's handle.
  u32 fork(const km::Op& op, u32 parent, int pid) {
    REQUIRE(op.kind == km::OpKind::fork);
    return programs.fork_child(parent, *op.fork, km::Pid(pid));
  }

  ResolvedRun run;
  Programs programs;
  FakeKernel kernel;
  u64 now = 0;
};

}  // namespace forksim::test
