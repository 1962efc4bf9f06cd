#include <doctest/doctest.h>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

TEST_SUITE("kernel_model/process") {
  TEST_CASE("fork: parent and child exit, everything is freed and every ns is accounted") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(1_ms), exit_op(3)});
    m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op(), exit_op(0)}));
    m.run();
    const Totals& t = m.kernel().totals();
    CHECK(t.forks == 2);
    CHECK(t.exits == 2);
    CHECK(t.stacks_allocated == t.stacks_freed);
    CHECK(t.task_structs_allocated == t.task_structs_freed);
    const Alive a = m.kernel().alive();
    CHECK(a.stacks + a.task_structs + a.mms + a.files + a.fs + a.sighands + a.signals + a.pids == 0);
    for (u32 c = 0; c < 4; ++c) {
      const CpuTimes x = m.kernel().cpu_times(CpuId(c));
      CHECK((x.user + x.system + x.irq + x.idle) == m.kernel().now());
    }
  }
}
