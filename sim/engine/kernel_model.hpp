// What the engine drives: anything that has a next event and can be advanced.
//
// Purpose: the seam between SimGrid and the kernel model, so that the engine is tested with a toy; km_kernel.hpp adapts km::Kernel.
// Source:  kernel_model/kernel.hpp has the same calls. Units: u64 ns. Ownership: borrowed by SimEngine::run. Errors: contracts only.
// Contract: advance(t) runs every event dated <= t and no other; cpu_onoff and speed_changed come at dates >= every date advanced to,
//          before the events of the same date. Not modelled: several kernels in one run.
#pragma once

#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim {

class KernelModel {
 public:
  virtual ~KernelModel() = default;
  virtual km::Ns next_event() const = 0;  ///< km::kNever: nothing will ever happen again
  virtual void advance(km::Ns limit) = 0;
  virtual km::Ns now() const = 0;  ///< date of the last event run
  /// Why no kernel can follow, empty when it did.
  virtual std::string_view cpu_onoff(km::CpuId cpu, bool on, km::Ns now) = 0;
  virtual void speed_changed(km::CpuId cpu, km::u64 hz, km::Ns now) = 0;
};

}  // namespace forksim
