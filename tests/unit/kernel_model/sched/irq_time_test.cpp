// CONFIG_IRQ_TIME_ACCOUNTING: the clock of tasks stands still in interrupts, and what interrupts take is no capacity.
#include <doctest/doctest.h>

#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/pelt.hpp"
#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

namespace {

constexpr u64 kUs = 1'000;

KernelProfile accounting(bool capacity = true, KernelProfile k = rpi()) {
  k.irq_time_accounting = true;
  k.features[static_cast<std::size_t>(Feature::NONTASK_CAPACITY)] = capacity;
  return k;
}

/// An interrupt of `ns` on CPU 0 that begins now.
void interrupt(TestMachine& m, u64 ns) {
  m.sched.irqtime_account_irq(CpuId(0), IrqContext::task);
  m.advance(ns);
  m.sched.irqtime_account_irq(CpuId(0), IrqContext::hardirq);
}

}  // namespace

TEST_SUITE("sched/irq_time") {
  TEST_CASE("a task that an interrupt meets is not charged for it, and its averages do not see it") {
    for (const bool on : {false, true}) {
      TestMachine m(on ? accounting() : rpi());
      Task& a = m.start(m.task(0, 1), 0);
      m.settle();
      const u64 before = a.se.sum_exec_runtime;
      m.advance(kMs);
      interrupt(m, 300 * kUs);
      m.advance(kMs);
      m.sched.scheduler_tick(CpuId(0));
      CHECK(a.se.sum_exec_runtime - before == (on ? 2 * kMs : 2 * kMs + 300 * kUs));
      CHECK(m.rq(0).clock - m.rq(0).clock_task == (on ? 300 * kUs : 0));
    }
  }

  TEST_CASE("what a remote update of the clock has counted already is made up for as far as time goes on") {
    TestMachine m(accounting());
    m.start(m.task(0, 1), 0);
    m.settle();
    m.sched.update_rq_clock(m.rq(0));
    const u64 task = m.rq(0).clock_task;
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::task);
    m.advance(4 * kMs);
    // Another CPU looks while the interrupt goes on: nothing is accounted yet.
    m.sched.update_rq_clock(m.rq(0));
    CHECK(m.rq(0).clock_task == task + 4 * kMs);
    m.advance(kMs);
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::hardirq);
    // 5 ms of interrupt, but only 1 ms since: the clock of tasks stands still, now and for the 4 ms that follow.
    m.sched.update_rq_clock(m.rq(0));
    CHECK(m.rq(0).clock_task == task + 4 * kMs);
    CHECK(m.rq(0).prev_irq_time == kMs);
    m.advance(3 * kMs);
    m.sched.update_rq_clock(m.rq(0));
    CHECK(m.rq(0).clock_task == task + 4 * kMs);
    m.advance(3 * kMs);
    m.sched.update_rq_clock(m.rq(0));
    CHECK(m.rq(0).clock_task == task + 6 * kMs);
    CHECK(m.rq(0).prev_irq_time == 5 * kMs);
  }

  TEST_CASE("time before irq_enter is the task's or the softirq's, time up to irq_exit the interrupt's") {
    TestMachine m(accounting());
    const IrqTime& t = m.rq(0).irqtime;
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::task);  // a softirq begins
    m.advance(10 * kUs);
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::softirq);  // an interrupt meets it
    m.advance(3 * kUs);
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::hardirq);
    m.advance(20 * kUs);
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::softirq);
    m.advance(500 * kUs);
    m.sched.irqtime_account_irq(CpuId(0), IrqContext::task);
    CHECK(t.hardirq == 3 * kUs);
    CHECK(t.softirq == 30 * kUs);
    CHECK(t.total() == 33 * kUs);
  }

  TEST_CASE("update_irq_load_avg: one period of nothing but interrupts, then a half-life without") {
    Rq rq;
    rq.avg_irq.last_update_time = 1 << 20;
    rq.clock = (1 << 20) + (1 << 20);  // a period is 1024 times 1024 ns
    CHECK(update_irq_load_avg(rq, 1 << 20));
    // 1024 units, aged by the boundary they end at: floor(1024 y) = 1002, of 47742 - 1024.
    CHECK(rq.avg_irq.util_sum == 1002 * 1024);
    CHECK(rq.avg_irq.util_avg == 1002 * 1024 / 46718);
    CHECK(rq.avg_irq.util_avg == 21);
    rq.clock += u64{32} << 20;
    CHECK(update_irq_load_avg(rq, 0));
    CHECK(rq.avg_irq.util_sum == 513023);  // 1026048 / 2, times (2^32 - 1) / 2^32
    CHECK(rq.avg_irq.util_avg == 10);
    CHECK_FALSE(update_irq_load_avg(rq, 0));
  }

  TEST_CASE("interrupts are taken for the last thing before the update: the same time, aged first") {
    Rq rq;
    rq.avg_irq.last_update_time = 1 << 20;
    rq.avg_irq.util_sum = 46718 * 100;
    rq.clock = (1 << 20) + (u64{2} << 20);
    CHECK(update_irq_load_avg(rq, 1 << 20));
    // One period ages the sum, y = 0.97857: floor(4671800 y) = 4571692; the second ages it again and adds 1002 x 1024.
    const u64 once = decay_load(46718 * 100, 1), twice = decay_load(once, 1);
    CHECK(once == 4571692);
    CHECK(rq.avg_irq.util_sum == twice + 1002 * 1024);
  }

  TEST_CASE("capacity is what real-time tasks leave, scaled to what interrupts leave") {
    CHECK(scale_irq_capacity(1024 - 256, 512, 1024) == 384);
    CHECK(scale_irq_capacity(1024, 1, 1024) == 1023);
    struct {
      u64 irq, rt, capacity;
    } const kCases[] = {{0, 0, 1024}, {512, 0, 512}, {512, 256, 384}, {1023, 1023, 1}, {1024, 0, 1}, {1030, 0, 1}, {0, 1024, 1}};
    for (const auto& c : kCases) {
      CAPTURE(c.irq);
      TestMachine m(accounting());
      for (u32 i = 0; i < 4; ++i) m.start(m.task(0, u64{1} << i), i);
      m.settle();
      m.sched.update_rq_clock(m.rq(0));
      Rq& rq = m.rq(0);
      rq.avg_irq.util_avg = c.irq;
      rq.avg_irq.util_sum = static_cast<u32>(c.irq * 46718);
      rq.avg_rt.util_avg = c.rt;
      rq.avg_rt.util_sum = static_cast<u32>(c.rt * 46718);
      rq.avg_irq.last_update_time = rq.clock;
      rq.avg_rt.last_update_time = rq.clock_task;
      m.sched.set_jiffies(m.sched.jiffies() + 500);
      m.sched.scheduler_tick(CpuId(0));
      m.sched.run_rebalance_domains(CpuId(0));
      CHECK(rq.cpu_capacity == c.capacity);
    }
  }

  TEST_CASE("with NO_NONTASK_CAPACITY the clock still stands still, but capacity is whole, without accounting the feature does nothing") {
    for (const bool capacity : {true, false}) {
      TestMachine m(accounting(capacity));
      m.start(m.task(0, 1), 0);
      m.settle();
      for (int i = 0; i < 200; ++i) {
        interrupt(m, 500 * kUs);
        m.advance(500 * kUs);
        m.sched.update_rq_clock(m.rq(0));
      }
      CHECK(m.rq(0).prev_irq_time == 100 * kMs);
      // Half of the time for 200 ms, 6.1 half-lives of 32 x 1.048576 ms: 512 less a sixty-ninth is 504.6, give or take half a millisecond
      // that ages by y^0.5.
      CHECK(m.rq(0).avg_irq.util_avg >= (capacity ? 498u : 0u));
      CHECK(m.rq(0).avg_irq.util_avg <= (capacity ? 511u : 0u));
    }
    KernelProfile off = rpi();
    off.features[static_cast<std::size_t>(Feature::NONTASK_CAPACITY)] = false;
    TestMachine m(off);
    m.start(m.task(0, 1), 0);
    m.settle();
    m.advance(kMs);
    m.sched.update_rq_clock(m.rq(0));
    CHECK(m.rq(0).clock == m.rq(0).clock_task);
  }

  TEST_CASE("interrupts that are still felt keep the averages of an idle CPU from being forgotten") {
    TestMachine m(accounting());
    Rq& rq = m.rq(0);
    interrupt(m, 50 * kMs);
    m.sched.update_rq_clock(rq);
    REQUIRE(rq.avg_irq.util_avg > 0);
    rq.has_blocked_load = true;
    m.advance(100 * kMs);
    m.sched.fair().update_blocked_averages(CpuId(0));
    CHECK(rq.avg_irq.util_avg > 0);
    CHECK(rq.has_blocked_load);
    m.advance(2'000 * kMs);
    m.sched.fair().update_blocked_averages(CpuId(0));
    CHECK(rq.avg_irq.util_avg == 0);
    CHECK_FALSE(rq.has_blocked_load);
  }
}
