// Which hosts a platform file's own routes lead to.
//
// Purpose: a zone of SimGrid with Dijkstra routing that is asked for a way that is not there searches for ever, and takes memory for ever;
//          so it is not asked. Other zones answer with an exception.
// Source:  SimGrid 3.32 src/kernel/routing/DijkstraZone.cpp get_local_route; the elements zone, host, router and route of its DTD.
// Units:   none. Ownership: a value. Errors: none: a file that cannot be read as XML is SimGrid's to refuse.
// Not modelled: routes between zones.
#pragma once

#include <istream>
#include <set>
#include <string>
#include <utility>

namespace forksim {

class RouteReach {
 public:
  explicit RouteReach(std::istream& xml);
  /// False when both are in the same Dijkstra zone, whose routes do not lead from the one to the other.
  bool may_lead(const std::string& from, const std::string& to) const { return !lost_.contains({from, to}); }

 private:
  std::set<std::pair<std::string, std::string>> lost_;
};

}  // namespace forksim
