// The call trees of life-cycle actions, recorded with ftrace's function_graph tracer on a real kernel, against those of the simulated run
// of the same program.
//
// Compared: for every task of the program (the process, its child, the kernel thread, kthreadd) all trees in order, and for idle tasks and
// workers of the CPUs that it uses which trees there are. Down to three levels, as the recorded trees go.
// Left out: locks (spin locks, semaphores, RCU read locks: no time and no order of their own in the model), and what the machine did for
// itself meanwhile: the threads of RCU and what idle CPUs do to wake them.
#include <algorithm>
#include <functional>
#include <set>

#include "tests/traces/graph_text.hpp"
#include "tests/traces/simulated/run.hpp"

using namespace forksim::traces;

namespace {

const std::string kGraphs = kData + "4.19-arm64-rpi-fgraph/";

/// The functions that began a tree when the recordings were made.
constexpr const char* kRoots =
    "__arm64_sys_clone,_do_fork,do_exit,do_wait,kernel_wait4,__arm64_sys_execve,__do_execve_file,schedule,schedule_idle,preempt_schedule_"
    "irq,"
    "finish_task_switch,schedule_tail,wake_up_new_task,try_to_wake_up,sched_ttwu_pending,scheduler_ipi,do_signal,get_signal,do_notify_"
    "resume,"
    "kthread,kthread_stop,__kthread_create_on_node";

bool is_lock(const std::string& f) {
  for (const char* prefix : {"_raw_", "__rcu_read_", "down_", "up_"})
    if (f.starts_with(prefix)) return true;
  return f == "mutex_lock" || f == "mutex_unlock";
}
bool is_unmodelled(const std::string& f) {
  static const std::set<std::string> kNames{
#define UNMODELLED(name, why) #name,
#include "kernel_model/trace/unmodelled_functions.def"
  };
  return kNames.contains(f);
}

/// The tree without what is not compared; cut below `levels`.
CallTree reduced(const CallTree& t, unsigned levels) {
  CallTree r{t.function, t.task, t.cpu, {}};
  if (levels <= 1) return r;
  for (const CallTree& c : t.calls)
    if (!is_lock(c.function) && !is_unmodelled(c.function)) r.calls.push_back(reduced(c, levels - 1));
  return r;
}

std::string comm_of(const std::string& task) { return task.substr(0, task.rfind('-')); }
/// A task keeps its number when its name changes.
std::string pid_of(const std::string& task) { return task.substr(task.rfind('-') + 1); }
bool of_program(const std::string& comm) { return comm == "fgact" || comm == "nop" || comm == "kthread" || comm == "kthr_te"; }
bool of_rcu(const std::string& comm) { return comm.starts_with("rcu_"); }

struct Forest {
  std::vector<std::string> tasks;       ///< trees of the program's tasks, by task in order of appearance
  std::set<std::string> idle, workers;  ///< different trees of the CPUs that they use
};

/// do_notify_resume that had nothing to do but what is not modelled is no tree.
bool empty_resume(const CallTree& whole, const CallTree& left) {
  return whole.function == "do_notify_resume" && !whole.calls.empty() && left.calls.empty();
}

Forest forest_of(const std::string& text, const std::string& from = {}, const std::string& to = {}) {
  Forest f;
  const std::vector<CallTree> trees = call_trees(parse_graph(text), from, to);
  std::vector<std::string> order;
  std::set<int> cpus;
  for (const CallTree& t : trees) {
    if (!of_program(comm_of(t.task))) continue;
    if (std::ranges::find(order, pid_of(t.task)) == order.end()) order.push_back(pid_of(t.task));
    cpus.insert(t.cpu);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (const CallTree& t : trees) {
      const CallTree r = reduced(t, 3);
      if (pid_of(t.task) == order[i] && !empty_resume(t, r)) f.tasks.push_back("task " + std::to_string(i) + ": " + to_text(r));
    }
  }
  for (const CallTree& t : trees) {
    const std::string comm = comm_of(t.task);
    if (of_program(comm) || of_rcu(comm) || !cpus.contains(t.cpu)) continue;
    (comm == "<idle>" ? f.idle : f.workers).insert(to_text(reduced(t, 3)));
  }
  return f;
}

Forest recorded_forest(const std::string& action) { return forest_of(read_text_file(kGraphs + action + ".d4.proc.txt.xz")); }

Forest simulated(const std::string& action) {
  const forksim::cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  const auto r = forksim::cli::run(FORKSIM_BINARY_DIR "/forksim run '" + kWorkloads + "fgraph_" + action +
                                       ".yaml' --kernel rpi-4.19-arm64 --quiet --trace function_graph" +
                                       " --set trace.events=ftrace:print --set trace.graph.proc=true --set trace.graph.inlined=false --set "
                                       "trace.graph.depth=4 --set trace.functions=" +
                                       kRoots + " --out " + out,
                                   FORKSIM_SOURCE_DIR);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  return forest_of(read_text_file(out + "/trace.function_graph"), "on", "off");
}

void check_trees(const std::string& action) {
  const Forest real = recorded_forest(action), ours = simulated(action);
  REQUIRE(!real.tasks.empty());
  CHECK(ours.tasks.size() == real.tasks.size());
  for (std::size_t i = 0; i < std::min(real.tasks.size(), ours.tasks.size()); ++i) CHECK(ours.tasks[i] == real.tasks[i]);
  CHECK(!ours.idle.empty());
  for (const std::string& t : ours.idle) CHECK_MESSAGE(real.idle.contains(t), t);
  for (const std::string& t : ours.workers) CHECK_MESSAGE(real.workers.contains(t), t);
}

}  // namespace

TEST_CASE("the call trees of fork are those of the real kernel") { check_trees("fork"); }
TEST_CASE("the call trees of vfork and exec are those of the real kernel") { check_trees("vfork"); }
TEST_CASE("the call trees of pthread_create and join are those of the real kernel") { check_trees("pthread"); }
TEST_CASE("the call trees of kill are those of the real kernel") { check_trees("kill"); }
TEST_CASE("the call trees of a kernel thread are those of the real kernel") { check_trees("kthread"); }
