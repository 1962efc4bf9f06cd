// What the files of fork share: the ladder of error labels and the struct copy.
//
// Purpose: copy_process (fork.cpp) enters the ladder (fork_errors.cpp) at the label that undoes its last finished step.
// Source:  Linux 4.19 kernel/fork.c, labels bad_fork_* and fork_out, in falling order. Units: none. Ownership: none. Errors: none.
// Not modelled: labels of configurations that are off (memory policy).
#pragma once

#include "kernel_model/core.hpp"
#include "kernel_model/exec/path.hpp"

namespace forksim::km {

/// Labels in the order in which they fall through; the value is the step of kBadFork.
enum class ForkLabel : u16 {
  cancel_cgroup,
  free_pid,
  cleanup_thread,
  cleanup_io,
  cleanup_namespaces,
  cleanup_mm,
  cleanup_signal,
  cleanup_sighand,
  cleanup_fs,
  cleanup_files,
  cleanup_semundo,
  cleanup_security,
  cleanup_audit,
  cleanup_perf,
  cleanup_policy,
  cleanup_threadgroup_lock,
  cleanup_count,
  bad_fork_free,
  fork_out
};

extern const Path kBadFork;  ///< a[0] child, a[1] clone flags; starts at the step of a ForkLabel

/// What arch_dup_task_struct's copy hands down from `p`, and what copy_process resets.
void dup_fields(Core& k, Task& c, const Task& p);

}  // namespace forksim::km
