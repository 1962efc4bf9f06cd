// The scheduler's period timers meet run queues that others hold: who waits how long, every number derived by hand.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/kernel_model/exec/lock_checker.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

const Op kToFifo{.kind = OpKind::setscheduler, .arg = static_cast<s64>(SchedPolicy::fifo), .count = 10};

/// Time is taken by setpriority (1000 ns with the caller's queue locked) and by putting a queue back (200); 7 ns from CPU to CPU.
struct TimerMachine : ScriptMachine {
  explicit TimerMachine(u32 cpus) : ScriptMachine("rpi-4.19-arm64", cpus, 0_ns), checker(trace()) {
    cost(Phase::sys_misc, 1000_ns);
    cost(Phase::enqueue_task, 200_ns);
    config().machine.transfer.assign(std::size_t{cpus} * cpus, 7_ns);
    config().machine.ipi.assign(std::size_t{cpus} * cpus, 0_ns);
    config().profile.cfs_bandwidth = true;
    for (u32 c = 0; c < cpus; ++c) only.push_back(CpuMask::of(CpuId(c)));
  }
  void cost(Phase p, Ns ns) { config().costs.ns[static_cast<std::size_t>(p)] = ns; }
  void start_on(u32 cpu, std::vector<Op> ops, u32 group = 0) {
    kernel().start({"test", &shape, user_of(add_list(std::move(ops))), 5_ms, 0, &only[cpu], 0, SchedPolicy::normal, 0, group});
  }
  /// 1 ms of every 10, all of which a task on CPU 0 takes at 5 ms, who arms the timer there: tasks on other CPUs are throttled at once.
  u32 used_up_group() {
    const u32 g = kernel().create_group({.name = "batch", .cfs_period_us = 10'000, .cfs_quota_us = 1'000});
    start_on(0, {run_op(100_us), kPause}, g);
    return g;
  }
  /// Ends of waits and dates of unthrottling, both after 10 ms.
  std::vector<WaitEnd> ends() const { return wait_ends(*this, 10_ms); }
  std::vector<Ns> unthrottled_until(Ns end) const {
    std::vector<Ns> out;
    for (const TraceEvent& e : of(Tp::cfs_unthrottle))
      if (e.ts < end) out.push_back(e.ts - 10_ms);
    return out;
  }

  LockChecker checker;
  std::vector<CpuMask> only;
};

}  // namespace

TEST_SUITE("kernel_model/exec/locks") {
  TEST_CASE("distribute_cfs_runtime waits for the queue that it puts back, and whoever wants that queue meanwhile waits for it") {
    // CPU 1 holds its queue from 9.999400 to 10.000400 ms. The timer of CPU 0 wants it at 10 ms: 400 ns, and 7 for the line; then it puts
    // the group back until 10.000607. CPU 1 wants its queue again at 10.000500: 107 and 7.
    TimerMachine m(2);
    const u32 batch = m.used_up_group();
    m.start_on(1, {run_op(20_ms)}, batch);
    m.start_on(1, {run_op(4'999'400_ns), kNice, run_op(100_ns), kNice, kPause});
    m.run(11_ms);
    CHECK(m.checker.wrong() == "");
    CHECK(m.ends() == std::vector<WaitEnd>{{0, 407_ns, 407_ns}, {1, 614_ns, 114_ns}});
    CHECK(m.unthrottled_until(11_ms) == std::vector<Ns>{607_ns});
    CHECK(m.kernel().lock_stats()[static_cast<std::size_t>(LockId::rq)].wait_total == 521_ns);
  }

  TEST_CASE("a queue whose lock is held keeps those behind it waiting, not those before it") {
    // Two queues, 200 ns under the lock of each: the first is back at 200. The second's CPU holds it until 900 and wants it again to go
    // to sleep, behind the timer: 7 until that has it, 200 for what it puts back, and 7.
    for (const bool locks : {true, false}) {
      CAPTURE(locks);
      TimerMachine m(3);
      m.config().locks = locks;
      const u32 batch = m.used_up_group();
      m.start_on(1, {run_op(20_ms)}, batch);
      m.start_on(2, {run_op(20_ms)}, batch);
      m.start_on(2, {run_op(4'999'900_ns), kNice, kPause});
      m.run(11_ms);
      CHECK(m.checker.wrong() == "");
      CHECK(m.ends() == (locks ? std::vector<WaitEnd>{{0, 907_ns, 707_ns}, {2, 1'114_ns, 214_ns}} : std::vector<WaitEnd>{}));
      CHECK(m.unthrottled_until(11_ms) == std::vector<Ns>{200_ns, locks ? 1'107_ns : 400_ns});
    }
  }

  TEST_CASE("sched_rt_period_timer waits for the queue of every CPU that has real-time work, one after the other") {
    // Periods of 10 ms from 5 ms + 1 ns on, armed by CPU 0. CPU 1 holds its queue from 14.999500 to 15.000500 ms: 499 ns and 7.
    TimerMachine m(2);
    m.set(Tunable::sched_rt_period_us, 10'000);
    m.set(Tunable::sched_rt_runtime_us, 9'900);
    m.start_on(0, {kToFifo, run_op(10_us), kPause});
    m.start_on(1, {kToFifo, run_op(9'999'500_ns), kNice, run_op(1_ms), kPause});
    m.run(17_ms);
    CHECK(m.checker.wrong() == "");
    CHECK(m.ends() == std::vector<WaitEnd>{{0, 5'000'507_ns, 506_ns}});
  }
}
