// What a task pays in user mode before its first operation after exec.
#include <doctest/doctest.h>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

/// Of a task that execs from CPU 0, which it shares, to CPU 1: from exec to the end of 100 us of its own, when exec comes `at`.
Ns exec_to_mark(Ns at) {
  ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
  m.config().costs.ns[static_cast<std::size_t>(Phase::cache_refill_per_kib)] = 1_us;
  m.config().costs.ns[static_cast<std::size_t>(Phase::exec_user_startup)] = 500_us;
  m.shape.working_set_kib = 64;
  m.set(Tunable::timer_slack_ns, 0);
  static constexpr CpuMask kFirst = CpuMask::of(CpuId(0)), kBoth = CpuMask::first_n(2);
  const ExecSpec exec{"/bin/new", &m.shape, m.add_list({run_op(100_us), {.kind = OpKind::mark, .name = "done"}})};
  m.start(m.add_list({run_op(20_ms)}), 1_ms, &kFirst);
  m.start(m.add_list(
              {{.kind = OpKind::sleep_until, .ns = at}, {.kind = OpKind::affinity, .mask = &kBoth}, {.kind = OpKind::exec, .exec = &exec}}),
          1_ms, &kFirst);
  m.run();
  const auto execs = m.of(Tp::sched_process_exec);
  REQUIRE(execs.size() == 1);
  CHECK(execs[0].cpu == CpuId(1));
  const auto marks = m.of(Tp::print);
  REQUIRE(marks.size() == 1);
  return marks[0].ts - execs[0].ts;
}

}  // namespace

TEST_SUITE("kernel_model/process/exec") {
  TEST_CASE("the refill of the new CPU's cache and the program's start-up come before its first operation, interrupted or not") {
    // 64 + 500 + 100 us; a tick, which takes no time here, falls into nothing, into the refill, into the start-up.
    for (const Ns at : {5_ms, 7'960_us, 7'600_us}) CHECK(exec_to_mark(at) == 664_us);
  }
}
