// Statistics of waits and sleeps (sched_schedstats): the four events, their dates and their sums.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/schedstats");

namespace {

using Delays = std::vector<std::pair<s32, u64>>;

KernelProfile with(Tunable t, u64 v, KernelProfile k = rpi()) {
  k.tunables[static_cast<std::size_t>(t)] = v;
  return k;
}
KernelProfile stats() { return with(Tunable::sched_schedstats, 1); }

s32 pid_of(const TraceEvent& e) { return static_cast<s32>(e.args[1]); }

/// For messages.
std::string text(const Delays& all) {
  std::string out;
  for (const auto& [pid, ns] : all) out += std::to_string(pid) + ' ' + std::to_string(ns) + "; ";
  return out;
}

/// Who and how long, in order.
Delays delays(const TestMachine& m, Tp id) {
  Delays out;
  for (const TraceEvent& e : m.events)
    if (e.id == id) out.emplace_back(pid_of(e), e.args[2]);
  return out;
}

/// A task alone on CPU 0.
Task& alone(TestMachine& m) {
  Task& p = m.start(m.task(0, 1), 0);
  m.settle();
  m.events.clear();
  return p;
}

void sleep_as(TestMachine& m, u32 state) {
  m.curr(0).state = state;
  m.schedule(0);
}

}  // namespace

TEST_CASE("sched_stat_wait: from queued, or from switched out, to running") {
  TestMachine m(stats());
  Task& a = m.start(m.task(0, 1), 0);
  m.settle();
  Task& b = m.start(m.task(0, 1), 0);
  m.advance(20 * kMs);
  m.schedule(0, true);  // b has waited since its birth
  m.advance(20 * kMs);
  m.schedule(0, true);  // a since b runs
  m.advance(5 * kMs);
  m.sleep(0);
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{a.pid.v, 0}, {b.pid.v, 20 * kMs}, {a.pid.v, 20 * kMs}, {b.pid.v, 5 * kMs}}));
  CHECK(b.run_delay == Ns(25 * kMs));
}

TEST_CASE("who runs does not wait: a tick, a preemption check and a pick of the same task say nothing") {
  TestMachine m(stats());
  alone(m);
  m.advance(4 * kMs);
  m.sched.scheduler_tick(CpuId(0));
  m.schedule(0, true);
  CHECK(m.seen(Tp::sched_stat_wait).empty());
  CHECK(m.seen(Tp::sched_stat_runtime).size() == 1);
}

TEST_CASE("a new weight takes who runs off the queue and back: a wait of nothing, who waits begins anew") {
  TestMachine m(stats());
  Task& a = alone(m);
  m.sched.set_user_nice(a, 5, CpuId(0));
  m.settle();
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{a.pid.v, 0}}));
  Task& b = m.start(m.task(0, 1), 0);
  m.advance(3 * kMs);
  m.sched.set_user_nice(b, 5, CpuId(0));
  m.advance(4 * kMs);
  m.sleep(0);
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{a.pid.v, 0}, {b.pid.v, 3 * kMs}, {b.pid.v, 4 * kMs}}));
}

TEST_CASE("a wait goes on through a migration and is told once, with what both queues have seen of it") {
  TestMachine m(stats());
  alone(m);
  m.start(m.task(0, 2), 1);
  m.settle();
  m.events.clear();
  Task& b = m.task(0, 1);
  m.sched.set_params(b, SchedPolicy::batch, 0);  // preempts nobody
  m.start(b, 0);
  m.advance(10 * kMs);
  b.cpus_allowed = CpuMask::of(CpuId(1));
  m.sched.update_rq_clock(m.rq(0));
  m.sched.move_detach(b, CpuId(1), CpuId(0));
  m.advance(2 * kMs);  // on its way it is on no queue, and the kernel counts nothing
  m.sched.move_attach(b, CpuId(0));
  m.advance(5 * kMs);
  CHECK(m.seen(Tp::sched_stat_wait).empty());
  m.sleep(1);
  REQUIRE(&m.curr(1) == &b);
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{b.pid.v, 15 * kMs}}));
  CHECK(b.run_delay == Ns(15 * kMs));
}

TEST_CASE("a new mask takes who waits off its queue and back, and its wait begins anew") {
  TestMachine m(stats());
  alone(m);
  Task& b = m.start(m.task(0, 1), 0);
  m.advance(10 * kMs);
  m.sched.set_cpus_allowed(b, CpuMask::first_n(2), CpuId(0));
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{b.pid.v, 10 * kMs}}));
  m.advance(3 * kMs);
  m.sleep(0);
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{b.pid.v, 10 * kMs}, {b.pid.v, 3 * kMs}}));
}

