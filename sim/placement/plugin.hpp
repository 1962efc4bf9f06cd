// The interface of a placement plug-in: the one header that a rule of your own is compiled against. It needs nothing else of forksim.
//
// Purpose: a shared library that exports the three functions below chooses CPUs in place of the kernel: forksim run W --placement
// ./my_rule.so Build:   g++ -std=c++20 -O2 -shared -fPIC -I FORKSIM my_rule.cpp -o my_rule.so   (example:
// sim/placement/example/shortest_queue.cpp) Units:   loads, utilisation and capacity in the kernel's units (1024 = one CPU); dates in ns.
// Ownership: create's result belongs to forksim until it calls destroy; a Decision and its array live for one call of select.
// Errors:  create returns null when it does not know the version of the interface; an illegal CPU is reported (diagnostics
//          placement_illegal, event forksim:placement_illegal) and replaced as the kernel's select_fallback_rq does; an exception ends the
//          run.
// Determinism: same decisions in, same CPUs out; draw random numbers from `seed` only, never look at a clock.
#pragma once

#include <cstdint>

namespace forksim_plugin {

inline constexpr std::uint32_t kAbiVersion = 1;

enum : std::uint32_t { kFork = 0, kExec = 1, kWake = 2 };
/// Answer of select: as the kernel's own rule would.
inline constexpr std::int32_t kAsKernel = -1;

struct Cpu {
  std::uint64_t runnable_load_avg, load_avg;  ///< of the root cfs_rq, as old as its last update
  std::uint64_t util;                         ///< cpu_util(), with util_est
  std::uint64_t capacity;                     ///< what real-time tasks leave of it
  std::uint64_t idle_stamp_ns;                ///< run-queue clock when it went newly idle; 0: not idle, or never
  std::uint32_t nr_running;
  std::uint32_t idle;     ///< 1: idle_cpu()
  std::uint32_t allowed;  ///< 1: in the task's mask and active
  std::uint32_t cache;    ///< lowest CPU with the same last-level cache
};

struct Decision {
  std::uint64_t now_ns;
  std::int32_t pid;          ///< the task to place
  std::int32_t decider_pid;  ///< who forks, execs, wakes
  std::uint32_t kind;        ///< kFork, kExec, kWake
  std::uint32_t this_cpu;    ///< where the decision is made
  std::uint32_t prev_cpu;    ///< where the task is (exec), was last (wake), or its parent is (fork)
  std::uint32_t cpus;        ///< length of `cpu`
  const Cpu* cpu;
};

/// Yours: define it as you like.
struct Rule;

}  // namespace forksim_plugin

extern "C" {
forksim_plugin::Rule* forksim_rule_create(std::uint32_t abi_version, std::uint32_t cpus, std::uint64_t seed);
std::int32_t forksim_rule_select(forksim_plugin::Rule* rule, const forksim_plugin::Decision* decision);
void forksim_rule_destroy(forksim_plugin::Rule* rule);
}
