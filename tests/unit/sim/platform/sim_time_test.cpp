#include "sim/platform/sim_time.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

namespace forksim {
namespace {

using km::Ns;

TEST_SUITE("sim/platform/sim_time") {
  TEST_CASE("every ns below the horizon survives the way through seconds") {
    const unsigned seed = 1;
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 100'000; ++i) {
      const Ns t(random() >> (14 + random() % 40));
      REQUIRE(to_ns(to_seconds(t)) == t);
    }
    CHECK(to_ns(to_seconds(kHorizon)) == kHorizon);
    CHECK(to_ns(to_seconds(kHorizon - Ns(1))) == kHorizon - Ns(1));
  }

  TEST_CASE("a clock that steps lands exactly on the double of the date, however it came there") {
    const unsigned seed = 2;
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    double clock = 0.0;
    Ns t{0};
    for (int i = 0; i < 100'000; ++i) {
      t += Ns(random() >> (30 + random() % 34));
      clock += step_to(clock, t);
      clock += step_to(clock, t);
      REQUIRE(clock == to_seconds(t));
    }
    CHECK(step_to(clock, t) == 0.0);
    CHECK(step_to(clock, Ns(0)) == 0.0);
  }

  TEST_CASE("from less than half of the way it takes two steps where no single one lands on the date, never more, and never too far") {
    const unsigned seed = 3;
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    int two = 0;
    for (int i = 0; i < 100'000; ++i) {
      const Ns from(random() >> (14 + random() % 40)), to(2 * from.v + 1 + random() % (from.v + 1));
      if (to >= kHorizon) continue;
      double clock = to_seconds(from);
      clock += step_to(clock, to);
      REQUIRE(clock <= to_seconds(to));
      REQUIRE(to_ns(clock) + Ns(1) >= to);
      if (clock == to_seconds(to)) continue;
      ++two;
      clock += step_to(clock, to);
      REQUIRE(clock == to_seconds(to));
    }
    CHECK(two > 1000);
    // 519502 + x is 2924305.99... or 2924306.00... ns with every double x: the sums are ties, and round to even.
    const double clock = to_seconds(Ns(519'502));
    const double step = to_seconds(Ns(2'924'306)) - clock;
    CHECK(clock + step != to_seconds(Ns(2'924'306)));
    CHECK(clock + std::nextafter(step, 1.0) != to_seconds(Ns(2'924'306)));
    CHECK(clock + std::nextafter(step, 0.0) != to_seconds(Ns(2'924'306)));
  }

  TEST_CASE("latencies of the platform are whole ps although SimGrid adds doubles") {
    CHECK(to_ps(1.20000000000000016e-06) == 1'200'000);
    CHECK(to_ps(14.3e-9) == 14'300);
    CHECK(to_hz(1.5e9) == 1'500'000'000u);
  }
}

}  // namespace
}  // namespace forksim
