#include <doctest/doctest.h>

#include "kernel_model/cpufreq/ondemand.hpp"
#include "kernel_model/cpufreq/schedutil.hpp"

using namespace forksim::km;

TEST_SUITE_BEGIN("cpufreq");

namespace {
constexpr u64 kMs = 1'000'000;

FreqPolicy pi4() { return FreqPolicy({1'500'000, 1'000'000, 750'000, 600'000}); }

OndemandGovernor ondemand(std::initializer_list<std::pair<Tunable, u64>> set = {}) {
  KernelProfile k = *find_profile("rpi-4.19-arm64");
  for (const auto& [t, v] : set) k.tunables[static_cast<std::size_t>(t)] = v;
  return OndemandGovernor(k, 10'000);
}
/// A machine whose CPUs have been idle for so many us at a date.
std::vector<CpuSample> at(u64 wall_us, std::initializer_list<u64> idle_us) {
  std::vector<CpuSample> out;
  for (u64 i : idle_us) out.push_back({true, i, wall_us, 0});
  return out;
}
std::vector<Schedutil::CpuUtil> utils(std::initializer_list<u64> cfs) {
  std::vector<Schedutil::CpuUtil> out;
  for (u64 u : cfs) out.push_back({true, false, u, 0, 1024});
  return out;
}
}  // namespace

TEST_CASE("a target is rounded up, down or to the nearer operating point, the lower one when both are as near") {
  const FreqPolicy p = pi4();
  CHECK(p.min() == 600'000);
  CHECK(p.max() == 1'500'000);
  CHECK(p.resolve(800'000, Relation::at_least) == 1'000'000);
  CHECK(p.resolve(800'000, Relation::at_most) == 750'000);
  CHECK(p.resolve(800'000, Relation::closest) == 750'000);
  CHECK(p.resolve(876'000, Relation::closest) == 1'000'000);
  CHECK(p.resolve(875'000, Relation::closest) == 750'000);
  CHECK(p.resolve(750'000, Relation::at_least) == 750'000);
  CHECK(p.resolve(1, Relation::at_most) == 600'000);
  CHECK(p.resolve(9'000'000, Relation::at_least) == 1'500'000);
}

TEST_CASE("governors wait for a thousand transitions between two changes, at most 10 ms") {
  CHECK(FreqPolicy::transition_delay_us(Ns(355'000)) == 10'000);
  CHECK(FreqPolicy::transition_delay_us(Ns(5'999)) == 5'000);
  CHECK(FreqPolicy::transition_delay_us(Ns(999)) == 1'000);
}

TEST_CASE("ondemand goes to the top above the threshold and in proportion to the busiest CPU's load below it") {
  const FreqPolicy p = pi4();
  struct Case {
    u64 idle;
    u32 load, khz;
  };
  // 600 MHz + load x 900 MHz / 100, then the nearest operating point: 96 % is above 95; 95 % is 1455 MHz; 50 % 1050; 20 % 780; 0 % 600.
  for (const Case c : {Case{400, 96, 1'500'000}, Case{500, 95, 1'500'000}, Case{5'000, 50, 1'000'000}, Case{8'000, 20, 750'000},
                       Case{10'000, 0, 600'000}}) {
    OndemandGovernor g = ondemand();
    g.start(at(0, {0, 0}));
    const auto t = g.od_dbs_update(pi4(), at(10'000, {c.idle, 10'000}));
    CHECK(g.load() == c.load);
    CHECK(p.resolve(t.khz, t.relation) == c.khz);
  }
}

TEST_CASE("ondemand: a CPU that slept long is judged once by its load before it slept") {
  OndemandGovernor g = ondemand();
  g.start(at(0, {0}));
  g.od_dbs_update(pi4(), at(10'000, {0}));
  CHECK(g.load() == 100);
  // 25 ms idle of 26 ms: more than two sampling periods.
  g.od_dbs_update(pi4(), at(36'000, {25'000}));
  CHECK(g.load() == 100);
  g.od_dbs_update(pi4(), at(62'000, {50'000}));
  CHECK(g.load() == 3);  // 100 x 1000 / 26000
  g.od_dbs_update(pi4(), at(62'000, {50'000}));
  CHECK(g.load() == 3);  // no time passed
}

TEST_CASE("ondemand samples once per period, and a factor stretches the periods at the top") {
  OndemandGovernor g = ondemand({{Tunable::sampling_down_factor, 50}});
  g.start(at(0, {0}));
  const u64 boot = 10'000'000'000;
  CHECK(g.update_util(boot));
  CHECK_FALSE(g.update_util(boot + 100 * kMs));  // the first is still in progress
  g.od_dbs_update(FreqPolicy({600'000, 1'500'000}), at(100'000, {90'000}));
  g.sampled();
  CHECK_FALSE(g.update_util(boot + 10 * kMs - 1));
  CHECK(g.update_util(boot + 10 * kMs));
  FreqPolicy low = pi4();
  low.cur = 600'000;
  g.od_dbs_update(low, at(110'000, {90'000}));
  CHECK(g.sample_delay_ns() == 500 * kMs);
}

TEST_CASE("ondemand: tasks with nice above 0 count as idle when that is asked for") {
  for (u64 ignore : {0u, 1u}) {
    OndemandGovernor g = ondemand({{Tunable::ignore_nice_load, ignore}});
    g.start(at(0, {0}));
    std::vector<CpuSample> s = at(10'000, {1'000});
    s[0].nice_ns = 8 * kMs;
    g.od_dbs_update(pi4(), s);
    CHECK(g.load() == (ignore ? 10 : 90));
  }
}

TEST_CASE("ondemand: a bias of 10 percent splits each period between 1500 and 1000 MHz") {
  // 1500 - 150 = 1350 MHz on average: (1350 - 1000) x 10 ms / (1500 - 1000) = 7 ms high, 3 ms low.
  OndemandGovernor g = ondemand({{Tunable::powersave_bias, 100}});
  g.start(at(0, {0}));
  auto t = g.od_dbs_update(pi4(), at(10'000, {0}));
  CHECK(t.khz == 1'500'000);
  CHECK(g.sample_delay_ns() == 7 * kMs);
  t = g.od_dbs_update(pi4(), at(17'000, {0}));
  CHECK(t.khz == 1'000'000);
  CHECK(g.sample_delay_ns() == 3 * kMs);
  t = g.od_dbs_update(pi4(), at(20'000, {0}));
  CHECK(t.khz == 1'500'000);
}

TEST_CASE("ondemand: a CPU that is off neither counts nor votes") {
  OndemandGovernor g = ondemand();
  g.start(at(0, {0, 0}));
  std::vector<CpuSample> s = at(10'000, {8'000, 0});
  s[1].online = false;
  g.od_dbs_update(pi4(), s);
  CHECK(g.load() == 20);
}

TEST_CASE("schedutil asks for 1.25 times the utilisation of the busiest CPU, rounded up") {
  const FreqPolicy p = pi4();
  struct Case {
    u64 util;
    u32 khz;
  };
  // 1875 MHz x util / 1024: 327 gives 598 MHz, 512 gives 937, 820 gives 1501.
  for (const Case c :
       {Case{0, 600'000}, Case{327, 600'000}, Case{328, 750'000}, Case{512, 1'000'000}, Case{820, 1'500'000}, Case{1024, 1'500'000}}) {
    Schedutil g(2, 10'000, 4 * kMs);
    g.start();
    CHECK(g.update_shared(0, 10'000'000'000, 0, p, [&] { return utils({c.util, 3}); }));
    CHECK(g.sugov_work() == c.khz);
  }
}

TEST_CASE("schedutil: what interrupts take is on top of what tasks use of the rest") {
  struct {
    u64 cfs, irq;
    u32 khz;
  } const kCases[] = {
      {512, 0, 1'000'000},    // 1.25 x 1500 MHz / 2 = 937.5
      {512, 256, 1'500'000},  // 512 x 3/4 + 256 = 640: 1171.875
      {0, 512, 1'000'000},   {0, 1023, 1'500'000}, {10, 1024, 1'500'000}, {0, 2000, 1'500'000},
  };
  for (const auto& c : kCases) {
    CAPTURE(c.irq);
    Schedutil g(1, 10'000, 4 * kMs);
    g.start();
    std::vector<Schedutil::CpuUtil> u = utils({c.cfs});
    u[0].irq = c.irq;
    CHECK(g.update_shared(0, 10'000'000'000, 0, pi4(), [&] { return u; }));
    CHECK(g.sugov_work() == c.khz);
  }
}

TEST_CASE("schedutil: a runnable real-time task asks for the top, between two changes the rate limit passes") {
  const FreqPolicy p = pi4();
  Schedutil g(1, 10'000, 4 * kMs);
  g.start();
  u64 now = 10'000'000'000;
  std::vector<Schedutil::CpuUtil> u = utils({10});
  CHECK(g.update_shared(0, now, 0, p, [&] { return u; }));
  CHECK(g.sugov_work() == 600'000);
  u[0].rt_runnable = true;
  CHECK_FALSE(g.update_shared(0, now + 10 * kMs - 1, 0, p, [&] { return u; }));
  CHECK(g.update_shared(0, now + 10 * kMs, 0, p, [&] { return u; }));
  CHECK(g.sugov_work() == 1'500'000);
  // While the thread has not read the last wish, a new one needs no second wake-up.
  u[0].rt_runnable = false;
  CHECK(g.update_shared(0, now + 20 * kMs, 0, p, [&] { return u; }));
  u[0].rt_runnable = true;
  CHECK_FALSE(g.update_shared(0, now + 30 * kMs, 0, p, [&] { return u; }));
  CHECK(g.sugov_work() == 1'500'000);
}

TEST_CASE("schedutil: a wake-up from I/O doubles the boost, starting at the bottom, and a tick without one ends it") {
  const FreqPolicy p = pi4();
  Schedutil g(1, 1'000, 4 * kMs);
  g.start();
  u64 now = 10'000'000'000;
  const auto idle = [] { return utils({0}); };
  // 600 / 1500 of the capacity x 1.25 = 750 MHz; twice that is 1500.
  CHECK(g.update_shared(0, now, SCHED_CPUFREQ_IOWAIT, p, idle));
  CHECK(g.sugov_work() == 750'000);
  CHECK(g.update_shared(0, now += kMs, SCHED_CPUFREQ_IOWAIT, p, idle));
  CHECK(g.sugov_work() == 1'500'000);
  // Nobody asks: halved to 600 MHz again, then gone.
  CHECK(g.update_shared(0, now += kMs, 0, p, idle));
  CHECK(g.sugov_work() == 750'000);
  CHECK(g.update_shared(0, now += kMs, 0, p, idle));
  CHECK(g.sugov_work() == 600'000);
  CHECK(g.update_shared(0, now += kMs, SCHED_CPUFREQ_IOWAIT, p, idle));
  CHECK(g.sugov_work() == 750'000);
  CHECK(g.update_shared(0, now += 4 * kMs + 1, 0, p, idle));
  CHECK(g.sugov_work() == 600'000);
}

TEST_SUITE_END();
