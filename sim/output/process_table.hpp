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
//   tty        TIOCSCTTY of a session leader, inherited over fork, lost with the leader; tpgid: its foreground process group
//   rss, vm    pages present, as last reported (the kernel adds up faults 64 at a time, at exec and at exit), and mapped; a thread's stack
//              adds 8 MiB + 64 KiB to what is mapped, as glibc maps it, and stays when the thread is gone
//   references how many tasks have the same object, from the flags of clone, execve and do_exit
// Units:   ns; prio 0..139. Ownership: values. Errors: none; rows about tasks that the file does not know are skipped.
// Not modelled: memory of init; mappings that come and go (vm only grows).
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "sim/output/life_file.hpp"

namespace forksim {

/// Pid of init, the parent of what nobody else is.
inline constexpr km::s64 kInitPid = 1;

struct ProcessRow {
  km::s64 pid = 0, ppid = 0, pgrp = 0, session = 0;
  char state = 'R';
  std::string wchan;  ///< empty: runs, or not known
  std::string comm, command;
  km::s64 prio = 120;
  km::u64 start = 0, cputime = 0;
  km::u32 threads = 1;
  bool kernel = false;  ///< kthreadd and what descends from it
  km::s64 uid = 0;
  km::s64 tty = -1, tpgid = -1;  ///< N of pts/N; -1: none
  km::u64 rss = 0, vm = 0;       ///< pages
  bool locked = false;           ///< has locked pages
};

/// What clone shares or copies, in the order of copy_process.
enum class Shared : km::u8 { files, fs, sighand, signal, mm, nsproxy, count_ };
inline constexpr std::size_t kShared = static_cast<std::size_t>(Shared::count_);

/// A task (not a process) and how many have the same objects as it; 0: it has none (any more).
struct RefRow {
  km::s64 pid = 0, tgid = 0;
  char state = 'R';
  std::string comm;
  std::array<km::u64, kShared> users{};
};

class ProcessTable {
 public:
  void apply(const LifeEvent& e);
  /// Thread groups by pid, at date `now`, which is not before the last event applied.
  std::vector<ProcessRow> rows(km::u64 now) const;
  /// Tasks by pid, with the reference counts of what they have.
  std::vector<RefRow> references() const;

 private:
  struct Task {
    ProcessRow row;
    km::s64 tgid = 0;
    bool running = false, leader_due = false;  ///< leader_due: the next release of this pid is that of the leader it took over from
    km::u64 since = 0;                         ///< running: switched in
    km::u64 gone_threads = 0;                  ///< of a leader: CPU time of threads released
    km::u64 threads = 1, most_threads = 1;     ///< of a leader: now, and at most since execve
    std::array<km::u64, kShared> objects{};    ///< numbers given to what it has; 0: none
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
  void terminal(const LifeRow& r, const Task& t);
  void share(Task& child, const Task* parent, km::u64 flags);
  void exec(const LifeRow& r, Task& t);
  km::u64& object(Task& t, Shared kind) { return t.objects[static_cast<std::size_t>(kind)]; }

  struct Memory {
    km::u64 rss = 0, vm = 0;
    bool locked = false;
  };
  std::map<km::s64, Task> tasks_;
  std::map<km::u64, Memory> memory_;           ///< by number of the mm
  std::map<km::s64, km::s64> foreground_;      ///< by terminal
  km::u64 objects_ = 0;                        ///< numbers given out
};

/// The table at `at`.
ProcessTable table_at(const Life& life, km::u64 at);
std::vector<ProcessRow> processes_at(const Life& life, km::u64 at);

}  // namespace forksim
