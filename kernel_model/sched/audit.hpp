// Checks of the run queues while they are in use.
//
// Purpose: what must hold at every switch: a task in a queue belongs to that queue and CPU, and so to no other; load and runnable_weight
//          of a queue are the sums of its entities (those that wait and the one that runs); counts agree up the hierarchy; the tree is in
//          order; min_vruntime of the root queue never goes back. And what the kernel promises about idle CPUs, below.
// Source:  Linux 4.19 kernel/sched/fair.c (account_entity_enqueue, update_min_vruntime), own.
// Balance bound: kernel 4.19 does not promise that an idle CPU helps at once. It helps when the busy queue counts as overloaded, which a
//          CPU that is busy all the time does after 80 ms (utilisation of 819 of 1024 takes 75 PELT periods); a tick of that CPU then kicks
//          an idle one, at the latest when the longest interval of a domain whose tasks were all pinned is over (512 ms); a task that is
//          cache hot every time is taken once cache_nice_tries (1) and two attempts more have failed: 100 ms + 4 x 512 ms. Only a waiting
//          fair task counts that the idle CPU may run, of a queue that is not throttled, with both the wait and the idle time that long.
//          A caller may ask for a tighter bound than the kernel keeps.
// Units:   ns. Ownership: keeps the last min_vruntime of each CPU. Errors: texts. Not modelled: min_vruntime of group queues is not
// followed
//          (a group's queue may be a new one at the same place); real-time queues are checked by their counts only.
#pragma once

#include <string>
#include <vector>

#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

inline constexpr Ns kBalanceBound{2'148'000'000};

class SchedAudit {
 public:
  explicit SchedAudit(u32 cpus) : last_(cpus) {}
  /// Checks the queue of `cpu`, and when that is idle since `idle_since` (kNever: it is not) that nobody waited too long for it. Appends
  /// what is broken; returns how many checks were made.
  u64 check(Scheduler& s, CpuId cpu, Ns idle_since, std::vector<std::string>& broken, Ns bound = kBalanceBound);

 private:
  struct Sums {
    u64 weight = 0, runnable = 0;
    u32 entities = 0, tasks = 0;
  };
  Sums walk(const CfsRq& q, CpuId cpu);
  void entity(const SchedEntity& se, const CfsRq& q, CpuId cpu, Sums& sums);
  void overdue(Scheduler& s, CpuId cpu, Ns idle_since, Ns bound);
  /// `text` says what is wrong when it is.
  template <class Text>
  void expect(bool ok, Text&& text) {
    ++checks_;
    if (!ok) [[unlikely]]
      broken_->push_back(text());
  }
  struct Last {
    bool seen = false;
    VNs min_vruntime;
  };
  std::vector<Last> last_;
  std::vector<std::string>* broken_ = nullptr;
  u64 checks_ = 0;
};

}  // namespace forksim::km
