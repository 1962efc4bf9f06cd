#include <doctest/doctest.h>

#include "sim/metrics/run_metrics.hpp"
#include "tests/unit/sim/metrics/fake_stream.hpp"

TEST_SUITE_BEGIN("sim/metrics");

using namespace forksim;
using km::Ns;
using km::Tp;
using km::u64;
using test::FakeStream;

TEST_CASE("tasks: identity follows the clone flags") {
  FakeStream s;
  TaskListener l;
  s.trace.subscribe(l, TaskListener::events());
  l.describe(km::Pid(10), km::Pid(10), km::Pid(1), Ns(50));
  l.describe(km::Pid(9), km::Pid(9), km::Pid(2), Ns(50));  // of whom nothing is heard
  s.sw(90, 0, 0, 'R', 10);
  s.newtask(100, 0, 10, 11);            // fork
  s.newtask(200, 0, 11, 12, 0x3d0f00);  // thread of 11: CLONE_THREAD
  s.newtask(300, 0, 12, 13);            // forked by the thread: its parent is the process 11
  s.newtask(400, 0, 11, 14, 0x8011);    // CLONE_PARENT: a sibling
  s.newtask(500, 0, 14, 15);            // started by the workload while 14 runs: a child of init
  s.emit(500, 0, 14, Tp::sched_process_fork, {s.name("init"), 1, s.comm(15), 15});
  const auto& r = l.records();
  REQUIRE(r.size() == 6);
  CHECK(r[0].pid.v == 10);
  CHECK(r[0].ppid.v == 1);
  CHECK(r[0].start.v == 50);
  CHECK(r[5].ppid.v == 1);
  CHECK(r[5].tgid.v == 15);
  CHECK(r[1].tgid.v == 11);
  CHECK(r[1].ppid.v == 10);
  CHECK(r[2].tgid.v == 11);
  CHECK(r[2].ppid.v == 10);
  CHECK(r[3].tgid.v == 13);
  CHECK(r[3].ppid.v == 11);
  CHECK(r[4].ppid.v == 10);
}

TEST_CASE("balance: attempts are counted by CPU, domain, kind and end") {
  FakeStream s;
  BalanceListener l;
  s.trace.subscribe(l, BalanceListener::events());
  using km::BalanceKind;
  using km::BalanceReason;
  const auto attempt = [&](km::u64 kind, km::u64 dst, km::u64 idle, BalanceReason r, km::u64 moved, km::u64 imbalance) {
    s.emit(100, 0, 1, Tp::load_balance, {kind, 2, dst, idle, 3, static_cast<km::u64>(r), moved, imbalance});
  };
  attempt(0, 1, 1, BalanceReason::no_busiest_group, 0, 0);
  attempt(0, 1, 0, BalanceReason::pulled, 3, 700);
  attempt(1, 1, 2, BalanceReason::hot, 0, 50);
  attempt(0, 0, 1, BalanceReason::hot, 0, 9);
  attempt(7, 0, 1, BalanceReason::hot, 0, 9);  // no such kind
  std::vector<std::pair<BalanceKey, BalanceCounts>> rows;
  l.for_each([&](const BalanceKey& k, const BalanceCounts& c) { rows.emplace_back(k, c); });
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].first == BalanceKey{0, 2, 0});
  CHECK(rows[1].first == BalanceKey{1, 2, 0});
  CHECK(rows[1].second.attempts == 2);
  CHECK(rows[1].second.while_idle == 1);
  CHECK(rows[1].second.tasks == 3);
  CHECK(rows[1].second.imbalance == 700);
  CHECK(rows[1].second.by_reason[static_cast<std::size_t>(BalanceReason::pulled)] == 1);
  CHECK(rows[2].first == BalanceKey{1, 2, 1});
  CHECK(rows[2].second.by_reason[static_cast<std::size_t>(BalanceReason::hot)] == 1);
}

