// CONFIG_PREEMPT, CONFIG_PREEMPT_VOLUNTARY and CONFIG_PREEMPT_NONE; CONFIG_VMAP_STACK.
#include <doctest/doctest.h>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

/// One CPU: a FIFO task wakes 50 us after the other one has begun `call`, in which `phase` takes 100 us. How long does it wait?
Ns wait_of(PreemptModel model, Phase phase, OpKind call) {
  ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
  m.config().profile.preempt = model;
  m.config().profile.autogroup = false;
  m.set(Tunable::timer_slack_ns, 0);
  m.config().costs.ns[static_cast<std::size_t>(phase)] = 100_us;
  const Op fifo{.kind = OpKind::setscheduler, .arg = 1, .count = 10};
  m.start(m.add_list({fifo, sleep_op(2'050_us), run_op(1_us)}), 4_ms);
  const ForkSpec* spec = m.fork_spec(m.add_list({}));
  m.start(m.add_list({run_op(1_ms), {.kind = call, .fork = call == OpKind::fork ? spec : nullptr}, run_op(1_ms)}), 5_ms);
  m.run(20_ms);
  for (const TraceEvent& e : m.of(Tp::sched_switch))
    if (e.ts >= 6'050_us) return e.ts - 6'050_us;
  return kNever;
}

constexpr PreemptModel kAll[] = {PreemptModel::none, PreemptModel::voluntary, PreemptModel::full};

}  // namespace

TEST_SUITE("kernel_model/process/preempt") {
  TEST_CASE("in a call that neither sleeps nor asks, only PREEMPT gives the CPU away before its end") {
    const Ns expected[] = {50_us, 50_us, 0_us};
    for (PreemptModel model : kAll) {
      CAPTURE(kPreemptModelNames[static_cast<std::size_t>(model)]);
      CHECK(wait_of(model, Phase::sys_misc, OpKind::pdeath_signal).v == expected[static_cast<std::size_t>(model)].v);
    }
  }

  TEST_CASE("where a fork allocates with GFP_KERNEL, VOLUNTARY may give the CPU away and NONE may not") {
    // copy_fs takes 100 us; the next function that calls cond_resched, copy_pte_range, follows it at once
    const Ns expected[] = {50_us, 0_us, 0_us};
    for (PreemptModel model : kAll) {
      CAPTURE(kPreemptModelNames[static_cast<std::size_t>(model)]);
      CHECK(wait_of(model, Phase::copy_fs, OpKind::fork).v == expected[static_cast<std::size_t>(model)].v);
    }
  }

  TEST_CASE("where a fork copies page tables it calls cond_resched: all three give the CPU away") {
    for (PreemptModel model : kAll) {
      CAPTURE(kPreemptModelNames[static_cast<std::size_t>(model)]);
      CHECK(wait_of(model, Phase::copy_mm, OpKind::fork).v == 0);
    }
  }

  TEST_CASE("only CONFIG_PREEMPT counts spin locks in preempt_count") {
    for (PreemptModel model : kAll) {
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.config().profile.preempt = model;
      m.start(m.add_list({sleep_op(1_ms)}));
      m.run();
      u8 deepest = 0;
      for (const TraceEvent& e : m.of(Tp::sched_waking)) deepest = std::max(deepest, static_cast<u8>(e.preempt_depth & 0xf));
      CHECK((deepest > 0) == (model == PreemptModel::full));
    }
  }

  TEST_CASE("VMAP_STACK: two stacks per CPU are kept from the dead, without it a stack costs its pages and goes with the task_struct") {
    // One CPU, three children one after the other. With the cache: boot has left it full, so the first fork takes one, each exit gives
    // one back, each further fork takes it. A stack from the cache takes no vmalloc, so the pages' row is never paid.
    for (const bool vmap : {true, false}) {
      CAPTURE(vmap);
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      m.config().profile.vmap_stack = vmap;
      m.config().costs.ns[static_cast<std::size_t>(Phase::stack_alloc_pages)] = 10_us;
      const u32 child = m.add_list({});
      const ForkSpec* spec = m.fork_spec(child);
      m.start(m.add_list({fork_op(spec), wait_op(), fork_op(spec), wait_op(), fork_op(spec), wait_op()}));
      m.run();
      CHECK(m.kernel().totals().stack_cache_hits == (vmap ? 3u : 0u));
      CHECK(m.kernel().cpu_times(CpuId(0)).system == (vmap ? 0_us : 30_us));
      const auto stacks = m.of(Tp::stack_free), structs = m.of(Tp::task_struct_free);
      REQUIRE(stacks.size() == 4);
      REQUIRE(structs.size() == 4);
      // with it the stack is free at the last switch, the task_struct a grace period after the reaping
      for (std::size_t i = 0; i < 4; ++i) CHECK((stacks[i].ts == structs[i].ts) == !vmap);
    }
  }
}
