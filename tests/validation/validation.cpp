#include "tests/validation/validation.hpp"

#include <cmath>
#include <cstdio>
#include <map>
#include <stdexcept>

#include "tests/cli/process.hpp"
#include "tests/traces/text_file.hpp"

namespace forksim::validation {

namespace {

/// Runs the workload of a target into `out`.
void run(const Target& target, const std::string& options, const std::string& out) {
  const std::string command = FORKSIM_BINARY_DIR "/forksim run workloads/" + target.workload + ".yaml " + options + " --quiet --out " + out;
  const cli::Result r = cli::run(command, FORKSIM_SOURCE_DIR);
  if (r.code != 0) throw std::runtime_error(command + "\n" + r.err);
}

/// Date at which the benchmark's processes ended, in ns: the mean over those that init started, the first row of tasks.csv being one.
double end_of_benchmark(const Target& target, unsigned loops) {
  const cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  run(target, "--set parameters.loops=" + std::to_string(loops), out);
  const auto rows = traces::read_csv(cli::read_file(out + "/tasks.csv"));
  if (rows.empty()) throw std::runtime_error(target.workload + ": no tasks");
  double sum = 0;
  unsigned copies = 0;
  for (const auto& row : rows) {
    if (row.at("ppid") != rows[0].at("ppid")) continue;
    sum += std::stod(row.at("end_ns"));
    ++copies;
  }
  return sum / copies;
}

}  // namespace

std::vector<Target> read_targets(const std::string& csv) {
  std::vector<Target> targets;
  for (const auto& row : traces::read_csv(csv)) {
    Target t;
    t.id = row.at("id");
    t.what = row.at("what");
    t.workload = row.at("workload");
    t.low = std::stod(row.at("low"));
    t.high = std::stod(row.at("high"));
    t.within_pct = std::stod(row.at("within_pct"));
    t.loops = static_cast<unsigned>(std::stoul(row.at("loops")));
    t.unit = row.at("unit");
    if ((t.unit != "us" && t.unit != "irq/s") || t.low > t.high || t.within_pct <= 0 || t.loops == 0) throw std::runtime_error("bad target " + t.id);
    targets.push_back(t);
  }
  return targets;
}

Row judge(const Target& target, double simulated) {
  const double middle = (target.low + target.high) / 2;
  const double error = 100 * (simulated - middle) / middle;
  return {target, simulated, error, std::abs(error) <= target.within_pct};
}

double simulate_loop(const Target& target) {
  const double once = end_of_benchmark(target, target.loops), twice = end_of_benchmark(target, 2 * target.loops);
  return (twice - once) / target.loops / 1000;
}

double simulate_interrupts(const Target& target) {
  const cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  run(target, "--trace ftrace --set trace.events=irq:irq_handler_entry,ipi:ipi_entry", out);
  const std::string trace = cli::read_file(out + "/trace.ftrace");
  double interrupts = 0;
  for (const char* event : {" irq_handler_entry: ", " ipi_entry: "})
    for (std::size_t at = trace.find(event); at != std::string::npos; at = trace.find(event, at + 1)) ++interrupts;
  const std::string report = cli::read_file(out + "/report.json"), key = "\"simulated_ns\":";
  return interrupts / (std::stod(report.substr(report.find(key) + key.size())) / 1e9);
}

double simulate(const Target& target) { return target.unit == "us" ? simulate_loop(target) : simulate_interrupts(target); }

std::string table(const std::vector<Row>& rows) {
  std::string text =
      "validation (us per loop at 1.5 GHz, T14 interrupts per second)                    target   simulated    error   allowed\n";
  for (const Row& r : rows) {
    char range[32], line[256];
    std::snprintf(range, sizeof range, r.target.low < r.target.high ? "%.1f-%.1f" : "%.2f", r.target.low, r.target.high);
    std::snprintf(line, sizeof line, "%-3s %-70s %14s  %10.2f  %+6.1f %%  +-%4.0f %%%s\n", r.target.id.c_str(), r.target.what.c_str(),
                  range, r.simulated, r.error_pct, r.target.within_pct, r.within ? "" : "  OUTSIDE");
    text += line;
  }
  return text;
}

}  // namespace forksim::validation
