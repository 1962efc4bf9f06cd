#include "sim/platform/sim_time.hpp"

#include <doctest/doctest.h>

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
      REQUIRE(clock == to_seconds(t));
    }
    CHECK(step_to(clock, t) == 0.0);
    CHECK(step_to(clock, Ns(0)) == 0.0);
  }

  TEST_CASE("latencies of the platform are whole ps although SimGrid adds doubles") {
    CHECK(to_ps(1.20000000000000016e-06) == 1'200'000);
    CHECK(to_ps(14.3e-9) == 14'300);
    CHECK(to_hz(1.5e9) == 1'500'000'000u);
  }
}

}  // namespace
}  // namespace forksim