TEST_CASE("tasks: delays count as perf sched latency counts them") {
  FakeStream s;
  TaskListener l;
  s.trace.subscribe(l, TaskListener::events());
  s.newtask(0, 0, 10, 11);
  s.wake(100, 0, 10, Tp::sched_wakeup_new, 11, 1);
  s.sw(400, 1, 0, 'R', 11);                      // delay 300
  s.sw(1000, 1, 11, 'R', 12, true);              // preempted
  s.sw(1900, 1, 12, 'S', 11);                    // delay 900 for 11
  s.wake(2000, 1, 11, Tp::sched_wakeup, 11, 1);  // on its CPU: ignored
  s.sw(2500, 1, 11, 'S', 0);
  s.wake(3000, 0, 10, Tp::sched_wakeup, 11, 1);
  s.wake(3100, 0, 10, Tp::sched_wakeup, 11, 1);  // already waits: ignored
  s.sw(3050 + 150, 1, 0, 'R', 11);               // delay 200
  s.emit(3200, 1, 11, Tp::sched_stat_runtime, {s.comm(11), 11, 1200, 0});
  const TaskRecord& r = l.records()[0];
  CHECK(r.pid.v == 11);
  CHECK(r.delays == 3);
  CHECK(r.total_delay.v == 1400);
  CHECK(r.max_delay.v == 900);
  CHECK(r.max_delay_start.v == 1000);
  CHECK(r.max_delay_end.v == 1900);
  CHECK(r.runtime.v == 1200);
}

TEST_CASE("tasks: the end, the exit code and the accounting are those of the events, and a recycled pid is a new row") {
  FakeStream s;
  TaskListener l;
  s.trace.subscribe(l, TaskListener::events());
  s.newtask(0, 0, 10, 11);
  s.sw(10, 0, 0, 'R', 11);
  s.mark(500, 0, 11, Tp::do_exit, 11, 0x100);
  s.acct(600, 0, 11, 300, 200, 5, 4, 3);
  s.sw(700, 0, 11, 'Z', 0);
  s.newtask(900, 0, 10, 11);
  REQUIRE(l.records().size() == 2);
  const TaskRecord& r = l.records()[0];
  CHECK(r.end.v == 700);
  CHECK(r.exit_code == 0x100);
  CHECK(r.utime.v == 300);
  CHECK(r.stime.v == 200);
  CHECK(r.nvcsw == 4);
  CHECK(r.nivcsw == 3);
  CHECK(r.minflt == 7);
  CHECK(r.migrations == 1);
  CHECK(l.records()[1].start.v == 900);
  CHECK(l.records()[1].end.v == 0);
}

TEST_CASE("tasks: a pid that is given away before its old owner has left its CPU") {
  FakeStream s;
  TaskListener l;
  s.trace.subscribe(l, TaskListener::events());
  s.newtask(0, 0, 10, 11);
  s.sw(10, 1, 0, 'R', 11);
  s.mark(500, 1, 11, Tp::do_exit, 11, 0x100);
  s.newtask(600, 0, 10, 11);
  s.wake(610, 0, 10, Tp::sched_wakeup_new, 11, 0);
  s.sw(650, 0, 10, 'R', 11);
  s.emit(700, 1, 11, Tp::sched_stat_runtime, {s.comm(11), 11, 690, 0});
  s.sw(700, 1, 11, 'X', 12);
  s.acct(720, 1, 11, 300, 200, 5);
  s.acct(900, 1, 11, 1, 2, 40);  // of the new one, by chance told by the same CPU
  REQUIRE(l.records().size() >= 2);
  const auto of11 = [&l](std::size_t n) {
    for (const TaskRecord& r : l.records())
      if (r.pid.v == 11 && n-- == 0) return r;
    return TaskRecord{};
  };
  CHECK(of11(0).end.v == 700);
  CHECK(of11(0).runtime.v == 690);
  CHECK(of11(0).utime.v == 300);
  CHECK(of11(0).run_delay.v == 5);
  CHECK(of11(1).start.v == 600);
  CHECK(of11(1).end.v == 0);
  CHECK(of11(1).delays == 1);
  CHECK(of11(1).utime.v == 1);
  CHECK(of11(1).run_delay.v == 40);
}

