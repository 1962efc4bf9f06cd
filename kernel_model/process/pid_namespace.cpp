// Pid namespaces: a number on every level, and an init whose end takes the others along.
// Mirrors Linux 4.19 kernel/pid_namespace.c (create_pid_namespace, zap_pid_ns_processes), kernel/pid.c (the levels of alloc_pid, free_pid,
// pid_nr_ns). Costs: alloc_pid's row once more per level; the namespace itself is copy_namespaces_new.
#include <algorithm>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

PidNamespace& Core::new_pid_ns(PidNamespace* parent) {
  const u32 i = pid_namespaces_.alloc();
  PidNamespace& ns = pid_namespaces_[i];
  ns.index = i;
  ns.parent = parent;
  kernel_bytes += KernelBytes::pid_namespace;
  if (!parent) return *(init_pid_ns_ = &ns);
  ++parent->count;
  ns.level = parent->level + 1;
  ns.numbers = std::make_unique<PidMap>(static_cast<u32>(by_pid_.size()));
  return ns;
}

void Core::put_pid_ns(PidNamespace& ns) {
  for (PidNamespace* n = &ns; n && --n->count == 0;) {
    PidNamespace* parent = n->parent;
    kernel_bytes -= KernelBytes::pid_namespace;
    n->numbers.reset();
    pid_namespaces_.free(n->index);
    n = parent;
  }
}

bool Core::alloc_numbers(Pid pid, PidNamespace& ns) {
  if (ns.level == 0) return true;
  const u32 i = upids_.alloc();
  Upids& u = upids_[i];
  u.index = i;
  u.ns = &ns;
  for (PidNamespace* n = &ns; n->level; n = n->parent) {
    u.nr[n->level] = n->numbers->alloc();
    if (u.nr[n->level].v) continue;
    for (PidNamespace* m = &ns; m != n; m = m->parent) m->numbers->put(u.nr[m->level]);
    upids_.free(i);
    return false;
  }
  for (PidNamespace* n = &ns; n->level; n = n->parent) ++n->pid_allocated;
  ++ns.count;
  kernel_bytes += KernelBytes::upid * ns.level;
  upids_by_pid_.resize(by_pid_.size());
  upids_by_pid_[static_cast<std::size_t>(pid.v)] = &u;
  return true;
}

void Core::free_numbers(Pid pid) {
  Upids* u = upids_of(pid);
  if (!u) return;
  upids_by_pid_[static_cast<std::size_t>(pid.v)] = nullptr;
  for (PidNamespace* n = u->ns; n->level; n = n->parent) {
    n->numbers->put(u->nr[n->level]);
    --n->pid_allocated;
  }
  kernel_bytes -= KernelBytes::upid * u->ns->level;
  put_pid_ns(*u->ns);
  upids_.free(u->index);
}

s32 Core::pid_nr_ns(Pid pid, const PidNamespace& ns) const {
  if (ns.level == 0) return pid.v;
  const Upids* u = pid.v > 0 ? upids_of(pid) : nullptr;
  const PidNamespace* n = u ? u->ns : nullptr;
  while (n && n->level > ns.level) n = n->parent;
  return n == &ns ? u->nr[ns.level].v : 0;
}

void wake_reapers(Ctx& x, PidNamespace& ns) {
  for (PidNamespace* n = &ns; n->level; n = n->parent)
    if (!n->adding && n->pid_allocated <= 2 && n->child_reaper) call_ttwu(x, *n->child_reaper, TASK_NORMAL);
  x.k.put_pid_ns(ns);
}

namespace {

enum Pc : u16 { kPcWait = 1, kPcLast = 3 };

/// One thread per process, in the order of their numbers: the first that is not being killed already.
u32 visit_others(Ctx& x, const PidNamespace& ns) {
  Core& k = x.k;
  const u32 v = k.new_visit();
  auto& list = k.visit(v);
  k.for_each_task([&](Task& t) {
    if (t.signal != x.t.signal && t.sighand && !(t.pending & sigbit(kSIGKILL)) && k.pid_nr_ns(t.pid, ns)) list.push_back(&t);
  });
  std::ranges::sort(list, {}, [&](const Task* t) { return k.pid_nr_ns(t->pid, ns); });
  std::vector<Task*> first;
  for (Task* t : list)
    if (std::ranges::none_of(first, [&](const Task* f) { return f->signal == t->signal; })) first.push_back(t);
  list = std::move(first);
  return v;
}

/// Nobody is added any more, children reap themselves, everybody else is killed.
Next zap_begin(Ctx& x) {
  PidNamespace& ns = *x.t.pid_ns;
  ns.adding = false;
  x.t.sighand->action[kSIGCHLD] = SigDisposition::ign;
  call_kill_each(x, visit_others(x, ns), kSIGKILL, 0, true);
  return advance();
}
/// Zombies that were there before SIGCHLD was ignored.
Next zap_wait(Ctx& x) {
  x.t.ti_flags &= ~TIF_SIGPENDING;
  call_kernel_wait4(x, -1, k__WALL);
  return advance();
}
Next zap_waited(Ctx& x) { return x.t.result == -kECHILD ? advance() : jump(kPcWait); }
/// The last number to go wakes us (free_pid); our own stays, and that of a leader that died before us.
Next zap_last(Ctx& x) {
  const u32 init_pids = x.t.group_leader == &x.t ? 1 : 2;
  if (x.t.pid_ns->pid_allocated == init_pids) {
    x.t.state = TASK_RUNNING;
    return ret();
  }
  x.t.ti_flags &= ~TIF_SIGPENDING;
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(kPcLast);
}
constexpr Step kZapSteps[] = {
    {zap_begin, Phase::count_, nullptr, 0, marks<enters<Fn::zap_pid_ns_processes>>},
    {zap_wait, Phase::count_, nullptr, 0},
    {zap_waited, Phase::count_, nullptr, 0},
    {zap_last, Phase::count_, nullptr, 0},
};
static_assert(kZapSteps[kPcWait].effect == zap_wait && kZapSteps[kPcLast].effect == zap_last);

}  // namespace

const Path kZapPidNs{"zap_pid_ns_processes", kZapSteps};

}  // namespace forksim::km
