#include "sim/platform/route_reach.hpp"

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/depth_first_search.hpp>
#include <boost/property_tree/ptree.hpp>
#include <boost/property_tree/xml_parser.hpp>
#include <map>
#include <sstream>
#include <vector>

namespace forksim {

namespace {

using boost::property_tree::ptree;
using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS>;
using Vertex = boost::graph_traits<Graph>::vertex_descriptor;

/// One zone: its hosts and routers, and its routes as edges.
struct ZoneGraph {
  Graph graph;
  std::map<std::string, Vertex> vertices;
  std::vector<std::string> hosts;

  Vertex vertex(const std::string& name) {
    const auto [at, fresh] = vertices.try_emplace(name, 0);
    if (fresh) at->second = boost::add_vertex(graph);
    return at->second;
  }
};

ZoneGraph graph_of(const ptree& zone) {
  ZoneGraph z;
  for (const auto& [element, content] : zone) {
    if (element == "host") z.vertex(z.hosts.emplace_back(content.get("<xmlattr>.id", "")));
    if (element != "route") continue;
    const Vertex src = z.vertex(content.get("<xmlattr>.src", "")), dst = z.vertex(content.get("<xmlattr>.dst", ""));
    boost::add_edge(src, dst, z.graph);
    const std::string symmetrical = content.get("<xmlattr>.symmetrical", "YES");
    if (symmetrical != "NO" && symmetrical != "no") boost::add_edge(dst, src, z.graph);
  }
  return z;
}

std::set<std::pair<std::string, std::string>> lost_in(const ptree& zone) {
  std::set<std::pair<std::string, std::string>> lost;
  const ZoneGraph z = graph_of(zone);
  for (const std::string& from : z.hosts) {
    std::vector<boost::default_color_type> color(boost::num_vertices(z.graph), boost::white_color);
    boost::depth_first_visit(z.graph, z.vertices.at(from), boost::default_dfs_visitor(),
                             boost::make_iterator_property_map(color.begin(), boost::get(boost::vertex_index, z.graph)));
    for (const auto& [to, vertex] : z.vertices)
      if (color[vertex] == boost::white_color) lost.insert({from, to});
  }
  return lost;
}

void visit(const ptree& element, std::set<std::pair<std::string, std::string>>& lost) {
  for (const auto& [name, content] : element) {
    if (name != "zone" && name != "AS") continue;
    if (content.get("<xmlattr>.routing", "").starts_with("Dijkstra")) lost.merge(lost_in(content));
    visit(content, lost);
  }
}

}  // namespace

std::set<std::pair<std::string, std::string>> lost_ways(const std::string& xml) {
  std::set<std::pair<std::string, std::string>> lost;
  ptree file;
  try {
    std::istringstream in(xml);
    boost::property_tree::read_xml(in, file);
  } catch (const boost::property_tree::xml_parser_error&) {
    return lost;
  }
  if (const auto platform = file.get_child_optional("platform")) visit(*platform, lost);
  return lost;
}

}  // namespace forksim
