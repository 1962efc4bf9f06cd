// Policies, groups and the actions on them: what reaches the kernel.
#include "tests/unit/sim/workload/support.hpp"

using namespace forksim;
using namespace forksim::test;
using km::OpKind;

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("policy, nice, affinity and cgroup carry whom and what, a child that was not forked is counted and left out") {
  Rig r(Rig::one("- {policy: fifo, priority: 9, reset_on_fork: true}\n"
                 "- {nice: -5}\n"
                 "- {cgroup: g}\n"
                 "- {fork: , child: [{run: 1ms}], as: kid}\n"
                 "- {policy: idle, of: kid}\n"
                 "- {affinity: 1-2, of: kid}\n"
                 "- {cgroup: root, of: kid}\n",
                 "cgroups:\n  - {name: f}\n  - {name: g, parent: f, shares: 512}\n"));
  REQUIRE(r.run.workload.groups.size() == 2);
  CHECK(r.run.workload.groups[1].parent == 1);
  CHECK(r.run.workload.groups[1].shares == 512);
  CHECK(r.run.workload.groups[1].cfs_quota_us == km::GroupSpec::kNoQuota);
  km::Op op = r.next();
  CHECK(op.kind == OpKind::setscheduler);
  CHECK(op.arg == 1);  // SCHED_FIFO
  CHECK(op.count == 9);
  CHECK(op.flag);
  CHECK(op.pid == km::Pid(0));
  op = r.next();
  CHECK(op.kind == OpKind::nice);
  CHECK(op.arg == -5);
  op = r.next(1, -13);  // EACCES
  CHECK(op.kind == OpKind::cgroup_attach);
  CHECK(op.arg == 2);
  CHECK(r.programs.anomaly(Anomaly::sched_error) == 1);
  CHECK(r.next().kind == OpKind::fork);
  op = r.next(1, 77);
  CHECK(op.kind == OpKind::setscheduler);
  CHECK(op.arg == 5);  // SCHED_IDLE
  CHECK(op.pid == km::Pid(77));
  op = r.next();
  CHECK(op.kind == OpKind::affinity);
  CHECK(*op.mask == km::CpuMask::from_word(0b110));
  CHECK(op.pid == km::Pid(77));
  op = r.next();
  CHECK(op.kind == OpKind::cgroup_attach);
  CHECK(op.arg == 0);
}

TEST_CASE("a start item's policy and group come before the program's, and a forked program's go to the child") {
  const std::string text =
      "cgroups:\n  - {name: g}\nprocesses:\n"
      "  - name: a\n    policy: rr\n    priority: 3\n    phases:\n      - {fork: b}\n"
      "  - name: b\n    policy: batch\n    cgroup: g\n    phases:\n      - {run: 1ms}\n"
      "start:\n  - {process: a}\n  - {process: a, policy: fifo, priority: 4, cgroup: g}\n  - {process: b, cgroup: root}\n";
  const ResolvedRun run = compiled(text);
  Programs programs(run.workload);
  FakeKernel kernel;
  programs.instantiate(kernel);
  REQUIRE(kernel.started.size() == 3);
  CHECK(kernel.started[0].policy == km::SchedPolicy::rr);
  CHECK(kernel.started[0].rt_priority == 3);
  CHECK(kernel.started[0].group == 0);
  CHECK(kernel.started[1].policy == km::SchedPolicy::fifo);
  CHECK(kernel.started[1].rt_priority == 4);
  CHECK(kernel.started[1].group == 1);
  CHECK(kernel.started[2].group == 0);  // root in place of the program's
  km::Op space;
  const km::Op& op = programs.next_op(kernel.started[0].user, 0, km::Ns(0), space);
  REQUIRE(op.kind == OpKind::fork);
  CHECK(op.fork->has_policy);
  CHECK(op.fork->policy == km::SchedPolicy::batch);
  CHECK(op.fork->group == 1);
}

TEST_SUITE_END();
