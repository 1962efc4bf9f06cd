// What a platform file says, as plain data.
//
// Purpose: the seam between SimGrid (which reads the file) and the machine graph (which judges it); tests build it by hand.
// Source:  platforms/*.xml; the meaning of each property is described in platforms/bcm2711.xml.
// Units:   latencies in ps, sizes in bytes, clocks in Hz, power in W. Ownership: values. Errors: none here; see machine_graph.hpp.
// Not modelled: bandwidths, asymmetric CPU capacity, NUMA.
#pragma once

#include <string>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

struct CpuDesc {
  std::string name;
  std::vector<km::u64> opp_hz;  ///< fastest first; pstate i is busy at opp i, pstate opp_hz.size() + i waits in WFI at opp i
  km::u32 boot_opp = 0;
  std::vector<double> watts;  ///< by pstate
  double watts_off = 0.0;
};

enum class CacheKind : km::u8 { data, instruction, unified };

/// One cache and the CPUs that share it.
struct CacheDesc {
  std::string name;  ///< property and index, e.g. l1d.3
  km::u32 level = 1;
  CacheKind kind = CacheKind::unified;
  km::u64 bytes = 0;
  km::u64 latency_ps = 0;
  std::vector<km::u32> cpus;
};

struct LinkDesc {
  std::string name;
  km::s64 latency_ps = 0;
};

/// The way of an inter-processor interrupt.
struct RouteDesc {
  km::u32 from = 0, to = 0;
  km::s64 latency_ps = 0;
  std::vector<LinkDesc> links;
};

struct PlatformDesc {
  std::string name, file;
  std::string costs_file;     ///< property costs, beside the platform file; NAME.costs.yaml when there is none
  bool can_disable = true;    ///< property enable_method is not spin-table
  std::vector<CpuDesc> cpus;  ///< cpu0, cpu1 ...
  std::vector<CacheDesc> caches;
  std::vector<RouteDesc> routes;  ///< every ordered pair that has one
};

}  // namespace forksim
