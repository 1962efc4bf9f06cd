// What a 32-bit kernel makes of weights: it has no bits below those of nice levels. Numbers by hand.
#include <doctest/doctest.h>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/load_resolution");

namespace {
KernelProfile arm32() { return profile("rpi-4.19-arm32"); }

/// A queue with `weight` of load on it, in a group of nice-0 shares.
struct GroupQueue {
  TaskGroup tg;
  CfsRq q;
  explicit GroupQueue(u64 weight, s64 tg_load) {
    tg.load_avg = tg_load;
    q.tg = &tg;
    q.load.weight = weight << 10;
  }
};
}  // namespace

TEST_CASE("the share of a group on a CPU is a whole weight on 32 bits") {
  GroupQueue g(1024, 3000);
  g.q.tg_load_avg_contrib = 500;  // 1024 of 3000 - 500 + 1024
  CHECK(TestMachine(rpi()).sched.fair().calc_group_shares(g.q) == 304694);  // 2^20 * 1024 / 3524
  CHECK(TestMachine(arm32()).sched.fair().calc_group_shares(g.q) == 297 * 1024);  // 2^10 * 1024 / 3524
  g.q.avg.load_avg = 900;
  g.q.avg.runnable_load_avg = 300;
  CHECK(TestMachine(rpi()).sched.fair().calc_group_runnable(g.q, 304694) == 89265);  // * 300 / 1024
  CHECK(TestMachine(arm32()).sched.fair().calc_group_runnable(g.q, 297 * 1024) == 87 * 1024);
}

TEST_CASE("MIN_SHARES is 2 in the kernel's own unit") {
  const GroupQueue g(1, 2'000'000);
  CHECK(TestMachine(rpi()).sched.fair().calc_group_shares(g.q) == 2);
  CHECK(TestMachine(arm32()).sched.fair().calc_group_shares(g.q) == 2 * 1024);
}

TEST_CASE("the first utilisation of a task: up to the cap on 64 bits, by the weight of its queue on 32") {
  struct Case {
    KernelProfile kernel;
    int nice;
    u64 util;
  };
  // half of what 1024 leaves above 200; 200 * weight / (1023 + 1)
  for (const Case& c : {Case{rpi(), 0, 412}, {rpi(), 5, 412}, {arm32(), 0, 200}, {arm32(), 5, 65}}) {
    TestMachine m(c.kernel);
    CfsRq& q = m.rq(0).cfs;
    q.avg.util_avg = 200;
    q.avg.load_avg = 1023;
    q.avg.last_update_time = m.sched.now().v;
    Task& p = m.task(c.nice);
    m.sched.set_task_cpu_raw(p, CpuId(0));
    FairClass::init_entity_runnable_average(p.se);
    m.rq(0).clock_task = q.avg.last_update_time;
    m.sched.fair().post_init_entity_util_avg(p.se);
    CAPTURE(c.nice);
    CHECK(p.se.avg.util_avg == c.util);
  }
}

TEST_SUITE_END();
