// The process table at a date, rebuilt from the life of the tasks.
//
// Purpose: what /proc would say at that date, for `forksim ps`. Source: life.csv; the meaning of each value is that of Linux 4.19:
//   identity   task_newtask with its clone flags (CLONE_THREAD, CLONE_PARENT), reparent, sched_process_exec of a thread
//   present    from task_newtask (attach_pid) to release_task
//   comm       inherited from the parent, changed by task_rename; command: file of the last execve, inherited over fork, else the name
//   state      R on a CPU, queued or being woken; else the letter of the switch away; Z from exit_notify on, X when nobody will wait
//   wchan      the system call, or for kernel tasks the loop, that it sleeps in (wchan.def)
//   cputime    sum_exec_runtime of all threads, of those gone too, and since the switch-in while one runs: utime + stime as the kernel
//              scales them (cputime_adjust makes them add up to it)
//   prio       effective priority; process group and session: start, setsid (each process that the workload starts is a session)
// Units:   ns; prio 0..139. Ownership: values. Errors: none; rows about tasks that the file does not know are skipped.
// Not modelled: terminals, users (all are root's), sizes of memory, arguments of commands.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/output/life_file.hpp"

namespace forksim {

struct ProcessRow {
  km::s64 pid = 0, ppid = 0, pgrp = 0, session = 0;
  char state = 'R';
  std::string wchan;  ///< empty: runs, or not known
  std::string comm, command;
  km::s64 prio = 120;
  km::u64 start = 0, cputime = 0;
  km::u32 threads = 1;
  bool kernel = false;  ///< kthreadd and what descends from it
};

class ProcessTable {
 public:
  void apply(const LifeEvent& e);
  /// Thread groups by pid, at date `now`, which is not before the last event applied.
  std::vector<ProcessRow> rows(km::u64 now) const;

 private:
  struct Task {
    ProcessRow row;
    km::s64 tgid = 0;
    bool running = false, leader_due = false;  ///< leader_due: the next release of this pid is that of the leader it took over from
    km::u64 since = 0;                         ///< running: switched in
    km::u64 gone_threads = 0;                  ///< of a leader: CPU time of threads released
  };
  Task* find(km::s64 pid);
  void boot(const LifeRow& r);
  void fork(const LifeRow& r);
  void run(const LifeRow& r);
  void take_over(const LifeRow& r);
  void release(km::s64 pid);
  void change(const LifeEvent& e, Task& t);
  void attr(const LifeRow& r, const Task& t);
  void reparent(const LifeRow& r, const Task& t);

  std::map<km::s64, Task> tasks_;
};

/// The table at `at`.
std::vector<ProcessRow> processes_at(const Life& life, km::u64 at);

}  // namespace forksim
