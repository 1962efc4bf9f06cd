// System calls that change how a task is scheduled: setpriority, sched_setscheduler, sched_setaffinity, and a write to cgroup.procs.
// Mirrors Linux 4.19 kernel/sched/core.c (__sched_setscheduler, __set_cpus_allowed_ptr, cpu_cgroup_can_attach), kernel/sys.c set_one_prio,
// kernel/stop_machine.c stop_one_cpu, kernel/cgroup/cgroup.c. CAP_SYS_NICE is root's; the limits of others are tunables.
#include <algorithm>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

constexpr int kMinNice = -20, kMaxNice = 19, kMaxUserRtPrio = 100;

Op& op(Ctx& x) { return x.t.op[x.t.handler_depth]; }
/// find_process_by_pid: 0 is the caller.
Task* target(Ctx& x) { return op(x).pid.v ? x.k.find_task_by_vpid(op(x).pid, x.t) : &x.t; }
u64 pid_arg(Ctx& x) { return static_cast<u64>(static_cast<s64>(op(x).pid.v)); }

bool check_same_owner(const Ctx& x, const Task& p) { return x.t.cred->user == p.cred->user; }
int task_nice(const Task& p) { return p.static_prio - DEFAULT_PRIO; }
bool can_nice(const Ctx& x, int nice) {
  return static_cast<u64>(kMaxNice - nice + 1) <= x.k.profile().tun(Tunable::rlimit_nice) || x.t.cred->capable();
}
bool rt_policy(SchedPolicy p) { return p == SchedPolicy::fifo || p == SchedPolicy::rr; }

void trace_attr_of(Ctx& x, const Task& p) {
  x.k.emit(Tp::task_attr, x.c, p.pid, p.prio, p.signal->pgrp, p.signal->session, p.cred->user->uid);
}

// --- sched_setscheduler ---

/// What __sched_setscheduler asks of a caller without CAP_SYS_NICE.
s64 check_setscheduler(const Ctx& x, const Task& p, SchedPolicy policy, u32 priority, bool reset_on_fork) {
  if (x.t.cred->capable()) return 0;
  const u64 rlim_rtprio = x.k.profile().tun(Tunable::rlimit_rtprio);
  if (rt_policy(policy)) {
    if (policy != p.policy && !rlim_rtprio) return -kEPERM;
    if (priority > p.rt_priority && priority > rlim_rtprio) return -kEPERM;
  }
  // SCHED_IDLE counts as nice 20: leaving it needs the right to the task's nice level.
  if (p.policy == SchedPolicy::idle && policy != SchedPolicy::idle && !can_nice(x, task_nice(p))) return -kEPERM;
  if (!check_same_owner(x, p)) return -kEPERM;
  if (p.sched_reset_on_fork && !reset_on_fork) return -kEPERM;
  return 0;
}

s64 do_sched_setscheduler(Ctx& x) {
  const Op& o = op(x);
  if (o.pid.v < 0) return -kEINVAL;
  Task* p = target(x);
  if (!p) return -kESRCH;
  const auto policy = static_cast<SchedPolicy>(o.arg);
  const bool valid = policy == SchedPolicy::normal || policy == SchedPolicy::batch || policy == SchedPolicy::idle || rt_policy(policy);
  if (!valid || o.count >= kMaxUserRtPrio || rt_policy(policy) != (o.count != 0)) return -kEINVAL;
  const auto priority = static_cast<u32>(o.count);
  if (const s64 err = check_setscheduler(x, *p, policy, priority, o.flag)) return err;
  if (p->sched_class == SchedClass::stop) return -kEINVAL;
  p->sched_reset_on_fork = o.flag;
  {
    const Held pi_and_rq_lock(x, 2);
    x.k.sched.sched_setscheduler(*p, policy, priority, x.c.id);
  }
  trace_attr_of(x, *p);
  return 0;
}

Next setscheduler_enter(Ctx& x) {
  trace_sys_enter(x, Nr::sched_setscheduler, pid_arg(x), static_cast<u64>(op(x).arg), op(x).count);
  return advance();
}
Next setscheduler_apply(Ctx& x) {
  const Task* p = target(x);
  if (target_waits_for_attach(x)) return jump(1);
  x.t.result = do_sched_setscheduler(x);
  if (p) push_rt_tasks(x, p->cpu);
  return advance();
}
Next setscheduler_exit(Ctx& x) {
  trace_sys_exit(x, Nr::sched_setscheduler, x.t.result);
  return ret();
}
constexpr Step kSetschedulerSteps[] = {
    {setscheduler_enter, Phase::syscall_entry, nullptr, 0},
    {setscheduler_apply, Phase::sched_setscheduler, nullptr, StepFlag::kIrqsOff | StepFlag::kNoPreempt, nullptr, LockSet::pi | LockSet::rq},
    {setscheduler_exit, Phase::syscall_exit, nullptr, 0},
};

// --- sched_setaffinity; a[0] the task, a[1] whether we hold it ---

constexpr u16 kPcAffinityMove = 4;

