// A table indexed by pid that grows on demand.
//
// Purpose: per-task state of the listeners without hashing. Source: pids are dense and recycled (kernel/pid.c), so the table stays as
//          long as the largest pid used. Units: none. Ownership: owns its rows; a reference is valid until the next at(). Errors: none.
#pragma once

#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

template <class T>
class PidTable {
 public:
  T& at(km::u64 pid_arg) {
    const auto i = static_cast<km::u32>(pid_arg);
    if (i >= rows_.size()) [[unlikely]]
      rows_.resize(i < 1024 ? 1024 : i + i / 2 + 1);
    return rows_[i];
  }
  T& at(km::Pid pid) { return at(static_cast<km::u64>(pid.v)); }
  km::u32 size() const { return static_cast<km::u32>(rows_.size()); }

 private:
  std::vector<T> rows_;
};

}  // namespace forksim
