// The real-time scheduling class.
//
// Purpose: SCHED_FIFO and SCHED_RR: priority queues, pushing and pulling between CPUs, throttling.
// Source:  Linux 4.19 kernel/sched/{rt,cpupri}.c without RT_GROUP_SCHED; each function carries the kernel's name.
// Units:   priorities are kernel priorities (0 most urgent, 100 none); time in ns; time slices in ticks.
// Ownership: borrows the Scheduler; run queues own their RtRq. Errors: contracts only.
// Timers:  SchedHooks::hrtimer_start tells the driver, which calls sched_rt_period_timer at the date of period_timer().
// Not modelled: RLIMIT_RTTIME, priority inheritance.
#pragma once

#include <array>
#include <bitset>
#include <optional>

#include "kernel_model/base/ilist.hpp"
#include "kernel_model/sched/topology.hpp"
#include "kernel_model/task/task.hpp"

namespace forksim::km {

class Scheduler;
struct Rq;

inline constexpr u64 RUNTIME_INF = ~u64{0};

/// struct rt_rq.
struct RtRq {
  std::bitset<MAX_RT_PRIO> bitmap;
  std::array<IList<Task, &Task::rt_run_list>, MAX_RT_PRIO> queue;
  u32 rt_nr_running = 0, rr_nr_running = 0, rt_nr_migratory = 0, rt_nr_total = 0;
  int highest_prio_curr = MAX_RT_PRIO, highest_prio_next = MAX_RT_PRIO;
  bool overloaded = false, rt_queued = false, rt_throttled = false;
  IList<Task, &Task::pushable_tasks> pushable_tasks;  ///< by priority, first come first within one
  u64 rt_time = 0, rt_runtime = RUNTIME_INF;
  u64 nr_throttled = 0, throttled_clock = 0, throttled_time = 0;  ///< for the report; the kernel does not count them
};

/// What sched_rt_period_timer is in the middle of: CPU after CPU of the root domain, those with something to account under their run
/// queue's lock. rt_b->rt_runtime_lock and rt_rq->rt_runtime_lock are held for no time and have no words of their own.
struct RtPeriodWalk {
  u64 overrun = 0;
  u32 cpu = 0;
  bool idle = false, throttled = false;
  Rq* rq = nullptr;  ///< whose turn it is, null when the callback is over
};

class RtClass {
 public:
  RtClass(Scheduler& s, const KernelProfile& k);

  // class hooks
  void enqueue_task_rt(Rq& rq, Task& p, u32 flags);
  void dequeue_task_rt(Rq& rq, Task& p, u32 flags);
  void yield_task_rt(Rq& rq) { requeue_task_rt(rq, *rq_curr(rq), false); }
  void check_preempt_curr_rt(Rq& rq, Task& p);
  /// `retry`: a more urgent class got work meanwhile.
  Task* pick_next_task_rt(Rq& rq, Task& prev, bool& retry);
  void put_prev_task_rt(Rq& rq, Task& p);
  void set_curr_task_rt(Rq& rq);
  void task_tick_rt(Rq& rq, Task& p);
  void task_woken_rt(Rq& rq, Task& p);
  CpuId select_task_rq_rt(Task& p, CpuId cpu, u32 sd_flag) const;
  void switched_to_rt(Rq& rq, Task& p);
  void switched_from_rt(Rq& rq, Task& p);
  void prio_changed_rt(Rq& rq, Task& p, int oldprio);
  void balance_callback(Rq& rq);

  void update_curr_rt(Rq& rq);
  static bool update_rt_rq_load_avg(u64 now, Rq& rq, bool running);
  /// rto_push_irq_work_func on `cpu`: pushes, then hands on to the next overloaded CPU.
  void rto_push_irq_work(CpuId cpu) {
    rto_push_from(cpu);
    rto_push_next(cpu);
  }
  void rto_push_from(CpuId cpu);
  void rto_push_next(CpuId cpu);

