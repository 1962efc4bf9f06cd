// Life-cycle services of the Core and the Kernel facade. See core.hpp.
#include "kernel_model/core.hpp"

#include <algorithm>

#include "kernel_model/exec/cpufreq.hpp"
#include "kernel_model/process/boot.hpp"
#include "kernel_model/process/paths.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

Core::Core(const KernelConfig& config, UserSpace& u, PowerPort& power, Trace& trace)
    : sched(config.profile, config.machine.topology, *this, trace),
      user(u),
      pids(static_cast<u32>(config.profile.tun(Tunable::pid_max))),
      trace_(trace),
      next_(config.machine.topology.cpus),
      next_jiffy_(config.profile.tick_ns()),
      lock_mask_(config.locks && config.machine.topology.cpus > 1 ? u32{kAllLocks} & ~u32{LockSet::threadgroup_read} : 0),
      mm_flag_(config.mm_contention && config.costs.mm_contention_65536 ? StepFlag::kMm : u8{0}),
      costs_(config.costs),
      machine_(config.machine),
      power_(power),
      by_pid_(static_cast<std::size_t>(config.profile.tun(Tunable::pid_max))),
      pgrps_(static_cast<std::size_t>(config.profile.tun(Tunable::pid_max))),
      faults_(config.faults),
      resched_points_(config.profile.preempt == PreemptModel::none ? StepFlag::kCondResched
                                                                   : StepFlag::kCondResched | StepFlag::kMightSleep),
      ipi_reason_(trace.names().intern("Rescheduling interrupts")),
      call_reason_(trace.names().intern("Function call interrupts")),
      work_reason_(trace.names().intern("IRQ work interrupts")) {
  std::ranges::copy(costs_.ns, phase_cost_.begin());
  for (std::size_t i = 0; i < kLocks; ++i) lock_names_[i] = trace.names().intern(kLockTable[i].name);
  sched.set_clock_base(Kernel::kClockBase);
  sched.rt().push_in_steps(true);
  init_frequency(config);
  boot(*this);
  sched.set_placement(config.placement);
  cpufreq = Cpufreq::make(*this, config);
  if (cpufreq) cpufreq->boot();
  if (config.hotplug)
    for (auto& c : cpus_) c->cpuhp = &boot_kthread(*this, "cpuhp/" + std::to_string(c->id.v), c->id, kCpuhp, true);
  if (cpufreq || config.hotplug) count_boot();
}

Core::~Core() = default;

/// The clock that the governor's first decision leaves: boot is over, and the machine was quiet.
void Core::init_frequency(const KernelConfig& config) {
  if (config.cpufreq.governor == Governor::performance) return;
  policy_hz_ = u64{Cpufreq::initial_khz(config)} * 1000;
  for (u32 i = 0; i < machine_.opp_hz.size(); ++i)
    if (machine_.opp_hz[i] == policy_hz_) machine_.boot_opp = i;
  for (u32 i = 0; i < sched.cpus(); ++i) sched.rq(CpuId(i)).freq_scale = Cpufreq::initial_scale(config);
}

Task& Core::alloc_task() {
  const u32 i = task_pool.alloc();
  Task& t = task_pool[i];
  t.id = TaskId{i};
  kernel_bytes += KernelBytes::task_struct;
  return t;
}

void Core::put_task_struct(Task& t) {
  if (--t.usage) return;
  if (t.has_stack && !profile().vmap_stack) {
    ++totals.stacks_freed;
    --live_stacks;
    kernel_bytes -= profile().stack_bytes;
    sched.emit(Tp::stack_free, t.cpu, t.pid, false);
  }
  ++totals.task_structs_freed;
  sched.emit(Tp::task_struct_free, t.cpu, t.pid);
  put_cred(*t.cred);
  put_signal(*t.signal);
  kernel_bytes -= KernelBytes::task_struct;
  graph_.forget(t);
  FS_CONTRACT(!t.pi_lock.in_use() && !t.join_bucket.in_use(), "a task_struct is freed while its lock is in use");
  task_pool.free(t.id.v);
}

Mm& Core::new_mm(const ProcessShape& shape) {
  const u32 i = mms_.alloc(), fi = families_.alloc();
  Mm& mm = mms_[i];
  mm.index = i;
  mm.users = 1;
  mm.vmas = shape.vmas;
  mm.anon_pages = mm.anon_private = shape.anon_pages;
  mm.file_pages = shape.file_pages;
  mm.pgtable_pages = shape.pgtable_pages;
  mm.working_set_kib = shape.working_set_kib;
  mm.rss = shape.anon_pages + shape.file_pages;
  mm.total_vm = std::max(shape.vm_pages, mm.rss);
  mm.locked = shape.locked;
  mm.shape = &shape;
  mm.family = &families_[fi];
  mm.family->index = fi;
  mm.family->live = 1;
  kernel_bytes += mm.bytes();
  return mm;
}

