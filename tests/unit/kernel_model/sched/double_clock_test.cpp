// WARN_DOUBLE_CLOCK: which critical sections of 4.19 update a run queue's clock twice, and that no other does.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "tests/unit/kernel_model/random.hpp"
#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

namespace {

KernelProfile warning(KernelProfile k) {
  k.features[static_cast<std::size_t>(Feature::WARN_DOUBLE_CLOCK)] = true;
  return k;
}

}  // namespace

TEST_SUITE("sched/double_clock") {
  TEST_CASE("a second update without a new lock is counted, the first one kept, rq_lock and a skipped update start afresh") {
    TestMachine m(warning(mc()));
    Rq& rq = m.rq(2);
    m.sched.set_this_cpu(CpuId(1));
    m.sched.lock_update_rq_clock(rq);
    m.advance(kMs);
    m.sched.lock_update_rq_clock(rq);
    CHECK(m.sched.double_clock().count == 0);
    {
      const Scheduler::ClockPlace place(m.sched, "somewhere");
      m.advance(kMs);
      m.sched.update_rq_clock(rq);
    }
    m.sched.update_rq_clock(rq);
    const DoubleClock& d = m.sched.double_clock();
    CHECK(d.count == 2);
    CHECK(d.where == "somewhere");
    CHECK(d.by == CpuId(1));
    CHECK(d.rq == CpuId(2));
    CHECK(d.first == m.sched.now());
    CHECK(m.seen(Tp::double_clock).size() == 2);
    CHECK(rq.clock == m.sched.sched_clock());  // the second update is one
    Scheduler::rq_pin_lock(rq);
    rq.clock_skip_active = true;
    m.sched.update_rq_clock(rq);
    rq.clock_skip_active = false;
    m.sched.update_rq_clock(rq);
    CHECK(d.count == 2);
  }

  TEST_CASE("without the feature nothing is counted") {
    TestMachine m(mc());
    for (int i = 0; i < 3; ++i) m.sched.update_rq_clock(m.rq(0));
    CHECK(m.sched.double_clock().count == 0);
  }

  TEST_CASE("a new task group takes run queues by raw_spin_lock_irq: every one whose clock was updated before") {
    TestMachine m(warning(rpi()));
    m.sched.create_group(nullptr);  // nobody has run yet
    CHECK(m.sched.double_clock().count == 0);
    m.advance(kMs);
    // the flag of those updates is still there, on all four queues
    m.sched.create_group(nullptr);
    CHECK(m.sched.double_clock().count == 4);
    CHECK(m.sched.double_clock().where == "online_fair_sched_group");
  }

  TEST_CASE("a real-time task that is woken on a busy CPU is pushed away with two more updates, of both queues") {
    KernelProfile k = warning(mc());
    TestMachine m(k);
    Task& a = m.task(0, 1);
    m.sched.set_params(a, SchedPolicy::fifo, 0, 50);
    m.start(a, 0);
    m.settle();
    m.sched.scheduler_tick(CpuId(1));  // CPU 1 has updated its clock, too
    CHECK(m.sched.double_clock().count == 0);
    Task& b = m.task();
    m.sched.set_params(b, SchedPolicy::fifo, 0, 40);
    m.sched.sched_fork(b, CpuId(0));
    b.cpus_allowed = CpuMask::of(CpuId(0));
    b.nr_cpus_allowed = 1;
    m.sched.wake_up_new_task_select(b, CpuId(0));
    b.cpus_allowed = CpuMask::from_word(3);
    b.nr_cpus_allowed = 2;
    m.advance(kMs);
    m.sched.wake_up_new_task_activate(b, CpuId(0));
    CHECK(b.cpu == CpuId(1));
    CHECK(m.sched.double_clock().where == "push_rt_task");
    CHECK(m.sched.double_clock().count == 2);
  }

  TEST_CASE("a dying CPU updates its clock again for each task that it moves") {
    TestMachine m(warning(mc()));
    for (int i = 0; i < 3; ++i) m.start(m.task(0, 1), 0);
    m.settle();
    for (Task& t : m.tasks) {
      t.cpus_allowed = CpuMask::first_n(4);
      t.nr_cpus_allowed = 4;
    }
    m.sched.set_cpu_active(CpuId(0), false, CpuId(1));
    REQUIRE(m.sched.double_clock().count == 0);
    m.sched.migrate_tasks(CpuId(0), CpuId(0));
    CHECK(m.sched.double_clock().count == 2);  // one runs and stays
    CHECK(m.sched.double_clock().where == "migrate_tasks");
  }

  TEST_CASE("fair tasks alone never do: random forks, sleeps, ticks, balancing, nice levels and masks on random machines") {
    u64 moves = 0;
    for (u64 seed = 1; seed <= 100; ++seed) {
      CAPTURE(seed);
      Random r{seed};
      const u32 cpus = static_cast<u32>(1 + r.below(6));
      TestMachine m(warning(r.one_in(2) ? mc(cpus) : rpi(cpus)), cpus, r.one_in(2) ? 1 : cpus);
      for (int step = 0; step < 300; ++step) {
        m.advance(r.below(2 * kMs));
        m.sched.set_jiffies(1000 + m.sched.now().v / (4 * kMs));
        const u32 c = static_cast<u32>(r.below(cpus));
        switch (r.below(8)) {
          case 0:
            if (m.tasks.size() < 20) m.start(m.task(static_cast<int>(r.below(10))), c);
            break;
          case 1:
            if (&m.curr(c) != m.rq(c).idle) m.sleep(c);
            break;
          case 2:
          case 3:
            m.sched.scheduler_tick(CpuId(c));
            if (m.sched.softirq_wanted(CpuId(c))) m.sched.run_rebalance_domains(CpuId(c));
            break;
          case 4:
            m.sched.yield_task(CpuId(c));
            m.schedule(c);
            break;
          default:
            if (m.tasks.empty()) break;
            Task& t = m.tasks[r.below(m.tasks.size())];
            if (t.on_rq == 0 && t.state == TASK_INTERRUPTIBLE && !t.on_cpu)
              m.sched.try_to_wake_up(t, TASK_NORMAL, 0, CpuId(c));
            else if (r.one_in(2))
              m.sched.set_user_nice(t, static_cast<int>(r.below(20)), CpuId(c));
            else
              m.sched.set_cpus_allowed(t, CpuMask::first_n(cpus), CpuId(c));
        }
        m.settle();
        REQUIRE_MESSAGE(m.sched.double_clock().count == 0, m.sched.double_clock().where);
      }
      moves += m.sched.counters().migrations;
    }
    CHECK(moves > 300);
  }
}
