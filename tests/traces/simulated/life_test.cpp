// Programs whose interleaving depends on load: the life of every task, from task_newtask to its last switch, is that of the recording.
#include <algorithm>
#include <map>
#include <set>

#include "tests/traces/compare.hpp"
#include "tests/traces/recordings.hpp"
#include "tests/traces/simulated/run.hpp"

using namespace forksim::traces;

namespace {

std::string text(const Event& e, const char* key) { return field(e.body, key).value_or("?"); }

/// What happens once or in an order of its own in a task's life: birth, names, exit, signals, last switch. Wake-ups and preemptions are
/// left out: how often a task waits depends on the machine's load.
using Life = std::vector<std::string>;

std::string joined(const Life& life) {
  std::string s;
  for (const std::string& what : life) s += what + "; ";
  return s;
}

struct Lives {
  std::vector<Life> tasks;  ///< children of the program in order of creation
  std::size_t reaped = 0;   ///< by its wait4
};

Lives lives_of(const std::vector<Event>& events) {
  Lives lives;
  int program = 0;
  std::map<int, std::size_t> index;
  for (const Event& e : events) {
    if (e.name == "print" && !program) program = e.pid;
    if (!program) continue;
    if (e.name == "task_newtask" && e.pid == program) {
      index[static_cast<int>(number(e.body, "pid"))] = lives.tasks.size();
      lives.tasks.emplace_back();
    }
    auto tell = [&](long pid, const std::string& what) {
      const auto it = index.find(static_cast<int>(pid));
      if (it != index.end()) lives.tasks[it->second].push_back(what);
    };
    const auto receiver = [&] { return number(e.body, "pid") == program ? std::string(" to P") : std::string(" to another"); };
    if (e.name == "task_newtask") tell(number(e.body, "pid"), "newtask " + text(e, "clone_flags"));
    if (e.name == "sched_process_fork") tell(number(e.body, "child_pid"), "fork");
    if (e.name == "sched_wakeup_new") tell(number(e.body, "pid"), "wakeup_new");
    if (e.name == "task_rename") tell(number(e.body, "pid"), "rename " + text(e, "newcomm"));
    if (e.name == "sched_process_exit") tell(e.pid, "exit");
    // The leader's SIGCHLD is sent by whichever task of the group goes last, which may be a thread that was preempted in do_exit.
    const bool of_leader = e.name == "signal_generate" && number(e.body, "pid") != program && text(e, "sig") == "17";
    if (e.name == "signal_generate" && !of_leader)
      tell(e.pid, "generate " + text(e, "sig") + " " + text(e, "code") + " " + text(e, "res") + receiver());
    if (e.name == "signal_deliver") tell(e.pid, "deliver " + text(e, "sig"));
    if (e.name == "sys_enter" && (e.body.starts_with("NR 93 ") || e.body.starts_with("NR 94 "))) tell(e.pid, e.body.substr(0, 5));
    if (e.name == "sys_exit" && e.pid == program && e.body.starts_with("NR 260 = "))
      lives.reaped += index.contains(std::stoi(e.body.substr(9)));
    const bool dead = e.name == "sched_switch" && (text(e, "prev_state") == "Z" || text(e, "prev_state") == "X");
    if (dead) tell(number(e.body, "prev_pid"), "dead");  // X is a zombie whose parent was quick
  }
  return lives;
}

void check_lives(const std::string& program, const std::string& kernel, const std::string& folder) {
  CAPTURE(program);
  const auto simulated = run_workload(kWorkloads + program + ".yaml", kernel);
  for (const auto& d : check_trace(simulated)) FAIL_CHECK(d);
  const Lives want = lives_of(recorded(folder, program)), have = lives_of(simulated);
  CHECK(want.tasks.size() > 2);
  CHECK(want.reaped == have.reaped);
  REQUIRE(want.tasks.size() == have.tasks.size());
  for (std::size_t i = 0; i < want.tasks.size(); ++i) {
    CAPTURE(i);
    CHECK(joined(want.tasks[i]) == joined(have.tasks[i]));
  }
}

/// The stories of the tasks of a kernel thread's creation or stop, by role, in the window between two events.
struct Window {
  std::map<std::string, Life> stories;
  std::map<int, std::string> roles;
};

void tell(Window& w, int pid, const std::string& what) {
  const auto r = w.roles.find(pid);
  if (r != w.roles.end()) w.stories[r->second].push_back(what);
}

std::string role(const Window& w, const Event& e) {
  const auto r = w.roles.find(static_cast<int>(number(e.body, "pid")));
  return r == w.roles.end() ? "?" : r->second;
}

void tell_event(Window& w, const Event& e) {
  const auto pid = [&](const char* key) { return static_cast<int>(number(e.body, key)); };
  if (e.name == "sched_waking") tell(w, e.pid, "wakes " + role(w, e));
  if (e.name == "sched_wakeup") tell(w, pid("pid"), "woken");
  if (e.name == "task_newtask") tell(w, e.pid, "newtask " + text(e, "clone_flags"));
  if (e.name == "sched_process_fork") tell(w, e.pid, "fork");
  if (e.name == "sched_wakeup_new") tell(w, e.pid, "wakeup_new");
  if (e.name == "task_rename") tell(w, e.pid, "renames " + role(w, e) + " to " + text(e, "newcomm"));
  if (e.name == "sched_process_exit") tell(w, e.pid, "exit");
  if (e.name == "signal_generate") tell(w, e.pid, "signal");
  if (e.name == "sched_kthread_stop" || e.name == "sched_kthread_stop_ret") tell(w, e.pid, e.name);
  if (e.name == "sched_switch") {
    tell(w, pid("prev_pid"), "out " + text(e, "prev_state"));
    tell(w, pid("next_pid"), "in");
  }
}

/// From the creator's wake-up of kthreadd to the new thread's second sleep.
Window creation(const std::vector<Event>& events) {
  Window w;
  int sleeps = 0;
  for (const Event& e : events) {
    if (w.roles.empty() && (e.name != "sched_waking" || number(e.body, "pid") != 2)) continue;
    if (w.roles.empty()) w.roles = {{2, "kthreadd"}, {e.pid, "creator"}};
    if (e.name == "task_newtask" && e.pid == 2) w.roles[static_cast<int>(number(e.body, "pid"))] = "thread";
    tell_event(w, e);
    const auto out = w.roles.find(e.name == "sched_switch" ? static_cast<int>(number(e.body, "prev_pid")) : -1);
    if (out != w.roles.end() && out->second == "thread" && ++sleeps == 2) break;
  }
  auto& creator = w.stories["creator"];  // what it does after it has let the thread go is its own affair
  const auto last = std::find(creator.begin(), creator.end(), "wakes thread");
  if (last != creator.end()) creator.erase(last + 1, creator.end());
  return w;
}

Window stop(const std::vector<Event>& events) {
  Window w;
  bool returned = false;
  for (const Event& e : events) {
    if (w.roles.empty() && e.name != "sched_kthread_stop") continue;
    if (w.roles.empty()) w.roles = {{static_cast<int>(number(e.body, "pid")), "thread"}, {e.pid, "stopper"}};
    tell_event(w, e);
    returned |= e.name == "sched_kthread_stop_ret";
    if (returned && w.stories["thread"].back() == "out X") break;  // the two are concurrent
  }
  return w;
}

}  // namespace

