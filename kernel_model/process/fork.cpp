// _do_fork and copy_process as a path, in the kernel's order; clone(2) around it.
// Mirrors Linux 4.19 kernel/fork.c; what a failure undoes is in fork_errors.cpp.
#include "kernel_model/process/fork.hpp"

#include <bit>

#include "kernel_model/process/paths.hpp"
#include "kernel_model/process/ptrace.hpp"

namespace forksim::km {

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;
constexpr u8 kMaySleep = StepFlag::kMightSleep;

// Locals of kDoFork. Above the flags is the event that its tracer waits for.
enum Local : u32 { kChild = 0, kFlags = 1, kStackHit = 2, kPid = 3, kCollecting = 4 };
enum Pc : u16 { kPcSighand = 9, kPcWakeSelect = 19, kPcVforkWait = 21, kPcReturn = 22 };

const ForkSpec& spec(Ctx& x) { return *x.t.op[x.t.handler_depth].fork; }
Task& child(Ctx& x) { return task_arg(x, kChild); }
bool flag(Ctx& x, u64 f) { return x.f.a[kFlags] & f; }
constexpr u32 kEventShift = 32;
constexpr u64 kAllFlags = (u64{1} << kEventShift) - 1;
u32 event(const Ctx& x) { return static_cast<u32>(x.f.a[kFlags] >> kEventShift); }

Next give_result(Ctx& x, s64 result) {
  set_result(x, static_cast<u64>(result));
  return jump(kPcReturn);
}

/// goto `label`: what was taken is undone from there down, then _do_fork returns the error.
Next bad_fork(Ctx& x, ForkLabel label, s64 err) {
  ++x.k.totals.fork_errors;
  const u64 c = x.f.a[kChild], flags = x.f.a[kFlags];
  const Next n = give_result(x, -err);
  Frame& f = call(x, kBadFork);
  f.a[0] = c;
  f.a[1] = flags;
  f.go(static_cast<u16>(label));
  return n;
}

/// The checks at the head of copy_process, in order.
s64 check_flags(Ctx& x) {
  const u64 f = x.f.a[kFlags];
  if ((f & (kCLONE_NEWNS | kCLONE_FS)) == (kCLONE_NEWNS | kCLONE_FS)) return kEINVAL;
  if ((f & (kCLONE_NEWUSER | kCLONE_FS)) == (kCLONE_NEWUSER | kCLONE_FS)) return kEINVAL;
  if ((f & kCLONE_THREAD) && !(f & kCLONE_SIGHAND)) return kEINVAL;
  if ((f & kCLONE_SIGHAND) && !(f & kCLONE_VM)) return kEINVAL;
  if ((f & kCLONE_PARENT) && (x.t.signal->flags & SIGNAL_UNKILLABLE)) return kEINVAL;
  if ((f & kCLONE_THREAD) && (f & (kCLONE_NEWUSER | kCLONE_NEWPID))) return kEINVAL;
  return 0;
}

/// Signals to several processes that come while a process is cloned are kept for the child too (multiprocess_signals).
void stop_collecting(Ctx& x) {
  if (!x.f.a[kCollecting]) return;
  x.f.a[kCollecting] = 0;
  x.t.signal->forking.remove(&x.t);
}

/// Head of _do_fork and of copy_process. A pending signal comes first, for threads as well: the call is restarted after it.
Next copy_process_checks(Ctx& x) {
  if (x.t.ptrace) [[unlikely]]
    x.f.a[kFlags] |= u64{choose_fork_event(x.t, x.f.a[kFlags])} << kEventShift;
  const s64 err = check_flags(x);
  if (err) return bad_fork(x, ForkLabel::fork_out, err);
  if (!flag(x, kCLONE_THREAD)) {
    x.t.delayed = 0;
    x.t.signal->forking.push_front(&x.t);
    x.f.a[kCollecting] = 1;
  }
  recalc_sigpending(x.t);
  return x.t.ti_flags & TIF_SIGPENDING ? give_result(x, -kERESTARTNOINTR) : advance();
}

/// alloc_thread_stack_node: a cached stack of this CPU, or vmalloc; without VMAP_STACK the page allocator.
Next alloc_stack(Ctx& x) {
  const bool hit = x.c.cached_stacks > 0;
  if (hit) --x.c.cached_stacks;
  x.f.a[kStackHit] = hit;
  return advance();
}
Ns dup_cost(Ctx& x) {
  if (x.f.a[kStackHit]) return Ns(0);
  return x.k.cost(x.k.profile().vmap_stack ? Phase::stack_vmalloc : Phase::stack_alloc_pages);
}

/// dup_task_struct: task_struct first, then the stack; neither failing leaves anything behind.
Next dup_task_struct(Ctx& x) {
  Core& k = x.k;
  const bool hit = x.f.a[kStackHit];
  const u64 stack = hit ? 0 : k.profile().stack_bytes;
  if (!k.may_allocate(FailPoint::dup_task_struct, KernelBytes::task_struct) ||
      !k.may_allocate(FailPoint::alloc_thread_stack, KernelBytes::task_struct + stack)) {
    x.c.cached_stacks += hit;
    return bad_fork(x, ForkLabel::fork_out, kENOMEM);
  }
  Task& c = k.alloc_task();
  x.f.a[kChild] = as_arg(c);
  dup_fields(k, c, x.t);
  k.kernel_bytes += stack;
  ++k.totals.stacks_allocated;
  k.totals.stack_cache_hits += hit;
  ++(hit ? x.c.times.stack_hits : x.c.times.stack_misses);
  ++k.live_stacks;
  ++k.totals.task_structs_allocated;
  return advance();
}

/// RLIMIT_NPROC; root's own user and its capabilities are exempt.
Next check_nproc(Ctx& x) {
  const Cred& cred = *x.t.cred;
  const u64 set = x.k.profile().tun(Tunable::rlimit_nproc);
  const u64 limit = set ? set : x.k.profile().tun(Tunable::threads_max) / 2;
  if (cred.user->processes >= limit && !cred.capable()) return bad_fork(x, ForkLabel::bad_fork_free, kEAGAIN);
  return advance();
}

Next copy_creds(Ctx& x) {
  const bool shared = flag(x, kCLONE_THREAD);
  if (!x.k.may_allocate(FailPoint::copy_creds, shared ? 0 : KernelBytes::cred)) return bad_fork(x, ForkLabel::bad_fork_free, kENOMEM);
  x.k.get_cred(child(x), shared ? *x.t.cred : x.k.new_cred(*x.t.cred->user));
  if (x.k.nr_threads >= x.k.profile().tun(Tunable::threads_max)) return bad_fork(x, ForkLabel::cleanup_count, kEAGAIN);
  return advance();
}
/// Of sched_fork's row, 543 of 1047 counted instructions are task_fork_fair, under the run queue's lock; of alloc_pid's about half are
/// idr_alloc under pidmap_lock and of copy_process_rest's about a quarter are links under tasklist_lock (both assumed).
Ns task_fork_cost(Ctx& x) { return x.k.cost(Phase::sched_fork) * 543 / 1047; }
Ns pid_locked_cost(Ctx& x) {
  const Nsproxy* n = child(x).nsproxy;
  return x.k.cost(Phase::alloc_pid) / 2 * (1 + (n ? n->pid_ns_for_children->level : 0));
}
Ns link_cost(Ctx& x) { return x.k.cost(Phase::copy_process_rest) / 4; }
Ns before_link_cost(Ctx& x) { return x.k.cost(Phase::copy_process_rest) - link_cost(x); }
Ns before_pid_cost(Ctx& x) { return x.k.cost(Phase::alloc_pid) - x.k.cost(Phase::alloc_pid) / 2; }

/// With the part of sched_fork that comes before the lock.
Ns creds_cost(Ctx& x) {
  return x.k.cost(flag(x, kCLONE_THREAD) ? Phase::copy_shared : Phase::copy_creds) + x.k.cost(Phase::sched_fork) - task_fork_cost(x);
}

/// sched_fork, then perf, audit and security, whose cost is in copy_creds' row.
Next do_sched_fork(Ctx& x) {
  Task& c = child(x);
  const ForkSpec& s = spec(x);
  if (s.has_nice || s.has_policy)
    x.k.sched.set_params(c, s.has_policy ? s.policy : c.policy, s.has_nice ? s.nice : c.static_prio - DEFAULT_PRIO,
                         s.has_policy ? s.rt_priority : c.rt_priority);
  if (s.affinity) {
    c.cpus_allowed = *s.affinity;
    c.nr_cpus_allowed = s.affinity->count();
  }
  for (std::size_t k = 0; k < kPlacementKinds; ++k)
    if (s.placement[k]) c.placement[k] = s.placement[k];
  {
    const Held get_cpu_pi_and_rq_lock(x, 3);
    x.k.sched.sched_fork(c, x.c.id);
  }
  if (x.k.fault(FailPoint::perf_event_init_task)) return bad_fork(x, ForkLabel::cleanup_policy, kENOMEM);
  if (x.k.fault(FailPoint::audit_alloc)) return bad_fork(x, ForkLabel::cleanup_perf, kENOMEM);
  if (x.k.fault(FailPoint::security_task_alloc)) return bad_fork(x, ForkLabel::cleanup_audit, kENOMEM);
  return advance();
}

/// CLONE_SYSVSEM: one undo list for both, made if there is none yet.
Next copy_semundo(Ctx& x) {
  const bool share = flag(x, kCLONE_SYSVSEM), fresh = share && !x.t.sysvsem;
  if (!x.k.may_allocate(FailPoint::copy_semundo, fresh ? KernelBytes::sem_undo : 0))
    return bad_fork(x, ForkLabel::cleanup_security, kENOMEM);
  if (!share) return advance();
  if (fresh) x.t.sysvsem = &x.k.new_sem_undo();
  child(x).sysvsem = x.t.sysvsem;
  ++x.t.sysvsem->refcnt;
  return advance();
}

Ns shared_or(Ctx& x, u64 f, Phase p) { return x.k.cost(flag(x, f) ? Phase::copy_shared : p); }

Ns files_cost(Ctx& x) {
  if (flag(x, kCLONE_FILES)) return x.k.cost(Phase::copy_shared);
  const Files& f = *x.t.files;
  return x.k.cost(Phase::copy_files) + x.k.cost(Phase::copy_files_per_fd) * (f.fds + f.ends.size());
}
Next copy_files(Ctx& x) {
  const bool share = flag(x, kCLONE_FILES);
  if (!x.k.may_allocate(FailPoint::copy_files, share ? 0 : KernelBytes::files)) return bad_fork(x, ForkLabel::cleanup_semundo, kENOMEM);
  child(x).files = share ? x.t.files : &x.k.dup_files(*x.t.files);
  if (share) ++x.t.files->count;
  return advance();
}

Ns fs_cost(Ctx& x) { return shared_or(x, kCLONE_FS, Phase::copy_fs); }
Next copy_fs(Ctx& x) {
  const bool share = flag(x, kCLONE_FS);
  if (share && x.t.fs->in_exec) return bad_fork(x, ForkLabel::cleanup_files, kEAGAIN);
  if (!x.k.may_allocate(FailPoint::copy_fs, share ? 0 : KernelBytes::fs)) return bad_fork(x, ForkLabel::cleanup_files, kENOMEM);
  child(x).fs = share ? x.t.fs : &x.k.new_fs();
  if (share) ++x.t.fs->users;
  return advance();
}

Ns sighand_cost(Ctx& x) { return shared_or(x, kCLONE_SIGHAND, Phase::copy_sighand); }
Next copy_sighand(Ctx& x) {
  const bool share = flag(x, kCLONE_SIGHAND);
  if (!x.k.may_allocate(FailPoint::copy_sighand, share ? 0 : KernelBytes::sighand)) return bad_fork(x, ForkLabel::cleanup_fs, kENOMEM);
  child(x).sighand = share ? x.t.sighand : &x.k.dup_sighand(*x.t.sighand);
  if (share) ++x.t.sighand->count;
  return advance();
}

Ns signal_cost(Ctx& x) { return flag(x, kCLONE_THREAD) ? Ns(0) : x.k.cost(Phase::copy_signal); }
Next copy_signal(Ctx& x) {
  const bool share = flag(x, kCLONE_THREAD);
  if (!x.k.may_allocate(FailPoint::copy_signal, share ? 0 : KernelBytes::signal)) return bad_fork(x, ForkLabel::cleanup_sighand, kENOMEM);
  child(x).signal = share ? x.t.signal : &x.k.new_signal(x.t.signal);
  return advance();
}

Ns mm_cost(Ctx& x) {
  if (!x.t.mm) return Ns(0);
  if (flag(x, kCLONE_VM)) return x.k.cost(Phase::copy_shared);
  const Mm& mm = *x.t.mm;
  return x.k.cost(Phase::copy_mm) + x.k.cost(Phase::copy_mm_per_vma) * mm.vmas + x.k.cost(Phase::copy_mm_per_anon_page) * mm.anon_pages +
         x.k.cost(Phase::copy_mm_per_pgtable_page) * mm.pgtable_pages;
}
Next copy_mm(Ctx& x) {
  Task& c = child(x);
  const bool share = flag(x, kCLONE_VM);
  if (!x.k.may_allocate(FailPoint::copy_mm, x.t.mm && !share ? x.t.mm->bytes() : 0)) return bad_fork(x, ForkLabel::cleanup_signal, kENOMEM);
  if (x.t.mm && share) {
    c.mm = x.t.mm;
    ++c.mm->users;
  } else if (x.t.mm) {
    c.mm = &x.k.dup_mm(*x.t.mm);
    const ProcessShape& s = *c.mm->shape;
    c.fault_cow = s.child_cow;
    c.fault_file = s.child_file;
    c.fault_anon = s.child_anon;
    x.t.fault_cow += s.parent_cow;
  }
  return advance();
}

constexpr u64 kNewNamespaces = kCLONE_NEWNS | kCLONE_NEWUTS | kCLONE_NEWIPC | kCLONE_NEWPID | kCLONE_NEWNET | kCLONE_NEWCGROUP;

Ns namespaces_cost(Ctx& x) {
  return x.k.cost(Phase::copy_namespaces_new) * static_cast<u64>(std::popcount(x.f.a[kFlags] & (kNewNamespaces | kCLONE_NEWUSER)));
}
Next copy_namespaces(Ctx& x) {
  Core& k = x.k;
  if (!flag(x, kNewNamespaces)) {
    if (k.fault(FailPoint::copy_namespaces)) return bad_fork(x, ForkLabel::cleanup_mm, kENOMEM);
    child(x).nsproxy = x.t.nsproxy;
    ++x.t.nsproxy->count;
    return advance();
  }
  // A new user namespace of its own would grant the capability; ours are counted only, so it does not.
  if (!x.t.cred->capable() && !flag(x, kCLONE_NEWUSER)) return bad_fork(x, ForkLabel::cleanup_mm, kEPERM);
  if (flag(x, kCLONE_NEWIPC) && flag(x, kCLONE_SYSVSEM)) return bad_fork(x, ForkLabel::cleanup_mm, kEINVAL);
  const bool new_pid_ns = flag(x, kCLONE_NEWPID);
  const u64 bytes = KernelBytes::nsproxy + (new_pid_ns ? KernelBytes::pid_namespace : 0);
  if (!k.may_allocate(FailPoint::copy_namespaces, bytes)) return bad_fork(x, ForkLabel::cleanup_mm, kENOMEM);
  if (new_pid_ns && x.t.nsproxy->pid_ns_for_children->level >= kMaxPidNsLevel) return bad_fork(x, ForkLabel::cleanup_mm, kENOSPC);
  child(x).nsproxy = &k.new_nsproxy(x.t.nsproxy, new_pid_ns);
  return advance();
}

/// copy_io: CLONE_IO shares the I/O context; without it a valid priority gets one of its own.
bool copy_io(Ctx& x) {
  IoContext* ioc = x.t.io_context;
  const bool share = flag(x, kCLONE_IO), fresh = ioc && !share && ioc->ioprio >> kIoprioClassShift;
  if (!x.k.may_allocate(FailPoint::copy_io, fresh ? KernelBytes::io_context : 0)) return false;
  if (fresh) x.k.new_io_context(child(x), ioc->ioprio);
  if (!ioc || !share) return true;
  child(x).io_context = ioc;
  ++ioc->refcount;
  ++ioc->nr_tasks;
  return true;
}

/// copy_io, then copy_thread_tls.
Next copy_thread(Ctx& x) {
  if (!copy_io(x)) return bad_fork(x, ForkLabel::cleanup_namespaces, kENOMEM);
  if (x.k.fault(FailPoint::copy_thread)) return bad_fork(x, ForkLabel::cleanup_io, kENOMEM);
  Task& c = child(x);
  c.frames.push(x.t.flags & PF_KTHREAD ? kKthread : kUser);
  c.kthread = x.t.kthread;  // of kthreadd: the request it serves
  c.frames.push(kRetFromFork);
  c.set_child_tid = flag(x, kCLONE_CHILD_SETTID);
  c.clear_child_tid = flag(x, kCLONE_CHILD_CLEARTID);
  if (flag(x, kCLONE_SETTLS)) c.tls = as_arg(c) + 1;
  return advance();
}
Next nothing(Ctx&) { return advance(); }

/// One number on each level of the pid namespace; none any more once its init is dying.
Next do_alloc_pid(Ctx& x) {
  if (!x.k.may_allocate(FailPoint::alloc_pid, KernelBytes::pid)) return bad_fork(x, ForkLabel::cleanup_thread, kENOMEM);
  const Pid pid = x.k.alloc_pid();
  if (!pid.v) return bad_fork(x, ForkLabel::cleanup_thread, kEAGAIN);
  PidNamespace& ns = *child(x).nsproxy->pid_ns_for_children;
  const s64 err = !x.k.alloc_numbers(pid, ns) ? kEAGAIN : !ns.adding ? kENOMEM : 0;
  if (err) {
    x.k.put_pid(pid);
    return bad_fork(x, ForkLabel::cleanup_thread, err);
  }
  child(x).pid = pid;
  child(x).pid_ns = &ns;
  return advance();
}

/// task_join_group_stop and the counters of a new thread.
void link_thread(Ctx& x, Task& c) {
  Signal& s = *c.signal;
  c.tgid = x.t.tgid;
  c.exit_signal = -1;
  c.group_leader = x.t.group_leader;
  c.real_parent = x.t.real_parent;
  c.parent_exec_id = x.t.parent_exec_id;
  ++s.nr_threads;
  ++s.live;
  ++s.sigcnt;
  if (x.t.jobctl & JOBCTL_STOP_PENDING) {
    ++s.group_stop_count;
    c.jobctl |= JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME;
    c.ti_flags |= TIF_SIGPENDING;
  }
}

void link_process(Ctx& x, Task& c) {
  const bool sibling = flag(x, kCLONE_PARENT);
  c.tgid = c.pid;
  c.group_leader = &c;
  if (c.pid_ns->level && x.k.pid_nr_ns(c.pid, *c.pid_ns) == 1) {  // is_child_reaper
    c.pid_ns->child_reaper = &c;
    c.signal->flags |= SIGNAL_UNKILLABLE;
  }
  c.signal->shared_pending = x.t.delayed;
  c.exit_signal = sibling ? x.t.group_leader->exit_signal : static_cast<s32>(x.f.a[kFlags] & kCSIGNAL);
  c.parent_exec_id = sibling ? x.t.parent_exec_id : x.t.self_exec_id;
  x.k.add_child(sibling ? *x.t.real_parent : x.t, c);
}

/// A process is entered under four kinds of number, a thread under its own.
void fn_link(Ctx& x) {
  if (!x.k.graph_on()) return;
  for (int i = flag(x, kCLONE_THREAD) ? 1 : 4; i > 0; --i) fn(x, Fn::attach_pid);
  fn(x, Fn::cgroup_post_fork);
  fn(x, Fn::__percpu_up_read);
}

/// From cgroup_can_fork on, under tasklist_lock: identity, parent, thread group; then task_newtask.
Next link_task(Ctx& x) {
  Core& k = x.k;
  Task& c = child(x);
  if (k.fault(FailPoint::cgroup_can_fork)) return bad_fork(x, ForkLabel::free_pid, kEAGAIN);
  if (!c.pid_ns->adding) return bad_fork(x, ForkLabel::cancel_cgroup, kENOMEM);
  if (signal_pending_state(TASK_KILLABLE, x.t)) return bad_fork(x, ForkLabel::cancel_cgroup, kEINTR);
  flag(x, kCLONE_THREAD) ? link_thread(x, c) : link_process(x, c);
  if (x.t.ptrace && (event(x) || flag(x, kCLONE_PTRACE))) [[unlikely]]
    ptrace_init_task(x.t, c);
  stop_collecting(x);
  c.signal->threads.push_back(&c);
  c.hashed = true;
  k.attach_pid(c);
  fn_link(x);
  ++k.nr_threads;
  count_workload(k, c, 1);
  if (x.t.user) c.user = k.user.fork_child(x.t.user, spec(x), c.pid);
  c.user_fresh = c.user != 0;
  if (spec(x).has_group) c.cgroup = k.group(spec(x).group);
  if (k.profile().fair_group_sched) k.sched.set_task_group(c, k.task_group_of(c));  // cpu_cgroup_fork
  const Held nothing_held(x, 0, Held::Irqs::on);  // tasklist_lock is free again
  k.emit(Tp::task_newtask, x.c, c.pid, c.comm, x.f.a[kFlags] & kAllFlags, 0);
  k.emit(Tp::stack_alloc, x.c, c.pid, x.f.a[kStackHit]);
  return advance();
}

/// Back in _do_fork.
Next do_fork_event(Ctx& x) {
  Task& c = child(x);
  Totals& n = x.k.totals;
  ++(c.flags & PF_KTHREAD ? n.kthreads : c.group_leader == &c ? n.forks : n.threads);
  x.k.emit(Tp::sched_process_fork, x.c, x.t.comm, x.t.pid, c.comm, c.pid);
  if (c.mm && !flag(x, kCLONE_VM)) x.k.emit_rss(x.c, c);
  set_result(x, static_cast<u64>(static_cast<s64>(c.pid.v)));
  x.f.a[kPid] = static_cast<u64>(static_cast<s64>(c.pid.v));
  if (flag(x, kCLONE_VFORK)) {
    c.vfork_parent = &x.t;
    x.t.vfork_waiting = true;
  }
  return advance();
}

/// CLONE_PARENT_SETTID: the page was made copy-on-write a moment ago unless the address space is shared. A fault is ignored.
Ns parent_tid_cost(Ctx& x) { return flag(x, kCLONE_PARENT_SETTID) ? x.k.cost(Phase::put_user_tid) : Ns(0); }
Next put_parent_tid(Ctx& x) {
  if (!flag(x, kCLONE_PARENT_SETTID)) return advance();
  x.k.emit(Tp::set_tid, x.c, x.t.pid, x.k.pid_nr_ns(child(x).pid, *x.t.pid_ns), 0);
  if (!flag(x, kCLONE_VM) && shares_cow_pages(x.t)) call_cow_fault(x);
  return advance();
}

Next wake_select(Ctx& x) {
  const Held pi_lock(x, 1);
  const CpuId cpu = x.k.sched.wake_up_new_task_select(child(x), x.c.id);
  ++x.k.cpu(cpu).times.forks_placed;
  return advance();
}
Ns wake_activate_cost(Ctx& x) { return x.k.cost(Phase::enqueue_task) + x.k.cost(Phase::check_preempt); }
Next wake_activate(Ctx& x) {
  {
    const Held pi_and_rq_lock(x, 2);
    x.k.sched.wake_up_new_task_activate(child(x), x.c.id);
  }
  ++x.k.totals.sched_events;
  push_rt_tasks(x, child(x).cpu);
  if (x.t.vfork_waiting) x.k.emit(Tp::vfork_wait, x.c, x.t.pid);
  return advance();
}

/// ptrace_event_pid; a tracer that has gone meanwhile, or wants the event no more, is not stopped for.
Next fork_event(Ctx& x) {
  const u32 e = event(x);
  x.f.a[kFlags] &= kAllFlags;
  fn_leave(x, Fn::wake_up_new_task);
  if (ptrace_event_enabled(x.t, e)) call_ptrace_event(x, e);
  return jump(kPcVforkWait);
}
void vfork_done_event(Ctx& x) {
  fn_leave(x, Fn::wait_for_completion_killable);
  if (ptrace_event_enabled(x.t, PTRACE_EVENT_VFORK_DONE)) call_ptrace_event(x, PTRACE_EVENT_VFORK_DONE);
}

/// The end of _do_fork: the tracer is told of the child, then wait_for_vfork_done: killable; the child's mm_release ends it.
Next vfork_wait(Ctx& x) {
  if (event(x)) [[unlikely]]
    return fork_event(x);
  if (!flag(x, kCLONE_VFORK)) return advance();
  if (!x.t.vfork_waiting) {
    x.k.emit(Tp::vfork_done, x.c, x.t.pid);
    if (x.t.ptrace) [[unlikely]]
      vfork_done_event(x);
    return advance();
  }
  if (signal_pending_state(TASK_KILLABLE, x.t)) {
    x.t.vfork_waiting = false;
    if (Task* c = x.k.find_task(Pid(static_cast<s32>(x.f.a[kPid]))))
      if (c->vfork_parent == &x.t) c->vfork_parent = nullptr;
    return advance();
  }
  x.t.state = TASK_KILLABLE;
  call(x, kSchedule);
  return jump(kPcVforkWait);
}
/// ptrace_event_pid after the wait looks the number up even when nobody traces.
Next do_fork_return(Ctx& x) {
  stop_collecting(x);
  if (!x.k.graph_on()) return ret();
  if (static_cast<s64>(x.f.a[kPid]) <= 0) return ret();
  if (flag(x, kCLONE_VFORK)) {
    fn(x, Fn::task_active_pid_ns);
    fn(x, Fn::pid_nr_ns);
  }
  fn(x, Fn::put_pid);
  return ret();
}
/// The wait loops: it is entered once.
bool vfork_begins(Ctx& x) { return flag(x, kCLONE_VFORK) && !event(x) && x.t.vfork_waiting && x.f.fn_depth == x.f.fn_base + 1; }

bool is_thread(Ctx& x) { return flag(x, kCLONE_THREAD); }
bool is_process(Ctx& x) { return !flag(x, kCLONE_THREAD); }
bool is_vfork(Ctx& x) { return flag(x, kCLONE_VFORK); }
bool stack_miss(Ctx& x) { return !x.f.a[kStackHit] && x.k.profile().vmap_stack; }
bool own_files(Ctx& x) { return !flag(x, kCLONE_FILES); }
bool own_fs(Ctx& x) { return !flag(x, kCLONE_FS); }
bool own_sighand(Ctx& x) { return !flag(x, kCLONE_SIGHAND); }
bool has_mm(Ctx& x) { return x.t.mm; }
bool own_mm(Ctx& x) { return x.t.mm && !flag(x, kCLONE_VM); }

/// The child's pi_lock, and in wake_up_new_task the run queue chosen for it; current's siglock and mmap_sem unless they are shared.
LockWord* fork_lock(Ctx& x, LockId id) {
  const bool waking = x.f.pc() >= kPcWakeSelect;
  if (id == LockId::pi) return &child(x).pi_lock;
  if (id == LockId::rq && waking) return &x.k.cpu(child(x).cpu).rq_lock;
  if (id == LockId::siglock && x.f.pc() == kPcSighand && flag(x, kCLONE_SIGHAND)) return nullptr;
  // an address space that nobody else uses has nobody to wait for either
  if (id == LockId::mmap_write && (flag(x, kCLONE_VM) || !x.t.mm || x.t.mm->users == 1)) return nullptr;
  return x.k.lock_of(x, id);
}

constexpr Step kDoForkSteps[] = {
    {copy_process_checks, Phase::count_, nullptr, 0,
     marks<enters<Fn::_do_fork>, enters<Fn::copy_process>, calls<Fn::task_active_pid_ns, is_thread>, calls<Fn::recalc_sigpending>>},
    {alloc_stack, Phase::count_, nullptr, 0,
     marks<enters<Fn::dup_task_struct>, calls<Fn::tsk_fork_get_node>, enters<Fn::alloc_task_struct_node>, calls<Fn::kmem_cache_alloc>,
           leaves<Fn::alloc_task_struct_node>>},
    {dup_task_struct, Phase::dup_task_struct, dup_cost, kMaySleep | StepFlag::kCondResched,  // of __vmalloc_area_node
     marks<enters<Fn::alloc_thread_stack_node>, calls<Fn::__vmalloc_node_range, stack_miss>, calls<Fn::find_vm_area, stack_miss>,
           leaves<Fn::alloc_thread_stack_node>, calls<Fn::arch_dup_task_struct>, calls<Fn::account_kernel_stack>>},
    // the room for the new task's call stack that the tracer itself takes
    {check_nproc, Phase::count_, nullptr, 0, marks<leaves<Fn::dup_task_struct>, calls<Fn::kmem_cache_alloc_trace>>},
    {copy_creds, Phase::count_, creds_cost, kMaySleep, marks<pays<Fn::copy_creds>>},
    {do_sched_fork, Phase::count_, task_fork_cost, StepFlag::kNoPreempt,
     marks<calls<Fn::__delayacct_tsk_init>, calls<Fn::ktime_get>, calls<Fn::ktime_get_with_offset>, calls<Fn::cgroup_fork>, pays<Fn::sched_fork>>,
     LockSet::rq},
    {copy_semundo, Phase::count_, nullptr, 0, marks<pays<Fn::copy_semundo>>},
    {copy_files, Phase::count_, files_cost, kMaySleep, marks<pays<Fn::copy_files>, pays<Fn::dup_fd, own_files>>},
    {copy_fs, Phase::count_, fs_cost, kMaySleep, marks<pays<Fn::copy_fs>, pays<Fn::copy_fs_struct, own_fs>>},
    {copy_sighand, Phase::count_, sighand_cost, kMaySleep, marks<pays<Fn::copy_sighand>, calls<Fn::kmem_cache_alloc, own_sighand>>,
     LockSet::siglock},
    {copy_signal, Phase::count_, signal_cost, kMaySleep,
     marks<pays<Fn::copy_signal>, calls<Fn::kmem_cache_alloc, is_process>, calls<Fn::__init_waitqueue_head, is_process>,
           calls<Fn::hrtimer_init, is_process>, calls<Fn::sched_autogroup_fork, is_process>, calls<Fn::__mutex_init, is_process>>},
    {copy_mm, Phase::count_, mm_cost, kMaySleep | StepFlag::kCondResched | StepFlag::kMm,
     marks<pays<Fn::copy_mm, has_mm>, pays<Fn::dup_mm, own_mm>, calls<Fn::kmem_cache_alloc, own_mm>, calls<Fn::mm_init, own_mm>,
           calls<Fn::get_mm_exe_file, own_mm>, pays<Fn::copy_page_range, own_mm>>,
     LockSet::mmap_write},
    {copy_namespaces, Phase::copy_namespaces, namespaces_cost, kMaySleep, marks<pays<Fn::copy_namespaces>>},
    {copy_thread, Phase::copy_thread, before_pid_cost, 0, marks<pays<Fn::copy_thread>>},
    {do_alloc_pid, Phase::count_, pid_locked_cost, kMaySleep, marks<pays<Fn::alloc_pid>>, LockSet::pidmap},
    {nothing, Phase::count_, before_link_cost, 0, marks<calls<Fn::user_disable_single_step>, calls<Fn::__percpu_down_read>>},
    {link_task, Phase::count_, link_cost, kOff, marks<calls<Fn::cgroup_can_fork>>,
     LockSet::threadgroup_read | LockSet::tasklist_write | LockSet::siglock},
    {do_fork_event, Phase::count_, nullptr, 0, marks<leaves<Fn::copy_process>>},
    {put_parent_tid, Phase::count_, parent_tid_cost, 0, marks<calls<Fn::get_task_pid>, calls<Fn::pid_vnr>>},
    {wake_select, Phase::select_task_rq_fork, nullptr, kOff,
     marks<calls<Fn::__init_waitqueue_head, is_vfork>, enters<Fn::wake_up_new_task>, pays<Fn::select_task_rq_fair>>,
     LockSet::pi},
    {wake_activate, Phase::wake_up_new_task, wake_activate_cost, kOff, nullptr, LockSet::pi | LockSet::rq},
    {vfork_wait, Phase::count_, nullptr, 0, marks<leaves<Fn::wake_up_new_task>, enters<Fn::wait_for_completion_killable, vfork_begins>>},
    {do_fork_return, Phase::count_, nullptr, 0, marks<leaves<Fn::wait_for_completion_killable>>},
};
static_assert(kDoForkSteps[kPcVforkWait].effect == vfork_wait && kDoForkSteps[kPcReturn].effect == do_fork_return &&
              kDoForkSteps[kPcSighand].effect == copy_sighand && kDoForkSteps[kPcWakeSelect].effect == wake_select);

Next clone_enter(Ctx& x) {
  x.k.emit(Tp::fork_call, x.c, x.t.pid);
  trace_sys_enter(x, Nr::clone, spec(x).clone_flags);
  fn_enter(x, Fn::sys_clone);
  call(x, kDoFork).a[kFlags] = spec(x).clone_flags;
  return advance();
}
Next clone_exit(Ctx& x) {
  x.t.result = static_cast<s64>(x.f.a[kResult]);
  trace_sys_exit(x, Nr::clone, x.t.result > 0 ? x.k.pid_nr_ns(Pid(static_cast<s32>(x.t.result)), *x.t.pid_ns) : x.t.result);
  x.k.emit(Tp::fork_return, x.c, x.t.pid, x.t.result);
  return ret();
}
constexpr Step kCloneSteps[] = {
    {clone_enter, Phase::syscall_entry, nullptr, 0},
    {clone_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_clone>>},
};

}  // namespace

const Path kDoFork{"_do_fork", kDoForkSteps, fork_lock};
const Path kSysClone{"sys_clone", kCloneSteps};

}  // namespace forksim::km
