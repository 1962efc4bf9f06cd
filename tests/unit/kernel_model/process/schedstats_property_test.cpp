// Statistics of waits and sleeps (sched_schedstats) and timer_migration on whole machines with random programs.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/unit/kernel_model/process/script_machine.hpp"
#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("kernel_model/schedstats");

namespace {

s32 pid_of(const TraceEvent& e) { return static_cast<s32>(e.args[1]); }

/// What the events say of one task.
struct Life {
  u64 wait = 0, sleep = 0, run = 0, run_delay = 0;
  Ns born{0}, last_run{0};
  bool ended = false;
};

std::map<s32, Life> lives(const ScriptMachine& m) {
  std::map<s32, Life> out;
  for (const TraceEvent& e : m.events) {
    if (e.id == Tp::sched_wakeup_new) out[pid_of(e)].born = e.ts;
    if (e.id == Tp::sched_stat_wait) out[pid_of(e)].wait += e.args[2];
    if (e.id == Tp::sched_stat_sleep || e.id == Tp::sched_stat_blocked) out[pid_of(e)].sleep += e.args[2];
    if (e.id == Tp::sched_stat_runtime) {
      out[pid_of(e)].run += e.args[2];
      out[pid_of(e)].last_run = e.ts;
    }
    if (e.id == Tp::task_acct) {
      Life& l = out[static_cast<s32>(e.args[0])];
      l.run_delay = e.args[3];
      l.ended = l.born != Ns(0);
    }
  }
  return out;
}

/// Some processes that run, sleep, fork and wait on one to four CPUs.
void random_programs(ScriptMachine& m, Random& r) {
  const auto work = [&] { return run_op(Ns(r.below(12'000'000) + 1)); };
  for (u64 n = r.below(7) + 2; n; --n) {
    std::vector<Op> ops{work()};
    const u32 child = m.add_list({work(), sleep_op(Ns(r.below(3'000'000) + 1)), work()});
    if (r.below(2)) ops.push_back(sleep_op(Ns(r.below(5'000'000) + 1)));
    if (r.below(2)) {
      ops.push_back(fork_op(m.fork_spec(child)));
      ops.push_back(work());
      ops.push_back(wait_op());
    }
    ops.push_back(work());
    m.start(m.add_list(ops), Ns(r.below(3'000'000) + 1));
  }
}

}  // namespace

TEST_CASE("on random machines the waits of a task are its run_delay, and on one CPU waits, sleeps and run time are its life") {
  u32 checked = 0, whole = 0, slept = 0;
  for (u64 seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Random r{seed};
    const u32 cpus = static_cast<u32>(r.below(4)) + 1;
    ScriptMachine m(r.one_in(2) ? "rpi-4.19-arm64" : "mc-4.19-arm64", cpus, Ns(r.below(2000)));
    const bool preempt = r.one_in(2);
    m.config().profile.preempt = preempt ? PreemptModel::full : PreemptModel::none;
    m.set(Tunable::sched_schedstats, 1);
    random_programs(m, r);
    m.run();
    for (const auto& task : lives(m)) {
      const s32 pid = task.first;
      const Life& l = task.second;
      if (!l.ended) continue;
      CAPTURE(pid);
      ++checked;
      slept += l.sleep > 0;
      // Who is preempted on its way to sleep waits by se.statistics, not by sched_info.
      if (preempt)
        CHECK(l.wait >= l.run_delay);
      else
        CHECK(l.wait == l.run_delay);
      // With several CPUs clocks stand still while their queues look for work, and nobody counts the time between two queues.
      if (cpus > 1) continue;
      ++whole;
      CHECK(l.wait + l.sleep + l.run == (l.last_run - l.born).v);
    }
  }
  CHECK(checked > 300);
  CHECK(whole > 50);
  CHECK(slept > 100);
}

TEST_CASE("sched_schedstats only looks: all other events are the same with 0 and 1") {
  for (u64 seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    std::vector<std::string> seen;
    for (const u64 on : {u64{0}, u64{1}}) {
      Random r{seed};
      ScriptMachine m("rpi-4.19-arm64", static_cast<u32>(r.below(4)) + 1, Ns(r.below(2000)));
      m.set(Tunable::sched_schedstats, on);
      random_programs(m, r);
      m.run();
      std::string text;
      for (const TraceEvent& e : m.events) {
        if (e.id == Tp::sched_stat_wait || e.id == Tp::sched_stat_sleep || e.id == Tp::sched_stat_blocked) continue;
        text += std::to_string(e.ts.v) + ' ' + std::to_string(static_cast<u32>(e.id)) + ' ' + std::to_string(e.args[1]) + '\n';
      }
      seen.push_back(std::move(text));
    }
    CHECK(seen[0] == seen[1]);
  }
}

TEST_CASE("timer_migration: sleepers arm their timers themselves, on a busy CPU: without quotas 0 and 1 are the same run") {
  for (u64 seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    std::vector<std::string> seen;
    for (const u64 on : {u64{0}, u64{1}}) {
      Random r{seed};
      ScriptMachine m("rpi-4.19-arm64", 4, Ns(r.below(2000)));
      m.set(Tunable::timer_migration, on);
      random_programs(m, r);
      m.run();
      std::string text;
      for (const TraceEvent& e : m.events)
        text += std::to_string(e.ts.v) + ' ' + std::to_string(e.cpu.v) + ' ' + std::to_string(static_cast<u32>(e.id)) + '\n';
      seen.push_back(std::move(text));
    }
    CHECK(seen[0].size() > 1000);
    CHECK(seen[0] == seen[1]);
  }
}

TEST_SUITE_END();
