// Selection of tracepoints by pattern.
#include "sim/output/event_filter.hpp"

#include <doctest/doctest.h>

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
using km::Tp;

namespace {
bool has(const EventFilter& f, Tp id) { return f.events[static_cast<std::size_t>(id)]; }
}  // namespace

TEST_CASE("trace.events: patterns on system:name, a system alone, a name alone") {
  const EventFilter f = parse_event_filter("sched:sched_process_*,signal,task_rename");
  CHECK(f.wrong.empty());
  CHECK(has(f, Tp::sched_process_fork));
  CHECK(has(f, Tp::sched_process_exit));
  CHECK_FALSE(has(f, Tp::sched_switch));
  CHECK(has(f, Tp::signal_generate));
  CHECK(has(f, Tp::signal_deliver));
  CHECK(has(f, Tp::task_rename));
  CHECK_FALSE(has(f, Tp::task_newtask));
  CHECK(parse_event_filter("*:*").events.all());
  CHECK(parse_event_filter("*").events.all());
}

TEST_CASE("trace.events: every pattern that matches nothing is refused with what is allowed and a hint") {
  const EventFilter f = parse_event_filter("sched:sched_swich,sched:*,nonsense:*,");
  REQUIRE(f.wrong.size() == 3);
  CHECK(f.wrong[0].pattern == "sched:sched_swich");
  CHECK(f.wrong[0].hint.find("sched:sched_switch") != std::string::npos);
  CHECK(f.wrong[0].allowed.find("sched, task, signal") != std::string::npos);
  CHECK(f.wrong[1].pattern == "nonsense:*");
  CHECK(f.wrong[2].pattern.empty());
  CHECK(has(f, Tp::sched_switch));
}

TEST_SUITE_END();
