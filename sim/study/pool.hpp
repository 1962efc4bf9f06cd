// A pool of processes, one for each run.
//
// Purpose: SimGrid keeps one simulation per process, so each run is a forked child of a process that has loaded the platform; the child
//          sends one text through a pipe and ends. Source: measured cost of ways to sweep (a fork is under 1 ms, a fresh program 28 ms).
// Units:   none. Ownership: children belong to the pool; a child dies with it. Errors: a child that dies or sends nothing is reported by
//          its wait status; std::system_error when no process can be made.
// Not here: what a run is (the callbacks), other machines (ranks.hpp).
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

namespace forksim {

struct PoolCalls {
  std::function<std::string(std::size_t job)> run;                                         ///< in the child
  std::function<void(std::size_t job, const std::string& sent, int wait_status)> finished;  ///< in the pool's process
  std::function<void()> tick;                                                              ///< several times a second; may be empty
};

/// Runs all jobs, `width` at a time; no new ones once `stop` is set. Children ignore SIGINT, so that what has begun is finished.
void run_pool(const std::vector<std::size_t>& jobs, unsigned width, const PoolCalls& calls, const std::atomic<bool>& stop);

/// Calls `body` in a child that dies with this process, and returns its exit code, or -1 when a signal ended it. Once `stop` is set the
/// child gets a SIGINT, as from a terminal.
int in_child(const std::function<int()>& body, const std::atomic<bool>& stop);

}  // namespace forksim
