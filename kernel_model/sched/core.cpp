// Run-queue clock, queueing by class, __schedule, the tick. See scheduler.hpp. Mirrors Linux 4.19 kernel/sched/core.c.
#include <algorithm>
#include <utility>

#include "kernel_model/base/contract.hpp"
#include "kernel_model/sched/cpu_load.hpp"
#include "kernel_model/sched/sched_info.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {

/// Letter of sched_switch's prev_state (include/trace/events/sched.h, as intended and as fixed in 4.19.y).
u64 switch_state(bool preempt, u32 state, u32 exit_state) {
  if (preempt) return u64{'R'} | TaskStateChar::kPreempted;
  if (state == TASK_IDLE) return 'I';
  constexpr std::array<char, 8> kLetters{'R', 'S', 'D', 'T', 't', 'X', 'Z', 'P'};
  return static_cast<u64>(kLetters[std::bit_width((state | exit_state) & 0x7f)]);
}

bool task_contributes_to_load(const Task& p) { return (p.state & TASK_UNINTERRUPTIBLE) && !(p.state & TASK_NOLOAD); }

}  // namespace

Scheduler::Scheduler(const KernelProfile& k, const MachineTopology& m, SchedHooks& hooks, Trace& trace)
    : profile_(k),
      machine_(m),
      domains_(m, k),
      hooks_(hooks),
      trace_(trace),
      active_(CpuMask::first_n(m.cpus)),
      online_(active_),
      ttwu_queue_(k.feat(Feature::TTWU_QUEUE)),
      hrtick_(k.feat(Feature::HRTICK)),
      irq_time_accounting_(k.irq_time_accounting),
      nontask_capacity_(k.feat(Feature::NONTASK_CAPACITY)),
      warn_double_clock_(k.feat(Feature::WARN_DOUBLE_CLOCK)),
      clock_checks_(irq_time_accounting_ || warn_double_clock_),
      fair_(*this, k, m.cpus),
      rt_(*this, k),
      placement_(*this, k),
      balancer_(*this, k) {
  for (u32 c = 0; c < m.cpus; ++c) {
    rqs_.push_back(std::make_unique<Rq>());
    Rq& r = *rqs_.back();
    r.cpu = CpuId(c);
    r.cfs.rq = &r;
    r.max_idle_balance_cost = fair_.sched_migration_cost();
    r.avg_idle = 2 * fair_.sched_migration_cost();
  }
  init_jiffies(0);
}

void Scheduler::init_jiffies(u64 j) {
  jiffies_ = j;
  for (auto& r : rqs_) {
    r->next_balance = r->last_load_update_tick = r->last_blocked_load_update_tick = j;
    r->cfs.last_h_load_update = j - 1;
  }
  start_domains();
  balancer_.init_jiffies(j);
}

void Scheduler::start_domains() {
  for (auto& r : rqs_)
    for (SchedDomain* sd = domains_.lowest(r->cpu); sd; sd = sd->parent) {
      sd->last_balance = sd->next_decay_max_lb_cost = jiffies_;
      sd->groups.front()->next_update = jiffies_;
    }
}

void Scheduler::emit_slow(Tp id, CpuId cpu, std::initializer_list<u64> args) {
  const Task& curr = *rq(cpu).curr;
  TraceEvent e{now_, id, hooks_.trace_flags(cpu), static_cast<u8>(curr.preempt_count), cpu, curr.pid, curr.comm, {}};
  std::copy(args.begin(), args.end(), e.args.begin());
  trace_.dispatch(e);
}

void Scheduler::update_rq_clock(Rq& r) {
  if (r.clock_skip_active) return;
  if (clock_checks_) [[unlikely]]
    return update_rq_clock_checked(r);
  const u64 delta = sched_clock() - r.clock;
  if (static_cast<s64>(delta) < 0) return;
  r.clock += delta;
  r.clock_task = r.clock;
}

[[gnu::noinline]] void Scheduler::update_rq_clock_checked(Rq& r) {
  if (warn_double_clock_ && std::exchange(r.clock_updated, true)) {
    if (!double_clock_.count++) double_clock_ = {1, now_, this_cpu_, r.cpu, clock_place_};
    emit(Tp::double_clock, this_cpu_, r.cpu, trace_.names().intern(clock_place_));
  }
  const u64 delta = sched_clock() - r.clock;
  if (static_cast<s64>(delta) < 0) return;
  r.clock += delta;
  if (irq_time_accounting_) return update_rq_clock_task(r, delta);
  r.clock_task = r.clock;
}

