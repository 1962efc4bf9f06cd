// Policies, nice levels, masks and groups as system calls: checks in the kernel's order, effects at the right ns.
#include <doctest/doctest.h>

#include "kernel_model/core.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

Op policy_op(SchedPolicy p, u64 priority, s32 pid = 0, bool reset = false) {
  return {.kind = OpKind::setscheduler, .flag = reset, .arg = static_cast<s64>(p), .count = priority, .pid = Pid(pid)};
}
Op nice_op(int nice, s32 pid = 0) { return {.kind = OpKind::nice, .arg = nice, .pid = Pid(pid)}; }
Op attach_op(u32 group, s32 pid = 0) { return {.kind = OpKind::cgroup_attach, .arg = group, .pid = Pid(pid)}; }
Op affinity_op(const CpuMask& mask, s32 pid = 0) { return {.kind = OpKind::affinity, .pid = Pid(pid), .mask = &mask}; }

constexpr s32 kMigration0 = 3, kNobody = 300;

/// Results of the operations of one process of user `uid`, without the last one (the exit).
std::vector<s64> results_of(ScriptMachine& m, const std::vector<Op>& ops, u32 uid) {
  const u32 program = m.add_list(ops);
  m.start(program, 0_ns, nullptr, uid);
  m.run();
  return m.results[program];
}

