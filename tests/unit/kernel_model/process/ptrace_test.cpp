// Tracing: which event a clone is, how tracee and tracer meet, who hears of the end of a tracee, what the end of a tracer leaves.
#include "kernel_model/process/ptrace.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

constexpr s32 kTracer = kFirstPid, kTracee = kFirstPid + 1, kTraceesChild = kFirstPid + 2;
constexpr u64 kForks = kPTRACE_O_TRACEFORK | kPTRACE_O_TRACEVFORK | kPTRACE_O_TRACECLONE;

Op ptrace_op(PtraceRequest request, s32 pid, u64 data = 0) {
  return {.kind = OpKind::ptrace, .arg = static_cast<s64>(request), .count = data, .pid = Pid(pid)};
}

/// What wait4 told a debugger.
struct Told {
  s32 pid;
  u64 status;
  bool operator==(const Told&) const = default;
};
u64 stopped(u32 event, int sig = kSIGTRAP) { return static_cast<u64>(stop_code(event, sig)) << 8 | 0x7f; }

/// A debugger that seizes its first child, then waits and lets go on until it has no child left.
struct Debugger {
  explicit Debugger(ScriptMachine& m_, u64 options, u32 tracee) : m(m_) {
    program = m.add_program({[this, options, tracee](u32 step, s64 last) { return next(step, last, options, tracee); }});
    m.start(program);
  }
  Op next(u32 step, s64 last, u64 options, u32 tracee) {
    if (step == 0) return fork_op(m.fork_spec(tracee));
    if (step == 1) return ptrace_op(PtraceRequest::seize, static_cast<s32>(last), options);
    if (waiting && last > 0) told.push_back({static_cast<s32>(last), m.wait_status});
    if (waiting && last < 0) return exit_op(0);
    if (!waiting) CHECK(last == 0);
    const u64 status = m.wait_status;
    waiting = !waiting || (status & 0xff) != 0x7f || !go_on;
    if (waiting) return wait_op();
    return ptrace_op(PtraceRequest::cont, static_cast<s32>(last), status >> 16 ? 0 : status >> 8 & 0xff);
  }
  ScriptMachine& m;
  u32 program = 0;
  bool waiting = false, go_on = true;
  std::vector<Told> told;
};