void Scheduler::update_rq_clock_task(Rq& r, u64 delta) const {
  // An interrupt in progress is accounted when it ends, and may have begun before the last update: what does not fit is left for the next.
  const u64 irq_delta = std::min(r.irqtime.total() - r.prev_irq_time, delta);
  r.prev_irq_time += irq_delta;
  r.clock_task += delta - irq_delta;
  if (irq_delta && nontask_capacity_) update_irq_load_avg(r, irq_delta);
}

void Scheduler::irqtime_account_irq(CpuId cpu, IrqContext until_now) {
  IrqTime& t = rq(cpu).irqtime;
  const u64 delta = sched_clock() - t.irq_start_time;
  t.irq_start_time += delta;
  if (until_now == IrqContext::hardirq) t.hardirq += delta;
  if (until_now == IrqContext::softirq) t.softirq += delta;
}

void Scheduler::add_nr_running(Rq& r, u32 n) {
  const u32 before = r.nr_running;
  r.nr_running = before + n;
  if (before < 2 && r.nr_running >= 2) rd_overload_ = true;
}

// --- queueing by class ---

void Scheduler::enqueue_task(Rq& r, Task& p, u32 flags) {
  if (!(flags & ENQUEUE_NOCLOCK)) update_rq_clock(r);
  if (!(flags & ENQUEUE_RESTORE)) sched_info_queued(r.clock, p);
  if (p.sched_class == SchedClass::fair)
    fair_.enqueue_task_fair(r, p, flags);
  else if (p.sched_class == SchedClass::rt)
    rt_.enqueue_task_rt(r, p, flags);
  else
    add_nr_running(r, 1);
}

void Scheduler::dequeue_task(Rq& r, Task& p, u32 flags) {
  if (!(flags & DEQUEUE_NOCLOCK)) update_rq_clock(r);
  if (!(flags & DEQUEUE_SAVE)) sched_info_dequeued(r.clock, p);
  if (p.sched_class == SchedClass::fair)
    fair_.dequeue_task_fair(r, p, flags);
  else if (p.sched_class == SchedClass::rt)
    rt_.dequeue_task_rt(r, p, flags);
  else
    sub_nr_running(r, 1);
}

void Scheduler::activate_task(Rq& r, Task& p, u32 flags) {
  if (task_contributes_to_load(p)) r.nr_uninterruptible--;
  enqueue_task(r, p, flags);
}

void Scheduler::deactivate_task(Rq& r, Task& p, u32 flags) {
  if (task_contributes_to_load(p)) r.nr_uninterruptible++;
  dequeue_task(r, p, flags);
}

void Scheduler::check_preempt_curr(Rq& r, Task& p, u32 wake_flags) {
  const FnSpan span(*this, Fn::check_preempt_curr);
  const Task& curr = *r.curr;
  if (p.sched_class == curr.sched_class) {
    if (p.sched_class == SchedClass::fair) fair_.check_preempt_wakeup(r, p, wake_flags);
    if (p.sched_class == SchedClass::rt) rt_.check_preempt_curr_rt(r, p);
  } else if (p.sched_class < curr.sched_class) {
    resched_curr(r);
  }
  // The coming __schedule follows at once: its clock update would be wasted.
  if (curr.on_rq == TASK_ON_RQ_QUEUED && curr.need_resched()) rq_clock_skip_update(r);
}

void Scheduler::put_prev_task(Rq& r, Task& prev) {
  if (prev.sched_class == SchedClass::fair) {
    fair_.put_prev_task_fair(prev);
  } else if (prev.sched_class == SchedClass::rt) {
    rt_.put_prev_task_rt(r, prev);
  } else if (prev.sched_class == SchedClass::stop) {
    const u64 delta = r.clock_task - prev.se.exec_start;
    if (static_cast<s64>(delta) > 0) prev.se.sum_exec_runtime += delta;
    prev.se.exec_start = r.clock_task;
  }
}

void Scheduler::set_curr_task(Rq& r) {
  if (r.curr->sched_class == SchedClass::fair)
    fair_.set_curr_task_fair(r);
  else if (r.curr->sched_class == SchedClass::rt)
    rt_.set_curr_task_rt(r);
  else if (r.curr->sched_class == SchedClass::stop)
    r.curr->se.exec_start = r.clock_task;
}

