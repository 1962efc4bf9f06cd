// km::Kernel as a KernelModel.
//
// Purpose: five forwarding calls. Source: kernel_model/kernel.hpp. Units: u64 ns. Ownership: borrows the kernel, which must outlive it.
// Errors: the kernel's contracts pass through. Not modelled: nothing is added.
#pragma once

#include "kernel_model/kernel.hpp"
#include "sim/engine/kernel_model.hpp"

namespace forksim {

class KmKernel final : public KernelModel {
 public:
  explicit KmKernel(km::Kernel& k) : k_(k) {}
  km::Ns next_event() const override { return k_.next_event(); }
  void advance(km::Ns limit) override { k_.advance(limit); }
  km::Ns now() const override { return k_.now(); }
  std::string_view cpu_onoff(km::CpuId cpu, bool on, km::Ns now) override { return k_.cpu_onoff(cpu, on, now); }
  void speed_changed(km::CpuId cpu, km::u64 hz, km::Ns now) override { k_.speed_changed(cpu, hz, now); }

 private:
  km::Kernel& k_;
};

}  // namespace forksim
