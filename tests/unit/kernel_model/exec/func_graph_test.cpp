// Functions as spans of steps: their time, sleeps inside them, interrupts on top of them.
#include "kernel_model/exec/func_graph.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

namespace {

struct Call {
  Fn fn;
  u64 depth, from, to;  ///< to 0: never left
};

/// Calls of one task in order of their entry.
std::vector<Call> calls_of(const ScriptMachine& m, s32 pid) {
  std::vector<Call> out;
  std::vector<std::size_t> open;
  for (const TraceEvent& e : m.events) {
    if (e.pid.v != pid) continue;
    if (e.id == Tp::funcgraph_entry) {
      open.push_back(out.size());
      out.push_back({static_cast<Fn>(e.args[0]), e.args[1], e.ts.v, 0});
    } else if (e.id == Tp::funcgraph_exit && !open.empty()) {
      out[open.back()].to = e.ts.v;
      open.pop_back();
    }
  }
  return out;
}

const Call& first(const std::vector<Call>& calls, Fn f) {
  const auto at = std::ranges::find(calls, f, &Call::fn);
  REQUIRE(at != calls.end());
  return *at;
}

constexpr s32 kForker = kFirstPid, kForked = kFirstPid + 1;

/// A process that forks a child which exits at once, and waits for it. Every cost row is 1 us.
void fork_and_wait(ScriptMachine& m) {
  m.shape = ProcessShape{};
  m.shape.vmas = m.shape.pgtable_pages = 1;
  m.shape.anon_pages = m.shape.fds = 0;
  const u32 child = m.add_list({exit_op(3)});
  m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op(), exit_op(0)}));
  m.run();
}

}  // namespace

TEST_SUITE("kernel_model/exec") {
  TEST_CASE("a function takes the time of the steps it spans") {
    ScriptMachine m;
    fork_and_wait(m);
    const auto calls = calls_of(m, kForker);
    // dup_task_struct, copy_creds, sched_fork, copy_files, copy_fs, copy_sighand, copy_signal, copy_mm with one area and one table page
    // (3), copy_namespaces, copy_thread, alloc_pid, copy_process_rest
    const Call& copy = first(calls, Fn::copy_process);
    CHECK(copy.to - copy.from == 14'000);
    const Call& mm = first(calls, Fn::copy_mm);
    CHECK(mm.to - mm.from == 3'000);
    CHECK(first(calls, Fn::copy_page_range).depth == mm.depth + 2);
    // wake_up_new_task, enqueue_task, check_preempt and, inside, select_task_rq_fork
    const Call& wake = first(calls, Fn::wake_up_new_task);
    CHECK(wake.to - wake.from == 4'000);
    const Call& fork = first(calls, Fn::_do_fork);
    CHECK(fork.to - fork.from == 18'000);
    CHECK(std::ranges::count(calls, Fn::attach_pid, &Call::fn) == 4);
  }

  TEST_CASE("a sleeper comes back into the function it slept in, and a dead task never leaves do_exit") {
    ScriptMachine m;
    fork_and_wait(m);
    const auto parent = calls_of(m, kForker), child = calls_of(m, kForked);
    const Call &sleep = first(parent, Fn::schedule), &wait = first(parent, Fn::do_wait);
    CHECK(sleep.depth == wait.depth + 1);
    CHECK(wait.from < sleep.from);
    CHECK(sleep.to < wait.to);
    // the child's whole end lies inside the parent's sleep
    CHECK(sleep.from < first(child, Fn::exit_mm).from);
    CHECK(first(child, Fn::exit_mm).to < sleep.to);
    CHECK(first(child, Fn::do_exit).to == 0);
    CHECK(first(child, Fn::do_task_dead).to == 0);
    CHECK(first(child, Fn::schedule_tail).depth == 0);
  }

  TEST_CASE("a tick in the middle of a step lies inside the function that the step pays for, which ends later by that much") {
    ScriptMachine m;
    m.config().costs.ns[static_cast<std::size_t>(Phase::copy_creds)] = Ns(6'000'000);
    fork_and_wait(m);
    const auto calls = calls_of(m, kForker);
    const Call &creds = first(calls, Fn::copy_creds), &irq = first(calls, Fn::gic_handle_irq);
    CHECK(irq.depth == creds.depth + 1);
    CHECK(creds.from < irq.from);
    CHECK(irq.to < creds.to);
    CHECK(first(calls, Fn::scheduler_tick).depth > irq.depth);
    u64 interrupted = 0;
    for (const Call& c : calls)
      if (c.fn == Fn::gic_handle_irq && c.from > creds.from && c.to < creds.to) interrupted += c.to - c.from;
    // with what sched_fork does before it takes the run queue's lock: 1000 - 1000 * 543 / 1047 = 482 ns
    CHECK(creds.to - creds.from == 6'000'482 + interrupted);
  }

  TEST_CASE("who does not listen changes nothing: the other events are the same") {
    ScriptMachine with;
    fork_and_wait(with);
    std::vector<TraceEvent> rest;
    for (const TraceEvent& e : with.events)
      if (e.id != Tp::funcgraph_entry && e.id != Tp::funcgraph_exit) rest.push_back(e);
    ScriptMachine without;
    without.listen_to(
        TpSet().set().reset(static_cast<std::size_t>(Tp::funcgraph_entry)).reset(static_cast<std::size_t>(Tp::funcgraph_exit)));
    fork_and_wait(without);
    REQUIRE(without.events.size() == rest.size());
    for (std::size_t i = 0; i < rest.size(); ++i) {
      CHECK(without.events[i].ts == rest[i].ts);
      CHECK(without.events[i].id == rest[i].id);
      CHECK(without.events[i].args == rest[i].args);
    }
  }
}
