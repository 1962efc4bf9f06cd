#include "tests/bench/simulation.hpp"

#include <time.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "sim/engine/km_kernel.hpp"
#include "sim/engine/sim_engine.hpp"
#include "sim/platform/cost_file.hpp"
#include "sim/workload/programs.hpp"
#include "sim/workload/resolved_run.hpp"
#include "tests/bench/memory.hpp"

namespace forksim::bench {

namespace {

const std::string kPlatform = FORKSIM_SOURCE_DIR "/platforms/bcm2711.xml";

void check(const Diagnostics& diags) {
  if (!diags.ok()) throw std::runtime_error(diags.text());
}

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

Measured simulate(const std::string& text, km::Ns until) {
  Diagnostics diags;
  ResolvedRun run = resolve_text(text, "benchmark", {}, Vocabulary{}, diags);
  check(diags);
  SimEngine engine(kPlatform, diags);
  check(diags);
  const PlatformCosts costs = load_costs(costs_file_of(kPlatform), diags);
  check(diags);
  km::KernelConfig config;
  config.machine = engine.machine();
  config.costs = costs.table();
  config.locks = run.locks;
  config.mm_contention = run.mm_contention;
  config.profile = run.kernel;
  km::resolve_tunables(config.profile, config.machine.topology.cpus, run.given_tunables);

  Measured m;
  const std::size_t before = bytes_in_use();
  km::Trace trace;
  Programs programs(run.workload);
  km::Kernel kernel(config, programs, engine.power(), trace);
  programs.instantiate(kernel);
  KmKernel model(kernel);
  RunOptions options;
  options.until = until;
  const double start = cpu_seconds();
  const RunResult result = engine.run(model, options);
  m.seconds = cpu_seconds() - start;
  m.bytes = bytes_in_use() - before;
  m.alive = kernel.alive();
  kernel.finish(result.now);
  m.totals = kernel.totals();
  return m;
}

std::string shipped(const std::string& name, const std::string& parameter, km::u64 value) {
  const std::string file = FORKSIM_SOURCE_DIR "/workloads/" + name + ".yaml";
  std::ifstream in(file);
  std::ostringstream content;
  content << in.rdbuf();
  std::string text = content.str();
  const std::string key = "\n  " + parameter + ": ";
  const std::size_t at = text.find(key);
  if (!in || at == std::string::npos) throw std::runtime_error(file + ": no parameter " + parameter);
  const std::size_t begin = at + key.size();
  return text.replace(begin, text.find_first_of(" \n", begin) - begin, std::to_string(value));
}

}  // namespace forksim::bench
