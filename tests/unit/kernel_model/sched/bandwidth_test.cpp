#include <doctest/doctest.h>

#include <cerrno>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/bandwidth");

namespace {

Task& join(TestMachine& m, TaskGroup& g, u32 cpu) {
  Task& p = m.task(0, u64{1} << cpu);
  m.sched.set_task_cpu_raw(p, CpuId(cpu));
  m.sched.set_task_group(p, &g);
  m.start(p, cpu);
  m.settle();
  return p;
}

/// Runs to `until`, serving ticks and the group's timers at their dates.
void run(TestMachine& m, TaskGroup& g, u64 until) {
  u64 next_tick = m.sched.now().v / (4 * kMs) * 4 * kMs + 4 * kMs;
  while (m.sched.now().v < until) {
    const u64 timer = g.bandwidth.period_active ? g.bandwidth.period_timer_expires : ~u64{0};
    m.at(std::max(m.sched.now().v, std::min(timer, next_tick)));
    if (timer <= next_tick) {
      m.sched.fair().sched_cfs_period_timer(g);
    } else {
      m.sched.set_jiffies(m.sched.jiffies() + 1);
      for (u32 c = 0; c < m.sched.cpus(); ++c) m.sched.scheduler_tick(CpuId(c));
      next_tick += 4 * kMs;
    }
    m.settle();
  }
}
}  // namespace

TEST_CASE("a group with 20 ms of every 50 ms gets 40 % of an otherwise idle CPU") {
  TestMachine m(rpi());
  TaskGroup& g = m.sched.create_group(nullptr);
  CHECK(m.sched.set_group_bandwidth(g, 50 * kMs, 20 * kMs, CpuId(0)) == 0);
  Task& p = join(m, g, 0);
  run(m, g, 6'000 * kMs);
  const double share = double(p.se.sum_exec_runtime) / (5'000.0 * kMs);
  CHECK(share > 0.39);
  CHECK(share < 0.42);
}

TEST_CASE("a throttled group's tasks do not count as runnable, and removing the quota brings them back") {
  TestMachine m(rpi());
  TaskGroup& g = m.sched.create_group(nullptr);
  m.sched.set_group_bandwidth(g, 100 * kMs, kMs, CpuId(0));
  join(m, g, 0);
  join(m, g, 0);
  CHECK(m.rq(0).nr_running == 2);
  m.advance(10 * kMs);
  m.sched.scheduler_tick(CpuId(0));
  m.settle();
  CHECK(g.cfs_rq[0]->throttled);
  CHECK(m.rq(0).nr_running == 0);
  CHECK(&m.curr(0) == m.rq(0).idle);
  CHECK(m.sched.set_group_bandwidth(g, 100 * kMs, CfsBandwidth::kInf, CpuId(0)) == 0);
  m.settle();
  CHECK(m.rq(0).nr_running == 2);
  CHECK(&m.curr(0) != m.rq(0).idle);
}

TEST_CASE("a CPU that goes makes every throttled group run again: 1 ns of quota each, until it is accounted") {
  TestMachine m(rpi());
  TaskGroup& g = m.sched.create_group(nullptr);
  m.sched.set_group_bandwidth(g, 100 * kMs, kMs, CpuId(0));
  join(m, g, 0);
  m.advance(10 * kMs);
  m.sched.scheduler_tick(CpuId(0));
  m.settle();
  REQUIRE(g.cfs_rq[0]->throttled);
  REQUIRE(g.bandwidth.runtime == 0);
  m.sched.set_cpu_active(CpuId(3), false, CpuId(0));  // not even the CPU where it waits
  m.settle();
  CHECK(!g.cfs_rq[0]->throttled);
  CHECK(g.cfs_rq[0]->runtime_enabled);
  CHECK(g.cfs_rq[0]->runtime_remaining == 1);
  CHECK(!g.cfs_rq[3]->runtime_enabled);  // outside the root domain nobody is limited
  CHECK(&m.curr(0) != m.rq(0).idle);
  m.advance(4 * kMs);
  m.sched.scheduler_tick(CpuId(0));
  m.settle();
  CHECK(g.cfs_rq[0]->throttled);  // the pool is empty: what ran is a debt of 3999999 ns
  CHECK(g.cfs_rq[0]->runtime_remaining == 1 - s64(4 * kMs));
  m.sched.set_cpu_active(CpuId(3), true, CpuId(0));
  CHECK(g.cfs_rq[3]->runtime_enabled);
}

TEST_CASE("limits outside 1 ms to 1 s and a child above its parent are refused and change nothing") {
  TestMachine m(rpi());
  TaskGroup& parent = m.sched.create_group(nullptr);
  TaskGroup& child = m.sched.create_group(&parent);
  CHECK(m.sched.set_group_bandwidth(parent, 100 * kMs, 999'999, CpuId(0)) == -EINVAL);
  CHECK(m.sched.set_group_bandwidth(parent, 1'000'000'001, 50 * kMs, CpuId(0)) == -EINVAL);
  CHECK(m.sched.set_group_bandwidth(parent, 100 * kMs, 50 * kMs, CpuId(0)) == 0);
  CHECK(m.sched.set_group_bandwidth(child, 100 * kMs, 51 * kMs, CpuId(0)) == -EINVAL);
  CHECK(child.bandwidth.quota == CfsBandwidth::kInf);
  CHECK(m.sched.set_group_bandwidth(child, 50 * kMs, 25 * kMs, CpuId(0)) == 0);
}

TEST_CASE("the period timer stops once a whole period passed without use") {
  TestMachine m(rpi());
  TaskGroup& g = m.sched.create_group(nullptr);
  m.sched.set_group_bandwidth(g, 10 * kMs, 5 * kMs, CpuId(0));
  CHECK(g.bandwidth.period_active);
  CHECK(g.bandwidth.period_timer_expires == 1'010 * kMs);  // multiples of the period since boot
  m.at(g.bandwidth.period_timer_expires);
  CHECK(m.sched.fair().sched_cfs_period_timer(g));
  m.at(g.bandwidth.period_timer_expires);
  CHECK_FALSE(m.sched.fair().sched_cfs_period_timer(g));
  CHECK_FALSE(g.bandwidth.period_active);
}

TEST_SUITE_END();
