// The table of functions: what it claims is so, what the articles name is in it, and what it says is shown is shown.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "tests/traces/graph_text.hpp"
#include "tests/traces/simulated/run.hpp"

using namespace forksim::traces;
namespace fs = std::filesystem;

namespace {

const std::string kForksim = FORKSIM_BINARY_DIR "/forksim ";

std::string printed(const std::string& arguments) {
  const auto r = forksim::cli::run(kForksim + arguments, FORKSIM_SOURCE_DIR);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  return r.out;
}

std::vector<std::vector<std::string>> rows(const std::string& table) {
  std::vector<std::vector<std::string>> out;
  for (std::size_t at = 0; at < table.size();) {
    const std::size_t end = std::min(table.find('\n', at), table.size());
    const std::string line = table.substr(at, end - at);
    at = end + 1;
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    for (std::size_t c = 2; c < line.size();) {
      const std::size_t bar = line.find(" |", c);
      std::string cell = line.substr(c, bar - c);
      std::erase(cell, '`');
      cells.push_back(cell);
      c = bar + 3;
    }
    out.push_back(cells);
  }
  return out;
}

std::string between(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t a = text.find(from), b = text.find(to);
  REQUIRE(a != std::string::npos);
  REQUIRE(b != std::string::npos);
  return text.substr(a + from.size(), b - a - from.size());
}

/// All sources of the tests in one text.
const std::string& test_sources() {
  static const std::string kAll = [] {
    std::string s;
    for (const auto& e : fs::recursive_directory_iterator(kSource + "tests"))
      if (e.path().extension() == ".cpp") s += read_text_file(e.path().string());
    return s;
  }();
  return kAll;
}

std::string escaped(std::string name) {
  for (std::size_t at = 0; (at = name.find('"', at)) != std::string::npos; at += 2) name.insert(at, "\\");
  return name;
}

/// With the options of their runs.
constexpr const char* kGraphWorkloads[] = {"workloads/raspbian_proc.yaml",
                                           "workloads/raspbian_fork.yaml",
                                           "workloads/shell_pipeline.yaml",
                                           "workloads/vfork_exec_loop.yaml",
                                           "workloads/stack_cache.yaml",
                                           "workloads/kill_sleeper.yaml",
                                           "tests/traces/workloads/n_kthread.yaml",
                                           "tests/traces/workloads/f_kill.yaml",
                                           "tests/traces/workloads/c_pthreads.yaml",
                                           "tests/traces/workloads/d_forkstorm.yaml",
                                           "workloads/container_init.yaml",
                                           "workloads/hotplug_during_fork_storm.yaml",
                                           "workloads/governor_ondemand_ramp.yaml",
                                           "workloads/hrtick_slices.yaml",
                                           "tests/traces/workloads/graph_schedutil.yaml",
                                           "tests/traces/workloads/graph_rare.yaml",
                                           "workloads/preemption_models.yaml --set config.PREEMPT=voluntary --until 40ms"};

std::vector<GraphLine> graph_of(const std::string& workload, const std::string& options) {
  const forksim::cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  printed("run " + workload + " --quiet --trace function_graph --set trace.graph.proc=true --set trace.graph.tail=true " + options +
          " --out " + out);
  return parse_graph(read_text_file(out + "/trace.function_graph"));
}

}  // namespace

TEST_CASE("the table of functions in kernel_model/README.md is what forksim prints, and no cell is empty") {
  const std::string readme = read_text_file(kSource + "kernel_model/README.md"), table = printed("list functions --markdown");
  CHECK(between(readme, "<!-- functions: begin -->\n", "<!-- functions: end -->") == table);
  for (const auto& row : rows(table)) {
    INFO(row[0]);
    CHECK(row.size() == 7);
    CHECK(std::ranges::none_of(row, [](const std::string& cell) { return cell.empty(); }));
  }
}

