#include <set>

#include "tests/unit/sim/workload/support.hpp"

using namespace forksim;
using namespace forksim::test;
using km::OpKind;

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("phases are asked for one by one, at the end a process exits with 0") {
  Rig r(Rig::one("- {run: 2ms}\n- {sleep: 1ms}\n- {touch: cow, pages: 3}\n- {syscall: getpid, count: 4}"));
  km::Op op = r.next();
  CHECK(op.kind == OpKind::run);
  CHECK(op.ns == km::Ns(2'000'000));
  op = r.next();
  CHECK(op.kind == OpKind::sleep);
  CHECK(op.ns == km::Ns(1'000'000));
  op = r.next();
  CHECK(op.kind == OpKind::touch);
  CHECK(op.arg == 1);
  CHECK(op.count == 3);
  op = r.next();
  CHECK(op.kind == OpKind::syscall);
  CHECK(op.arg == 172);
  CHECK(op.count == 4);
  op = r.next();
  CHECK(op.kind == OpKind::exit_group);
  CHECK(op.arg == 0);
}

TEST_CASE("a child runs its own phases, the parent learns the pid and can wait for it and kill it") {
  Rig r(Rig::one(
      "- {fork: , child: [{run: 1us}, {exit_group: 3}], as: p}\n- {kill: p, signal: SIGKILL}\n- {wait: p, options: [nohang, untraced]}"));
  const u32 child = r.fork(r.next(), 1, 77);
  km::Op op = r.next(1, 77);
  CHECK(op.kind == OpKind::kill);
  CHECK(op.pid == km::Pid(77));
  CHECK(op.arg == 9);
  op = r.next(1, 0);
  CHECK(op.kind == OpKind::wait);
  CHECK(op.pid == km::Pid(77));
  CHECK(op.arg == 3);  // WNOHANG | WUNTRACED
  CHECK(r.next(child).kind == OpKind::run);
  op = r.next(child);
  CHECK(op.kind == OpKind::exit_group);
  CHECK(op.arg == 3);
}

TEST_CASE("a debugger lets go on whom its wait found stopped, with the signal it stopped for, and nobody after an end") {
  constexpr s64 kCont = 7, kDetach = 17, kSeize = 0x4206;
  constexpr u64 kTermStop = 15 << 8 | 0x7f, kForkStop = 1 << 16 | 5 << 8 | 0x7f, kExited = 3 << 8;
  Rig r(
      Rig::one("- {fork: , child: [pause], as: p}\n- {ptrace_seize: p, options: [fork, vforkdone]}\n"
               "- loop: 3\n  body: [{wait: one}, {ptrace_cont: waited}]\n"
               "- {wait: one}\n- {ptrace_cont: waited, pass: false}\n- {wait: one}\n- {ptrace_detach: waited}\n- {ptrace_cont: p}"));
  km::Op op;
  const auto next = [&](s64 result) { op = r.programs.next_op(1, result, km::Ns(0), op); };
  /// The wait reports `pid` with `status`; what comes next is a request.
  const auto request = [&](s64 pid, u64 status, s64 what, u64 data) {
    CHECK(op.kind == OpKind::wait);
    op.count = status;
    next(pid);
    CHECK(op.kind == OpKind::ptrace);
    CHECK(op.arg == what);
    CHECK(op.pid.v == pid);
    CHECK(op.count == data);
    next(0);
  };
  next(0);
  next(77);
  CHECK(op.kind == OpKind::ptrace);
  CHECK(op.arg == kSeize);
  CHECK(op.pid == km::Pid(77));
  CHECK(op.count == (1u << 1 | 1u << 5));
  next(0);
  request(77, kTermStop, kCont, 15);
  request(78, kForkStop, kCont, 0);
  op.count = kExited;
  next(78);  // nothing to let go: the next wait comes at once
  request(77, kTermStop, kCont, 0);
  request(77, kTermStop, kDetach, 15);
  CHECK(op.kind == OpKind::ptrace);
  CHECK(op.pid == km::Pid(77));
  next(-3);
  CHECK(r.programs.anomaly(Anomaly::ptrace_error) == 1);
}

