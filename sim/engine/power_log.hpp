// Integer accounting of power states, beside SimGrid's energy plugin.
//
// Purpose: how long each CPU was in which pstate or off, in ns; power x time checks what host_energy charged (accounting invariant).
// Source:  own. Units: ns, W, J. Ownership: a value. Errors: dates must not go back (contract).
// Not modelled: energy of a transition itself.
#pragma once

#include <vector>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/base/types.hpp"
#include "sim/platform/platform_desc.hpp"

namespace forksim {

class PowerLog {
 public:
  /// All CPUs in pstate `boot`, those with !on[cpu] off.
  void start(km::u32 pstates, km::u32 boot, const std::vector<bool>& on) {
    for (const bool up : on) cpus_.push_back({std::vector<km::Ns>(pstates), km::Ns(0), km::Ns(0), boot, up});
  }
  void set_pstate(km::u32 cpu, km::u32 pstate, km::Ns at) {
    settle(cpus_[cpu], at);
    cpus_[cpu].pstate = pstate;
  }
  void set_on(km::u32 cpu, bool on, km::Ns at) {
    settle(cpus_[cpu], at);
    cpus_[cpu].on = on;
  }
  void finish(km::Ns at) {
    for (Cpu& c : cpus_) settle(c, at);
  }
  km::Ns residency(km::u32 cpu, km::u32 pstate) const { return cpus_[cpu].in[pstate]; }
  km::Ns off_ns(km::u32 cpu) const { return cpus_[cpu].off; }
  double joules(km::u32 cpu, const CpuDesc& d) const {
    double j = d.watts_off * static_cast<double>(cpus_[cpu].off.v);
    for (std::size_t p = 0; p < cpus_[cpu].in.size(); ++p) j += d.watts[p] * static_cast<double>(cpus_[cpu].in[p].v);
    return j / 1e9;
  }

 private:
  struct Cpu {
    std::vector<km::Ns> in;
    km::Ns off, since;
    km::u32 pstate;
    bool on;
  };
  static void settle(Cpu& c, km::Ns at) {
    FS_CONTRACT(at >= c.since, "accounting goes forward in time");
    (c.on ? c.in[c.pstate] : c.off) += at - c.since;
    c.since = at;
  }
  std::vector<Cpu> cpus_;
};

}  // namespace forksim
