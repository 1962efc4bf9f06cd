// _do_fork and copy_process as a path, in the kernel's order.
// Mirrors Linux 4.19 kernel/fork.c; error labels unwind in the kernel's order (bad_fork_cleanup_*).
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;

// Locals of kSysClone.
enum Local : u32 { kChild = 0, kFlags = 1, kStackHit = 2, kRet = 3, kStage = 4 };
/// How far copy_process got; a failure undoes what lies at or below, from the top.
enum Stage : u64 { kNothing, kTaskStruct, kCreds, kFilesDone, kFsDone, kSighandDone, kSignalDone, kMmDone };
enum Pc : u16 { kPcExit = 19 };

const ForkSpec& spec(Ctx& x) { return *x.t.op[x.t.handler_depth].fork; }
Task& child(Ctx& x) { return task_arg(x, kChild); }
bool flag(Ctx& x, u64 f) { return x.f.a[kFlags] & f; }

Next fail(Ctx& x, s64 err) {
  x.f.a[kRet] = static_cast<u64>(-err);
  return jump(kPcExit);
}

/// The label ladder of copy_process: each step falls through to the next older one.
void unwind(Ctx& x) {
  Task& c = child(x);
  Core& k = x.k;
  switch (static_cast<Stage>(x.f.a[kStage])) {
    case kMmDone:
      if (c.mm) k.mmput(*c.mm);
      [[fallthrough]];
    case kSignalDone:
      if (!flag(x, kCLONE_THREAD)) k.put_signal(*c.signal);
      [[fallthrough]];
    case kSighandDone:
      k.put_sighand(*c.sighand);
      [[fallthrough]];
    case kFsDone:
      k.put_fs(*c.fs);
      [[fallthrough]];
    case kFilesDone:
      k.put_files(nullptr, *c.files);
      [[fallthrough]];
    case kCreds:
    case kTaskStruct:
      c.has_stack = false;
      --k.live_stacks;
      ++k.totals.stacks_freed;
      if (x.c.cached_stacks < k.profile().tun(Tunable::nr_cached_stacks)) ++x.c.cached_stacks;
      ++k.totals.task_structs_freed;
      k.task_pool.free(c.id.v);
      break;
    case kNothing:
      break;
  }
}

