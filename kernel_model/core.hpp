// The kernel's inside: all state, and the services that paths share.
//
// Purpose: owns CPUs, tasks, objects and the scheduler; runs CPUs step by step (exec/engine.cpp); its services are used by the paths of
//          process/*.cpp, each of which mirrors one kernel file. Source: Linux 4.19.
// Units:   ns since boot. Ownership: everything but the ports. Errors: contracts. Not modelled: kernel_model/README.md.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "kernel_model/base/pool.hpp"
#include "kernel_model/exec/cpu.hpp"
#include "kernel_model/exec/func_graph.hpp"
#include "kernel_model/exec/path.hpp"
#include "kernel_model/exec/sched_timers.hpp"
#include "kernel_model/exec/winner_tree.hpp"
#include "kernel_model/kernel.hpp"
#include "kernel_model/process/kernel_bytes.hpp"
#include "kernel_model/process/objects.hpp"
#include "kernel_model/process/pid.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

/// Softirq vectors (include/linux/interrupt.h).
inline constexpr u32 kSCHED_SOFTIRQ = 7, kRCU_SOFTIRQ = 9;

/// A named group of the cpu controller.
struct Cgroup {
  GroupSpec spec;
  TaskGroup* tg = nullptr;
};

/// A device's interrupt line.
struct Irq {
  IrqSpec spec;
  Task* thread = nullptr;
  NameId name;
  bool mailbox = false;  ///< the firmware answers a cpufreq request
};

/// A CPU that is being taken off or brought up: one at a time, under cpu_add_remove_lock.
struct Hotplug {
  Task* holder = nullptr;  ///< who writes to cpuN/online
  WaitQueue waiters;       ///< who wants to
  CpuId cpu;
  bool ap_done = false;  ///< cpuhp/N is through
  bool stopped = false;  ///< take_cpu_down is done
  bool dead = false, booted = false;
  u32 total = 0, arrived = 0, left = 0;  ///< of multi_cpu_stop
};

class Cpufreq;

class Core : public SchedHooks {
 public:
  Core(const KernelConfig& config, UserSpace& user, PowerPort& power, Trace& trace);
  ~Core() override;

  // --- engine (exec/engine.cpp) ---
  Ns next_event() const;
  void advance(Ns limit);
  void finish(Ns now);
  std::string_view cpu_onoff(CpuId cpu, bool on, Ns now);
  void speed_changed(CpuId cpu, u64 hz, Ns now);
  Ns now() const { return sched.now(); }
  /// When jiffies change next, after now: ticks come then.
  Ns next_jiffy() const { return next_jiffy_; }
  /// Ns of CPU time at the frequency in force for reference ns, rounded up.
  static Ns scaled(Ns ref, u64 scale) {
    if (scale == 65536) [[likely]]
      return ref;
    return Ns((ref.v * scale + 65535) >> 16);
  }
  static Ns unscaled(Ns len, u64 scale) { return scale == 65536 ? len : Ns((len.v << 16) / scale); }
  Cpu& cpu(CpuId c) { return *cpus_[c.v]; }
  u32 nr_cpus() const { return static_cast<u32>(cpus_.size()); }
  /// Re-reads the CPU's next date after something outside its own run changed it.
  void touch(Cpu& c);
  /// Makes advance() look again at `t`: whether that is the end.
  void stop_ahead(Ns t) {
    end_ = std::min(end_, EventKey::before(t));
    if (end_ < bound_) run_until(end_);
  }
  /// Until when user time passes on `c` with nothing in between; 0 when an operation has to be a step of its own. Holds as long as `c`
  /// does nothing but compute. In the header, like pass_user_time, because a program calls it for every stretch of instructions.
  Ns undisturbed_until(const Cpu& c) const {
    if (&c != running_ || c.kind != TimeKind::user || c.cur->ti_flags || graph_on()) [[unlikely]]
      return Ns(0);
    return std::min(c.irq_next, ahead_);
  }
  /// `c` is in user mode and `ref` ns more of it follow: true when they have passed because they are over before `limit`.
  bool pass_user_time(Cpu& c, Ns ref, Ns limit) {
    if (ref >= limit) return false;
    const Ns end = now() + scaled(ref, c.scale[kUserMode]);
    if (end >= limit) [[unlikely]]
      return false;
    c.seg_end = end;
    sched.set_now(end);
    return true;
  }
  /// Ends the open-ended step of `c` (WFI, spin) at this instant.
  void end_segment_now(Cpu& c);
  void set_power(Cpu& c, bool busy);
  /// Switches which task's frames execute (context_switch).
  void switch_frames(Cpu& c, Task& next);
  void update_stack(Cpu& c);