/// __set_cpus_allowed_ptr: a queued task is moved from here, a running or waking one by its CPU's stopper, a sleeper when it wakes.
s64 do_sched_setaffinity(Ctx& x) {
  Task* p = target(x);
  if (op(x).pid.v < 0 || !p) return -kESRCH;
  if (p->flags & PF_NO_SETAFFINITY) return -kEINVAL;
  if (!x.t.cred->capable() && !check_same_owner(x, *p)) return -kEPERM;
  const CpuMask mask = *op(x).mask & CpuMask::first_n(x.k.nr_cpus());
  if (!(p->cpus_allowed == mask) && (mask & x.k.sched.cpu_active_mask()).empty()) return -kEINVAL;
  const Held pi_and_rq_lock(x, 2);
  const CpuId dest = x.k.sched.set_cpus_allowed(*p, mask, x.c.id);
  if (mask.test(p->cpu)) return 0;
  if (p->on_cpu || p->state == TASK_WAKING) {
    x.f.a[0] = as_arg(*p);
    x.f.a[1] = 1;
    ++p->usage;
    call_stop_one_cpu(x, p->cpu, *p, dest);
  } else if (p->on_rq == TASK_ON_RQ_QUEUED) {
    x.k.sched.move_detach(*p, dest, x.c.id);
    x.k.unlock(x, LockSet::rq);
  }
  return 0;
}

Next affinity_enter(Ctx& x) {
  trace_sys_enter(x, Nr::sched_setaffinity, pid_arg(x));
  fn_enter(x, Fn::sys_sched_setaffinity);
  return advance();
}
/// move_queued_task goes on with the other queue's lock, pi_lock is kept.
Next affinity_apply(Ctx& x) {
  if (target_waits_for_attach(x)) return jump(1);
  x.t.result = do_sched_setaffinity(x);
  const Task* p = target(x);
  return p && p->on_rq == TASK_ON_RQ_MIGRATING ? jump(kPcAffinityMove) : advance();
}
Next affinity_move(Ctx& x) {
  const Held pi_and_rq_lock(x, 2);
  x.k.sched.move_attach(*target(x), x.c.id);
  release_attach_spinners(x.k);
  return jump(2);
}
/// wait_for_completion; moving ourselves needs no sleep, because the stopper preempts us first.
Next affinity_wait(Ctx& x) {
  if (x.t.stop_pending) {
    x.t.state = TASK_UNINTERRUPTIBLE;
    call(x, kSchedule);
    return jump(2);
  }
  x.t.state = TASK_RUNNING;
  if (x.f.a[1]) x.k.put_task_struct(task_arg(x));
  return advance();
}
Next affinity_exit(Ctx& x) {
  trace_sys_exit(x, Nr::sched_setaffinity, x.t.result);
  return ret();
}
constexpr Step kAffinitySteps[] = {
    {affinity_enter, Phase::syscall_entry, nullptr, 0},
    {affinity_apply, Phase::sched_setaffinity, nullptr, StepFlag::kIrqsOff | StepFlag::kNoPreempt, nullptr, LockSet::pi | LockSet::rq},
    {affinity_wait, Phase::count_, nullptr, StepFlag::kMightSleep},
    {affinity_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_sched_setaffinity>>},
    {affinity_move, Phase::count_, nullptr, StepFlag::kIrqsOff | StepFlag::kNoPreempt, nullptr, LockSet::pi | LockSet::rq},
};
static_assert(kAffinitySteps[kPcAffinityMove].effect == affinity_move);

// --- write to cgroup.procs of the cpu controller ---

/// cpu_cgroup_can_attach without RT_GROUP_SCHED, and what the file system and the core check before it.
s64 can_attach(Ctx& x, const Task* p) {
  if (!x.t.cred->capable()) return -kEACCES;
  if (!p) return -kESRCH;
  if (p->group_leader == x.k.kthreadd || (p->flags & PF_NO_SETAFFINITY)) return -kEINVAL;
  for (const Task* t = p->signal->threads.front(); t; t = t->thread_node.next)
    if (!(t->flags & PF_EXITING) && (t->sched_class != SchedClass::fair || t->state == TASK_NEW)) return -kEINVAL;
  return 0;
}

Next attach_enter(Ctx& x) {
  trace_sys_enter(x, Nr::write);
  return advance();
}
// Locals of kCgroupAttach: a[0] the threads to move, a[1] how many are; the step after the last one.
enum AttachPc : u16 { kPcAttachNext = 3, kPcAttachExit = 5 };
Task& attached(Ctx& x) { return *x.k.visit(static_cast<u32>(x.f.a[0]))[x.f.a[1]]; }

