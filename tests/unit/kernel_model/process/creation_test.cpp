// Failures of clone: errno, order of unwinding, nothing left behind, time charged.
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

struct Tried {
  s64 result = 0;
  u64 fork_errors = 0, left = 0;
  Ns stime;
  std::vector<std::string> labels;
};

/// One process makes one clone call and exits; a child, if there is one, exits at once and is waited for.
Tried try_clone(ScriptMachine& m, u64 flags, u32 uid = 0) {
  const u32 child = m.add_list({});
  const u32 parent = m.add_list({fork_op(m.fork_spec(child, flags)), wait_op(-1, static_cast<int>(k__WALL))});
  m.start(parent, 0_ns, nullptr, uid);
  m.run();
  Tried t;
  t.result = m.results[parent].at(0);
  t.fork_errors = m.kernel().totals().fork_errors;
  t.left = left_over(m.kernel().alive());
  for (const TraceEvent& e : m.of(Tp::bad_fork)) t.labels.push_back(m.trace().names()[NameId(static_cast<u32>(e.args[1]))]);
  const auto call = m.of(Tp::fork_call), back = m.of(Tp::fork_return);
  t.stime = back.at(0).ts - call.at(0).ts;
  return t;
}

/// copy_process' labels from the one that undoes the newest step.
std::vector<std::string> ladder_from(const std::string& first) {
  const std::vector<std::string> all{"bad_fork_cancel_cgroup",
                                     "bad_fork_free_pid",
                                     "bad_fork_cleanup_thread",
                                     "bad_fork_cleanup_io",
                                     "bad_fork_cleanup_namespaces",
                                     "bad_fork_cleanup_mm",
                                     "bad_fork_cleanup_signal",
                                     "bad_fork_cleanup_sighand",
                                     "bad_fork_cleanup_fs",
                                     "bad_fork_cleanup_files",
                                     "bad_fork_cleanup_semundo",
                                     "bad_fork_cleanup_security",
                                     "bad_fork_cleanup_audit",
                                     "bad_fork_cleanup_perf",
                                     "bad_fork_cleanup_policy",
                                     "bad_fork_cleanup_threadgroup_lock",
                                     "bad_fork_cleanup_count",
                                     "bad_fork_free",
                                     "fork_out"};
  const auto at = std::find(all.begin(), all.end(), first);
  REQUIRE(at != all.end());
  return {at, all.end()};
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("clone refuses combinations of flags that make no sense") {
    const u64 bad[] = {kCLONE_NEWNS | kCLONE_FS | 17,
                       kCLONE_NEWUSER | kCLONE_FS | 17,
                       kCLONE_THREAD | kCLONE_VM,
                       kCLONE_SIGHAND | 17,
                       kCLONE_THREAD | kCLONE_SIGHAND | kCLONE_VM | kCLONE_NEWPID,
                       kCLONE_NEWIPC | kCLONE_SYSVSEM | 17};
    for (u64 flags : bad) {
      CAPTURE(flags);
      ScriptMachine m;
      const Tried t = try_clone(m, flags);
      CHECK(t.result == -kEINVAL);
      CHECK(t.fork_errors == 1);
      CHECK(t.left == 0);
    }
    ScriptMachine fine;
    CHECK(try_clone(fine, kCLONE_VM | kCLONE_SIGHAND | 17).result > 0);
  }

  TEST_CASE("new namespaces need the capability, a user namespace of its own brings it") {
    ScriptMachine user, root, own;
    CHECK(try_clone(user, kCLONE_NEWNS | 17, 1000).result == -kEPERM);
    CHECK(try_clone(root, kCLONE_NEWNS | kCLONE_NEWUTS | 17).result > 0);
    CHECK(try_clone(own, kCLONE_NEWNS | kCLONE_NEWUSER | 17, 1000).result > 0);
    CHECK(left_over(root.kernel().alive()) == 0);
  }

  TEST_CASE("each failing phase unwinds from its own label in the kernel's order, frees all and charges what was done") {
    struct Case {
      FailPoint point;
      s64 err;
      const char* label;
      u64 steps;     ///< phases of 1 us paid from system call entry to exit, as counted by hand below
      u64 extra = 0;  ///< ns of the next phase that come before its lock and are paid with the phase before it
    };
    // entry 1; dup 1 (a cached stack); copy_creds +1; sched_fork +1; files, fs, sighand, signal +1 each; copy_mm 1 + 15 vmas + 23 pages +
    // 6 tables = 45; namespaces +1; thread +1; alloc_pid +1; rest +1. Unwinding: bad_fork 1 + stack 1 + task_struct 1; files 1 + 3 fds; mm
    // 1 + 15 vmas + 23 pages + 6 tables (nothing private: the pages are shared with the parent). exit is paid after fork_return's event.
    // sched_fork's 504 of 1047 ns and half of alloc_pid come before their locks.
    constexpr u64 kFree = 3, kFiles = 4, kMm = 45, kBeforeTaskFork = 1000 - 1000 * 543 / 1047, kBeforePid = 500;
    const Case cases[] = {
        {FailPoint::dup_task_struct, kENOMEM, "fork_out", 1},
        {FailPoint::alloc_thread_stack, kENOMEM, "fork_out", 1},
        {FailPoint::copy_creds, kENOMEM, "bad_fork_free", 2 + kFree, kBeforeTaskFork},
        {FailPoint::perf_event_init_task, kENOMEM, "bad_fork_cleanup_policy", 3 + kFree},
        {FailPoint::audit_alloc, kENOMEM, "bad_fork_cleanup_perf", 3 + kFree},
        {FailPoint::security_task_alloc, kENOMEM, "bad_fork_cleanup_audit", 3 + kFree},
        {FailPoint::copy_semundo, kENOMEM, "bad_fork_cleanup_security", 3 + kFree},
        {FailPoint::copy_files, kENOMEM, "bad_fork_cleanup_semundo", 3 + 4 + kFree},
        {FailPoint::copy_fs, kENOMEM, "bad_fork_cleanup_files", 8 + kFiles + kFree},
        {FailPoint::copy_sighand, kENOMEM, "bad_fork_cleanup_fs", 9 + kFiles + kFree},
        {FailPoint::copy_signal, kENOMEM, "bad_fork_cleanup_sighand", 10 + kFiles + kFree},
        {FailPoint::copy_mm, kENOMEM, "bad_fork_cleanup_signal", 10 + 45 + kFiles + kFree},
        {FailPoint::copy_namespaces, kENOMEM, "bad_fork_cleanup_mm", 56 + kMm + kFiles + kFree},
        {FailPoint::copy_io, kENOMEM, "bad_fork_cleanup_namespaces", 57 + kMm + kFiles + kFree, kBeforePid},
        {FailPoint::copy_thread, kENOMEM, "bad_fork_cleanup_io", 57 + kMm + kFiles + kFree, kBeforePid},
        {FailPoint::alloc_pid, kENOMEM, "bad_fork_cleanup_thread", 58 + kMm + kFiles + kFree},
        {FailPoint::cgroup_can_fork, kEAGAIN, "bad_fork_free_pid", 59 + kMm + kFiles + kFree},
    };
    for (const Case& c : cases) {
      ScriptMachine m;
      m.fail_at(c.point, 1);
      const Tried t = try_clone(m, kForkFlags);
      CAPTURE(c.label);
      CHECK(t.result == -c.err);
      CHECK(t.fork_errors == 1);
      CHECK(t.labels == ladder_from(c.label));
      CHECK(t.left == 0);
      // from fork_call, which follows the entry, to fork_return, which follows the exit's 1 us
      CHECK(t.stime == Ns(1000) * (c.steps + 1) + Ns(c.extra));
      CHECK(m.kernel().totals().forks == 1);
    }
  }

  TEST_CASE("RLIMIT_NPROC stops a user, not root") {
    for (u32 uid : {0u, 1000u}) {
      ScriptMachine m;
      m.set(Tunable::rlimit_nproc, 3);
      const u32 child = m.add_list({sleep_op(5_ms)});
      const ForkSpec* f = m.fork_spec(child);
      const u32 parent = m.add_list({fork_op(f), fork_op(f), fork_op(f), wait_op(), wait_op(), fork_op(f), wait_op(), wait_op()});
      m.start(parent, 0_ns, nullptr, uid);
      m.run();
      const auto& r = m.results[parent];
      CHECK(r[0] > 0);
      CHECK(r[1] > 0);
      CHECK((r[2] == -kEAGAIN) == (uid != 0));  // the parent and two children are three
      CHECK(r[5] > 0);
      CHECK(left_over(m.kernel().alive()) == 0);
    }
  }

  TEST_CASE("processes of the workload that init cannot fork are not started, and counted") {
    ScriptMachine m("rpi-4.19-arm64", 4, 0_ns);
    m.set(Tunable::threads_max, 12);  // init, kthreadd, four migration, four kworker: 10
    const u32 program = m.add_list({run_op(1_ms)});
    for (u32 i = 0; i < 5; ++i) m.start(program, Ns(100'000 * i));
    m.start(program, 50_ms);
    m.run();
    CHECK(m.kernel().totals().forks == 3);
    CHECK(m.kernel().totals().start_errors == 3);
    CHECK(m.kernel().totals().exits == 3);
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("threads_max counts every task of the machine, kernel threads too") {
    ScriptMachine m;
    m.set(Tunable::threads_max, 12);  // init, kthreadd, four migration, four kworker: 10
    const u32 child = m.add_list({sleep_op(5_ms)});
    const ForkSpec* f = m.fork_spec(child);
    const u32 parent = m.add_list({fork_op(f), fork_op(f)});
    m.start(parent);
    m.run();
    CHECK(m.results[parent][0] > 0);
    CHECK(m.results[parent][1] == -kEAGAIN);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("pid numbers wrap to 300, and a failure after alloc_pid spends one") {
    ScriptMachine m;
    m.set(Tunable::pid_max, 303);
    m.fail_at(FailPoint::cgroup_can_fork, 2);
    const u32 child = m.add_list({});
    const ForkSpec* f = m.fork_spec(child);
    std::vector<Op> ops;
    for (int i = 0; i < 300; ++i) {
      ops.push_back(fork_op(f));
      ops.push_back(wait_op());
    }
    const u32 parent = m.add_list(ops);
    m.start(parent);
    m.run();
    const auto& r = m.results[parent];
    CHECK(r[0] == kFirstPid + 1);
    CHECK(r[2] == -kEAGAIN);
    CHECK(r[4] == 14);  // 13 was spent
    CHECK(r[2 * (302 - 12)] == 302);
    CHECK(r[2 * (302 - 12) + 2] == 300);
    CHECK(r[2 * (302 - 12) + 4] == 301);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("no free pid number: EAGAIN") {
    ScriptMachine m;
    m.set(Tunable::pid_max, 301);
    const u32 child = m.add_list({sleep_op(50_ms)});
    const ForkSpec* f = m.fork_spec(child);
    std::vector<Op> ops(300, fork_op(f));
    const u32 parent = m.add_list(ops);
    m.start(parent);
    m.run();
    CHECK(std::count(m.results[parent].begin(), m.results[parent].end(), -kEAGAIN) == 300 - (300 - 11));
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("kernel memory: a fork that does not fit fails with ENOMEM, and fits again after an exit") {
    ScriptMachine m;
    // boot: 8 cached stacks of 16 KiB, and about 100 KB of slabs; each child takes about 16 KiB + 40 KiB
    m.set(Tunable::kernel_memory_bytes, 420'000);
    const u32 child = m.add_list({sleep_op(5_ms)});
    const ForkSpec* f = m.fork_spec(child);
    std::vector<Op> ops(20, fork_op(f));
    for (int i = 0; i < 20; ++i) ops.push_back(wait_op());
    ops.push_back(sleep_op(100_ms));
    ops.push_back(fork_op(f));
    const u32 parent = m.add_list(ops);
    m.start(parent);
    m.run();
    const auto& r = m.results[parent];
    CHECK(r[0] > 0);
    CHECK(r[19] == -kENOMEM);
    CHECK(r[41] > 0);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("a fatal signal in the middle of fork ends it with EINTR, and the process with it") {
    ScriptMachine m("rpi-4.19-arm64", 4, 10_us);
    const u32 grandchild = m.add_list({});
    const u32 forker = m.add_list({fork_op(m.fork_spec(grandchild))});
    u32 victim = 0;
    const u32 killer = m.add_program({[&victim](u32 step, s64) {
      if (step == 0) return sleep_op(250_us);
      return step == 1 ? Op{.kind = OpKind::kill, .arg = kSIGKILL, .pid = Pid(static_cast<s32>(victim))} : Op{};
    }});
    m.start(forker);
    m.start(killer);
    victim = 11;
    m.run();
    CHECK(m.kernel().totals().fork_errors == 1);
    CHECK(m.kernel().totals().forks == 2);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("a signal that is pending at the head of copy_process comes first, and the clone is restarted, of a thread as of a process") {
    for (const u64 flags : {kForkFlags, kPthreadFlags}) {
      CAPTURE(flags);
      ScriptMachine m;
      m.config().costs.ns[static_cast<std::size_t>(Phase::syscall_entry)] = 1_ms;
      const u32 child = m.add_list({Op{.kind = OpKind::exit}});
      const Op handler{.kind = OpKind::sigaction, .arg = 10, .count = 2}, back{.kind = OpKind::sigreturn};
      // sigaction enters the kernel from 0 to 1 ms, clone from there to 2 ms; kill enters from 0.5 ms and sends at 1.5 ms
      const u32 caller = m.add_list({handler, fork_op(m.fork_spec(child, flags)), back, sleep_op(20_ms)});
      m.start(caller);
      m.start(m.add_list({run_op(500_us), Op{.kind = OpKind::kill, .arg = 10, .pid = Pid(kFirstPid)}}));
      m.run();
      const auto delivered = m.of(Tp::signal_deliver), made = m.of(Tp::task_newtask);
      REQUIRE(delivered.size() == 1);
      REQUIRE(made.size() == 3);  // two that start, and the clone
      CHECK(delivered[0].ts < made[2].ts);
      std::vector<s64> results;
      for (const TraceEvent& e : m.of(Tp::sys_exit))
        if (e.pid.v == kFirstPid && e.args[0] == 220) results.push_back(static_cast<s64>(e.args[1]));
      CHECK(results == std::vector<s64>{-kERESTARTNOINTR, 13});
      CHECK(m.results[caller].at(2) == 13);  // what the program sees, once
      CHECK(m.kernel().totals().forks + m.kernel().totals().threads == 3);
      CHECK(m.kernel().totals().fork_errors == 0);
    }
  }

  TEST_CASE("a signal to a process group reaches the child whose clone it meets, one to the process does not") {
    for (const bool group : {true, false}) {
      CAPTURE(group);
      ScriptMachine m;
      m.config().costs.ns[static_cast<std::size_t>(Phase::copy_mm)] = 4_ms;
      const Op handler{.kind = OpKind::sigaction, .arg = 10, .count = 2}, back{.kind = OpKind::sigreturn};
      const u32 child = group ? m.add_list({back, sleep_op(1_ms)}) : m.add_list({sleep_op(1_ms)});
      m.start(m.add_list({handler, fork_op(m.fork_spec(child)), back, wait_op()}));
      m.start(m.add_list({run_op(2_ms), Op{.kind = OpKind::kill, .arg = 10, .pid = Pid(group ? -kFirstPid : kFirstPid)}}));
      m.run();
      const Ns made = m.of(Tp::task_newtask).at(2).ts;
      CHECK(made > 4_ms);
      CHECK(m.of(Tp::signal_generate).at(0).ts < made);
      std::vector<s32> receivers;
      for (const TraceEvent& e : m.of(Tp::signal_deliver))
        if (e.args[0] == 10) receivers.push_back(e.pid.v);
      std::ranges::sort(receivers);
      CHECK(receivers == (group ? std::vector<s32>{11, 13} : std::vector<s32>{11}));
      CHECK(left_over(m.kernel().alive()) == 0);
    }
  }

  TEST_CASE("CLONE_PARENT makes a sibling, and not below init") {
    ScriptMachine m;
    const u32 sibling = m.add_list({});
    const u32 child = m.add_list({fork_op(m.fork_spec(sibling, kCLONE_PARENT | 17)), wait_op()});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), wait_op(), wait_op(), wait_op()});
    m.start(parent);
    m.run();
    CHECK(m.results[child][1] == -kECHILD);
    CHECK(m.results[parent][2] > 0);
    CHECK(m.results[parent][3] == -kECHILD);
    CHECK(m.kernel().totals().reparented == 0);
  }
}
