// PID numbers.
//
// Source: Linux 4.19 kernel/pid.c alloc_pid (idr_alloc_cyclic), free_pid. A number stays taken while any task uses it as PID, TGID, PGID
// or SID; after a wrap the lowest number is RESERVED_PIDS (300). Units: pid numbers. Ownership: a value inside the Core.
// Errors: alloc returns 0 when none is free (EAGAIN). Each pid namespace has a map of its own (process/pid_namespace.cpp).
#pragma once

#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

class PidMap {
 public:
  explicit PidMap(u32 pid_max) : refs_(pid_max) {}
  /// The next free number, with one reference; Pid(0) when all are taken.
  Pid alloc() {
    const u32 max = static_cast<u32>(refs_.size());
    const u32 pid_min = cursor_ > kReserved ? kReserved : 1;
    const u32 start = cursor_ > pid_min ? cursor_ : pid_min;
    u32 id = find(start, max);
    if (!id && start > pid_min) id = find(pid_min, start);
    if (!id) return Pid(0);
    cursor_ = id + 1;
    refs_[id] = 1;
    ++live_;
    return Pid(static_cast<s32>(id));
  }
  void get(Pid p) { ++refs_[static_cast<u32>(p.v)]; }
  void put(Pid p) {
    if (--refs_[static_cast<u32>(p.v)] == 0) --live_;
  }
  bool taken(Pid p) const { return refs_[static_cast<u32>(p.v)]; }
  u32 live() const { return live_; }

 private:
  static constexpr u32 kReserved = 300;
  u32 find(u32 from, u32 to) const {
    for (u32 i = from; i < to; ++i)
      if (!refs_[i]) return i;
    return 0;
  }
  std::vector<u32> refs_;
  u32 cursor_ = 1, live_ = 0;
};

}  // namespace forksim::km
