// The examples of the articles, seen the way the articles see them: ftrace, ps, and the life of the task.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;

namespace {

/// The value behind `key`, up to a blank, in the first line that contains `mark`.
std::string value_in(const std::string& text, const std::string& mark, const std::string& key) {
  const std::size_t at = text.find(mark);
  REQUIRE_MESSAGE(at != std::string::npos, mark);
  const std::size_t line = text.rfind('\n', at) + 1, value = text.find(key, line);
  REQUIRE(value != std::string::npos);
  return text.substr(value + key.size(), text.find_first_of(" \n", value + key.size()) - value - key.size());
}

/// Each step is in a line after the line of the step before.
void check_in_order(const std::string& text, const std::vector<std::string>& steps) {
  std::size_t at = 0;
  for (const std::string& step : steps) {
    const std::size_t found = text.find(step, at);
    REQUIRE_MESSAGE(found != std::string::npos, "missing, or too early: ", step);
    at = text.find('\n', found);
  }
}

/// Columns of a trace are padded; one blank is as good.
std::string squeezed(const std::string& text) {
  std::string out;
  for (char c : text)
    if (c != ' ' || !out.ends_with(' ')) out += c;
  return out;
}

/// Runs a workload with --trace ftrace into `out`, with no invariant violated, and returns the trace.
std::string traced(const Session& forksim, const std::string& name, const std::string& more = {}) {
  const Result r = forksim("run " + workload(name) + " --trace ftrace --json --out out " + more);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  CHECK(contains(r.out, "\"violated\": 0"));
  return squeezed(read_file(forksim.path() / "out/trace.ftrace"));
}

/// What the articles show of a child that bash starts: its birth under its parent's name, then execve.
std::vector<std::string> birth(const std::string& bash, const std::string& child, const std::string& comm, const std::string& file) {
  return {"NR 220 (1200011,",
          "task_newtask: pid=" + child + " comm=bash clone_flags=1200011",
          "sched_process_fork: comm=bash pid=" + bash + " child_comm=bash child_pid=" + child,
          "sched_wakeup_new: comm=bash pid=" + child,
          "==> next_comm=bash next_pid=" + child,
          "NR 221",
          "task_rename: pid=" + child + " oldcomm=bash newcomm=" + comm,
          "sched_process_exec: filename=" + file + " pid=" + child + " old_pid=" + child};
}

struct Pids {
  std::string bash, child;
  explicit Pids(const std::string& trace)
      : bash(value_in(trace, "sched_process_fork: comm=bash", " pid=")), child(value_in(trace, "clone_flags=1200011", " pid=")) {}
};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("raspbian_proc: born as bash, runs and sleeps in turns, killed by signal 9, its parent gets SIGCHLD") {
    const Session forksim;
    const std::string trace = traced(forksim, "raspbian_proc");
    const Pids p(trace);
    const std::string us = "comm=raspbian_proc pid=" + p.child, away = "prev_comm=raspbian_proc prev_pid=" + p.child;
    check_in_order(trace, birth(p.bash, p.child, "raspbian_proc", "./raspbian_proc") +
                              std::vector<std::string>{
                                  "NR 64", away + " prev_prio=120 prev_state=S", "sched_waking: " + us,
                                  "next_comm=raspbian_proc next_pid=" + p.child, away + " prev_prio=120 prev_state=S", "NR 129 (",
                                  "sched_waking: " + us, "signal_generate: sig=9 errno=0 code=0 " + us + " grp=1 res=0",
                                  "signal_deliver: sig=9", "do_exit: pid=" + p.child + " code=9", "sched_process_exit: " + us,
                                  "signal_generate: sig=17 errno=0 code=2 comm=bash pid=" + p.bash, away + " prev_prio=120 prev_state=Z",
                                  "release_task: pid=" + p.child, "sched_process_free: " + us});
  }

  TEST_CASE("raspbian_exit: ends itself through exit_group, and its parent gets SIGCHLD with CLD_EXITED") {
    const Session forksim;
    const std::string trace = traced(forksim, "raspbian_exit");
    const Pids p(trace);
    const std::string us = "comm=raspbian_proc pid=" + p.child;
    CHECK_FALSE(contains(trace, "sig=9 "));
    check_in_order(
        trace, birth(p.bash, p.child, "raspbian_proc", "./raspbian_proc") +
                   std::vector<std::string>{"raspbian_proc-" + p.child, "NR 94 (0,", "do_exit: pid=" + p.child + " code=0",
                                            "sched_process_exit: " + us, "signal_generate: sig=17 errno=0 code=1 comm=bash pid=" + p.bash,
                                            "prev_pid=" + p.child + " prev_prio=120 prev_state=Z", "release_task: pid=" + p.child,
                                            "sched_process_free: " + us});
  }

