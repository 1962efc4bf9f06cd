// The struct copy of dup_task_struct, and processes that come from nowhere: those the workload starts as children of init.
// Mirrors Linux 4.19 kernel/fork.c arch_dup_task_struct and what copy_process resets; a started process has no parent that ran a fork.
#include "kernel_model/process/fork.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

/// What arch_dup_task_struct's copy hands down, and what copy_process resets.
void dup_fields(Core& k, Task& c, const Task& p) {
  c.comm = p.comm;
  c.flags = (p.flags & ~(PF_WQ_WORKER | PF_IDLE | PF_EXITING | PF_SIGNALED)) | PF_FORKNOEXEC;
  c.usage = 2;
  c.has_stack = true;
  c.preempt_count = 2 * k.preempt_offset();  // FORK_PREEMPT_COUNT
  c.tls = p.tls;
  c.policy = p.policy;
  c.sched_class = p.sched_class;
  c.static_prio = p.static_prio;
  c.normal_prio = p.normal_prio;
  c.prio = p.normal_prio;
  c.rt_priority = p.rt_priority;
  c.sched_reset_on_fork = p.sched_reset_on_fork;
  c.cgroup = p.cgroup;
  c.cpus_allowed = p.cpus_allowed;
  c.nr_cpus_allowed = p.nr_cpus_allowed;
  c.se.load = p.se.load;
  c.se.runnable_weight = p.se.runnable_weight;
  c.se.cfs_rq = p.se.cfs_rq;  // the copied sched_task_group: sched_fork places the child in the parent's group
  c.se.parent = p.se.parent;
  c.se.depth = p.se.depth;
  c.cpu = c.wake_cpu = p.cpu;
  c.recent_used_cpu = p.recent_used_cpu;
  c.placement = p.placement;
  c.last_wakee = p.last_wakee;
  c.wakee_flips = p.wakee_flips;
  c.wakee_flip_decay_ts = p.wakee_flip_decay_ts;
  c.blocked = p.blocked;
  c.self_exec_id = p.self_exec_id;
  c.last_ran = p.last_ran;
  c.start_time = k.now();
}

/// Workload tasks alive; only they keep the run going.
void count_workload(Core& k, Task& t, int delta) {
  if (!t.boot && !(t.flags & PF_KTHREAD)) k.live_workload_ += static_cast<u32>(delta);
}

/// Descriptor table with both ends of the pipes that the workload gave to this process.
Files& Core::files_of_started(const StartSpec& spec) {
  Files& f = new_files(spec.shape->fds);
  for (const auto& [user_handle, object] : preset_pipes_) {
    if (user_handle != spec.user) continue;
    const u32 pipe = objects[object].index;
    f.ends.push_back({pipe, false});
    f.ends.push_back({pipe, true});
    ++pipes[pipe].readers;
    ++pipes[pipe].writers;
  }
  return f;
}

/// Identity: leader of a session of its own, child of init.
void Core::link_started(Task& t, Pid pid) {
  t.pid = t.tgid = pid;
  t.pid_ns = init_pid_ns_;
  t.group_leader = &t;
  t.exit_signal = kSIGCHLD;
  t.signal->pgrp = t.signal->session = t.pid;
  t.signal->leader = true;
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
  kernel_bytes += profile().stack_bytes;
}

/// wake_up_new_task by nobody, on the first CPU that is there.
void Core::wake_started(Cpu& c, Task& t) {
  const CpuId dest = sched.wake_up_new_task_select(t, c.id);
  ++cpus_[dest.v]->times.forks_placed;
  sched.wake_up_new_task_activate(t, c.id);
  ++totals.sched_events;
  // nobody runs there to see its need_resched: end its WFI
  if (c.cur == c.idle && c.idle->need_resched()) {
    c.ipi_at = std::min(c.ipi_at, now());
    c.update_irq();
  }
  touch(c);
}

/// When there are too many tasks or no number is left, init's fork fails with EAGAIN, and the process is not started at all.
void Core::start_process(const StartSpec& spec) {
  const Pid pid = nr_threads < profile().tun(Tunable::threads_max) ? alloc_pid() : Pid(0);
  if (!pid.v) {
    ++totals.start_errors;
    return;
  }
  Cpu& c = first_online();
  Task& t = alloc_task();
  dup_fields(*this, t, *init_);
  get_cred(t, new_cred(user_of(spec.uid)));
  t.nsproxy = init_->nsproxy;
  ++t.nsproxy->count;
  t.flags &= ~PF_FORKNOEXEC;
  t.comm = name(spec.name);
  t.mm = &new_mm(*spec.shape);
  t.files = &files_of_started(spec);
  t.fs = &new_fs();
  t.sighand = &new_sighand();
  t.signal = &new_signal(nullptr);
  link_started(t, pid);
  t.user = spec.user;
  t.frames.push(kUser);
  t.frames.push(kRetFromFork);
  sched.set_params(t, spec.policy, spec.nice, spec.rt_priority);
  if (spec.affinity) {
    t.cpus_allowed = *spec.affinity;
    t.nr_cpus_allowed = spec.affinity->count();
  }
  t.placement = spec.placement;
  sched.sched_fork(t, c.id);
  t.cgroup = group(spec.group);
  if (profile().autogroups()) t.signal->autogroup = &new_autogroup();
  if (profile().fair_group_sched) sched.set_task_group(t, task_group_of(t));
  emit(Tp::task_newtask, c, t.pid, t.comm, u64{kSIGCHLD}, 0);
  emit(Tp::sched_process_fork, c, init_->comm, init_->pid, t.comm, t.pid);
  emit(Tp::task_attr, c, t.pid, t.prio, t.signal->pgrp, t.signal->session, spec.uid);
  if (!spec.command.empty() && trace_.enabled(Tp::cmdline)) emit(Tp::cmdline, c, t.pid, name(spec.command));
  emit_rss(c, t);
  graph_.pause(true);
  wake_started(c, t);
  graph_.pause(false);
}

}  // namespace forksim::km
