#include <doctest/doctest.h>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/placement");

namespace {

/// Where CPU 0 would put a child, given runnable and total load of the four CPUs.
u32 fork_from_cpu0(const KernelProfile& k, std::array<u64, 4> runnable, std::array<u64, 4> load, u64 allowed = 15) {
  TestMachine m(k);
  for (u32 c = 0; c < 4; ++c) {
    m.rq(c).cfs.avg.runnable_load_avg = runnable[c];
    m.rq(c).cfs.avg.load_avg = load[c];
  }
  Task& p = m.task(0, allowed);
  m.sched.set_task_cpu_raw(p, CpuId(0));
  m.sched.set_this_cpu(CpuId(0));
  return m.sched.placement().select_task_rq_fair(p, CpuId(0), SD_BALANCE_FORK, 0).v;
}

}  // namespace

TEST_CASE("fork placement follows runnable load, then total load, then ring order, and never asks who is idle") {
  for (const KernelProfile& k : {rpi(), mc()}) {
    CAPTURE(k.name);
    CHECK(fork_from_cpu0(k, {1024, 0, 0, 0}, {1024, 0, 0, 0}) == 1);
    // blocked load 10 on CPU 3 beats 50 and 40 by more than 12 %
    CHECK(fork_from_cpu0(k, {1024, 0, 0, 0}, {1024, 50, 40, 10}) == 3);
    // a light parent still gives its child away when the others carry nothing at all
    CHECK(fork_from_cpu0(k, {100, 0, 0, 0}, {100, 0, 0, 0}) == 1);
    // ... and keeps it when their blocked load equals its own
    CHECK(fork_from_cpu0(k, {100, 0, 0, 0}, {100, 100, 100, 100}) == 0);
    CHECK(fork_from_cpu0(k, {100, 0, 0, 0}, {100, 95, 90, 80}) == 3);
    CHECK(fork_from_cpu0(k, {1024, 1024, 0, 0}, {1024, 1024, 30, 0}) == 3);
    CHECK(fork_from_cpu0(k, {1024, 1024, 1024, 1024}, {1024, 1024, 1024, 1024}) == 0);
    CHECK(fork_from_cpu0(k, {1024, 900, 1024, 860}, {1024, 900, 1024, 860}) == 1);
    CHECK(fork_from_cpu0(k, {2048, 1024, 1024, 1024}, {2048, 1024, 1024, 1024}) == 1);
  }
}

TEST_CASE("a load difference between the two profiles' margins of 174 and 256 decides differently") {
  // 200 on CPU 0 against 0 elsewhere with equal total load: 200 > 0 + 174 moves in MC, 200 < 0 + 256 stays in RPI.
  CHECK(fork_from_cpu0(mc(), {200, 0, 0, 0}, {200, 200, 200, 200}) == 1);
  CHECK(fork_from_cpu0(rpi(), {200, 0, 0, 0}, {200, 200, 200, 200}) == 0);
}

TEST_CASE(
    "when the forking CPU is not allowed and the others are loaded, the wrapped sum keeps the child and the fallback takes the first "
    "allowed CPU") {
  TestMachine m(rpi());
  for (u32 c = 0; c < 4; ++c) m.rq(c).cfs.avg.runnable_load_avg = m.rq(c).cfs.avg.load_avg = 1000 - 100 * c;
  Task& p = m.task(0, 0b1110);
  m.sched.set_task_cpu_raw(p, CpuId(0));
  m.sched.set_this_cpu(CpuId(0));
  CHECK(m.sched.placement().select_task_rq_fair(p, CpuId(0), SD_BALANCE_FORK, 0) == CpuId(0));
  CHECK(m.sched.select_task_rq(p, CpuId(0), SD_BALANCE_FORK, 0) == CpuId(1));
}

TEST_CASE("a fork announces its decision with what the kernel could have seen") {
  TestMachine m(rpi());
  m.start(m.task(), 2);
  const auto placed = m.seen(Tp::placement);
  REQUIRE(placed.size() == 1);
  CHECK(placed[0].args[0] == 0);    // fork
  CHECK(placed[0].args[2] == 2);    // this_cpu
  CHECK(placed[0].args[5] == 0xf);  // all four idle
  CHECK(m.seen(Tp::sched_wakeup_new).size() == 1);
  CHECK(m.seen(Tp::sched_migrate_task).empty());
}

