// Which CPU is next: event keys, and the tournament compared with a search through all keys, for boards of 1 to 20 CPUs.
#include "kernel_model/exec/winner_tree.hpp"

#include <doctest/doctest.h>

#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;

namespace {

/// The two smallest.
WinnerTree::Firsts search(std::vector<EventKey> keys) {
  keys.emplace_back();
  std::ranges::partial_sort(keys, keys.begin() + 2);
  return {keys[0], keys[1]};
}

}  // namespace

TEST_SUITE("kernel_model/exec/winner_tree") {
  TEST_CASE("a key gives back what it was made of") {
    const EventKey k(Ns(123'456'789'012), true, CpuId(1023));
    CHECK(k.date() == Ns(123'456'789'012));
    CHECK(k.step_ends());
    CHECK(k.cpu() == CpuId(1023));
    CHECK_FALSE(EventKey(Ns(5), false, CpuId(7)).step_ends());
  }

  TEST_CASE("events are ordered by date, interrupts first, then by CPU, and never comes last") {
    const std::vector<EventKey> in_order{EventKey::before(Ns(9)),
                                         EventKey(Ns(9), false, CpuId(1)),
                                         EventKey(Ns(9), false, CpuId(2)),
                                         EventKey(Ns(9), true, CpuId(0)),
                                         EventKey(Ns(9), true, CpuId(1)),
                                         EventKey::before(Ns(10)),
                                         EventKey(Ns(10), true, CpuId(0)),
                                         EventKey(kNever - Ns(1), true, CpuId(1023)),
                                         EventKey()};
    for (std::size_t i = 1; i < in_order.size(); ++i) CHECK(in_order[i - 1] < in_order[i]);
  }

  TEST_CASE("dates out of reach are all the last one") {
    CHECK(EventKey(EventKey::kFar - Ns(1), false, CpuId(0)).date() == EventKey::kFar - Ns(1));
    CHECK(EventKey(EventKey::kFar + Ns(1), false, CpuId(0)).date() == EventKey::kFar);
    CHECK(EventKey(kNever, false, CpuId(0)).date() == EventKey::kFar);
    CHECK(EventKey().date() > EventKey::kFar);
  }

  TEST_CASE("ties go to the lower CPU") {
    WinnerTree t(4);
    CHECK(t.first() == EventKey());
    for (u32 i = 0; i < 4; ++i) t.update(CpuId(i), EventKey(Ns(10), true, CpuId(i)));
    CHECK(t.firsts().first == EventKey(Ns(10), true, CpuId(0)));
    CHECK(t.firsts().second == EventKey(Ns(10), true, CpuId(1)));
    t.update(CpuId(2), EventKey(Ns(10), false, CpuId(2)));
    t.update(CpuId(3), EventKey(Ns(7), true, CpuId(3)));
    CHECK(t.firsts().first.cpu() == CpuId(3));
    CHECK(t.firsts().second.cpu() == CpuId(2));
  }

  TEST_CASE("any number of CPUs, any order of updates: the same as a search through all keys") {
    for (u32 cpus = 1; cpus <= 20; ++cpus) {
      Random rng{cpus};
      WinnerTree t(cpus);
      std::vector<EventKey> keys(cpus);
      for (int step = 0; step < 2000; ++step) {
        const u32 i = static_cast<u32>(rng.below(cpus));
        keys[i] = rng.one_in(10) ? EventKey() : EventKey(Ns(rng.below(6)), rng.one_in(2), CpuId(i));  // few values: many ties
        t.update(CpuId(i), keys[i]);
        const WinnerTree::Firsts f = t.firsts(), wanted = search(keys);
        REQUIRE_MESSAGE(f.first == wanted.first, "seed " << cpus << ", step " << step);
        REQUIRE(f.second == wanted.second);
        REQUIRE(t.first() == f.first);
      }
    }
  }
}