/// dup_mmap: anonymous pages become shared on both sides, file pages are left to be faulted in again.
Mm& Core::dup_mm(Mm& old) {
  const u32 i = mms_.alloc();
  Mm& mm = mms_[i];
  mm = old;
  mm.index = i;
  mm.users = 1;
  mm.file_pages = 0;
  mm.rss = old.anon_pages;
  mm.locked = false;
  mm.anon_private = old.anon_private = 0;
  ++mm.family->live;
  kernel_bytes += mm.bytes();
  return mm;
}

void Core::mmput(Mm& mm) {
  if (--mm.users) return;
  graph_.mm_gone(&mm);
  kernel_bytes -= mm.bytes();
  if (--mm.family->live == 0) families_.free(mm.family->index);
  FS_CONTRACT(!mm.mmap_sem.in_use(), "a mm is freed while its lock is in use");
  mms_.free(mm.index);
}

Ns Core::mm_teardown_cost(const Mm& mm) const {
  const u64 freed = mm.family->live == 1 ? mm.anon_pages : mm.anon_private;
  return cost(Phase::exit_mm) + cost(Phase::exit_mm_per_vma) * mm.vmas + cost(Phase::exit_mm_per_page) * (mm.anon_pages + mm.file_pages) +
         cost(Phase::exit_mm_per_private_page) * freed + cost(Phase::exit_mm_per_pgtable_page) * mm.pgtable_pages;
}

void Core::sync_mm_rss(Cpu& c, Task& t) {
  t.rss_events = 0;
  if (!t.rss_delta) return;
  Mm& mm = *t.mm;
  mm.rss = static_cast<u32>(static_cast<s32>(mm.rss) + t.rss_delta);
  mm.total_vm = std::max(mm.total_vm, mm.rss);
  t.rss_delta = 0;
  emit_rss(c, t);
}
void Core::emit_rss(Cpu& c, const Task& t) { emit(Tp::rss_stat, c, t.pid, t.mm->rss, t.mm->total_vm, t.mm->locked); }

Files& Core::new_files(u32 fds) {
  const u32 i = files_.alloc();
  Files& f = files_[i];
  f.index = i;
  f.count = 1;
  f.fds = fds;
  kernel_bytes += KernelBytes::files;
  return f;
}

Files& Core::dup_files(const Files& old) {
  Files& f = new_files(old.fds);
  f.ends = old.ends;
  for (const PipeEnd& e : f.ends) ++(e.write ? pipes[e.pipe].writers : pipes[e.pipe].readers);
  return f;
}

/// Drops a reference; the last one closes every descriptor. `x`: wakes the other end of pipes that lost their last reader or writer.
void Core::put_files(Ctx* x, Files& f) {
  if (--f.count) return;
  for (const PipeEnd& e : f.ends) {
    Pipe& p = pipes[e.pipe];
    --(e.write ? p.writers : p.readers);
    const bool other_end_waits = (e.write ? p.writers : p.readers) == 0 && !p.wait.empty();
    if (x && other_end_waits) {
      Frame& w = call(*x, kWakeQueue);
      w.a[0] = queue_ref(QueueOf::pipe, e.pipe);
      w.a[1] = ~u64{0};
    }
  }
  f.ends.clear();
  kernel_bytes -= KernelBytes::files;
  files_.free(f.index);
}

Fs& Core::new_fs() {
  const u32 i = fs_.alloc();
  fs_[i].index = i;
  fs_[i].users = 1;
  kernel_bytes += KernelBytes::fs;
  return fs_[i];
}
void Core::put_fs(Fs& f) {
  if (--f.users) return;
  kernel_bytes -= KernelBytes::fs;
  fs_.free(f.index);
}

Sighand& Core::new_sighand() {
  const u32 i = sighands_.alloc();
  sighands_[i].index = i;
  sighands_[i].count = 1;
  kernel_bytes += KernelBytes::sighand;
  return sighands_[i];
}
Sighand& Core::dup_sighand(const Sighand& old) {
  const u32 i = sighands_.alloc();
  sighands_[i] = old;
  sighands_[i].index = i;
  sighands_[i].count = 1;
  kernel_bytes += KernelBytes::sighand;
  return sighands_[i];
}
void Core::put_sighand(Sighand& s) {
  if (--s.count) return;
  kernel_bytes -= KernelBytes::sighand;
  sighands_.free(s.index);
}

