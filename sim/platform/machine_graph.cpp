#include "sim/platform/machine_graph.hpp"

#include <algorithm>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <boost/graph/filtered_graph.hpp>
#include <boost/graph/strong_components.hpp>
#include <map>
#include <unordered_set>

namespace forksim {
namespace {

using km::CpuId;
using km::CpuMask;
using km::u32;
using km::u64;
using Vertex = boost::graph_traits<MachineGraph>::vertex_descriptor;
using Edge = boost::graph_traits<MachineGraph>::edge_descriptor;

CpuMask mask_of(const CacheDesc& c) {
  CpuMask m;
  for (u32 cpu : c.cpus) m.set(CpuId(cpu));
  return m;
}

bool subset(const CpuMask& a, const CpuMask& b) { return (a & b) == a; }
bool same_way(const CacheDesc& a, const CacheDesc& b) {
  return a.kind == b.kind || a.kind == CacheKind::unified || b.kind == CacheKind::unified;
}

struct OfKind {
  const MachineGraph* g = nullptr;
  EdgeKind kind = EdgeKind::cache;
  bool operator()(const Edge& e) const { return (*g)[e].kind == kind; }
};

/// Keeps CPUs and the data side of the caches up to a level.
struct UpToLevel {
  const MachineGraph* g = nullptr;
  u32 level = 0;
  bool operator()(const Vertex& v) const {
    const MachineVertex& x = (*g)[v];
    if (x.kind == VertexKind::cpu) return true;
    return x.kind == VertexKind::cache && x.level <= level && x.cache != CacheKind::instruction;
  }
};

/// Collects what is wrong with one platform.
class Judge {
 public:
  Judge(const PlatformDesc& p, Diagnostics& d) : p_(p), d_(d) {}

  void cpus() {
    if (p_.cpus.empty()) say("cpus", "the platform has no CPU", "hosts named cpu0, cpu1 ... without gaps", "");
    if (p_.cpus.size() > km::kMaxCpus) say("cpus", "too many CPUs", "at most " + std::to_string(km::kMaxCpus), "");
    for (const CpuDesc& c : p_.cpus) operating_points(c);
  }

  void caches() {
    for (const CacheDesc& c : p_.caches) {
      if (c.cpus.empty()) say("cache " + c.name, "a cache without a CPU", "at least one CPU", "");
      for (u32 cpu : c.cpus)
        if (cpu >= p_.cpus.size())
          say("cache " + c.name, "edge " + c.name + " - cpu" + std::to_string(cpu) + " leads to no CPU", range(), "");
    }
    for (std::size_t i = 0; i < p_.caches.size(); ++i)
      for (std::size_t j = i + 1; j < p_.caches.size(); ++j) pair(p_.caches[i], p_.caches[j]);
  }

  void routes(const MachineGraph& g) {
    const u32 n = static_cast<u32>(p_.cpus.size());
    std::vector<const RouteDesc*> by_pair(static_cast<std::size_t>(n) * n, nullptr);
    for (const RouteDesc& r : p_.routes) {
      by_pair[static_cast<std::size_t>(r.from) * n + r.to] = &r;
      latencies(r);
    }
    if (!d_.ok()) return;
    for (u32 i = 0; i < n; ++i) {
      const std::vector<u64> best = shortest_latencies(g, i, EdgeKind::interrupt);
      for (u32 j = 0; j < n; ++j)
        if (i != j) against_graph(by_pair[static_cast<std::size_t>(i) * n + j], i, j, best[j]);
    }
  }

 private:
  void say(std::string path, std::string what, std::string allowed, std::string hint) {
    d_.add({p_.file, 0, 0, std::move(path), std::move(what), std::move(allowed), std::move(hint), ""});
  }
  std::string name(u32 cpu) const { return p_.cpus[cpu].name; }
  std::string range() const { return p_.cpus.empty() ? "no CPU at all" : "cpu0 to cpu" + std::to_string(p_.cpus.size() - 1); }

  void operating_points(const CpuDesc& c) {
    if (c.opp_hz.empty()) return say(c.name, "no operating point", "pstates: operating points busy, then the same in WFI", "");
    for (std::size_t i = 0; i < c.opp_hz.size(); ++i)
      if (c.opp_hz[i] == 0 || (i > 0 && c.opp_hz[i] >= c.opp_hz[i - 1]))
        return say(c.name, "operating points are not in falling order", "fastest first, each slower than the one before, above 0", "");
    if (c.opp_hz != p_.cpus.front().opp_hz)
      say(c.name, "other operating points than " + p_.cpus.front().name, "one set for all CPUs",
          "clock domains of their own are not modelled");
  }

