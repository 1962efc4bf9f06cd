#include <doctest/doctest.h>

#include "kernel_model/sched/weights.hpp"
#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/fair");

TEST_CASE("a child on its parent's CPU starts one virtual slice of two tasks to the right and does not preempt") {
  Pair t;
  // 18 ms / 2 through the inverse of 2048: 8999995
  CHECK(t.b->se.vruntime.minus(t.m.rq(0).cfs.min_vruntime) == 8999995);
  CHECK_FALSE(t.a.need_resched());
  CHECK(&t.m.curr(0) == &t.a);
}

TEST_CASE("child_runs_first swaps the vruntimes and asks for a switch") {
  KernelProfile k = rpi();
  k.tunables[static_cast<std::size_t>(Tunable::sched_child_runs_first)] = 1;
  Pair t(k);
  CHECK(t.a.need_resched());
  CHECK(&t.m.schedule(0, true) == t.b);
}

TEST_CASE("the tick asks for a switch when the slice is used up, but the pick keeps the task while it is still leftmost") {
  Pair t;
  auto tick = [&] {
    t.m.advance(4 * kMs);
    t.m.sched.scheduler_tick(CpuId(0));
    return t.a.need_resched();
  };
  CHECK_FALSE(tick());  // ran 1 + 4 ms of 8999995 ns
  CHECK(tick());        // ran 9 ms
  // b was placed 8999995 ns to the right of where a was after 1 ms; a is only 8 ms further.
  CHECK(&t.m.schedule(0, true) == &t.a);
  CHECK(t.a.nivcsw == 0);
  CHECK(tick());  // the slice was not restarted
  CHECK(&t.m.schedule(0, true) == t.b);
  CHECK(t.a.nivcsw == 1);
  CHECK(t.a.nvcsw == 0);
}

TEST_CASE("a long sleeper gets half a latency of credit and preempts, a short one keeps its place") {
  Pair t;
  TestMachine& m = t.m;
  m.advance(20 * kMs);
  CHECK(&m.schedule(0, true) == t.b);
  m.advance(20 * kMs);
  m.sleep(0);  // 9 ms ahead of a now
  CHECK(&m.curr(0) == &t.a);
  const VNs before = t.b->se.vruntime;
  m.advance(1000);
  m.sched.try_to_wake_up(*t.b, TASK_NORMAL, 0, CpuId(0));
  CHECK(t.b->se.vruntime == before);
  CHECK_FALSE(t.a.need_resched());

  m.advance(20 * kMs);
  CHECK(&m.schedule(0, true) == t.b);
  m.advance(kMs);
  m.sleep(0);
  m.advance(500 * kMs);
  m.sched.try_to_wake_up(*t.b, TASK_NORMAL, 0, CpuId(0));
  CHECK(t.b->se.vruntime.minus(m.rq(0).cfs.min_vruntime) == -9 * s64(kMs));
  CHECK(t.a.need_resched());
}

TEST_CASE("the skipped task after sched_yield is passed over once when the other is close enough") {
  Pair t;
  TestMachine& m = t.m;
  m.advance(8 * kMs);  // a is 1 ms behind b in virtual time: below the 3 ms granularity
  m.sched.yield_task(CpuId(0));
  CHECK(&m.schedule(0) == t.b);
  CHECK(m.rq(0).cfs.skip == &t.a.se);  // remembered until it is picked or leaves
  m.advance(30 * kMs);
  CHECK(&m.schedule(0, true) == &t.a);  // b is too far ahead now
  CHECK(m.rq(0).cfs.skip == nullptr);
}

TEST_CASE("a nice-10 task gets 110/1134 of a CPU it shares with a nice-0 task") {
  TestMachine m(rpi());
  Task& plain = m.start(m.task(0, 1), 0);
  m.settle();
  Task& light = m.start(m.task(10, 1), 0);
  for (int i = 0; i < 10000; ++i) {
    m.advance(4 * kMs);
    m.sched.set_jiffies(m.sched.jiffies() + 1);
    m.sched.scheduler_tick(CpuId(0));
    if (m.curr(0).need_resched()) m.schedule(0, true);
  }
  const double share = double(light.se.sum_exec_runtime) / double(light.se.sum_exec_runtime + plain.se.sum_exec_runtime);
  CHECK(share > 0.095);
  CHECK(share < 0.099);
}

TEST_CASE("SCHED_IDLE yields at once to anybody else who wakes") {
  TestMachine m(rpi());
  Task& p = m.task(0, 1);
  m.sched.set_params(p, SchedPolicy::idle, 0);
  m.start(p, 0);
  m.settle();
  CHECK(p.se.load.weight == 3 << 10);
  m.advance(kMs);
  m.start(m.task(19, 1), 0);
  CHECK(p.need_resched());
}

TEST_CASE("two groups with equal shares split the CPU whatever their number of tasks") {
  TestMachine m(rpi());
  TaskGroup &one = m.sched.create_group(nullptr), &many = m.sched.create_group(nullptr);
  auto add = [&](TaskGroup& g) -> Task& {
    Task& p = m.task(0, 1);
    m.sched.set_task_cpu_raw(p, CpuId(0));
    m.sched.set_task_group(p, &g);
    m.start(p, 0);
    m.settle();
    return p;
  };
  Task& single = add(one);
  std::vector<Task*> crowd;
  for (int i = 0; i < 3; ++i) crowd.push_back(&add(many));
  for (int i = 0; i < 6000; ++i) {
    m.advance(4 * kMs);
    m.sched.set_jiffies(m.sched.jiffies() + 1);
    m.sched.scheduler_tick(CpuId(0));
    if (m.curr(0).need_resched()) m.schedule(0, true);
  }
  u64 others = 0;
  for (const Task* t : crowd) others += t->se.sum_exec_runtime;
  const double share = double(single.se.sum_exec_runtime) / double(others + single.se.sum_exec_runtime);
  CHECK(share > 0.49);
  CHECK(share < 0.51);
  CHECK(m.rq(0).nr_running == 4);
  CHECK(m.rq(0).cfs.nr_running == 2);
  CHECK(m.rq(0).cfs.h_nr_running == 4);
}

TEST_CASE("a task's weight follows set_user_nice while it runs, waits and sleeps") {
  Pair t;
  TestMachine& m = t.m;
  m.sched.set_user_nice(t.a, 5, CpuId(0));  // running, less urgent: reschedule
  CHECK(t.a.se.load.weight == 335 << 10);
  CHECK(t.a.se.load.inv_weight == 12820798);
  CHECK(t.a.need_resched());
  CHECK(m.rq(0).cfs.load.weight == (335 + 1024) << 10);
  m.sched.set_user_nice(*t.b, -5, CpuId(0));  // waiting
  CHECK(m.rq(0).cfs.load.weight == (335 + 3121) << 10);
  m.schedule(0, true);
  m.sleep(0);
  m.sched.set_user_nice(*t.b, 0, CpuId(0));
  CHECK(t.b->se.load.weight == NICE_0_LOAD);
}

TEST_SUITE_END();