TEST_CASE("flags of fork, vfork, clone and thread are those that glibc passes on arm64") {
  Rig r(
      Rig::one("- {fork: , child: [yield]}\n- {vfork: , child: [yield]}\n- {clone: , flags: [CLONE_VM, CLONE_VFORK], child: [yield]}\n- "
               "{thread: , child: [yield]}\n"
               "- {clone: , flags: [CLONE_VM, CLONE_SIGHAND, CLONE_THREAD], child: [yield]}"));
  CHECK(r.next(1, 0).fork->clone_flags == 0x1200011);
  CHECK(r.next(1, 2).fork->clone_flags == 0x4111);
  CHECK(r.next(1, 3).fork->clone_flags == 0x4111);  // what posix_spawn passes
  const km::Op thread = r.next(1, 4);
  CHECK(thread.fork->clone_flags == 0x3d0f00);
  CHECK(r.next(1, 5).fork->clone_flags == 0x10900);  // no exit signal with CLONE_THREAD
}

TEST_CASE("a thread that reaches its end exits alone, a process ends with all its threads") {
  Rig r(Rig::one("- {thread: , child: [{run: 1us}]}\n- {fork: , child: [{run: 1us}]}"));
  const u32 thread = r.fork(r.next(), 1, 10), child = r.fork(r.next(1, 10), 1, 11);
  r.next(thread);
  r.next(child);
  CHECK(r.next(thread).kind == OpKind::exit);
  CHECK(r.next(child).kind == OpKind::exit_group);
}

TEST_CASE("count forks children with their numbers, args and a gap between") {
  Rig r(
      "until: 1s\nprocesses:\n  - name: a\n    phases:\n      - {fork: b, count: 3, gap: 5us, with: {twice: \"${40 + 2}\"}, as: kids}\n    "
      "  - {wait: kids, at: 1}\n      - {join: kids}\n"
      "  - name: b\n    args: [twice]\n    phases:\n      - {touch: anon, pages: \"${twice + index}\"}\nstart:\n  - {process: a}\n");
  for (int i = 0; i < 3; ++i) {
    if (i > 0) {
      const km::Op gap = r.next(1, i == 0 ? 0 : 100 + i - 1);
      CHECK(gap.kind == OpKind::sleep);
      CHECK(gap.ns == km::Ns(5000));
    }
    const u32 child = r.fork(r.next(), 1, 100 + i);
    CHECK(r.next(child).count == static_cast<u64>(42 + i));
  }
  CHECK(r.next(1, 102).pid == km::Pid(101));  // wait for number 1
  for (int i = 0; i < 3; ++i) CHECK(r.next(1, 0).pid == km::Pid(100 + i));
}

TEST_CASE("an inline child sees its parent's names with their values at the fork") {
  Rig r(
      Rig::one("- loop: 2\n  index: i\n  body:\n    - {fork: , count: 2, index: j, child: [{touch: anon, pages: \"${10 * i + j + 1}\"}]}"));
  std::vector<u64> pages;
  s64 result = 0;
  for (int n = 0; n < 4; ++n) {
    const u32 child = r.fork(r.next(1, result), 1, 50 + n);
    result = 50 + n;
    pages.push_back(r.next(child).count);
  }
  CHECK(pages == std::vector<u64>{1, 2, 11, 12});
}

TEST_CASE("wait all goes on until there is no child left, and that is no error") {
  Rig r(Rig::one("- {wait: all}\n- yield"));
  CHECK(r.next().kind == OpKind::wait);
  CHECK(r.next(1, 5).kind == OpKind::wait);
  CHECK(r.next(1, 6).kind == OpKind::wait);
  CHECK(r.next(1, -10).kind == OpKind::yield);
  CHECK(r.programs.diagnostics().empty());
}

TEST_CASE("errors are counted, and then ignored, retried, left by break, or fatal, as the workload says") {
  const std::string fork = "- loop: 3\n  body:\n    - {fork: , child: [yield], on_error: ";
  Rig ignore(Rig::one(fork + "ignore}\n- {run: 1us}"));
  for (int i = 0; i < 3; ++i) CHECK(ignore.next(1, i ? -11 : 0).kind == OpKind::fork);
  CHECK(ignore.next(1, -11).kind == OpKind::run);
  CHECK(ignore.programs.anomaly(Anomaly::fork_error) == 3);

  Rig retry(Rig::one(fork + "retry}\n- {run: 1us}"));
  for (int i = 0; i < 10; ++i) CHECK(retry.next(1, i ? -11 : 0).kind == OpKind::fork);
  CHECK(retry.programs.anomaly(Anomaly::fork_error) == 9);

  Rig leave(Rig::one(fork + "break}\n- {run: 1us}"));
  leave.next();
  CHECK(leave.next(1, -11).kind == OpKind::run);

  Rig exit(Rig::one(fork + "exit}\n- {run: 1us}"));
  exit.next();
  const km::Op op = exit.next(1, -11);
  CHECK(op.kind == OpKind::exit_group);
  CHECK(op.arg == 1);
}

