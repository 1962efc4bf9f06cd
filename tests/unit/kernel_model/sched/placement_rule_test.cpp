#include "kernel_model/sched/placement_rule.hpp"

#include <doctest/doctest.h>

#include <random>

#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/placement_rule");

namespace {

struct Draws final : DrawPort {
  u64 draw() override { return next; }
  u64 next = 0;
};

/// Answers what it is told to.
struct Answer final : PlacementRule {
  explicit Answer(std::optional<CpuId> c) : cpu(c) {}
  std::optional<CpuId> select(const PlacementView&) override { return cpu; }
  std::optional<CpuId> cpu;
};

/// Four CPUs in a given state, and one rule for every kind of decision.
class RuleMachine {
 public:
  explicit RuleMachine(PlacementName name, u32 cpus = 4, u32 llc = 4)
      : machine(rpi(cpus), cpus, llc), rule_(make_placement_rule(name, draws)) {
    use(rule_.get());
  }
  explicit RuleMachine(PlacementRule& rule) : machine(rpi()) { use(&rule); }
  void use(PlacementRule* rule) {
    PlacementConfig c;
    c.rules = {nullptr, rule};
    c.names = {"kernel", "mine"};
    c.run = {2, 2, 2};
    machine.sched.set_placement(c);
  }
  /// A task occupies each CPU of `mask`.
  void busy(u64 mask) {
    for (u32 c = 0; c < machine.sched.cpus(); ++c)
      if ((mask >> c) & 1) {
        Task& t = machine.task(0, u64{1} << c);
        t.on_cpu = true;
        machine.rq(c).curr = &t;
        machine.rq(c).nr_running = 1;
      }
  }
  void loads(std::array<u64, 4> runnable) {
    for (u32 c = 0; c < 4; ++c) machine.rq(c).cfs.avg.runnable_load_avg = runnable[c];
  }
  void utils(std::array<u64, 4> util) {
    for (u32 c = 0; c < 4; ++c) machine.rq(c).cfs.avg.util_avg = util[c];
  }
  u32 fork(u32 this_cpu, u64 allowed = 15) {
    Task& p = machine.task(0, allowed);
    machine.sched.set_task_cpu_raw(p, CpuId(this_cpu));
    machine.sched.set_this_cpu(CpuId(this_cpu));
    return machine.sched.select_task_rq(p, CpuId(this_cpu), SD_BALANCE_FORK, 0).v;
  }
  u32 wake(u32 this_cpu, u32 prev_cpu) {
    Task& p = machine.task();
    machine.sched.set_task_cpu_raw(p, CpuId(prev_cpu));
    machine.sched.set_this_cpu(CpuId(this_cpu));
    return machine.sched.select_task_rq(p, CpuId(prev_cpu), SD_BALANCE_WAKE, 0).v;
  }

  Draws draws;
  TestMachine machine;

 private:
  std::unique_ptr<PlacementRule> rule_;
};

}  // namespace

TEST_CASE("parent_cpu: where the decision is made, or the next allowed CPU of the ring") {
  RuleMachine m(PlacementName::parent_cpu);
  CHECK(m.fork(2) == 2);
  CHECK(m.fork(2, 0b0011) == 0);  // 2, 3, then 0
  CHECK(m.fork(0, 0b1100) == 2);
  CHECK(m.wake(3, 1) == 3);  // the waker's
}

TEST_CASE("idlest_load: the least runnable load, without thresholds, ties go round the ring from the parent") {
  RuleMachine m(PlacementName::idlest_load);
  m.loads({500, 400, 399, 401});
  CHECK(m.fork(0) == 2);  // the kernel keeps the child: 500 < 399 + 256
  m.loads({7, 7, 7, 7});
  CHECK(m.fork(3) == 3);
  m.loads({7, 7, 7, 8});
  CHECK(m.fork(3) == 0);  // 3 is worse; the ring goes 3, 0, 1, 2
}

TEST_CASE("idlest_util: the least utilisation, whichever of util_avg and util_est is larger") {
  RuleMachine m(PlacementName::idlest_util);
  m.utils({100, 90, 80, 110});
  CHECK(m.fork(0) == 2);
  m.machine.rq(2).cfs.avg.util_est.enqueued = 300;
  CHECK(m.fork(0) == 1);
}

TEST_CASE("lowest_idle: the lowest idle CPU, none idle: the least load") {
  RuleMachine m(PlacementName::lowest_idle);
  m.busy(0b0001);
  CHECK(m.fork(0) == 1);
  m.busy(0b0011);
  CHECK(m.fork(0) == 2);
  CHECK(m.fork(0, 0b1011) == 3);
  m.busy(0b1111);
  m.loads({40, 30, 20, 10});
  CHECK(m.fork(0) == 3);
}

