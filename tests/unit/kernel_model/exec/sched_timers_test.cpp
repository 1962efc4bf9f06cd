// The scheduler's own timers and the end of a run: it does not wait for a period timer that has nothing left to do.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/kernel_model/process/script_machine.hpp"
#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

Op fifo_op() { return {.kind = OpKind::setscheduler, .arg = static_cast<s64>(SchedPolicy::fifo), .count = 10}; }

/// Date of the last event of a task's life: no tick, no timer.
Ns last_free(const ScriptMachine& m) { return m.of(Tp::task_struct_free).back().ts; }

}  // namespace

TEST_SUITE("kernel_model/exec") {
  TEST_CASE("a run with a real-time task ends with its last task and tick, not with the period of 1 s that its timer began") {
    ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
    m.start(m.add_list({fifo_op(), run_op(3_ms)}));
    m.run();
    // The task ends at 3 ms; its task_struct is freed after a grace period, and the CPU ticks until then: a few of 4 ms.
    CHECK(m.kernel().next_event() == kNever);
    CHECK(last_free(m) > 3_ms);
    CHECK(m.kernel().now() >= last_free(m));
    CHECK(m.kernel().now() - last_free(m) <= 8_ms);
    CHECK(m.kernel().now() < 100_ms);
    CHECK(m.kernel().stuck_tasks().empty());
  }

  TEST_CASE("an idle period timer expires as ever while a sleeper or a start is still to come") {
    ScriptMachine m("rpi-4.19-arm64", 1, 1000_ns);
    m.start(m.add_list({fifo_op(), run_op(3_ms), sleep_op(2500_ms), run_op(1_ms)}));
    m.start(m.add_list({run_op(1_ms)}), 4_s);
    m.run();
    // Armed in the first millisecond, it takes 3 ms back at 1 s and stops. The task that wakes 2.5 s later arms it anew, at once and then a
    // second later: nothing at 2 s or 3 s, but at 3.503 s. The last start follows at 4 s.
    // begins.
    const auto expired = [&](Ns from) {
      return std::ranges::any_of(m.events, [&](const TraceEvent& e) { return e.ts >= from && e.ts < from + 1_ms; });
    };
    CHECK(expired(1000_ms));
    CHECK_FALSE(expired(2000_ms));
    CHECK_FALSE(expired(3000_ms));
    CHECK(expired(3503_ms));
    CHECK(last_free(m) > 4001_ms);
    CHECK(m.kernel().now() < 4100_ms);
    CHECK(m.kernel().stuck_tasks().empty());
  }

  TEST_CASE("a throttled real-time task is waited for: it goes on when its period is over, and then the run ends") {
    ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
    m.start(m.add_list({fifo_op(), run_op(960_ms)}));
    m.run();
    // Throttled at the tick of 952 ms, released at 1 s + 1 ns with 8 ms of work left.
    REQUIRE(m.of(Tp::rt_unthrottle).size() == 1);
    CHECK(m.of(Tp::rt_unthrottle)[0].ts == 1000_ms + 1_ns);
    CHECK(last_free(m) > 1008_ms);
    CHECK(m.kernel().now() < 1100_ms);
  }

  TEST_CASE("a group with a quota: its throttled task is waited for, its idle period timer is not") {
    for (const Ns work : {20_ms, 60_ms}) {
      CAPTURE(work.v);
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.config().profile.cfs_bandwidth = true;
      const u32 batch = m.kernel().create_group({.name = "batch", .cfs_period_us = 1'000'000, .cfs_quota_us = 50'000});
      m.kernel().start({"hog", &m.shape, m.user_of(m.add_list({run_op(work)})), 0_ns, 0, nullptr, 0, SchedPolicy::normal, 0, batch});
      m.run();
      // 50 ms of each second: 20 ms are done at 20 ms; of 60 ms the rest waits for the second period.
      CHECK(m.of(Tp::cfs_throttle).size() == (work == 20_ms ? 0 : 1));
      CHECK(last_free(m) >= (work == 20_ms ? 20_ms : 1000_ms));
      CHECK(m.kernel().now() - last_free(m) <= 8_ms);
    }
  }

  TEST_CASE("a deadlock beside a real-time task is found without waiting for the timer") {
    ScriptMachine m("rpi-4.19-arm64", 2, 1000_ns);
    m.start(m.add_list({fifo_op(), run_op(1_ms), {.kind = OpKind::pause}}));
    m.run();
    CHECK(m.kernel().now() < 100_ms);
    CHECK(m.kernel().stuck_tasks().size() == 1);
  }

  TEST_CASE("stepping by any limits runs the same events to the same end on random small machines") {
    for (u64 seed = 1; seed <= 20; ++seed) {
      CAPTURE(seed);
      std::vector<std::string> seen;
      for (const u64 step : {u64{0}, u64{977'777}, u64{7}}) {
        Random r{seed};
        ScriptMachine m("rpi-4.19-arm64", static_cast<u32>(r.below(4)) + 1, Ns(r.below(2000)));
        for (u64 n = r.below(6) + 1; n; --n) {
          std::vector<Op> ops;
          if (r.below(2)) ops.push_back(fifo_op());
          ops.push_back(run_op(Ns(r.below(20'000'000) + 1)));
          if (r.below(2)) ops.push_back(sleep_op(Ns(r.below(5'000'000) + 1)));
          m.start(m.add_list(ops), Ns(r.below(3'000'000)));
        }
        Kernel& k = m.kernel();
        if (!step) k.advance(Ns(60'000'000'000));
        // by events: each time exactly to the next one
        for (Ns next; step && (next = k.next_event()) != kNever;) k.advance(next + Ns(step));
        std::string text = std::to_string(k.now().v) + ' ' + std::to_string(m.events.size());
        for (const TraceEvent& e : m.events) text += ' ' + std::to_string(e.ts.v);
        seen.push_back(std::move(text));
      }
      CHECK(seen[0] == seen[1]);
      CHECK(seen[0] == seen[2]);
    }
  }
}