TEST_CASE("a failure counts as what codes.def says of its instruction") {
  const auto counted = [](const std::string& phase, s64 result) {
    Rig r(Rig::one(phase + "\n- {run: 1us}"));
    r.next();
    CHECK(r.next(1, result).kind == OpKind::run);
    return r.programs.diagnostics();
  };
  using Counted = std::vector<std::pair<std::string_view, u64>>;
  CHECK(counted("- {cpu_off: 1}", -16) == Counted{{"hotplug_error", 1}});
  CHECK(counted("- {cpu_off: 1}", 1).empty());  // bytes written
  CHECK(counted("- {nice: -5}", -13) == Counted{{"sched_error", 1}});
  CHECK(counted("- {affinity: [1]}", -22) == Counted{{"sched_error", 1}});
  CHECK(counted("- setsid", -1) == Counted{{"other_error", 1}});
  CHECK(counted("- {wait: any}", -10) == Counted{{"wait_error", 1}});
  CHECK(counted("- yield", -1).empty());
}

TEST_CASE("a failed exec is counted and ends the process with 127") {
  Rig r(Rig::one("- {exec: a}"));
  CHECK(r.next().exec->filename == "/usr/bin/a");
  const km::Op op = r.next(1, -2);
  CHECK(op.kind == OpKind::exit_group);
  CHECK(op.arg == 127);
  CHECK(r.programs.diagnostics() == std::vector<std::pair<std::string_view, u64>>{{"exec_error", 1}});
}

TEST_CASE("exec replaces the program and hands over args") {
  Rig r(
      "until: 1s\nprocesses:\n  - name: a\n    phases: [{loop: 7, index: i, body: [{exec: b, with: {n: \"${i + 5}\"}}]}]\n"
      "  - name: b\n    file: ./b\n    args: [n]\n    shape: {vmas: 99}\n    phases: [{touch: anon, pages: $n}]\nstart: [{process: a}]\n");
  const km::Op op = r.next();
  CHECK(op.exec->filename == "./b");
  CHECK(op.exec->shape->vmas == 99);
  r.programs.exec_program(1, *op.exec);
  CHECK(r.next().count == 5);
  CHECK(r.next().kind == OpKind::exit_group);
}

TEST_CASE("end of file leaves the loop, exits, or goes on") {
  const std::string pipe = "pipes: [{name: p}]\n";
  Rig leave(Rig::one("- {loop: forever, body: [{read: p, size: 4B, on_eof: break}]}\n- yield", pipe));
  for (int i = 0; i < 3; ++i) CHECK(leave.next(1, 4).kind == OpKind::pipe_read);
  CHECK(leave.next(1, 0).kind == OpKind::yield);
  Rig exit(Rig::one("- {read: p, size: 4B, on_eof: exit}\n- yield", pipe));
  exit.next();
  CHECK(exit.next(1, 0).kind == OpKind::exit_group);
  Rig go_on(Rig::one("- {read: p, size: 4B}\n- yield", pipe));
  go_on.next();
  CHECK(go_on.next(1, 0).kind == OpKind::yield);
}

TEST_CASE("an interrupted call is made again, a sleep sleeps what is left") {
  Rig r(Rig::one("- {sleep: 10ms}\n- {wait: one}\n- pause\n- yield"));
  r.next();
  r.now = 4'000'000;
  const km::Op rest = r.next(1, -4);
  CHECK(rest.kind == OpKind::sleep);
  CHECK(rest.ns == km::Ns(6'000'000));
  r.now = 10'000'000;
  CHECK(r.next(1, -4).kind == OpKind::wait);  // nothing was left
  CHECK(r.next(1, -4).kind == OpKind::wait);
  CHECK(r.next(1, 9).kind == OpKind::pause);
  CHECK(r.next(1, -4).kind == OpKind::yield);  // how a pause ends
  CHECK(r.programs.diagnostics().empty());
}