Next bad_fork(Ctx& x, s64 err) {
  unwind(x);
  ++x.k.totals.fork_errors;
  return fail(x, err);
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

Next clone_enter(Ctx& x) {
  x.f.a[kFlags] = spec(x).clone_flags;
  x.f.a[kStage] = kNothing;
  x.k.emit(Tp::fork_call, x.c, x.t.pid);
  trace_sys_enter(x, Nr::clone, x.f.a[kFlags]);
  if (const s64 err = check_flags(x)) {
    ++x.k.totals.fork_errors;
    return fail(x, err);
  }
  if (!flag(x, kCLONE_THREAD)) {
    recalc_sigpending(x.t);
    if (x.t.ti_flags & TIF_SIGPENDING) return fail(x, kERESTARTNOINTR);
  }
  return advance();
}

/// alloc_thread_stack_node: a cached stack of this CPU, or vmalloc.
Next alloc_stack(Ctx& x) {
  const bool hit = x.c.cached_stacks > 0;
  if (hit) --x.c.cached_stacks;
  x.f.a[kStackHit] = hit;
  return advance();
}
Ns dup_cost(Ctx& x) { return x.f.a[kStackHit] ? Ns(0) : x.k.cost(Phase::stack_vmalloc); }

/// What arch_dup_task_struct's copy hands down, and what copy_process resets.
void dup_fields(Core& k, Task& c, const Task& p) {
  c.comm = p.comm;
  c.flags = (p.flags & ~(PF_WQ_WORKER | PF_IDLE | PF_EXITING | PF_SIGNALED)) | PF_FORKNOEXEC;
  c.usage = 2;
  c.has_stack = true;
  c.policy = p.policy;
  c.sched_class = p.sched_class;
  c.static_prio = p.static_prio;
  c.normal_prio = p.normal_prio;
  c.prio = p.normal_prio;
  c.rt_priority = p.rt_priority;
  c.cpus_allowed = p.cpus_allowed;
  c.nr_cpus_allowed = p.nr_cpus_allowed;
  c.se.load = p.se.load;
  c.se.runnable_weight = p.se.runnable_weight;
  c.cpu = c.wake_cpu = p.cpu;
  c.recent_used_cpu = p.recent_used_cpu;
  c.last_wakee = p.last_wakee;
  c.wakee_flips = p.wakee_flips;
  c.wakee_flip_decay_ts = p.wakee_flip_decay_ts;
  c.blocked = p.blocked;
  c.last_ran = p.last_ran;
  c.start_time = k.now();
}

Next dup_task_struct(Ctx& x) {
  Core& k = x.k;
  Task& c = k.alloc_task();
  x.f.a[kChild] = as_arg(c);
  dup_fields(k, c, x.t);
  ++k.totals.stacks_allocated;
  k.totals.stack_cache_hits += x.f.a[kStackHit];
  ++k.live_stacks;
  ++k.totals.task_structs_allocated;
  x.f.a[kStage] = kTaskStruct;
  return advance();
}

Next copy_creds(Ctx& x) {
  x.f.a[kStage] = kCreds;
  if (x.k.nr_threads >= x.k.profile().tun(Tunable::threads_max)) return bad_fork(x, kEAGAIN);
  return advance();
}
Ns creds_cost(Ctx& x) { return x.k.cost(flag(x, kCLONE_THREAD) ? Phase::copy_shared : Phase::copy_creds); }

Next do_sched_fork(Ctx& x) {
  Task& c = child(x);
  const ForkSpec& s = spec(x);
  if (s.has_nice) x.k.sched.set_params(c, c.policy, s.nice);
  if (s.affinity) {
    c.cpus_allowed = *s.affinity;
    c.nr_cpus_allowed = s.affinity->count();
  }
  x.k.sched.sched_fork(c, x.c.id);
  return advance();
}

Ns shared_or(Ctx& x, u64 f, Phase p) { return x.k.cost(flag(x, f) ? Phase::copy_shared : p); }

Ns files_cost(Ctx& x) {
  if (flag(x, kCLONE_FILES)) return x.k.cost(Phase::copy_shared);
  const Files& f = *x.t.files;
  return x.k.cost(Phase::copy_files) + x.k.cost(Phase::copy_files_per_fd) * (f.fds + f.ends.size());
}
Next copy_files(Ctx& x) {
  if (flag(x, kCLONE_FILES)) {
    child(x).files = x.t.files;
    ++x.t.files->count;
  } else {
    child(x).files = &x.k.dup_files(*x.t.files);
  }
  x.f.a[kStage] = kFilesDone;
  return advance();
}

Ns fs_cost(Ctx& x) { return shared_or(x, kCLONE_FS, Phase::copy_fs); }
Next copy_fs(Ctx& x) {
  if (flag(x, kCLONE_FS)) {
    child(x).fs = x.t.fs;
    ++x.t.fs->users;
  } else {
    child(x).fs = &x.k.new_fs();
  }
  x.f.a[kStage] = kFsDone;
  return advance();
}

Ns sighand_cost(Ctx& x) { return shared_or(x, kCLONE_SIGHAND, Phase::copy_sighand); }
Next copy_sighand(Ctx& x) {
  if (flag(x, kCLONE_SIGHAND)) {
    child(x).sighand = x.t.sighand;
    ++x.t.sighand->count;
  } else {
    child(x).sighand = &x.k.dup_sighand(*x.t.sighand);
  }
  x.f.a[kStage] = kSighandDone;
  return advance();
}

Ns signal_cost(Ctx& x) { return flag(x, kCLONE_THREAD) ? Ns(0) : x.k.cost(Phase::copy_signal); }
Next copy_signal(Ctx& x) {
  child(x).signal = flag(x, kCLONE_THREAD) ? x.t.signal : &x.k.new_signal(x.t.signal);
  x.f.a[kStage] = kSignalDone;
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
  if (x.t.mm && flag(x, kCLONE_VM)) {
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
  x.f.a[kStage] = kMmDone;
  return advance();
}

Next copy_thread(Ctx& x) {
  Task& c = child(x);
  c.frames.push(kUser);
  c.frames.push(kRetFromFork);
  if (flag(x, kCLONE_CHILD_CLEARTID)) c.clear_child_tid = 1;
  return advance();
}
Next nothing(Ctx&) { return advance(); }

Next do_alloc_pid(Ctx& x) {
  const Pid pid = x.k.pids.alloc();
  if (!pid.v) return bad_fork(x, kEAGAIN);
  child(x).pid = pid;
  return advance();
}

/// Under tasklist_lock: identity, parent, thread group; then task_newtask.
Next link_task(Ctx& x) {
  Core& k = x.k;
  Task& c = child(x);
  if (flag(x, kCLONE_THREAD)) {
    c.tgid = x.t.tgid;
    c.exit_signal = -1;
    c.group_leader = x.t.group_leader;
    c.real_parent = x.t.real_parent;
    ++c.signal->nr_threads;
    ++c.signal->live;
    ++c.signal->sigcnt;
    ++k.totals.threads;
  } else {
    c.tgid = c.pid;
    c.group_leader = &c;
    Task& parent = flag(x, kCLONE_PARENT) ? *x.t.real_parent : x.t;
    c.exit_signal = flag(x, kCLONE_PARENT) ? x.t.group_leader->exit_signal : static_cast<s32>(x.f.a[kFlags] & kCSIGNAL);
    k.add_child(parent, c);
    ++k.totals.forks;
  }
  c.signal->threads.push_back(&c);
  c.hashed = true;
  k.attach_pid(c);
  ++k.nr_threads;
  count_workload(k, c, 1);
  c.user = k.user.fork_child(x.t.user, spec(x), c.pid);
  c.user_fresh = true;
  if (k.profile().fair_group_sched) k.sched.set_task_group(c, k.task_group_of(*c.signal));  // cpu_cgroup_fork
  k.emit(Tp::task_newtask, x.c, c.pid, c.comm, x.f.a[kFlags], 0);
  k.emit(Tp::stack_alloc, x.c, c.pid, x.f.a[kStackHit]);
  return advance();
}

/// Back in _do_fork.
Next do_fork_event(Ctx& x) {
  Task& c = child(x);
  x.k.emit(Tp::sched_process_fork, x.c, x.t.comm, x.t.pid, c.comm, c.pid);
  x.f.a[kRet] = static_cast<u64>(static_cast<s64>(c.pid.v));
  if (flag(x, kCLONE_VFORK)) {
    c.vfork_parent = &x.t;
    x.t.vfork_waiting = true;
  }
  return advance();
}

Next wake_select(Ctx& x) {
  const CpuId cpu = x.k.sched.wake_up_new_task_select(child(x), x.c.id);
  ++x.k.cpu(cpu).times.forks_placed;
  return advance();
}
Ns wake_activate_cost(Ctx& x) { return x.k.cost(Phase::enqueue_task) + x.k.cost(Phase::check_preempt); }
Next wake_activate(Ctx& x) {
  x.k.sched.wake_up_new_task_activate(child(x), x.c.id);
  ++x.k.totals.sched_events;
  if (x.t.vfork_waiting) x.k.emit(Tp::vfork_wait, x.c, x.t.pid);
  return advance();
}

/// wait_for_vfork_done: killable; the child's mm_release ends it.
Next vfork_wait(Ctx& x) {
  if (!flag(x, kCLONE_VFORK)) return advance();
  if (!x.t.vfork_waiting) {
    x.k.emit(Tp::vfork_done, x.c, x.t.pid);
    return advance();
  }
  if (signal_pending_state(TASK_KILLABLE, x.t)) {
    x.t.vfork_waiting = false;
    if (Task* c = x.k.find_task(Pid(static_cast<s32>(x.f.a[kRet]))))
      if (c->vfork_parent == &x.t) c->vfork_parent = nullptr;
    return advance();
  }
  x.t.state = TASK_KILLABLE;
  call(x, kSchedule);
  return jump(18);
}

Next clone_exit(Ctx& x) {
  x.t.result = static_cast<s64>(x.f.a[kRet]);
  trace_sys_exit(x, Nr::clone, x.t.result);
  x.k.emit(Tp::fork_return, x.c, x.t.pid, x.t.result);
  return ret();
}

constexpr Step kCloneSteps[] = {
    {clone_enter, Phase::syscall_entry, nullptr, 0},
    {alloc_stack, Phase::count_, nullptr, 0},
    {dup_task_struct, Phase::dup_task_struct, dup_cost, 0},
    {copy_creds, Phase::count_, creds_cost, 0},
    {do_sched_fork, Phase::sched_fork, nullptr, StepFlag::kNoPreempt},
    {copy_files, Phase::count_, files_cost, 0},
    {copy_fs, Phase::count_, fs_cost, 0},
    {copy_sighand, Phase::count_, sighand_cost, 0},
    {copy_signal, Phase::count_, signal_cost, 0},
    {copy_mm, Phase::count_, mm_cost, 0},
    {nothing, Phase::copy_namespaces, nullptr, 0},
    {copy_thread, Phase::copy_thread, nullptr, 0},
    {do_alloc_pid, Phase::alloc_pid, nullptr, 0},
    {nothing, Phase::copy_process_rest, nullptr, 0},
    {link_task, Phase::count_, nullptr, kOff},
    {do_fork_event, Phase::count_, nullptr, 0},
    {wake_select, Phase::select_task_rq_fork, nullptr, kOff},
    {wake_activate, Phase::wake_up_new_task, wake_activate_cost, kOff},
    {vfork_wait, Phase::count_, nullptr, 0},
    {clone_exit, Phase::syscall_exit, nullptr, 0},
};
static_assert(kCloneSteps[kPcExit].effect == clone_exit);

}  // namespace

const Path kSysClone{"sys_clone", kCloneSteps};

/// Workload tasks alive; only they keep the run going.
void count_workload(Core& k, Task& t, int delta) {
  if (!t.boot) k.live_workload_ += static_cast<u32>(delta);
}

void Core::start_process(const StartSpec& spec) {
  Cpu& c = *cpus_[0];
  Task& t = alloc_task();
  dup_fields(*this, t, *init_);
  t.flags &= ~PF_FORKNOEXEC;
  t.comm = name(spec.name);
  t.mm = &new_mm(*spec.shape);
  t.files = &new_files(spec.shape->fds);
  for (const auto& [u, object] : preset_pipes_) {
    if (u != spec.user) continue;
    const u32 pipe = objects[object].second;
    t.files->ends.push_back({pipe, false});
    t.files->ends.push_back({pipe, true});
    ++pipes[pipe].readers;
    ++pipes[pipe].writers;
  }
  t.fs = &new_fs();
  t.sighand = &new_sighand();
  t.signal = &new_signal(nullptr);
  t.pid = t.tgid = pids.alloc();
  FS_CONTRACT(t.pid.v, "no pid left for a workload process");
  t.group_leader = &t;
  t.exit_signal = kSIGCHLD;
  t.signal->pgrp = t.signal->session = t.pid;
  t.signal->threads.push_back(&t);
  t.hashed = true;
  attach_pid(t);
  add_child(*init_, t);
  ++nr_threads;
  count_workload(*this, t, 1);
  ++totals.stacks_allocated;
  ++totals.task_structs_allocated;
  ++totals.forks;
  ++live_stacks;
  t.has_stack = true;
  t.user = spec.user;
  t.frames.push(kUser);
  t.frames.push(kRetFromFork);
  sched.set_params(t, SchedPolicy::normal, spec.nice);
  if (spec.affinity) {
    t.cpus_allowed = *spec.affinity;
    t.nr_cpus_allowed = spec.affinity->count();
  }
  sched.sched_fork(t, c.id);
  if (profile().autogroup) {
    const u32 i = autogroups_.alloc();
    autogroups_[i] = {i, 1, &sched.create_group(nullptr)};
    t.signal->autogroup = &autogroups_[i];
    sched.set_task_group(t, t.signal->autogroup->tg);
  }
  emit(Tp::task_newtask, c, t.pid, t.comm, u64{kSIGCHLD}, 0);
  emit(Tp::sched_process_fork, c, init_->comm, init_->pid, t.comm, t.pid);
  emit(Tp::task_attr, c, t.pid, t.prio, t.signal->pgrp, t.signal->session);
  const CpuId dest = sched.wake_up_new_task_select(t, c.id);
  ++cpus_[dest.v]->times.forks_placed;
  sched.wake_up_new_task_activate(t, c.id);
  ++totals.sched_events;
  // nobody runs on CPU 0 to see its need_resched: end its WFI
  if (c.cur == c.idle && c.idle->need_resched()) {
    c.ipi_at = std::min(c.ipi_at, now_);
    c.update_irq();
  }
  touch(c);
}

}  // namespace forksim::km
