// A table indexed by pid that grows on demand.
//
// Purpose: per-task state of the listeners without hashing. Source: pids are dense and recycled (kernel/pid.c), so the table stays as
//          long as the largest pid used. A pid is free from release_task on, which is before its owner has left its CPU for the last time
//          and the next task there has accounted for it: where pids are scarce a new task may have it by then. Listeners that say who runs
//          where (arrive, leave) find the old owner's row by the CPU, until it is settled or the CPU switches again.
// Units:   none. Ownership: owns its rows; a reference is valid until the next call. Errors: none.
#pragma once

#include <algorithm>
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

  /// `cpu` executes `pid` from now on, 0 for nobody of interest.
  void arrive(km::CpuId cpu, km::u64 pid) { on(cpu).now = pid; }
  /// The row of `pid`, away from which `cpu` switches, `for_ever` when it is dead.
  T& leave(km::CpuId cpu, km::u64 pid, bool for_ever) {
    std::erase_if(aside_, [cpu, pid](const Aside& a) { return a.cpu == cpu && (a.left || a.pid != pid); });
    on(cpu).left = for_ever ? pid : 0;
    Aside* a = aside(cpu, pid);
    if (!a) return at(pid);
    a->left = true;
    return a->row;
  }
  /// The row that `cpu` means when it tells of the task `pid` that runs there, or has just left.
  T& last_on(km::CpuId cpu, km::u64 pid) {
    Aside* a = aside(cpu, pid);
    return a ? a->row : at(pid);
  }
  /// `cpu` has told the last of `pid`, which left it.
  void settle(km::CpuId cpu, km::u64 pid) {
    if (on(cpu).left == pid) on(cpu).left = 0;
    std::erase_if(aside_, [cpu, pid](const Aside& a) { return a.cpu == cpu && a.pid == pid && a.left; });
  }
  /// The row of `pid` for its new owner, still as the old one left it; a copy is put aside when a CPU has not told the last of that one.
  T& reborn(km::Pid pid) { return reborn(static_cast<km::u64>(pid.v)); }
  T& reborn(km::u64 pid) {
    for (km::u32 c = 0; c < on_cpu_.size(); ++c) {
      OnCpu& o = on_cpu_[c];
      if (o.now != pid && o.left != pid) continue;
      aside_.push_back({km::CpuId(c), pid, at(pid), o.left == pid});
      (o.left == pid ? o.left : o.now) = 0;
    }
    return at(pid);
  }

 private:
  struct OnCpu {
    km::u64 now = 0, left = 0;  ///< who runs; who has left for ever, and has something to come
  };
  struct Aside {
    km::CpuId cpu;
    km::u64 pid;
    T row;
    bool left;
  };
  OnCpu& on(km::CpuId cpu) {
    if (cpu.v >= on_cpu_.size()) [[unlikely]]
      on_cpu_.resize(cpu.v + 1);
    return on_cpu_[cpu.v];
  }
  Aside* aside(km::CpuId cpu, km::u64 pid) {
    if (aside_.empty()) [[likely]]
      return nullptr;
    const auto a = std::ranges::find_if(aside_, [&](const Aside& x) { return x.cpu == cpu && x.pid == pid; });
    return a == aside_.end() ? nullptr : &*a;
  }
  std::vector<T> rows_;
  std::vector<OnCpu> on_cpu_;
  std::vector<Aside> aside_;  ///< nearly always empty
};

}  // namespace forksim
