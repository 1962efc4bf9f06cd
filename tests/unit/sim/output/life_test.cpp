// A life told event by event, written to life.csv, read back, and seen as a process table and as phases.
#include <doctest/doctest.h>

#include "sim/output/csv.hpp"
#include "sim/output/explain.hpp"
#include "sim/output/process_table.hpp"
#include "sim/output/row_sources.hpp"
#include "tests/unit/sim/metrics/fake_stream.hpp"

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
using km::Ns;
using km::Pid;
using km::Tp;
using km::u64;
using test::FakeStream;

namespace {

constexpr u64 kClone = 220, kWait4 = 260;

struct Told {
  FakeStream s;
  LifeListener l;

  explicit Told(km::u32 limit = LifeListener::kDefaultLimit) : l(limit) {
    s.trace.subscribe(l, LifeListener::events());
    boot(1, 0, "init", 'S', 120);
    boot(2, 0, "kthreadd", 'S', 120);
    boot(3, 2, "migration/0", 'S', 0);
  }
  void boot(int pid, int ppid, const char* comm, char state, int prio) {
    km::TaskView t{};
    t.pid = t.tgid = Pid(pid);
    t.ppid = Pid(ppid);
    t.comm = km::NameId(static_cast<km::u32>(s.name(comm)));
    t.state = state;
    t.prio = prio;
    l.describe(t);
  }
  void start(u64 ts, int pid) {
    s.newtask(ts, 0, 0, pid, 0x11);
    s.emit(ts, 0, 0, Tp::sched_process_fork, {s.name("init"), 1, s.comm(pid), static_cast<u64>(pid)});
    s.emit(ts, 0, 0, Tp::task_attr, {static_cast<u64>(pid), 120, static_cast<u64>(pid), static_cast<u64>(pid)});
  }
  void call(u64 ts, km::u32 cpu, int pid, u64 nr) { s.emit(ts, cpu, pid, Tp::sys_enter, {nr, 0, 0}); }
  void back(u64 ts, km::u32 cpu, int pid, u64 nr) { s.emit(ts, cpu, pid, Tp::sys_exit, {nr, 0}); }
  /// update_curr: `ns` more of CPU time.
  void spend(u64 ts, km::u32 cpu, int pid, u64 ns) {
    s.emit(ts, cpu, pid, Tp::sched_stat_runtime, {s.comm(pid), static_cast<u64>(pid), ns, 0});
  }
  std::string csv() {
    std::string text;
    append_csv_header<LifeRow>(text);
    for (const LifeRecord& r : l.records()) append_csv_row(life_row(r, s.trace.names()), text);
    append_csv_row(life_end_row(l), text);
    return text;
  }
  Life life(u64 end) {
    l.finish(Ns(end));
    return parse_life(csv(), "life.csv");
  }

