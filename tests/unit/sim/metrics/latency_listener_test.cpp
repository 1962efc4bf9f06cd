#include "sim/metrics/latency_listener.hpp"

#include <doctest/doctest.h>

#include "sim/metrics/event_fields.hpp"
#include "tests/unit/sim/metrics/fake_stream.hpp"

TEST_SUITE_BEGIN("sim/metrics");

using namespace forksim;
using km::Tp;
using test::FakeStream;

namespace {
struct Rig {
  FakeStream s;
  LatencyListener l;
  Rig() { s.trace.subscribe(l, LatencyListener::events()); }
  const Histogram& operator[](Metric m) const { return l.histogram(m); }
};
/// The only sample of a metric.
km::u64 only(const Histogram& h) {
  REQUIRE(h.count() == 1);
  return h.max();
}
}  // namespace

TEST_CASE("latency: the field positions the listeners read are those of tracepoints.def") {
  const auto at = [](Tp id, km::u32 field) { return km::tracepoint_table()[static_cast<std::size_t>(id)].fields[field].name; };
  CHECK(at(Tp::sched_switch, Field::kPrevPid) == "prev_pid");
  CHECK(at(Tp::sched_switch, Field::kPrevState) == "prev_state");
  CHECK(at(Tp::sched_switch, Field::kNextComm) == "next_comm");
  CHECK(at(Tp::sched_switch, Field::kNextPid) == "next_pid");
  CHECK(at(Tp::sched_switch, Field::kPrevComm) == "prev_comm");
  for (Tp id :
       {Tp::sched_waking, Tp::sched_wakeup, Tp::sched_wakeup_new, Tp::sched_migrate_task, Tp::sched_process_free, Tp::sched_stat_runtime})
    CHECK(at(id, Field::kPid) == "pid");
  CHECK(at(Tp::sched_stat_runtime, Field::kRuntime) == "runtime");
  CHECK(at(Tp::sched_process_exec, Field::kExecPid) == "pid");
  CHECK(at(Tp::sched_process_exec, Field::kExecOldPid) == "old_pid");
  CHECK(at(Tp::task_newtask, Field::kNewPid) == "pid");
  CHECK(at(Tp::task_newtask, Field::kNewComm) == "comm");
  CHECK(at(Tp::task_newtask, Field::kNewFlags) == "clone_flags");
  CHECK(at(Tp::task_rename, Field::kRenamePid) == "pid");
  CHECK(at(Tp::task_rename, Field::kRenameNewComm) == "newcomm");
  CHECK(at(Tp::signal_generate, Field::kSig) == "sig");
  CHECK(at(Tp::signal_generate, Field::kSigPid) == "pid");
  CHECK(at(Tp::signal_generate, Field::kSigRes) == "res");
  CHECK(at(Tp::signal_deliver, Field::kSigHandler) == "sa_handler");
  CHECK(at(Tp::user_first, Field::kUserKind) == "kind");
  CHECK(at(Tp::do_exit, Field::kExitCode) == "code");
  CHECK(at(Tp::exit_notify, Field::kAutoreap) == "autoreap");
  CHECK(at(Tp::placement, Field::kPlaceKind) == "kind");
  CHECK(at(Tp::placement, Field::kPlacePid) == "pid");
  CHECK(at(Tp::placement, Field::kPlaceThis) == "this_cpu");
  CHECK(at(Tp::placement, Field::kPlacePrev) == "prev_cpu");
  CHECK(at(Tp::placement, Field::kPlaceCpu) == "cpu");
  CHECK(at(Tp::placement, Field::kPlaceIdle) == "idle_mask");
  CHECK(at(Tp::placement, Field::kPlaceRunThis) == "runnable_this");
  CHECK(at(Tp::placement, Field::kPlaceRunChosen) == "runnable_chosen");
  CHECK(at(Tp::contention_end, Field::kLockWait) == "wait");
  CHECK(at(Tp::placement_cpu, Field::kCandCpu) == "cpu");
  CHECK(at(Tp::placement_cpu, Field::kCandRunnable) == "runnable");
  CHECK(at(Tp::placement_cpu, Field::kCandLoad) == "load");
  CHECK(at(Tp::placement_cpu, Field::kCandUtil) == "util");
  CHECK(at(Tp::placement_cpu, Field::kCandCapacity) == "capacity");
  CHECK(at(Tp::placement_cpu, Field::kCandRunning) == "nr_running");
  CHECK(at(Tp::placement_cpu, Field::kCandIdle) == "idle");
  CHECK(at(Tp::placement_group, Field::kGroupSpan) == "span");
  CHECK(at(Tp::placement_group, Field::kGroupRunnable) == "runnable");
  CHECK(at(Tp::placement_group, Field::kGroupLoad) == "load");
  CHECK(at(Tp::placement_group, Field::kGroupStep) == "placement_step");
  CHECK(at(Tp::placement_step, Field::kStepStep) == "placement_step");
  CHECK(at(Tp::placement_step, Field::kStepLevel) == "level");
  CHECK(at(Tp::placement_step, Field::kStepCpu) == "cpu");
  CHECK(at(Tp::placement_step, Field::kStepPct) == "pct");
  CHECK(at(Tp::cpu_power, Field::kPowerCpu) == "cpu");
  CHECK(at(Tp::cpu_power, Field::kPowerOpp) == "opp");
  CHECK(at(Tp::cpu_power, Field::kPowerBusy) == "busy");
  CHECK(at(Tp::task_acct, Field::kUtime) == "utime");
  CHECK(at(Tp::task_acct, Field::kStime) == "stime");
  CHECK(at(Tp::task_acct, Field::kRunDelay) == "run_delay");
  CHECK(at(Tp::task_acct, Field::kNvcsw) == "nvcsw");
  CHECK(at(Tp::task_acct, Field::kNivcsw) == "nivcsw");
  CHECK(at(Tp::task_acct, Field::kMinflt) == "minflt");
  CHECK(at(Tp::task_acct, Field::kMigrations) == "migrations");
  for (Tp id : {Tp::fork_call, Tp::fork_return, Tp::vfork_wait, Tp::vfork_done, Tp::exec_call, Tp::do_exit, Tp::exit_notify,
                Tp::release_task, Tp::stack_free, Tp::task_struct_free, Tp::user_first, Tp::task_acct})
    CHECK(at(id, Field::kSubject) == "pid");
}

