// Injected failures.
//
// Purpose: names of the places where creation can fail (fail_points.def), and the port through which a run asks for failures there.
// Source:  the error returns of Linux 4.19 kernel/fork.c copy_process, fs/exec.c, kernel/kthread.c; CONFIG_FAULT_INJECTION's role.
// Units:   passes are counted per place from 1. Ownership: the port is borrowed. Errors: none.
// Not modelled: failures inside a place after part of its work (the place fails as a whole, its cost is paid).
#pragma once

#include <array>
#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

enum class FailPoint : u8 {
#define FAIL_POINT(name, err, doc) name,
#include "kernel_model/process/fail_points.def"
#undef FAIL_POINT
  count_
};
inline constexpr std::size_t kFailPoints = static_cast<std::size_t>(FailPoint::count_);

struct FailPointInfo {
  std::string_view name, err, doc;
};
inline constexpr std::array<FailPointInfo, kFailPoints> kFailPointTable{{
#define FAIL_POINT(name, err, doc) FailPointInfo{#name, #err, doc},
#include "kernel_model/process/fail_points.def"
#undef FAIL_POINT
}};

class FaultPort {
 public:
  virtual ~FaultPort() = default;
  /// Whether the `pass`-th pass of `p` (from 1) fails. Must depend on its arguments alone.
  virtual bool fail(FailPoint p, u64 pass) = 0;
};

}  // namespace forksim::km
