// Which CPU is next: compared with a search through all keys, for boards of 1 to 20 CPUs.
#include "kernel_model/exec/winner_tree.hpp"

#include <doctest/doctest.h>

#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;

namespace {

constexpr u64 kNone = std::numeric_limits<u64>::max();

/// The first of the smallest, and the smallest of the others.
WinnerTree::Firsts search(const std::vector<u64>& keys) {
  WinnerTree::Firsts f{0, keys[0], kNone};
  for (u32 i = 1; i < keys.size(); ++i)
    if (keys[i] < f.key) f = {i, keys[i], kNone};
  for (u32 i = 0; i < keys.size(); ++i)
    if (i != f.winner) f.second_key = std::min(f.second_key, keys[i]);
  return f;
}

}  // namespace

TEST_SUITE("kernel_model/exec/winner_tree") {
  TEST_CASE("ties go to the lower CPU, and the second key may be the same") {
    WinnerTree t(4);
    CHECK(t.firsts().key == kNone);
    for (u32 i = 0; i < 4; ++i) t.update(i, 10);
    CHECK(t.firsts().winner == 0);
    CHECK(t.firsts().second_key == 10);
    t.update(2, 7);
    t.update(3, 8);
    CHECK(t.firsts().winner == 2);
    CHECK(t.firsts().key == 7);
    CHECK(t.firsts().second_key == 8);
  }

  TEST_CASE("any number of CPUs, any order of updates: the same as a search through all keys") {
    for (u32 cpus = 1; cpus <= 20; ++cpus) {
      Random rng{cpus};
      WinnerTree t(cpus);
      std::vector<u64> keys(cpus, kNone);
      for (int step = 0; step < 2000; ++step) {
        const u32 i = static_cast<u32>(rng.below(cpus));
        keys[i] = rng.one_in(10) ? kNone : rng.below(12);  // few values: many ties
        t.update(i, keys[i]);
        const WinnerTree::Firsts f = t.firsts(), wanted = search(keys);
        REQUIRE_MESSAGE(f.key == wanted.key, "seed " << cpus << ", step " << step);
        REQUIRE(f.second_key == wanted.second_key);
        REQUIRE((f.key == kNone || f.winner == wanted.winner));
        REQUIRE(t.min_key() == f.key);
      }
    }
  }
}
