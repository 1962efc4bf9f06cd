// Injected failures of a run: the kernel model's FaultPort on the workload's `fail`.
//
// Purpose: says at which pass which place fails. Source: contract.md, fault injection. Units: passes from 1.
// Ownership: borrows the workload's declarations. Errors: none. Randomness: p:X draws from the seed, the place and the pass alone.
#pragma once

#include <span>

#include "kernel_model/kernel.hpp"
#include "sim/workload/workload.hpp"

namespace forksim {

class Faults final : public km::FaultPort {
 public:
  Faults(std::span<const FailureDecl> failures, u64 seed) : failures_(failures), seed_(seed) {}
  bool fail(km::FailPoint p, u64 pass) override;

 private:
  std::span<const FailureDecl> failures_;
  u64 seed_;
};

}  // namespace forksim
