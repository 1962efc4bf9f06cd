// Credentials, namespaces, undo lists, memory and stacks: what copy_process takes besides the objects of core.cpp, and how it is given
// back. Mirrors Linux 4.19 kernel/{cred,user,nsproxy}.c, ipc/sem.c exit_sem, block/blk-ioc.c, kernel/fork.c free_thread_stack.
#include "kernel_model/core.hpp"

namespace forksim::km {

User& Core::user_of(u32 uid) {
  for (User& u : users_)
    if (u.uid == uid) return u;
  users_.push_back({uid, 0});
  return users_.back();
}

Cred& Core::new_cred(User& u) {
  const u32 i = creds_.alloc();
  creds_[i] = {i, 0, &u};
  kernel_bytes += KernelBytes::cred;
  return creds_[i];
}

/// The task's reference, which also counts as one of its user's processes until release_task.
void Core::get_cred(Task& t, Cred& c) {
  t.cred = &c;
  ++c.usage;
  ++c.user->processes;
}

void Core::put_cred(Cred& c) {
  if (--c.usage) return;
  kernel_bytes -= KernelBytes::cred;
  creds_.free(c.index);
}

Nsproxy& Core::new_nsproxy(const Nsproxy* parent, bool new_pid_ns) {
  PidNamespace* ns = parent ? parent->pid_ns_for_children : init_pid_ns_;
  if (!ns || new_pid_ns) ns = &this->new_pid_ns(ns);
  ++ns->count;
  const u32 i = nsproxies_.alloc();
  nsproxies_[i] = {i, 1, ns};
  kernel_bytes += KernelBytes::nsproxy;
  return nsproxies_[i];
}

void Core::put_nsproxy(Nsproxy& n) {
  if (--n.count) return;
  kernel_bytes -= KernelBytes::nsproxy;
  put_pid_ns(*n.pid_ns_for_children);
  nsproxies_.free(n.index);
}

SemUndo& Core::new_sem_undo() {
  const u32 i = sem_undos_.alloc();
  sem_undos_[i] = {i, 1};
  kernel_bytes += KernelBytes::sem_undo;
  return sem_undos_[i];
}

void Core::put_sem_undo(SemUndo& s) {
  if (--s.refcnt) return;
  kernel_bytes -= KernelBytes::sem_undo;
  sem_undos_.free(s.index);
}

void Core::new_io_context(Task& t, u32 ioprio) {
  const u32 i = io_contexts_.alloc();
  io_contexts_[i] = {i, 1, 1, ioprio};
  kernel_bytes += KernelBytes::io_context;
  t.io_context = &io_contexts_[i];
}

void Core::exit_io_context(Task& t) {
  IoContext& ioc = *t.io_context;
  t.io_context = nullptr;
  --ioc.nr_tasks;
  if (--ioc.refcount) return;
  kernel_bytes -= KernelBytes::io_context;
  io_contexts_.free(ioc.index);
}

/// The lowest number whose pty nobody has, as devpts gives them out.
Tty& Core::new_tty() {
  for (Tty& t : ttys_)
    if (!t.session.v) return t;
  ttys_.emplace_back();
  ttys_.back().index = static_cast<u32>(ttys_.size() - 1);
  return ttys_.back();
}

Pid Core::alloc_pid() {
  const Pid p = pids.alloc();
  if (p.v) kernel_bytes += KernelBytes::pid;
  return p;
}

bool Core::may_allocate(FailPoint p, u64 bytes) {
  if (fault(p)) return false;
  const u64 limit = profile().tun(Tunable::kernel_memory_bytes);
  return limit == 0 || kernel_bytes + bytes <= limit;
}

bool Core::free_thread_stack(Cpu& c) {
  if (c.cached_stacks >= profile().tun(Tunable::nr_cached_stacks)) {
    ++c.vfree_pending;
    return false;
  }
  ++c.cached_stacks;
  return true;
}

u32 Core::new_visit() {
  if (free_visits_.empty()) {
    visits_.emplace_back();
    return static_cast<u32>(visits_.size() - 1);
  }
  const u32 i = free_visits_.back();
  free_visits_.pop_back();
  return i;
}

void Core::end_visit(u32 i) {
  visits_[i].clear();
  free_visits_.push_back(i);
}

}  // namespace forksim::km
