// Balancing and pushing meet run queues that others hold: who waits how long, every number derived by hand.
#include <doctest/doctest.h>

#include "kernel_model/sched/balance.hpp"
#include "tests/unit/kernel_model/exec/lock_checker.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

const LockStats& rq_stats(ScriptMachine& m) { return m.kernel().lock_stats()[static_cast<std::size_t>(LockId::rq)]; }

constexpr u64 kFifo = 1;
const CpuMask kFirst = CpuMask::of(CpuId(0)), kSecond = CpuMask::of(CpuId(1));

/// Two CPUs; time is taken by setpriority (1000 ns with the caller's queue locked), by detaching a task (300) and attaching it (200).
struct TwoCpus : ScriptMachine {
  explicit TwoCpus(u32 cpus = 2) : ScriptMachine("rpi-4.19-arm64", cpus, 0_ns) {
    cost(Phase::sys_misc, 1000_ns);
    cost(Phase::detach_task, 300_ns);
    config().machine.transfer.assign(cpus * cpus, 7_ns);
    config().machine.ipi.assign(cpus * cpus, 0_ns);
  }
  void cost(Phase p, Ns ns) { config().costs.ns[static_cast<std::size_t>(p)] = ns; }
  /// From `at` on: `busy` on CPU 0, a task that waits behind it and may go anywhere, and two that leave CPU 1 idle 900.4 us later.
  void start_all(const std::vector<Op>& busy, Ns at = 5_ms) {
    start(add_list(busy), at, &kFirst);
    start(add_list({run_op(300_us), kPause}), at, &kSecond);
    start(add_list({run_op(600'400_ns), kPause}), at, &kSecond);
    start(add_list({run_op(50_us), kPause}), at);
  }
};

}  // namespace

TEST_SUITE("kernel_model/exec/locks") {
  TEST_CASE("a newly idle CPU waits for the queue it pulls from, and whoever wants that queue meanwhile waits for it") {
    // CPU 0 holds its queue from 900.000 to 901.000 us. CPU 1 finds at 900.400 that a task waits there: 600 ns, and 7 for the line. It
    // detaches until 901.307. CPU 0 wants its queue again at 901.100: 207 and 7.
    TwoCpus m;
    m.start_all({run_op(900_us), kNice, run_op(100_ns), kNice, run_op(1_ms)});
    m.run(6_ms);
    CHECK(wait_ends(m, 5_ms) == std::vector<WaitEnd>{{1, 901'007_ns, 607_ns}, {0, 901'314_ns, 214_ns}});
    CHECK(rq_stats(m).contended == 2);
    CHECK(rq_stats(m).wait_total == 821_ns);
    const auto moved = m.of(Tp::sched_migrate_task);
    REQUIRE(moved.size() == 1);
    CHECK(moved[0].cpu == CpuId(1));
    CHECK(moved[0].ts == 5_ms + 901'007_ns);  // seen when it is detached, run when it is attached
    Ns ran = 0_ns;
    for (const TraceEvent& e : m.of(Tp::sched_switch))
      if (e.cpu == CpuId(1) && e.args[5] == moved[0].args[1]) ran = e.ts - 5_ms;
    CHECK(ran == 901'307_ns);
  }

  TEST_CASE("a newly idle CPU waits for the queue of a tickless one whose averages it refreshes before it looks at them") {
    // CPU 2 sleeps from 7 ms on, and its blocked load is of the jiffy that ends at 8. Two tasks share CPU 0 from 8.5 ms on; the second
    // changes the one that sleeps on CPU 2 from 3900.000 to 3901.000 us. CPU 1 is newly idle at 3900.400: 600 ns, and 7 for the line.
    // Were CPU 2 busy until after the tick, its averages would be of the jiffy in which CPU 1 looks.
    static constexpr CpuMask kThird = CpuMask::of(CpuId(2));
    constexpr s32 kFirstStarted = 9;  // three migration threads, three kworkers, init and kthreadd before it
    const auto ends_when_busy_for = [](Ns third) {
      TwoCpus m(3);
      m.start(m.add_list({run_op(third), kPause}), 5_ms, &kThird);
      m.start(m.add_list({run_op(3'500_us), run_op(10_ms)}), 5_ms, &kFirst);
      m.start(m.add_list({run_op(3'900'400_ns), kPause}), 5_ms, &kSecond);
      m.start(m.add_list({run_op(400_us), {.kind = OpKind::nice, .arg = 0, .pid = Pid(kFirstStarted)}, run_op(1_ms)}), 8'500_us, &kFirst);
      m.run(9_ms);
      return wait_ends(m, 5_ms);
    };
    CHECK(ends_when_busy_for(2_ms) == std::vector<WaitEnd>{{1, 3'901'007_ns, 607_ns}});
    CHECK(ends_when_busy_for(3'200_us).empty());
  }

  TEST_CASE("the destination's queue is waited for after the source's is free again, and both costs are paid once") {
    // Nobody holds anything: detached at 900.400 + 300, attached 200 + 40 later, with the other queue's lock.
    TwoCpus m;
    m.cost(Phase::enqueue_task, 200_ns);
    m.cost(Phase::check_preempt, 40_ns);
    m.start_all({run_op(2_ms)});
    m.run(6_ms);
    CHECK(wait_ends(m, 5_ms).empty());
    const auto moved = m.of(Tp::sched_migrate_task);
    REQUIRE(moved.size() == 1);
    Ns ran = 0_ns;
    for (const TraceEvent& e : m.of(Tp::sched_switch))
      if (e.cpu == CpuId(1) && e.args[5] == moved[0].args[1]) ran = e.ts;
    CHECK(ran - moved[0].ts == 540_ns);
  }

  TEST_CASE("what a balance finds when it has the lock at last decides: the task that it came for has run meanwhile") {
    // As above, but the task on CPU 0 sleeps as soon as it lets go of its queue; schedule() comes after CPU 1, which was first in line.
    // A tick at 8 ms has seen both CPUs busy: they are not tickless any more, and CPU 1 has no averages to refresh first.
    TwoCpus m;
    m.start_all({run_op(900_us), kNice, kPause}, 7'900_us);
    m.run(9_ms);
    REQUIRE_FALSE(wait_ends(m, 5_ms).empty());
    CHECK(wait_ends(m, 5_ms)[0] == WaitEnd{1, 3'801'007_ns, 607_ns});
    CHECK(m.of(Tp::sched_migrate_task).size() == 1);
    // Without the tick CPU 1 wants the lock twice, and CPU 0 is in between.
    TwoCpus twice;
    twice.start_all({run_op(900_us), kNice, kPause});
    twice.run(6_ms);
    REQUIRE_FALSE(wait_ends(twice, 5_ms).empty());
    CHECK(wait_ends(twice, 5_ms)[0] == WaitEnd{1, 901'007_ns, 607_ns});
    CHECK(twice.of(Tp::sched_migrate_task).empty());
    // the other way round: CPU 0 is in schedule() when CPU 1 comes, and the queue has one task only when it is free
    TwoCpus n;
    n.cost(Phase::schedule, 500_ns);
    n.start_all({run_op(900'200_ns), kPause});
    n.run(6_ms);
    const auto attempts = n.of(Tp::load_balance);
    CHECK(std::none_of(attempts.begin(), attempts.end(),
                       [](const TraceEvent& e) { return e.args[0] == u64(BalanceKind::newidle) && e.args[6]; }));
    CHECK(n.of(Tp::sched_migrate_task).empty());
  }

  TEST_CASE("a tick wants its queue for scheduler_tick only, the second half of its time") {
    // CPU 1 changes the task of CPU 0 from 7.999800 to 8.000800 ms, with interrupts off. The tick of CPU 0 begins at 8.000000, wants the
    // queue at 8.000500 and waits 300 ns and 7.
    TwoCpus m;
    m.cost(Phase::tick, 1000_ns);
    constexpr s32 kFirstStarted = 7;  // two migration threads, two kworkers, init and kthreadd before it
    m.start(m.add_list({run_op(4_ms)}), 5_ms, &kFirst);
    m.start(m.add_list({run_op(2'999'800_ns), {.kind = OpKind::nice, .arg = 0, .pid = Pid(kFirstStarted)}, run_op(4_ms)}), 5_ms, &kSecond);
    m.run(9_ms);
    CHECK(wait_ends(m, 5_ms) == std::vector<WaitEnd>{{0, 3'000'807_ns, 307_ns}});
  }

  TEST_CASE("with model.locks=off the balance waits for nobody") {
    TwoCpus m;
    m.config().locks = false;
    m.start_all({run_op(900_us), kNice, run_op(1_ms)});
    m.run(6_ms);
    CHECK(wait_ends(m, 5_ms).empty());
    REQUIRE(m.of(Tp::sched_migrate_task).size() == 1);
    CHECK(m.of(Tp::sched_migrate_task)[0].ts == 5_ms + 900'400_ns);
  }

  TEST_CASE("push_rt_task takes the queue of the lower CPU first, and lets go of its own for that") {
    // CPU 0 holds its queue from 10.000 to 11.000 us. At 10.500 a FIFO task preempts a less urgent one on CPU 1, which has to be pushed to
    // CPU 0: 500 ns and 7 for the line, then its own queue again, then 100 with both.
    TwoCpus m;
    m.cost(Phase::rt_push, 100_ns);
    m.set(Tunable::timer_slack_ns, 0);
    LockChecker checker(m.trace());
    static constexpr CpuMask kBoth = CpuMask::first_n(2);
    const Op low{.kind = OpKind::setscheduler, .arg = kFifo, .count = 10}, high{.kind = OpKind::setscheduler, .arg = kFifo, .count = 20};
    const Op anywhere{.kind = OpKind::affinity, .mask = &kBoth}, until{.kind = OpKind::sleep_until, .ns = 5_ms + 10'500_ns};
    m.start(m.add_list({high, until, run_op(500_us), kPause}), 4'900_us, &kSecond);
    m.start(m.add_list({run_op(10_us), kNice, run_op(1_ms)}), 5_ms, &kFirst);
    m.start(m.add_list({low, anywhere, run_op(500_us), kPause}), 5_ms, &kSecond);
    m.run(6_ms);
    CHECK(checker.wrong() == "");
    CHECK(wait_ends(m, 5_ms) == std::vector<WaitEnd>{{1, 11'007_ns, 507_ns}});
    const auto moved = m.of(Tp::sched_migrate_task);
    REQUIRE(moved.size() == 1);
    CHECK(moved[0].ts == 5_ms + 11'107_ns);
    CHECK(moved[0].args[4] == 0);  // to CPU 0
    const LockStats& nested = m.kernel().lock_stats()[static_cast<std::size_t>(LockId::rq_nested)];
    CHECK(nested.acquisitions == 1);
    CHECK(nested.hold_total == 100_ns);
  }

  TEST_CASE("pull_rt_task without RT_PUSH_IPI waits for the queue it pulls from: with its own locked, or without when that is the higher") {
    // The other CPU holds its queue from 10.000 to 11.000 us. At 10.500 this one sleeps, or turns fair, and wants the FIFO task that waits
    // there: 500 ns and 7 for the line, then 100 with both queues. It is the second queue that CPU 0 waits for, the first that CPU 1 does.
    for (const u32 puller : {0u, 1u})
      for (const bool sleeps : {true, false})
        for (const bool locks : {true, false}) {
          CAPTURE(puller);
          CAPTURE(sleeps);
          CAPTURE(locks);
          TwoCpus m;
          m.config().locks = locks;
          m.config().profile.features[static_cast<std::size_t>(Feature::RT_PUSH_IPI)] = false;
          m.cost(Phase::rt_push, 100_ns);
          m.set(Tunable::timer_slack_ns, 0);
          LockChecker checker(m.trace());
          static constexpr CpuMask kBoth = CpuMask::first_n(2);
          const CpuMask& here = puller ? kSecond : kFirst;
          const CpuMask& there = puller ? kFirst : kSecond;
          const auto fifo = [](u32 priority) { return Op{.kind = OpKind::setscheduler, .arg = kFifo, .count = priority}; };
          const Op anywhere{.kind = OpKind::affinity, .mask = &kBoth}, until{.kind = OpKind::sleep_until, .ns = 5_ms};
          const Op fair{.kind = OpKind::setscheduler, .arg = 0};
          m.start(m.add_list({fifo(20), until, run_op(10_us), kNice, run_op(1_ms), kPause}), 4'700_us, &there);
          m.start(m.add_list({fifo(30), run_op(210'500_ns), sleeps ? kPause : fair, kPause}), 4'800_us, &here);
          m.start(m.add_list({fifo(10), anywhere, run_op(500_us), kPause}), 4'900_us, &there);
          m.run(6_ms);
          CHECK(checker.wrong() == "");
          CHECK(wait_ends(m, 5_ms) == (locks ? std::vector<WaitEnd>{{puller, 11'007_ns, 507_ns}} : std::vector<WaitEnd>{}));
          const auto moved = m.of(Tp::sched_migrate_task);
          REQUIRE(moved.size() == 1);
          CHECK(moved[0].ts == 5_ms + (locks ? 11'107_ns : 10'600_ns));
          CHECK(moved[0].args[4] == puller);
          const LockStats& nested = m.kernel().lock_stats()[static_cast<std::size_t>(LockId::rq_nested)];
          CHECK(nested.acquisitions == (locks ? 1 : 0));
          CHECK(nested.contended == (locks && puller == 0 ? 1 : 0));
        }
  }
}
