#include "sim/platform/route_reach.hpp"

#include <doctest/doctest.h>

#include <string>

namespace forksim {
namespace {

using Ways = std::set<std::pair<std::string, std::string>>;

/// Two CPUs behind a router each, the routers linked; `routes` in place of the one between them.
Ways lost_on(const std::string& routes, const std::string& routing = "DijkstraCache") {
  return lost_ways(R"(<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="b" routing=")" +
                   routing + R"(">
    <host id="cpu0" speed="1Gf"/><host id="cpu1" speed="1Gf"/>
    <router id="r0"/><router id="r1"/><router id="unused"/>
    <link id="l" bandwidth="1GBps" latency="1ns"/>
    <route src="cpu0" dst="r0"><link_ctn id="l"/></route>
    <route src="cpu1" dst="r1"><link_ctn id="l"/></route>
    )" + routes + R"(
  </zone>
</platform>)");
}

const Ways kThere{{"cpu0", "cpu1"}, {"cpu0", "r1"}}, kBack{{"cpu1", "cpu0"}, {"cpu1", "r0"}};

}  // namespace

TEST_SUITE("sim/platform/route_reach") {
  TEST_CASE("a route leads both ways unless it says that it does not") {
    CHECK(lost_on(R"(<route src="r0" dst="r1"><link_ctn id="l"/></route>)").empty());
    CHECK(lost_on(R"(<route src="r0" dst="r1" symmetrical="NO"><link_ctn id="l"/></route>)") == kBack);
    CHECK(lost_on(R"(<route src="r1" dst="r0" symmetrical="NO"><link_ctn id="l"/></route>)") == kThere);
    Ways both = kThere;
    both.insert(kBack.begin(), kBack.end());
    CHECK(lost_on("") == both);
  }

  TEST_CASE("only zones with Dijkstra routing are judged, and only files that are XML") {
    CHECK(lost_on("", "Dijkstra").size() == 4);
    CHECK(lost_on("", "Full").empty());
    CHECK(lost_ways("<platform><zone").empty());
  }
}

}  // namespace forksim
