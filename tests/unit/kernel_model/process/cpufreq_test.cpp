#include <doctest/doctest.h>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::literals;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("process/cpufreq");

namespace {

/// The board's operating points; nothing costs time but the firmware's answer.
struct Board : ScriptMachine {
  explicit Board(Governor g, CpufreqConfig::Driver d = CpufreqConfig::Driver::cpufreq_dt) : ScriptMachine("rpi-4.19-arm64", 4, Ns(0)) {
    config().machine.opp_hz = {1'500'000'000, 1'000'000'000, 750'000'000, 600'000'000};
    config().costs.ns[static_cast<std::size_t>(Phase::cpufreq_transition)] = 355_us;
    config().cpufreq = {g, d, 0};
  }
  std::vector<std::pair<Ns, u64>> changes() const {
    std::vector<std::pair<Ns, u64>> out;
    for (const TraceEvent& e : of(Tp::cpu_frequency))
      if (e.args[1] == 0) out.emplace_back(e.ts, e.args[0]);
    return out;
  }
  Ns end_of_work() const { return of(Tp::do_exit).back().ts; }
};

/// Up to the interrupt that starts the task on another CPU, 1200 ns.
bool near(Ns a, Ns b) { return (a > b ? a - b : b - a) <= 3_us; }

}  // namespace