/// copy_signal of a new process; process group and session are inherited.
Signal& Core::new_signal(const Signal* parent) {
  const u32 i = signals_.alloc();
  Signal& s = signals_[i];
  s.index = i;
  s.sigcnt = s.live = s.nr_threads = 1;
  kernel_bytes += KernelBytes::signal;
  if (parent) {
    s.pgrp = parent->pgrp;
    s.session = parent->session;
    s.tty = parent->tty;
    s.autogroup = parent->autogroup;
    if (s.autogroup) ++s.autogroup->refs;
    s.has_child_subreaper = parent->has_child_subreaper || parent->is_child_subreaper;
  }
  return s;
}
void Core::put_signal(Signal& s) {
  if (--s.sigcnt) return;
  put_autogroup(s.autogroup);
  kernel_bytes -= KernelBytes::signal;
  FS_CONTRACT(!s.siglock.in_use(), "a signal_struct is freed while its lock is in use");
  signals_.free(s.index);
}

Autogroup& Core::new_autogroup() {
  const u32 i = autogroups_.alloc();
  autogroups_[i] = {i, 1, &sched.create_group(nullptr)};
  return autogroups_[i];
}

void Core::autogroup_create_attach(Signal& s) {
  if (!profile().autogroups()) return;
  Autogroup* old = s.autogroup;
  s.autogroup = &new_autogroup();
  for (Task* t = s.threads.front(); t; t = t->thread_node.next)
    if (!(t->flags & PF_EXITING)) sched.sched_move_task(*t, task_group_of(*t));
  put_autogroup(old);  // only now is the old group without its last task
}

/// autogroup_kref_put: the last process of the session takes the group along; its tasks have left it in do_exit.
void Core::put_autogroup(Autogroup* ag) {
  if (!ag || --ag->refs) return;
  sched.destroy_group(*ag->tg);
  autogroups_.free(ag->index);
}

void Core::attach_pid(Task& t) {
  by_pid_[static_cast<std::size_t>(t.pid.v)] = &t;
  if (t.group_leader != &t) return;
  pids.get(t.pid);  // as TGID
  pgrps_[static_cast<std::size_t>(t.signal->pgrp.v)].push_front(t.signal);
  if (t.signal->pgrp.v) pids.get(t.signal->pgrp);
  if (t.signal->session.v) pids.get(t.signal->session);
}

void Core::change_pgrp(Signal& s, Pid pgrp) {
  pgrps_[static_cast<std::size_t>(s.pgrp.v)].remove(&s);
  if (s.pgrp.v) put_pid(s.pgrp);
  s.pgrp = pgrp;
  pids.get(pgrp);
  pgrps_[static_cast<std::size_t>(pgrp.v)].push_front(&s);
}

/// transfer_pid of PID, TGID, PGID and SID, list_replace among the children; the leader keeps a reference to the number until released.
void Core::take_over_pid(Task& t, Task& leader) {
  by_pid_[static_cast<std::size_t>(t.pid.v)] = nullptr;
  put_pid(t.pid);
  t.pid = leader.pid;
  pids.get(t.pid);
  by_pid_[static_cast<std::size_t>(t.pid.v)] = &t;
  leader.real_parent->children.insert_after(&leader, &t);
  leader.real_parent->children.remove(&leader);
  t.group_leader = leader.group_leader = &t;
  for (Task* p = t.signal->threads.front(); p; p = p->thread_node.next) p->group_leader = &t;
  t.exit_signal = kSIGCHLD;
  leader.exit_signal = -1;
}

void Core::put_pid(Pid p) {
  pids.put(p);
  if (pids.taken(p)) return;
  kernel_bytes -= KernelBytes::pid;
  free_numbers(p);
}

void Core::add_child(Task& parent, Task& child) {
  child.real_parent = &parent;
  parent.children.push_back(&child);
}

void Core::unhash_process(Task& t) {
  --nr_threads;
  t.signal->threads.remove(&t);
  if (t.pid_ns && t.pid_ns->child_reaper == &t) t.pid_ns->child_reaper = nullptr;
  t.pid_ns = nullptr;
  Task*& by_pid = by_pid_[static_cast<std::size_t>(t.pid.v)];
  if (by_pid == &t) by_pid = nullptr;
  put_pid(t.pid);
  if (t.group_leader == &t) {
    put_pid(t.pid);
    pgrps_[static_cast<std::size_t>(t.signal->pgrp.v)].remove(t.signal);
    if (t.signal->pgrp.v) put_pid(t.signal->pgrp);
    if (t.signal->session.v) put_pid(t.signal->session);
    t.real_parent->children.remove(&t);
  }
  t.hashed = false;
}