  TEST_CASE("raspbian_fork: glibc's fork is clone with flags 0x1200011, and both sides go on printing") {
    const Session forksim;
    const std::string trace = traced(forksim, "raspbian_fork");
    const std::string parent = value_in(trace, "child_comm=raspbian_fork", " pid="),
                      child = value_in(trace, "child_comm=raspbian_fork", "child_pid=");
    const std::string fork = trace.substr(trace.find("filename=./raspbian_fork"));
    check_in_order(
        fork, {"raspbian_fork-" + parent, "NR 220 (1200011, 0, 0, 0, 0, 0)", "pid=" + child + " comm=raspbian_fork clone_flags=1200011",
               "sched_process_fork: comm=raspbian_fork pid=" + parent + " child_comm=raspbian_fork child_pid=" + child,
               "sched_wakeup_new: comm=raspbian_fork pid=" + child, "NR 220 = " + child});
    for (const std::string& side : {parent, child}) {
      const std::string who = "raspbian_fork-" + side + " ";
      std::size_t writes = 0;
      std::istringstream lines(fork);
      for (std::string line; std::getline(lines, line);) writes += contains(line, who) && contains(line, "NR 64 (");
      CHECK(writes == 11);  // "start execution of ..." and ten lines
    }
  }

  TEST_CASE("gdb_follow_fork: each stop sleeps in state t, tells the debugger by SIGCHLD, and ends with its PTRACE_CONT") {
    const Session forksim;
    const std::string trace = traced(forksim, "gdb_follow_fork");
    const std::string gdb = value_in(trace, "child_comm=gdb child_pid=", "child_pid="),
                      inferior = value_in(trace, "comm=gdb pid=" + gdb + " child_comm", "child_pid="),
                      child = value_in(trace, "child_comm=raspbian_fork", "child_pid=");
    const std::string told = "code=4 comm=gdb pid=" + gdb, cont = "NR 117 (7, ";
    const auto stopped = [](const std::string& pid) { return "prev_pid=" + pid + " prev_prio=120 prev_state=t"; };
    check_in_order(trace, {"NR 117 (4206, c,", "filename=./raspbian_fork pid=" + inferior, told, stopped(inferior), "NR 260 = " + inferior,
                           cont + "c,", "child_comm=raspbian_fork child_pid=" + child, told, stopped(inferior), "NR 260 = " + inferior,
                           cont + "c,", "NR 220 = " + child});
    // the new tracee traps before its first instruction and goes on when it is let go
    check_in_order(trace, {"child_comm=raspbian_fork child_pid=" + child, "code=5 comm=gdb pid=" + gdb, stopped(child), "NR 260 = " + child,
                           cont + "d,", "raspbian_fork-" + child + " [", "NR 64 (", "do_exit: pid=" + child, "code=1 comm=gdb pid=" + gdb,
                           "code=1 comm=raspbian_fork pid=" + inferior, "NR 260 = " + child, told, stopped(inferior), cont + "c,",
                           "do_exit: pid=" + inferior, "do_exit: pid=" + gdb});
    const std::string ps = squeezed(forksim("ps out --at 3.9ms").out);
    CHECK(contains(ps, "t 0 " + inferior + " " + gdb + " "));
    CHECK(contains(ps, "t 0 " + child + " " + inferior + " "));  // PPID is the real parent
    CHECK(contains(squeezed(forksim("explain out --pid " + child).out), "stopped for tracer until woken by pid " + gdb + " (gdb)"));
  }

  TEST_CASE("raspbian_whoami: the child of the shell is called bash until execve, exits, and the shell reaps it") {
    const Session forksim;
    const std::string trace = traced(forksim, "raspbian_whoami");
    const Pids p(trace);
    check_in_order(trace, birth(p.bash, p.child, "whoami", "/usr/bin/whoami") +
                              std::vector<std::string>{"NR 94 (0,", "sched_process_exit: comm=whoami pid=" + p.child,
                                                       "signal_generate: sig=17 errno=0 code=1",
                                                       "prev_comm=whoami prev_pid=" + p.child + " prev_prio=120 prev_state=Z",
                                                       "sched_process_free: comm=whoami pid=" + p.child});
    check_in_order(trace, {"NR 260", "sched_process_wait: comm=bash pid=" + p.child, "NR 260 = " + p.child});
  }