TEST_CASE("the static governors run the whole time at their operating point") {
  struct Case {
    Governor g;
    u32 setspeed;
    Ns time;
  };
  // 12 ms of work at 1500 MHz: 30 ms at 600, 18 at 1000; userspace rounds 800 MHz up to 1000.
  for (const Case& c : {Case{Governor::performance, 0, 12_ms}, Case{Governor::powersave, 0, 30_ms},
                        Case{Governor::userspace, 800'000, 18_ms}, Case{Governor::userspace, 0, 12_ms}}) {
    Board m(c.g);
    m.config().cpufreq.setspeed_khz = c.setspeed;
    m.start(m.add_list({run_op(12_ms)}));
    m.run();
    CHECK(near(m.end_of_work(), c.time));
    CHECK(m.changes().empty());
  }
}

TEST_CASE("bcm2835-cpufreq offers the two ends of the table only") {
  Board m(Governor::userspace, CpufreqConfig::Driver::bcm2835_cpufreq);
  m.config().cpufreq.setspeed_khz = 700'000;
  m.start(m.add_list({run_op(12_ms)}));
  m.run();
  CHECK(near(m.end_of_work(), 12_ms));
}

TEST_CASE("ondemand sees a busy CPU at its second sample and is at the top when the firmware has answered") {
  Board m(Governor::ondemand);
  const CpuMask cpu1 = CpuMask::of(CpuId(1));
  m.start(m.add_list({run_op(30_ms)}), 50_ms, &cpu1);
  m.run();
  // The wake-up at 50 ms takes the first sample: idle until now, nothing to ask for. The next is due 10 ms later, which a tick on the 4 ms
  // grid meets exactly: 10 ms of 10 busy. The firmware needs 355 us. Until then 10.355 ms at 600 MHz did 4.142 ms of the work.
  const auto changes = m.changes();
  REQUIRE(changes.size() == 2);
  CHECK(near(changes[0].first, 60'355_us));
  CHECK(changes[0].second == 1'500'000);
  CHECK(near(m.end_of_work(), 60'355_us + 25'858_us));
  // It is sampled at every third tick: 72, 84, and, as RCU keeps the tick alive after the exit at 86.2, at 96 ms: 2.2 of 12 ms busy are
  // 18 %, 762 MHz, nearest 750.
  CHECK(near(changes[1].first, 96'355_us));
  CHECK(changes[1].second == 750'000);
  CHECK(m.kernel().totals().frequency_changes == 2);
  CHECK(m.of(Tp::cpu_frequency).size() == 8);
  // Power states follow: the CPU that works is busy at the top from then on.
  bool seen = false;
  for (const auto& p : m.power) seen |= p.cpu == CpuId(1) && p.opp == 0 && p.busy && near(p.at, 60'355_us);
  CHECK(seen);
}

TEST_CASE("what a CPU does after it has changed its clock is paid like everything else") {
  // Memory sets the pace of the kernel: an interrupt takes 2 us at every clock. Two of them change it.
  Board m(Governor::ondemand);
  m.config().costs.memory_share_256 = 256;
  m.config().costs.ns[static_cast<std::size_t>(Phase::irq_entry_exit)] = 2_us;
  const CpuMask cpu1 = CpuMask::of(CpuId(1));
  m.start(m.add_list({run_op(30_ms)}), 50_ms, &cpu1);
  m.run();
  REQUIRE(m.kernel().totals().frequency_changes == 2);
  Ns irq;
  for (u32 c = 0; c < 4; ++c) irq += m.kernel().cpu_times(CpuId(c)).irq;
  CHECK(irq == 2_us * (m.of(Tp::irq_handler_entry).size() + m.of(Tp::ipi_entry).size()));
}

TEST_CASE("ondemand: a threshold that half a load exceeds goes to the top, the default settles in proportion") {
  // 2 ms of work at 1500 MHz in each 10 ms are 30 % at 1000 MHz, which asks for 870: 750; there they are 40 %, which asks for 960: 1000.
  for (const u64 threshold : {95u, 35u}) {
    Board m(Governor::ondemand);
    m.set(Tunable::up_threshold, threshold);
    const CpuMask cpu1 = CpuMask::of(CpuId(1));
    std::vector<Op> ops;
    for (u64 i = 1; i <= 100; ++i) {
      ops.push_back(run_op(2_ms));
      ops.push_back({.kind = OpKind::sleep_until, .ns = 10_ms * i});
    }
    m.start(m.add_list(ops), Ns(0), &cpu1);
    m.run();
    u64 highest = 0;
    for (const auto& [at, khz] : m.changes())
      if (at > 100_ms) highest = std::max(highest, khz);
    CAPTURE(threshold);
    CHECK(highest == (threshold == 35 ? 1'500'000 : 1'000'000));
  }
}

TEST_CASE("schedutil follows the utilisation of a task that never sleeps to the top, and that of an idle machine back down") {
  Board m(Governor::schedutil);
  const CpuMask cpu1 = CpuMask::of(CpuId(1));
  m.start(m.add_list({run_op(300_ms)}), 50_ms, &cpu1);
  std::vector<Op> ops;
  for (int i = 0; i < 60; ++i) {
    ops.push_back(sleep_op(20_ms));
    ops.push_back(run_op(50_us));
  }
  const CpuMask cpu2 = CpuMask::of(CpuId(2));
  m.start(m.add_list(ops), 50_ms, &cpu2);
  m.run();
  const auto changes = m.changes();
  REQUIRE(changes.size() >= 2);
  for (std::size_t i = 1; i < changes.size(); ++i) CHECK(changes[i].first - changes[i - 1].first >= 9'645_us);
  CHECK(std::ranges::max_element(changes, {}, [](const auto& c) { return c.second; })->second == 1'500'000);
  CHECK(changes.back().second == 600'000);
  bool sugov = false;
  for (const TraceEvent& e : m.of(Tp::sched_switch)) sugov |= m.trace().names()[NameId(static_cast<u32>(e.args[4]))] == "sugov:0";
  CHECK(sugov);
}

TEST_CASE("a profile of the platform limits what the governor asks for") {
  Board m(Governor::powersave);
  m.start(m.add_list({run_op(12_ms)}));
  m.kernel().speed_changed(CpuId(0), 1'500'000'000, Ns(0));
  m.run();
  CHECK(near(m.end_of_work(), 30_ms));
}

TEST_SUITE_END();