TEST_CASE("a timer keeps its period, dates that have passed are counted and not waited for") {
  Rig r(Rig::one("- {loop: 4, body: [{timer: 10ms}, {run: 1us}]}"));
  r.now = 3'000'000;
  CHECK(r.next().ns == km::Ns(13'000'000));  // first use at 3 ms
  r.now = 13'000'000;
  CHECK(r.next().kind == OpKind::run);
  r.now = 34'000'000;  // 23 ms has passed, 33 ms too
  CHECK(r.next().kind == OpKind::run);
  CHECK(r.next().kind == OpKind::run);
  CHECK(r.programs.anomaly(Anomaly::timer_overrun) == 2);
  const km::Op op = r.next();
  CHECK(op.kind == OpKind::sleep_until);
  CHECK(op.ns == km::Ns(43'000'000));
}

TEST_CASE("a loop with a time limit is left at its head once the time has passed") {
  Rig r(Rig::one("- {loop: forever, until: 5ms, body: [{run: 1ms}, {sleep: 1ms}]}\n- yield"));
  CHECK(r.next().kind == OpKind::run);
  r.now = 6'000'000;
  CHECK(r.next().kind == OpKind::sleep);  // the round goes on to its end
  CHECK(r.next().kind == OpKind::yield);
}

TEST_CASE("a handler runs its phases and the interrupted call ends afterwards") {
  Rig r(
      Rig::one("- {signal: SIGUSR1, do: handler, handler: [{loop: 2, index: i, body: [{touch: anon, pages: \"${i + 1}\"}]}]}\n- {sleep: "
               "10ms}\n- yield"));
  const km::Op action = r.next();
  CHECK(action.kind == OpKind::sigaction);
  CHECK(action.arg == 10);
  CHECK(action.count == 2);
  CHECK(r.next(1, 0).kind == OpKind::sleep);
  for (int run = 0; run < 2; ++run) {
    r.now += 2'000'000;
    r.programs.enter_handler(1, 10);
    CHECK(r.next(1, 0).count == 1);
    CHECK(r.next(1, 0).count == 2);
    CHECK(r.next(1, 0).kind == OpKind::sigreturn);
  }
  const km::Op rest = r.next(1, -4);
  CHECK(rest.kind == OpKind::sleep);
  CHECK(rest.ns == km::Ns(6'000'000));
  r.now = 10'000'000;
  CHECK(r.next(1, 0).kind == OpKind::yield);
}

TEST_CASE("a forked child keeps its parent's handlers, an exec drops them") {
  Rig r(Rig::one("- {signal: SIGUSR1, do: handler, handler: [{run: 7us}]}\n- {fork: , child: [pause, {exec: a}]}"));
  r.next();
  const u32 child = r.fork(r.next(), 1, 5);
  r.next(child);
  r.programs.enter_handler(child, 10);
  CHECK(r.next(child).ns == km::Ns(7000));
  CHECK(r.next(child).kind == OpKind::sigreturn);
  const km::Op exec = r.next(child, -4);
  r.programs.exec_program(child, *exec.exec);
  CHECK_THROWS_AS(r.programs.enter_handler(child, 10), km::ContractBroken);
}

TEST_CASE("objects: arrays by index, ends of socket pairs, instances of their own") {
  Rig r(
      "until: 1s\nmutexes: [{name: m, count: 3}]\npipes: [{name: p, per: instance, count: 2}]\nsocketpairs: [{name: s}]\nbarriers: [{name: "
      "b, parties: 4}]\n"
      "processes:\n  - name: a\n    phases:\n      - {lock: m, at: 2}\n      - {write: p, size: 1B, at: 1}\n      - {write: s, size: 1B, "
      "end: a}\n      - {read: s, size: 1B, end: b}\n"
      "      - {write: s, size: 1B, end: b}\n      - {read: s, size: 1B, end: a}\n      - {barrier: b}\nstart: [{process: a, count: 2}]\n");
  // shared: 3 mutexes (0-2), the barrier (3), the socket pair's two pipes (4, 5); then two pipes per instance (6, 7 and 8, 9)
  REQUIRE(r.kernel.objects.size() == 10);
  CHECK(r.kernel.objects[3].param == 4);
  CHECK(r.kernel.objects[4].param == 208 * 1024);
  CHECK(r.kernel.objects[6].param == 65536);
  CHECK(r.next(1).object == 2);
  CHECK(r.next(2).object == 2);
  CHECK(r.next(1).object == 7);
  CHECK(r.next(2, 0).object == 9);
  for (u32 expected : {4u, 4u, 5u, 5u, 3u}) CHECK(r.next(1, 1).object == expected);
  std::set<std::pair<u32, u32>> attached(r.kernel.attached.begin(), r.kernel.attached.end());
  CHECK(attached == std::set<std::pair<u32, u32>>{{1, 4}, {1, 5}, {1, 6}, {1, 7}, {2, 4}, {2, 5}, {2, 8}, {2, 9}});
}