TEST_CASE("latency: one life from fork to free gives each metric the distance of its two events") {
  Rig r;
  FakeStream& s = r.s;
  s.mark(1000, 0, 10, Tp::fork_call, 10);
  s.newtask(1500, 0, 10, 11);
  s.wake(1700, 0, 10, Tp::sched_wakeup_new, 11, 1);
  s.mark(1900, 0, 10, Tp::fork_return, 10, 11);
  s.sw(2000, 1, 0, 'R', 11);
  s.mark(2000, 1, 11, Tp::sched_info_arrive, 11, 300);
  s.mark(2600, 1, 11, Tp::user_first, 11, 0);
  s.mark(5000, 1, 11, Tp::do_exit, 11, 0);
  s.mark(5400, 1, 11, Tp::exit_notify, 11, 10, 0);
  s.sw(6000, 1, 11, 'Z', 0);
  s.mark(6300, 1, 0, Tp::stack_free, 11, 1);
  s.mark(7000, 0, 10, Tp::release_task, 11);
  s.mark(20000, 0, 0, Tp::task_struct_free, 11);
  CHECK(only(r[Metric::fork_call]) == 900);
  CHECK(only(r[Metric::fork_to_run]) == 300);
  CHECK(only(r[Metric::fork_to_user]) == 1600);
  CHECK(only(r[Metric::run_delay]) == 300);
  CHECK(only(r[Metric::timeslice]) == 4000);
  CHECK(only(r[Metric::exit_to_switch]) == 1000);
  CHECK(only(r[Metric::exit_to_stack_free]) == 1300);
  CHECK(only(r[Metric::exit_to_reap]) == 1600);
  CHECK(only(r[Metric::exit_to_free]) == 15000);
  CHECK(r[Metric::wakeup].count() == 0);
  CHECK(r[Metric::lock_wait].count() == 0);
}