  // --- locks (exec/locks.cpp) ---
  bool locks_on() const { return lock_mask_ != 0; }
  /// Drops what the frame of `x` holds, before its effect lets time pass otherwise than by its next step.
  void unlock(Ctx& x, u16 set = 0xffff);
  /// Takes and drops a lock at one instant, for what takes no time; false when somebody holds it or looks on: then it needs a step.
  bool pass_free_lock(LockWord& l, LockId id);
  /// A path that waited for the lock of `w` has it.
  void has_lock(Ctx& x, LockWaiter& w);
  /// `t` leaves its CPU with a mutex: those that spin for it go to sleep.
  void stop_mutex_spinners(const Task& t);
  /// The lock of a class when the path does not say otherwise.
  LockWord* lock_of(Ctx& x, LockId id);
  const std::array<LockStats, kLocks>& lock_stats() const { return lock_stats_; }

  // --- SchedHooks ---
  void send_reschedule(CpuId from, CpuId to) override;
  bool idle_polling(CpuId cpu) const override { return cpus_[cpu.v]->polling; }
  u8 trace_flags(CpuId cpu) const override;
  void stop_one_cpu_nowait(CpuId from, CpuId cpu) override;
  void cpufreq_update_util(CpuId on, CpuId cpu, u64 time, u32 flags) override;
  void fn_enter(CpuId cpu, Fn f) override { graph_.span_enter(*this, *cpus_[cpu.v], f); }
  void fn_leave(CpuId cpu) override { graph_.span_leave(*this, *cpus_[cpu.v]); }
  void fn_picked(CpuId cpu, const Task& prev, const Task& next) override;
  void irq_work_queue_on(CpuId from, CpuId cpu) override;
  void hrtick_call(CpuId from, CpuId cpu) override;
  void hrtick_cancel(CpuId cpu) override { sched_timers.cancel_hrtick(*this, cpu); }
  void hrtimer_start(SchedTimer which, TaskGroup* tg, CpuId cpu, Ns expires) override {
    sched_timers.start(*this, which, tg, cpu, expires);
  }
  /// A CPU whose stopper `from` has to wake for active balancing, or `from` when there is none left.
  CpuId take_stop_request(CpuId from);

  /// irq_work_queue: an interrupt to oneself, taken as soon as interrupts are on.
  void irq_work_queue(CpuId cpu);
  /// One more interrupt of a device, at `date`.
  void raise_irq_at(CpuId cpu, u32 irq, Ns date);
  /// The shared clock of all CPUs changes now.
  void set_frequency(u64 hz);
  /// The CPU draws no power and takes no interrupt from now on; its idle loop stands still until cpu_power_on.
  void cpu_power_off(Cpu& c);
  void cpu_power_on(Cpu& c);
  /// First CPU that is there.
  Cpu& first_online() { return *cpus_[sched.cpu_active_mask().first()]; }

  // --- tables ---
  Ns cost(Phase p) const { return costs_[p]; }
  const KernelProfile& profile() const { return sched.profile(); }
  Trace& trace() { return trace_; }
  bool hrtick_on() const { return profile().feat(Feature::HRTICK); }
  /// Whether somebody wants to see which functions run.
  bool graph_on() const { return trace_.enabled(Tp::funcgraph_entry); }
  FuncGraph& graph() { return graph_; }
  /// What a spin lock or preempt_disable adds to preempt_count; nothing without CONFIG_PREEMPT_COUNT.
  u32 preempt_offset() const { return profile().config_preempt() ? PREEMPT_OFFSET : 0; }
  template <class... A>
  void emit(Tp id, const Cpu& c, A... a) {
    sched.emit(id, c.id, a...);
  }
  NameId name(std::string_view s) { return trace_.names().intern(s); }

