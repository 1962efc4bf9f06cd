// The end of tasks: execve of a thread, stops of a group, orphaned groups, terminals, robust mutexes, faults in do_exit; kernel threads;
// stacks.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernel_model/process/objects.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

Op kill_op(s32 pid, int sig) { return op(OpKind::kill, sig, pid); }
Op ignore_op(int sig) { return {.kind = OpKind::sigaction, .arg = sig, .count = 1}; }
u64 tasks_left(ScriptMachine& m) { return m.kernel().alive().task_structs; }

Ns last_exit(const ScriptMachine& m) { return m.of(Tp::do_exit).back().ts; }

/// The signals sent to `pid`, in order.
std::vector<int> signals_to(const ScriptMachine& m, s32 pid) {
  std::vector<int> out;
  for (const TraceEvent& e : m.of(Tp::signal_generate))
    if (static_cast<s32>(e.args[4]) == pid) out.push_back(static_cast<int>(e.args[0]));
  return out;
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("execve of a thread: the others die, it goes on under the leader's number, the leader is released") {
    ScriptMachine m;
    const u32 after = m.add_list({run_op(1_ms), exit_op(7)});
    const ExecSpec exec{"/bin/new", &m.shape, after};
    const u32 execer = m.add_list({sleep_op(2_ms), Op{.kind = OpKind::exec, .exec = &exec}});
    const u32 sleeper = m.add_list({sleep_op(1_s)});
    const u32 child = m.add_list({thread_op(m, execer), thread_op(m, sleeper), sleep_op(1_s)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), wait_op()});
    m.start(parent);
    m.run();
    const auto exec_events = m.of(Tp::sched_process_exec);
    REQUIRE(exec_events.size() == 1);
    CHECK(exec_events[0].args[1] == kFirstPid + 1);
    CHECK(exec_events[0].args[2] == kFirstPid + 2);
    CHECK(m.results[parent].at(1) == kFirstPid + 1);
    const auto acct = m.of(Tp::do_exit);
    CHECK(acct[acct.size() - 2].args[1] == 7 << 8);  // the new program's own code, before the parent's
    CHECK(last_exit(m) < 500_ms);
    CHECK(tasks_left(m) == 0);
    CHECK(m.kernel().alive().pids == 0);
  }

  TEST_CASE("a leader that ends before its threads is a silent zombie, the last thread tells the parent") {
    ScriptMachine m;
    const u32 worker = m.add_list({sleep_op(20_ms), op(OpKind::exit)});
    const u32 child = m.add_list({thread_op(m, worker), op(OpKind::exit, 3)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), wait_op()});
    m.start(parent);
    m.run();
    const auto sent = m.of(Tp::signal_generate);
    REQUIRE(!sent.empty());
    CHECK(sent[0].args[0] == kSIGCHLD);
    CHECK(sent[0].pid == Pid(kFirstPid + 2));
    CHECK(sent[0].ts > 20_ms);
    CHECK(m.results[parent].at(1) == kFirstPid + 1);
  }

  TEST_CASE("SIGSTOP stops every thread and tells the parent once, SIGCONT lets all go on") {
    ScriptMachine m;
    const u32 worker = m.add_list({run_op(10_ms), op(OpKind::exit)});
    const u32 child = m.add_list({thread_op(m, worker), run_op(10_ms), wait_op()});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), sleep_op(2_ms), kill_op(kFirstPid + 1, kSIGSTOP), wait_op(-1, kWUNTRACED),
                                   sleep_op(50_ms), kill_op(kFirstPid + 1, kSIGCONT), wait_op(-1, kWCONTINUED), wait_op()});
    m.start(parent);
    m.run();
    const auto& r = m.results[parent];
    CHECK(r.at(3) == kFirstPid + 1);
    CHECK(r.at(6) == kFirstPid + 1);
    CHECK(r.at(7) == kFirstPid + 1);
    u32 stops = 0, stopped = 0;
    for (const TraceEvent& e : m.of(Tp::signal_generate)) stops += static_cast<s64>(e.args[2]) == kCLD_STOPPED;
    for (const TraceEvent& e : m.of(Tp::sched_switch)) stopped += (e.args[3] & 0xff) == 'T';
    CHECK(stops == 1);
    CHECK(stopped == 2);
    CHECK(m.kernel().now() > 55_ms);
    CHECK(tasks_left(m) == 0);
  }

  TEST_CASE("SIGKILL waits for an uninterruptible sleeper and ends a killable one at once") {
    for (s64 state : {1, 2}) {
      ScriptMachine m;
      Op sleep = sleep_op(100_ms);
      sleep.arg = state;
      const u32 child = m.add_list({sleep});
      const u32 parent = m.add_list({fork_op(m.fork_spec(child)), sleep_op(10_ms), kill_op(kFirstPid + 1, kSIGKILL), wait_op()});
      m.start(parent);
      m.run(200_ms);
      const auto exits = m.of(Tp::do_exit);
      REQUIRE(!exits.empty());
      CHECK(exits[0].args[1] == kSIGKILL);
      CHECK((exits[0].ts > 99_ms) == (state == 1));
    }
  }

  TEST_CASE("a blocked signal waits until it is unblocked, another thread that does not block it takes a process signal") {
    ScriptMachine m;
    const Op block{.kind = OpKind::sigprocmask, .arg = 0, .count = sigbit(kSIGTERM)},
        unblock{.kind = OpKind::sigprocmask, .arg = 1, .count = sigbit(kSIGTERM)};
    const u32 child = m.add_list({block, run_op(20_ms), unblock, run_op(20_ms)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), sleep_op(5_ms), kill_op(kFirstPid + 1, kSIGTERM), wait_op()});
    m.start(parent);
    m.run();
    const auto exits = m.of(Tp::do_exit);
    CHECK(exits.at(0).args[1] == kSIGTERM);
    CHECK(exits.at(0).ts > 20_ms);
    CHECK(exits.at(0).ts < 30_ms);
  }

  TEST_CASE("tkill of a thread with SIGKILL ends the whole process") {
    ScriptMachine m;
    const u32 worker = m.add_list({sleep_op(1_s)});
    const u32 child = m.add_list({thread_op(m, worker), sleep_op(1_s)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), sleep_op(5_ms), op(OpKind::tkill, kSIGKILL, kFirstPid + 2), wait_op()});
    m.start(parent);
    m.run();
    CHECK(m.results[parent].at(3) == kFirstPid + 1);
    CHECK(m.of(Tp::signal_generate).at(0).args[5] == 0);  // grp
    CHECK(last_exit(m) < 500_ms);
  }

  TEST_CASE("wait chooses by group and by clone flags") {
    ScriptMachine m;
    const u32 own = m.add_list({run_op(1_ms)}), other = m.add_list({op(OpKind::setpgid), run_op(1_ms)});
    const u32 parent =
        m.add_list({fork_op(m.fork_spec(own)), fork_op(m.fork_spec(other)), fork_op(m.fork_spec(own, kCLONE_VM)), sleep_op(20_ms),
                    wait_op(0), wait_op(-(kFirstPid + 2)), wait_op(), wait_op(-1, static_cast<int>(k__WCLONE)), wait_op(-1, 0x40)});
    m.start(parent);
    m.run();
    const auto& r = m.results[parent];
    CHECK(r.at(4) == kFirstPid + 1);  // own group
    CHECK(r.at(5) == kFirstPid + 2);  // its group
    CHECK(r.at(6) == -kECHILD);    // the third one has no SIGCHLD
    CHECK(r.at(7) == kFirstPid + 3);
    CHECK(r.at(8) == -kEINVAL);
  }

  TEST_CASE("a stopped group that loses its last link to the session gets SIGHUP and SIGCONT") {
    ScriptMachine m;
    const u32 job = m.add_list({op(OpKind::setpgid), run_op(5_ms)});
    const u32 shell =
        m.add_list({op(OpKind::setsid), fork_op(m.fork_spec(job)), sleep_op(1_ms), kill_op(kFirstPid + 2, kSIGSTOP), sleep_op(10_ms)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(shell)), wait_op()});
    m.start(parent);
    m.run();
    CHECK(signals_to(m, kFirstPid + 2) == std::vector<int>{kSIGSTOP, kSIGHUP, kSIGCONT});
    CHECK(tasks_left(m) == 0);
  }

  TEST_CASE("the end of a session leader hangs up the foreground group of its terminal") {
    ScriptMachine m;
    const u32 job = m.add_list({sleep_op(1_s)});
    const u32 shell = m.add_list({op(OpKind::setsid), op(OpKind::set_ctty), fork_op(m.fork_spec(job)), sleep_op(5_ms)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(shell)), wait_op()});
    m.start(parent);
    m.run();
    CHECK(m.results[shell].at(1) == 0);
    CHECK(signals_to(m, kFirstPid + 2) == std::vector<int>{kSIGHUP});
    CHECK(last_exit(m) < 500_ms);
  }

  TEST_CASE("PR_SET_PDEATHSIG: the signal comes when the parent dies") {
    ScriptMachine m;
    const u32 child = m.add_list({op(OpKind::pdeath_signal, kSIGTERM), sleep_op(1_s)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), sleep_op(5_ms)});
    m.start(parent);
    m.run();
    CHECK(signals_to(m, kFirstPid + 1) == std::vector<int>{kSIGTERM});
    CHECK(last_exit(m) < 500_ms);
  }

  TEST_CASE("exit_signal: another signal to the parent, none, and SIGCHLD after the parent's execve") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(1_ms)});
    const u32 parent = m.add_list({ignore_op(10), fork_op(m.fork_spec(child, 10)), wait_op(-1, static_cast<int>(k__WALL)),
                                   fork_op(m.fork_spec(child, 0)), wait_op(-1, static_cast<int>(k__WALL))});
    m.start(parent);
    m.run();
    CHECK(m.results[parent].at(2) == kFirstPid + 1);
    CHECK(m.results[parent].at(4) == kFirstPid + 2);
    CHECK(signals_to(m, kFirstPid) == std::vector<int>{10});
  }

  TEST_CASE("the holder of a robust mutex dies: a waiter gets it with EOWNERDEAD") {
    ScriptMachine m;
    const u32 mutex = m.kernel().create_object(ObjectKind::mutex, 1);
    const Op lock{.kind = OpKind::mutex_lock, .object = mutex}, unlock{.kind = OpKind::mutex_unlock, .object = mutex};
    const u32 holder = m.add_list({lock, sleep_op(5_ms), op(OpKind::exit)});
    const u32 main = m.add_list({thread_op(m, holder), sleep_op(1_ms), lock, unlock, lock});
    m.start(main);
    m.run();
    CHECK(m.results[main].at(2) == -kEOWNERDEAD);
    CHECK(m.results[main].at(4) == 0);
    CHECK(m.kernel().stuck_tasks().empty());
  }

  TEST_CASE("a fault inside do_exit parks the task for ever, and the books still close") {
    ScriptMachine m;
    m.fail_at(FailPoint::exit_mm, 1);
    m.start(m.add_list({run_op(1_ms)}));
    m.run(5_s);
    CHECK(m.kernel().totals().exits == 1);
    const auto stuck = m.kernel().stuck_tasks();
    REQUIRE(stuck.size() == 1);
    CHECK(stuck[0].state == 'D');
    CHECK(m.kernel().totals().stacks_allocated == m.kernel().totals().stacks_freed + m.kernel().alive().stacks);
  }

  TEST_CASE("a bound kernel thread works on its CPU in its period until it is stopped, a second stop finds nobody") {
    ScriptMachine m;
    const KthreadSpec spec{"kt", 50_us, 1_ms, true, CpuId(2), 0};
    const Op run{.kind = OpKind::kthread_run, .kthread = &spec};
    const u32 driver =
        m.add_list({run, sleep_op(20_ms), op(OpKind::kthread_stop, 0, kFirstPid + 1), op(OpKind::kthread_stop, 0, kFirstPid + 1)});
    m.start(driver);
    m.run();
    CHECK(m.results[driver].at(0) == kFirstPid + 1);
    CHECK(m.results[driver].at(2) == 0);
    CHECK(m.results[driver].at(3) == -kESRCH);
    CHECK(m.kernel().totals().kthreads == 1);
    CHECK(m.kernel().totals().autoreaped == 1);
    u32 turns = 0;
    for (const TraceEvent& e : m.of(Tp::sched_switch)) {
      if (e.args[5] != kFirstPid + 1 || e.ts < 1_ms) continue;
      ++turns;
      CHECK(e.cpu == CpuId(2));
    }
    CHECK(turns >= 15);
    CHECK(tasks_left(m) == 0);
  }

  TEST_CASE("arm32: no stack is cached, each goes with its task_struct after the grace period") {
    ScriptMachine m("rpi-4.19-arm32");
    const u32 child = m.add_list({});
    m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op(), fork_op(m.fork_spec(child)), wait_op()}));
    m.run();
    CHECK(m.kernel().totals().stack_cache_hits == 0);
    const auto stacks = m.of(Tp::stack_free), structs = m.of(Tp::task_struct_free);
    REQUIRE(stacks.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(stacks[i].ts == structs[i].ts);
    CHECK(stacks[0].ts >= m.of(Tp::release_task).at(0).ts + 40_ms);  // 4 jiffies of 10 ms
    CHECK(m.kernel().alive().kernel_bytes == 0);
  }

  TEST_CASE("PREEMPT_VOLUNTARY: no preemption in the kernel but where it may sleep") {
    for (const char* profile : {"rpi-4.19-arm64", "rpi-4.19-arm32"}) {
      ScriptMachine m(profile, 1, 20_us);
      Op many = op(OpKind::syscall, 172);
      many.count = 2000;  // 80 ms of system calls that never sleep
      const u32 other = m.add_list({run_op(30_ms)});
      m.start(m.add_list({fork_op(m.fork_spec(other)), many, wait_op()}));
      m.run();
      u32 in_kernel = 0;
      for (const TraceEvent& e : m.of(Tp::sched_switch)) in_kernel += (e.args[3] & TaskStateChar::kPreempted) != 0;
      CAPTURE(profile);
      CHECK((in_kernel == 0) == (std::string(profile) == "rpi-4.19-arm32"));
    }
  }
}