TEST_CASE("latency: a vfork parent waits until it runs again, and its call contains the wait") {
  Rig r;
  FakeStream& s = r.s;
  s.mark(100, 0, 10, Tp::fork_call, 10);
  s.newtask(200, 0, 10, 11, 0x4111);
  s.mark(300, 0, 10, Tp::vfork_wait, 10);
  s.mark(400, 1, 11, Tp::exec_call, 11);
  s.mark(900, 0, 10, Tp::vfork_done, 10);
  s.mark(1000, 0, 10, Tp::fork_return, 10, 11);
  s.mark(1500, 1, 11, Tp::user_first, 11, 1);
  CHECK(only(r[Metric::vfork_block]) == 600);
  CHECK(only(r[Metric::fork_call]) == 900);
  CHECK(only(r[Metric::exec_call]) == 1100);
  CHECK(r[Metric::fork_to_user].count() == 0);
}

TEST_CASE("latency: wakeup runs from sched_waking, run_delay is what the kernel added at the arrival") {
  Rig r;
  FakeStream& s = r.s;
  s.sw(0, 1, 0, 'R', 11);
  s.sw(1000, 1, 11, 'S', 0);
  s.wake(2000, 0, 10, Tp::sched_waking, 11, 1);
  s.wake(2300, 1, 0, Tp::sched_wakeup, 11, 1);
  s.sw(2700, 1, 0, 'R', 11);
  s.mark(2700, 1, 11, Tp::sched_info_arrive, 11, 400);
  CHECK(only(r[Metric::wakeup]) == 700);
  CHECK(only(r[Metric::run_delay]) == 400);
  s.mark(9000, 1, 11, Tp::sched_info_arrive, 11, 1000);
  CHECK(r[Metric::run_delay].sum() == 1000);  // 400, then 600
}

TEST_CASE("latency: a task woken while it runs does not wait") {
  Rig r;
  FakeStream& s = r.s;
  s.sw(0, 0, 0, 'R', 11);
  s.wake(100, 0, 11, Tp::sched_waking, 11, 0);
  s.wake(110, 0, 11, Tp::sched_wakeup, 11, 0);
  s.sw(500, 0, 11, 'R', 12, true);
  s.sw(1250, 0, 12, 'S', 11);
  CHECK(r[Metric::wakeup].count() == 0);
  CHECK(r[Metric::timeslice].count() == 2);  // 500 of pid 11, 750 of pid 12
  CHECK(r[Metric::timeslice].sum() == 1250);
}

TEST_CASE("latency: waking a task that is about to leave its CPU counts from sched_waking") {
  Rig r;
  FakeStream& s = r.s;
  s.sw(0, 1, 0, 'R', 11);
  s.wake(900, 0, 10, Tp::sched_waking, 11, 1);
  s.sw(1000, 1, 11, 'S', 0);
  s.wake(1100, 0, 10, Tp::sched_wakeup, 11, 1);
  s.sw(1400, 1, 0, 'R', 11);
  CHECK(only(r[Metric::wakeup]) == 500);
}

TEST_CASE("latency: preemptions inside do_exit are not the final switch") {
  Rig r;
  FakeStream& s = r.s;
  s.sw(0, 0, 0, 'R', 11);
  s.mark(100, 0, 11, Tp::do_exit, 11, 0);
  s.sw(200, 0, 11, 'R', 12, true);
  s.sw(300, 0, 12, 'S', 11);
  s.sw(450, 0, 11, 'X', 0);
  CHECK(only(r[Metric::exit_to_switch]) == 350);
}

TEST_CASE("latency: only a signal that ends its target counts for kill_to_exit") {
  Rig r;
  FakeStream& s = r.s;
  const auto generate = [&](km::u64 ts, km::u64 sig, km::u64 res) {
    s.emit(ts, 0, 10, Tp::signal_generate, {sig, 0, 0, s.comm(11), 11, 1, res});
  };
  generate(100, 17, 1);  // ignored
  generate(200, 15, 0);
  s.emit(300, 1, 11, Tp::signal_deliver, {15, 0, 0, 0x400000, 0});  // a handler takes it
  generate(1000, 9, 0);
  s.mark(1800, 1, 11, Tp::do_exit, 11, 9);
  CHECK(only(r[Metric::kill_to_exit]) == 800);
  generate(2000, 15, 0);
  s.mark(2500, 1, 11, Tp::do_exit, 11, 0x300);  // exits by itself with status 3
  CHECK(r[Metric::kill_to_exit].count() == 1);
}

