#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <sstream>

#include "sim/output/ftrace_writer.hpp"
#include "tests/unit/sim/output/sample_run.hpp"

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
using km::Tp;
using test::FakeStream;

namespace {

std::string line_of(const FakeStream& s, const km::TraceEvent& e) {
  std::string out;
  EventText(s.trace.names()).append_line(e, out);
  return out;
}

km::TraceEvent switch_event(FakeStream& s) {
  km::TraceEvent e{};
  e.ts = km::Ns(4'876'270'992);
  e.id = Tp::sched_switch;
  e.cpu = km::CpuId(2);
  e.pid = km::Pid(149);
  e.comm = km::NameId(static_cast<km::u32>(s.name("my rec")));
  e.flags = km::TraceFlags::kIrqsOff | km::TraceFlags::kNeedResched;
  e.preempt_depth = 2;
  e.args = {s.name("my rec"), 149, 120, 'R' | km::TaskStateChar::kPreempted, s.name("swapper/2"), 0, 120, 0};
  return e;
}

}  // namespace

TEST_CASE("ftrace: a line has trace-cmd's columns, the latency flags, nine digits and a five, and no blank in a comm") {
  FakeStream s;
  km::TraceEvent e = switch_event(s);
  CHECK(line_of(s, e) ==
        "          my_rec-149   [002] dN.2     4.8762709925: sched_switch:         prev_comm=my_rec prev_pid=149 prev_prio=120 "
        "prev_state=R+ ==> "
        "next_comm=swapper/2 next_pid=0 next_prio=120\n");
  e.pid = km::Pid(0);
  e.flags = km::TraceFlags::kHardirq | km::TraceFlags::kSoftirq;
  e.preempt_depth = 0;
  CHECK(line_of(s, e).starts_with("          <idle>-0     [002] ..H.     4.8762709925: sched_switch: "));
}

TEST_CASE("ftrace: fields print as the kernel prints them") {
  FakeStream s;
  const auto fields = [&](Tp id, std::initializer_list<km::u64> args) {
    km::TraceEvent e{};
    e.id = id;
    std::size_t i = 0;
    for (km::u64 a : args) e.args[i++] = a;
    std::string out;
    EventText(s.trace.names()).append_fields(e, out);
    return out;
  };
  CHECK(fields(Tp::sched_waking, {s.name("rec"), 150, 120, 3}) == "comm=rec pid=150 prio=120 target_cpu=003");
  CHECK(fields(Tp::task_newtask, {150, s.name("rec"), 0x1200011, 0}) == "pid=150 comm=rec clone_flags=1200011 oom_score_adj=0");
  CHECK(fields(Tp::sys_exit, {260, static_cast<km::u64>(-10)}) == "NR 260 = -10");
  CHECK(fields(Tp::sys_enter, {220, 0x1200011, 0, 0, 0x4b80d0, 0, 0}) == "NR 220 (1200011, 0, 0, 4b80d0, 0, 0)");
  CHECK(fields(Tp::ipi_raise, {3, s.name("Rescheduling interrupts")}) == "target_mask=00000000,00000008 (Rescheduling interrupts)");
  CHECK(fields(Tp::ipi_raise, {32, s.name("Rescheduling interrupts")}) == "target_mask=00000001,00000000 (Rescheduling interrupts)");
  CHECK(fields(Tp::ipi_raise, {100, s.name("r")}) == "target_mask=00000010,00000000,00000000,00000000 (r)");
  CHECK(fields(Tp::irq_handler_exit, {3, 1}) == "irq=3 ret=handled");
  CHECK(fields(Tp::sched_stat_runtime, {s.name("rec"), 149, 20016, 3698688}) ==
        "comm=rec pid=149 runtime=20016 [ns] vruntime=3698688 [ns]");
  CHECK(fields(Tp::print, {s.name("a1: child exits")}) == "tracing_mark_write: a1: child exits");
}

TEST_CASE("ftrace: every line of a file matches the expressions by which Perfetto takes text apart") {
  const auto file = std::filesystem::temp_directory_path() / ("forksim-ftrace-" + std::to_string(getpid()));
  FakeStream s;
  FtraceWriter w(file, s.trace.names(), 2);
  s.trace.subscribe(w, FtraceWriter::events());
  s.sw(0, 0, 0, 'R', 10);
  s.newtask(1'000'000'123, 0, 10, 11);
  s.place(1'000'000'200, 0, 10, 0, 11, 0, 1, 0b10);
  for (km::u64 i = 0; i < FtraceWriter::kBatch; ++i) s.wake(2'000'000'000 + i, 1, 0, Tp::sched_waking, 11, 1);
  w.close();
  CHECK(w.lines() == FtraceWriter::kBatch + 3);

  // Perfetto's line expression of 2020 and of 2026.
  const std::regex older(R"(-(\d+)\s+\(?\s*(\d+|-+)?\)?\s?\[(\d+)\]\s*[a-zA-Z0-9.]{0,4}\s+(\d+\.\d+):\s+(\S+):)");
  const std::regex newer(R"(-(\d+)\s+\(?\s*(\d+|-+)?\)?\s?\[(\d+)\]\s*([a-zA-Z.]{3}[0-9a-f.]{1,2}\s*)?(\d+\.\d+):\s+(\S+):)");
  std::istringstream in(read_file(file));
  std::filesystem::remove(file);
  std::string line;
  std::getline(in, line);
  CHECK(line == "# tracer: nop");
  std::size_t lines = 0, wrong_ns = 0;
  while (std::getline(in, line)) {
    if (line.starts_with('#')) continue;
    std::smatch a, b;
    REQUIRE(std::regex_search(line, a, older));
    REQUIRE(std::regex_search(line, b, newer));
    REQUIRE(b[3] == a[3]);
    REQUIRE(b[6] == a[5]);
    // Perfetto reads seconds as a double, multiplies by 1e9 and cuts off.
    const auto ns = static_cast<km::u64>(std::stod(b[5].str()) * 1e9);
    const km::u64 truth = lines < 1 ? 0 : lines < 2 ? 1'000'000'123 : lines < 3 ? 1'000'000'200 : 2'000'000'000 + lines - 3;
    if (ns != truth) ++wrong_ns;
    ++lines;
  }
  CHECK(lines == FtraceWriter::kBatch + 3);
  CHECK(wrong_ns == 0);
}

TEST_CASE("ftrace: other formats are refused by name") {
  CHECK(check_trace_formats({"ftrace"}).empty());
  CHECK(check_trace_formats({"ftrace", "perfetto"}) == "perfetto: not in this version; allowed: ftrace, function_graph");
  CHECK(check_trace_formats({"ftarce"}) == "ftarce: no such trace format; allowed: ftrace, function_graph");
}

TEST_SUITE_END();
