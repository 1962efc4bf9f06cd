// The machine as a Boost.Graph: CPUs, caches, links of the interconnect, and the latencies between them.
//
// Purpose: what the scheduler must know falls out of the graph: domain levels are connected components per cache level, interrupt
//          latencies are shortest paths. A topology that cannot be right is refused with the edge that offends.
// Source:  the roles of Linux 4.19 arch/arm64/kernel/topology.c (who is whose sibling) and kernel/sched/topology.c (which levels).
// Units:   ps on edges, ns in km::MachineDesc. Ownership: values.
// Errors:  Diagnostics; a graph with errors must not be used.
// Not modelled: a scheduling level for each of several nested shared caches: 4.19 has SMT, MC and DIE only, and the outermost shared
//          cache is MC.
#pragma once

#include <boost/graph/adjacency_list.hpp>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "sim/config/diagnostics.hpp"
#include "sim/platform/platform_desc.hpp"

namespace forksim {

enum class VertexKind : km::u8 { cpu, cache, link };
enum class EdgeKind : km::u8 { cache, interrupt };

struct MachineVertex {
  VertexKind kind = VertexKind::cpu;
  std::string name;
  km::u32 index = 0;  ///< into cpus or caches of the PlatformDesc
  km::u32 level = 0;  ///< of a cache
  CacheKind cache = CacheKind::unified;
};

struct MachineEdge {
  EdgeKind kind = EdgeKind::cache;
  km::u64 latency_ps = 0;
};

using MachineGraph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, MachineVertex, MachineEdge>;

/// Vertices: all CPUs in order, then caches, then links. Cache edges go both ways (CPU to its innermost caches, each cache to the ones of
/// the next level that its CPUs share); an interrupt runs CPU -> links of the route -> CPU and each link's latency is on the edge that
/// enters it.
MachineGraph build_machine_graph(const PlatformDesc& p);

/// Shortest latency from CPU `from` to every CPU over edges of one kind, in ps; kUnreachable when there is no way.
inline constexpr km::u64 kUnreachable = ~km::u64{0};
std::vector<km::u64> shortest_latencies(const MachineGraph& g, km::u32 from, EdgeKind kind);

/// For each CPU, the set of CPUs it shares a cache of `level` with (connected components); alone when it has none.
std::vector<km::CpuMask> siblings_at_level(const MachineGraph& g, km::u32 level);

/// The kernel's view of the machine. Everything that is wrong with `p` goes to `diags`; the result counts only when none was added.
km::MachineDesc derive_machine(const PlatformDesc& p, Diagnostics& diags);

}  // namespace forksim