TEST_CASE("every function of the table is in its file, its cost row on the board, and its test exists") {
  const std::string costs = read_text_file(kSource + "platforms/bcm2711.costs.yaml"),
                    phases = read_text_file(kSource + "kernel_model/cost/phases.def");
  for (const auto& row : rows(printed("list functions --markdown"))) {
    INFO(row[0]);
    CHECK(read_text_file(kSource + "kernel_model/" + row[2]).find(row[3]) != std::string::npos);
    CHECK(phases.find("PHASE(" + row[5] + ",") != std::string::npos);
    CHECK(costs.find(row[5] + ":") != std::string::npos);
    CHECK(test_sources().find("TEST_CASE(\"" + escaped(row[6]) + "\"") != std::string::npos);
  }
}

TEST_CASE("every function that the articles name is in the table") {
  std::set<std::string> known;
  for (const auto& row : rows(printed("list functions --markdown"))) known.insert(row[0]);
  const std::string names = read_text_file(kData + "article_functions.txt");
  std::size_t count = 0;
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = names.find('\n', at);
    const std::string name = names.substr(at, end - at);
    at = end + 1;
    if (name.empty() || name.front() == '#') continue;
    ++count;
    CHECK_MESSAGE(known.contains(name), name);
  }
  CHECK(count > 180);
}

TEST_CASE("what the comparison of call trees leaves out is told in kernel_model/README.md, name by name") {
  std::string table = "| function | why |\n|---|---|\n";
#define UNMODELLED(name, why) table += "| `" #name "` | " why " |\n";
#include "kernel_model/trace/unmodelled_functions.def"
  CHECK(between(read_text_file(kSource + "kernel_model/README.md"), "<!-- unmodelled functions: begin -->\n",
                "<!-- unmodelled functions: end -->") == table);
}

TEST_CASE("functions of rarer paths are entered and left in pairs") {
  std::set<std::string> seen;
  for (const char* workload : kGraphWorkloads) {
    std::map<std::string, std::vector<std::string>> stacks;
    for (const GraphLine& l : graph_of(workload, "")) {
      INFO(workload, " ", l.task, " ", l.text);
      std::vector<std::string>& s = stacks[l.task.ends_with("-0") ? "cpu" + std::to_string(l.cpu) : l.task.substr(l.task.rfind('-') + 1)];
      if (l.kind == GraphLine::Kind::entry || l.kind == GraphLine::Kind::leaf) {
        // a task that died inside do_exit leaves its functions to nobody
        if (l.depth == 0) s.clear();
        CHECK(l.depth == s.size());
        seen.insert(l.text);
        if (l.kind == GraphLine::Kind::entry) s.push_back(l.text);
      } else if (l.kind == GraphLine::Kind::exit && !s.empty()) {
        CHECK(l.text == s.back());
        CHECK(l.depth == s.size() - 1);
        s.pop_back();
      }
    }
  }
  for (const auto& row : rows(printed("list functions --markdown"))) {
    if (row[1] == "part of its caller") continue;
    const std::string name = row[0].starts_with("sys_") ? "__arm64_" + row[0] : row[0];
    CHECK_MESSAGE(seen.contains(name), "never shown: ", name);
  }
}

TEST_CASE("without CONFIG_PREEMPT a task is preempted in _cond_resched") {
  for (const std::string model : {"full", "voluntary", "none"}) {
    CAPTURE(model);
    std::map<std::string, int> entered;
    for (const GraphLine& l : graph_of("workloads/preemption_models.yaml", "--until 40ms --set config.PREEMPT=" + model))
      if (l.kind == GraphLine::Kind::entry) ++entered[l.text];
    CHECK((entered["preempt_schedule_irq"] > 0) == (model == "full"));
    CHECK((entered["_cond_resched"] > 0) == (model != "full"));
  }
}

TEST_CASE("a switch shows arm64's functions on arm64 only") {
  for (const std::string kernel : {"rpi-4.19-arm64", "rpi-4.19-arm32"}) {
    CAPTURE(kernel);
    std::map<std::string, int> called;
    for (const GraphLine& l : graph_of("workloads/kill_sleeper.yaml", "--kernel " + kernel)) ++called[l.text];
    const bool arm64 = kernel == "rpi-4.19-arm64";
    CHECK(called["check_and_switch_context"] > 0);
    for (const char* f : {"fpsimd_thread_switch", "fpsimd_save", "post_ttbr_update_workaround"}) CHECK((called[f] > 0) == arm64);
    CHECK((called["__arm64_sys_exit_group"] > 0) == arm64);
    CHECK((called["sys_exit_group"] > 0) == !arm64);
  }
}