void Scheduler::resched_curr(Rq& r, CpuId this_cpu) {
  Task& curr = *r.curr;
  if (curr.need_resched()) return;
  const bool polling = r.cpu != this_cpu && &curr == r.idle && hooks_.idle_polling(r.cpu);
  curr.ti_flags |= TIF_NEED_RESCHED;
  if (r.cpu == this_cpu) return;
  if (polling)
    emit(Tp::sched_wake_idle_without_ipi, this_cpu, r.cpu);
  else
    hooks_.send_reschedule(this_cpu, r.cpu);
}

CpuMask Scheduler::idle_mask() const {
  CpuMask m;
  for (u32 c = 0; c < cpus(); ++c)
    if (idle_cpu(CpuId(c))) m.set(CpuId(c));
  return m;
}

CpuId Scheduler::get_nohz_timer_target(CpuId cpu) {
  if (!idle_cpu(cpu)) return cpu;
  for (const SchedDomain* sd = domains_.lowest(cpu); sd; sd = sd->parent)
    for (u32 i = sd->span.first(); i < cpus(); i = sd->span.next(i + 1))
      if (CpuId(i) != cpu && !idle_cpu(CpuId(i))) return CpuId(i);
  return cpu;
}

// --- __schedule ---

bool Scheduler::schedule_begin(CpuId cpu, bool preempt, bool signal_wakes) {
  this_cpu_ = cpu;
  Rq& r = rq(cpu);
  Task& prev = *r.curr;
  if (hrtick_) [[unlikely]]
    hrtick_clear(r);
  r.clock_skip_active = r.clock_skip_update;
  r.clock_skip_update = false;
  lock_update_rq_clock(r);
  r.switch_voluntary = !preempt && prev.state != TASK_RUNNING;
  r.prev_state = prev.state;
  if (!r.switch_voluntary) return false;
  if (signal_wakes) {
    r.prev_state = prev.state = TASK_RUNNING;
    return false;
  }
  deactivate_task(r, prev, DEQUEUE_SLEEP | DEQUEUE_NOCLOCK);
  prev.on_rq = 0;
  if (prev.in_iowait) r.nr_iowait++;
  return true;
}

bool Scheduler::newidle_balance_wanted(CpuId cpu) const { return balancer_.newidle_wanted(rq(cpu)); }

void Scheduler::begin_newidle(CpuId cpu, Ns newidle_cost) {
  this_cpu_ = cpu;
  rq(cpu).newidle_cost = newidle_cost;
  balancer_.begin_newidle(rq(cpu));
}

Task& Scheduler::idle_task(Rq& r, Task& prev) {
  put_prev_task(r, prev);
  return *r.idle;
}

Task& Scheduler::pick_next_task(Rq& r, Task& prev) {
  // Only fair tasks here and coming from one, or from idle: no other class can have anything to say.
  if ((prev.sched_class == SchedClass::fair || prev.sched_class == SchedClass::idle) && r.nr_running == r.cfs.h_nr_running) {
    const FairClass::Pick pick = fair_.pick_next_task_fair(r, prev);
    if (pick.task) return *pick.task;
    if (!pick.retry) return idle_task(r, prev);
  }
  for (bool retry = true; retry;) {
    retry = false;
    if (r.stop && r.stop->on_rq == TASK_ON_RQ_QUEUED) {
      put_prev_task(r, prev);
      r.stop->se.exec_start = r.clock_task;
      return *r.stop;
    }
    if (Task* p = rt_.pick_next_task_rt(r, prev, retry)) return *p;
    if (retry) continue;
    const FairClass::Pick pick = fair_.pick_next_task_fair(r, prev);
    if (pick.task) return *pick.task;
    retry = pick.retry;
  }
  return idle_task(r, prev);
}

