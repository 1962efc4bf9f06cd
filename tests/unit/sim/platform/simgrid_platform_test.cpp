#include "sim/platform/simgrid_platform.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "sim/platform/machine_graph.hpp"
#include "tests/unit/sim/platform/child_process.hpp"

namespace forksim {
namespace {

const std::string kPlatforms = FORKSIM_SOURCE_DIR "/platforms/";

/// Loads in a child and tells what it saw: diagnostics, else a summary of the machine.
std::string load(const std::string& file) {
  return test::in_child([&] {
    std::string name = "test", log = "--log=root.thres:critical";
    std::vector<char*> argv{name.data(), log.data(), nullptr};
    int argc = 2;
    sg::Engine engine(&argc, argv.data());
    Diagnostics d;
    const LoadedPlatform p = load_platform_file(engine, file, d);
    km::MachineDesc m;
    if (d.ok()) m = derive_machine(p.desc, d);
    std::string text;
    for (const Diagnostic& x : d.list())
      text += std::to_string(x.line) + ":" + std::to_string(x.col) + ": " + x.path + ": " + x.what + "\n";
    if (!d.ok()) return text;
    text = p.desc.name + " " + std::to_string(m.topology.cpus) + " cpus, opps";
    for (km::u64 hz : m.opp_hz) text += " " + std::to_string(hz / 1'000'000);
    text += ", boot " + std::to_string(m.boot_opp) + ", costs " + p.desc.costs_file.substr(p.desc.costs_file.rfind('/') + 1);
    for (const km::TopologyLevel& l : m.topology.levels) {
      std::ostringstream hex;
      hex << std::hex << l.mask[0].low_word() << "/" << l.mask.back().low_word();
      text += ", level " + std::to_string(static_cast<int>(l.kind)) + " " + hex.str();
    }
    return text + ", ipi " + std::to_string(m.ipi[1].v) + " " + std::to_string(m.ipi[m.topology.cpus - 1].v);
  });
}

/// The board's file with one text replaced by another everywhere; the line of the first place comes back in `line`.
std::string with(const std::string& from, const std::string& to, int* line = nullptr) {
  std::ifstream in(kPlatforms + "bcm2711.xml");
  std::ostringstream all;
  all << in.rdbuf();
  std::string xml = all.str();
  REQUIRE(xml.find(from) != std::string::npos);
  if (line) *line = 1 + static_cast<int>(std::count(xml.begin(), xml.begin() + static_cast<std::ptrdiff_t>(xml.find(from)), '\n'));
  for (std::size_t at = 0; (at = xml.find(from, at)) != std::string::npos; at += to.size()) xml.replace(at, from.size(), to);
  const std::string file = std::string(FORKSIM_BINARY_DIR) + "/test_platform_" + std::to_string(::getpid()) + ".xml";
  std::ofstream(file) << xml;
  return file;
}

bool refused(const std::string& from, const std::string& to, const std::string& why) {
  const std::string file = with(from, to);
  const std::string text = load(file);
  std::remove(file.c_str());
  CAPTURE(from);
  CAPTURE(to);
  CAPTURE(text);
  const bool found = text.find(why) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_SUITE("sim/platform/simgrid_platform") {
  TEST_CASE("the BCM2711 is four CPUs, four clocks, one L2, 1200 ns per interrupt") {
    CHECK(load(kPlatforms + "bcm2711.xml") ==
          "bcm2711 4 cpus, opps 1500 1000 750 600, boot 0, costs bcm2711.costs.yaml, level 1 f/f, level 2 f/f, ipi 1200 1200");
  }

  TEST_CASE("the other board is eight CPUs in two clusters: nothing is hard-wired") {
    CHECK(load(kPlatforms + "dual_cluster.xml") ==
          "dual_cluster 8 cpus, opps 1500 600, boot 0, costs bcm2711.costs.yaml, level 1 f/f0, level 2 ff/ff, ipi 1200 2700");
  }

  TEST_CASE("a file that is missing, empty or no XML is refused") {
    CHECK(load("nowhere.xml").find("cannot be read or is empty") != std::string::npos);
    CHECK(load("/dev/null").find("cannot be read or is empty") != std::string::npos);
    CHECK(load(kPlatforms + "bcm2711.costs.yaml").find("SimGrid: Invalid XML") != std::string::npos);
  }

  TEST_CASE("what SimGrid refuses, throwing or aborting, is told with its words and its line") {
    int line = 0;
    const std::string file = with("dst=\"cpu3\"", "dst=\"cpu9\"", &line);
    CHECK(load(file).find(std::to_string(line) + ":1: platform: SimGrid: Route dst='cpu9'") == 0);
    std::remove(file.c_str());
    refused("</zone>", "", "`</zone>' expected");
    refused("1500Mf,1000Mf", "1500Mq,1000Mf", "SimGrid: unknown unit: Mq");
    refused("routing=\"Full\"", "routing=\"Foo\"", "Not a valid model!");
    refused("id=\"cpu3\" speed", "id=\"cpu2\" speed", "second host named 'cpu2'");
    refused("<link_ctn id=\"gic\"/>", "<link_ctn id=\"gik\"/>", "Link not found: gik");
    refused(" pstate=\"0\"", " pstate=\"9\"", "SimGrid");
    refused(" pstate=\"0\"", " pstate=\"0\" state_file=\"nowhere.txt\"", "SimGrid");
  }

  TEST_CASE("wattages are judged before SimGrid would abort on them, all at once and with their place") {
    int line = 0;
    const std::string file = with(", 0.7:0.7:0.7\"/>", "\"/>", &line);
    const std::string text = load(file);
    CHECK(text.find(std::to_string(line) + ":16: cpu0.wattage_per_state: 7 entries for 8 pstates\n") == 0);
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
    std::remove(file.c_str());
    refused("1.6:1.6:1.6", "x:1.6:1.6", "\"x:1.6:1.6\": Idle:Epsilon:AllCores in W is expected");
    refused("wattage_per_state", "wattage_per_stat", "wattage_per_state: missing");
    refused("wattage_off\" value=\"0.7\"", "wattage_off\" value=\"z\"", "cpu3.wattage_off: \"z\" is not a power");
  }

  TEST_CASE("hosts that are no CPUs of ours are refused") {
    refused("\"cpu3\"", "\"core3\"", "host core3: is not the name of a CPU");
    refused("\"cpu3\"", "\"cpu4\"", "host cpu4: is not the name of a CPU");
    refused("\"cpu3\"", "\"cpu03\"", "host cpu03: is not the name of a CPU");
    refused(" pstate=\"0\"", " core=\"4\" pstate=\"0\"", "cpu0.core: a host with several cores");
    refused(",1500Mf,1000Mf,750Mf,600Mf\"", ",1500Mf,1000Mf,750Mf,500Mf\"", "cpu0.speed: pstates are not two equal halves");
    refused("1500Mf", "-1500Mf", "cpu0.speed: pstates are not two equal halves");
  }

  TEST_CASE("caches and routes are refused with the offending edge and the place of the property") {
    int line = 0;
    const std::string file = with("cpus=0-3", "cpus=0-", &line);
    CHECK(load(file).find(std::to_string(line) + ":14: cache.l2: cpus=0-: lists of CPU numbers") == 0);
    std::remove(file.c_str());
    refused("link=l2", "link=l3", "cache.l2: link=l3: there is no such link");
    refused("cpus=0-3", "cpus=0-2;2-3", "cpu2 is in two caches of level 2");
    refused("cpus=0-3", "cpus=0-5", "edge l2.0 - cpu4 leads to no CPU");
    refused("latency=\"1200ns\"", "latency=\"-1200ns\"", "link gic has a negative latency");
    refused("latency=\"1200ns\"", "latency=\"0.1ns\"", "not a whole number of ns");
    refused("<route src=\"cpu2\" dst=\"cpu3\"><link_ctn id=\"gic\"/></route>", "",
            "route cpu2 -> cpu3: cpu3 is disconnected: no edge cpu2 -> cpu3");
  }
}

}  // namespace
}  // namespace forksim
