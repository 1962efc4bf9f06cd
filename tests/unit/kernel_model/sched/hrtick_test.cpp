// Slices that end by a timer of their own (HRTICK, DOUBLE_TICK): what arms the timer, for how long, and what its callback does.
#include <doctest/doctest.h>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

namespace {

// 18 ms among two and three equals, through the inverses of 2048 and 3072
constexpr u64 kHalf = 8'999'995, kThird = 5'999'998;

KernelProfile with(std::initializer_list<Feature> on, KernelProfile k = rpi()) {
  for (Feature f : on) k.features[static_cast<std::size_t>(f)] = true;
  return k;
}

}  // namespace

TEST_SUITE("sched/hrtick") {
  TEST_CASE("a task that gets company has its timer armed for what is left of its slice, alone it has none") {
    Pair t(with({Feature::HRTICK}));
    REQUIRE(t.m.hrticks.size() == 1);
    CHECK(t.m.hrticks[0] == std::pair{0u, Ns(t.now() + kHalf - kMs)});
    CHECK(t.m.rq(0).hrtick_active);
    CHECK(t.m.hrtick_calls.empty());
  }

  TEST_CASE("without the feature nothing is armed or cancelled") {
    Pair t(rpi());
    t.m.schedule(0, true);
    CHECK(t.m.hrticks.empty());
  }

  TEST_CASE(
      "the timer asks for a switch at once, and a task that is picked again has no more slice than 10 us and then leaves it to the tick") {
    Pair t(with({Feature::HRTICK}));
    t.m.advance(kHalf - kMs);
    t.m.sched.hrtick(CpuId(0));
    CHECK(t.a.need_resched());
    CHECK_FALSE(t.m.rq(0).hrtick_active);
    // b stands a slice to the right of where a was after 1 ms: a is still leftmost. Nothing is left of its slice: 10 us is the least.
    t.m.hrticks.clear();
    CHECK(&t.m.schedule(0, true) == &t.a);
    REQUIRE(t.m.hrticks.size() == 1);
    CHECK(t.m.hrticks[0] == std::pair{0u, Ns(t.now() + 10'000)});
    // Now a is 10 us beyond its slice: no timer, and the request for a switch ends with this __schedule.
    t.m.advance(10'000);
    t.m.sched.hrtick(CpuId(0));
    t.m.hrticks.clear();
    CHECK(&t.m.schedule(0, true) == &t.a);
    CHECK(t.m.hrticks.empty());
    CHECK_FALSE(t.a.need_resched());
    t.m.sched.scheduler_tick(CpuId(0));
    CHECK(t.a.need_resched());
  }

  TEST_CASE("__schedule cancels the timer of who ran and arms one for a whole slice of who comes") {
    Pair t(with({Feature::HRTICK}));
    t.m.hrticks.clear();
    t.m.advance(9 * kMs);  // a is to the right of b now
    CHECK(&t.m.schedule(0, true) == t.b);
    CHECK(t.m.hrticks == std::vector<std::pair<u32, Ns>>{{0, kNever}, {0, Ns(t.now() + kHalf)}});
  }

  TEST_CASE("one that goes to sleep leaves the last task without a timer") {
    Pair t(with({Feature::HRTICK}));
    t.m.hrticks.clear();
    t.m.advance(kMs);
    CHECK(&t.m.sleep(0) == t.b);
    CHECK(t.m.hrticks == std::vector<std::pair<u32, Ns>>{{0, kNever}});
    CHECK_FALSE(t.m.rq(0).hrtick_active);
  }

  TEST_CASE("while the timer is armed the tick ends no slice, with DOUBLE_TICK it does") {
    for (const bool double_tick : {false, true}) {
      Pair t(double_tick ? with({Feature::HRTICK, Feature::DOUBLE_TICK}) : with({Feature::HRTICK}));
      t.m.advance(12 * kMs);
      t.m.sched.scheduler_tick(CpuId(0));
      CHECK(t.a.need_resched() == double_tick);
    }
    // without HRTICK it has no effect
    Pair plain(with({Feature::DOUBLE_TICK}));
    plain.m.advance(12 * kMs);
    plain.m.sched.scheduler_tick(CpuId(0));
    CHECK(plain.a.need_resched());
  }

  TEST_CASE("another CPU asks by a function call, once until it is answered, the date is that of the last change") {
    Pair t(with({Feature::HRTICK}), 1);
    CHECK(t.m.hrtick_calls == std::vector<std::pair<u32, u32>>{{1, 0}});
    CHECK(t.m.hrticks.empty());
    CHECK_FALSE(t.m.rq(0).hrtick_active);
    t.m.start(t.m.task(0, 1), 2);
    CHECK(t.m.hrtick_calls.size() == 1);
    const Ns date = Ns(t.now() + kThird - kMs);
    t.m.advance(1200);
    t.m.sched.hrtick_start_here(CpuId(0));
    CHECK(t.m.hrticks == std::vector<std::pair<u32, Ns>>{{0, date}});
    CHECK(t.m.rq(0).hrtick_active);
    // Answered: the next change asks again, and an answer that nobody asked for does nothing.
    t.m.start(t.m.task(0, 1), 3);
    CHECK(t.m.hrtick_calls.size() == 2);
    t.m.sched.hrtick_start_here(CpuId(0));
    t.m.sched.hrtick_start_here(CpuId(0));
    CHECK(t.m.hrticks.size() == 2);
  }

  TEST_CASE("a crowd of sched_nr_latency tasks is left to the ticks until the next __schedule") {
    Pair t(with({Feature::HRTICK}));
    for (int i = 2; i < 7; ++i) t.m.start(t.m.task(0, 1), 0);
    const std::size_t armed = t.m.hrticks.size();
    CHECK(armed == 6);             // two to seven tasks
    t.m.start(t.m.task(0, 1), 0);  // the eighth: 18 ms / 2.25 ms
    CHECK(t.m.hrticks.size() == armed);
    t.m.schedule(0, true);
    CHECK(t.m.hrticks.size() == armed + 2);  // cancelled and armed
  }

  TEST_CASE("a real-time task has no timer of its own, one that a fair task has left counts as a tick of SCHED_RR") {
    KernelProfile k = with({Feature::HRTICK});
    TestMachine m(k);
    Task& a = m.start(m.task(0, 1), 0);
    m.settle();
    m.start(m.task(0, 1), 0);
    REQUIRE(m.rq(0).hrtick_active);
    m.hrticks.clear();
    m.sched.sched_setscheduler(a, SchedPolicy::rr, 10, CpuId(0));
    const u32 slice = a.rt.time_slice;
    m.advance(kMs);
    m.sched.hrtick(CpuId(0));
    CHECK(a.rt.time_slice == slice - 1);
    m.hrticks.clear();
    m.schedule(0, true);
    CHECK(&m.curr(0) == &a);
    CHECK(m.hrticks.empty());
  }

  TEST_CASE("a CPU that is not active arms nothing, one that dies clears its timer and what was asked for") {
    TestMachine m(with({Feature::HRTICK}));
    Task& a = m.start(m.task(0), 0);
    m.settle();
    const u32 cpu = a.cpu.v, other = cpu == 3 ? 2 : 3;
    Task& b = m.task(0, u64{1} << cpu);
    m.start(b, cpu);
    m.start(m.task(0, u64{1} << cpu), other);
    REQUIRE(m.rq(cpu).hrtick_active);
    REQUIRE(m.rq(cpu).hrtick_csd_pending);
    m.sched.set_cpu_active(CpuId(cpu), false, CpuId(other));
    CHECK_FALSE(m.sched.hrtick_enabled(m.rq(cpu)));
    m.sched.migrate_tasks(CpuId(cpu), CpuId(other));
    CHECK_FALSE(m.rq(cpu).hrtick_active);
    CHECK_FALSE(m.rq(cpu).hrtick_csd_pending);
    CHECK(m.hrticks.back() == std::pair{cpu, kNever});
  }
}
