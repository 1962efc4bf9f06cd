// The slow engine: one SimGrid actor per CPU that executes its bursts, first in, first out.
//
// Purpose: an independent answer to "when is this work done": SimGrid's own Exec, pstates and speed profiles instead of our model. 2 us and
//          more per event, hence only here. Units: as Burst. Ownership: values. Errors: comes back as "child failed: ...".
// Not modelled: CPUs that go off (SimGrid kills the actors of a host that is turned off).
#pragma once

#include "sim/platform/sim_time.hpp"
#include "sim/platform/simgrid_compat.hpp"
#include "tests/unit/sim/engine/test_support.hpp"

namespace forksim::test {

/// One line per burst: "cpu0 burst 1 ends 2500", CPU by CPU.
inline std::string run_reference(const std::string& platform, const std::vector<Burst>& bursts) {
  return in_child([&] {
    std::string name = "reference", log = "--log=root.thres:warning", precision = sg::timing_precision_option();
    std::vector<char*> argv{name.data(), log.data(), precision.data(), nullptr};
    int argc = 3;
    sg::Engine engine(&argc, argv.data());
    engine.load_platform(platform);
    const auto cpus = static_cast<km::u32>(engine.get_host_count());
    std::vector<std::string> ends(cpus);
    for (km::u32 cpu = 0; cpu < cpus; ++cpu)
      sg::start_actor(engine, "cpu", sg::Host::by_name("cpu" + std::to_string(cpu)), [cpu, &bursts, &ends] {
        int done = 0;
        for (const Burst& b : bursts) {
          if (b.cpu != cpu) continue;
          simgrid::s4u::this_actor::sleep_until(to_seconds(b.at));
          simgrid::s4u::this_actor::execute(static_cast<double>(b.cycles));
          ends[cpu] += "cpu" + std::to_string(cpu) + " burst " + std::to_string(done++) + " ends " +
                       std::to_string(to_ns(sg::Engine::get_clock()).v) + "\n";
        }
      });
    engine.run();
    std::string text;
    for (const std::string& e : ends) text += e;
    return text;
  });
}

/// The lines of a run that tell ends of bursts, in the same order.
inline std::string burst_ends(const std::string& log, km::u32 cpus) {
  std::vector<std::string> ends(cpus);
  std::istringstream in(log);
  for (std::string line; std::getline(in, line);)
    if (line.find(" burst ") != std::string::npos) ends[std::stoul(line.substr(3))] += line + "\n";
  std::string text;
  for (const std::string& e : ends) text += e;
  return text;
}

}  // namespace forksim::test