  // --- life cycle services ---
  Task& alloc_task();
  void put_task_struct(Task& t);
  Mm& new_mm(const ProcessShape& shape);
  Mm& dup_mm(Mm& old);
  void mmput(Mm& mm);
  Ns mm_teardown_cost(const Mm& mm) const;
  /// sync_mm_rss: the pages that `t` has faulted in since the last time become visible in its mm.
  void sync_mm_rss(Cpu& c, Task& t);
  void emit_rss(Cpu& c, const Task& t);
  Files& new_files(u32 fds);
  Files& dup_files(const Files& old);
  Files& files_at(u32 index) { return files_[index]; }
  void put_files(Ctx* x, Files& f);
  Fs& new_fs();
  void put_fs(Fs& f);
  Cred& new_cred(User& u);
  void get_cred(Task& t, Cred& c);
  void put_cred(Cred& c);
  User& user_of(u32 uid);
  /// With the pid namespace of `parent` or one below it; null: the initial one.
  Nsproxy& new_nsproxy(const Nsproxy* parent, bool new_pid_ns);
  void put_nsproxy(Nsproxy& n);
  // process/pid_namespace.cpp
  PidNamespace& init_pid_ns() { return *init_pid_ns_; }
  void put_pid_ns(PidNamespace& ns);
  /// Gives `pid` its numbers in `ns` and in those above it, the initial one excepted; false when one of them has none left.
  bool alloc_numbers(Pid pid, PidNamespace& ns);
  /// Its number in `ns`, 0 when it has none there.
  s32 pid_nr_ns(Pid pid, const PidNamespace& ns) const;
  SemUndo& new_sem_undo();
  void put_sem_undo(SemUndo& s);
  /// get_task_io_context of a task that has none: one of its own.
  void new_io_context(Task& t, u32 ioprio);
  void exit_io_context(Task& t);
  Kthread& new_kthread(const KthreadSpec& spec);
  void put_kthread(Kthread& t);
  Sighand& new_sighand();
  Sighand& dup_sighand(const Sighand& old);
  void put_sighand(Sighand& s);
  Signal& new_signal(const Signal* parent);
  void put_signal(Signal& s);
  /// sched_autogroup_create_attach: the process gets a task group of its own. Nothing when the profile has no autogroup.
  void autogroup_create_attach(Signal& s);
  void put_autogroup(Autogroup* ag);
  /// autogroup_task_group: the group that a task's entity belongs to; null for the root.
  TaskGroup* task_group_of(const Task& t) const {
    if (t.cgroup || (t.flags & PF_EXITING) || !t.signal->autogroup) return t.cgroup;
    return t.signal->autogroup->tg;
  }
  /// A named group by its id; null for 0, the root.
  TaskGroup* group(u32 id) const { return id ? cgroups_[id - 1].tg : nullptr; }
  void attach_pid(Task& t);
  /// Drops one use of a number.
  void put_pid(Pid p);
  Pid alloc_pid();
  /// change_pid(PIDTYPE_PGID).
  void change_pgrp(Signal& s, Pid pgrp);
  const IList<Signal, &Signal::pgrp_node>& pgrp_members(Pid pgrp) const { return pgrps_[static_cast<std::size_t>(pgrp.v)]; }
  /// A member of the process group, if that has a number in the pid namespace of `caller`.
  const Signal* find_vgroup(Pid pgrp, const Task& caller) const {
    const auto i = static_cast<std::size_t>(pgrp.v);
    return pgrp.v > 0 && i < pgrps_.size() && pid_nr_ns(pgrp, *caller.pid_ns) ? pgrps_[i].front() : nullptr;
  }
  /// de_thread: `t` becomes leader under the number of `leader`, which dies as a thread.
  void take_over_pid(Task& t, Task& leader);
  /// free_thread_stack with VMAP_STACK: into the cache of the CPU, or left to its kworker (false), which the caller wakes.
  bool free_thread_stack(Cpu& c);
  Tty& new_tty();
  /// Tasks that a path visits one by one while time passes: a handle for the locals of its frame.
  u32 new_visit();
  std::vector<Task*>& visit(u32 i) { return visits_[i]; }
  void end_visit(u32 i);
  /// Whether `bytes` more fit the budget, and no failure is injected at `p`.
  bool may_allocate(FailPoint p, u64 bytes);
  bool fault(FailPoint p) { return faults_ && faults_->fail(p, ++fault_passes_[static_cast<std::size_t>(p)]); }
  /// __unhash_process: numbers, parent's children, group's threads.
  void unhash_process(Task& t);
  void add_child(Task& parent, Task& child);
  Task& init_task() { return *init_; }
  /// When a grace period that begins now is over: at a tick.
  Ns grace_period_end() const;
  /// Starts the RCU grace period after which delayed_put_task_struct of `t` (if any) runs on this CPU, which ticks until then.
  void call_rcu(Cpu& c, Task* t);
  void rename(Cpu& c, Task& t, NameId comm);
  /// Arms the sleeper's hrtimer: not before `soft`, at the latest timer_slack_ns later.
  void arm_timer(Cpu& c, Task& t, Ns soft);
  void cancel_timer(Task& t) { t.timer_seq = 0; }
  void add_wait(WaitQueue& q, Task& t, bool head);
  void remove_wait(Task& t);
  Task* find_task(Pid pid);
  /// find_task_by_vpid: null also for one that has no number in the pid namespace of `caller`.
  Task* find_task_by_vpid(Pid pid, const Task& caller);
  /// Leaders, by number.
  template <class F>
  void for_each_process(F&& f) {
    for (Task* t : by_pid_)
      if (t && t->group_leader == t) f(*t);
  }
  template <class F>
  void for_each_task(F&& f) {
    for (Task* t : by_pid_)
      if (t) f(*t);
  }
  bool workload_done() const { return live_workload_ == 0 && next_start_ == starts_.size(); }