TEST_CASE("sched_stat_sleep for TASK_INTERRUPTIBLE, sched_stat_blocked for TASK_UNINTERRUPTIBLE, before sched_wakeup") {
  const std::pair<u32, Tp> kStates[] = {{TASK_INTERRUPTIBLE, Tp::sched_stat_sleep},
                                        {TASK_UNINTERRUPTIBLE, Tp::sched_stat_blocked},
                                        {TASK_KILLABLE, Tp::sched_stat_blocked},
                                        {TASK_IDLE, Tp::sched_stat_blocked}};
  for (const auto& row : kStates) {
    const u32 state = row.first;
    const Tp event = row.second;
    CAPTURE(state);
    TestMachine m(stats());
    Task& p = alone(m);
    m.advance(kMs);
    sleep_as(m, state);
    m.advance(7 * kMs);
    m.events.clear();
    REQUIRE(m.sched.try_to_wake_up(p, state, 0, CpuId(0)));
    CHECK(text(delays(m, event)) == text(Delays{{p.pid.v, 7 * kMs}}));
    std::vector<Tp> order;
    for (const TraceEvent& e : m.events)
      if (e.id == event || e.id == Tp::sched_wakeup || e.id == Tp::sched_waking) order.push_back(e.id);
    CHECK(order == std::vector<Tp>{Tp::sched_waking, event, Tp::sched_wakeup});
    CHECK(m.seen(event == Tp::sched_stat_sleep ? Tp::sched_stat_blocked : Tp::sched_stat_sleep).empty());
    CHECK(m.seen(Tp::sched_stat_iowait).empty());
    // From its wake-up, by a clock that the __schedule of an idle CPU leaves as it is (RQCF_REQ_SKIP): nothing, however late.
    m.advance(kMs);
    m.settle();
    CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{p.pid.v, 0}}));
  }
}

TEST_CASE("a stopped task neither sleeps nor is blocked") {
  TestMachine m(stats());
  Task& p = alone(m);
  sleep_as(m, TASK_STOPPED);
  m.advance(7 * kMs);
  REQUIRE(m.sched.try_to_wake_up(p, TASK_STOPPED, 0, CpuId(0)));
  for (const Tp id : {Tp::sched_stat_sleep, Tp::sched_stat_blocked, Tp::sched_stat_iowait}) CHECK(m.seen(id).empty());
}

TEST_CASE("sched_stat_iowait comes with sched_stat_blocked, for who waits in io_schedule") {
  TestMachine m(stats());
  Task& p = alone(m);
  p.in_iowait = true;
  sleep_as(m, TASK_UNINTERRUPTIBLE);
  m.advance(3 * kMs);
  REQUIRE(m.sched.try_to_wake_up(p, TASK_NORMAL, 0, CpuId(0)));
  CHECK(text(delays(m, Tp::sched_stat_iowait)) == text(Delays{{p.pid.v, 3 * kMs}}));
  CHECK(text(delays(m, Tp::sched_stat_blocked)) == text(Delays{{p.pid.v, 3 * kMs}}));
  CHECK(m.seen(Tp::sched_stat_sleep).empty());
}

TEST_CASE("a sleep that ends on a CPU whose clock is behind is a sleep of nothing") {
  TestMachine m(stats());
  Task& p = alone(m);
  m.advance(100 * kMs);
  m.sleep(0);
  m.sched.set_cpus_allowed(p, CpuMask::of(CpuId(1)), CpuId(0));
  m.at(m.sched.now().v - 30 * kMs);  // CPU 1 has not looked at the time since the start
  REQUIRE(m.sched.try_to_wake_up(p, TASK_NORMAL, 0, CpuId(1)));
  CHECK(text(delays(m, Tp::sched_stat_sleep)) == text(Delays{{p.pid.v, 0}}));
}