TEST_CASE("an interrupt shows its functions inside the task that it interrupts") {
  bool inside = false, tick = false, softirq = false;
  int open = 0;
  for (const GraphLine& l :
       graph_of("tests/traces/workloads/d_forkstorm.yaml", "--set trace.functions=copy_process,gic_handle_irq,__do_softirq")) {
    if (l.kind == GraphLine::Kind::irq_begin) ++open;
    if (l.kind == GraphLine::Kind::irq_end) --open;
    CHECK(open >= 0);
    if (l.text == "gic_handle_irq" && l.depth > 0 && l.kind != GraphLine::Kind::exit) inside = true;
    if (l.text == "scheduler_tick") tick = true;
    if (l.text == "__do_softirq" && l.depth > 0) softirq = true;
  }
  CHECK(inside);
  CHECK(tick);
  CHECK(softirq);
  const auto without =
      graph_of("tests/traces/workloads/d_forkstorm.yaml", "--set trace.functions=copy_process --set trace.graph.irqs=false");
  CHECK(
      std::ranges::none_of(without, [](const GraphLine& l) { return l.text == "gic_handle_irq" || l.kind == GraphLine::Kind::irq_begin; }));
}

namespace {
/// Who called whom, over all tasks of a run.
std::set<std::pair<std::string, std::string>> calls_of(const std::string& workload) {
  std::set<std::pair<std::string, std::string>> calls;
  std::map<std::string, std::vector<std::string>> stacks;
  for (const GraphLine& l : graph_of(workload, "")) {
    std::vector<std::string>& s = stacks[l.task.ends_with("-0") ? "cpu" + std::to_string(l.cpu) : l.task.substr(l.task.rfind('-') + 1)];
    if (l.kind == GraphLine::Kind::entry || l.kind == GraphLine::Kind::leaf) {
      s.resize(std::min<std::size_t>(s.size(), l.depth));
      calls.insert({s.empty() ? "" : s.back(), l.text});
      if (l.kind == GraphLine::Kind::entry) s.push_back(l.text);
    } else if (l.kind == GraphLine::Kind::exit && !s.empty()) {
      s.pop_back();
    }
  }
  return calls;
}
}  // namespace

TEST_CASE("a CPU that goes and comes: the functions nest as in kernel/cpu.c") {
  const auto calls = calls_of("workloads/hotplug_during_fork_storm.yaml");
  const std::pair<const char*, const char*> expected[] = {
      {"__arm64_sys_write", "online_store"},
      {"online_store", "device_offline"},
      {"device_offline", "cpu_down"},
      {"cpu_down", "do_cpu_down"},
      {"do_cpu_down", "_cpu_down"},
      {"_cpu_down", "cpuhp_kick_ap_work"},
      {"cpuhp_kick_ap_work", "cpuhp_kick_ap"},
      {"cpuhp_kick_ap", "wake_up_process"},
      {"wake_up_process", "try_to_wake_up"},
      {"cpuhp_kick_ap", "wait_for_completion"},
      {"cpuhp_thread_fun", "cpuhp_invoke_callback"},
      {"cpuhp_invoke_callback", "sched_cpu_deactivate"},
      {"sched_cpu_deactivate", "__wait_rcu_gp"},
      {"__wait_rcu_gp", "schedule"},
      {"cpuhp_thread_fun", "complete"},
      {"_cpu_down", "cpuhp_invoke_callback"},
      {"cpuhp_invoke_callback", "takedown_cpu"},
      {"takedown_cpu", "stop_machine_cpuslocked"},
      {"stop_machine_cpuslocked", "stop_cpus"},
      {"stop_cpus", "queue_stop_cpus_work"},
      {"stop_cpus", "wait_for_completion"},
      {"cpu_stopper_thread", "multi_cpu_stop"},
      {"multi_cpu_stop", "take_cpu_down"},
      {"take_cpu_down", "__cpu_disable"},
      {"cpuhp_invoke_callback", "sched_cpu_dying"},
      {"sched_cpu_dying", "migrate_tasks"},
      {"cpu_stopper_thread", "complete"},
      {"do_idle", "cpuhp_report_idle_dead"},
      {"do_idle", "arch_cpu_idle_dead"},
      {"takedown_cpu", "__cpu_die"},
      {"takedown_cpu", "rcutree_migrate_callbacks"},
      {"cpuhp_invoke_callback", "hrtimers_dead_cpu"},
      {"online_store", "device_online"},
      {"device_online", "cpu_up"},
      {"cpu_up", "do_cpu_up"},
      {"do_cpu_up", "_cpu_up"},
      {"cpuhp_invoke_callback", "bringup_cpu"},
      {"bringup_cpu", "__cpu_up"},
      {"__cpu_up", "wait_for_completion_timeout"},
      {"bringup_cpu", "cpuhp_kick_ap"},
      {"cpuhp_invoke_callback", "sched_cpu_activate"},
  };
  for (const auto& c : expected) CHECK_MESSAGE(calls.contains({c.first, c.second}), c.first << " > " << c.second);
  CHECK_FALSE(calls.contains({"bringup_cpu", "cpuhp_kick_ap_work"}));  // a CPU that comes is kicked by bringup_wait_for_ap
}

