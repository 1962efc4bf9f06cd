#include <doctest/doctest.h>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/balance");

namespace {

/// One runner and `waiting` cold tasks on CPU 0 that may move; CPU 1 runs a task that is about to sleep.
struct Crowd {
  explicit Crowd(const KernelProfile& k, int waiting = 3) : m(k) {
    for (int i = 0; i <= waiting; ++i) m.start(m.task(0, 0b0001), 0);
    m.start(m.task(0, 0b0010), 1);
    m.settle();
    m.advance(50 * kMs);
    m.sched.set_jiffies(m.sched.jiffies() + 12);
    for (u32 c : {0u, 1u}) m.sched.scheduler_tick(CpuId(c));
    for (Task& t : m.tasks)
      if (t.cpu == CpuId(0) && !t.on_cpu) {
        t.cpus_allowed = CpuMask::first_n(4);
        t.nr_cpus_allowed = 4;
      }
  }
  TestMachine m;
};
}  // namespace

TEST_CASE("a CPU that goes idle pulls one waiting task with kernel preemption and more without") {
  Crowd with(mc());
  CHECK(with.m.sched.newidle_balance_wanted(CpuId(1)) == false);  // it still has its own task
  with.m.sleep(1);
  CHECK(with.m.curr(1).cpu == CpuId(1));
  CHECK(&with.m.curr(1) != with.m.rq(1).idle);
  CHECK(with.m.rq(1).nr_running == 1);

  KernelProfile voluntary = mc();
  voluntary.preempt = PreemptModel::voluntary;
  Crowd without(voluntary, 5);
  without.m.sleep(1);
  CHECK(without.m.rq(1).nr_running > 1);
  const auto attempts = without.m.seen(Tp::load_balance);
  REQUIRE_FALSE(attempts.empty());
  const auto& last = attempts.back().args;
  CHECK(last[0] == static_cast<u64>(BalanceKind::newidle));
  CHECK(last[1] == static_cast<u64>(TopologyLevel::Kind::llc));
  CHECK(last[2] == 1);  // to CPU 1
  CHECK(last[3] == static_cast<u64>(CpuIdleType::newly_idle));
  CHECK(last[4] == 0);  // from CPU 0
  CHECK(last[5] == static_cast<u64>(BalanceReason::pulled));
  CHECK(last[6] == without.m.rq(1).nr_running);
  CHECK(last[7] > 0);
}

TEST_CASE("a CPU that idles briefly on average does not look for work") {
  Crowd t(rpi());
  t.m.rq(1).avg_idle = 499'999;
  t.m.sleep(1);
  CHECK(&t.m.curr(1) == t.m.rq(1).idle);
  CHECK(t.m.seen(Tp::load_balance).empty());
}

TEST_CASE("nobody looks for work while no CPU has two runnable tasks") {
  TestMachine m(rpi());
  m.start(m.task(0, 1), 0);
  m.start(m.task(0, 2), 0);
  m.settle();
  m.advance(kMs);
  m.sched.set_rd_overload(false);
  m.sleep(1);
  CHECK(m.seen(Tp::load_balance).empty());
  CHECK(m.rq(1).idle_stamp == m.rq(1).clock);
}

