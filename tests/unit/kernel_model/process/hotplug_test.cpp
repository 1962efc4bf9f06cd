#include <doctest/doctest.h>

#include <random>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::literals;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("process/hotplug");

namespace {

Op cpu_op(s64 cpu, bool on) { return {.kind = OpKind::cpu_online, .flag = on, .arg = cpu}; }

Ns accounted(const CpuTimes& t) { return t.user + t.system + t.irq + t.idle; }

/// Time `cpu` was off, by its own events.
Ns time_off(const ScriptMachine& m, CpuId cpu, Ns end) {
  Ns off{0}, since = kNever;
  for (const auto& [c, on, at] : m.cpu_power) {
    if (c != cpu) continue;
    if (!on) since = at;
    if (on) off += at - since;
    if (on) since = kNever;
  }
  return since == kNever ? off : off + (end - since);
}

}  // namespace

TEST_CASE("a CPU is inactive for a grace period, stops the machine for take_cpu_down, is dead, and comes back") {
  ScriptMachine m;
  m.config().hotplug = true;
  m.config().costs.ns[static_cast<std::size_t>(Phase::take_cpu_down)] = 70_us;
  m.config().costs.ns[static_cast<std::size_t>(Phase::cpu_boot)] = 2_ms;
  const u32 p = m.add_list({cpu_op(3, false), run_op(5_ms), cpu_op(3, true)});
  m.start(p);
  m.run();
  CHECK(m.results[p] == std::vector<s64>{1, 0, 1});
  std::vector<std::array<u64, 2>> states;
  std::vector<Ns> dates;
  for (const TraceEvent& e : m.of(Tp::cpu_online)) {
    states.push_back({e.args[0], e.args[1]});
    dates.push_back(e.ts);
  }
  REQUIRE(states == std::vector<std::array<u64, 2>>{{3, 1}, {3, 0}, {3, 2}});
  // synchronize_rcu: four jiffies of 4 ms, counted from the last tick; then take_cpu_down.
  CHECK(dates[1] - dates[0] > 12_ms + 70_us);
  CHECK(dates[1] - dates[0] < 17_ms);
  CHECK(dates[2] - dates[1] > 7_ms);  // 5 ms of work, 2 ms of boot
  CHECK(accounted(m.kernel().cpu_times(CpuId(3))) + time_off(m, CpuId(3), m.kernel().now()) == m.kernel().now());
}

TEST_CASE("while take_cpu_down runs every CPU stands still") {
  ScriptMachine m("rpi-4.19-arm64", 4, Ns(0));
  m.config().hotplug = true;
  m.config().costs.ns[static_cast<std::size_t>(Phase::take_cpu_down)] = 100_us;
  const CpuMask cpu1 = CpuMask::of(CpuId(1));
  const u32 busy = m.add_list({run_op(40_ms)});
  m.start(busy, Ns(0), &cpu1);
  m.start(m.add_list({cpu_op(3, false)}), Ns(0));
  m.run();
  // The stopper of CPU 1 spins for exactly those 100 us: system time of a task that has none of its own.
  CHECK(m.kernel().cpu_times(CpuId(1)).system >= 100_us);
  CHECK(m.kernel().cpu_times(CpuId(1)).system < 101_us);
}

TEST_CASE("errors: the last CPU, a CPU that is not there, a user that may not, a board that cannot, twice the same is no error") {
  ScriptMachine m;
  m.config().hotplug = true;
  const u32 p = m.add_list({cpu_op(3, false), cpu_op(3, false), cpu_op(2, false), cpu_op(1, false), cpu_op(0, false), cpu_op(7, false),
                            cpu_op(1, true), cpu_op(0, false), cpu_op(2, true), cpu_op(3, true), cpu_op(0, true)});
  m.start(p);
  m.run();
  CHECK(m.results[p] == std::vector<s64>{1, 1, 1, 1, -16, -2, 1, 1, 1, 1, 1});
  ScriptMachine user;
  user.config().hotplug = true;
  const u32 q = user.add_list({cpu_op(3, false)});
  user.start(q, Ns(0), nullptr, 1000);
  user.run();
  CHECK(user.results[q] == std::vector<s64>{-13});
  ScriptMachine board;
  board.config().hotplug = true;
  board.config().machine.can_disable = false;
  const u32 r = board.add_list({cpu_op(3, false)});
  board.start(r);
  board.run();
  CHECK(board.results[r] == std::vector<s64>{-95});
}

