// Pid namespaces: number 1, adoption, immunity, visibility, and the end that takes everybody along.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "kernel_model/process/objects.hpp"
#include "kernel_model/process/paths.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

constexpr u64 kNewPid = kCLONE_NEWPID | kSIGCHLD;

Ns exit_of(const ScriptMachine& m, s32 pid) {
  for (const TraceEvent& e : m.of(Tp::do_exit))
    if (e.args[0] == static_cast<u64>(pid)) return e.ts;
  return kNever;
}

/// Results of a system call of a task, as the task sees them.
std::vector<s64> returns(const ScriptMachine& m, s32 pid, s64 nr) {
  std::vector<s64> out;
  for (const TraceEvent& e : m.of(Tp::sys_exit))
    if (e.pid.v == pid && static_cast<s64>(e.args[0]) == nr) out.push_back(static_cast<s64>(e.args[1]));
  return out;
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("pid namespace: the child is number 1 there, its children 2 and 3, orphans come to it and not to init") {
    ScriptMachine m;
    const u32 leaf = m.add_list({sleep_op(20_ms)});
    const u32 middle = m.add_list({fork_op(m.fork_spec(leaf)), run_op(1_ms)});
    const u32 one = m.add_list({fork_op(m.fork_spec(middle)), wait_op(), wait_op(), wait_op()});
    m.start(m.add_list({fork_op(m.fork_spec(one, kNewPid)), wait_op()}));
    m.kernel().advance(10_ms);
    for (const auto& numbers : {std::pair{kFirstPid + 1, 1}, std::pair{kFirstPid + 3, 3}}) {
      CHECK(m.kernel().refs(Pid(numbers.first)).ns_pid == Pid(numbers.second));
      CHECK(m.kernel().refs(Pid(numbers.first)).ns_level == 1);
    }
    CHECK(m.kernel().refs(Pid(kFirstPid)).ns_level == 0);
    m.run();
    const auto moved = m.of(Tp::reparent);
    REQUIRE(moved.size() == 1);
    CHECK(moved[0].args[0] == kFirstPid + 3);
    CHECK(moved[0].args[2] == kFirstPid + 1);
    CHECK(m.results[one].at(1) == kFirstPid + 2);
    CHECK(m.results[one].at(2) == kFirstPid + 3);
    CHECK(m.results[one].at(3) == -kECHILD);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("pid namespace: getpid, getppid, clone and wait4 return numbers of the caller's namespace, 0 for a parent outside") {
    ScriptMachine m;
    const Op getpid{.kind = OpKind::syscall, .arg = Nr::getpid, .count = 1},
        getppid{.kind = OpKind::syscall, .arg = Nr::getppid, .count = 1};
    const u32 inside = m.add_list({getpid, getppid});
    const u32 one = m.add_list({getpid, getppid, fork_op(m.fork_spec(inside)), wait_op()});
    m.start(m.add_list({fork_op(m.fork_spec(one, kNewPid)), wait_op(), getpid}));
    m.run();
    CHECK(returns(m, kFirstPid, Nr::clone) == std::vector<s64>{kFirstPid + 1});
    CHECK(returns(m, kFirstPid, Nr::wait4) == std::vector<s64>{kFirstPid + 1});
    CHECK(returns(m, kFirstPid, Nr::getpid) == std::vector<s64>{kFirstPid});
    CHECK(returns(m, kFirstPid + 1, Nr::getpid) == std::vector<s64>{1});
    CHECK(returns(m, kFirstPid + 1, Nr::getppid) == std::vector<s64>{0});
    CHECK(returns(m, kFirstPid + 1, Nr::clone) == std::vector<s64>{2});
    CHECK(returns(m, kFirstPid + 1, Nr::wait4) == std::vector<s64>{2});
    CHECK(returns(m, kFirstPid + 2, Nr::getpid) == std::vector<s64>{2});
    CHECK(returns(m, kFirstPid + 2, Nr::getppid) == std::vector<s64>{1});
  }

  TEST_CASE("pid namespace: the end of number 1 kills all others, and is complete only when they are gone") {
    ScriptMachine m;
    const u32 leaf = m.add_list({sleep_op(10_s)});
    const u32 orphaner = m.add_list({fork_op(m.fork_spec(leaf))});
    const u32 one = m.add_list({fork_op(m.fork_spec(leaf)), fork_op(m.fork_spec(orphaner)), sleep_op(10_ms), exit_op(4)});
    const u32 outside = m.add_list({fork_op(m.fork_spec(one, kNewPid)), wait_op()});
    m.start(outside);
    m.start(m.add_list({sleep_op(100_ms)}));  // of another namespace: lives on
    m.run();
    CHECK(m.results[outside].at(1) == kFirstPid + 2);
    const Ns end = exit_of(m, kFirstPid + 2);
    CHECK(end > 10_ms);
    CHECK(end < 11_ms);
    Ns last{0};
    for (s32 pid : {kFirstPid + 3, kFirstPid + 4, kFirstPid + 5}) {
      CHECK(exit_of(m, pid) < 12_ms);
      last = std::max(last, exit_of(m, pid));
    }
    const auto zombies = m.of(Tp::exit_notify);
    const auto mine = std::ranges::find_if(zombies, [](const TraceEvent& e) { return e.args[0] == kFirstPid + 2; });
    REQUIRE(mine != zombies.end());
    CHECK(mine->ts > last);
    CHECK(exit_of(m, kFirstPid + 1) > 100_ms);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("pid namespace: inside, nothing without a handler reaches number 1, from outside SIGKILL does and SIGTERM does not") {
    ScriptMachine m;
    const u32 inside = m.add_list({op(OpKind::kill, kSIGKILL, kFirstPid + 1), op(OpKind::kill, kSIGTERM, kFirstPid + 1), sleep_op(10_s)});
    const u32 one = m.add_list({fork_op(m.fork_spec(inside)), sleep_op(10_s)});
    m.start(m.add_list({fork_op(m.fork_spec(one, kNewPid)), sleep_op(20_ms), op(OpKind::kill, kSIGTERM, kFirstPid + 1), sleep_op(20_ms),
                        op(OpKind::kill, kSIGKILL, kFirstPid + 1), wait_op()}));
    m.run();
    CHECK(exit_of(m, kFirstPid + 1) > 40_ms);
    CHECK(exit_of(m, kFirstPid + 1) < 41_ms);
    CHECK(exit_of(m, kFirstPid + 2) < 42_ms);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("pid namespace: who is outside has no number inside: kill finds nobody, kill -1 spares it and number 1") {
    ScriptMachine m;
    const u32 other = m.add_list({sleep_op(1_s)});
    const u32 killer = m.add_list({op(OpKind::kill, kSIGKILL, kFirstPid), op(OpKind::kill, kSIGKILL, -1), sleep_op(5_ms)});
    const u32 one = m.add_list({fork_op(m.fork_spec(other)), fork_op(m.fork_spec(killer)), wait_op(), wait_op(), sleep_op(5_ms)});
    m.start(m.add_list({fork_op(m.fork_spec(one, kNewPid)), wait_op(), sleep_op(5_ms)}));
    m.run();
    CHECK(m.results[killer].at(0) == -kESRCH);
    CHECK(m.results[killer].at(1) == 0);
    CHECK(exit_of(m, kFirstPid + 2) < 5_ms);                       // other
    CHECK(exit_of(m, kFirstPid + 3) > exit_of(m, kFirstPid + 2));  // the killer
    CHECK(exit_of(m, kFirstPid + 1) > exit_of(m, kFirstPid + 3));  // number 1
    CHECK(exit_of(m, kFirstPid) > exit_of(m, kFirstPid + 1));
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("pid namespace: setpriority, sched_*, setpgid and ptrace find who is inside and nobody else") {
    ScriptMachine m;
    const CpuMask one_cpu = CpuMask::of(CpuId(1));
    const auto calls = [&](s32 pid) {
      return std::vector<Op>{op(OpKind::nice, 5, pid),
                             {.kind = OpKind::affinity, .pid = Pid(pid), .mask = &one_cpu},
                             {.kind = OpKind::setscheduler, .arg = 3, .pid = Pid(pid)},
                             op(OpKind::setpgid, 0, pid),
                             op(OpKind::ptrace, static_cast<s64>(PtraceRequest::seize), pid)};
    };
    const u32 other = m.add_list({sleep_op(20_ms)});
    std::vector<Op> inside = calls(kFirstPid);
    for (const Op& o : calls(kFirstPid + 2)) inside.push_back(o);
    inside.push_back(op(OpKind::setpgid, kFirstPid));  // into a group that is outside
    const u32 caller = m.add_list(inside);
    const u32 one = m.add_list({fork_op(m.fork_spec(other)), fork_op(m.fork_spec(caller)), wait_op(), wait_op()});
    m.start(m.add_list({fork_op(m.fork_spec(one, kNewPid)), wait_op()}));
    m.run();
    const std::vector<s64>& r = m.results[caller];
    for (std::size_t i = 0; i < 5; ++i) CHECK_MESSAGE(r.at(i) == -kESRCH, i);
    // the brother is seen: setpgid is for oneself and children, the others work
    for (std::size_t i = 5; i < 10; ++i) CHECK_MESSAGE(r.at(i) == (i == 8 ? -kESRCH : 0), i);
    CHECK(r.at(10) == -kEPERM);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("pid namespace: no fork in one whose init is dying: ENOMEM, and nothing is left over") {
    u32 refused = 0;
    for (Ns offset{0}; offset < 60_us; offset += 3_us) {
      ScriptMachine m;
      const u32 leaf = m.add_list({});
      // blocked signals do not stop SIGKILL: the forks go on until it is delivered
      const ForkSpec* f = m.fork_spec(leaf);
      const u32 forker = m.add_program({[f](u32, s64) { return fork_op(f); }});
      const u32 one = m.add_list({fork_op(m.fork_spec(forker)), sleep_op(Ns((1_ms).v + offset.v)), exit_op(0)});
      m.start(m.add_list({fork_op(m.fork_spec(one, kNewPid)), wait_op()}));
      m.run();
      for (const TraceEvent& e : m.of(Tp::fork_return)) refused += static_cast<s64>(e.args[1]) == -kENOMEM;
      CHECK(left_over(m.kernel().alive()) == 0);
    }
    CHECK(refused > 0);
  }

  TEST_CASE("pid namespaces nest to level 32, the next is ENOSPC, each level costs one more number, the end of the first ends all") {
    ScriptMachine m;
    std::vector<u32> programs;
    const ForkSpec* too_deep = m.fork_spec(1, kNewPid);
    const u32 deepest = m.add_program({[too_deep](u32 step, s64) { return step == 0 ? fork_op(too_deep) : sleep_op(10_s); }});
    programs.push_back(deepest);
    for (int level = 31; level >= 1; --level)
      programs.push_back(m.add_list({fork_op(m.fork_spec(programs.back(), kNewPid)), sleep_op(level == 1 ? 50_ms : 10_s)}));
    m.start(m.add_list({fork_op(m.fork_spec(programs.back(), kNewPid)), wait_op()}));
    m.run();
    CHECK(m.results[deepest].at(0) == -kENOSPC);
    CHECK(m.kernel().totals().forks == 33);
    // half of alloc_pid's row (1 us) more for each level
    const auto calls = m.of(Tp::fork_call), ends = m.of(Tp::fork_return);
    REQUIRE(calls.size() == 33);
    const auto took = [&](s32 pid) {
      const auto of_task = [pid](const TraceEvent& e) { return e.args[0] == static_cast<u64>(pid); };
      return (std::ranges::find_if(ends, of_task)->ts - std::ranges::find_if(calls, of_task)->ts).v;
    };
    CHECK(took(kFirstPid + 20) - took(kFirstPid + 10) == 10 * 500);
    CHECK(m.of(Tp::do_exit).back().ts < 200_ms);
    CHECK(left_over(m.kernel().alive()) == 0);
  }

  TEST_CASE("setuid: root becomes a user, whose processes count, and who cannot go back") {
    ScriptMachine m;
    m.set(Tunable::rlimit_nproc, 2);
    const u32 child = m.add_list({sleep_op(5_ms)});
    const ForkSpec* f = m.fork_spec(child);
    const u32 p =
        m.add_list({op(OpKind::setuid, 1000), fork_op(f), fork_op(f), op(OpKind::setuid, 0), op(OpKind::setuid, 1000), wait_op()});
    m.start(p);
    m.run();
    const auto& r = m.results[p];
    CHECK(r.at(0) == 0);
    CHECK(r.at(1) > 0);
    CHECK(r.at(2) == -kEAGAIN);  // it and one child are two
    CHECK(r.at(3) == -kEPERM);
    CHECK(r.at(4) == 0);
    CHECK(left_over(m.kernel().alive()) == 0);
  }
}