Ns Core::grace_period_end() const {
  const u64 tick = profile().tick_ns();
  const bool at_tick = next_jiffy_ - now() == Ns(tick);
  return next_jiffy_ + Ns((profile().tun(Tunable::rcu_grace_period_jiffies) - at_tick) * tick);
}
void Core::call_rcu(Cpu& c, Task* t) { c.rcu.push(t, grace_period_end()); }

void Core::rename(Cpu& c, Task& t, NameId comm) {
  c.cur->preempt_count += preempt_offset();  // task_lock
  emit(Tp::task_rename, c, t.pid, t.comm, comm, 0);
  c.cur->preempt_count -= preempt_offset();
  t.comm = comm;
}

void Core::add_wait(WaitQueue& q, Task& t, bool head) {
  head ? q.push_front(&t) : q.push_back(&t);
  t.waiting_on = &q;
}
void Core::remove_wait(Task& t) {
  if (!t.waiting_on) return;
  t.waiting_on->remove(&t);
  t.waiting_on = nullptr;
}

Task* Core::find_task(Pid pid) {
  if (pid.v <= 0 || static_cast<std::size_t>(pid.v) >= by_pid_.size()) return nullptr;
  return by_pid_[static_cast<std::size_t>(pid.v)];
}

Task* Core::find_task_by_vpid(Pid pid, const Task& caller) {
  Task* p = find_task(pid);
  return p && pid_nr_ns(p->pid, *caller.pid_ns) ? p : nullptr;
}

u32 Core::create_object(ObjectKind kind, u64 param) {
  if (kind == ObjectKind::pipe) {
    pipes.emplace_back();
    if (param) pipes.back().capacity = param;
    objects.push_back({kind, static_cast<u32>(pipes.size() - 1), nullptr});
  } else {
    const u32 i = locks.alloc();
    Lock& l = locks[i];
    l.kind = kind;
    l.param = param;
    l.robust = kind == ObjectKind::mutex && param;
    if (kind == ObjectKind::semaphore) l.value = param;
    objects.push_back({kind, i, &l});
  }
  return static_cast<u32>(objects.size() - 1);
}

void Core::start(const StartSpec& spec) {
  auto later = [](const StartSpec& a, const StartSpec& b) { return a.at < b.at; };
  starts_.insert(std::upper_bound(starts_.begin() + static_cast<std::ptrdiff_t>(next_start_), starts_.end(), spec, later), spec);
}

/// sched_create_group of the cpu controller, its shares and its quota.
u32 Core::create_group(const GroupSpec& spec) {
  TaskGroup& tg = sched.create_group(group(spec.parent));
  tg.name = name(spec.name);
  tg.placement = spec.placement;
  sched.set_group_shares(tg, scale_load(spec.shares));
  cgroups_.push_back({spec, &tg});
  if (spec.cfs_quota_us == GroupSpec::kNoQuota && spec.cfs_period_us == GroupSpec{}.cfs_period_us) return static_cast<u32>(cgroups_.size());
  const u64 quota = spec.cfs_quota_us == GroupSpec::kNoQuota ? CfsBandwidth::kInf : spec.cfs_quota_us * 1000;
  if (sched.set_group_bandwidth(tg, spec.cfs_period_us * 1000, quota, CpuId(0))) return 0;
  return static_cast<u32>(cgroups_.size());
}

std::vector<GroupView> Core::groups() const {
  std::vector<GroupView> out;
  for (const Cgroup& g : cgroups_) {
    const CfsBandwidth& b = g.tg->bandwidth;
    GroupView v{g.spec.name,    g.spec.parent,        g.spec.shares, g.spec.cfs_period_us, g.spec.cfs_quota_us, b.nr_periods,
                b.nr_throttled, Ns(b.throttled_time), Ns(0)};
    for (const auto& q : g.tg->cfs_rq) v.usage += Ns(q->exec_clock);
    out.push_back(v);
  }
  return out;
}

CpuTimes Core::cpu_times(CpuId c) const {
  const Cpu& cpu = *cpus_[c.v];
  CpuTimes t = cpu.times;
  if (cpu.kind != TimeKind::off) t.*time_of(cpu.kind) += now() - cpu.acct_at;
  const RtRq& rt = sched.rq(c).rt;
  t.rt_throttled = rt.nr_throttled;
  t.rt_throttled_time = Ns(rt.throttled_time);
  const Rq& rq = sched.rq(c);
  t.hardirq = Ns(rq.irqtime.hardirq);
  t.softirq = Ns(rq.irqtime.softirq);
  t.util_irq = rq.avg_irq.util_avg;
  t.capacity = rq.cpu_capacity;
  return t;
}