TEST_CASE("a pipe used only by a program that is exec'ed later is open from the start") {
  Rig r(
      "until: 1s\npipes: [{name: p}, {name: unused}]\nprocesses:\n  - {name: sh, phases: [{fork: , child: [{exec: cat}]}]}\n  - {name: "
      "cat, phases: [{read: p, size: 1B}]}\nstart: [{process: sh}]\n");
  CHECK(r.kernel.attached == std::vector<std::pair<u32, u32>>{{1, 0}});
}

TEST_CASE("an index outside its array is counted and wraps, overflow gives 0 and is counted") {
  Rig r(Rig::one("- {loop: 4, index: i, body: [{lock: m, at: $i}]}\n- {loop: 1, index: i, body: [{touch: anon, pages: \"${1 / i}\"}]}",
                 "mutexes: [{name: m, count: 3}]\n"));
  for (u32 expected : {0u, 1u, 2u, 0u}) CHECK(r.next().object == expected);
  CHECK(r.programs.anomaly(Anomaly::index_wrapped) == 1);
  CHECK(r.next().count == 0);
  CHECK(r.programs.anomaly(Anomaly::expression_error) == 1);
}

TEST_CASE("a child that was never forked is not waited for") {
  Rig r(Rig::one(
      "- {choose: [{weight: 0, body: [{fork: , child: [yield], as: p}]}, {weight: 1, body: []}]}\n- {wait: p}\n- {kill: p}\n- yield"));
  CHECK(r.next().kind == OpKind::yield);
  CHECK(r.programs.anomaly(Anomaly::no_such_child) == 2);
}

TEST_CASE("choose follows its weights") {
  Rig r(
      Rig::one("- {loop: 10000, body: [{choose: [{weight: 3, body: [{run: 1ns}]}, {weight: 0, body: [{run: 2ns}]}, {weight: 1, body: "
               "[{run: 3ns}]}]}]}"));
  int counts[4] = {};
  for (int i = 0; i < 10'000; ++i) ++counts[r.next().ns.v];
  CHECK(counts[2] == 0);
  CHECK(counts[1] > 7300);  // 7500 expected, standard deviation 43
  CHECK(counts[1] < 7700);
  CHECK(counts[1] + counts[3] == 10'000);
}

TEST_CASE("handles are reused after a task is gone, and nothing of the old task stays") {
  Rig r(Rig::one("- {loop: 3, body: [{fork: , child: [{run: 1us}]}]}"));
  s64 result = 0;
  for (int i = 0; i < 3; ++i) {
    const u32 child = r.fork(r.next(1, result), 1, 20 + i);
    CHECK(child == 2);
    CHECK(r.programs.live() == 2);
    CHECK(r.next(child).kind == OpKind::run);
    r.programs.task_gone(child);
    result = 20 + i;
  }
  CHECK(r.programs.live() == 1);
}

TEST_CASE("the flag and arg of an operation are cleared for the kernel, which keeps its state there") {
  Rig r(Rig::one("- {barrier: b}\n- {barrier: b}", "barriers: [{name: b, parties: 2}]\n"));
  km::Op op;
  op = r.programs.next_op(1, 0, km::Ns(0), op);
  op.flag = true;
  op.arg = 17;
  op = r.programs.next_op(1, 0, km::Ns(0), op);
  CHECK_FALSE(op.flag);
  CHECK(op.arg == 0);
}

TEST_SUITE_END();