TEST_CASE("real-time tasks have no statistics, and a task of a group has one wait, not one per level") {
  TestMachine m(stats());
  Task& rt = m.task(0, 1);
  m.sched.set_params(rt, SchedPolicy::fifo, 0, 10);
  m.start(rt, 0);
  m.settle();
  REQUIRE(&m.curr(0) == &rt);
  TaskGroup& g = m.sched.create_group(nullptr);
  Task& p = m.task(0, 1);
  m.sched.set_task_cpu_raw(p, CpuId(0));
  m.sched.set_task_group(p, &g);
  m.start(p, 0);
  m.advance(6 * kMs);
  m.sleep(0);
  m.advance(kMs);
  m.sched.try_to_wake_up(rt, TASK_NORMAL, 0, CpuId(0));
  CHECK(text(delays(m, Tp::sched_stat_wait)) == text(Delays{{p.pid.v, 6 * kMs}}));
  CHECK(m.seen(Tp::sched_stat_sleep).empty());
}

TEST_CASE("a new task begins without the statistics of whoever had its place before") {
  TestMachine m(stats());
  Task& p = alone(m);
  m.advance(kMs);
  m.sleep(0);
  m.advance(50 * kMs);
  Task& child = m.task(0, 1);
  child.id = p.id;
  m.start(child, 0);
  m.settle();
  m.sched.set_cpus_allowed(child, CpuMask::of(CpuId(0)), CpuId(0));
  child.state = TASK_PARKED;  // neither sleep nor block: what would be told is of p
  m.schedule(0);
  m.events.clear();
  REQUIRE(m.sched.try_to_wake_up(child, TASK_PARKED, 0, CpuId(0)));
  CHECK(m.seen(Tp::sched_stat_sleep).empty());
}

TEST_CASE("sched_schedstats=0, the default: none of the four, but sched_stat_runtime") {
  TestMachine m(rpi());
  Task& p = alone(m);
  m.start(m.task(0, 1), 0);
  m.advance(20 * kMs);
  m.schedule(0, true);
  m.sleep(0);
  sleep_as(m, TASK_UNINTERRUPTIBLE);
  m.sched.try_to_wake_up(p, TASK_NORMAL, 0, CpuId(0));
  for (const Tp id : {Tp::sched_stat_wait, Tp::sched_stat_sleep, Tp::sched_stat_blocked, Tp::sched_stat_iowait}) CHECK(m.seen(id).empty());
  CHECK_FALSE(m.seen(Tp::sched_stat_runtime).empty());
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("sched/timer_migration");

namespace {

/// Of CPU 1, where a root task runs, `by` takes the last task of a group that may run for 4 ms more, while the group is held up on CPU 2.
/// Returns where the slack timer was armed.
CpuId slack_timer_armed_by(u32 by, u64 migration) {
  TestMachine m(with(Tunable::timer_migration, migration));
  TaskGroup& g = m.sched.create_group(nullptr);
  m.sched.set_group_bandwidth(g, 100 * kMs, kMs, CpuId(0));
  const auto join = [&](u32 cpu) -> Task& {
    Task& p = m.task(0, u64{1} << cpu);
    m.sched.set_task_cpu_raw(p, CpuId(cpu));
    m.sched.set_task_group(p, &g);
    return m.start(p, cpu);
  };
  join(2);
  m.settle();
  m.advance(10 * kMs);
  m.sched.scheduler_tick(CpuId(2));
  m.settle();
  REQUIRE(g.cfs_rq[2]->throttled);
  m.start(m.task(0, 2), 1);
  m.settle();
  g.bandwidth.runtime = 10 * kMs;
  Task& p = join(1);
  REQUIRE(m.curr(1).se.cfs_rq == &m.rq(1).cfs);
  g.cfs_rq[1]->runtime_remaining = 5 * s64{kMs};
  g.cfs_rq[1]->expires_seq = g.bandwidth.expires_seq;
  g.cfs_rq[1]->runtime_expires = m.sched.sched_clock() + 50 * kMs;
  g.bandwidth.slack_cpu = CpuId(3);
  m.sched.update_rq_clock(m.rq(1));
  m.sched.move_detach(p, CpuId(0), CpuId(by));
  REQUIRE(g.bandwidth.slack_active);
  return g.bandwidth.slack_cpu;
}

}  // namespace

TEST_CASE("timer_migration: a slack timer that an idle CPU arms goes to the nearest busy one, with 0 it stays") {
  CHECK(slack_timer_armed_by(0, 1) == CpuId(1));
  CHECK(slack_timer_armed_by(0, 0) == CpuId(0));
}

TEST_CASE("timer_migration: what a busy CPU arms stays there either way") {
  CHECK(slack_timer_armed_by(1, 1) == CpuId(1));
  CHECK(slack_timer_armed_by(1, 0) == CpuId(1));
}

TEST_SUITE_END();