  void pair(const CacheDesc& a, const CacheDesc& b) {
    const CpuMask common = mask_of(a) & mask_of(b);
    if (common.empty() || !same_way(a, b)) return;
    const std::string cpu = "cpu" + std::to_string(common.first());
    if (a.level == b.level)
      return say("cache " + b.name,
                 cpu + " is in two caches of level " + std::to_string(a.level) + ": edges " + cpu + " - " + a.name + " and " + cpu + " - " +
                     b.name,
                 "one cache per CPU, level and kind", "");
    const CacheDesc& inner = a.level < b.level ? a : b;
    const CacheDesc& outer = a.level < b.level ? b : a;
    if (subset(mask_of(inner), mask_of(outer))) return;
    for (u32 c : inner.cpus)
      if (!mask_of(outer).test(CpuId(c)))
        say("cache " + outer.name, "levels do not nest: edge " + inner.name + " - " + outer.name + " leaves out cpu" + std::to_string(c),
            "all CPUs of " + inner.name + " or none", "");
  }

  void latencies(const RouteDesc& r) {
    const std::string path = "route " + name(r.from) + " -> " + name(r.to);
    for (const LinkDesc& l : r.links)
      if (l.latency_ps < 0) say(path, "link " + l.name + " has a negative latency", "0 or more", "");
    if (r.latency_ps % 1000 != 0) say(path, "the latency is not a whole number of ns", "whole ns: the kernel's clock has no fractions", "");
  }

  void against_graph(const RouteDesc* r, u32 i, u32 j, u64 best) {
    const std::string edge = name(i) + " -> " + name(j);
    if (!r) return say("route " + edge, name(j) + " is disconnected: no edge " + edge, "a route between every two CPUs", "");
    if (static_cast<u64>(r->latency_ps) == best) return;
    say("route " + edge,
        "takes " + std::to_string(r->latency_ps / 1000) + " ns, but its links reach " + name(j) + " in " + std::to_string(best / 1000) +
            " ns",
        "the shortest way through the links", "a link that is not the same wire for all its routes needs a name of its own");
  }

