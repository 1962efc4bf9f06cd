// Whole runs: events and life cycles per second, bytes per task, start-up of the program.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/bench/child.hpp"
#include "tests/bench/simulation.hpp"

namespace forksim::bench {

namespace {

/// Runs `text` in a child per iteration; the time is the CPU time of the simulation alone, so that other programs do not count. `fastest`
/// is events_per_second of the iteration that guests of the same host disturbed least.
void run_workload(benchmark::State& state, const std::string& text) {
  double events = 0, lifecycles = 0, fastest = 0;
  for (auto _ : state) {
    const Numbers n = in_child([&] {
      const Measured m = simulate(text);
      return Numbers{m.seconds, static_cast<double>(m.totals.sched_events), static_cast<double>(m.totals.task_structs_freed)};
    });
    state.SetIterationTime(n[0]);
    events += n[1];
    lifecycles += n[2];
    fastest = std::max(fastest, n[1] / n[0]);
  }
  state.counters["events_per_second"] = benchmark::Counter(events, benchmark::Counter::kIsRate);
  state.counters["lifecycles_per_second"] = benchmark::Counter(lifecycles, benchmark::Counter::kIsRate);
  state.counters["fastest"] = fastest;
}

/// Mostly wake-ups, switches and short slices.
void thread_pool(benchmark::State& state) { run_workload(state, shipped("thread_pool", "jobs", static_cast<km::u64>(state.range(0)))); }
BENCHMARK(thread_pool)->Arg(20000)->Arg(100000)->UseManualTime()->Unit(benchmark::kMillisecond);

/// Sixteen periodic tasks: timers, ticks and preemption.
void periodic16(benchmark::State& state) { run_workload(state, shipped("periodic16", "rounds", static_cast<km::u64>(state.range(0)))); }
BENCHMARK(periodic16)->Arg(125)->UseManualTime()->Unit(benchmark::kMillisecond);

/// Fork, run, exit, reap, free, one after the other, with the child's page faults, a machine that idles in between and stacks that miss.
void unixbench_spawn(benchmark::State& state) {
  run_workload(state, shipped("unixbench_spawn", "loops", static_cast<km::u64>(state.range(0))));
}
BENCHMARK(unixbench_spawn)->Arg(20000)->UseManualTime()->Unit(benchmark::kMillisecond);

/// Small processes that only exit, each on the CPU of its parent, which waits: the life cycle without idle states and page faults.
std::string small_lives_text(km::u64 count) {
  std::string text =
      "schema: forksim.workload/1\ndescription: life cycles and nothing else\nsource: benchmark\nprocesses:\n  - name: parent\n    "
      "shape: {child_cow: 0, child_file: 0}\n    phases:\n      - loop: " +
      std::to_string(count / 4) + "\n        body: [{fork: , as: kid, child: [{exit: 0}]}, {wait: kid}]\nstart:\n";
  for (int cpu = 0; cpu < 4; ++cpu) text += "  - {process: parent, affinity: [" + std::to_string(cpu) + "]}\n";
  return text;
}
void small_lives(benchmark::State& state) { run_workload(state, small_lives_text(static_cast<km::u64>(state.range(0)))); }
BENCHMARK(small_lives)->Arg(20000)->UseManualTime()->Unit(benchmark::kMillisecond);

std::string sleepers(km::u64 count) {
  return "schema: forksim.workload/1\ndescription: many tasks alive at once\nsource: benchmark\nprocesses:\n  - name: parent\n    "
         "phases:\n      - loop: " +
         std::to_string(count) +
         "\n        body:\n          - {fork: , child: [{sleep: 1000s}]}\n      - {sleep: 1000s}\nstart:\n  - {process: parent}\n";
}

/// Memory of one more sleeping process, from two runs that differ in nothing else.
void bytes_per_task(benchmark::State& state) {
  constexpr km::u64 kFew = 2000, kMany = 18000;
  const auto bytes = [](km::u64 count) {
    return in_child([count] {
      const Measured m = simulate(sleepers(count), km::Ns(100'000'000'000));
      return Numbers{static_cast<double>(m.bytes), static_cast<double>(m.alive.task_structs)};
    });
  };
  double per_task = 0;
  for (auto _ : state) {
    const Numbers few = bytes(kFew), many = bytes(kMany);
    per_task = (many[0] - few[0]) / (many[1] - few[1]);
  }
  state.counters["bytes_per_task"] = per_task;
}
BENCHMARK(bytes_per_task)->Iterations(1)->Unit(benchmark::kMillisecond);

/// Scratch folder of this process, gone at the end.
class Scratch {
 public:
  Scratch() { std::filesystem::create_directories(dir_); }
  ~Scratch() { std::filesystem::remove_all(dir_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::filesystem::path operator/(const char* name) const { return dir_ / name; }
  /// `forksim run ARGUMENTS` from the root of the sources, its results in out; whether it came to its end.
  bool run(const std::string& arguments) const {
    std::filesystem::remove_all(*this / "out");
    const std::string command =
        "cd '" FORKSIM_SOURCE_DIR "' && '" FORKSIM_BINARY_DIR "/forksim' run " + arguments + " --quiet --out " + (*this / "out").string();
    return std::system(command.c_str()) == 0;
  }

 private:
  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("forksim-bench-" + std::to_string(getpid()));
};

/// `forksim run` of a workload that is over in a moment, as a user starts it: process, SimGrid, YAML, result folder; no plots.
void start_up(benchmark::State& state) {
  const Scratch scratch;
  std::ofstream(scratch / "moment.yaml") << "schema: forksim.workload/1\ndescription: one process that ends at once\nsource: benchmark\n"
                                            "processes:\n  - name: moment\n    phases:\n      - {run: 1us}\nstart:\n"
                                            "  - {process: moment}\n";
  for (auto _ : state)
    if (!scratch.run((scratch / "moment.yaml").string())) {
      state.SkipWithError("forksim run failed");
      break;
    }
}
BENCHMARK(start_up)->UseRealTime()->Unit(benchmark::kMillisecond);

/// `forksim run` as users run it, with everything that listens: statistics, invariants, audit, files. The rate is the manifest's.
void whole_run(benchmark::State& state) {
  const Scratch scratch;
  double rate = 0;
  for (auto _ : state) {
    if (!scratch.run("workloads/thread_pool.yaml --set parameters.jobs=100000")) {
      state.SkipWithError("forksim run failed");
      break;
    }
    rate = nlohmann::json::parse(std::ifstream(scratch / "out/manifest.json"))["cost"]["events_per_second"];
  }
  state.counters["events_per_second"] = rate;
}
BENCHMARK(whole_run)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

}  // namespace forksim::bench
