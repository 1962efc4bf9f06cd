#include <doctest/doctest.h>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/rt");

namespace {

Task& rt_task(TestMachine& m, SchedPolicy policy, u32 priority, u64 allowed = 1) {
  Task& p = m.task(0, allowed);
  m.sched.set_params(p, policy, 0, priority);
  return p;
}

/// One tick of 4 ms on CPU 0.
void tick(TestMachine& m) {
  m.advance(4 * kMs);
  m.sched.set_jiffies(m.sched.jiffies() + 1);
  m.sched.scheduler_tick(CpuId(0));
  m.settle();
}
}  // namespace

TEST_CASE("priority 50 is kernel priority 49 and preempts every fair task") {
  TestMachine m(rpi());
  m.start(m.task(-20, 1), 0);
  m.settle();
  Task& p = m.start(rt_task(m, SchedPolicy::fifo, 50), 0);
  CHECK(p.prio == 49);
  m.settle();
  CHECK(&m.curr(0) == &p);
}

TEST_CASE("FIFO tasks of equal priority wait for each other, a higher one does not") {
  TestMachine m(rpi());
  Task& a = m.start(rt_task(m, SchedPolicy::fifo, 10), 0);
  m.settle();
  Task& b = m.start(rt_task(m, SchedPolicy::fifo, 10), 0);
  for (int i = 0; i < 100; ++i) tick(m);
  CHECK(&m.curr(0) == &a);
  Task& high = m.start(rt_task(m, SchedPolicy::fifo, 11), 0);
  m.settle();
  CHECK(&m.curr(0) == &high);
  CHECK(&m.sleep(0) == &a);  // back to the one that was preempted, at the head of its queue
  CHECK(&m.sleep(0) == &b);
}

TEST_CASE("RR tasks of equal priority take turns after their time slice") {
  TestMachine m(rpi());
  m.sched.rt().set_rr_timeslice(3);
  Task& a = m.start(rt_task(m, SchedPolicy::rr, 10), 0);
  m.settle();
  Task& b = m.start(rt_task(m, SchedPolicy::rr, 10), 0);
  std::string turns;
  for (int i = 0; i < 12; ++i) {
    turns += &m.curr(0) == &a ? 'a' : 'b';
    tick(m);
  }
  CHECK(turns == "aaabbbaaabbb");
  CHECK(b.rt.time_slice == 3);
}

TEST_CASE("a second FIFO task on a CPU is placed or pushed to one that runs something less urgent") {
  TestMachine m(rpi());
  m.start(rt_task(m, SchedPolicy::fifo, 30, 0b01), 0);
  m.settle();
  Task& free = m.start(rt_task(m, SchedPolicy::fifo, 20, 0b11), 0);
  CHECK(free.cpu == CpuId(1));
  m.settle();
  CHECK(&m.curr(1) == &free);

  // now CPU 1 gets a more urgent pinned task: the other can go back only when CPU 0 runs out of urgent work
  m.start(rt_task(m, SchedPolicy::fifo, 40, 0b10), 0);
  m.settle();
  CHECK(free.cpu == CpuId(1));
  CHECK(m.rq(1).rt.overloaded);
  CHECK(m.rq(1).rt.pushable_tasks.front() == &free);
  m.sleep(0);
  m.settle();
  CHECK(&m.curr(0) == &free);
  CHECK_FALSE(m.rq(1).rt.overloaded);
}