TEST_CASE("placement: a fork keeps its candidates, groups and steps, those of an exec go") {
  FakeStream s;
  PlacementListener l(2);
  s.trace.subscribe(l, PlacementListener::events());
  const auto group = [&](u64 span, km::PlacementStep step) {
    s.emit(5, 0, 10, Tp::placement_group, {2, span, 100 * span, 200 * span, 0, static_cast<u64>(step)});
  };
  const auto step = [&](km::PlacementStep what, u64 cpu) {
    s.emit(5, 0, 10, Tp::placement_step, {static_cast<u64>(what), s.name("DIE"), cpu, 125, 0});
  };
  const auto decide = [&](u64 kind, int pid) {
    group(1, km::PlacementStep::local);
    group(2, km::PlacementStep::less_runnable);
    step(km::PlacementStep::leave_load, 1);
    step(km::PlacementStep::only_cpu, 1);
    for (u64 c : {0, 1}) s.emit(5, 0, 10, Tp::placement_cpu, {c, 10 + c, 20 + c, 30, 1024, 1, c});
    s.place(5, 0, 10, kind, pid, 0, 1, 2);
  };
  decide(1, 10);
  decide(0, 11);
  decide(1, 10);
  decide(0, 12);
  REQUIRE(l.forks().size() == 2);
  for (const ForkRecord& f : l.forks()) {
    REQUIRE(l.candidates(f).size() == 2);
    CHECK(l.candidates(f)[1].runnable == 11);
    CHECK(l.candidates(f)[1].idle);
    REQUIRE(l.groups(f).size() == 2);
    CHECK(l.mask(l.groups(f)[1].span) == km::CpuMask::from_word(2));
    CHECK(l.groups(f)[1].step == km::PlacementStep::less_runnable);
    REQUIRE(l.steps(f).size() == 2);
    CHECK(l.steps(f)[0].groups == 2);
    CHECK(l.steps(f)[1].groups == 0);
    CHECK(l.steps(f)[1].step == km::PlacementStep::only_cpu);
  }
}

