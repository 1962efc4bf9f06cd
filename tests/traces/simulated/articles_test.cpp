// The examples of the articles on fork and exit, as their ftrace logs show them: which functions and events follow each other in which
// task.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/traces/graph_text.hpp"
#include "tests/traces/simulated/run.hpp"

using namespace forksim::traces;

namespace {

/// What the articles' set_ftrace_filter and set_event let through, in the layout of function_graph with the task column.
std::vector<GraphLine> run_example(const std::string& workload, const std::string& functions) {
  const forksim::cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  const auto r =
      forksim::cli::run(FORKSIM_BINARY_DIR "/forksim run workloads/" + workload +
                            ".yaml --quiet --trace function_graph --set trace.graph.proc=true --set trace.functions=" + functions +
                            " --set 'trace.events=sched:sched_switch,sched:sched_process_*,signal:*,task:*' --out " + out,
                        FORKSIM_SOURCE_DIR);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  return parse_graph(read_text_file(out + "/trace.function_graph"));
}

/// A step of the story: the task (by the name it has then) and a function it enters or the beginning of an event's text.
struct Told {
  std::string comm, what;
};

/// Where the story stops matching; its size when all of it is there in this order.
std::size_t told_until(const std::vector<GraphLine>& lines, const std::vector<Told>& story) {
  std::size_t at = 0;
  for (const GraphLine& l : lines) {
    if (at == story.size()) break;
    const bool event = l.kind == GraphLine::Kind::comment, function = l.kind == GraphLine::Kind::entry || l.kind == GraphLine::Kind::leaf;
    // the task column cuts names to seven characters
    if (!l.task.starts_with(story[at].comm.substr(0, 7) + '-')) continue;
    if ((event && l.text.find(story[at].what) == 0) || (function && l.text == story[at].what)) ++at;
  }
  return at;
}

void check_story(const std::vector<GraphLine>& lines, const std::vector<Told>& story) {
  const std::size_t until = told_until(lines, story);
  CHECK_MESSAGE(until == story.size(),
                "not in the trace, or too early: ", until < story.size() ? story[until].comm + ": " + story[until].what : "");
}

}  // namespace

TEST_CASE(
    "article, raspbian_proc: bash clones, the child becomes raspbian_proc, sleeps, gets signal 9 and dies in do_exit, bash gets SIGCHLD") {
  const auto lines = run_example("raspbian_proc", "sys_clone,do_exit,get_signal");
  check_story(lines, {{"bash", "__arm64_sys_clone"},
                      {"bash", "_do_fork"},
                      {"bash", "copy_process"},
                      {"bash", "task_newtask: pid=12 comm=bash clone_flags=1200011"},
                      {"bash", "sched_process_fork: comm=bash pid=11 child_comm=bash child_pid=12"},
                      {"bash", "wake_up_new_task"},
                      {"bash", "task_rename: pid=12 oldcomm=bash newcomm=raspbian_proc"},
                      {"raspbian_proc", "sched_process_exec: filename=./raspbian_proc pid=12"},
                      {"raspbian_proc", "sched_switch: prev_comm=raspbian_proc prev_pid=12 prev_prio=120 prev_state=S"},
                      {"raspbian_proc", "sched_switch: prev_comm=raspbian_proc prev_pid=12 prev_prio=120 prev_state=S"},
                      {"bash", "signal_generate: sig=9 errno=0 code=0 comm=raspbian_proc pid=12"},
                      {"raspbian_proc", "get_signal"},
                      {"raspbian_proc", "signal_deliver: sig=9"},
                      {"raspbian_proc", "do_group_exit"},
                      {"raspbian_proc", "do_exit"},
                      {"raspbian_proc", "sched_process_exit: comm=raspbian_proc pid=12"},
                      {"raspbian_proc", "exit_notify"},
                      {"raspbian_proc", "signal_generate: sig=17"},
                      {"raspbian_proc", "do_task_dead"},
                      {"raspbian_proc", "sched_switch: prev_comm=raspbian_proc prev_pid=12 prev_prio=120 prev_state=Z"}});
}

TEST_CASE("article, exit: the program ends itself through sys_exit_group and do_exit, and its parent gets signal 17") {
  const auto lines = run_example("raspbian_exit", "sys_clone,sys_exit_group");
  check_story(lines, {{"bash", "__arm64_sys_clone"},
                      {"bash", "copy_process"},
                      {"raspbian_proc", "__arm64_sys_exit_group"},
                      {"raspbian_proc", "do_group_exit"},
                      {"raspbian_proc", "do_exit"},
                      {"raspbian_proc", "exit_signals"},
                      {"raspbian_proc", "exit_mm"},
                      {"raspbian_proc", "exit_files"},
                      {"raspbian_proc", "exit_fs"},
                      {"raspbian_proc", "exit_notify"},
                      {"raspbian_proc", "do_notify_parent"},
                      {"raspbian_proc", "signal_generate: sig=17"},
                      {"raspbian_proc", "do_task_dead"}});
  CHECK(std::ranges::none_of(lines, [](const GraphLine& l) { return l.text == "get_signal"; }));
}

TEST_CASE("article, fork under gdb: clone with 0x1200011 through _do_fork, then parent and child sleep by turns") {
  const auto lines = run_example("raspbian_fork", "sys_clone");
  check_story(lines, {{"raspbian_fork", "__arm64_sys_clone"},
                      {"raspbian_fork", "_do_fork"},
                      {"raspbian_fork", "copy_process"},
                      {"raspbian_fork", "dup_task_struct"},
                      {"raspbian_fork", "task_newtask: pid=13 comm=raspbian_fork clone_flags=1200011"},
                      {"raspbian_fork", "sched_process_fork: comm=raspbian_fork pid=12 child_comm=raspbian_fork child_pid=13"},
                      {"raspbian_fork", "sched_switch: prev_comm=raspbian_fork prev_pid=12 prev_prio=120 prev_state=S"},
                      {"raspbian_fork", "sched_switch: prev_comm=raspbian_fork prev_pid=13 prev_prio=120 prev_state=S"}});
}

TEST_CASE(
    "article, whoami: a child called bash is whoami from search_binary_handler on, exits, is reaped and freed after the grace period") {
  const auto lines =
      run_example("raspbian_whoami", "_do_fork,sys_clone,do_exit,search_binary_handler,copy_process*,delayed_put_task_struct");
  check_story(lines, {{"bash", "__arm64_sys_clone"},
                      {"bash", "copy_process"},
                      {"bash", "sched_process_fork: comm=bash pid=11 child_comm=bash child_pid=12"},
                      {"bash", "search_binary_handler"},
                      {"bash", "task_rename: pid=12 oldcomm=bash newcomm=whoami"},
                      {"whoami", "sched_process_exec: filename=/usr/bin/whoami pid=12"},
                      {"whoami", "do_exit"},
                      {"whoami", "sched_process_exit: comm=whoami pid=12"},
                      {"whoami", "do_task_dead"}});
  CHECK(std::ranges::any_of(lines, [](const GraphLine& l) { return l.text.starts_with("sched_process_free: comm=whoami pid=12"); }));
}