/// percpu_down_write of cgroup_threadgroup_rwsem: the first writer waits for an RCU grace period, those that follow within another one do
/// not; then, with the lock of the next step, for the readers that are inside.
Next attach_lock(Ctx& x) {
  Core& k = x.k;
  k.add_cgroup_writer();
  if (k.now() < k.cgroup_sync_until) return advance();
  k.call_rcu(x.c, nullptr);
  k.arm_timer(x.c, x.t, k.grace_period_end());
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return advance();
}
/// The threads that are to move: from here on none of them forks or exits before they have. cgroup_migrate_add_task leaves out those that
/// are there or on their way out.
Next attach_check(Ctx& x) {
  Core& k = x.k;
  k.cancel_timer(x.t);
  x.t.state = TASK_RUNNING;
  k.cgroup_sync_until = k.grace_period_end();
  Task* p = target(x);
  x.t.result = can_attach(x, p);
  if (x.t.result) return jump(kPcAttachExit);
  x.f.a[0] = k.new_visit();
  std::vector<Task*>& threads = k.visit(static_cast<u32>(x.f.a[0]));
  const TaskGroup* tg = k.group(static_cast<u32>(op(x).arg));
  for (Task* t = p->signal->threads.front(); t; t = t->thread_node.next)
    if (t->cgroup != tg && !(t->flags & PF_EXITING)) threads.push_back(t);
  if (!threads.empty()) return advance();
  k.end_visit(static_cast<u32>(x.f.a[0]));
  return jump(kPcAttachExit);
}
/// css_set_move_task of one thread, then sched_move_task, of which one that neither runs nor waits to run takes no time.
Ns move_cost(Ctx& x) { return attached(x).on_rq ? std::min(x.k.cost(Phase::cgroup_attach_per_task), sched_move_cost(x.k)) : Ns(0); }
Ns attach_cost(Ctx& x) { return x.k.cost(Phase::cgroup_attach_per_task) - move_cost(x); }
Next attach_next(Ctx&) { return advance(); }
Next attach_move(Ctx& x) {
  Core& k = x.k;
  Task& t = attached(x);
  if (waits_for_attach(x, t)) return jump(kPcAttachNext + 1);
  TaskGroup* tg = k.group(static_cast<u32>(op(x).arg));
  t.cgroup = tg;
  {
    const Held pi_and_rq_lock(x, 2);
    k.sched.sched_move_task(t, k.task_group_of(t), x.c.id);
  }
  k.emit(Tp::cgroup_attach, x.c, t.pid, tg ? tg->name : NameId{});
  if (++x.f.a[1] < k.visit(static_cast<u32>(x.f.a[0])).size()) return jump(kPcAttachNext);
  k.end_visit(static_cast<u32>(x.f.a[0]));
  return advance();
}
LockWord* attach_locks(Ctx& x, LockId id) {
  if (id == LockId::threadgroup_write) return &x.k.threadgroup_rwsem;
  return id == LockId::pi ? &attached(x).pi_lock : &x.k.cpu(attached(x).cpu).rq_lock;
}
Next attach_exit(Ctx& x) {
  --x.k.cgroup_writers;
  trace_sys_exit(x, Nr::write, x.t.result);
  return ret();
}
constexpr Step kAttachSteps[] = {
    {attach_enter, Phase::syscall_entry, nullptr, 0},
    {attach_lock, Phase::cgroup_attach, nullptr, StepFlag::kMightSleep},
    {attach_check, Phase::count_, nullptr, 0, nullptr, LockSet::threadgroup_write},
    {attach_next, Phase::count_, attach_cost, 0, nullptr, LockSet::threadgroup_write},
    {attach_move, Phase::count_, move_cost, StepFlag::kIrqsOff | StepFlag::kNoPreempt, nullptr,
     LockSet::threadgroup_write | LockSet::pi | LockSet::rq},
    {attach_exit, Phase::syscall_exit, nullptr, 0},
};
static_assert(kAttachSteps[kPcAttachNext].effect == attach_next && kAttachSteps[kPcAttachExit].effect == attach_exit);

}  // namespace

LockWord* target_lock(Ctx& x, LockId id) {
  Task* p = target(x);
  if (!p) return nullptr;
  return id == LockId::pi ? &p->pi_lock : &x.k.cpu(p->cpu).rq_lock;
}

bool target_waits_for_attach(Ctx& x) {
  const Task* p = target(x);
  return p && waits_for_attach(x, *p);
}

/// setpriority(PRIO_PROCESS): set_one_prio.
s64 do_setpriority(Ctx& x) {
  Task* p = target(x);
  if (!p) return -kESRCH;
  const int nice = std::clamp(static_cast<int>(op(x).arg), kMinNice, kMaxNice);
  if (!x.t.cred->capable() && !check_same_owner(x, *p)) return -kEPERM;
  if (nice < task_nice(*p) && !can_nice(x, nice)) return -kEACCES;
  {
    const Held pi_and_rq_lock(x, 2);
    x.k.sched.set_user_nice(*p, nice, x.c.id);
  }
  trace_attr_of(x, *p);
  return 0;
}

const Path kSysSetscheduler{"sys_sched_setscheduler", kSetschedulerSteps, target_lock};
const Path kSysSetaffinity{"sys_sched_setaffinity", kAffinitySteps, target_lock};
const Path kCgroupAttach{"cgroup_procs_write", kAttachSteps, attach_locks};

}  // namespace forksim::km
