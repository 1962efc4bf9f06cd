// Helpers of the engine's tests: platforms with profiles, one run as text.
#pragma once

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "sim/engine/sim_engine.hpp"
#include "tests/unit/sim/engine/toy_kernel.hpp"
#include "tests/unit/sim/platform/child_process.hpp"

namespace forksim::test {

inline const std::string kBoard = FORKSIM_SOURCE_DIR "/platforms/bcm2711.xml";

/// A copy of the board's file with `extra` put before the end of its zone.
inline std::string board_with(const std::string& name, const std::string& extra) {
  std::ifstream in(kBoard);
  std::ostringstream text;
  text << in.rdbuf();
  std::string xml = text.str();
  xml.insert(xml.find("  </zone>"), extra);
  const std::string file = std::string(FORKSIM_BINARY_DIR) + "/test_" + name + "_" + std::to_string(::getpid()) + ".xml";
  std::ofstream(file) << xml;
  return file;
}

/// A profile of one host: kind HOST_AVAIL (0 is off) or SPEED (a share of the clock).
inline std::string profile(const std::string& id, const std::string& kind, const std::string& host, const std::string& lines) {
  return "<trace id=\"" + id + "\" periodicity=\"-1\">\n" + lines + "\n</trace>\n<trace_connect kind=\"" + kind + "\" trace=\"" + id +
         "\" element=\"" + host + "\"/>\n";
}

/// All bits of a double.
inline std::string bits(double d) {
  char text[40];
  std::snprintf(text, sizeof text, "%a", d);
  return text;
}

struct Case {
  std::string platform = kBoard;
  std::vector<Burst> bursts;
  std::vector<OppChange> opps;
  RunOptions options;
};

/// The log of the toy, the end, residencies, and the Joules to the last bit.
inline std::string run_toy(const Case& c, bool lockstep) {
  return in_child([&] {
    Diagnostics d;
    SimEngine engine(c.platform, d);
    if (!d.ok()) return "refused: " + d.list().front().what;
    ToyKernel toy(engine.machine(), c.bursts, engine.power(), c.opps);
    RunOptions o = c.options;
    o.lockstep = lockstep;
    const RunResult r = engine.run(toy, o);
    std::string text = toy.log() + "end " + std::to_string(static_cast<int>(r.end)) + " " + std::to_string(r.now.v) + "\n";
    for (km::u32 cpu = 0; cpu < r.energy_j.size(); ++cpu) {
      text += "cpu" + std::to_string(cpu) + " J " + bits(r.energy_j[cpu]) + " ns";
      for (km::u32 p = 0; p < 2 * engine.machine().opp_hz.size(); ++p) text += " " + std::to_string(engine.residency(km::CpuId(cpu), p).v);
      text += " off " + std::to_string(engine.off_ns(km::CpuId(cpu)).v) + "\n";
    }
    if (!(r.energy_error <= 1e-9)) text += "energy does not add up: " + std::to_string(r.energy_error) + "\n";
    return text;
  });
}

}  // namespace forksim::test
