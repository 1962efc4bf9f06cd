#include <doctest/doctest.h>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/core");

namespace {

std::string last_prev_state(const TestMachine& m) {
  const TraceEvent e = m.seen(Tp::sched_switch).back();
  return std::string(1, static_cast<char>(e.args[3] & 0xff)) + (e.args[3] & TaskStateChar::kPreempted ? "+" : "");
}
}  // namespace

TEST_CASE("sched_switch shows the state the task leaves in") {
  struct Row {
    u32 state, exit_state;
    bool preempt;
    const char* shown;
  };
  for (const Row r : {Row{TASK_INTERRUPTIBLE, 0, false, "S"}, Row{TASK_UNINTERRUPTIBLE, 0, false, "D"}, Row{TASK_KILLABLE, 0, false, "D"},
                      Row{TASK_IDLE, 0, false, "I"}, Row{TASK_STOPPED, 0, false, "T"}, Row{__TASK_TRACED, 0, false, "t"},
                      Row{TASK_PARKED, 0, false, "P"}, Row{TASK_DEAD, EXIT_ZOMBIE, false, "Z"}, Row{TASK_DEAD, EXIT_DEAD, false, "X"}}) {
    TestMachine m(rpi());
    Task& p = m.start(m.task(0, 1), 0);
    m.settle();
    m.advance(kMs);
    p.state = r.state;
    p.exit_state = r.exit_state;
    m.schedule(0, r.preempt);
    CHECK(last_prev_state(m) == r.shown);
  }
}

TEST_CASE("a task preempted in the kernel shows R+, at the way back to user mode R, and keeps its place on the queue") {
  for (bool preempt : {true, false}) {
    TestMachine m(rpi());
    Task& a = m.start(m.task(0, 1), 0);
    m.settle();
    m.start(m.task(0, 1), 0);
    m.advance(20 * kMs);
    a.state = preempt ? TASK_INTERRUPTIBLE : TASK_RUNNING;  // preempted on its way to sleep: still queued
    m.schedule(0, preempt);
    CHECK(last_prev_state(m) == (preempt ? "R+" : "R"));
    CHECK(a.on_rq == TASK_ON_RQ_QUEUED);
    CHECK(a.nivcsw == 1);
  }
}

TEST_CASE("a pending signal turns a sleep into a voluntary pass through the scheduler") {
  TestMachine m(rpi());
  Task& p = m.start(m.task(0, 1), 0);
  m.settle();
  p.state = TASK_INTERRUPTIBLE;
  CHECK_FALSE(m.sched.schedule_begin(CpuId(0), false, true));
  CHECK(&m.sched.schedule_pick(CpuId(0), false, Ns(0)) == &p);
  CHECK(p.state == TASK_RUNNING);
  CHECK(p.on_rq == TASK_ON_RQ_QUEUED);
}

TEST_CASE("run_delay is the time from queued to running, over every wait") {
  TestMachine m(rpi());
  Task& a = m.start(m.task(0, 1), 0);
  m.settle();
  Task& b = m.start(m.task(0, 1), 0);
  m.advance(20 * kMs);
  m.schedule(0, true);  // b waited 20 ms
  CHECK(b.run_delay == Ns(20 * kMs));
  m.advance(20 * kMs);
  m.schedule(0, true);  // a waited 20 ms
  CHECK(a.run_delay == Ns(20 * kMs));
  m.advance(5 * kMs);
  m.sleep(0);  // b again, 5 ms
  CHECK(b.run_delay == Ns(25 * kMs));
  CHECK(a.nvcsw == 1);
}

TEST_CASE("waking a task that is still queued only makes it runnable again") {
  TestMachine m(rpi());
  Task& p = m.start(m.task(0, 1), 0);
  m.settle();
  p.state = TASK_INTERRUPTIBLE;
  CHECK(m.sched.ttwu_begin(p, TASK_NORMAL, 0, CpuId(1)) == Scheduler::Ttwu::done);
  CHECK(p.state == TASK_RUNNING);
  CHECK(m.sched.ttwu_begin(p, TASK_NORMAL, 0, CpuId(1)) == Scheduler::Ttwu::not_woken);
}

TEST_CASE("a waker spins while the sleeper is still leaving its CPU") {
  TestMachine m(rpi());
  Task& p = m.start(m.task(0, 1), 0);
  m.settle();
  m.advance(kMs);
  p.state = TASK_INTERRUPTIBLE;
  m.sched.schedule_begin(CpuId(0), false, false);
  CHECK(m.sched.ttwu_begin(p, TASK_NORMAL, 0, CpuId(1)) == Scheduler::Ttwu::spin);
  m.sched.schedule_pick(CpuId(0), false, Ns(0));
  CHECK(last_prev_state(m) == "S");
  m.sched.finish_task_switch(p, CpuId(0));
  CHECK_FALSE(p.on_cpu);
  u32 flags = 0;
  CHECK(m.sched.ttwu_select(p, flags, CpuId(1)) == CpuId(0));
}

TEST_CASE("exec moves a loaded CPU's task to one with spare capacity") {
  TestMachine m(rpi());
  Task& p = m.start(m.task(0, 1), 0);
  m.settle();
  m.start(m.task(0, 1), 0);
  m.advance(100 * kMs);
  m.sched.scheduler_tick(CpuId(0));
  m.rq(0).cfs.avg.util_est.enqueued = 700;  // what the queue is expected to need leaves 324 spare against 1024
  p.cpus_allowed = CpuMask::first_n(4);
  p.nr_cpus_allowed = 4;
  const CpuId dest = m.sched.sched_exec_select(CpuId(0));
  CHECK(dest == CpuId(1));
  m.schedule(0, true);
  REQUIRE(&m.curr(0) != &p);
  const VNs offset = p.se.vruntime - m.rq(0).cfs.min_vruntime;
  m.sched.migrate_queued_task(p, dest, CpuId(0));
  CHECK(p.cpu == dest);
  CHECK(p.se.nr_migrations == 1);
  CHECK(p.se.vruntime - m.rq(1).cfs.min_vruntime == offset);
  CHECK(m.seen(Tp::sched_migrate_task).size() == 1);
}

TEST_CASE("migrating a sleeper only notes where it should wake") {
  TestMachine m(rpi());
  Task& p = m.start(m.task(0, 0b11), 0);
  m.settle();
  const u32 home = p.cpu.v;
  m.sleep(home);
  m.sched.migrate_queued_task(p, CpuId(1 - home), CpuId(home));
  CHECK(p.cpu == CpuId(home));
  CHECK(p.wake_cpu == CpuId(1 - home));
}

TEST_CASE("a running task that lost its CPU from its mask is told where to go and stays queued") {
  TestMachine m(rpi());
  Task& p = m.start(m.task(0, 0b0001), 0);
  m.settle();
  CHECK(m.sched.set_cpus_allowed(p, CpuMask::from_word(0b1100), p.cpu) == CpuId(2));
  CHECK(&m.curr(0) == &p);
  CHECK(p.nr_cpus_allowed == 2);
  CHECK(m.rq(0).nr_running == 1);
}

TEST_SUITE_END();