  TEST_CASE("trace.events limits the trace, and changes neither the result nor its folder's name") {
    const Session forksim;
    const std::string all = traced(forksim, "raspbian_whoami"), report = read_file(forksim.path() / "out/report.json");
    const std::string some = traced(forksim, "raspbian_whoami", "--set 'trace.events=sched:sched_process_*,signal:*'");
    CHECK(report == read_file(forksim.path() / "out/report.json"));
    std::istringstream lines(all);
    std::string expected;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("#") || contains(line, ": sched_process_") || contains(line, ": signal_")) expected += line + '\n';
    CHECK(some == expected);
    CHECK(some.size() < all.size() / 4);
    CHECK(forksim("run " + workload("raspbian_whoami") + " --quiet").code == 0);
    CHECK(forksim("run " + workload("raspbian_whoami") + " --quiet --trace ftrace --set trace.events=sched").code == 0);
    std::size_t folders = 0;
    for (const std::string& f : forksim.files())
      folders += f.starts_with("results/runs/") && std::ranges::count(f, '/') == 3 && f.ends_with('/');
    CHECK(folders == 1);
  }

  TEST_CASE("trace.events: unknown names, other keys, and no trace to limit are refused with a hint") {
    const Session forksim;
    const Result r = forksim("run " + kSmall + " --trace ftrace --set trace.events=sched:sched_swich --set trace.evnts=x");
    CHECK(r.code == 2);
    CHECK(contains(r.err, "--set trace.events=sched:sched_swich: no tracepoint is called"));
    CHECK(contains(r.err, "did you mean \"sched:sched_switch\"?"));
    CHECK(contains(r.err, "did you mean \"trace.events\"?"));
    const Result none = forksim("run " + kSmall + " --set 'trace.events=sched:*'");
    CHECK(none.code == 2);
    CHECK(contains(none.err, "--trace ftrace"));
  }

  TEST_CASE("ps shows the machine at a date: the tree, the names, where the sleepers sleep") {
    const Session forksim;
    const std::string trace = traced(forksim, "raspbian_proc");
    const Pids p(trace);
    const Result tree = forksim("ps out --at 5s -ejH");
    CHECK(tree.code == 0);
    CHECK(tree.err.empty());
    CHECK(tree.out.starts_with("  PID  PGID   SID TTY          TIME CMD\n    2     0     0 ?        00:00:00 kthreadd\n"));
    CHECK(tree.out.ends_with("    1     0     0 ?        00:00:00 init\n" + std::string(5 - p.bash.size(), ' ') + p.bash +
                             std::string(6 - p.bash.size(), ' ') + p.bash + std::string(6 - p.bash.size(), ' ') + p.bash +
                             " ?        00:00:00   bash\n" + std::string(5 - p.child.size(), ' ') + p.child +
                             std::string(6 - p.bash.size(), ' ') + p.bash + std::string(6 - p.bash.size(), ' ') + p.bash +
                             " ?        00:00:00     raspbian_proc\n"));
    const std::string long_list = forksim("ps out --at 5s -ely").out;
    CHECK(contains(long_list, " 80   0   672   168 hrtime ?        00:00:00 raspbian_proc\n"));
    const std::string bsd = forksim("ps out --at 5s axjf").out;
    CHECK(contains(bsd, "[kthreadd]\n"));
    CHECK(contains(bsd, " Ss       0   0:00 bash\n"));
    CHECK(contains(bsd, " S        0   0:00  \\_ ./raspbian_proc\n"));
    CHECK(forksim("ps out --at 5s").out == long_list);
    CHECK_FALSE(contains(forksim("ps out --at 100us -ely").out, "raspbian_proc"));
  }

  TEST_CASE("ps and explain refuse what they cannot show") {
    const Session forksim;
    REQUIRE(forksim("run " + kSmall + " --quiet --out out").code == 0);
    const std::vector<std::pair<std::string, std::string>> kRefused = {
        {"ps out", "--at"},
        {"ps out --at 5", "ns"},
        {"ps out --at 5h", "the run ended at"},
        {"ps out --at 1ms -ef", "allowed: -ely, -ejH, -axjf"},
        {"ps nowhere --at 1ms", "nowhere/life.csv"},
        {"explain out", "--pid"},
        {"explain out --pid 30000", "no task had pid 30000"},
        {"explain out --pid x", "--pid x"},
        {"explain out --fork 999", "allowed: 0 to"},
        {"explain nowhere --pid 1", "nowhere/life.csv"},
    };
    for (const auto& [arguments, reason] : kRefused) {
      const Result r = forksim(arguments);
      CAPTURE(arguments);
      CAPTURE(r.err);
      CHECK(r.code == 2);
      CHECK(r.out.empty());
      CHECK(contains(r.err, reason));
    }
  }

  TEST_CASE("the thread of an interrupt is a child of kthreadd from the boot on, and known to ps and explain") {
    const Session forksim;
    forksim.file("w.yaml", R"(schema: forksim.workload/1
description: one device
source: invented
interrupts:
  - {name: dev, irq: 40, handler: 2us, thread: 5us, at: 1ms, every: 1ms, count: 3}
processes:
  - name: worker
    phases: [{run: 10ms}]
start:
  - {process: worker}
)");
    REQUIRE(forksim("run w.yaml --quiet --out out").code == 0);
    const std::string tasks = read_file(forksim.path() / "out/tasks.csv");
    const std::size_t comm = tasks.find(",irq/40-dev,");
    REQUIRE(comm != std::string::npos);
    const std::string row = tasks.substr(tasks.rfind('\n', comm) + 1), pid = row.substr(0, row.find(','));
    CHECK(row.starts_with(pid + "," + pid + ",2,irq/40-dev,0,"));
    CHECK(forksim("explain out --pid " + pid).code == 0);
    CHECK(contains(forksim("ps out ely --at 5ms").out, "irq/40-dev"));
  }

  TEST_CASE("explain tells a life from birth to free, and its phases add up") {
    const Session forksim;
    const Pids p(traced(forksim, "raspbian_proc"));
    const Result r = forksim("explain out --pid " + p.child);
    CHECK(r.code == 0);
    CHECK(r.err.empty());
    CHECK(r.out.starts_with("pid " + p.child + " (bash): forked by pid " + p.bash + " (bash), clone flags 0x1200011\n"));
    check_in_order(squeezed(r.out),
                   {"created", "waiting to run new on CPU", "running is called raspbian_proc now; execs ./raspbian_proc",
                    "sleeping in nanosleep until woken by the timer interrupt", "waiting to run", "running",
                    "sleeping in nanosleep until woken by pid " + p.bash + " (bash)", "signal 9 (SIGKILL) from pid " + p.bash + " (bash)",
                    "running", "exiting killed by signal 9 (SIGKILL)", "zombie until reaped by pid " + p.bash + " (bash)", "dead until RCU",
                    "PHASE COUNT", "sleeping in nanosleep 4 ", "whole life"});
    const auto lives = nlohmann::json::parse(forksim("explain out --pid " + p.child + " --json").out);
    REQUIRE(lives.size() == 1);
    const auto& phases = lives[0]["phases"];
    std::uint64_t next = phases[0]["start_ns"], total = 0, of_kinds = 0;
    for (const auto& phase : phases) {
      CHECK(phase["start_ns"] == next);
      next += phase["duration_ns"].get<std::uint64_t>();
      total += phase["duration_ns"].get<std::uint64_t>();
    }
    for (const auto& kind : lives[0]["sums"]) of_kinds += kind["total_ns"].get<std::uint64_t>();
    CHECK(of_kinds == total);
    CHECK(lives[0]["complete"] == true);
  }

  TEST_CASE("exit_to_free has a sample for every life, also where pids are so scarce that one is given away several times a grace period") {
    const Session forksim;
    for (const std::string scarce : {"", " --set tunables.pid_max=301"}) {
      const nlohmann::json r = report_of(forksim, workload("unixbench_spawn4") + " --until 300ms" + scarce);
      const std::uint64_t freed = r["totals"]["task_structs_freed"], failed = r["totals"]["fork_errors"];
      CHECK((failed > 0) == !scarce.empty());
      CHECK(freed > failed + 100);
      CHECK(r["latency"]["exit_to_free"]["count"] == freed - failed);
    }
  }

  TEST_CASE("a run outside the repository without --platform says where it looked and what to give") {
    const TempDir elsewhere;
    std::filesystem::copy_file(kForksim, elsewhere.path() / "forksim");
    const Result r = run("./forksim run " + kSmall, elsewhere.path());
    CHECK(r.code == 2);
    CHECK(contains(r.err, "no platform \"bcm2711\""));
    CHECK(contains(r.err, "--platform PATH"));
    CHECK_FALSE(contains(r.err, ", ,"));
  }
}
