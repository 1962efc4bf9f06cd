#include "kernel_model/sched/audit.hpp"

#include <doctest/doctest.h>

#include <random>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/audit");

namespace {

struct Audited {
  TestMachine m{rpi()};
  SchedAudit audit{4};
  std::vector<std::string> broken;

  Audited() {
    for (int i = 0; i < 4; ++i) m.start(m.task(i - 2, 0b0001), 0);
    m.settle();
    m.advance(5 * kMs);
    m.sched.scheduler_tick(CpuId(0));
  }
  u64 check(Ns idle_since = kNever, u32 cpu = 0) {
    broken.clear();
    return audit.check(m.sched, CpuId(cpu), idle_since, broken);
  }
};

}  // namespace

TEST_CASE("a queue in order passes: four entities, three sums and counts, rq.load, min_vruntime") {
  Audited a;
  CHECK(a.check() == 4 + 4 + 2);
  CHECK(a.broken.empty());
}

TEST_CASE("each way to break a queue is found and told with its numbers") {
  struct Case {
    const char* what;
    void (*damage)(Rq& rq);
    const char* text;
  };
  const Case cases[] = {
      {"load",
       [](Rq& rq) {
         rq.cfs.load.weight += 3;
         rq.load.weight += 3;
       },
       "but its entities add up to"},
      {"rq.load", [](Rq& rq) { rq.load.weight -= 1; }, "rq.load differs"},
      {"runnable_weight", [](Rq& rq) { rq.cfs.runnable_weight -= 1; }, "runnable_weight is"},
      {"nr_running", [](Rq& rq) { ++rq.cfs.nr_running; }, "nr_running is 5 and h_nr_running 4, but 4 entities with 4 tasks"},
      {"h_nr_running", [](Rq& rq) { --rq.cfs.h_nr_running; }, "h_nr_running 3"},
      {"min_vruntime", [](Rq& rq) { rq.cfs.min_vruntime = rq.cfs.min_vruntime - VNs(17); }, "min_vruntime went back by 17 ns"},
      {"order", [](Rq& rq) { rq.cfs.leftmost->vruntime += VNs(1'000'000'000); }, "order of their vruntime"},
      {"a second queue", [](Rq& rq) { rq.cfs.leftmost->task->cpu = CpuId(2); }, "belongs to CPU 2 but is on the queue of CPU 0"},
      {"on_rq", [](Rq& rq) { rq.cfs.leftmost->on_rq = false; }, "an entity that is not queued"},
  };
  for (const Case& c : cases) {
    Audited a;
    a.check();
    REQUIRE(a.broken.empty());
    c.damage(a.m.rq(0));
    a.check();
    CAPTURE(c.what);
    REQUIRE(a.broken.size() == 1);
    CAPTURE(a.broken[0]);
    CHECK(a.broken[0].find(c.text) != std::string::npos);
  }
}

TEST_CASE("an idle CPU that a waiting task may use is told once the balance bound has passed, and not a ns before") {
  Audited a;
  const Ns start = a.m.sched.now();
  Task& waiting = *a.m.rq(0).cfs.leftmost->task;
  waiting.last_queued = start;
  // Pinned: nobody else may run it.
  a.m.at(start.v + kBalanceBound.v + 2);
  a.check(Ns(1), 1);
  CHECK(a.broken.empty());
  waiting.cpus_allowed = CpuMask::first_n(4);
  a.m.at(start.v + kBalanceBound.v);
  a.check(Ns(1), 1);
  CHECK(a.broken.empty());
  a.m.at(start.v + kBalanceBound.v + 1);
  a.check(start, 1);
  REQUIRE(a.broken.size() == 1);
  CHECK(a.broken[0].find("CPU 1 idles while pid") == 0);
  // The CPU has not been idle for that long itself.
  a.check(start + Ns(1), 1);
  CHECK(a.broken.empty());
}

TEST_CASE("a bound that the caller tightens is told to the ns, and named") {
  Audited a;
  const Ns start = a.m.sched.now();
  a.m.rq(0).cfs.leftmost->task->last_queued = start;
  a.m.rq(0).cfs.leftmost->task->cpus_allowed = CpuMask::first_n(4);
  const auto at = [&](u64 waited) {
    a.m.at(start.v + waited);
    a.broken.clear();
    a.audit.check(a.m.sched, CpuId(1), start, a.broken, Ns(500));
    return a.broken.size();
  };
  CHECK(at(500) == 0);
  CHECK(at(501) == 1);
  CHECK(a.broken[0].find("has waited on CPU 0 for more than 500 ns") != std::string::npos);
}

TEST_CASE("property: queues stay in order whatever is forked, woken, put to sleep, reniced and balanced") {
  for (u32 seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    std::mt19937 rng(seed);
    TestMachine m(rng() % 2 ? rpi() : mc());
    SchedAudit audit(4);
    std::vector<std::string> broken;
    for (int step = 0; step < 400; ++step) {
      const u32 c = static_cast<u32>(rng() % 4);
      m.advance(rng() % (3 * kMs));
      if (rng() % 8 == 0) m.sched.set_jiffies(m.sched.jiffies() + 1);
      switch (rng() % 5) {
        case 0:
          if (m.tasks.size() < 40) m.start(m.task(static_cast<int>(rng() % 20) - 10), c);
          break;
        case 1:
          if (&m.curr(c) != m.rq(c).idle) m.sleep(c);
          break;
        case 2:
          if (!m.tasks.empty()) {
            Task& t = m.tasks[rng() % m.tasks.size()];
            if (t.state == TASK_INTERRUPTIBLE && !t.on_cpu) m.sched.try_to_wake_up(t, TASK_NORMAL, 0, CpuId(c));
          }
          break;
        case 3:
          if (!m.tasks.empty()) m.sched.set_user_nice(m.tasks[rng() % m.tasks.size()], static_cast<int>(rng() % 40) - 20, CpuId(c));
          break;
        default:
          m.sched.scheduler_tick(CpuId(c));
          if (m.sched.softirq_wanted(CpuId(c))) m.sched.run_rebalance_domains(CpuId(c));
      }
      m.settle();
      for (u32 i = 0; i < 4; ++i) audit.check(m.sched, CpuId(i), kNever, broken);
      REQUIRE_MESSAGE(broken.empty(), broken.front());
    }
  }
}

TEST_SUITE_END();