TEST_CASE("a governor: the functions nest from the scheduler's hook to the firmware") {
  const auto ondemand = calls_of("workloads/governor_ondemand_ramp.yaml"),
             schedutil = calls_of("tests/traces/workloads/graph_schedutil.yaml");
  const std::pair<const char*, const char*> expected[] = {{"handle_IPI", "irq_work_run"},
                                                          {"irq_work_run", "irq_work_run_list"},
                                                          {"irq_work_run_list", "dbs_irq_work"},
                                                          {"dbs_irq_work", "try_to_wake_up"},
                                                          {"process_one_work", "dbs_work_handler"},
                                                          {"dbs_work_handler", "od_dbs_update"},
                                                          {"od_dbs_update", "dbs_update"},
                                                          {"od_dbs_update", "__cpufreq_driver_target"},
                                                          {"__cpufreq_driver_target", "cpufreq_freq_transition_begin"},
                                                          {"__cpufreq_driver_target", "rpi_firmware_property"},
                                                          {"rpi_firmware_property_list", "rpi_firmware_transaction"},
                                                          {"rpi_firmware_transaction", "wait_for_completion"},
                                                          {"__cpufreq_driver_target", "cpufreq_freq_transition_end"}};
  for (const auto& c : expected) CHECK_MESSAGE(ondemand.contains({c.first, c.second}), c.first << " > " << c.second);
  CHECK(schedutil.contains({"irq_work_run_list", "sugov_irq_work"}));
  CHECK(schedutil.contains({"sugov_work", "__cpufreq_driver_target"}));
  const auto hooked = [](const auto& calls, const std::string& hook) {
    return std::ranges::any_of(calls, [&](const auto& c) { return c.second == hook; });
  };
  CHECK(hooked(ondemand, "dbs_update_util_handler"));
  CHECK_FALSE(hooked(ondemand, "sugov_update_shared"));
  CHECK(hooked(schedutil, "sugov_update_shared"));
}

TEST_CASE("functions that the compiler inlines can be shown or left out") {
  const auto has = [](const std::vector<GraphLine>& lines, const std::string& f) {
    return std::ranges::any_of(lines, [&](const GraphLine& l) { return l.text == f; });
  };
  const auto with = graph_of("workloads/vfork_exec_loop.yaml", ""),
             without = graph_of("workloads/vfork_exec_loop.yaml", "--set trace.graph.inlined=false");
  for (const auto& row : rows(printed("list functions --markdown"))) {
    if (row[1] != "inlined") continue;
    CHECK_FALSE(has(without, row[0]));
  }
  for (const char* f : {"dup_task_struct", "exit_mm", "exit_notify", "__schedule", "context_switch", "wait_task_zombie"})
    CHECK(has(with, f));
  CHECK(has(without, "copy_process"));
}
