#include "sim/platform/machine_graph.hpp"

#include <doctest/doctest.h>

#include <random>

namespace forksim {
namespace {

using km::CpuId;
using km::CpuMask;
using km::Ns;
using km::TopologyLevel;
using km::u32;
using km::u64;

/// `n` CPUs with private L1 and one L2 per group of `cluster`, interrupts of 1200 ns over one link.
PlatformDesc board(u32 n, u32 cluster) {
  PlatformDesc p;
  p.file = "board.xml";
  for (u32 i = 0; i < n; ++i) {
    p.cpus.push_back({"cpu" + std::to_string(i), {1'500'000'000, 600'000'000}, 0, {1, 1, 0, 0}, 0});
    p.caches.push_back({"l1d." + std::to_string(i), 1, CacheKind::data, 32768, 2670, {i}});
    p.caches.push_back({"l1i." + std::to_string(i), 1, CacheKind::instruction, 49152, 2670, {i}});
  }
  for (u32 first = 0; first < n; first += cluster) {
    CacheDesc l2{"l2." + std::to_string(first / cluster), 2, CacheKind::unified, 1 << 20, 14300, {}};
    for (u32 i = first; i < std::min(n, first + cluster); ++i) l2.cpus.push_back(i);
    p.caches.push_back(l2);
  }
  for (u32 i = 0; i < n; ++i)
    for (u32 j = 0; j < n; ++j)
      if (i != j) p.routes.push_back({i, j, 1'200'000, {{"gic", 1'200'000}}});
  return p;
}

std::string refusals(const PlatformDesc& p) {
  Diagnostics d;
  derive_machine(p, d);
  std::string text;
  for (const Diagnostic& x : d.list()) text += x.path + ": " + x.what + "\n";
  return text;
}

bool says(const PlatformDesc& p, const std::string& part) {
  const std::string text = refusals(p);
  INFO(text);
  const bool found = text.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_SUITE("sim/platform/machine_graph") {
  TEST_CASE("four CPUs that share an L2 have a last-level and a die level over all four") {
    Diagnostics d;
    const km::MachineDesc m = derive_machine(board(4, 4), d);
    REQUIRE(d.ok());
    CHECK(m.topology.cpus == 4);
    REQUIRE(m.topology.levels.size() == 2);
    CHECK(m.topology.levels[0].kind == TopologyLevel::Kind::llc);
    CHECK(m.topology.levels[1].kind == TopologyLevel::Kind::die);
    for (u32 c = 0; c < 4; ++c) {
      CHECK(m.topology.levels[0].mask[c].low_word() == 0xf);
      CHECK(m.topology.levels[1].mask[c].low_word() == 0xf);
      for (u32 to = 0; to < 4; ++to) CHECK(m.ipi[c * 4 + to] == Ns(c == to ? 0 : 1200));
      // a cache line: out of one L1 into the L2 and into the other L1, 2 x (2.67 + 14.3) ns, rounded up
      for (u32 to = 0; to < 4; ++to) CHECK(m.transfer[c * 4 + to] == Ns(c == to ? 0 : 34));
    }
    CHECK(m.opp_hz == std::vector<u64>{1'500'000'000, 600'000'000});
  }

  TEST_CASE("two clusters have two last-level sets inside one die") {
    Diagnostics d;
    const km::MachineDesc m = derive_machine(board(8, 4), d);
    REQUIRE(d.ok());
    CHECK(m.topology.levels[0].mask[1].low_word() == 0x0f);
    CHECK(m.topology.levels[0].mask[6].low_word() == 0xf0);
    CHECK(m.topology.levels[1].mask[6].low_word() == 0xff);
  }

  TEST_CASE("hardware threads that share their L1 make an SMT level below the last-level cache") {
    PlatformDesc p = board(4, 4);
    p.caches.clear();
    p.caches.push_back({"l1d.0", 1, CacheKind::data, 32768, 2670, {0, 1}});
    p.caches.push_back({"l1d.1", 1, CacheKind::data, 32768, 2670, {2, 3}});
    p.caches.push_back({"l2.0", 2, CacheKind::unified, 1 << 20, 14300, {0, 1, 2, 3}});
    Diagnostics d;
    const km::MachineDesc m = derive_machine(p, d);
    REQUIRE(d.ok());
    REQUIRE(m.topology.levels.size() == 3);
    CHECK(m.topology.levels[0].kind == TopologyLevel::Kind::smt);
    CHECK(m.topology.levels[0].mask[3].low_word() == 0b1100);
    CHECK(m.topology.levels[1].mask[3].low_word() == 0b1111);
  }

  TEST_CASE("an instruction cache shared by two CPUs does not make them share data") {
    PlatformDesc p = board(2, 2);
    p.caches = {{"l1i.0", 1, CacheKind::instruction, 49152, 2670, {0, 1}}};
    Diagnostics d;
    const km::MachineDesc m = derive_machine(p, d);
    REQUIRE(d.ok());
    CHECK(m.topology.levels[0].mask[0].low_word() == 1);
  }

  TEST_CASE("without caches and with one CPU there still is a machine") {
    PlatformDesc p = board(1, 1);
    p.caches.clear();
    CHECK(refusals(p) == "");
  }

  TEST_CASE("data of a neighbour is reached through the L2: 14.3 ns up, 2.67 ns to its L1, nothing beyond") {
    const MachineGraph g = build_machine_graph(board(4, 2));
    const std::vector<u64> ps = shortest_latencies(g, 0, EdgeKind::cache);
    // cpu0 -> l1 (2670) -> l2 (14300) -> l1 of cpu1 (14300, the edge's own weight) -> cpu1 (2670)
    CHECK(ps[1] == 2670 + 14300 + 14300 + 2670);
    CHECK(ps[2] == kUnreachable);
  }

  TEST_CASE("an interrupt across two controllers takes the sum of the links on its way") {
    PlatformDesc p = board(4, 2);
    p.routes.clear();
    for (u32 i = 0; i < 4; ++i)
      for (u32 j = 0; j < 4; ++j) {
        const LinkDesc a{"gic" + std::to_string(i / 2), 1'200'000}, b{"gic" + std::to_string(j / 2), 1'200'000}, mesh{"mesh", 300'000};
        if (i == j) continue;
        if (i / 2 == j / 2)
          p.routes.push_back({i, j, 1'200'000, {a}});
        else
          p.routes.push_back({i, j, 2'700'000, {a, mesh, b}});
      }
    Diagnostics d;
    const km::MachineDesc m = derive_machine(p, d);
    REQUIRE(d.ok());
    CHECK(m.ipi[0 * 4 + 1] == Ns(1200));
    CHECK(m.ipi[0 * 4 + 3] == Ns(2700));
    CHECK(shortest_latencies(build_machine_graph(p), 2, EdgeKind::interrupt) == std::vector<u64>{2'700'000, 2'700'000, 0, 1'200'000});
  }

  TEST_CASE("a CPU in two caches of one level is refused with both edges") {
    PlatformDesc p = board(4, 2);
    p.caches.back().cpus.push_back(0);
    says(p, "cpu0 is in two caches of level 2: edges cpu0 - l2.0 and cpu0 - l2.1");
  }

  TEST_CASE("a level that does not nest is refused with the edge and the CPU it leaves out") {
    PlatformDesc p = board(4, 2);
    p.caches.push_back({"l3.0", 3, CacheKind::unified, 4 << 20, 30000, {0, 1, 2}});
    says(p, "edge l2.1 - l3.0 leaves out cpu3");
  }

  TEST_CASE("a CPU without a route is refused as disconnected") {
    PlatformDesc p = board(3, 3);
    std::erase_if(p.routes, [](const RouteDesc& r) { return r.from == 1 && r.to == 2; });
    CHECK(refusals(p) == "route cpu1 -> cpu2: cpu2 is disconnected: no edge cpu1 -> cpu2\n");
  }

  TEST_CASE("a route slower than its own links is refused") {
    PlatformDesc p = board(3, 3);
    p.routes[0].links.push_back({"detour", 500'000});
    p.routes[0].latency_ps += 500'000;
    says(p, "route cpu0 -> cpu1: takes 1700 ns, but its links reach cpu1 in 1200 ns");
  }

  TEST_CASE("fractions of a ns, negative latencies, caches without or with unknown CPUs are refused") {
    PlatformDesc p = board(2, 2);
    p.routes[0].latency_ps = 1'200'500;
    says(p, "not a whole number of ns");
    p = board(2, 2);
    p.routes[0].links[0].latency_ps = -1;
    says(p, "negative latency");
    p = board(2, 2);
    p.caches[0].cpus = {7};
    says(p, "edge l1d.0 - cpu7 leads to no CPU");
    p.caches[0].cpus = {};
    says(p, "a cache without a CPU");
  }

  TEST_CASE("operating points out of order or different between CPUs are refused") {
    PlatformDesc p = board(2, 2);
    p.cpus[0].opp_hz = {600'000'000, 1'500'000'000};
    says(p, "falling order");
    p = board(2, 2);
    p.cpus[1].opp_hz = {1'500'000'000};
    says(p, "other operating points than cpu0");
  }

  TEST_CASE("no CPU at all is refused") { says(PlatformDesc{}, "the platform has no CPU"); }

  TEST_CASE("everything wrong is told at once") {
    PlatformDesc p = board(4, 2);
    p.caches.back().cpus.push_back(0);
    p.cpus[2].opp_hz = {1};
    const std::string text = refusals(p);
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  }

  TEST_CASE("random nested machines: CPUs share the outermost cache exactly when their group says so") {
    for (unsigned seed = 1; seed <= 50; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      const u32 cluster = 1 + static_cast<u32>(random() % 6), n = 1 + static_cast<u32>(random() % 20);
      Diagnostics d;
      const km::MachineDesc m = derive_machine(board(n, cluster), d);
      REQUIRE(d.ok());
      for (u32 a = 0; a < n; ++a)
        for (u32 b = 0; b < n; ++b) CHECK(m.topology.levels[0].mask[a].test(CpuId(b)) == (a / cluster == b / cluster));
      CHECK(m.topology.levels.back().mask[0] == CpuMask::first_n(n));
    }
  }
}

}  // namespace
}  // namespace forksim