  // --- facade ---
  u32 create_object(ObjectKind kind, u64 param);
  void start(const StartSpec& spec);
  void add_irq(const IrqSpec& spec, const std::vector<Ns>& dates);
  u32 create_group(const GroupSpec& spec);
  std::vector<GroupView> groups() const;
  void attach_pipe(u32 handle, u32 pipe) { preset_pipes_.push_back({handle, pipe}); }
  Alive alive() const;
  CpuTimes cpu_times(CpuId c) const;
  std::vector<TaskView> tasks() const;
  TaskRefs refs(Pid pid) const;
  std::vector<TaskView> stuck_tasks() const;
  /// forksim:task_acct of a task, in the context of `c`.
  void emit_acct(Cpu& c, Task& t);

  // --- state used by paths ---
  Scheduler sched;
  SchedTimers sched_timers;
  LockWord threadgroup_rwsem;  ///< cgroup_threadgroup_rwsem, a percpu_rw_semaphore
  u32 cgroup_writers = 0;      ///< who write to cgroup.procs
  Ns cgroup_sync_until{0};     ///< its writers need no grace period before this date
  /// percpu_down_write: from the first writer on, forks and exits look at threadgroup_read.
  void add_cgroup_writer() {
    ++cgroup_writers;
    if (lock_mask_) lock_mask_ |= LockSet::threadgroup_read;
    watch();
  }
  /// percpu_down_read: readers touch what they share only while a writer is about (rcu_sync).
  LockWord* threadgroup_read() { return cgroup_writers || now() < cgroup_sync_until ? &threadgroup_rwsem : nullptr; }
  UserSpace& user;
  Totals totals;
  /// `totals` with the scheduler's own counters filled in.
  const Totals& all_totals() {
    totals.migrations = sched.counters().migrations;
    totals.balance_attempts = sched.counters().balance_attempts;
    totals.balance_pulls = sched.counters().balance_pulls;
    totals.affinity_widened = sched.counters().affinity_widened;
    totals.placement_illegal = sched.counters().placement_illegal;
    return totals;
  }
  std::deque<Pipe> pipes;
  Pool<Lock, 16> locks;
  std::vector<SharedObject> objects;  ///< by facade id
  u32 nr_threads = 0;
  PidMap pids;
  u64 live_stacks = 0;
  u64 kernel_bytes = 0;                    ///< stacks (cached ones too), page tables and slabs of tasks
  std::deque<u32> kthread_create_list;     ///< Kthread::index
  Pool<Kthread, 16> kthreads;
  std::vector<Irq> irqs;
  Hotplug hotplug;
  std::unique_ptr<Cpufreq> cpufreq;  ///< null when the governor does nothing during a run
  bool can_disable() const { return machine_.can_disable; }
  Task* kthreadd = nullptr;
  Pool<Task, 64> task_pool;

