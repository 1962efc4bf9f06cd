#include "sim/config/units.hpp"

#include <doctest/doctest.h>

#include "sim/config/suggest.hpp"

using namespace forksim;

TEST_SUITE_BEGIN("sim/config");

TEST_CASE("durations are exact whole nanoseconds") {
  CHECK(*parse_duration("250us").value == 250'000);
  CHECK(*parse_duration("1.5ms").value == 1'500'000);
  CHECK(*parse_duration("0.000000001s").value == 1);
  CHECK(*parse_duration("2min").value == 120'000'000'000);
  CHECK(*parse_duration("1h").value == 3'600'000'000'000);
  CHECK(*parse_duration("9223372036854775807ns").value == 9223372036854775807);
  CHECK(*parse_duration("1.0ns").value == 1);
}

TEST_CASE("only 0 may come without its unit") {
  CHECK(*parse_duration("0").value == 0);
  CHECK(*parse_size("0").value == 0);
  CHECK(parse_duration("5").what == "\"5\" has no unit");
  CHECK(parse_duration("5").hint == "write 5us if that is what you mean");
  CHECK(parse_size("5").hint == "write 5B if that is what you mean");
}

TEST_CASE("what is no whole number of ns is refused, not rounded") {
  CHECK(parse_duration("0.5ns").what == "\"0.5ns\" is not a whole number of ns");
  CHECK_FALSE(parse_duration("1.0000000001s"));
  CHECK(*parse_duration("1.000000001s").value == 1'000'000'001);
  CHECK(parse_duration("9223372036854775808ns").what == "\"9223372036854775808ns\" is too large");
  CHECK_FALSE(parse_duration("2562048h"));  // 2562048 * 3.6e12 = 9.22337e18 > 2^63-1 = 9.22337203e18
  CHECK(*parse_duration("2562047h").value == 2562047 * 3'600'000'000'000);
}

TEST_CASE("numbers are decimal: no octal, hex, exponent, underscore, sign, blank or NaN") {
  for (const char* bad : {"010ns", "0x10ns", "1e3ns", "1_000ns", "-1ns", "+1ns", "1 ns", " 1ns", "1ns ", ".5ms", "1.ms", ".nan", ".inf",
                          "nan", "", "ns", "1.2.3ms"})
    CHECK_MESSAGE(!parse_duration(bad), bad);
  for (const char* bad : {"010", "0x10", "1e3", "1_000", "+1", "1.0", "", "-", "9223372036854775808", "--1"})
    CHECK_MESSAGE(!parse_integer(bad), bad);
  CHECK(*parse_integer("-20").value == -20);
  CHECK(*parse_integer("9223372036854775807").value == 9223372036854775807);
  for (const char* bad : {"nan", ".nan", "inf", "1e3", "0x1p3", "", "1.", ".5", "-"}) CHECK_MESSAGE(!parse_real(bad), bad);
  CHECK(*parse_real("-0.25").value == -0.25);
}

TEST_CASE("sizes know binary and decimal units") {
  CHECK(*parse_size("4KiB").value == 4096);
  CHECK(*parse_size("4kB").value == 4000);
  CHECK(*parse_size("1.5MiB").value == 1'572'864);
  CHECK_FALSE(parse_size("0.3KiB"));  // 307.2 bytes
  CHECK(parse_size("4Kib").hint == "did you mean \"KiB\"?");
}

TEST_CASE("only true and false are truth values") {
  CHECK(*parse_boolean("true").value);
  CHECK_FALSE(*parse_boolean("false").value);
  for (const char* bad : {"yes", "on", "True", "1", ""}) CHECK_FALSE(parse_boolean(bad));
  CHECK(parse_boolean("off").hint == "write false");
}

TEST_CASE("CPU lists are sorted, closed ranges without repeats") {
  CHECK(*parse_cpu_list("2,0-1", 4).value == std::vector<std::uint32_t>{0, 1, 2});
  for (const char* bad : {"", "0-", "-1", "2-1", "0,,1", "0,0", "0-2,1", "a", "4"}) CHECK_MESSAGE(!parse_cpu_list(bad, 4), bad);
}

TEST_CASE("a formatted duration reads back as the same number") {
  for (std::int64_t ns : {0L, 1L, 999L, 1000L, 1'500'000L, 2'000'000'000L, 61'000'000'000L, 123'456'789L}) {
    CAPTURE(ns);
    CHECK(*parse_duration(format_duration(ns)).value == ns);
  }
  CHECK(format_duration(1'500'000) == "1500us");
}

TEST_CASE("near names are found by edits, and far ones are not offered") {
  CHECK(edit_distance("nise", "nice") == 1);
  CHECK(edit_distance("frok", "fork") == 1);  // swapped neighbours are one slip
  CHECK(edit_distance("", "abc") == 3);
  CHECK(nearest("wakup", {"fork_call", "wakeup"}) == "wakeup");
  CHECK(nearest("sched_min", {"sched_latency_ns", "sched_min_granularity_ns"}) == "sched_min_granularity_ns");
  CHECK(nearest("zzzz", {"fork_call", "wakeup"}).empty());
  CHECK(did_you_mean("FORK", {"fork"}) == "did you mean \"fork\"?");
}

TEST_SUITE_END();
