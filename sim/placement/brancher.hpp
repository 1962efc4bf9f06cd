// Branches of a running simulation: the process is forked at a decision, the copy goes on with another CPU and tells what came of it.
//
// Purpose: regret (what would the other CPUs have been like?) and the rule `oracle`. A branch has the same tasks, clock and random streams;
//          it listens to nothing but the child, writes one ChildWait to its pipe and ends by _exit, so the run itself stays as it is.
// Source:  own; fork(2), whose copy-on-write makes a branch cost about a millisecond. Units: ns.
// Ownership: borrows the trace, which must outlive it; ends its branches when it goes. Errors: BranchError when no process can be made; a
//          branch that dies is a result with `failed`. Not here: a branch of a branch (nothing branches in a branch).
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#include "sim/placement/child_watch.hpp"

namespace forksim {

struct BranchError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class BranchWatch;

class Brancher {
 public:
  /// At most `jobs` branches at once; each measures its child until `horizon` after it first ran. `in_branch` is shared by all branchers
  /// of a run.
  Brancher(km::Trace& trace, km::Ns horizon, unsigned jobs, bool& in_branch);
  ~Brancher();
  Brancher(const Brancher&) = delete;
  Brancher& operator=(const Brancher&) = delete;

  /// True in the branch, where `child` must now be put on `forced` (kAnyCpu: where the kernel puts it); false in the run, which goes on at
  /// once or waits for a free job.
  bool branch(km::u64 fork, km::Pid child, km::CpuId forced);
  /// This process is a branch, of this or another brancher.
  bool in_branch() const { return in_branch_; }
  /// ... of this one.
  bool in_own_branch() const { return watch_ != nullptr; }
  /// Waits for every branch; results in the order of their start.
  std::vector<ChildWait> collect();
  /// In a branch whose run ended before its measurement did: reports and ends the process. `failed`: the end is none of the simulation's.
  [[noreturn]] void end_branch(km::Ns now, bool failed);
  km::u64 branches() const { return started_; }

 private:
  struct Running {
    pid_t pid;
    int fd;
    std::size_t slot;
  };
  void wait_for_one();

  km::Trace& trace_;
  km::Ns horizon_;
  unsigned jobs_;
  bool& in_branch_;
  std::unique_ptr<BranchWatch> watch_;  ///< only in a branch
  std::vector<Running> running_;
  std::vector<ChildWait> results_;
  km::u64 started_ = 0;
};

/// Runs `count` in a copy of this process, which must leave no trace, and returns what it said; throws BranchError when it died.
km::u64 count_in_a_copy(const std::function<km::u64()>& count);

}  // namespace forksim