 private:
  friend void boot(Core& k);
  void run_ahead(EventKey end);
  /// running_ goes on until `bound`.
  void run_until(EventKey bound) {
    bound_ = bound;
    ahead_ = std::min(bound.date(), next_jiffy_);
  }
  /// What steps look for in Frame::todo from now on.
  void watch() { watched_ = lock_mask_ | Frame::kStarted | (graph_on() ? u32{Frame::kGraph} : 0); }
  Ns next_date() const;
  bool only_idle_timers() const;
  bool interrupt(Cpu& c);
  EventKey key_of(const Cpu& c) const;
  void run_steps(Cpu& c);
  void run_effect(Cpu& c);
  void apply(Cpu& c, FrameStack& st, Frame& f, Next n);
  template <bool kAhead>
  void enter_step(Cpu& c);
  template <bool kAhead>
  bool begin_segment(Cpu& c, const Step& s, Ns len);
  u64 mm_scale(Cpu& c, const Step& s);
  void raise_ipi(CpuId from, CpuId to, NameId reason);
  void call_function_on(CpuId from, Cpu& target);
  bool push_pending(Cpu& c);
  bool irq_due(Cpu& c);
  bool timer_due(Cpu& c);
  void take_irq(Cpu& c);
  bool preempt_wanted(const Cpu& c, const Frame& top) const;
  Ns step_cost(Ctx& x, const Step& s);
  void charge(Cpu& c);
  TaskView view(const Task& t) const;
  void suspend(Cpu& c);
  u64 step_scale(const Cpu& c, Mode mode) const;
  void set_in_mm(Cpu& c, bool in);
  bool take_locks(Ctx& x, u32 missing);
  bool take_each(Ctx& x, u32 missing);
  bool take_one(Ctx& x, u32 bit);
  bool take_other(Ctx& x, LockWord& l, LockId id);
  void hold(Cpu& c, Task& t, LockWord& l, LockId id);
  void hold_spinning(Cpu& c, LockWord& l, LockId id);
  void hold_watched(Cpu& c, LockWord& l, LockId id);
  void add_held(Cpu& c, LockWord& l, LockId id);
  void wait_for(Ctx& x, LockWord& l, LockId id, u32 who);
  void drop_locks(Cpu& c, u32 set);
  void drop_each(Cpu& c, u32 set);
  void drop_one(Cpu& c, u32 bit);
  void drop_other(Cpu& c, LockId id);
  const HeldLock& top_lock(Cpu& c, LockId id);
  void released(Cpu& c, const HeldLock& h);
  void hand_over(Cpu& c, LockWord& l, LockId id);
  void end_spin(LockWaiter& w, Ns after);
  u64 lock_number(LockWord& l);
  void set_clock(Ns t);
  void start_process(const StartSpec& spec);
  Files& files_of_started(const StartSpec& spec);
  void link_started(Task& t, Pid pid);
  void wake_started(Cpu& c, Task& t);
  Autogroup& new_autogroup();
  PidNamespace& new_pid_ns(PidNamespace* parent);
  void free_numbers(Pid pid);
  Upids* upids_of(Pid pid) const { return upids_by_pid_.empty() ? nullptr : upids_by_pid_[static_cast<std::size_t>(pid.v)]; }
  void apply_speed(Cpu& c, u64 hz);
  bool switched_away(const Task& t) const;
  void init_frequency(const KernelConfig& config);
  /// What is alive now was there at boot: outside the books.
  void count_boot();

