#include "sim/platform/platform_text.hpp"

#include <doctest/doctest.h>

namespace forksim {
namespace {

std::string wrong_cache(const char* text) {
  CacheProperty out;
  return parse_cache_property("l2", text, out);
}

TEST_SUITE("sim/platform/platform_text") {
  TEST_CASE("times are exact in ps or refused") {
    CHECK(parse_ps("2.67ns") == 2670u);
    CHECK(parse_ps("14.30ns") == 14300u);
    CHECK(parse_ps("1us") == 1'000'000u);
    CHECK(parse_ps("0ns") == 0u);
    CHECK(parse_ps("5ps") == 5u);
    for (const char* bad : {"2.6701ns", "2.67", "ns", "-1ns", "1.5ps", "1e3ns", " 1ns", "1 ns", "1.2.3us", ""}) {
      CAPTURE(bad);
      CHECK_FALSE(parse_ps(bad));
    }
  }

  TEST_CASE("one property describes a cache for each group of CPUs") {
    CacheProperty out;
    REQUIRE(parse_cache_property("l2", "level=2 kind=unified size=1MiB link=l2 cpus=0-3;4,6", out) == "");
    REQUIRE(out.caches.size() == 2);
    CHECK(out.link == "l2");
    CHECK(out.caches[0].name == "l2.0");
    CHECK(out.caches[0].bytes == 1048576);
    CHECK(out.caches[0].cpus == std::vector<km::u32>{0, 1, 2, 3});
    CHECK(out.caches[1].name == "l2.1");
    CHECK(out.caches[1].cpus == std::vector<km::u32>{4, 6});
  }

  TEST_CASE("a wrong word of a cache property is named") {
    CHECK(wrong_cache("level=0 size=1MiB latency=1ns cpus=0").find("level=0") == 0);
    CHECK(wrong_cache("kind=shared size=1MiB latency=1ns cpus=0").find("kind=shared") == 0);
    CHECK(wrong_cache("size=1MB latency=1ns cpus=0").find("size=1MB") == 0);
    CHECK(wrong_cache("size=1MiB latency=1 cpus=0").find("latency=1:") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns cpus=0-").find("cpus=0-") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns cpus=0,0").find("cpus=0,0") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns cpus=3-1").find("cpus=3-1") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns cpus=0-99999").find("cpus=0-99999") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns").find("no cpus") == 0);
    CHECK(wrong_cache("latency=1ns cpus=0").find("no size") == 0);
    CHECK(wrong_cache("size=1MiB cpus=0").find("either latency=TIME or link=NAME") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns link=l2 cpus=0").find("either latency=TIME or link=NAME") == 0);
    CHECK(wrong_cache("size=1MiB latency=1ns ways=16 cpus=0").find("unknown word \"ways\"") == 0);
    CHECK(wrong_cache("shared size=1MiB").find("\"shared\"") == 0);
  }

  TEST_CASE("wattages are one number per pstate, three times") {
    std::vector<double> w;
    CHECK(parse_wattage("1.6:1.6:1.6, 0.75:0.75:0.75", 2, w) == "");
    CHECK(w == std::vector<double>{1.6, 0.75});
    CHECK(parse_wattage("1:1:1", 2, w) == "1 entries for 2 pstates");
    CHECK(parse_wattage("1:1", 1, w).find("\"1:1\"") == 0);
    CHECK(parse_wattage("x:1:1", 1, w).find("\"x:1:1\"") == 0);
    CHECK(parse_wattage("-1:-1:-1", 1, w).find("\"-1:-1:-1\"") == 0);
    CHECK(parse_wattage("1:1:2", 1, w).find("the same number three times") != std::string::npos);
    CHECK(parse_wattage("nan:nan:nan", 1, w) != "");
  }
}

}  // namespace
}  // namespace forksim