TEST_CASE("latency: lock_wait has a sample for each lock that was waited for") {
  Rig r;
  r.s.emit(1000, 0, 10, Tp::contention_begin, {r.s.name("rq_lock"), 0, 1});
  r.s.emit(1700, 0, 10, Tp::contention_end, {r.s.name("rq_lock"), 0, 0, 700});
  CHECK(only(r[Metric::lock_wait]) == 700);
}

TEST_CASE("latency: a task that reaps itself is no zombie") {
  Rig r;
  r.s.mark(100, 0, 11, Tp::exit_notify, 11, 10, 1);
  r.s.mark(150, 0, 11, Tp::release_task, 11);
  CHECK(r[Metric::exit_to_reap].count() == 0);
}

TEST_CASE("latency: a recycled pid does not inherit the dates of its former owner") {
  Rig r;
  FakeStream& s = r.s;
  s.mark(100, 0, 11, Tp::do_exit, 11, 0);
  s.newtask(1000, 0, 10, 11);
  s.mark(5000, 0, 0, Tp::task_struct_free, 11);  // of the first
  s.mark(6000, 0, 11, Tp::do_exit, 11, 0);
  s.mark(6500, 0, 0, Tp::task_struct_free, 11);  // of the second
  CHECK(r[Metric::exit_to_free].count() == 2);
  CHECK(r[Metric::exit_to_free].max() == 4900);
  CHECK(r[Metric::exit_to_free].min() == 500);
}

TEST_CASE("latency: a pid that is given away twice before its first owner is freed") {
  Rig r;
  FakeStream& s = r.s;
  s.mark(100, 0, 11, Tp::do_exit, 11, 0);
  s.newtask(200, 0, 10, 11);
  s.mark(300, 0, 11, Tp::do_exit, 11, 0);
  s.newtask(400, 0, 10, 11);
  s.mark(1100, 0, 0, Tp::task_struct_free, 11);  // of the first
  CHECK(only(r[Metric::exit_to_free]) == 1000);
  s.mark(1102, 0, 0, Tp::task_struct_free, 11);  // of the second
  CHECK(r[Metric::exit_to_free].min() == 802);
  s.mark(1200, 0, 11, Tp::do_exit, 11, 0);
  s.mark(1300, 0, 0, Tp::task_struct_free, 11);  // of the third
  CHECK(r[Metric::exit_to_free].count() == 3);
  CHECK(r[Metric::exit_to_free].min() == 100);
}

TEST_CASE("latency: a pid that is given away before its old owner has left its CPU") {
  // 11 dies on CPU 1; after its release CPU 0 forks a new 11, which runs there and dies too.
  Rig r;
  FakeStream& s = r.s;
  s.sw(50, 1, 0, 'R', 11);
  s.mark(100, 1, 11, Tp::do_exit, 11, 0);
  s.mark(150, 1, 11, Tp::release_task, 11);
  s.newtask(160, 0, 10, 11);
  s.wake(170, 0, 10, Tp::sched_wakeup_new, 11, 0);
  s.sw(180, 0, 10, 'R', 11);
  s.sw(200, 1, 11, 'X', 12);
  s.mark(230, 1, 12, Tp::stack_free, 11);
  s.sw(300, 1, 12, 'S', 0);
  CHECK(only(r[Metric::fork_to_run]) == 10);
  CHECK(only(r[Metric::exit_to_switch]) == 100);
  CHECK(only(r[Metric::exit_to_stack_free]) == 130);
  CHECK(r[Metric::timeslice].min() == 100);
  CHECK(r[Metric::timeslice].max() == 150);
  s.mark(1000, 0, 11, Tp::do_exit, 11, 0);
  s.sw(1180, 0, 11, 'Z', 0);
  CHECK(r[Metric::exit_to_switch].max() == 180);
  CHECK(r[Metric::timeslice].max() == 1000);
}

TEST_CASE("latency: a thread that execs keeps its open intervals under the leader's pid") {
  Rig r;
  FakeStream& s = r.s;
  s.mark(100, 0, 12, Tp::exec_call, 12);
  s.emit(700, 0, 11, Tp::sched_process_exec, {s.name("prog"), 11, 12});
  s.mark(1000, 0, 11, Tp::user_first, 11, 1);
  CHECK(only(r[Metric::exec_call]) == 900);
}

TEST_SUITE_END();