TEST_CASE("round_robin: one after the other, skipping what is not allowed, wake-ups take turns of their own") {
  RuleMachine m(PlacementName::round_robin);
  CHECK(m.fork(3) == 0);
  CHECK(m.fork(3) == 1);
  CHECK(m.wake(3, 2) == 0);
  CHECK(m.fork(3, 0b1001) == 3);  // its turn is CPU 2
  CHECK(m.fork(3) == 0);
}

TEST_CASE("random: the drawn share of the allowed CPUs, in order of their numbers") {
  RuleMachine m(PlacementName::random);
  m.draws.next = 0;
  CHECK(m.fork(3) == 0);
  m.draws.next = ~u64{0};
  CHECK(m.fork(0) == 3);
  m.draws.next = u64{1} << 63;  // one half: the first of the upper two of four, the second of two
  CHECK(m.fork(0) == 2);
  CHECK(m.fork(0, 0b1010) == 3);
}

TEST_CASE("cache_warm: its own CPU when idle, else the next idle one of the cache, else its own") {
  RuleMachine m(PlacementName::cache_warm, 4, 2);  // caches: 0-1, 2-3
  CHECK(m.wake(0, 3) == 3);                        // idle, where it ran last
  m.busy(0b1000);
  CHECK(m.wake(0, 3) == 2);  // shares the cache
  m.busy(0b1100);
  CHECK(m.wake(0, 3) == 3);       // 0 and 1 are idle, but cold
  CHECK(m.fork(2, 0b0011) == 0);  // not allowed anywhere near
}

TEST_CASE("least_queued: the fewest runnable tasks") {
  RuleMachine m(PlacementName::least_queued);
  for (u32 c = 0; c < 4; ++c) m.machine.rq(c).nr_running = 4 - c;
  CHECK(m.fork(0) == 3);
  CHECK(m.fork(0, 0b0111) == 2);
}

TEST_CASE("pack: fills the lowest busy CPU up to 80 %, then opens the lowest idle one, then spreads") {
  RuleMachine m(PlacementName::pack);
  m.busy(0b0110);
  m.utils({0, 819, 819, 0});
  CHECK(m.fork(1) == 1);  // 819 * 1280 = 1048320 < 1024 * 1024
  m.utils({0, 820, 819, 0});
  CHECK(m.fork(1) == 2);  // 820 * 1280 = 1049600 is not
  m.utils({0, 820, 820, 0});
  CHECK(m.fork(1) == 0);
  m.busy(0b1111);
  m.utils({900, 870, 860, 880});
  CHECK(m.fork(1) == 2);
}

TEST_CASE("an answer that is out of range, not allowed or offline is reported, and select_fallback_rq decides") {
  for (const auto& [answer, allowed, fallback] :
       {std::tuple(4u, u64{15}, 0u), std::tuple(~0u, u64{0b1100}, 2u), std::tuple(0u, u64{0b0110}, 1u), std::tuple(3u, u64{15}, 0u)}) {
    Answer rule{CpuId(answer)};
    RuleMachine m(rule);
    if (answer == 3) m.machine.sched.set_cpu_online(CpuId(3), false, CpuId(0));
    CAPTURE(answer);
    CHECK(m.fork(0, allowed) == fallback);
    const auto seen = m.machine.seen(Tp::placement_illegal);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].args[3] == static_cast<u64>(s64{static_cast<s32>(answer)}));
    CHECK(seen[0].args[4] == fallback);
    CHECK(m.machine.sched.counters().placement_illegal == 1);
  }
}

TEST_CASE("a rule that leaves the decision to the kernel changes nothing") {
  Answer rule{std::nullopt};
  RuleMachine m(rule);
  TestMachine plain(rpi());
  for (u64 seed = 0; seed < 50; ++seed) {
    std::array<u64, 4> runnable;
    for (u32 c = 0; c < 4; ++c) plain.rq(c).cfs.avg.runnable_load_avg = runnable[c] = (seed * 7919 + c * 104729) % 1500;
    m.loads(runnable);
    Task& p = plain.task();
    plain.sched.set_task_cpu_raw(p, CpuId(0));
    plain.sched.set_this_cpu(CpuId(0));
    CHECK(m.fork(0) == plain.sched.select_task_rq(p, CpuId(0), SD_BALANCE_FORK, 0).v);
  }
  CHECK(m.machine.sched.counters().placement_illegal == 0);
}

