#include <doctest/doctest.h>

#include <array>
#include <random>

#include "sim/metrics/run_metrics.hpp"
#include "tests/unit/sim/metrics/fake_stream.hpp"

TEST_SUITE_BEGIN("sim/metrics");

using namespace forksim;
using km::Tp;
using km::u32;
using km::u64;
using test::FakeStream;

namespace {

/// A scheduler of dice: tasks 1..n sleep, wait or run; it keeps its own sums in the plainest way, one nanosecond interval at a time.
class Dice {
 public:
  Dice(FakeStream& s, u32 cpus, int tasks, unsigned seed)
      : s_(s), random_(seed), running_(cpus, 0), state_(static_cast<std::size_t>(tasks) + 1) {}

  void play(int steps) {
    for (int i = 0; i < steps; ++i) {
      advance(1 + random_() % 1000);
      const auto cpu = static_cast<u32>(random_() % running_.size());
      if (random_() % 3 == 0)
        wake(cpu);
      else
        reschedule(cpu);
    }
    advance(10);
    for (u32 c = 0; c < running_.size(); ++c) switch_to(c, 0, 'S');
  }
  u64 now = 0, ran = 0, waited = 0, slices = 0, starts_after_wait = 0;

 private:
  enum class State { sleeping, waiting, running };

  void advance(u64 ns) {
    now += ns;
    for (State t : state_)
      if (t == State::running) ran += ns;
  }
  void wake(u32 cpu) {
    const int pid = 1 + static_cast<int>(random_() % (state_.size() - 1));
    if (state_[pid] != State::sleeping) return;
    s_.wake(now, cpu, running_[cpu], Tp::sched_waking, pid, cpu);
    s_.wake(now, cpu, running_[cpu], Tp::sched_wakeup, pid, cpu);
    state_[pid] = State::waiting;
    since_[pid] = now;
  }
  void reschedule(u32 cpu) {
    int next = 0;
    for (std::size_t i = 0, at = random_(); i < state_.size(); ++i) {
      const auto pid = static_cast<int>((at + i) % state_.size());
      if (pid != 0 && state_[pid] == State::waiting) next = pid;
    }
    if (next == 0 && running_[cpu] == 0) return;
    switch_to(cpu, next, random_() % 2 ? 'R' : 'S');
  }
  void switch_to(u32 cpu, int next, char prev_state) {
    const int prev = running_[cpu];
    if (prev == next) return;
    s_.sw(now, cpu, prev, prev_state, next, prev_state == 'R');
    if (prev != 0) {
      ++slices;
      state_[prev] = prev_state == 'R' ? State::waiting : State::sleeping;
      since_[prev] = now;
    }
    if (next != 0) {
      ++starts_after_wait;
      waited += now - since_[next];
      state_[next] = State::running;
    }
    running_[cpu] = next;
  }

  FakeStream& s_;
  std::mt19937 random_;
  std::vector<int> running_;
  std::vector<State> state_;
  std::array<u64, 64> since_{};
};

}  // namespace

TEST_CASE("listeners: on random machines they agree with plain bookkeeping and find nothing wrong") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    FakeStream s;
    const u32 cpus = 1 + seed % 8;
    RunMetrics m(cpus);
    m.subscribe(s.trace);
    Dice dice(s, cpus, 2 + static_cast<int>(seed % 30), seed);
    dice.play(2000);
    m.schedule.finish(km::Ns(dice.now));

    CHECK(m.invariants.violated() == 0);
    CHECK(m.latency.histogram(Metric::timeslice).sum() == dice.ran);
    CHECK(m.latency.histogram(Metric::timeslice).count() == dice.slices);
    u64 delays = 0, total = 0, rows = 0, in_rows = 0;
    for (const TaskRecord& t : m.tasks.records()) {
      delays += t.delays;
      total += t.total_delay.v;
    }
    CHECK(delays == dice.starts_after_wait);
    CHECK(total == dice.waited);
    for (const ScheduleRecord& r : m.schedule.records()) {
      ++rows;
      in_rows += (r.end - r.start).v;
    }
    CHECK(rows == dice.slices);
    CHECK(in_rows == dice.ran);
  }
}

TEST_SUITE_END();