  // throttling
  /// Of sched_rt_runtime_us, in ns or RUNTIME_INF.
  static constexpr u64 to_ns(u64 runtime_us) { return runtime_us == ~u64{0} ? RUNTIME_INF : runtime_us * 1000; }
  /// Sets sched_rt_period and sched_rt_runtime (RUNTIME_INF: no throttling) on every CPU; before any task runs.
  void set_bandwidth(u64 period, u64 runtime);
  /// rq_offline_rt and rq_online_rt: the CPU leaves or enters the root domain. What it lent, borrowed and used up is forgotten, a throttled
  /// queue runs again.
  void rq_offline_rt(Rq& rq);
  void rq_online_rt(Rq& rq);
  void set_rr_timeslice(u32 ticks) { rr_timeslice_ = ticks; }
  u32 rr_timeslice() const { return rr_timeslice_; }
  struct PeriodTimer {
    Ns expires;
    CpuId cpu;  ///< who armed it
  };
  std::optional<PeriodTimer> period_timer() const { return timer_; }
  /// hrtimers_dead_cpu: the CPU that had it armed went off.
  void migrate_period_timer(CpuId to) {
    if (timer_) timer_->cpu = to;
  }
  /// push_rt_tasks only says which queue has something to push (Rq::rt_push_wanted): the engine then pushes task by task, push_target under
  /// that queue's lock and push_to under both. So does, without RT_PUSH_IPI, pull_rt_task of a balance callback (Rq::rt_pull_wanted:
  /// pull_source, pull_from); that of __schedule comes before the pick, see pick_pulls. Otherwise it happens at once.
  void push_in_steps(bool on) { push_in_steps_ = on; }
  /// find_lowest_rq of push_rt_task: the task to push and its CPU, if there are both.
  struct Push {
    Task* task;
    CpuId cpu;
  };
  std::optional<Push> push_target(Rq& rq);
  /// The rest of it: false when either has changed while the other lock was waited for.
  bool push_to(Rq& rq, Task& next, Rq& lowest);
  /// Whether pick_next_task would pull tasks to `rq` itself now, in steps; the pick that follows does not.
  bool pick_pulls(Rq& rq) {
    if (push_ipi_ || !push_in_steps_) [[likely]]
      return false;
    return pull_before_pick(rq);
  }
  /// The first overloaded CPU from `cpu` on that has a more urgent waiting task than `rq` has by now.
  std::optional<CpuId> pull_source(const Rq& rq, u32 cpu) const;
  /// Pulls that task, unless things have changed while the locks were waited for; whether there was one.
  bool pull_from(Rq& rq, Rq& src);
  /// Runs sched_rt_period_timer on the CPU that armed it; true when it goes on.
  bool sched_rt_period_timer();
  /// The same in stages: begun, then a call of period_timer_next with the lock of `w.rq` held, executed by `cpu`, until there is none.
  void begin_period_timer(RtPeriodWalk& w);
  void period_timer_next(RtPeriodWalk& w, CpuId cpu);

 private:
  static Task* rq_curr(Rq& rq);
  void requeue_task_rt(Rq& rq, Task& p, bool head);
  void enqueue_pushable_task(Rq& rq, Task& p);
  void dequeue_pushable_task(Rq& rq, Task& p);
  void inc_rt_tasks(Rq& rq, Task& p);
  void dec_rt_tasks(Rq& rq, Task& p);
  void update_rt_migration(Rq& rq);
  void enqueue_top_rt_rq(Rq& rq);
  void dequeue_top_rt_rq(Rq& rq);
  void enqueue_rt_entity(Rq& rq, Task& p, u32 flags);
  void dequeue_rt_entity(Rq& rq, Task& p, u32 flags);

  bool cpupri_find(const Task& p, CpuMask* lowest) const;
  std::optional<CpuId> find_lowest_rq(const Task& p) const;
  void push_rt_tasks(Rq& rq);
  void pull_rt_task(Rq& rq);
  void pull_from_each(Rq& rq);
  bool pull_before_pick(Rq& rq) const;
  bool nobody_to_pull_from(const Rq& rq) const;
  std::optional<CpuId> rto_next_cpu();

  bool rt_bandwidth_enabled() const { return rt_runtime_ != RUNTIME_INF; }
  void start_rt_bandwidth();
  bool sched_rt_runtime_exceeded(Rq& rq);
  void sched_rt_rq_enqueue(Rq& rq);
  void unthrottle(Rq& rq);
  void balance_runtime(Rq& rq);
  void forward_period_timer(RtPeriodWalk& w);
  void do_sched_rt_period_timer(RtPeriodWalk& w) const;

  Scheduler& s_;
  bool push_ipi_, runtime_share_;
  u32 rr_timeslice_;
  u64 rt_period_ = 0, rt_runtime_ = RUNTIME_INF;  ///< no limit until set_bandwidth
  bool rt_period_active_ = false;
  u64 rt_period_expires_ = 0;
  std::optional<PeriodTimer> timer_;
  // root domain
  CpuMask rto_mask_;
  int rto_cpu_ = -1;
  u32 rto_loop_ = 0, rto_loop_next_ = 0;
  bool push_in_steps_ = false;
};

}  // namespace forksim::km
