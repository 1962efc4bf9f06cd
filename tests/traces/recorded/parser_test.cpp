// The parser on single lines of both layouts.
#include <doctest/doctest.h>

#include "tests/traces/phases.hpp"
#include "tests/traces/trace_text.hpp"

using namespace forksim::traces;

TEST_SUITE("traces") {
  TEST_CASE("a line of trace-cmd report -t -N") {
    const auto t = parse_trace("cpus=4\n             rec-149   [002]     4.876229680: sys_enter:            NR 220 (1200011, 0)\n",
                               StateLetters::sane);
    REQUIRE(t.events.size() == 1);
    CHECK(t.events[0].comm == "rec");
    CHECK(t.events[0].pid == 149);
    CHECK(t.events[0].cpu == 2);
    CHECK(t.events[0].ns == 4876229680);
    CHECK(t.events[0].name == "sys_enter");
    CHECK(t.events[0].body == "NR 220 (1200011, 0)");
  }

  TEST_CASE("lines of tracefs: comments, flags, microseconds, thread group") {
    const auto t = parse_trace(
        "# tracer: nop\n#\n"
        "          <idle>-0     [003] d.h1     4.876261: sched_wakeup: comm=a b pid=7 prio=120 target_cpu=003\n"
        "   kworker/0:1H-12    (  12) [000] ....     1.000001: tracing_mark_write: a1: child exits\n",
        StateLetters::sane);
    CHECK(t.bad_lines.empty());
    REQUIRE(t.events.size() == 2);
    CHECK(t.events[0].comm == "<idle>");
    CHECK(t.events[0].ns == 4876261000);
    CHECK(field(t.events[0].body, "comm") == "a b");
    CHECK(number(t.events[0].body, "target_cpu") == 3);
    CHECK(t.events[1].comm == "kworker/0:1H");
    CHECK(t.events[1].pid == 12);
    CHECK(t.events[1].name == "print");
    CHECK(t.events[1].body == "a1: child exits");
  }

  TEST_CASE("digits behind the ninth are cut off") {
    const auto t = parse_trace("  x-1 [000] d..2 1.0000000015: sched_waking: a\n", StateLetters::sane);
    REQUIRE(t.events.size() == 1);
    CHECK(t.events[0].ns == 1000000001);
  }

  TEST_CASE("names with blanks, dashes and brackets do not confuse the line or the fields") {
    const auto t = parse_trace(
        "  odd [1] x-y-33    [001] ....  0.5: sched_switch: prev_comm=odd [1] x-y prev_pid=33 prev_prio=120 prev_state=R+ ==> "
        "next_comm=a==>b next_pid=0 next_prio=120\n",
        StateLetters::sane);
    REQUIRE(t.events.size() == 1);
    CHECK(t.events[0].comm == "odd [1] x-y");
    CHECK(t.events[0].pid == 33);
    CHECK(t.events[0].ns == 500000000);
    CHECK(field(t.events[0].body, "prev_state") == "R+");
    CHECK(field(t.events[0].body, "next_comm") == "a==>b");
    CHECK(field(t.events[0].body, "nothing") == std::nullopt);
  }

  TEST_CASE("marks lose the kernel symbol that precedes them in a report, and nothing else") {
    const auto t = parse_trace(
        "  x-1 [0] 1.0: print: wake_up_all_idle_cpus: a1: b\n"
        "  x-1 [0] 1.0: print: tracing_mark_write: a1: b\n"
        "  x-1 [0] 1.0: print: a1: b\n",
        StateLetters::sane);
    REQUIRE(t.events.size() == 3);
    for (const Event& e : t.events) CHECK(e.body == "a1: b");
  }

  TEST_CASE("the letters of 4.19.0 are put right, sane ones are kept") {
    const std::string head = "  x-1 [0] 1.0: sched_switch: prev_comm=x prev_pid=1 prev_prio=120 prev_state=",
                      tail = " ==> next_comm=y next_pid=2 next_prio=120\n";
    const std::pair<const char*, const char*> letters[] = {{"S", "R"}, {"D", "S"}, {"T", "D"},  {"t", "T"},
                                                           {"Z", "X"}, {"P", "Z"}, {"R+", "R+"}};
    for (const auto& [shown, meant] : letters) {
      CHECK(field(parse_trace(head + shown + tail, StateLetters::linux_4_19_0).events.at(0).body, "prev_state") == meant);
      CHECK(field(parse_trace(head + shown + tail, StateLetters::sane).events.at(0).body, "prev_state") == shown);
    }
  }

  TEST_CASE("a line that is no event is reported with its number") {
    const auto t = parse_trace("# fine\nnonsense\n  x-1 [0] 1.0 sched_switch\n", StateLetters::sane);
    CHECK(t.events.empty());
    REQUIRE(t.bad_lines.size() == 2);
    CHECK(t.bad_lines[0] == "line 2: nonsense");
  }

  TEST_CASE("marks by two tasks are no phases") {
    CHECK_THROWS(reduce(parse_trace("  x-1 [0] 1.0: print: a\n  y-2 [0] 1.0: print: b\n", StateLetters::sane).events));
  }

  TEST_CASE("a parent that reaps while its child switches away for the last time is recognised") {
    const auto child_switch = [](const std::string& between) {
      const std::string text =
          "  p-1 [000] 1.1: print: m\n  p-1 [000] 1.2: task_newtask: pid=2 comm=p clone_flags=1200011 oom_score_adj=0\n"
          "  p-1 [000] 1.3: sys_enter: NR 260 (2, 0)\n" +
          between +
          "  p-2 [001] 1.5: sched_switch: prev_comm=p prev_pid=2 prev_prio=120 prev_state=X ==> next_comm=swapper/1 next_pid=0 "
          "next_prio=120\n"
          "  p-1 [000] 1.6: release_task: pid=2\n";
      return reduce(parse_trace(text, StateLetters::sane).events).at(0).steps.back().reaped_early;
    };
    CHECK(child_switch(""));
    CHECK_FALSE(child_switch("  p-1 [000] 1.4: sys_exit: NR 260 = 0\n"));
    CHECK_FALSE(
        child_switch("  p-1 [000] 1.4: sched_switch: prev_comm=p prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=swapper/0 next_pid=0 "
                     "next_prio=120\n"));
  }
}