TEST_CASE("a wake-up across CPUs goes through the wake list without a shared cache and directly with one") {
  for (bool shared : {false, true}) {
    CAPTURE(shared);
    TestMachine m(shared ? mc() : rpi());
    Task& p = m.start(m.task(0, 0b0010), 0);
    m.settle();
    m.advance(1'000'000);
    m.sleep(1);
    m.ipis.clear();
    m.advance(1'000'000);
    CHECK(m.sched.try_to_wake_up(p, TASK_NORMAL, 0, CpuId(0)));
    CHECK((m.rq(1).wake_list != nullptr) == !shared);
    CHECK(p.on_rq == (shared ? TASK_ON_RQ_QUEUED : 0));
    CHECK(m.ipis == std::vector<std::pair<u32, u32>>{{0, 1}});
    m.settle();
    CHECK(&m.curr(1) == &p);
  }
}

TEST_CASE("the wake list is served last arrival first and needs one interrupt only") {
  TestMachine m(rpi());
  Task &a = m.start(m.task(0, 0b0010), 0), &b = m.start(m.task(0, 0b0010), 0);
  m.settle();
  for (int i = 0; i < 2; ++i) {
    m.advance(1'000'000);
    m.sleep(1);
  }
  m.advance(1'000'000);
  m.ipis.clear();
  m.events.clear();
  m.sched.try_to_wake_up(a, TASK_NORMAL, 0, CpuId(0));
  m.sched.try_to_wake_up(b, TASK_NORMAL, 0, CpuId(0));
  CHECK(m.ipis.size() == 1);
  CHECK(m.sched.scheduler_ipi(CpuId(1)) == 2);
  const auto woken = m.seen(Tp::sched_wakeup);
  REQUIRE(woken.size() == 2);
  CHECK(static_cast<s32>(woken[0].args[1]) == b.pid.v);
  CHECK(static_cast<s32>(woken[1].args[1]) == a.pid.v);
}

TEST_CASE("a polling idle CPU needs no interrupt") {
  TestMachine m(rpi());
  m.polling = true;
  m.start(m.task(0, 0b0010), 0);
  CHECK(m.ipis.empty());
  CHECK(m.seen(Tp::sched_wake_idle_without_ipi).size() == 1);
  CHECK(m.idle[1].need_resched());
}

TEST_CASE("with a shared cache a wake-up finds an idle sibling when its old CPU is busy") {
  TestMachine m(mc());
  Task& p = m.start(m.task(0, 0b0111), 1);
  m.settle();
  const u32 home = p.cpu.v;
  m.advance(1'000'000);
  m.sleep(home);
  m.start(m.task(0, u64{1} << home), 3);  // somebody else takes its CPU
  m.start(m.task(0, 0b1000), 3);          // and the waker's CPU is busy
  m.settle();
  m.advance(1'000'000);
  m.sched.try_to_wake_up(p, TASK_NORMAL, 0, CpuId(3));
  CHECK(p.cpu.v != home);
  CHECK(p.cpu.v != 3);
  CHECK(m.rq(p.cpu.v).nr_running == 1);
}

TEST_CASE("an offline CPU is never chosen and its queue moves away") {
  TestMachine m(rpi());
  Task &a = m.start(m.task(), 0), &b = m.start(m.task(0, 0b0010), 0);
  m.settle();
  Task& queued = m.start(m.task(0, 0b0110), 1);
  m.settle();
  m.sched.set_cpu_online(CpuId(1), false, CpuId(0));
  for (const Task* t : {&a, &b, &queued})
    if (!t->on_cpu) CHECK(t->cpu != CpuId(1));
  for (int i = 0; i < 8; ++i) {
    Task& p = m.start(m.task(), 0);
    CHECK(p.cpu != CpuId(1));
  }
  m.sched.set_cpu_online(CpuId(1), true, CpuId(0));
  CHECK(m.start(m.task(0, 0b0010), 0).cpu == CpuId(1));
}

TEST_CASE("a task whose every CPU went away gets all of them") {
  TestMachine m(rpi());
  Task& p = m.task(0, 0b0100);
  m.sched.set_cpu_online(CpuId(2), false, CpuId(0));
  m.start(p, 0);
  CHECK(p.cpu != CpuId(2));
  CHECK(p.cpus_allowed == CpuMask::first_n(4));
}

TEST_SUITE_END();