TEST_CASE("a CPU that runs out of urgent work has the overloaded CPUs push, one after the other, and without RT_PUSH_IPI it pulls by itself") {
  for (const bool push_ipi : {true, false}) {
    CAPTURE(push_ipi);
    struct Pull final : SchedHooks {
      void send_reschedule(CpuId, CpuId) override {}
      bool idle_polling(CpuId) const override { return false; }
      u8 trace_flags(CpuId) const override { return 0; }
      void irq_work_queue_on(CpuId, CpuId cpu) override { asked.push_back(cpu.v); }
      std::vector<u32> asked;
    };
    Pull hooks;
    Trace trace;
    KernelProfile profile = rpi();
    profile.features[static_cast<std::size_t>(Feature::RT_PUSH_IPI)] = push_ipi;
    Scheduler s(profile, topology(2, 2), hooks, trace);
    std::deque<Task> idle(2), tasks(3);
    for (u32 c = 0; c < 2; ++c) s.init_idle(idle[c], CpuId(c));
    auto add = [&](Task& t, u32 priority, u64 allowed) {
      t.cpus_allowed = CpuMask::from_word(allowed);
      t.nr_cpus_allowed = t.cpus_allowed.count();
      t.se.task = &t;
      s.set_params(t, SchedPolicy::fifo, 0, priority);
      s.sched_fork(t, CpuId(0));
      s.wake_up_new_task_select(t, CpuId(0));
      s.wake_up_new_task_activate(t, CpuId(0));
    };
    auto schedule = [&](u32 c) {
      Task& prev = *s.rq(CpuId(c)).curr;
      s.schedule_begin(CpuId(c), false, false);
      Task& next = s.schedule_pick(CpuId(c), false, Ns(0));
      if (&next != &prev) s.finish_task_switch(prev, CpuId(c));
    };
    s.set_now(Ns(1'000'000'000));
    add(tasks[0], 50, 0b01);
    schedule(0);
    add(tasks[1], 40, 0b10);
    schedule(1);
    add(tasks[2], 30, 0b11);  // waits on CPU 0: CPU 1 runs something more urgent
    CHECK(tasks[2].cpu == CpuId(0));
    CHECK(hooks.asked.empty());
    tasks[1].state = TASK_INTERRUPTIBLE;
    schedule(1);
    if (!push_ipi) {
      CHECK(tasks[2].cpu == CpuId(1));
      CHECK(s.rq(CpuId(1)).curr == &tasks[2]);
      CHECK(hooks.asked.empty());
      continue;
    }
    CHECK(hooks.asked == std::vector<u32>{0});
    s.set_this_cpu(CpuId(0));
    s.rt().rto_push_irq_work(CpuId(0));
    CHECK(tasks[2].cpu == CpuId(1));
    CHECK(hooks.asked.size() == 1);
  }
}

TEST_CASE("real-time tasks that use up their runtime leave the rest of the period to fair tasks") {
  TestMachine m(rpi(1), 1, 1);
  m.sched.rt().set_bandwidth(40 * kMs, 20 * kMs);
  Task& fair = m.start(m.task(0, 1), 0);
  Task& hog = m.start(rt_task(m, SchedPolicy::fifo, 50), 0);
  m.settle();
  u64 fair_before = 0;
  for (int i = 0; i < 500; ++i) {
    while (m.sched.rt().period_timer() && m.sched.rt().period_timer()->expires <= m.sched.now() + Ns(4 * kMs)) {
      const Ns at = m.sched.rt().period_timer()->expires;
      if (at > m.sched.now()) m.at(at.v);
      m.sched.rt().sched_rt_period_timer();
      m.settle();
    }
    tick(m);
    if (i == 99) fair_before = fair.se.sum_exec_runtime;
  }
  // 20 of 40 ms, noticed only at ticks of 4 ms: a tenth of a period either way
  const double share = double(fair.se.sum_exec_runtime - fair_before) / (400 * 4.0 * kMs);
  CHECK(share > 0.40);
  CHECK(share < 0.60);
  CHECK(hog.se.sum_exec_runtime > 0);
}

TEST_CASE("a CPU that goes makes throttled real-time tasks run again, with all of the runtime, and takes no part in lending") {
  TestMachine m(rpi());
  m.sched.rt().set_bandwidth(100 * kMs, 20 * kMs);
  Task& p = m.start(rt_task(m, SchedPolicy::fifo, 10), 0);
  m.settle();
  // The other three lend a quarter of their 20 ms each, again and again: all four shares together are 80 ms at the most.
  for (int i = 0; i < 25 && !m.rq(0).rt.rt_throttled; ++i) tick(m);
  REQUIRE(m.rq(0).rt.rt_throttled);
  REQUIRE(m.rq(0).rt.rt_runtime > 20 * kMs);
  REQUIRE(&m.curr(0) != &p);
  m.sched.set_cpu_active(CpuId(3), false, CpuId(0));
  m.settle();
  CHECK(&m.curr(0) == &p);
  for (u32 c = 0; c < 3; ++c) {
    CHECK(m.rq(c).rt.rt_runtime == 20 * kMs);
    CHECK(m.rq(c).rt.rt_time == 0);
  }
  CHECK(m.rq(3).rt.rt_runtime == RUNTIME_INF);
  // Used up 24 ms: each of the two that are left lends (20 - 0) / 3 ms.
  for (int i = 0; i < 6; ++i) tick(m);
  CHECK(m.rq(1).rt.rt_runtime == 20 * kMs - 20 * kMs / 3);
  CHECK(m.rq(0).rt.rt_runtime == 20 * kMs + 2 * (20 * kMs / 3));
}

TEST_CASE("changing the policy of a running task keeps it running only while nobody is more urgent") {
  TestMachine m(rpi());
  Task& a = m.start(rt_task(m, SchedPolicy::fifo, 50), 0);
  m.settle();
  Task& b = m.start(rt_task(m, SchedPolicy::fifo, 20), 0);
  m.sched.sched_setscheduler(a, SchedPolicy::normal, 0, CpuId(0));
  CHECK(a.sched_class == SchedClass::fair);
  CHECK(a.need_resched());
  m.settle();
  CHECK(&m.curr(0) == &b);
  m.sched.sched_setscheduler(a, SchedPolicy::rr, 21, CpuId(0));
  m.settle();
  CHECK(&m.curr(0) == &a);
  CHECK(m.rq(0).rt.rr_nr_running == 1);
}

TEST_CASE("real-time use reduces the capacity left for fair tasks") {
  TestMachine m(rpi());
  m.start(rt_task(m, SchedPolicy::fifo, 50), 0);
  m.settle();
  for (int i = 0; i < 100; ++i) tick(m);
  CHECK(m.rq(0).avg_rt.util_avg > 1000);
  m.sched.balancer().update_group_capacity(*m.sched.domains().lowest(CpuId(0)), CpuId(0));
  CHECK(m.rq(0).cpu_capacity == 1024 - m.rq(0).avg_rt.util_avg);
}

TEST_SUITE_END();