TEST_CASE("a task's own rule comes before the run's") {
  RuleMachine m(PlacementName::round_robin);
  Task& p = m.machine.task();
  p.placement[0] = 1;  // kernel
  m.machine.sched.set_task_cpu_raw(p, CpuId(2));
  m.machine.sched.set_this_cpu(CpuId(2));
  m.loads({100, 100, 100, 100});
  for (u32 c = 0; c < 4; ++c) m.machine.rq(c).cfs.avg.load_avg = 100;
  CHECK(m.machine.sched.select_task_rq(p, CpuId(2), SD_BALANCE_FORK, 0) == CpuId(2));  // the kernel stays, round_robin would say 0
}

TEST_CASE("property: every built-in rule names a legal CPU on any machine") {
  const u32 seed = 20251;
  std::mt19937 random(seed);
  const auto below = [&](u32 n) { return static_cast<u32>(random() % n); };
  CAPTURE(seed);
  for (std::size_t i = 0; i < kPlacementTable.size(); ++i) {
    CAPTURE(kPlacementTable[i].name);
    for (u32 round = 0; round < 40; ++round) {
      const u32 cpus = 2 + below(7), llc = 1 + below(cpus);
      RuleMachine m(static_cast<PlacementName>(i), cpus, llc);
      m.draws.next = (u64{random()} << 32) | random();
      m.busy(random());
      for (u32 c = 0; c < cpus; ++c) {
        m.machine.rq(c).cfs.avg = {};
        m.machine.rq(c).cfs.avg.runnable_load_avg = random() % 3000;
        m.machine.rq(c).cfs.avg.util_avg = random() % 1200;
      }
      const u32 down = below(cpus);
      if (round % 3 == 0 && cpus > 2) m.machine.sched.set_cpu_online(CpuId(down), false, CpuId(down ? 0 : 1));
      const u64 allowed = (random() | (u64{1} << below(cpus))) & ((u64{1} << cpus) - 1);
      const bool possible = (CpuMask::from_word(allowed) & m.machine.sched.cpu_active_mask()).count() > 0;
      const u32 chosen = m.fork(below(cpus), allowed);
      CHECK(m.machine.sched.cpu_active(CpuId(chosen)));
      if (possible) CHECK(((allowed >> chosen) & 1) == 1);
      CHECK(m.machine.sched.counters().placement_illegal == 0);
    }
  }
}

TEST_CASE("the steps of a fork decision say which comparison decided, group by group in ring order") {
  TestMachine m(rpi());
  const std::array<u64, 4> runnable{1024, 900, 600, 590};
  for (u32 c = 0; c < 4; ++c) m.rq(c).cfs.avg.runnable_load_avg = m.rq(c).cfs.avg.load_avg = runnable[c];
  Task& p = m.task();
  m.sched.set_task_cpu_raw(p, CpuId(0));
  m.sched.set_this_cpu(CpuId(0));
  CHECK(m.sched.select_task_rq(p, CpuId(0), SD_BALANCE_FORK, 0) == CpuId(2));
  const auto groups = m.seen(Tp::placement_group);
  REQUIRE(groups.size() == 4);
  const auto step = [&](std::size_t i) { return static_cast<PlacementStep>(groups[i].args[5]); };
  CHECK(step(0) == PlacementStep::local);
  CHECK(step(1) == PlacementStep::less_runnable);  // the first
  CHECK(step(2) == PlacementStep::less_runnable);  // 900 > 600 + 256
  CHECK(step(3) == PlacementStep::not_better);     // 600 - 590 < 256, and 100 * 600 < 112 * 590
  const auto steps = m.seen(Tp::placement_step);
  REQUIRE(steps.size() == 2);
  CHECK(static_cast<PlacementStep>(steps[0].args[0]) == PlacementStep::leave_runnable);  // 1024 >= 600 + 256
  CHECK(steps[0].args[2] == 2);
  CHECK(steps[0].args[3] == 125);
  CHECK(static_cast<PlacementStep>(steps[1].args[0]) == PlacementStep::only_cpu);
}

TEST_CASE("an imbalance_pct of its own moves the threshold of every domain") {
  KernelProfile k = rpi();
  k.sched_domain[SdValue::imbalance_pct] = 110;  // imbalance 102
  TestMachine m(k);
  m.rq(0).cfs.avg.runnable_load_avg = 200;
  for (u32 c = 0; c < 4; ++c) m.rq(c).cfs.avg.load_avg = 200;
  Task& p = m.task();
  m.sched.set_task_cpu_raw(p, CpuId(0));
  m.sched.set_this_cpu(CpuId(0));
  CHECK(m.sched.domains().lowest(CpuId(0))->imbalance_pct == 110);
  CHECK(m.sched.select_task_rq(p, CpuId(0), SD_BALANCE_FORK, 0) == CpuId(1));  // 200 >= 0 + 102; with 125 % it would stay
}

TEST_SUITE_END();