TEST_CASE("a task that only the dead CPU could run gets all CPUs, and that is told once") {
  ScriptMachine m;
  m.config().hotplug = true;
  const CpuMask cpu3 = CpuMask::of(CpuId(3));
  m.start(m.add_list({run_op(30_ms), sleep_op(20_ms), run_op(1_ms)}), Ns(0), &cpu3);
  m.start(m.add_list({cpu_op(3, false)}), 1_ms);
  m.run();
  const auto told = m.of(Tp::no_longer_affine);
  REQUIRE(told.size() == 1);
  CHECK(told[0].args[2] == 3);
  CHECK(told[0].args[3] == 0);
  CHECK(m.kernel().totals().affinity_widened == 1);
  CHECK(m.kernel().totals().exits == 2);
}

TEST_CASE("a sleeper whose timer the dead CPU kept is woken all the same") {
  ScriptMachine m;
  m.config().hotplug = true;
  const CpuMask cpu3 = CpuMask::of(CpuId(3));
  const u32 p = m.add_list({sleep_op(100_ms)});
  m.start(p, Ns(0), &cpu3);
  m.start(m.add_list({cpu_op(3, false)}), 1_ms);
  m.run();
  REQUIRE(m.results[p].size() == 1);
  const auto exits = m.of(Tp::do_exit);
  REQUIRE(exits.size() == 2);
  CHECK(exits.back().ts >= 100_ms);
  CHECK(exits.back().ts < 101_ms);
}

TEST_CASE("property: CPUs come and go under a fork storm, nothing runs on a dead CPU, nothing is lost, and the times add up") {
  for (u32 seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    std::mt19937 rng(seed);
    const u32 cpus = static_cast<u32>(2 + rng() % 5);
    ScriptMachine m(rng() % 2 ? "rpi-4.19-arm64" : "mc-4.19-arm64", cpus);
    m.config().hotplug = true;
    const u32 child = m.add_list({run_op(Ns(200'000 + rng() % 3'000'000)), sleep_op(Ns(100'000 + rng() % 2'000'000)), run_op(300_us)});
    std::vector<Op> storm, hotplug;
    for (int i = 0; i < 30; ++i) storm.push_back(fork_op(m.fork_spec(child)));
    for (int i = 0; i < 30; ++i) storm.push_back(wait_op());
    for (int i = 0; i < 6; ++i) hotplug.push_back(cpu_op(static_cast<s64>(rng() % cpus), rng() % 3 == 0));
    m.start(m.add_list(storm));
    m.start(m.add_list(hotplug), Ns(rng() % 2'000'000));
    m.start(m.add_list(hotplug), Ns(rng() % 9'000'000));
    m.run();
    CHECK(m.kernel().totals().exits == 33);
    CHECK(m.kernel().alive().task_structs == 0);
    const auto dead = [&m](CpuId cpu, Ns at) {
      bool off = false;
      for (const auto& p : m.cpu_power)
        if (p.cpu == cpu && p.at < at) off = !p.on;
      return off;
    };
    for (const TraceEvent& e : m.of(Tp::sched_switch)) CHECK_FALSE(dead(e.cpu, e.ts));
    for (u32 c = 0; c < cpus; ++c)
      CHECK(accounted(m.kernel().cpu_times(CpuId(c))) + time_off(m, CpuId(c), m.kernel().now()) == m.kernel().now());
  }
}

TEST_SUITE_END();
