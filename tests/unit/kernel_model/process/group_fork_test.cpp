// A child inherits its parent's task group before it is placed: START_DEBIT is a slice of the group, not of the root.
#include <doctest/doctest.h>

#include "kernel_model/core.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

TEST_SUITE("kernel_model/process") {
  TEST_CASE("fork in an autogroup: the child starts one slice of its parent's group to the right") {
    // One CPU, latency 6 ms. The group runs the parent and a hog; with the child three tasks share 6 ms:
    // 6000000 * 1024 * floor((2^32 - 1) / 3072) >> 32 = 1999999; the group is alone on the CPU:
    // 1999999 * 1024 * floor((2^32 - 1) / 1024) >> 32 = 1999998. At the root it would be half of 6 ms.
    ScriptMachine m("rpi-4.19-arm64", 1);
    const u32 hog = m.add_list({run_op(50_ms)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(hog)), fork_op(m.fork_spec(hog)), wait_op(), wait_op()});
    Trace trace;
    Core k(m.config(), m, m, trace);
    k.start({"test", &m.shape, m.user_of(parent), 0_ns});
    constexpr Pid kSecondChild(7);  // after init, kthreadd, migration/0, kworker/0:0, the parent and the first
    for (Ns now = 0_ns; !k.find_task(kSecondChild) && now < 20_ms; now += 100_ns) k.advance(now);
    const Task* child = k.find_task(kSecondChild);
    REQUIRE(child);
    CHECK(child->state == TASK_NEW);
    CHECK(child->se.cfs_rq->nr_running == 2);
    CHECK(child->se.vruntime.v == 1999998);
  }
}