  std::array<Ns, kPhases + 1> phase_cost_{};  ///< of costs_; the last row, 0, is that of a step without a phase
  Trace& trace_;
  std::vector<std::unique_ptr<Cpu>> cpus_;
  WinnerTree next_;
  // with the four before, what every step looks at
  Ns next_jiffy_{0};
  const Cpu* running_ = nullptr;  ///< whose key in next_ is stale while run_ahead runs it
  EventKey end_;                  ///< run_ahead must stop before this
  EventKey bound_;                ///< running_ must stop before this: that, or the next event of another CPU
  Ns ahead_{0};                   ///< steps of running_ that end before this date end before everything else, but its own interrupts
  u32 watched_ = 0;               ///< Frame::todo that matters
  u32 lock_mask_ = 0;             ///< LockSet in use: all or none, threadgroup_read when needed
  u8 mm_flag_ = 0;                ///< StepFlag::kMm when contention is modelled
  u32 nr_mm_ = 0;                 ///< CPUs in mm code
  CostTable costs_;
  MachineDesc machine_;
  PowerPort& power_;
  FuncGraph graph_;
  std::vector<StartSpec> starts_;
  std::size_t next_start_ = 0;
  std::vector<std::pair<u32, u32>> preset_pipes_;
  std::vector<Task*> by_pid_;
  Pool<Mm, 64> mms_;
  Pool<CowFamily, 64> families_;
  Pool<Files, 64> files_;
  Pool<Fs, 64> fs_;
  Pool<Sighand, 64> sighands_;
  Pool<Signal, 64> signals_;
  Pool<Autogroup, 16> autogroups_;
  Pool<Cred, 64> creds_;
  Pool<Nsproxy, 16> nsproxies_;
  Pool<SemUndo, 16> sem_undos_;
  Pool<IoContext, 16> io_contexts_;
  Pool<PidNamespace, 16> pid_namespaces_;
  Pool<Upids, 64> upids_;
  std::vector<Upids*> upids_by_pid_;  ///< empty until there is a pid namespace
  PidNamespace* init_pid_ns_ = nullptr;
  std::deque<User> users_;
  std::deque<Tty> ttys_;
  std::vector<IList<Signal, &Signal::pgrp_node>> pgrps_;
  std::vector<Cgroup> cgroups_;
  std::vector<std::vector<Task*>> visits_;
  std::vector<u32> free_visits_;
  FaultPort* faults_ = nullptr;
  std::array<u64, kFailPoints> fault_passes_{};
  Task* init_ = nullptr;
  u8 resched_points_;  ///< StepFlags of steps that may be preempted without CONFIG_PREEMPT
  u32 lock_numbers_ = 0;
  LockWord tasklist_lock_, pidmap_lock_;
  std::array<LockStats, kLocks> lock_stats_;
  std::array<NameId, kLocks> lock_names_;
  std::vector<std::pair<CpuId, CpuId>> stop_requests_;  ///< from, target
  u64 timer_seq_ = 0, policy_hz_ = 0;
  u32 live_workload_ = 0, boot_tasks_ = 0, boot_signals_ = 0, boot_sighands_ = 0;
  u32 boot_files_ = 0, boot_fs_ = 0, boot_pids_ = 0, boot_creds_ = 0, boot_nsproxies_ = 0;
  u64 boot_bytes_ = 0;
  NameId ipi_reason_, call_reason_, work_reason_;
  friend void count_workload(Core& k, Task& t, int delta);
};

/// Functions of effects that branch: a leaf, or one that stays open until the path returns or leaves it.
inline void fn(Ctx& x, Fn f) {
  if (x.k.graph_on()) [[unlikely]]
    x.k.graph().call(x, f);
}
inline void fn_enter(Ctx& x, Fn f) {
  if (x.k.graph_on()) [[unlikely]]
    x.k.graph().enter(x, f);
}
inline void fn_leave_all(Ctx& x) {
  if (x.k.graph_on()) [[unlikely]]
    x.k.graph().leave_all(x);
}
/// For marks: the path is not inside of `F` yet (a step that is run again).
template <Fn F>
bool outside(Ctx& x) {
  return !x.k.graph().is_open(x, F);
}
inline void fn_leave(Ctx& x, Fn f) {
  if (x.k.graph_on()) [[unlikely]]
    x.k.graph().leave(x, f);
}

}  // namespace forksim::km