TEST_CASE("the measured cost of newly idle balancing is remembered and forbids it when idle times are shorter") {
  Crowd t(rpi());
  t.m.curr(1).state = TASK_INTERRUPTIBLE;
  t.m.sched.schedule_begin(CpuId(1), false, false);
  CHECK(t.m.sched.newidle_balance_wanted(CpuId(1)));
  t.m.sched.schedule_pick(CpuId(1), false, Ns(700'000));
  CHECK(t.m.sched.domains().lowest(CpuId(1))->max_newidle_lb_cost == 700'000);
  CHECK(t.m.rq(1).max_idle_balance_cost == 700'000);
  t.m.rq(1).avg_idle = 699'999;
  t.m.curr(1).state = TASK_INTERRUPTIBLE;
  t.m.sched.finish_task_switch(t.m.curr(1), CpuId(1));
  t.m.sched.schedule_begin(CpuId(1), false, false);
  CHECK_FALSE(t.m.sched.newidle_balance_wanted(CpuId(1)));
}

TEST_CASE("two tasks on one CPU and none elsewhere end up apart through the tick's softirq or active balance") {
  // With SCHED_MC an idle CPU's periodic balance only helps an overloaded CPU; the busy tick of CPU 0 cannot push.
  TestMachine m(rpi());
  Task &a = m.start(m.task(0, 1), 0), &b = m.start(m.task(0, 1), 0);
  m.settle();
  for (Task* t : {&a, &b}) {
    t->cpus_allowed = CpuMask::first_n(4);
    t->nr_cpus_allowed = 4;
  }
  int ticks = 0;
  for (; ticks < 500 && (a.cpu == b.cpu); ++ticks) {
    m.advance(4 * kMs);
    m.sched.set_jiffies(m.sched.jiffies() + 1);
    for (u32 c = 0; c < 4; ++c) {
      m.sched.scheduler_tick(CpuId(c));
      if (m.sched.softirq_wanted(CpuId(c))) m.sched.run_rebalance_domains(CpuId(c));
      CHECK_FALSE(m.sched.softirq_wanted(CpuId(c)));
      m.settle();
    }
  }
  CHECK(a.cpu != b.cpu);
  CHECK(ticks < 100);
}

TEST_CASE("an attempt that moves nothing says why") {
  // Two tasks that wait on CPU 0 behind its runner; CPU 1 is about to idle and may take them, or not.
  struct Case {
    bool pinned, hot;
    BalanceReason reason;
  };
  for (const Case& c : {Case{true, false, BalanceReason::all_pinned}, Case{false, true, BalanceReason::hot}}) {
    Crowd t(mc(), 2);
    for (Task& p : t.m.tasks) {
      if (p.cpu != CpuId(0)) continue;
      if (c.pinned) {
        p.cpus_allowed = CpuMask::of(CpuId(0));
        p.nr_cpus_allowed = 1;
      }
      // Ran 499 999 ns ago: one ns less than sched_migration_cost.
      if (c.hot) p.se.exec_start = t.m.rq(0).clock_task - 499'999;
    }
    t.m.sleep(1);
    CHECK(&t.m.curr(1) == t.m.rq(1).idle);
    const auto attempts = t.m.seen(Tp::load_balance);
    REQUIRE_FALSE(attempts.empty());
    CHECK(attempts.back().args[5] == static_cast<u64>(c.reason));
    CHECK(attempts.back().args[6] == 0);
  }
}

TEST_CASE("of two busy CPUs of one group only the first balances it against the other group") {
  TestMachine m(mc(), 4, 2);
  for (u32 c = 0; c < 2; ++c) m.start(m.task(0, u64{1} << c), c);
  m.settle();
  m.advance(100 * kMs);
  bool cont = true;
  SchedDomain& die = *m.sched.domains().lowest(CpuId(1))->parent;
  m.sched.set_this_cpu(CpuId(1));
  CHECK(m.sched.balancer().load_balance(CpuId(1), die, CpuIdleType::not_idle, cont) == 0);
  CHECK_FALSE(cont);
  const auto a = m.seen(Tp::load_balance).back().args;
  CHECK(a[0] == static_cast<u64>(BalanceKind::periodic));
  CHECK(a[1] == static_cast<u64>(TopologyLevel::Kind::die));
  CHECK(static_cast<s64>(a[4]) == -1);
  CHECK(a[5] == static_cast<u64>(BalanceReason::other_cpu));
  CHECK(m.sched.counters().balance_attempts == 1);
}

TEST_CASE("a busy CPU's tick kicks the first tickless idle CPU to balance for all") {
  TestMachine m(rpi());
  m.start(m.task(0, 1), 0);
  m.start(m.task(0, 1), 0);
  m.settle();
  for (u32 c = 1; c < 4; ++c) m.sched.nohz_tick_stop(CpuId(c));
  m.ipis.clear();
  m.advance(40 * kMs);
  m.sched.set_jiffies(m.sched.jiffies() + 10);
  m.sched.scheduler_tick(CpuId(0));
  CHECK(m.ipis == std::vector<std::pair<u32, u32>>{{0, 1}});
  CHECK_FALSE(m.sched.softirq_wanted(CpuId(1)));
  m.sched.scheduler_ipi(CpuId(1));
  CHECK(m.sched.softirq_wanted(CpuId(1)));
  m.sched.run_rebalance_domains(CpuId(1));
  CHECK(m.sched.jiffies() == m.sched.domains().lowest(CpuId(3))->last_balance);
}

TEST_SUITE_END();
