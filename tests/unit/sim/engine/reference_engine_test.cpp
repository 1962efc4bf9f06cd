#include "tests/unit/sim/engine/reference_engine.hpp"

#include <doctest/doctest.h>

#include <random>

namespace forksim::test {
namespace {

using km::Ns;
using km::u32;
using km::u64;

/// Work of whole us at 1500 MHz (1500 cycles each), arriving at whole ns; some CPUs have a queue most of the time.
std::vector<Burst> random_bursts(std::mt19937_64& random, u32 cpus) {
  std::vector<Burst> bursts;
  for (u32 cpu = 0; cpu < cpus; ++cpu) {
    u64 at = 0;
    for (int i = 0; i < 100; ++i) {
      at += random() % (500'000 * (1 + cpu));
      bursts.push_back({cpu, Ns(at), 1500 * (1 + random() % 1000)});
    }
  }
  return bursts;
}

TEST_SUITE("sim/engine/reference") {
  TEST_CASE("one actor per CPU with Exec ends every burst at the same ns as the kernel behind our model") {
    for (unsigned seed = 1; seed <= 3; ++seed) {
      CAPTURE(seed);
      std::mt19937_64 random(seed);
      const std::vector<Burst> bursts = random_bursts(random, 4);
      const std::string reference = run_reference(kBoard, bursts);
      CHECK(std::count(reference.begin(), reference.end(), '\n') == 400);
      CHECK(burst_ends(run_toy({kBoard, bursts, {}, {}}, true), 4) == reference);
      CHECK(burst_ends(run_toy({kBoard, bursts, {}, {}}, false), 4) == reference);
    }
  }

  TEST_CASE("the same under a speed profile: half clock from 10 ms to 30 ms") {
    // 1500 cycles take 1 us at 1500 MHz and 2 us at 750 MHz: every end is a whole ns and nothing is rounded
    std::mt19937_64 random(7);
    const std::vector<Burst> bursts = random_bursts(random, 4);
    const std::string file =
        board_with("reference", profile("p", "SPEED", "cpu0", "0.010 0.5\n0.030 1.0") + profile("q", "SPEED", "cpu2", "0.005 0.5"));
    const std::string reference = run_reference(file, bursts);
    CHECK(reference != run_reference(kBoard, bursts));
    CHECK(burst_ends(run_toy({file, bursts, {}, {}}, false), 4) == reference);
    std::remove(file.c_str());
  }

  TEST_CASE("the same on the board with two clusters") {
    std::mt19937_64 random(11);
    const std::string board = FORKSIM_SOURCE_DIR "/platforms/dual_cluster.xml";
    const std::vector<Burst> bursts = random_bursts(random, 8);
    CHECK(burst_ends(run_toy({board, bursts, {}, {}}, false), 8) == run_reference(board, bursts));
  }
}

}  // namespace
}  // namespace forksim::test