/// Dates of the switches to the task of `pid`.
std::vector<u64> switches_to(const ScriptMachine& m, u64 pid) {
  std::vector<u64> out;
  for (const TraceEvent& e : m.of(Tp::sched_switch))
    if (e.args[5] == pid) out.push_back(e.ts.v);
  return out;
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("sched_setscheduler: a user without limits may leave nothing but its own comfort") {
    ScriptMachine m;
    const auto r =
        results_of(m,
                   {policy_op(SchedPolicy::fifo, 10), policy_op(static_cast<SchedPolicy>(6), 0), policy_op(SchedPolicy::fifo, 0),
                    policy_op(SchedPolicy::normal, 5), policy_op(SchedPolicy::rr, 100), policy_op(SchedPolicy::batch, 0, kNobody),
                    policy_op(SchedPolicy::batch, 0, kInitPid), policy_op(SchedPolicy::batch, 0, -1), policy_op(SchedPolicy::batch, 0),
                    policy_op(SchedPolicy::idle, 0), policy_op(SchedPolicy::normal, 0)},
                   1000);
    CHECK(r == std::vector<s64>{-kEPERM, -kEINVAL, -kEINVAL, -kEINVAL, -kEINVAL, -kESRCH, -kEPERM, -kEINVAL, 0, 0, -kEPERM});
  }

  TEST_CASE("sched_setscheduler: RLIMIT_RTPRIO is the highest priority a user may set, and lowering is always allowed") {
    ScriptMachine m;
    m.set(Tunable::rlimit_rtprio, 20);
    m.set(Tunable::rlimit_nice, 20);  // nice 0 and above
    const auto r = results_of(m,
                              {policy_op(SchedPolicy::fifo, 10), policy_op(SchedPolicy::fifo, 21), policy_op(SchedPolicy::fifo, 5),
                               policy_op(SchedPolicy::rr, 20), policy_op(SchedPolicy::idle, 0), policy_op(SchedPolicy::normal, 0),
                               policy_op(SchedPolicy::normal, 0, 0, true), policy_op(SchedPolicy::normal, 0)},
                              1000);
    CHECK(r == std::vector<s64>{0, -kEPERM, 0, 0, 0, 0, 0, -kEPERM});
  }

  TEST_CASE("sched_setscheduler: root may do everything but touch a stopper") {
    ScriptMachine m;
    const auto r = results_of(
        m, {policy_op(SchedPolicy::fifo, 99), policy_op(SchedPolicy::fifo, 1, kMigration0), policy_op(SchedPolicy::rr, 1, kInitPid)}, 0);
    CHECK(r == std::vector<s64>{0, -kEINVAL, 0});
  }

  TEST_CASE("setpriority: upwards for all, downwards with RLIMIT_NICE, of others never") {
    ScriptMachine m;
    m.set(Tunable::rlimit_nice, 15);  // down to nice 5
    const auto r = results_of(m, {nice_op(10), nice_op(5), nice_op(4), nice_op(0, kInitPid), nice_op(19, kNobody), nice_op(40)}, 1000);
    CHECK(r == std::vector<s64>{0, 0, -kEACCES, -kEPERM, -kESRCH, 0});
  }

  TEST_CASE("fork inherits the policy, SCHED_RESET_ON_FORK makes the child an ordinary task") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(10_us)});
    m.start(m.add_list({policy_op(SchedPolicy::fifo, 50), fork_op(m.fork_spec(child)), policy_op(SchedPolicy::fifo, 50, 0, true),
                        fork_op(m.fork_spec(child)), policy_op(SchedPolicy::normal, 0, 0, true), nice_op(-5), fork_op(m.fork_spec(child)),
                        wait_op(), wait_op(), wait_op()}));
    m.run();
    std::vector<u64> prio;
    for (const TraceEvent& e : m.of(Tp::sched_wakeup_new)) prio.push_back(e.args[2]);
    CHECK(prio == std::vector<u64>{120, 49, 120, 120});  // MAX_RT_PRIO - 1 - 50; nice -5 becomes 0
  }

  TEST_CASE("a real-time task preempts a fair one the instant it wakes, and a fair one waits for a tick") {
    for (const bool rt : {true, false}) {
      CAPTURE(rt);
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.set(Tunable::timer_slack_ns, 0);
      const u32 hog = m.add_list({run_op(60_ms)});
      const u32 sleeper =
          m.add_list({rt ? policy_op(SchedPolicy::fifo, 1) : policy_op(SchedPolicy::batch, 0), sleep_op(10_ms + 100_us), run_op(1_us)});
      m.start(sleeper);
      m.start(hog);
      m.run();
      constexpr u64 kSleeper = 5;
      u64 woken = 0, ran = 0;
      for (const TraceEvent& e : m.of(Tp::sched_wakeup))
        if (e.args[1] == kSleeper) woken = e.ts.v;
      REQUIRE(woken >= 10'100'000);
      for (u64 t : switches_to(m, kSleeper))
        if (t >= woken && !ran) ran = t;
      if (rt)
        CHECK(ran == woken);
      else
        CHECK(ran % 4'000'000 == 0);  // SCHED_BATCH does not preempt on wake-up: the tick decides
    }
  }

  TEST_CASE("SCHED_RR: two tasks of one priority change places every 100 ms, SCHED_FIFO keeps the CPU") {
    for (const SchedPolicy policy : {SchedPolicy::rr, SchedPolicy::fifo}) {
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.set(Tunable::sched_rt_runtime_us, ~u64{0});  // -1: no throttling
      const u32 hog = m.add_list({run_op(400_ms)});
      for (int i = 0; i < 2; ++i) m.kernel().start({"hog", &m.shape, m.user_of(hog), 0_ns, 0, nullptr, 0, policy, 10});
      m.run();
      const auto a = switches_to(m, 5), b = switches_to(m, 6);
      if (policy == SchedPolicy::rr) {
        // 25 ticks of 4 ms each; the tick at which the work ends comes first, so both have their exit at 800 ms.
        CHECK(a == std::vector<u64>{0, 200'000'000, 400'000'000, 600'000'000, 800'000'000});
        CHECK(b == std::vector<u64>{100'000'000, 300'000'000, 500'000'000, 700'000'000, 800'000'000});
      } else {
        CHECK(a == std::vector<u64>{0});
        CHECK(b == std::vector<u64>{400'000'000});
      }
    }
  }

  TEST_CASE("real-time throttling on one CPU: 950 ms of each second, seen at the ticks, and the debt is carried over") {
    ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
    m.start(m.add_list({policy_op(SchedPolicy::fifo, 10), run_op(2500_ms)}));
    const u32 fair = m.add_list({run_op(90_ms)});
    m.start(fair);
    m.run(2100_ms);
    // Running from 0, rt_time first exceeds 950 ms at the tick of 952 ms. The period began 1 ns after the task was queued: at 1 s + 1 ns
    // 950 ms are taken off, 2 ms stay. 2 ms + (1952 ms - 1 s - 1 ns) is the next to exceed it; 954 ms - 1 ns - 950 ms stay.
    const auto throttled = m.of(Tp::rt_throttle), released = m.of(Tp::rt_unthrottle);
    REQUIRE(throttled.size() == 2);
    REQUIRE(released.size() == 2);
    CHECK(throttled[0].ts == 952_ms);
    CHECK(throttled[0].args[1] == 952'000'000);
    CHECK(released[0].ts == 1000_ms + 1_ns);
    CHECK(released[0].args[1] == 48'000'001);
    CHECK(throttled[1].ts == 1952_ms);
    CHECK(throttled[1].args[1] == 953'999'999);
    CHECK(released[1].ts == 2000_ms + 1_ns);
    const CpuTimes t = m.kernel().cpu_times(CpuId(0));
    CHECK(t.rt_throttled == 2);
    CHECK(t.rt_throttled_time == 96'000'002_ns);
    CHECK(switches_to(m, 6) == std::vector<u64>{952'000'000, 1'952'000'000});  // the fair task ran in the gaps, 90 ms of 96
  }

  TEST_CASE("real-time tasks without a limit: the whole period is watched by its timer, -1 needs none") {
    const auto interrupts = [](u64 runtime_us) {
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.set(Tunable::sched_rt_runtime_us, runtime_us);
      m.start(m.add_list({policy_op(SchedPolicy::fifo, 10), run_op(2500_ms)}));
      m.run(2400_ms);
      CHECK(m.of(Tp::rt_throttle).empty());
      return m.of(Tp::irq_handler_entry).size();
    };
    // The timer of the period fires 1 ns after the task was queued, and then every second.
    CHECK(interrupts(1'000'000) == 600 + 3);
    CHECK(interrupts(~u64{0}) == 600);
  }

  TEST_CASE("real-time throttling on four CPUs: one hog borrows what the others do not use, four hogs are throttled") {
    for (const u32 hogs : {1u, 4u}) {
      CAPTURE(hogs);
      ScriptMachine m("rpi-4.19-arm64", 4, 0_ns);
      const u32 hog = m.add_list({policy_op(SchedPolicy::fifo, 10), run_op(1800_ms)});
      for (u32 i = 0; i < hogs; ++i) m.start(hog);
      m.run(1900_ms);
      // Alone it gets 50 ms more from its neighbours, which is the whole period; four of them have nothing to lend to each other.
      CHECK(m.of(Tp::rt_throttle).size() == (hogs == 1 ? 0 : 4));
    }
    // Nor does it get anything without RT_RUNTIME_SHARE: it is throttled at the tick of 952 ms.
    ScriptMachine m("rpi-4.19-arm64", 4, 0_ns);
    m.config().profile.features[static_cast<std::size_t>(Feature::RT_RUNTIME_SHARE)] = false;
    m.start(m.add_list({policy_op(SchedPolicy::fifo, 10), run_op(990_ms)}));
    m.run(1900_ms);
    REQUIRE(m.of(Tp::rt_throttle).size() == 1);
    CHECK(m.of(Tp::rt_throttle)[0].ts == 952_ms);
  }

  TEST_CASE("a push: the real-time task that a more urgent pinned one preempts goes on at once on a CPU without any") {
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    m.set(Tunable::timer_slack_ns, 0);
    static const CpuMask kCpu0 = CpuMask::of(CpuId(0));
    const u32 high = m.add_list({sleep_op(5_ms), run_op(5_ms)}), low = m.add_list({run_op(20_ms)});
    m.kernel().start({"high", &m.shape, m.user_of(high), 0_ns, 0, &kCpu0, 0, SchedPolicy::fifo, 20});
    m.kernel().start({"low", &m.shape, m.user_of(low), 1_ms, 0, nullptr, 0, SchedPolicy::fifo, 10});
    m.run();
    constexpr u64 kLow = 8;
    const auto moves = m.of(Tp::sched_migrate_task);
    REQUIRE(moves.size() == 1);
    CHECK(moves[0].ts == 5_ms);
    CHECK(moves[0].args[1] == kLow);
    CHECK(moves[0].args[3] == 0);
    CHECK(moves[0].args[4] == 1);
    u64 exited = 0;
    for (const TraceEvent& e : m.of(Tp::do_exit))
      if (e.args[0] == kLow) exited = e.ts.v;
    CHECK(exited >= 21'000'000);
    CHECK(exited < 21'010'000);  // all it lost is the interrupt's way to CPU 1
  }

  TEST_CASE("sched_setaffinity of a running child: its CPU's stopper moves it while the caller waits") {
    ScriptMachine m("rpi-4.19-arm64", 2, 1000_ns);
    static const CpuMask kCpu0 = CpuMask::of(CpuId(0)), kCpu1 = CpuMask::of(CpuId(1));
    const u32 child = m.add_list({run_op(20_ms)});
    m.start(m.add_list({affinity_op(kCpu0), fork_op(m.fork_spec(child)), affinity_op(kCpu1), sleep_op(5_ms), affinity_op(kCpu1, 8),
                        affinity_op(kCpu0), wait_op()}));
    m.run();
    constexpr u64 kChild = 8, kParent = 7;  // two migration threads and two kworkers before them
    bool asleep = false, moved = false;
    for (const TraceEvent& e : m.events) {
      if (e.id == Tp::sched_migrate_task && e.args[1] == kChild) {
        moved = true;
        CHECK(e.cpu == CpuId(0));
        CHECK(e.comm == m.trace().names().intern("migration/0"));
        CHECK(e.args[4] == 1);
      }
      if (e.id == Tp::sched_switch && e.args[1] == kParent && !moved) asleep |= (e.args[3] & 0xff) == 'D';
    }
    CHECK(moved);
    CHECK(asleep);
    CHECK(m.kernel().totals().exits == 2);
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("cgroup.procs: root moves processes of the fair class, with all their threads") {
    ScriptMachine m("rpi-4.19-arm64", 2, 1000_ns);
    const u32 batch = m.kernel().create_group({.name = "batch"});
    REQUIRE(batch == 1);
    const u32 thread = m.add_list({sleep_op(100_ms), {.kind = OpKind::exit}});
    const u32 program =
        m.add_list({fork_op(m.fork_spec(thread, kPthreadFlags)), attach_op(batch), attach_op(batch, kNobody), attach_op(batch, kMigration0),
                    policy_op(SchedPolicy::fifo, 1), attach_op(0), policy_op(SchedPolicy::normal, 0), attach_op(0)});
    m.start(program);
    const u32 user = m.add_list({attach_op(batch)});
    m.start(user, 50_ms, nullptr, 1000);
    m.run();
    const auto& r = m.results[program];
    REQUIRE(r.size() == 8);
    CHECK(std::vector<s64>(r.begin() + 1, r.end()) == std::vector<s64>{0, -kESRCH, -kEINVAL, 0, -kEINVAL, 0, 0});
    CHECK(m.results[user] == std::vector<s64>{-kEACCES});
    CHECK(m.of(Tp::cgroup_attach).size() == 4);  // two threads, twice
  }

  TEST_CASE("cgroup.procs: who forks while threads are moved sleeps until the last one has, and the writer waits for who is inside") {
    // The first write begins at 5 ms: 4 jiffies of grace period, to the tick at 24 ms. Its one thread takes 10 us, the second write, which
    // needs no grace period, 10 more: the lock is held to 24.010 and on to 24.020. A fork on CPU 1 comes at 24.012: 8 us of sleep.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    m.set(Tunable::timer_slack_ns, 0);
    m.config().costs.ns[static_cast<std::size_t>(Phase::cgroup_attach_per_task)] = 10_us;
    m.config().machine.transfer.assign(4, 7_ns);
    m.config().machine.ipi.assign(4, 0_ns);
    static const CpuMask kCpu0 = CpuMask::of(CpuId(0)), kCpu1 = CpuMask::of(CpuId(1));
    const u32 batch = m.kernel().create_group({.name = "batch"});
    m.start(m.add_list({attach_op(batch), attach_op(0), run_op(1_ms)}), 5_ms, &kCpu0);
    const u32 child = m.add_list({});
    m.start(m.add_list({{.kind = OpKind::sleep_until, .ns = 24'012_us}, fork_op(m.fork_spec(child)), wait_op()}), 5_ms, &kCpu1);
    m.run();
    const auto moved = m.of(Tp::cgroup_attach);
    REQUIRE(moved.size() == 2);
    CHECK(moved[0].ts == 24'010_us);
    CHECK(moved[1].ts == 24'020_us);
    const auto& read = m.kernel().lock_stats()[static_cast<std::size_t>(LockId::threadgroup_read)];
    const auto& write = m.kernel().lock_stats()[static_cast<std::size_t>(LockId::threadgroup_write)];
    CHECK(read.contended == 1);
    CHECK(read.wait_total == 8_us);
    CHECK(write.acquisitions == 2);
    CHECK(write.hold_total == 20_us);
    const auto forks = m.of(Tp::task_newtask);
    REQUIRE_FALSE(forks.empty());
    CHECK(forks.back().ts == 24'020_us);
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("cgroup.procs: forks that slept while threads were moved are woken in the order in which they came") {
    // As above, but twenty processes share CPU 1 and begin to fork one after the other, 1 us apart, while the second write holds the lock.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    m.set(Tunable::timer_slack_ns, 0);
    m.config().costs.ns[static_cast<std::size_t>(Phase::cgroup_attach_per_task)] = 50_us;
    m.config().machine.ipi.assign(4, 0_ns);
    static const CpuMask kCpu0 = CpuMask::of(CpuId(0)), kCpu1 = CpuMask::of(CpuId(1));
    const u32 batch = m.kernel().create_group({.name = "batch"});
    m.start(m.add_list({attach_op(batch), attach_op(0), run_op(1_ms)}), 5_ms, &kCpu0);
    constexpr u64 kForkers = 20;
    const u32 child = m.add_list({});
    for (u64 i = 0; i < kForkers; ++i)
      m.start(m.add_list({{.kind = OpKind::sleep_until, .ns = 24'052_us + Ns(1000 * i)}, fork_op(m.fork_spec(child)), wait_op()}), 5_ms,
              &kCpu1);
    m.run();
    const auto moved = m.of(Tp::cgroup_attach);
    REQUIRE(moved.size() == 2);
    CHECK(moved[1].ts == 24'100_us);
    CHECK(m.kernel().lock_stats()[static_cast<std::size_t>(LockId::threadgroup_read)].contended == kForkers);
    std::vector<s32> came, woken;
    for (const TraceEvent& e : m.of(Tp::contention_begin)) came.push_back(e.pid.v);
    for (const TraceEvent& e : m.of(Tp::sched_waking))
      if (e.ts == 24'100_us && e.cpu == CpuId(0) && woken.size() < kForkers) woken.push_back(static_cast<s32>(e.args[1]));
    CHECK(came.size() == kForkers);

    CHECK(woken == came);
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("cgroup.procs: before anybody writes to it, forks and exits share no lock for it") {
    ScriptMachine m("rpi-4.19-arm64", 2, 1000_ns);
    const u32 child = m.add_list({});
    m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op()}));
    m.run();
    CHECK(m.kernel().lock_stats()[static_cast<std::size_t>(LockId::threadgroup_read)].acquisitions == 0);
  }

  TEST_CASE("a quota of 50 ms in 100 ms: hand-computed dates of a hog on one CPU") {
    // Slices of 5 ms are charged at ticks of 4 ms. The hog draws 5 + 5 x 8 ms, then the last 5: at 48 ms 2 ms are left, at 52 ms it owes 2
    // and is throttled. The next period pays the debt and 1 ns, so it lasts to 148 ms; the third, without debt, to 252 ms, and so on.
    ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
    const u32 batch = m.kernel().create_group({.name = "batch", .cfs_quota_us = 50'000});
    const u32 hog = m.add_list({run_op(10_s)});
    m.kernel().start({"hog", &m.shape, m.user_of(hog), 0_ns, 0, nullptr, 0, SchedPolicy::normal, 0, batch});
    m.kernel().advance(1001_ms);
    std::vector<u64> off, on;
    for (const TraceEvent& e : m.of(Tp::cfs_throttle)) off.push_back(e.ts.v / 1'000'000);
    for (const TraceEvent& e : m.of(Tp::cfs_unthrottle)) on.push_back(e.ts.v / 1'000'000);
    CHECK(off == std::vector<u64>{52, 148, 252, 348, 452, 548, 652, 748, 852, 948});
    CHECK(on == std::vector<u64>{100, 200, 300, 400, 500, 600, 700, 800, 900, 1000});
    const GroupView g = m.kernel().groups().at(0);
    CHECK(g.nr_periods == 10);
    CHECK(g.nr_throttled == 10);
    CHECK(g.throttled_time == 500_ms);
  }
}
