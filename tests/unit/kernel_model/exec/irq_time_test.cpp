// CONFIG_IRQ_TIME_ACCOUNTING on the engine: which part of an interrupt is accounted, and that the books stay closed.
#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/kernel_model/process/script_machine.hpp"
#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

void set_cost(ScriptMachine& m, Phase p, Ns ns) { m.config().costs.ns[static_cast<std::size_t>(p)] = ns; }

Ns runtime_of(const ScriptMachine& m, Pid pid) {
  Ns sum{0};
  for (const TraceEvent& e : m.of(Tp::sched_stat_runtime))
    if (e.args[1] == static_cast<u64>(pid.v)) sum += Ns(e.args[2]);
  return sum;
}

std::vector<Ns> every(Ns period, u32 count) {
  std::vector<Ns> dates;
  for (u32 i = 1; i <= count; ++i) dates.push_back(Ns(period.v * i));
  return dates;
}

}  // namespace

TEST_SUITE("kernel_model/exec") {
  TEST_CASE("a task runs as long as it works with IRQ_TIME_ACCOUNTING, without it as long as it is on the CPU") {
    for (const bool on : {false, true}) {
      CAPTURE(on);
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.config().profile.irq_time_accounting = on;
      m.kernel().add_irq({"eth0", 40, CpuId(0), 300_us, 0_ns}, every(1_ms, 50));
      m.start(m.add_list({run_op(100_ms)}));
      m.run();
      // 50 interrupts of 300 us between the start and the end.
      const TraceEvent exit = m.of(Tp::sched_process_exit).back();
      CHECK(exit.ts == 115_ms);
      CHECK(runtime_of(m, exit.pid) == (on ? 100_ms : 115_ms));
      const CpuTimes t = m.kernel().cpu_times(CpuId(0));
      CHECK(t.user == 100_ms);
      CHECK(t.irq == 15_ms);
      CHECK(t.hardirq == (on ? 15_ms : 0_ns));
      CHECK(t.softirq == 0_ns);
    }
  }

  TEST_CASE("of entry and exit of an interrupt the second half is accounted, a softirq counts for itself") {
    ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
    m.config().profile.irq_time_accounting = true;
    set_cost(m, Phase::irq_entry_exit, 601_ns);
    m.kernel().add_irq({"eth0", 40, CpuId(0), 10_us, 0_ns}, {1_ms, 2_ms});
    m.start(m.add_list({run_op(3_ms), {.kind = OpKind::pause}}));
    m.run(3500_us);
    const CpuTimes t = m.kernel().cpu_times(CpuId(0));
    // Before 4 ms there are these two interrupts and no tick: 300 ns, then 10 us and 301 ns. The IPI that wakes the CPU for the task has
    // nothing to do for scheduler_ipi, which does not enter an interrupt then.
    CHECK(t.irq == 20_us + 1803_ns);
    CHECK(t.hardirq == 20_us + 602_ns);

    ScriptMachine s("rpi-4.19-arm64", 2, 0_ns);
    s.config().profile.irq_time_accounting = true;
    set_cost(s, Phase::rebalance_domains, 50_us);
    s.start(s.add_list({run_op(400_ms)}));
    s.kernel().add_irq({"eth0", 40, CpuId(0), 7_us, 0_ns}, every(30_us, 9000));
    s.run();
    const CpuTimes u = s.kernel().cpu_times(CpuId(0));
    CHECK(u.softirq > 0_ns);
    CHECK(u.hardirq >= Ns(9000 * 7000));
    CHECK(u.hardirq + u.softirq == u.irq);
  }

  TEST_CASE("random machines: time in interrupts is accounted once, and clocks of tasks lack just that") {
    u64 softirqs = 0;
    for (u64 seed = 1; seed <= 80; ++seed) {
      CAPTURE(seed);
      Random r{seed};
      const u32 cpus = static_cast<u32>(r.below(4)) + 1;
      ScriptMachine m(r.one_in(2) ? "rpi-4.19-arm64" : "mc-4.19-arm64", cpus, Ns(r.below(1500)));
      m.config().profile.irq_time_accounting = true;
      // entry and way back are no part of what is accounted
      set_cost(m, Phase::irq_entry_exit, 0_ns);
      set_cost(m, Phase::idle_exit_wfi, 0_ns);
      for (u64 i = r.below(4); i; --i) {
        const CpuId cpu(static_cast<u32>(r.below(cpus)));
        m.kernel().add_irq({"dev", static_cast<u32>(40 + i), cpu, Ns(r.below(60'000)), Ns(r.one_in(2) ? 0 : 1 + r.below(30'000))},
                           every(Ns(70'000 + r.below(900'000)), static_cast<u32>(r.below(300))));
      }
      for (u64 n = 1 + r.below(8); n; --n) {
        std::vector<Op> ops;
        for (u64 i = 1 + r.below(4); i; --i) {
          ops.push_back(run_op(Ns(1 + r.below(15'000'000))));
          if (r.one_in(2)) ops.push_back(sleep_op(Ns(1 + r.below(3'000'000))));
        }
        m.start(m.add_list(ops), Ns(r.below(3'000'000)));
      }
      m.run();
      for (u32 c = 0; c < cpus; ++c) {
        const CpuTimes t = m.kernel().cpu_times(CpuId(c));
        CHECK(t.hardirq + t.softirq == t.irq);
        CHECK(t.user + t.system + t.irq + t.idle == m.kernel().now());
        CHECK(t.capacity >= 1);
        CHECK(t.capacity <= 1024);
        softirqs += t.softirq > 0_ns;
      }
      CHECK(m.kernel().stuck_tasks().empty());
    }
    CHECK(softirqs > 20);
  }
}