  const PlatformDesc& p_;
  Diagnostics& d_;
};

Vertex add(MachineGraph& g, MachineVertex properties) {
  const Vertex v = boost::add_vertex(g);
  g[v] = std::move(properties);
  return v;
}

void add_cache_edges(const PlatformDesc& p, MachineGraph& g) {
  const std::size_t first_cache = p.cpus.size();
  const auto join = [&](Vertex a, Vertex b, u64 ps) {
    boost::add_edge(a, b, {EdgeKind::cache, ps}, g);
    boost::add_edge(b, a, {EdgeKind::cache, ps}, g);
  };
  // each CPU and cache is joined to the nearest level above it that holds one of its CPUs
  const auto join_above = [&](Vertex v, const CpuMask& cpus, u32 level, CacheKind kind) {
    u32 next = ~u32{0};
    const auto above = [&](const CacheDesc& c) {
      return c.level > level && (kind == CacheKind::unified || c.kind == kind || c.kind == CacheKind::unified) &&
             !(mask_of(c) & cpus).empty();
    };
    for (const CacheDesc& c : p.caches)
      if (above(c)) next = std::min(next, c.level);
    for (std::size_t i = 0; i < p.caches.size(); ++i)
      if (above(p.caches[i]) && p.caches[i].level == next) join(v, first_cache + i, p.caches[i].latency_ps);
  };
  for (u32 c = 0; c < p.cpus.size(); ++c) join_above(c, CpuMask::of(CpuId(c)), 0, CacheKind::unified);
  for (std::size_t i = 0; i < p.caches.size(); ++i) join_above(first_cache + i, mask_of(p.caches[i]), p.caches[i].level, p.caches[i].kind);
}

void add_interrupt_edges(const PlatformDesc& p, MachineGraph& g) {
  std::map<std::string, Vertex> link_vertex;
  std::unordered_set<u64> seen;
  const auto enter = [&](Vertex from, Vertex to, km::s64 ps) {
    // Many routes share their edges; asking the graph would search a link's list of edges each time.
    if (seen.insert(u64{from} << 32 | to).second) boost::add_edge(from, to, {EdgeKind::interrupt, static_cast<u64>(std::max<km::s64>(0, ps))}, g);
  };
  for (const RouteDesc& r : p.routes) {
    Vertex at = r.from;
    for (const LinkDesc& l : r.links) {
      auto [it, fresh] = link_vertex.try_emplace(l.name, 0);
      if (fresh) it->second = add(g, {VertexKind::link, l.name, 0, 0, CacheKind::unified});
      enter(at, it->second, l.latency_ps);
      at = it->second;
    }
    enter(at, r.to, 0);
  }
}

/// SMT when level 1 is shared, then the outermost cache that anybody shares, then everything.
std::vector<km::TopologyLevel> topology_levels(const PlatformDesc& p, const MachineGraph& g) {
  const auto shared = [](const std::vector<CpuMask>& m) {
    return std::any_of(m.begin(), m.end(), [](const CpuMask& x) { return x.count() > 1; });
  };
  u32 outermost = 0;
  for (const CacheDesc& c : p.caches) outermost = std::max(outermost, c.level);
  std::vector<km::TopologyLevel> levels;
  if (std::vector<CpuMask> l1 = siblings_at_level(g, 1); shared(l1)) levels.push_back({km::TopologyLevel::Kind::smt, std::move(l1)});
  levels.push_back({km::TopologyLevel::Kind::llc, siblings_at_level(g, outermost)});
  const u32 n = static_cast<u32>(p.cpus.size());
  levels.push_back({km::TopologyLevel::Kind::die, std::vector<CpuMask>(n, CpuMask::first_n(n))});
  return levels;
}

}  // namespace

MachineGraph build_machine_graph(const PlatformDesc& p) {
  MachineGraph g;
  for (u32 i = 0; i < p.cpus.size(); ++i) add(g, {VertexKind::cpu, p.cpus[i].name, i, 0, CacheKind::unified});
  for (u32 i = 0; i < p.caches.size(); ++i) add(g, {VertexKind::cache, p.caches[i].name, i, p.caches[i].level, p.caches[i].kind});
  add_cache_edges(p, g);
  add_interrupt_edges(p, g);
  return g;
}

std::vector<u64> shortest_latencies(const MachineGraph& g, u32 from, EdgeKind kind) {
  const boost::filtered_graph<MachineGraph, OfKind> view(g, OfKind{&g, kind});
  std::vector<u64> dist(boost::num_vertices(g), kUnreachable);
  boost::dijkstra_shortest_paths(view, from,
                                 boost::weight_map(boost::get(&MachineEdge::latency_ps, view))
                                     .distance_map(boost::make_iterator_property_map(dist.begin(), boost::get(boost::vertex_index, view)))
                                     .distance_inf(kUnreachable));
  const auto is_cpu = [&](Vertex v) { return g[v].kind == VertexKind::cpu; };
  std::size_t cpus = 0;
  while (cpus < dist.size() && is_cpu(cpus)) ++cpus;
  dist.resize(cpus);
  return dist;
}

std::vector<CpuMask> siblings_at_level(const MachineGraph& g, u32 level) {
  const boost::filtered_graph<MachineGraph, OfKind, UpToLevel> view(g, OfKind{&g, EdgeKind::cache}, UpToLevel{&g, level});
  std::vector<int> component(boost::num_vertices(g), -1);
  // every cache edge has its opposite, so strong components are the connected ones
  boost::strong_components(view, boost::make_iterator_property_map(component.begin(), boost::get(boost::vertex_index, view)));
  std::vector<CpuMask> masks;
  for (Vertex v = 0; v < component.size() && g[v].kind == VertexKind::cpu; ++v) {
    CpuMask m;
    for (Vertex w = 0; w < component.size() && g[w].kind == VertexKind::cpu; ++w)
      if (component[w] == component[v]) m.set(CpuId(g[w].index));
    masks.push_back(m);
  }
  return masks;
}

namespace {
/// From the caches of one CPU to the other, over the innermost cache they share; rounded up. No way: no cost (separate memories are not known).
std::vector<km::Ns> line_transfers(const MachineGraph& g, u32 n) {
  std::vector<km::Ns> ns;
  for (u32 from = 0; from < n; ++from) {
    const std::vector<u64> ps = shortest_latencies(g, from, EdgeKind::cache);
    for (u32 to = 0; to < n; ++to) ns.emplace_back(ps[to] == kUnreachable || to == from ? 0 : (ps[to] + 999) / 1000);
  }
  return ns;
}
}  // namespace

km::MachineDesc derive_machine(const PlatformDesc& p, Diagnostics& diags) {
  Diagnostics found;
  Judge judge(p, found);
  judge.cpus();
  judge.caches();
  km::MachineDesc m;
  if (found.ok()) {
    const MachineGraph g = build_machine_graph(p);
    judge.routes(g);
    const u32 n = static_cast<u32>(p.cpus.size());
    m.topology.cpus = n;
    m.topology.levels = topology_levels(p, g);
    m.ipi.assign(static_cast<std::size_t>(n) * n, km::Ns(0));
    for (const RouteDesc& r : p.routes) m.ipi[static_cast<std::size_t>(r.from) * n + r.to] = km::Ns(static_cast<u64>(r.latency_ps) / 1000);
    m.transfer = line_transfers(g, n);
    m.can_disable = p.can_disable;
    m.opp_hz = p.cpus.front().opp_hz;
    m.boot_opp = p.cpus.front().boot_opp;
  }
  for (const Diagnostic& x : found.list()) diags.add(x);
  return m;
}

}  // namespace forksim
