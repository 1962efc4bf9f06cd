// Which hosts a platform file's own routes lead to.
//
// Purpose: a zone of SimGrid with Dijkstra routing that is asked for a way searches for ever, and takes memory for ever, when there is none
//          or it leads past a place to which there is none (the cost of that overflows); so it is not asked. Other zones answer with an
//          exception.
// Source:  SimGrid 3.32 src/kernel/routing/DijkstraZone.cpp get_local_route; the elements zone, host, router and route of its DTD.
// Units:   none. Ownership: a value. Errors: none: a file that cannot be read as XML is SimGrid's to refuse.
// Not modelled: routes between zones.
#pragma once

#include <set>
#include <string>
#include <utility>

namespace forksim {

/// Pairs (a host; a host or what a route leads from or to) of the same Dijkstra zone between which its routes do not lead.
std::set<std::pair<std::string, std::string>> lost_ways(const std::string& xml);

}  // namespace forksim