Alive Core::alive() const {
  Alive a;
  a.stacks = live_stacks;
  a.task_structs = task_pool.live() - boot_tasks_;
  a.mms = mms_.live();
  a.files = files_.live() - boot_files_;
  a.fs = fs_.live() - boot_fs_;
  a.sighands = sighands_.live() - boot_sighands_;
  a.signals = signals_.live() - boot_signals_;
  a.pids = pids.live() - boot_pids_;
  a.creds = creds_.live() - boot_creds_;
  a.nsproxies = nsproxies_.live() - boot_nsproxies_;
  a.sem_undos = sem_undos_.live();
  a.io_contexts = io_contexts_.live();
  a.pid_namespaces = pid_namespaces_.live() - 1;  // all but the initial one
  a.kernel_bytes = kernel_bytes - boot_bytes_;
  for (const auto& c : cpus_) a.kernel_bytes -= u64{profile().stack_bytes} * c->cached_stacks;
  return a;
}

void Core::emit_acct(Cpu& c, Task& t) {
  emit(Tp::task_acct, c, t.pid, t.utime, t.stime, t.run_delay, t.nvcsw, t.nivcsw, t.min_flt, t.se.nr_migrations);
}

namespace {
char state_letter(const Task& t) {
  if (t.exit_state & EXIT_ZOMBIE) return 'Z';
  if (t.exit_state & EXIT_DEAD) return 'X';
  if (t.state == TASK_IDLE) return 'I';
  if (t.state & TASK_INTERRUPTIBLE) return 'S';
  if (t.state & TASK_UNINTERRUPTIBLE) return 'D';
  if (t.state & __TASK_STOPPED) return 'T';
  if (t.state & __TASK_TRACED) return 't';
  return 'R';
}
}  // namespace

TaskView Core::view(const Task& t) const {
  const Pid ppid = t.real_parent ? t.real_parent->tgid : Pid(0);
  TaskView v{t.pid, t.tgid, ppid, t.comm, state_letter(t), t.cpu, t.utime, t.stime, t.start_time, t.static_prio - DEFAULT_PRIO, t.prio};
  const Cpu& c = *cpus_[t.cpu.v];
  if (c.cur != &t) return v;
  if (c.kind == TimeKind::user) v.utime += now() - c.acct_at;
  if (c.kind == TimeKind::system) v.stime += now() - c.acct_at;
  return v;
}

std::vector<TaskView> Core::tasks() const {
  std::vector<TaskView> out;
  for (const Task* t : by_pid_)
    if (t) out.push_back(view(*t));
  return out;
}

TaskRefs Core::refs(Pid pid) const {
  TaskRefs r;
  const Task* t = pid.v > 0 && static_cast<std::size_t>(pid.v) < by_pid_.size() ? by_pid_[static_cast<std::size_t>(pid.v)] : nullptr;
  if (!t) return r;
  if (t->mm) r.mm_users = t->mm->users;
  if (t->files) r.files_count = t->files->count;
  if (t->fs) r.fs_users = t->fs->users;
  if (t->sighand) r.sighand_count = t->sighand->count;
  if (t->nsproxy) r.nsproxy_count = t->nsproxy->count;
  if (t->sysvsem) r.sem_undo_refcnt = t->sysvsem->refcnt;
  if (t->io_context) r.io_nr_tasks = t->io_context->nr_tasks;
  if (t->io_context) r.ioprio = t->io_context->ioprio;
  r.sigcnt = t->signal->sigcnt;
  r.cred_usage = t->cred->usage;
  r.usage = t->usage;
  r.ns_level = t->pid_ns->level;
  r.ns_pid = Pid(pid_nr_ns(t->pid, *t->pid_ns));
  r.set_child_tid = t->set_child_tid;
  r.clear_child_tid = t->clear_child_tid;
  r.tls = t->tls;
  r.preempt_count = t->preempt_count;
  return r;
}

std::vector<TaskView> Core::stuck_tasks() const {
  std::vector<TaskView> out;
  if (next_event() != kNever) return out;
  for (const Task* t : by_pid_)
    if (t && !t->boot && !(t->flags & PF_KTHREAD)) out.push_back(view(*t));
  return out;
}

}  // namespace forksim::km
