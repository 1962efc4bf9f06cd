// do_exit, exit_group, exit_notify, release_task.
// Mirrors Linux 4.19 kernel/exit.c; exit_mm with mm_release of kernel/fork.c.
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

bool thread_group_empty(const Task& t) { return t.signal->nr_threads == 1; }
bool delay_group_leader(const Task& t) { return t.group_leader == &t && !thread_group_empty(t); }

/// __exit_signal, __unhash_process, then RCU: the task_struct stays until both references are gone.
void release_task_now(Core& k, Cpu& c, Task& t) {
  k.emit(Tp::release_task, c, t.pid);
  --t.signal->nr_threads;
  if (t.signal->curr_target == &t) t.signal->curr_target = nullptr;
  k.unhash_process(t);
  k.put_sighand(*t.sighand);
  t.sighand = nullptr;
  k.call_rcu(c, &t);
}

namespace {

constexpr u8 kNoPreempt = StepFlag::kNoPreempt;

// Locals of kDoExit.
enum Local : u32 { kCode = 0, kGroupDead = 1, kCursor = 2 };

s64 exit_si_code(const Task& t) {
  const s32 sig = t.exit_code & 0x7f;
  if (!sig) return kCLD_EXITED;
  return sigbit(sig) & kCoredump ? kCLD_DUMPED : kCLD_KILLED;
}

Next exit_begin(Ctx& x) {
  x.k.emit(Tp::do_exit, x.c, x.t.pid, static_cast<s64>(x.f.a[kCode]));
  x.t.flags |= PF_EXITING;
  x.t.ti_flags &= ~TIF_SIGPENDING;
  ++x.k.totals.exits;
  ++x.k.totals.sched_events;
  return advance();
}
Ns early_cost(Ctx& x) { return x.k.cost(Phase::do_exit) * 2 / 5; }
Ns late_cost(Ctx& x) { return x.k.cost(Phase::do_exit) - early_cost(x); }

Next exit_account(Ctx& x) {
  x.f.a[kGroupDead] = --x.t.signal->live == 0;
  x.t.exit_code = static_cast<s32>(x.f.a[kCode]);
  return advance();
}

/// mm_release: the futex on clear_child_tid, only when others share the mm.
Next release_tid(Ctx& x) {
  if (!x.t.clear_child_tid) return advance();
  x.t.clear_child_tid = 0;
  if (!x.t.mm || x.t.mm->users < 2) return advance();
  Frame& f = call(x, kWakeQueue);
  f.a[0] = queue_ref(QueueOf::join, x.t.id.v);
  f.a[1] = ~u64{0};
  return advance();
}
Ns tid_cost(Ctx& x) { return x.t.clear_child_tid && x.t.mm && x.t.mm->users > 1 ? x.k.cost(Phase::futex_wake) : Ns(0); }

Ns mm_cost(Ctx& x) {
  if (!x.t.mm) return Ns(0);
  return x.t.mm->users > 1 ? x.k.cost(Phase::exit_mm_shared) : x.k.mm_teardown_cost(*x.t.mm);
}
Next exit_mm(Ctx& x) {
  if (x.t.mm) x.k.mmput(*x.t.mm);
  x.t.mm = nullptr;
  x.k.emit(Tp::sched_process_exit, x.c, x.t.comm, x.t.pid, x.t.prio);
  return advance();
}

Ns files_cost(Ctx& x) {
  const Files& f = *x.t.files;
  return f.count > 1 ? Ns(0) : x.k.cost(Phase::exit_files) + x.k.cost(Phase::exit_files_per_fd) * (f.fds + f.ends.size());
}
Next exit_files(Ctx& x) {
  Files& f = *x.t.files;
  x.t.files = nullptr;
  x.k.put_files(&x, f);
  return advance();
}

/// exit_fs, namespaces, task work; sched_autogroup_exit_task moves the task to the root group.
Next exit_rest(Ctx& x) {
  x.k.put_fs(*x.t.fs);
  x.t.fs = nullptr;
  x.k.call_rcu(x.c, nullptr);  // files and credentials are freed by RCU too: the recorded CPU goes on ticking after an exit
  if (x.k.profile().fair_group_sched) x.k.sched.sched_move_task_exit(x.t);
  return advance();
}

/// find_new_reaper: a live sibling thread, the nearest subreaper, or init.
Task& find_new_reaper(Core& k, Task& t) {
  for (Task* p = t.signal->threads.front(); p; p = p->thread_node.next)
    if (p != &t && !(p->flags & PF_EXITING)) return *p;
  if (t.signal->has_child_subreaper) {
    for (Task* p = t.real_parent; p && p != &k.init_task(); p = p->real_parent) {
      if (!p->signal->is_child_subreaper) continue;
      for (Task* q = p->signal->threads.front(); q; q = q->thread_node.next)
        if (!(q->flags & PF_EXITING)) return *q;
    }
  }
  return k.init_task();
}

/// Takes tasklist_lock for the rest of exit_notify.
Next notify_begin(Ctx& x) {
  x.t.in_exit_notify = true;
  ++x.t.preempt_count;
  return advance();
}

/// forget_original_parent, one child per round; reparent_leader tells the new parent of a zombie.
Next reparent_child(Ctx& x) {
  Task* c = x.t.children.front();
  if (!c) return jump(10);
  Task& reaper = find_new_reaper(x.k, x.t);
  x.t.children.remove(c);
  for (Task* p = c->signal->threads.front(); p; p = p->thread_node.next) p->real_parent = &reaper;
  c->real_parent = &reaper;
  reaper.children.push_back(c);
  if (reaper.signal == x.t.signal) return jump(8);
  x.k.emit(Tp::reparent, x.c, c->pid, x.t.pid, reaper.pid);
  ++x.k.totals.reparented;
  c->exit_signal = kSIGCHLD;
  if (c->exit_state != EXIT_ZOMBIE || !thread_group_empty(*c)) return jump(8);
  x.f.a[kCursor] = as_arg(*c);
  Frame& f = call(x, kNotifyParent);
  f.a[0] = as_arg(*c);
  f.a[1] = kSIGCHLD;
  f.a[3] = static_cast<u64>(exit_si_code(*c));
  return advance();
}
Next reparent_reap(Ctx& x) {
  Task& c = task_arg(x, kCursor);
  if (x.f.a[kResult] && c.exit_state == EXIT_ZOMBIE) {
    c.exit_state = EXIT_DEAD;
    ++x.k.totals.autoreaped;
    release_task_now(x.k, x.c, c);
  }
  return jump(8);
}

Next notify_parent(Ctx& x) {
  Task& t = x.t;
  x.f.a[kResult] = 0;
  if (t.group_leader != &t || !thread_group_empty(t)) return advance();
  Frame& f = call(x, kNotifyParent);
  f.a[0] = as_arg(t);
  f.a[1] = static_cast<u64>(t.exit_signal);
  f.a[3] = static_cast<u64>(exit_si_code(t));
  return advance();
}

/// The end of exit_notify: zombie, or dead at once; tasklist_lock is free again.
Next notify_end(Ctx& x) {
  Task& t = x.t;
  const bool autoreap = t.group_leader != &t || x.f.a[kResult];
  t.exit_state = autoreap ? EXIT_DEAD : EXIT_ZOMBIE;
  x.k.emit(Tp::exit_notify, x.c, t.pid, t.real_parent->pid, autoreap);
  t.in_exit_notify = false;
  --t.preempt_count;
  if (t.spin_target) release_spinners(x.k, t);
  if (!autoreap) return jump(13);
  ++x.k.totals.autoreaped;
  return advance();
}
Next self_reap(Ctx& x) {
  call(x, kReleaseTask).a[0] = as_arg(x.t);
  return advance();
}

/// do_task_dead: the last schedule; the next task frees the stack.
Next task_dead(Ctx& x) {
  Task& t = x.t;
  if (t.user) x.k.user.task_gone(t.user);
  t.user = 0;
  count_workload(x.k, t, -1);
  t.state = TASK_DEAD;
  call(x, kSchedule);
  return advance();
}
Next not_reached(Ctx&) {
  FS_CONTRACT(false, "a dead task was scheduled");
  return ret();
}

constexpr Step kDoExitSteps[] = {
    {exit_begin, Phase::count_, nullptr, 0},
    {exit_account, Phase::count_, early_cost, 0},
    {release_tid, Phase::count_, tid_cost, 0},
    {[](Ctx& x) {
       if (Task* p = x.t.vfork_parent) {
         x.t.vfork_parent = nullptr;
         p->vfork_waiting = false;
         call_ttwu(x, *p, TASK_NORMAL);
       }
       return advance();
     }},
    {exit_mm, Phase::count_, mm_cost, 0},
    {exit_files, Phase::count_, files_cost, 0},
    {exit_rest, Phase::count_, late_cost, 0},
    {notify_begin, Phase::count_, nullptr, kNoPreempt},
    {reparent_child, Phase::count_, nullptr, kNoPreempt},
    {reparent_reap, Phase::count_, nullptr, kNoPreempt},
    {notify_parent, Phase::exit_notify, nullptr, kNoPreempt},
    {notify_end, Phase::count_, nullptr, kNoPreempt},
    {self_reap, Phase::count_, nullptr, 0},
    {task_dead, Phase::count_, nullptr, kNoPreempt},
    {not_reached, Phase::count_, nullptr, kNoPreempt},
};
static_assert(kDoExitSteps[8].effect == reparent_child && kDoExitSteps[10].effect == notify_parent && kDoExitSteps[13].effect == task_dead);

Next release_now(Ctx& x) {
  Task& t = task_arg(x);
  Task& leader = *t.group_leader;
  release_task_now(x.k, x.c, t);
  x.f.a[1] = as_arg(leader);
  if (&leader == &t || leader.exit_state != EXIT_ZOMBIE || !thread_group_empty(leader)) return ret();
  Frame& f = call(x, kNotifyParent);
  f.a[0] = as_arg(leader);
  f.a[1] = static_cast<u64>(leader.exit_signal);
  f.a[3] = static_cast<u64>(exit_si_code(leader));
  return advance();
}
/// zap_leader: the last thread tells the parent of the zombie leader, or releases it.
Next release_leader(Ctx& x) {
  Task& leader = task_arg(x, 1);
  if (!x.f.a[kResult] || leader.exit_state != EXIT_ZOMBIE) return ret();
  leader.exit_state = EXIT_DEAD;
  ++x.k.totals.autoreaped;
  release_task_now(x.k, x.c, leader);
  return ret();
}
constexpr Step kReleaseSteps[] = {
    {release_now, Phase::release_task, nullptr, kNoPreempt},
    {release_leader, Phase::count_, nullptr, kNoPreempt},
};

/// do_notify_parent and do_notify_parent_cldstop.
Next notify_signal(Ctx& x) {
  Task& t = task_arg(x);
  Task& parent = *t.real_parent;
  const bool stop = x.f.a[2];
  int sig = static_cast<int>(x.f.a[1]);
  const bool ignored = parent.sighand->action[kSIGCHLD] == SigDisposition::ign;
  x.f.a[4] = !stop && sig == kSIGCHLD && (ignored || parent.sighand->nocldwait);
  if (sig == kSIGCHLD && ignored) sig = 0;
  if (sig <= 0) return advance();
  Frame& f = call(x, kSendSignal);
  f.a[0] = as_arg(parent);
  f.a[1] = static_cast<u64>(sig);
  f.a[2] = x.f.a[3];
  f.a[4] = 1;
  return advance();
}
Next notify_wake(Ctx& x) {
  Frame& f = call(x, kWakeParent);
  f.a[0] = as_arg(*task_arg(x).real_parent);
  f.a[1] = x.f.a[0];
  return advance();
}
Next notify_done(Ctx& x) {
  set_result(x, x.f.a[4]);
  return ret();
}
constexpr Step kNotifySteps[] = {
    {notify_signal, Phase::count_, nullptr, kNoPreempt},
    {notify_wake, Phase::count_, nullptr, kNoPreempt},
    {notify_done, Phase::count_, nullptr, kNoPreempt},
};

/// sys_exit and sys_exit_group: do_group_exit kills the other threads first.
Next exit_enter(Ctx& x) {
  Signal& s = *x.t.signal;
  const bool group = x.f.a[1];
  trace_sys_enter(x, group ? Nr::exit_group : Nr::exit, x.f.a[0]);
  x.f.a[0] = (x.f.a[0] & 0xff) << 8;
  if (!group) return advance();
  if (s.flags & SIGNAL_GROUP_EXIT) {
    x.f.a[0] = static_cast<u64>(s.group_exit_code);
  } else if (!thread_group_empty(x.t)) {
    s.flags = SIGNAL_GROUP_EXIT;
    s.group_exit_code = static_cast<s32>(x.f.a[0]);
    call(x, kZapThreads).a[0] = as_arg(x.t);
  }
  return advance();
}
Next exit_call(Ctx& x) {
  call(x, kDoExit).a[0] = x.f.a[0];
  return advance();
}
constexpr Step kSysExitSteps[] = {
    {exit_enter, Phase::syscall_entry, nullptr, 0},
    {exit_call, Phase::count_, nullptr, 0},
    {not_reached, Phase::count_, nullptr, 0},
};

/// zap_other_threads: a[1] is the cursor, a task id + 1.
Next zap_start(Ctx& x) {
  x.f.a[1] = u64{x.t.signal->threads.front()->id.v} + 1;
  return advance();
}
Next zap_thread(Ctx& x) {
  if (!x.f.a[1]) return ret();
  Task& t = x.k.task_pool[static_cast<u32>(x.f.a[1] - 1)];
  const Task* following = t.thread_node.next;
  x.f.a[1] = following ? u64{following->id.v} + 1 : 0;
  if (as_arg(t) == x.f.a[0] || t.exit_state) return jump(1);
  t.pending |= sigbit(kSIGKILL);
  call_signal_wake_up(x, t, true);
  return jump(1);
}
constexpr Step kZapSteps[] = {
    {zap_start, Phase::count_, nullptr, kNoPreempt},
    {zap_thread, Phase::count_, nullptr, kNoPreempt},
};

}  // namespace

const Path kDoExit{"do_exit", kDoExitSteps};
const Path kReleaseTask{"release_task", kReleaseSteps};
const Path kNotifyParent{"do_notify_parent", kNotifySteps};
const Path kSysExit{"do_group_exit", kSysExitSteps};
const Path kZapThreads{"zap_other_threads", kZapSteps};

}  // namespace forksim::km