  /// 10 is started, forks 11 and waits; 11 becomes whoami, is preempted by kthreadd, exits with 3, is reaped and freed.
  void whole_life() {
    start(1'000, 10);
    s.wake(2'000, 0, 0, Tp::sched_wakeup_new, 10, 1);
    s.sw(3'000, 1, 0, 'R', 10);
    call(9'000, 1, 10, kClone);
    s.newtask(10'000, 1, 10, 11);
    s.emit(10'500, 1, 10, Tp::sched_process_fork, {s.comm(10), 10, s.comm(11), 11});
    s.wake(12'000, 1, 10, Tp::sched_wakeup_new, 11, 2);
    back(13'000, 1, 10, kClone);
    s.sw(15'000, 2, 0, 'R', 11);
    call(20'000, 1, 10, kWait4);
    s.sw(21'000, 1, 10, 'S', 0);
    s.emit(30'000, 2, 11, Tp::task_rename, {11, s.comm(11), s.name("whoami"), 0});
    s.emit(31'000, 2, 11, Tp::sched_process_exec, {s.name("/usr/bin/whoami"), 11, 11});
    spend(35'000, 2, 11, 19'000);
    spend(39'500, 2, 11, 4'900);
    s.sw(40'000, 2, 11, 'R', 2, true);
    s.sw(47'000, 2, 2, 'S', 11);
    s.mark(50'000, 2, 11, Tp::do_exit, 11, 0x300);
    s.mark(55'000, 2, 11, Tp::exit_notify, 11, 10, 0);
    s.wake(56'000, 2, 11, Tp::sched_waking, 10, 1);
    s.sw(58'000, 2, 11, 'Z', 0);
    s.sw(59'000, 1, 0, 'R', 10);
    s.mark(60'000, 1, 10, Tp::release_task, 11);
    back(61'000, 1, 10, kWait4);
    s.mark(90'000, 0, 0, Tp::task_struct_free, 11);
  }
};

ProcessRow row_at(const Life& life, u64 at, km::s64 pid) {
  for (const ProcessRow& p : processes_at(life, at))
    if (p.pid == pid) return p;
  return {};
}

PhaseRow phase(const TaskLife& life, std::size_t i) { return i < life.phases.size() ? life.phases[i] : PhaseRow{}; }

void check_phase(const TaskLife& life, std::size_t i, u64 start, u64 duration, km::s64 cpu, const std::string& name,
                 const std::string& why) {
  CAPTURE(i);
  const PhaseRow p = phase(life, i);
  CHECK(p.start_ns == start);
  CHECK(p.duration_ns == duration);
  CHECK(p.cpu == cpu);
  CHECK(p.phase == name);
  CHECK(p.why == why);
}

}  // namespace

TEST_CASE("process table: a child is there from task_newtask to release_task, with its parent's session until setsid") {
  Told t;
  t.whole_life();
  const Life life = t.life(100'000);
  CHECK(row_at(life, 9'999, 11).pid == 0);
  const ProcessRow young = row_at(life, 10'000, 11);
  CHECK(young.pid == 11);
  CHECK(young.ppid == 10);
  CHECK(young.pgrp == 10);
  CHECK(young.session == 10);
  CHECK(young.state == 'R');
  CHECK(row_at(life, 59'999, 11).state == 'Z');
  CHECK(row_at(life, 60'000, 11).pid == 0);
  CHECK(row_at(life, 60'000, 10).ppid == 1);
}

TEST_CASE("process table: the name is the parent's command until exec, and CPU time is what update_curr accounted") {
  Told t;
  t.whole_life();
  const Life life = t.life(100'000);
  CHECK(row_at(life, 29'000, 11).comm == "t11");
  CHECK(row_at(life, 29'000, 11).command == "t10");  // nothing was executed yet: the command line is the parent's
  CHECK(row_at(life, 31'000, 11).comm == "whoami");
  CHECK(row_at(life, 31'000, 11).command == "/usr/bin/whoami");
  CHECK(row_at(life, 31'000, 11).cputime == 31'000 - 15'000);
  CHECK(row_at(life, 45'000, 11).cputime == 19'000 + 4'900);
  CHECK(row_at(life, 49'000, 11).cputime == 23'900 + 2'000);
}

TEST_CASE("process table: a sleeper shows where it sleeps, and runs again from sched_waking on") {
  Told t;
  t.whole_life();
  const Life life = t.life(100'000);
  CHECK(row_at(life, 20'500, 10).state == 'R');
  CHECK(row_at(life, 21'000, 10).state == 'S');
  CHECK(row_at(life, 21'000, 10).wchan == "do_wait");
  CHECK(row_at(life, 56'000, 10).state == 'R');
  CHECK(row_at(life, 56'000, 10).wchan.empty());
  CHECK(row_at(life, 0, 3).wchan == "smpboot_thread_fn");
  CHECK(row_at(life, 0, 3).kernel);
  CHECK_FALSE(row_at(life, 0, 1).kernel);
}

TEST_CASE("process table: threads count for their process, also when they are gone, a thread's parent is the process's") {
  Told t;
  FakeStream& s = t.s;
  t.start(0, 10);
  s.sw(100, 0, 0, 'R', 10);
  s.newtask(200, 0, 10, 11, 0x3d0f00);
  s.sw(300, 1, 0, 'R', 11);
  t.spend(790, 1, 11, 480);
  s.sw(800, 1, 11, 'X', 0);
  s.mark(900, 0, 10, Tp::release_task, 11);
  const Life life = t.life(2'000);
  CHECK(row_at(life, 500, 10).threads == 2);
  CHECK(row_at(life, 500, 10).cputime == 400 + 200);
  CHECK(row_at(life, 500, 11).pid == 0);
  CHECK(row_at(life, 1'000, 10).threads == 1);
  CHECK(row_at(life, 1'000, 10).cputime == 900 + 480);
}

TEST_CASE("process table: a pid that is given away before its old owner has left its CPU is the new one's") {
  Told t;
  FakeStream& s = t.s;
  t.start(0, 10);
  s.sw(100, 0, 0, 'R', 10);
  s.newtask(200, 0, 10, 11);
  s.sw(300, 1, 0, 'R', 11);
  t.spend(440, 1, 11, 140);
  s.mark(450, 1, 11, Tp::release_task, 11);
  s.newtask(460, 0, 10, 11);
  s.sw(500, 1, 11, 'X', 0);
  const Life life = t.life(1'000);
  CHECK(row_at(life, 600, 11).state == 'R');
  CHECK(row_at(life, 600, 11).start == 460);
  CHECK(row_at(life, 600, 11).cputime == 0);
}

TEST_CASE("life: a thread that execs goes on under its leader's pid, with the CPU time of both") {
  Told t;
  FakeStream& s = t.s;
  t.start(0, 10);
  s.sw(100, 0, 0, 'R', 10);
  s.newtask(200, 0, 10, 11, 0x3d0f00);
  s.sw(300, 1, 0, 'R', 11);
  t.spend(400, 0, 10, 250);
  s.mark(450, 0, 10, Tp::do_exit, 10, 9);
  s.sw(500, 0, 10, 'Z', 0);
  s.mark(600, 1, 11, Tp::de_thread, 10, 11);
  s.mark(700, 1, 10, Tp::release_task, 10);  // the leader
  s.emit(800, 1, 10, Tp::sched_process_exec, {s.name("/bin/new"), 10, 11});
  s.mark(900, 0, 0, Tp::task_struct_free, 10);  // the leader
  const Life life = t.life(1'000);
  const ProcessRow p = row_at(life, 850, 10);
  CHECK(p.comm == "new");
  CHECK(p.state == 'R');
  CHECK(p.threads == 1);
  CHECK(p.cputime == 250 + 550);
  CHECK(row_at(life, 850, 11).pid == 0);
  const auto leader = explain(life, 10), thread = explain(life, 11);
  REQUIRE(leader.size() == 2);
  CHECK(leader[0].complete);
  CHECK(phase(leader[0], leader[0].phases.size() - 1).phase == "dead until RCU");
  CHECK(phase(leader[0], leader[0].phases.size() - 1).duration_ns == 200);
  CHECK(leader[1].title == "pid 10: until now pid 11 (t11), whose execve took over the process");
  CHECK(phase(leader[1], 0).why == "execs /bin/new; still so where the file ends");
  REQUIRE(thread.size() == 1);
  CHECK(phase(thread[0], 1).why == "goes on as pid 10 by execve");
}

TEST_CASE("process table: an orphan goes to its new parent, setsid and nice show at once") {
  Told t;
  FakeStream& s = t.s;
  t.start(0, 10);
  s.sw(100, 0, 0, 'R', 10);
  s.newtask(200, 0, 10, 11);
  s.emit(300, 1, 11, Tp::task_attr, {11, 125, 11, 11});
  s.mark(400, 0, 10, Tp::reparent, 11, 10, 1);
  const Life life = t.life(1'000);
  CHECK(row_at(life, 250, 11).session == 10);
  CHECK(row_at(life, 250, 11).prio == 120);
  CHECK(row_at(life, 300, 11).session == 11);
  CHECK(row_at(life, 300, 11).pgrp == 11);
  CHECK(row_at(life, 300, 11).prio == 125);
  CHECK(row_at(life, 300, 11).ppid == 10);
  CHECK(row_at(life, 400, 11).ppid == 1);
}

TEST_CASE("life: a wake-up that comes before the sleeper has left its CPU counts from its switch, one that keeps it awake not at all") {
  Told t;
  FakeStream& s = t.s;
  t.start(0, 10);
  s.sw(100, 0, 0, 'R', 10);
  t.call(150, 0, 10, kWait4);
  SUBCASE("the waker spins until the switch") {
    s.wake(200, 1, 0, Tp::sched_waking, 10, 0);
    s.sw(300, 0, 10, 'S', 0);
    CHECK(row_at(t.life(1'000), 300, 10).state == 'R');
  }
  SUBCASE("it is still queued, stays awake, and sleeps later") {
    s.wake(200, 1, 0, Tp::sched_waking, 10, 0);
    s.wake(210, 1, 0, Tp::sched_wakeup, 10, 0);
    s.sw(300, 0, 10, 'S', 0);
    CHECK(row_at(t.life(1'000), 300, 10).state == 'S');
  }
}

TEST_CASE("explain: phases follow each other from birth to free, with CPU and reason") {
  Told t;
  t.whole_life();
  const auto lives = explain(t.life(100'000), 11);
  REQUIRE(lives.size() == 1);
  const TaskLife& life = lives[0];
  CHECK(life.complete);
  CHECK(life.title == "pid 11 (t11): forked by pid 10 (t10), clone flags 0x1200011");
  REQUIRE(life.phases.size() == 8);
  check_phase(life, 0, 10'000, 2'000, 1, "created", "");
  check_phase(life, 1, 12'000, 3'000, 2, "waiting to run", "new on CPU 2");
  check_phase(life, 2, 15'000, 25'000, 2, "running", "is called whoami now; execs /usr/bin/whoami");
  check_phase(life, 3, 40'000, 7'000, 2, "preempted", "in the kernel, by pid 2 (kthreadd); meanwhile there: pid 2 (kthreadd) 0.007000 ms");
  check_phase(life, 4, 47'000, 3'000, 2, "running", "");
  check_phase(life, 5, 50'000, 5'000, 2, "exiting", "exit code 3");
  check_phase(life, 6, 55'000, 5'000, -1, "zombie", "until reaped by pid 10 (t10)");
  check_phase(life, 7, 60'000, 30'000, -1, "dead until RCU", "");
  u64 total = 0;
  for (const PhaseSumRow& s : life.sums) total += s.total_ns;
  CHECK(total == 90'000 - 10'000);
  CHECK(life.sums[2].phase == "running");
  CHECK(life.sums[2].count == 2);
  CHECK(life.sums[2].total_ns == 28'000);
  CHECK(life.sums[2].max_ns == 25'000);
  CHECK(life.sums[2].share == doctest::Approx(28.0 / 80.0));
}

TEST_CASE("explain: who slept in what, who woke it, and what is still open where the file ends") {
  Told t;
  t.whole_life();
  const auto lives = explain(t.life(100'000), 10);
  REQUIRE(lives.size() == 1);
  CHECK_FALSE(lives[0].complete);
  REQUIRE(lives[0].phases.size() == 6);
  check_phase(lives[0], 0, 1'000, 1'000, 0, "created", "process group 10, session 10");
  check_phase(lives[0], 3, 21'000, 35'000, -1, "sleeping in wait4", "until woken by pid 11 (whoami)");
  check_phase(lives[0], 4, 56'000, 3'000, 1, "waiting to run", "meanwhile there: idle 0.003000 ms");
  check_phase(lives[0], 5, 59'000, 41'000, 1, "running", "still so where the file ends");
}

TEST_CASE("explain: a signal that kills is named with its sender, and a pid that is used again has a life for each use") {
  Told t;
  FakeStream& s = t.s;
  t.start(0, 10);
  t.start(0, 11);
  s.emit(50, 0, 10, Tp::signal_generate, {9, 0, 0, s.comm(11), 11, 1, 0});
  s.emit(60, 0, 10, Tp::signal_generate, {17, 0, 0, s.comm(11), 11, 1, 1});  // ignored: no word of it
  s.mark(100, 0, 11, Tp::do_exit, 11, 9);
  s.mark(200, 0, 11, Tp::exit_notify, 11, 1, 0);
  s.mark(300, 0, 1, Tp::release_task, 11);
  s.newtask(400, 0, 10, 11);
  s.mark(500, 0, 0, Tp::task_struct_free, 11);
  const auto lives = explain(t.life(1'000), 11);
  REQUIRE(lives.size() == 2);
  CHECK(lives[0].complete);
  CHECK(phase(lives[0], 0).why == "process group 11, session 11; signal 9 (SIGKILL) from pid 10 (t10)");
  CHECK(phase(lives[0], 1).why == "killed by signal 9 (SIGKILL)");
  CHECK(phase(lives[0], 3).duration_ns == 200);
  CHECK_FALSE(lives[1].complete);
  CHECK(lives[1].phases.size() == 1);
  CHECK_THROWS_WITH_AS(explain(t.life(1'000), 12), doctest::Contains("no task had pid 12"), ReportError);
}

TEST_CASE("life.csv: what exceeds the limit is counted, and the file says how far it is complete") {
  Told t(5);
  t.start(1'000, 10);  // three rows: two fit
  t.s.sw(3'000, 0, 0, 'R', 10);
  const Life life = t.life(9'000);
  CHECK(life.events.size() == 5);
  CHECK(life.cut == 2);
  CHECK(life.complete_until == 1'000);
  Told whole;
  CHECK(whole.life(9'000).complete_until == 9'000);
}

TEST_CASE("life.csv: a torn or foreign file is refused with its line") {
  Told t;
  t.whole_life();
  const std::string text = t.csv();
  CHECK_THROWS_WITH_AS(parse_life("pid,comm\n", "x.csv"), doctest::Contains("x.csv:1: not the header"), ReportError);
  CHECK_THROWS_WITH_AS(parse_life(text.substr(0, text.rfind('\n', text.size() - 2) + 1), "x.csv"),
                       doctest::Contains("the last row is missing"), ReportError);
  CHECK_THROWS_WITH_AS(parse_life(text.substr(0, text.find('\n') + 1) + "1,2,boot\n", "x.csv"), doctest::Contains("x.csv:2: not a row"),
                       ReportError);
}

TEST_CASE("life.csv: names with commas, quotes and line ends survive") {
  Told t;
  t.boot(4, 1, "a,\"b\"\nc", 'S', 120);
  CHECK(row_at(t.life(10), 0, 4).comm == "a,\"b\"\nc");
}

TEST_SUITE_END();