TEST_CASE("placement: classes are disjoint, add up, and the matrix has the deciding CPU as row") {
  FakeStream s;
  PlacementListener l(4);
  s.trace.subscribe(l, PlacementListener::events());
  s.place(100, 0, 10, 0, 11, 0, 2, 0b1110);  // another CPU, idle
  s.place(200, 0, 10, 0, 12, 0, 0, 0b1000);  // stays although CPU 3 is idle
  s.place(300, 1, 10, 0, 13, 1, 2, 0b1000);  // busy although CPU 3 is idle
  s.place(400, 1, 10, 0, 14, 1, 3, 0);       // busy, none idle
  s.place(500, 2, 10, 2, 15, 3, 2, 0b1000);  // wake: pulled to the waker
  const PlacementCounts& f = l.counts(PlacementKind::fork);
  CHECK(f.total == 4);
  CHECK(f.idle_cpu == 1);
  CHECK(f.same_cpu == 1);
  CHECK(f.same_cpu_while_idle == 1);
  CHECK(f.busy_while_idle == 1);
  CHECK(f.busy_none_idle == 1);
  CHECK(f.matrix == std::vector<km::u64>{1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(l.counts(PlacementKind::wake).same_cpu == 1);
  CHECK(l.counts(PlacementKind::wake).prev_cpu == 0);
  REQUIRE(l.forks().size() == 4);
  s.wake(120, 0, 10, Tp::sched_wakeup_new, 11, 2);
  s.sw(180, 3, 0, 'R', 11);  // stolen by CPU 3 before its first run
  s.sw(190, 3, 11, 'S', 0);
  s.sw(290, 3, 0, 'R', 11);
  CHECK(l.forks()[0].woken.v == 120);
  CHECK(l.forks()[0].ran.v == 180);
  CHECK(l.forks()[0].ran_on.v == 3);
  CHECK(l.forks()[1].ran == km::kNever);
}

TEST_CASE("placement: masks are whole on a machine of 256 CPUs, and classes know who idles above CPU 63") {
  FakeStream s;
  PlacementListener l(256);
  s.trace.subscribe(l, PlacementListener::events());
  const auto word = [&](u64 w, u64 bits) { s.emit(5, 0, 10, Tp::placement_mask, {w, bits}); };
  word(3, 1);
  s.place(10, 0, 10, 2, 20, 0, 192, 0);  // wake: CPU 192 idles; its words are forgotten
  word(2, 0b100);
  s.emit(20, 0, 10, Tp::placement_group, {2, 0b11, 5, 6, 0, static_cast<u64>(km::PlacementStep::local)});
  word(1, 1);
  word(3, u64{1} << 63);
  s.place(20, 0, 10, 0, 21, 0, 255, 0b1000);  // idle: 3, 64, 255
  word(1, 1);
  s.place(30, 0, 10, 0, 22, 0, 65, 0);  // busy although CPU 64 idles
  s.place(40, 0, 10, 0, 23, 0, 65, 0);  // nobody idles
  CHECK(l.counts(PlacementKind::wake).idle_cpu == 1);
  const PlacementCounts& f = l.counts(PlacementKind::fork);
  CHECK(f.idle_cpu == 1);
  CHECK(f.busy_while_idle == 1);
  CHECK(f.busy_none_idle == 1);
  REQUIRE(l.forks().size() == 3);
  km::CpuMask idle, span;
  for (km::u32 c : {3u, 64u, 255u}) idle.set(km::CpuId(c));
  for (km::u32 c : {0u, 1u, 130u}) span.set(km::CpuId(c));
  CHECK(l.mask(l.forks()[0].idle_mask) == idle);
  REQUIRE(l.groups(l.forks()[0]).size() == 1);
  CHECK(l.mask(l.groups(l.forks()[0])[0].span) == span);
  CHECK(l.mask(l.forks()[1].idle_mask) == km::CpuMask::of(km::CpuId(64)));
  CHECK(l.mask(l.forks()[2].idle_mask).empty());
}

TEST_CASE("schedule: rows run from switch-in to switch-out, idle is a gap, and what exceeds the limit is counted") {
  FakeStream s;
  ScheduleListener l(2, 3);
  s.trace.subscribe(l, ScheduleListener::events());
  s.sw(100, 0, 0, 'R', 11);
  s.emit(150, 0, 11, Tp::sched_process_fork, {s.comm(11), 11, s.comm(12), 12});
  s.sw(300, 0, 11, 'S', 0);
  s.sw(200 + 200, 1, 0, 'R', 12);
  l.finish(Ns(1000));
  REQUIRE(l.records().size() == 3);
  CHECK(l.records()[0].kind == ScheduleRecord::Kind::fork);
  CHECK(l.records()[0].pid.v == 12);
  CHECK(l.records()[1].start.v == 100);
  CHECK(l.records()[1].end.v == 300);
  CHECK(l.records()[2].start.v == 400);
  CHECK(l.records()[2].end.v == 1000);
  CHECK(l.cut() == 0);
  s.mark(1100, 0, 11, Tp::do_exit, 11);
  CHECK(l.cut() == 1);
}

TEST_CASE("schedule: a task that execs while it runs gets a row per name") {
  FakeStream s;
  ScheduleListener l(1);
  s.trace.subscribe(l, ScheduleListener::events());
  s.sw(100, 0, 0, 'R', 11);
  s.emit(250, 0, 11, Tp::task_rename, {11, s.comm(11), s.name("cc1"), 0});
  s.emit(260, 0, 11, Tp::task_rename, {12, s.comm(12), s.name("kthread"), 0});  // of another task
  s.sw(400, 0, 11, 'S', 0);
  REQUIRE(l.records().size() == 2);
  CHECK(l.records()[0].end.v == 250);
  CHECK(s.trace.names()[l.records()[0].comm] == "t11");
  CHECK(l.records()[1].start.v == 250);
  CHECK(l.records()[1].end.v == 400);
  CHECK(s.trace.names()[l.records()[1].comm] == "cc1");
}

namespace {
struct Checked {
  FakeStream s;
  InvariantListener l{2};
  Checked() { s.trace.subscribe(l, InvariantListener::events()); }
};
/// One CPU, 1000 ns; five stacks and task_structs, three of them freed by the events of play_books().
FinalNumbers books_of_one_cpu() {
  FinalNumbers f;
  f.now = Ns(1000);
  f.totals.stacks_allocated = f.totals.task_structs_allocated = 5;
  f.totals.stacks_freed = f.totals.task_structs_freed = 3;
  f.alive.stacks = f.alive.task_structs = 2;
  f.cpus.resize(1);
  f.cpus[0].times = {Ns(400), Ns(300), Ns(100), Ns(200)};
  f.cpus[0].online = Ns(1000);
  return f;
}
void play_books(FakeStream& s) {
  for (int pid : {21, 22, 23}) {
    s.mark(1, 0, 0, Tp::stack_free, pid);
    s.mark(1, 0, 0, Tp::task_struct_free, pid);
  }
  s.acct(3, 0, 24, 400, 300, 0);
}
}  // namespace

TEST_CASE("invariants: a proper life violates nothing") {
  Checked c;
  FakeStream& s = c.s;
  s.newtask(0, 0, 10, 11);
  s.wake(10, 0, 10, Tp::sched_wakeup_new, 11, 1);
  s.sw(20, 1, 0, 'R', 11);
  s.mark(20, 1, 11, Tp::sched_info_arrive, 11, 10);
  s.mark(30, 1, 11, Tp::do_exit, 11);
  s.acct(40, 1, 11, 1, 2, 10);  // waited 10..20
  s.sw(50, 1, 11, 'Z', 0);
  s.mark(60, 0, 10, Tp::release_task, 11);
  s.emit(70, 0, 0, Tp::sched_process_free, {s.comm(11), 11, 120});
  s.mark(70, 0, 0, Tp::task_struct_free, 11);
  s.newtask(80, 0, 10, 11);  // recycled
  FinalNumbers f;
  f.totals.context_switches = 2;
  f.totals.exits = 1;
  f.totals.task_structs_allocated = 2;
  f.totals.task_structs_freed = 1;
  f.alive.task_structs = 1;
  f.cpus.resize(1);
  f.cpus[0].times.user = f.cpus[0].online = Ns(1);
  c.l.finish(f);
  CHECK(c.l.violated() == 0);
  CHECK(c.l.checked() > 20);
}

TEST_CASE("invariants: a pid may be given away before its old owner has left its CPU, but not while that lives") {
  Checked c;
  FakeStream& s = c.s;
  s.newtask(0, 0, 10, 11);
  s.sw(20, 1, 0, 'R', 11);
  s.mark(20, 1, 11, Tp::sched_info_arrive, 11, 10);
  s.mark(30, 1, 11, Tp::do_exit, 11);
  s.mark(40, 1, 11, Tp::release_task, 11);
  s.sw(45, 0, 0, 'R', 10);
  s.newtask(50, 0, 10, 11);
  s.wake(60, 0, 10, Tp::sched_wakeup_new, 11, 0);
  s.sw(70, 0, 10, 'S', 11);
  s.mark(70, 0, 11, Tp::sched_info_arrive, 11, 3);
  s.sw(80, 1, 11, 'X', 12);
  s.acct(90, 1, 11, 1, 2, 10);
  s.mark(95, 0, 0, Tp::task_struct_free, 11);
  s.sw(100, 0, 11, 'S', 0);
  s.acct(110, 0, 11, 1, 2, 3);
  s.mark(120, 0, 11, Tp::release_task, 11);
  s.sw(130, 0, 0, 'R', 11);
  s.sw(140, 0, 11, 'X', 13);
  s.newtask(150, 1, 12, 11);  // between that switch and what 13 has to tell of it
  s.sw(160, 1, 12, 'S', 11);
  s.mark(160, 1, 11, Tp::sched_info_arrive, 11, 10);
  s.acct(170, 0, 11, 1, 2, 3);
  s.acct(180, 0, 11, 1, 2, 10);
  CHECK(c.l.violated() == 0);
  s.newtask(190, 1, 12, 11);
  CHECK(c.l.violated() == 1);
}

TEST_CASE("invariants: a broken queue is told with date, CPU and the events before, long queues are asked less often") {
  Checked c;
  FakeStream& s = c.s;
  std::vector<std::pair<km::u32, Ns>> asked;
  km::u64 checks = 10;
  bool break_it = false;
  c.l.set_audit([&](km::CpuId cpu, Ns idle_since, std::vector<std::string>& broken) {
    asked.emplace_back(cpu.v, idle_since);
    if (break_it) broken.push_back("load is 5 but its entities add up to 4");
    return checks;
  });
  s.sw(10, 0, 0, 'R', 11);  // also asks every idle CPU, for the first time
  const std::size_t before = asked.size();
  CHECK(asked.back() == std::pair<km::u32, Ns>{0, km::kNever});
  break_it = true;
  s.sw(20, 0, 11, 'S', 0);
  REQUIRE(asked.size() == before + 1);
  REQUIRE(c.l.violated() == 1);
  CHECK(c.l.violations()[0].what == "load is 5 but its entities add up to 4");
  CHECK(c.l.violations()[0].at.v == 20);
  CHECK(c.l.violations()[0].cpu.v == 0);
  CHECK(c.l.violations()[0].before.size() == 2);
  break_it = false;
  // A queue that takes 48 checks is left alone for the next three switches of its CPU.
  checks = 48;
  s.sw(30, 0, 0, 'R', 11);
  CHECK(asked.size() == before + 2);
  for (km::u64 t : {40u, 60u}) {
    s.sw(t, 0, 11, 'S', 0);
    s.sw(t + 10, 0, 0, 'R', 11);
  }
  CHECK(asked.size() == before + 3);
  // 100 ms later the idle CPUs are asked again, with the date since when they idle.
  s.sw(100'000'010, 0, 11, 'S', 0);
  CHECK(std::ranges::count(asked, std::pair<km::u32, Ns>{0, Ns(100'000'010) + km::Kernel::kClockBase}) == 1);
}

TEST_CASE("invariants: operating points must add up to the run and to the energy charged") {
  for (const double charged : {3.0, 3.1}) {
    Checked c;
    FinalNumbers f;
    f.now = Ns(2'000'000'000);
    f.cpus.resize(1);
    f.cpus[0].online = Ns(1'500'000'000);
    f.cpus[0].times.idle = f.cpus[0].online;
    f.cpus[0].off = Ns(500'000'000);
    f.cpus[0].off_energy_j = 0.5;
    // 1 s busy at 2 W, 0.5 s in WFI at 1 W.
    f.cpus[0].opps = {{1'000'000'000, Ns(1'000'000'000), Ns(500'000'000), 2.5}};
    f.cpus[0].energy_j = charged;
    f.watts = {{1.0, 2.0}};
    c.l.finish(f);
    CHECK(c.l.violated() == (charged == 3.0 ? 0 : 1));
    if (charged == 3.0) continue;
    CHECK(c.l.violations()[0].what == "energies of CPU 0 by operating point add up to 3 J, 3.1 J were charged");
  }
}

TEST_CASE("invariants: each broken rule is found, with the events before it") {
  Checked c;
  FakeStream& s = c.s;
  s.sw(10, 0, 0, 'R', 11);
  SUBCASE("prev is not who ran") {
    s.sw(20, 0, 12, 'S', 0);
    REQUIRE(c.l.violated() == 1);
    CHECK(c.l.violations()[0].what == "CPU 0 switches away from pid 12 while pid 11 ran");
    CHECK(c.l.violations()[0].before.size() == 2);
    CHECK(c.l.violations()[0].at.v == 20);
  }
  SUBCASE("a task on two CPUs") {
    s.sw(20, 1, 0, 'R', 11);
    REQUIRE(c.l.violated() == 1);
    CHECK(c.l.violations()[0].what == "pid 11 starts on CPU 1 while it runs on CPU 0");
  }
  SUBCASE("an event after the free") {
    s.mark(20, 1, 0, Tp::task_struct_free, 12);
    s.wake(30, 1, 0, Tp::sched_waking, 12, 0);
    REQUIRE(c.l.violated() == 1);
    CHECK(c.l.violations()[0].what == "an event of pid 12 after its task_struct was freed");
  }
  SUBCASE("an event before the birth") {
    s.wake(20, 0, 11, Tp::sched_wakeup_new, 12, 0);
    s.newtask(30, 0, 11, 12);
    REQUIRE(c.l.violated() == 1);
    CHECK(c.l.violations()[0].what == "an event of pid 12 came before its birth");
  }
  SUBCASE("time goes back") {
    s.wake(5, 0, 11, Tp::sched_waking, 12, 0);
    CHECK(c.l.violated() == 1);
  }
  SUBCASE("run_delay does not add up") {
    s.acct(30, 0, 11, 0, 0, 77);
    REQUIRE(c.l.violated() == 1);
    CHECK(c.l.violations()[0].what == "pid 11: run_delay is 77 ns but its waits add up to 0 ns");
  }
}

TEST_CASE("invariants: the books at the end") {
  Checked c;
  play_books(c.s);
  FinalNumbers f = books_of_one_cpu();
  std::string what;
  SUBCASE("balanced") {}
  SUBCASE("a nanosecond is missing") {
    f.cpus[0].times.idle = Ns(199);
    what = "times of CPU 0 add up to 999 ns, it was online 1000 ns";
  }
  SUBCASE("a stack is missing") {
    f.alive.stacks = 1;
    what = "stacks: 5 allocated, 3 freed, 1 alive";
  }
  SUBCASE("a task_struct is missing") {
    f.alive.task_structs = 3;
    what = "task_structs: 5 allocated, 3 freed, 3 alive";
  }
  SUBCASE("an event was not counted") {
    f.totals.wakeups = 1;
    what = "totals.wakeups is 1, but 0 events were seen";
  }
  SUBCASE("user time is counted twice") {
    c.s.acct(4, 0, 25, 50, 0, 0);
    what = "the CPUs spent 400 ns in user mode, the tasks 450 ns";
  }
  c.l.finish(f);
  REQUIRE(c.l.violations().size() == (what.empty() ? 0 : 1));
  if (!what.empty()) CHECK(c.l.violations()[0].what == what);
}

TEST_CASE("invariants: energy is power times time, from the boot state on") {
  Checked c;
  FakeStream& s = c.s;
  play_books(s);
  // WFI 0.25 W, busy 1 W at OPP 0: 250 ns idle, 500 ns busy, 250 ns idle of 1000 ns.
  s.emit(250, 0, 0, Tp::cpu_power, {0, 0, 1});
  s.emit(750, 0, 0, Tp::cpu_power, {0, 0, 0});
  FinalNumbers f = books_of_one_cpu();
  f.watts = {{0.25, 1.0}};
  const double joules = (0.25 * 250 + 1.0 * 500 + 0.25 * 250) * 1e-9;
  SUBCASE("exact") {
    f.cpus[0].energy_j = joules * (1 + 5e-10);
    c.l.finish(f);
    CHECK(c.l.violated() == 0);
    CHECK(c.l.energy_of(km::CpuId(0)) == doctest::Approx(joules).epsilon(1e-12));
  }
  SUBCASE("two parts in 1e9 too much") {
    f.cpus[0].energy_j = joules * (1 + 2e-9);
    c.l.finish(f);
    CHECK(c.l.violated() == 1);
  }
}

TEST_SUITE_END();
