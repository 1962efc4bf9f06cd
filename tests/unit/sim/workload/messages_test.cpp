// Shipped workloads that pass messages: every pipe takes in as many as it gives out, whatever the parameters.
#include <map>

#include "tests/unit/sim/workload/support.hpp"

using namespace forksim;
using namespace forksim::test;
using km::OpKind;

namespace {

struct Traffic {
  std::map<u32, u64> written, read;  ///< bytes by pipe
  u64 tasks = 0;
  std::map<u32, u64> barriers;  ///< arrivals by barrier
};

/// Runs every program to its end, children after their parents; nothing ever blocks.
Traffic run_all(const std::string& file, const std::vector<Override>& overrides) {
  Diagnostics d;
  const ResolvedRun run = resolve_run(FORKSIM_SOURCE_DIR "/workloads/" + file, overrides, {}, d);
  REQUIRE_MESSAGE(d.ok(), d.text());
  Programs programs(run.workload);
  FakeKernel kernel;
  programs.instantiate(kernel);
  std::vector<u32> todo;
  for (u32 u = 1; u <= kernel.started.size(); ++u) todo.push_back(u);
  Traffic t;
  int pid = 100;
  while (!todo.empty()) {
    const u32 user = todo.back();
    todo.pop_back();
    ++t.tasks;
    km::Op op;
    s64 result = 0;
    for (bool alive = true; alive;) {
      op = programs.next_op(user, result, km::Ns(0), op);
      result = 0;
      if (op.kind == OpKind::fork) {
        result = ++pid;
        todo.push_back(programs.fork_child(user, *op.fork, km::Pid(pid)));
      }
      if (op.kind == OpKind::wait) result = -10;
      if (op.kind == OpKind::barrier_wait) ++t.barriers[op.object];
      if (op.kind == OpKind::pipe_write || op.kind == OpKind::pipe_read) {
        (op.kind == OpKind::pipe_write ? t.written : t.read)[op.object] += op.count;
        result = static_cast<s64>(op.count);
      }
      alive = op.kind != OpKind::exit && op.kind != OpKind::exit_group;
    }
    programs.task_gone(user);
  }
  CHECK(programs.live() == 0);
  CHECK(programs.anomaly(Anomaly::index_wrapped) == 0);
  return t;
}

}  // namespace

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("hackbench: every receiver gets fds x loops messages of 100 bytes, and all parties meet at the barrier") {
  for (const auto& [groups, fds, loops] : {std::tuple{1, 20, 5}, std::tuple{2, 3, 2}, std::tuple{3, 1, 4}}) {
    CAPTURE(groups);
    const Traffic t = run_all("hackbench.yaml",
                              {parse_set("parameters.groups=" + std::to_string(groups)), parse_set("parameters.fds=" + std::to_string(fds)),
                               parse_set("parameters.loops=" + std::to_string(loops))});
    CHECK(t.tasks == static_cast<u64>(1 + 2 * groups * fds));
    CHECK(t.written == t.read);
    CHECK(t.written.size() == static_cast<std::size_t>(groups * fds));
    for (const auto& [pipe, bytes] : t.written) CHECK(bytes == static_cast<u64>(100 * fds * loops));
    REQUIRE(t.barriers.size() == 1);
    CHECK(t.barriers.begin()->second == t.tasks);
  }
}

TEST_CASE("lmbench_lat_ctx: the token passes every pipe of the ring in every round") {
  for (int procs : {2, 3, 8}) {
    CAPTURE(procs);
    const Traffic t =
        run_all("lmbench_lat_ctx.yaml", {parse_set("parameters.procs=" + std::to_string(procs)), parse_set("parameters.rounds=10")});
    CHECK(t.tasks == static_cast<u64>(procs));
    CHECK(t.written.size() == static_cast<std::size_t>(procs));
    for (const auto& [pipe, bytes] : t.written) {
      CAPTURE(pipe);
      CHECK(bytes == 4 * 11);  // ten rounds and the farewell
      if (pipe != 0) CHECK(t.read.at(pipe) == bytes);
    }
    CHECK(t.read.at(0) == 4 * 10);  // nobody waits for the farewell to come home
  }
}

TEST_SUITE_END();