TEST_SUITE("traces") {
  TEST_CASE("threads, a fork storm, message passing and a pipeline: every task's life is the recorded one") {
    for (const char* program : {"c_pthreads", "d_forkstorm", "e_hack", "m_pipe"}) {
      check_lives(program, "rpi-4.19-arm64", "4.19-arm64-rpi-icount");
      check_lives(program, "mc-4.19-arm64", "4.19-arm64-icount");
    }
  }

  TEST_CASE("kthread_create and kthread_stop follow the recorded order") {
    const auto want = recorded("4.19-arm64-rpi-icount", "n_kthread"), have = run_workload(kWorkloads + "n_kthread.yaml", "rpi-4.19-arm64");
    for (const std::string who : {"creator", "kthreadd", "thread"}) {
      CAPTURE(who);
      CHECK(creation(want).stories.at(who).size() > 3);
      CHECK(joined(creation(want).stories.at(who)) == joined(creation(have).stories.at(who)));
    }
    for (const std::string who : {"stopper", "thread"}) {
      CAPTURE(who);
      CHECK(stop(want).stories.at(who).size() > 3);
      CHECK(joined(stop(want).stories.at(who)) == joined(stop(have).stories.at(who)));
    }
  }

  TEST_CASE("kernel stacks hit, miss, are cached and are freed on the CPUs of the recording") {
    struct Count {
      std::map<std::string, std::string> cpus;  ///< by result, in order
    };
    std::map<std::string, Count> want, have;
    const std::string csv = read_text_file(kData + "4.19-arm64-rpi-stacks/st.csv.xz");
    for (std::size_t at = csv.find('\n') + 1; at < csv.size();) {
      const std::string line = csv.substr(at, csv.find('\n', at) - at);
      at += line.size() + 1;
      const std::size_t s = line.find(",\"s") != std::string::npos ? line.find(",\"s") + 2 : line.find(",s") + 1;
      const std::size_t op = std::max(line.rfind(",alloc,") + 1, line.rfind(",free,") + 1);
      if (s < 2 || op == 0) continue;  // before the first mark
      const std::size_t cpu = line.find(',', line.find(',', op) + 1) + 1, result = line.find(',', cpu) + 1;
      want[line.substr(s, 2)].cpus[line.substr(result, line.find(',', result) - result)] += line.substr(cpu, result - 1 - cpu);
    }
    std::string mark;
    for (const Event& e : run_workload(FORKSIM_SOURCE_DIR "/workloads/stack_cache.yaml", "rpi-4.19-arm64")) {
      if (e.name == "print") mark = e.body.substr(0, 2);
      if (mark.empty()) continue;
      if (e.name == "stack_alloc") have[mark].cpus[number(e.body, "hit") ? "HIT" : "MISS"] += std::to_string(e.cpu);
      if (e.name == "stack_free") have[mark].cpus[number(e.body, "cached") ? "CACHED" : "FULL"] += std::to_string(e.cpu);
    }
    for (const char* s : {"s1", "s2", "s3", "s4", "s5", "s6", "s8", "s9"}) {
      CAPTURE(s);
      REQUIRE_FALSE(want[s].cpus.empty());
      CHECK(want[s].cpus == have[s].cpus);
    }
    // unpinned: where each child dies depends on averages of threads that are not simulated, how often it fits does not
    for (const char* result : {"HIT", "MISS", "CACHED", "FULL"}) CHECK(want["s7"].cpus[result].size() == have["s7"].cpus[result].size());
  }
}
