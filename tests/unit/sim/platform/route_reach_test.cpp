#include "sim/platform/route_reach.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <string>

namespace forksim {
namespace {

/// Two CPUs behind a router each, the routers linked; `routes` in place of the one between them.
RouteReach board(const std::string& routes, const std::string& routing = "DijkstraCache") {
  std::istringstream xml(R"(<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="b" routing=")" +
                         routing + R"(">
    <host id="cpu0" speed="1Gf"/><host id="cpu1" speed="1Gf"/>
    <router id="r0"/><router id="r1"/>
    <link id="l" bandwidth="1GBps" latency="1ns"/>
    <route src="cpu0" dst="r0"><link_ctn id="l"/></route>
    <route src="cpu1" dst="r1"><link_ctn id="l"/></route>
    )" + routes + R"(
  </zone>
</platform>)");
  return RouteReach(xml);
}

std::string ways(const RouteReach& r) {
  return std::string(r.may_lead("cpu0", "cpu1") ? "there" : "") + (r.may_lead("cpu1", "cpu0") ? " back" : "");
}

}  // namespace

TEST_SUITE("sim/platform/route_reach") {
  TEST_CASE("a route leads both ways unless it says that it does not") {
    CHECK(ways(board(R"(<route src="r0" dst="r1"><link_ctn id="l"/></route>)")) == "there back");
    CHECK(ways(board(R"(<route src="r0" dst="r1" symmetrical="NO"><link_ctn id="l"/></route>)")) == "there");
    CHECK(ways(board(R"(<route src="r1" dst="r0" symmetrical="NO"><link_ctn id="l"/></route>)")) == " back");
    CHECK(ways(board("")) == "");
  }

  TEST_CASE("only zones with Dijkstra routing are judged, and only files that are XML") {
    CHECK(ways(board("", "Dijkstra")) == "");
    CHECK(ways(board("", "Full")) == "there back");
    std::istringstream broken("<platform><zone");
    CHECK(ways(RouteReach(broken)) == "there back");
  }
}

}  // namespace forksim