u64 left(ScriptMachine& m) {
  const Alive& a = m.kernel().alive();
  return a.task_structs + a.pids + a.signals + a.sighands + a.mms;
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("the event of a clone: vfork before the exit signal, none when untraced or not asked for") {
    struct Case {
      u64 flags;
      u32 event;
    };
    const Case cases[] = {
        {kForkFlags, PTRACE_EVENT_FORK},     {kVforkFlags, PTRACE_EVENT_VFORK},         {kCLONE_VFORK | 10, PTRACE_EVENT_VFORK},
        {kPthreadFlags, PTRACE_EVENT_CLONE}, {kCLONE_VM, PTRACE_EVENT_CLONE},           {10, PTRACE_EVENT_CLONE},
        {kSIGCHLD, PTRACE_EVENT_FORK},       {kCLONE_VM | kSIGCHLD, PTRACE_EVENT_FORK}, {kForkFlags | kCLONE_UNTRACED, 0},
        {kVforkFlags | kCLONE_UNTRACED, 0},  {kPthreadFlags | kCLONE_UNTRACED, 0},
    };
    Task t;
    for (const Case& c : cases) {
      CAPTURE(c.flags);
      CHECK(choose_fork_event(t, c.flags) == 0);  // nobody traces it
      for (u32 option = 1; option <= 5; ++option) {
        t.ptrace = PT_PTRACED | PT_SEIZED | (1u << option) << PT_OPT_FLAG_SHIFT;
        CHECK(choose_fork_event(t, c.flags) == (option == c.event ? c.event : 0));
      }
      t.ptrace = 0;
    }
  }

  TEST_CASE("a traced fork: both stop, the tracer hears of each by SIGCHLD and wait4, and takes both ends before the parent") {
    ScriptMachine m;
    const u32 child = m.add_list({exit_op(3)});
    const u32 parent = m.add_list({sleep_op(5_ms), fork_op(m.fork_spec(child)), wait_op(), exit_op(4)});
    Debugger gdb(m, kForks, parent);
    m.run();
    std::vector<Told> of_parent, of_child;
    for (const Told& t : gdb.told) (t.pid == kTracee ? of_parent : of_child).push_back(t);
    // the child: stopped before its first instruction, then its end; the parent: the event, SIGCHLD of its child, its end
    CHECK(of_child == std::vector<Told>{{kTraceesChild, stopped(PTRACE_EVENT_STOP)}, {kTraceesChild, 3 << 8}});
    CHECK(of_parent == std::vector<Told>{{kTracee, stopped(PTRACE_EVENT_FORK)}, {kTracee, stopped(0, kSIGCHLD)}, {kTracee, 4 << 8}});
    CHECK(m.results[parent] == std::vector<s64>{0, kTraceesChild, kTraceesChild});
    // the child's end: first the tracer is told, and only when it has waited the real parent
    std::vector<s32> told;
    for (const TraceEvent& e : m.of(Tp::signal_generate))
      if (e.args[0] == kSIGCHLD && e.args[2] == kCLD_EXITED) told.push_back(static_cast<s32>(e.args[4]));
    CHECK(told == std::vector<s32>{kTracer, kTracee, kTracer, kInitPid});
    // every stop is a sleep in TASK_TRACED
    const auto traced = std::ranges::count_if(m.of(Tp::sched_switch), [](const TraceEvent& e) { return e.args[3] == 't'; });
    CHECK(traced == 3);
    CHECK(left(m) == 0);
    CHECK(m.kernel().stuck_tasks().empty());
  }

  TEST_CASE("CLONE_UNTRACED and an event that nobody asked for: the child is not traced and the parent does not stop") {
    for (const auto& [flags, options] :
         {std::pair{kForkFlags | kCLONE_UNTRACED, kForks}, std::pair{kForkFlags, u64{kPTRACE_O_TRACEVFORK}}}) {
      ScriptMachine m;
      const u32 child = m.add_list({exit_op(0)});
      const u32 parent = m.add_list({sleep_op(5_ms), fork_op(m.fork_spec(child, flags)), wait_op()});
      Debugger gdb(m, options, parent);
      m.run();
      CHECK(gdb.told == std::vector<Told>{{kTracee, stopped(0, kSIGCHLD)}, {kTracee, 0}});
      CHECK(left(m) == 0);
    }
  }

  TEST_CASE("CLONE_PTRACE hands the tracer on without an event") {
    ScriptMachine m;
    const u32 child = m.add_list({exit_op(0)});
    const u32 parent = m.add_list({sleep_op(5_ms), fork_op(m.fork_spec(child, kForkFlags | kCLONE_PTRACE)), wait_op()});
    Debugger gdb(m, 0, parent);
    m.run();
    CHECK(gdb.told == std::vector<Told>{
                          {kTraceesChild, stopped(PTRACE_EVENT_STOP)}, {kTraceesChild, 0}, {kTracee, stopped(0, kSIGCHLD)}, {kTracee, 0}});
    CHECK(left(m) == 0);
  }

  TEST_CASE("a traced vfork and exec: VFORK, the child's exec, VFORK_DONE when it has let go of the address space") {
    ScriptMachine m;
    const u32 image = m.add_list({run_op(1_ms), exit_op(0)});
    const ExecSpec exec{"/bin/new", &m.shape, image};
    const u32 child = m.add_list({Op{.kind = OpKind::exec, .exec = &exec}});
    const u32 parent = m.add_list({sleep_op(5_ms), fork_op(m.fork_spec(child, kVforkFlags)), wait_op()});
    Debugger gdb(m, kForks | kPTRACE_O_TRACEEXEC | kPTRACE_O_TRACEVFORKDONE, parent);
    m.run();
    std::vector<u64> of_parent, of_child;
    for (const Told& t : gdb.told) (t.pid == kTracee ? of_parent : of_child).push_back(t.status);
    CHECK(of_child == std::vector<u64>{stopped(PTRACE_EVENT_STOP), stopped(PTRACE_EVENT_EXEC), 0});
    CHECK(of_parent == std::vector<u64>{stopped(PTRACE_EVENT_VFORK), stopped(PTRACE_EVENT_VFORK_DONE), stopped(0, kSIGCHLD), 0});
    CHECK(left(m) == 0);
  }

  TEST_CASE("a traced thread is waited for by the tracer alone, and its leader's end comes after it") {
    ScriptMachine m;
    const u32 thread = m.add_list({op(OpKind::exit)});
    const u32 process = m.add_list({sleep_op(5_ms), fork_op(m.fork_spec(thread, kPthreadFlags)), op(OpKind::exit, 7)});
    Debugger gdb(m, kForks, process);
    m.run();
    REQUIRE(gdb.told.size() >= 4);
    CHECK(gdb.told.back() == Told{kTracee, 7 << 8});
    CHECK(gdb.told[gdb.told.size() - 2] == Told{kTraceesChild, 0});
    CHECK(left(m) == 0);
  }

  TEST_CASE("a signal goes to the tracer first, but SIGKILL gets through to a stopped tracee") {
    ScriptMachine m;
    const u32 tracee = m.add_list({sleep_op(1_s)});
    Debugger gdb(m, 0, tracee);
    gdb.go_on = false;                    // waits on, with the tracee stopped
    constexpr s32 kSecond = kTracee + 1;  // the killer comes between
    const u32 killer =
        m.add_list({sleep_op(5_ms), op(OpKind::kill, kSIGTERM, kSecond), sleep_op(5_ms), op(OpKind::kill, kSIGKILL, kSecond)});
    m.start(killer);
    m.run();
    CHECK(gdb.told == std::vector<Told>{{kSecond, stopped(0, kSIGTERM)}, {kSecond, kSIGKILL}});
    CHECK(left(m) == 0);
  }

  TEST_CASE("the end of a tracer: stopped tracees go on, those that are dead go to their parents") {
    ScriptMachine m;
    const u32 child = m.add_list({sleep_op(20_ms), exit_op(3)});
    const u32 parent = m.add_list({sleep_op(5_ms), fork_op(m.fork_spec(child)), wait_op(), exit_op(4)});
    const u32 tracer =
        m.add_list({fork_op(m.fork_spec(parent)), ptrace_op(PtraceRequest::seize, kTracee, kForks), sleep_op(50_ms), exit_op(0)});
    m.start(tracer);
    m.run();
    CHECK(m.results[parent] == std::vector<s64>{0, kTraceesChild, kTraceesChild});
    CHECK(m.of(Tp::do_exit).size() == 3);
    CHECK(m.of(Tp::do_exit).front().args[0] == kTracer);  // both stood still until then
    CHECK(m.kernel().stuck_tasks().empty());
    CHECK(left(m) == 0);
  }

  TEST_CASE("a dead tracee whose tracer ends without waiting goes to its real parent") {
    ScriptMachine m;
    const u32 child = m.add_list({sleep_op(20_ms), exit_op(3)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), wait_op()});
    m.start(parent);  // 11 forks 13, whom 12 traces
    const u32 tracer = m.add_list({sleep_op(5_ms), ptrace_op(PtraceRequest::seize, kTraceesChild), sleep_op(50_ms)});
    m.start(tracer);
    m.run();
    CHECK(m.results[tracer].at(1) == 0);
    CHECK(m.results[parent] == std::vector<s64>{kTraceesChild, kTraceesChild});
    const auto exits = m.of(Tp::do_exit);
    REQUIRE(exits.size() == 3);
    CHECK(exits[0].args[0] == kTraceesChild);
    CHECK(exits[1].args[0] == kTracee);  // only now does the parent know
    CHECK(left(m) == 0);
  }

  TEST_CASE("a signal that the tracer has not seen is taken when the tracer ends") {
    ScriptMachine m;
    const u32 tracee = m.add_list({sleep_op(5_ms), op(OpKind::kill, kSIGTERM, kTracee), run_op(1_ms)});
    const u32 tracer = m.add_list({fork_op(m.fork_spec(tracee)), ptrace_op(PtraceRequest::seize, kTracee), sleep_op(20_ms)});
    m.start(tracer);
    m.run();
    const auto exits = m.of(Tp::do_exit);
    REQUIRE(exits.size() == 2);
    CHECK(exits[0].args[0] == kTracer);
    CHECK(exits[1].args[0] == kTracee);
    CHECK(exits[1].args[1] == kSIGTERM);
    CHECK(left(m) == 0);
  }

  TEST_CASE("a stopped tracee that is detached goes on with the signal it is given") {
    ScriptMachine m;
    const u32 tracee = m.add_list({sleep_op(5_ms), op(OpKind::kill, 10, kTracee), run_op(1_ms)});
    const u32 tracer =
        m.add_list({fork_op(m.fork_spec(tracee)), ptrace_op(PtraceRequest::seize, kTracee), wait_op(),
                    ptrace_op(PtraceRequest::detach, kTracee, kSIGTERM), ptrace_op(PtraceRequest::cont, kTracee), wait_op()});
    m.start(tracer);
    m.run();
    CHECK(m.results[tracer] == std::vector<s64>{kTracee, 0, kTracee, 0, -kESRCH, kTracee});
    CHECK(m.of(Tp::do_exit).front().args[1] == kSIGTERM);
    CHECK(left(m) == 0);
  }

  TEST_CASE("a group stop of a tracee: the signal, the trap of the stop, and after SIGCONT the trap that it is over") {
    ScriptMachine m;
    constexpr s32 kSecond = kTracee + 1;  // who sends comes between
    const u32 tracee = m.add_list({sleep_op(50_ms)});
    Debugger gdb(m, 0, tracee);
    m.start(m.add_list({sleep_op(5_ms), op(OpKind::kill, kSIGSTOP, kSecond), sleep_op(5_ms), op(OpKind::kill, kSIGCONT, kSecond)}));
    m.run();
    CHECK(gdb.told == std::vector<Told>{{kSecond, stopped(0, kSIGSTOP)},
                                        {kSecond, stopped(PTRACE_EVENT_STOP, kSIGSTOP)},
                                        {kSecond, stopped(PTRACE_EVENT_STOP)},
                                        {kSecond, stopped(0, kSIGCONT)},
                                        {kSecond, 0}});
    CHECK(left(m) == 0);
  }

  TEST_CASE("requests fail as in the kernel: who is traced already, oneself, a tracee that runs") {
    ScriptMachine m;
    const u32 tracee = m.add_list({sleep_op(50_ms)});
    const u32 tracer =
        m.add_list({fork_op(m.fork_spec(tracee)), ptrace_op(PtraceRequest::seize, kTracee), ptrace_op(PtraceRequest::seize, kTracee),
                    ptrace_op(PtraceRequest::seize, kTracer), ptrace_op(PtraceRequest::seize, 99), ptrace_op(PtraceRequest::seize, 2),
                    ptrace_op(PtraceRequest::cont, kTracee), ptrace_op(PtraceRequest::detach, kTracee), wait_op()});
    m.start(tracer);
    m.run();
    CHECK(m.results[tracer] == std::vector<s64>{kTracee, 0, -kEPERM, -kEPERM, -kESRCH, -kEPERM, -kESRCH, -kESRCH, kTracee});
    CHECK(left(m) == 0);
  }
}
