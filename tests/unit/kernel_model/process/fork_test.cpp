#include <doctest/doctest.h>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

TEST_SUITE("kernel_model/process") {
  TEST_CASE("fork: parent and child exit, everything is freed and every ns is accounted") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(1_ms), exit_op(3)});
    m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op(), exit_op(0)}));
    m.run();
    const Totals& t = m.kernel().totals();
    CHECK(t.forks == 2);
    CHECK(t.exits == 2);
    CHECK(t.stacks_allocated == t.stacks_freed);
    CHECK(t.task_structs_allocated == t.task_structs_freed);
    CHECK(left_over(m.kernel().alive()) == 0);
    for (u32 c = 0; c < 4; ++c) {
      const CpuTimes x = m.kernel().cpu_times(CpuId(c));
      CHECK((x.user + x.system + x.irq + x.idle) == m.kernel().now());
    }
  }

  TEST_CASE("start: a process pinned to the idle CPU 0 runs there at once") {
    ScriptMachine m("rpi-4.19-arm64", 4, Ns(0));
    const CpuMask cpu0 = CpuMask::of(CpuId(0));
    m.start(m.add_list({run_op(1_ms)}), 5_ms, &cpu0);
    m.run();
    const auto switches = m.of(Tp::sched_switch);
    REQUIRE(!switches.empty());
    CHECK(switches.front().cpu == CpuId(0));
    CHECK(switches.front().ts == 5_ms);
  }

  TEST_CASE("hotplug: a CPU that goes off hands its tasks on, gets no child while off, and comes back") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(3_ms)});
    std::vector<Op> ops;
    for (int i = 0; i < 24; ++i) ops.push_back(fork_op(m.fork_spec(child)));
    for (int i = 0; i < 24; ++i) ops.push_back(wait_op());
    m.start(m.add_list(ops));
    m.kernel().advance(1_ms);
    m.kernel().cpu_onoff(CpuId(3), false, 1_ms);
    m.kernel().advance(8_ms);
    m.kernel().cpu_onoff(CpuId(3), true, 8_ms);
    m.run();
    CHECK(m.kernel().totals().exits == 25);
    CHECK(m.kernel().alive().task_structs == 0);
    for (const TraceEvent& e : m.of(Tp::sched_wakeup_new))
      if (e.ts > 1_ms && e.ts < 8_ms) CHECK(e.args[3] != 3);
    const CpuTimes off = m.kernel().cpu_times(CpuId(3));
    CHECK((off.user + off.system + off.irq + off.idle) == m.kernel().now() - 7_ms);
  }

  TEST_CASE("hotplug: the last CPU stays, and so does one that a write to its file took off") {
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    m.config().hotplug = true;
    const CpuMask cpu0 = CpuMask::of(CpuId(0));
    m.start(m.add_list({{.kind = OpKind::cpu_online, .flag = false, .arg = 1}, run_op(100_ms)}), 0_ns, &cpu0);
    m.kernel().advance(50_ms);
    CHECK(m.kernel().cpu_onoff(CpuId(1), true, 50_ms) == "it was taken off by a write to cpuN/online");
    CHECK(m.kernel().cpu_onoff(CpuId(1), false, 50_ms) == "");  // it is off
    CHECK(m.kernel().cpu_onoff(CpuId(0), false, 50_ms) == "it is the last CPU");
    m.run();
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("hotplug: a profile takes a CPU off at any moment, in the middle of a switch too") {
    constexpr int kMoments = 300;
    for (int i = 0; i < kMoments; ++i) {
      CAPTURE(i);
      ScriptMachine m("rpi-4.19-arm64", 2, 700_ns);
      std::vector<Op> ops;
      for (int n = 0; n < 200; ++n) ops.push_back({.kind = OpKind::yield});
      const u32 program = m.add_list(ops);
      for (int n = 0; n < 6; ++n) m.start(program);
      const Ns at = 200_us + Ns(static_cast<u64>(i) * 37);
      m.kernel().advance(at);
      CHECK(m.kernel().cpu_onoff(CpuId(1), false, at) == "");
      m.run();
      CHECK(m.kernel().totals().exits == 6);
      CHECK(m.kernel().alive().task_structs == 0);
    }
  }
}