Task& Scheduler::schedule_pick(CpuId cpu, bool preempt, Ns newidle_cost) {
  this_cpu_ = cpu;
  Rq& r = rq(cpu);
  r.newidle_cost = newidle_cost;
  Task& prev = *r.curr;
  Task& next = pick_next_task(r, prev);
  if (r.newidle_over) balancer_.idle_balance(r);  // tasks arrived meanwhile: nobody asked for its result
  if (trace_.enabled(Tp::funcgraph_entry)) [[unlikely]]
    hooks_.fn_picked(cpu, prev, next);
  prev.ti_flags &= ~TIF_NEED_RESCHED;
  r.clock_skip_active = r.clock_skip_update = false;
  r.rt_pulled = false;
  if (&prev == &next) {
    rt_.balance_callback(r);
    return next;
  }
  r.nr_switches++;
  ++(r.switch_voluntary ? prev.nvcsw : prev.nivcsw);
  emit(Tp::sched_switch, cpu, prev.comm, prev.pid, prev.prio, switch_state(preempt, r.prev_state, prev.exit_state), next.comm, next.pid,
       next.prio);
  r.curr = &next;
  sched_info_switch(r.clock, r.idle, prev, next);
  if (&next != r.idle) emit(Tp::sched_info_arrive, cpu, next.pid, next.run_delay);
  next.on_cpu = true;
  return next;
}

void Scheduler::finish_task_switch(Task& prev, CpuId cpu) {
  this_cpu_ = cpu;
  prev.on_cpu = false;
  if (prev.state == TASK_DEAD && prev.sched_class == SchedClass::fair) fair_.task_dead_fair(prev);
  rt_.balance_callback(rq(cpu));
}

// --- tick ---

void Scheduler::task_tick(Rq& r, bool queued) {
  if (r.curr->sched_class == SchedClass::fair) fair_.task_tick_fair(*r.curr, queued);
  if (r.curr->sched_class == SchedClass::rt) rt_.task_tick_rt(r, *r.curr);
}

void Scheduler::scheduler_tick(CpuId cpu) {
  this_cpu_ = cpu;
  Rq& r = rq(cpu);
  lock_update_rq_clock(r);
  task_tick(r, false);
  cpu_load_update_active(r, jiffies_);
  r.idle_balance = idle_cpu(cpu);
  balancer_.trigger_load_balance(r);
}

// --- hrtick ---

[[gnu::noinline]] void Scheduler::hrtick_clear(Rq& r) {
  if (!r.hrtick_active) return;
  r.hrtick_active = false;
  hooks_.hrtick_cancel(r.cpu);
}

void Scheduler::hrtick_start(Rq& r, u64 delay) {
  constexpr u64 kShortest = 10'000;  // a shorter slice is not worth an interrupt
  // Of a timer that is armed on another CPU the date changes where it stands; the call puts it in its place.
  r.hrtick_expires = now_ + Ns(std::max(delay, kShortest));
  if (r.cpu == this_cpu_) {
    r.hrtick_active = true;
    hooks_.hrtimer_start(SchedTimer::hrtick, nullptr, r.cpu, r.hrtick_expires);
  } else if (!r.hrtick_csd_pending) {
    r.hrtick_csd_pending = true;
    hooks_.hrtick_call(this_cpu_, r.cpu);
  }
}

void Scheduler::hrtick_start_here(CpuId cpu) {
  this_cpu_ = cpu;
  Rq& r = rq(cpu);
  if (!r.hrtick_csd_pending) return;  // the CPU has been off since
  rq_pin_lock(r);
  r.hrtick_csd_pending = false;
  r.hrtick_active = true;
  hooks_.hrtimer_start(SchedTimer::hrtick, nullptr, cpu, r.hrtick_expires);
}

void Scheduler::hrtick(CpuId cpu) {
  this_cpu_ = cpu;
  Rq& r = rq(cpu);
  r.hrtick_active = false;
  lock_update_rq_clock(r);
  task_tick(r, true);
}

void Scheduler::nohz_tick_stop(CpuId cpu) {
  Rq& r = rq(cpu);
  cpu_load_update_nohz_start(r);
  balancer_.nohz_balance_enter_idle(r);
  r.tick_stopped = true;
}

void Scheduler::nohz_tick_restart(CpuId cpu) {
  Rq& r = rq(cpu);
  r.tick_stopped = false;
  if (jiffies_ == r.last_load_update_tick) return;
  lock_update_rq_clock(r);
  cpu_load_update_nohz(r, jiffies_, r.cfs.avg.runnable_load_avg);
}

void Scheduler::run_rebalance_domains(CpuId cpu) {
  this_cpu_ = cpu;
  begin_rebalance_domains(cpu);
  while (balance_advance(cpu)) {
  }
}

void Scheduler::active_load_balance_cpu_stop(CpuId cpu) {
  this_cpu_ = cpu;
  begin_active_balance(cpu);
  while (balance_advance(cpu)) {
  }
}

}  // namespace forksim::km
