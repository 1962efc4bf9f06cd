// Published measurements against the simulation: one row per target.
//
// Purpose: acceptance of the cost model; the table is printed by tests/run.sh. Source: targets.csv here, with the conditions of each
//          measurement and how it was scaled to 1.5 GHz.
// Units:   us per loop (or interrupts per second) of the benchmark. The time of a loop is the difference of two runs of N and 2N loops, so that start and end of
//          the program cancel out. Ownership: values. Errors: std::runtime_error on a broken file or a failed run.
// Not compared: spread between machines of the same kind; see the conditions.
#pragma once

#include <string>
#include <vector>

namespace forksim::validation {

struct Target {
  std::string id, what, workload, unit;
  double low = 0, high = 0;  ///< measured, at 1.5 GHz
  double within_pct = 0;     ///< how far from the middle the simulation may be
  unsigned loops = 0;
};
struct Row {
  Target target;
  double simulated = 0;
  double error_pct = 0;  ///< against the middle of the measured range
  bool within = false;
};

std::vector<Target> read_targets(const std::string& csv);
Row judge(const Target& target, double simulated);
/// Runs the workload twice and returns the time of one loop in us.
double simulate_loop(const Target& target);
/// Interrupts per simulated second, devices, timers and IPIs together, as vmstat counts them.
double simulate_interrupts(const Target& target);
/// Whichever the unit asks for.
double simulate(const Target& target);
std::string table(const std::vector<Row>& rows);

}  // namespace forksim::validation
