#include "kernel_model/sched/rt.hpp"

#include "kernel_model/sched/pelt.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {

bool rt_task(const Task& p) { return p.prio < MAX_RT_PRIO; }

/// A plain save and restore leaves the entity where it is in its list.
bool move_entity(u32 flags) { return (flags & (DEQUEUE_SAVE | DEQUEUE_MOVE)) != DEQUEUE_SAVE; }

/// Level of a CPU or task in cpupri: higher is more urgent; everything that is not real-time is 1.
int convert_prio(int prio) { return prio >= MAX_RT_PRIO ? 1 : MAX_RT_PRIO - prio + 1; }

int find_first(const std::bitset<MAX_RT_PRIO>& b) { return static_cast<int>(b._Find_first()); }

}  // namespace

Task* RtClass::rq_curr(Rq& rq) { return rq.curr; }

RtClass::RtClass(Scheduler& s, const KernelProfile& k)
    : s_(s),
      push_ipi_(k.feat(Feature::RT_PUSH_IPI)),
      runtime_share_(k.feat(Feature::RT_RUNTIME_SHARE)),
      rr_timeslice_(static_cast<u32>((k.tun(Tunable::sched_rr_timeslice_ms) * k.hz + 999) / 1000)) {}  // msecs_to_jiffies

// --- queues ---

void RtClass::enqueue_pushable_task(Rq& rq, Task& p) {
  auto& list = rq.rt.pushable_tasks;
  if (p.rt.pushable) list.remove(&p);
  p.rt.pushable = true;
  Task* pos = list.front();
  while (pos && pos->rt.pushable_prio <= p.prio) pos = list.next(pos);
  p.rt.pushable_prio = p.prio;
  if (pos)
    list.insert_before(pos, &p);
  else
    list.push_back(&p);
  rq.rt.highest_prio_next = std::min(rq.rt.highest_prio_next, p.prio);
}

void RtClass::dequeue_pushable_task(Rq& rq, Task& p) {
  auto& list = rq.rt.pushable_tasks;
  if (p.rt.pushable) list.remove(&p);
  p.rt.pushable = false;
  rq.rt.highest_prio_next = list.empty() ? MAX_RT_PRIO : list.front()->prio;
}

void RtClass::update_rt_migration(Rq& rq) {
  const bool overloaded = rq.rt.rt_nr_migratory && rq.rt.rt_nr_total > 1;
  if (overloaded == rq.rt.overloaded) return;
  rq.rt.overloaded = overloaded;
  if (!rq.online) return;
  if (overloaded)
    rto_mask_.set(rq.cpu);
  else
    rto_mask_.clear(rq.cpu);
}

void RtClass::inc_rt_tasks(Rq& rq, Task& p) {
  RtRq& rt = rq.rt;
  rt.rt_nr_running++;
  rt.rr_nr_running += p.policy == SchedPolicy::rr;
  rt.highest_prio_curr = std::min(rt.highest_prio_curr, p.prio);
  rt.rt_nr_total++;
  rt.rt_nr_migratory += p.nr_cpus_allowed > 1;
  update_rt_migration(rq);
  start_rt_bandwidth();
}

void RtClass::dec_rt_tasks(Rq& rq, Task& p) {
  RtRq& rt = rq.rt;
  rt.rt_nr_running--;
  rt.rr_nr_running -= p.policy == SchedPolicy::rr;
  if (!rt.rt_nr_running)
    rt.highest_prio_curr = MAX_RT_PRIO;
  else if (p.prio == rt.highest_prio_curr)
    rt.highest_prio_curr = find_first(rt.bitmap);
  rt.rt_nr_total--;
  rt.rt_nr_migratory -= p.nr_cpus_allowed > 1;
  update_rt_migration(rq);
}

void RtClass::dequeue_top_rt_rq(Rq& rq) {
  if (!rq.rt.rt_queued) return;
  s_.sub_nr_running(rq, rq.rt.rt_nr_running);
  rq.rt.rt_queued = false;
}

void RtClass::enqueue_top_rt_rq(Rq& rq) {
  if (rq.rt.rt_queued || rq.rt.rt_throttled) return;
  if (rq.rt.rt_nr_running) {
    s_.add_nr_running(rq, rq.rt.rt_nr_running);
    rq.rt.rt_queued = true;
  }
  s_.cpufreq_update_util(rq, 0);
}

void RtClass::dequeue_rt_entity(Rq& rq, Task& p, u32 flags) {
  if (!p.rt.on_rq) return;
  if (move_entity(flags)) {
    auto& queue = rq.rt.queue[static_cast<std::size_t>(p.prio)];
    queue.remove(&p);
    if (queue.empty()) rq.rt.bitmap.reset(static_cast<std::size_t>(p.prio));
    p.rt.on_list = false;
  }
  p.rt.on_rq = false;
  dec_rt_tasks(rq, p);
}

void RtClass::enqueue_rt_entity(Rq& rq, Task& p, u32 flags) {
  if (move_entity(flags)) {
    auto& queue = rq.rt.queue[static_cast<std::size_t>(p.prio)];
    if (flags & ENQUEUE_HEAD)
      queue.push_front(&p);
    else
      queue.push_back(&p);
    rq.rt.bitmap.set(static_cast<std::size_t>(p.prio));
    p.rt.on_list = true;
  }
  p.rt.on_rq = true;
  inc_rt_tasks(rq, p);
}

void RtClass::enqueue_task_rt(Rq& rq, Task& p, u32 flags) {
  dequeue_top_rt_rq(rq);
  dequeue_rt_entity(rq, p, flags);
  enqueue_rt_entity(rq, p, flags);
  enqueue_top_rt_rq(rq);
  if (rq.curr != &p && p.nr_cpus_allowed > 1) enqueue_pushable_task(rq, p);
}

void RtClass::dequeue_task_rt(Rq& rq, Task& p, u32 flags) {
  update_curr_rt(rq);
  dequeue_top_rt_rq(rq);
  dequeue_rt_entity(rq, p, flags);
  enqueue_top_rt_rq(rq);
  dequeue_pushable_task(rq, p);
}

void RtClass::requeue_task_rt(Rq& rq, Task& p, bool head) {
  if (!p.rt.on_rq) return;
  auto& queue = rq.rt.queue[static_cast<std::size_t>(p.prio)];
  queue.remove(&p);
  if (head)
    queue.push_front(&p);
  else
    queue.push_back(&p);
}

// --- running ---

bool RtClass::update_rt_rq_load_avg(u64 now, Rq& rq, bool running) {
  if (!update_load_sum(now, {rq.freq_scale, rq.cpu_capacity_orig}, rq.avg_rt, running, running, running)) return false;
  update_load_avg_of(rq.avg_rt, 1, 1);
  return true;
}

void RtClass::update_curr_rt(Rq& rq) {
  Task& curr = *rq.curr;
  if (curr.sched_class != SchedClass::rt) return;
  const u64 delta = rq.clock_task - curr.se.exec_start;
  if (static_cast<s64>(delta) <= 0) return;
  curr.se.sum_exec_runtime += delta;
  curr.se.exec_start = rq.clock_task;
  s_.emit(Tp::rt_runtime, s_.this_cpu(), curr.comm, curr.pid, delta);
  if (!rt_bandwidth_enabled() || rq.rt.rt_runtime == RUNTIME_INF) return;
  rq.rt.rt_time += delta;
  if (sched_rt_runtime_exceeded(rq)) s_.resched_curr(rq);
}

void RtClass::check_preempt_curr_rt(Rq& rq, Task& p) {
  Task& curr = *rq.curr;
  if (p.prio < curr.prio) {
    s_.resched_curr(rq);
    return;
  }
  if (p.prio != curr.prio || curr.need_resched()) return;
  // Equal priority: let the pinned newcomer run first when the current task could go elsewhere.
  if (curr.nr_cpus_allowed == 1 || !cpupri_find(curr, nullptr)) return;
  if (p.nr_cpus_allowed != 1 && cpupri_find(p, nullptr)) return;
  requeue_task_rt(rq, p, true);
  s_.resched_curr(rq);
}

Task* RtClass::pick_next_task_rt(Rq& rq, Task& prev, bool& retry) {
  if (rq.rt.highest_prio_curr > prev.prio) {
    if (!rq.rt_pulled) pull_rt_task(rq);
    retry = rq.stop && rq.stop->on_rq == TASK_ON_RQ_QUEUED;
    if (retry) return nullptr;
  }
  if (prev.sched_class == SchedClass::rt) update_curr_rt(rq);
  if (!rq.rt.rt_queued) return nullptr;
  s_.put_prev_task(rq, prev);
  Task& p = *rq.rt.queue[static_cast<std::size_t>(find_first(rq.rt.bitmap))].front();
  p.se.exec_start = rq.clock_task;
  dequeue_pushable_task(rq, p);
  if (!rq.rt.pushable_tasks.empty()) rq.rt_push_queued = true;
  if (rq.curr->sched_class != SchedClass::rt) update_rt_rq_load_avg(rq.clock_task, rq, false);
  return &p;
}

void RtClass::put_prev_task_rt(Rq& rq, Task& p) {
  update_curr_rt(rq);
  update_rt_rq_load_avg(rq.clock_task, rq, true);
  if (p.rt.on_rq && p.nr_cpus_allowed > 1) enqueue_pushable_task(rq, p);
}

void RtClass::set_curr_task_rt(Rq& rq) {
  rq.curr->se.exec_start = rq.clock_task;
  dequeue_pushable_task(rq, *rq.curr);
}

void RtClass::task_tick_rt(Rq& rq, Task& p) {
  update_curr_rt(rq);
  update_rt_rq_load_avg(rq.clock_task, rq, true);
  if (p.policy != SchedPolicy::rr || --p.rt.time_slice) return;
  p.rt.time_slice = rr_timeslice_;
  auto& queue = rq.rt.queue[static_cast<std::size_t>(p.prio)];
  if (queue.front() == queue.back()) return;
  requeue_task_rt(rq, p, false);
  s_.resched_curr(rq);
}

void RtClass::switched_to_rt(Rq& rq, Task& p) {
  if (p.on_rq != TASK_ON_RQ_QUEUED || rq.curr == &p) return;
  if (p.nr_cpus_allowed > 1 && rq.rt.overloaded && !rq.rt.pushable_tasks.empty()) rq.rt_push_queued = true;
  if (p.prio < rq.curr->prio) s_.resched_curr(rq);
}

void RtClass::switched_from_rt(Rq& rq, Task& p) {
  if (p.on_rq == TASK_ON_RQ_QUEUED && !rq.rt.rt_nr_running) rq.rt_pull_queued = true;
}

void RtClass::prio_changed_rt(Rq& rq, Task& p, int oldprio) {
  if (p.on_rq != TASK_ON_RQ_QUEUED) return;
  if (rq.curr != &p) {
    if (p.prio < rq.curr->prio) s_.resched_curr(rq);
    return;
  }
  if (oldprio < p.prio) rq.rt_pull_queued = true;
  if (p.prio > rq.rt.highest_prio_curr) s_.resched_curr(rq);
}

void RtClass::balance_callback(Rq& rq) {
  const bool push = rq.rt_push_queued, pull = rq.rt_pull_queued;
  rq.rt_push_queued = rq.rt_pull_queued = false;
  if (push) [[unlikely]]
    push_rt_tasks(rq);
  if (pull) [[unlikely]]
    pull_rt_task(rq);
}

// --- between CPUs ---

bool RtClass::cpupri_find(const Task& p, CpuMask* lowest) const {
  int best = convert_prio(p.prio);
  CpuMask mask;
  for (u32 c = 0; c < s_.cpus(); ++c) {
    const Rq& rq = s_.rq(CpuId(c));
    if (!rq.online || !p.cpus_allowed.test(rq.cpu)) continue;
    const int level = convert_prio(rq.rt.highest_prio_curr);
    if (level > best || (level == best && mask.empty())) continue;
    if (level < best) mask = {};
    best = level;
    mask.set(rq.cpu);
  }
  if (lowest) *lowest = mask;
  return !mask.empty();
}

std::optional<CpuId> RtClass::find_lowest_rq(const Task& p) const {
  CpuMask lowest;
  if (p.nr_cpus_allowed == 1 || !cpupri_find(p, &lowest)) return std::nullopt;
  // Where it last ran is best; then here; then whatever is close.
  if (lowest.test(p.cpu)) return p.cpu;
  const CpuId here = s_.this_cpu();
  const bool here_ok = lowest.test(here);
  for (const SchedDomain* sd = s_.domains().lowest(p.cpu); sd; sd = sd->parent) {
    if (!(sd->flags & SD_WAKE_AFFINE)) continue;
    if (here_ok && sd->span.test(here)) return here;
    if (const u32 c = (lowest & sd->span).first(); c < kMaxCpus) return CpuId(c);
  }
  return here_ok ? here : CpuId(lowest.first());
}

CpuId RtClass::select_task_rq_rt(Task& p, CpuId cpu, u32 sd_flag) const {
  if (sd_flag != SD_BALANCE_WAKE && sd_flag != SD_BALANCE_FORK) return cpu;
  const Task& curr = *s_.rq(cpu).curr;
  if (!rt_task(curr) || (curr.nr_cpus_allowed >= 2 && curr.prio > p.prio)) return cpu;
  const std::optional<CpuId> target = find_lowest_rq(p);
  return target && p.prio < s_.rq(*target).rt.highest_prio_curr ? *target : cpu;
}

std::optional<RtClass::Push> RtClass::push_target(Rq& rq) {
  if (!rq.rt.overloaded || rq.rt.pushable_tasks.empty()) return std::nullopt;
  Task& next = *rq.rt.pushable_tasks.front();
  if (next.prio < rq.curr->prio) {
    s_.resched_curr(rq);
    return std::nullopt;
  }
  const std::optional<CpuId> cpu = find_lowest_rq(next);
  if (!cpu || *cpu == rq.cpu || s_.rq(*cpu).rt.highest_prio_curr <= next.prio) return std::nullopt;
  return Push{&next, *cpu};
}

bool RtClass::push_to(Rq& rq, Task& next, Rq& lowest) {
  const bool still_there = next.cpu == rq.cpu && next.on_rq == TASK_ON_RQ_QUEUED && next.sched_class == SchedClass::rt && !next.on_cpu;
  if (!still_there || !next.cpus_allowed.test(lowest.cpu) || !lowest.online || lowest.rt.highest_prio_curr <= next.prio) return false;
  const Scheduler::ClockPlace place(s_, "push_rt_task");
  s_.deactivate_task(rq, next, 0);
  s_.set_task_cpu(next, lowest.cpu);
  s_.activate_task(lowest, next, 0);
  s_.resched_curr(lowest);
  return true;
}

void RtClass::push_rt_tasks(Rq& rq) {
  rq.rt_push_wanted = push_in_steps_;
  if (push_in_steps_) return;
  while (const std::optional<Push> p = push_target(rq))
    if (!push_to(rq, *p->task, s_.rq(p->cpu))) return;
}

void RtClass::task_woken_rt(Rq& rq, Task& p) {
  const Task& curr = *rq.curr;
  if (!p.on_cpu && !curr.need_resched() && p.nr_cpus_allowed > 1 && rt_task(curr) && (curr.nr_cpus_allowed < 2 || curr.prio <= p.prio))
    push_rt_tasks(rq);
}

std::optional<CpuId> RtClass::rto_next_cpu() {
  for (;;) {
    const u32 cpu = rto_mask_.next(static_cast<u32>(rto_cpu_ + 1));
    if (cpu < kMaxCpus) {
      rto_cpu_ = static_cast<int>(cpu);
      return CpuId(cpu);
    }
    rto_cpu_ = -1;
    if (rto_loop_ == rto_loop_next_) return std::nullopt;
    rto_loop_ = rto_loop_next_;
  }
}

bool RtClass::nobody_to_pull_from(const Rq& rq) const {
  return rto_mask_.empty() || (rto_mask_.count() == 1 && rto_mask_.test(rq.cpu));
}

void RtClass::pull_rt_task(Rq& rq) {
  if (nobody_to_pull_from(rq)) return;
  if (!push_ipi_) {
    rq.rt_pull_wanted = push_in_steps_;
    if (!push_in_steps_) pull_from_each(rq);
    return;
  }
  // The overloaded CPUs are told to push, one after the other; a walk under way goes round once more.
  rto_loop_next_++;
  if (rto_cpu_ >= 0) return;
  if (const std::optional<CpuId> cpu = rto_next_cpu()) s_.hooks().irq_work_queue_on(s_.this_cpu(), *cpu);
}

/// Without RT_PUSH_IPI: from every overloaded CPU its most urgent waiting task, if that is more urgent than what this one has by now.
void RtClass::pull_from_each(Rq& rq) {
  bool resched = false;
  for (std::optional<CpuId> src = pull_source(rq, 0); src; src = pull_source(rq, src->v + 1)) resched |= pull_from(rq, s_.rq(*src));
  if (resched) s_.resched_curr(rq);
}

bool RtClass::pull_before_pick(Rq& rq) const {
  rq.rt_pulled = true;
  const bool stop = rq.stop && rq.stop->on_rq == TASK_ON_RQ_QUEUED;
  return !stop && rq.rt.highest_prio_curr > rq.curr->prio && !nobody_to_pull_from(rq);
}

std::optional<CpuId> RtClass::pull_source(const Rq& rq, u32 cpu) const {
  for (u32 c = rto_mask_.next(cpu); c < s_.cpus(); c = rto_mask_.next(c + 1))
    if (CpuId(c) != rq.cpu && s_.rq(CpuId(c)).rt.highest_prio_next < rq.rt.highest_prio_curr) return CpuId(c);
  return std::nullopt;
}

bool RtClass::pull_from(Rq& rq, Rq& src) {
  const Scheduler::ClockPlace place(s_, "pull_rt_task");
  Task* p = src.rt.pushable_tasks.front();
  while (p && (p == src.curr || !p->cpus_allowed.test(rq.cpu))) p = src.rt.pushable_tasks.next(p);
  // One that preempts what runs there is about to run there.
  if (!p || p->prio >= rq.rt.highest_prio_curr || p->prio < src.curr->prio) return false;
  s_.deactivate_task(src, *p, 0);
  s_.set_task_cpu(*p, rq.cpu);
  s_.activate_task(rq, *p, 0);
  return true;
}

void RtClass::rto_push_from(CpuId cpu) {
  Rq& rq = s_.rq(cpu);
  if (!rq.rt.pushable_tasks.empty()) push_rt_tasks(rq);
}

void RtClass::rto_push_next(CpuId cpu) {
  if (const std::optional<CpuId> next = rto_next_cpu()) s_.hooks().irq_work_queue_on(cpu, *next);
}

// --- throttling ---

void RtClass::set_bandwidth(u64 period, u64 runtime) {
  rt_period_ = period;
  rt_runtime_ = runtime;
  for (u32 c = 0; c < s_.cpus(); ++c) s_.rq(CpuId(c)).rt.rt_runtime = runtime;
}

/// __disable_runtime, less the reclaiming of what was lent: every CPU of the domain leaves it at this instant and starts afresh.
void RtClass::rq_offline_rt(Rq& rq) {
  RtRq& rt = rq.rt;
  rto_mask_.clear(rq.cpu);
  rt.rt_runtime = RUNTIME_INF;
  if (!rt.rt_throttled) return;
  // For the books only: the kernel does not look at the clock here.
  const bool updated = rq.clock_updated;
  s_.lock_update_rq_clock(rq);
  rq.clock_updated = updated;
  unthrottle(rq);
  sched_rt_rq_enqueue(rq);
}

/// __enable_runtime.
void RtClass::rq_online_rt(Rq& rq) {
  if (rq.rt.overloaded) rto_mask_.set(rq.cpu);
  rq.rt.rt_runtime = rt_runtime_;
  rq.rt.rt_time = 0;
}

void RtClass::unthrottle(Rq& rq) {
  RtRq& rt = rq.rt;
  rt.rt_throttled = false;
  rt.throttled_time += rq.clock - rt.throttled_clock;
  s_.emit(Tp::rt_unthrottle, s_.this_cpu(), rq.cpu, rq.clock - rt.throttled_clock);
}

void RtClass::sched_rt_rq_enqueue(Rq& rq) {
  if (!rq.rt.rt_nr_running) return;
  enqueue_top_rt_rq(rq);
  s_.resched_curr(rq);
}

void RtClass::start_rt_bandwidth() {
  if (!rt_bandwidth_enabled() || rt_period_active_) return;
  rt_period_active_ = true;
  // Forwarded by a zero interval: due at once when it lies in the past, unchanged when it is still to come.
  const u64 now = s_.now().v;
  if (rt_period_expires_ <= now) rt_period_expires_ = now + 1;
  timer_ = PeriodTimer{Ns(rt_period_expires_), s_.this_cpu()};
  s_.hooks().hrtimer_start(SchedTimer::rt_period, nullptr, timer_->cpu, timer_->expires);
}

void RtClass::balance_runtime(Rq& rq) {
  RtRq& rt = rq.rt;
  if (!runtime_share_ || rt.rt_time <= rt.rt_runtime) return;
  const u64 weight = s_.cpu_active_mask().count();  // of the root domain
  for (u32 c = 0; c < s_.cpus(); ++c) {
    RtRq& iter = s_.rq(CpuId(c)).rt;
    if (&iter == &rt || iter.rt_runtime == RUNTIME_INF || !s_.rq(CpuId(c)).online) continue;
    s64 diff = static_cast<s64>(iter.rt_runtime - iter.rt_time);
    if (diff <= 0) continue;
    diff = static_cast<s64>(static_cast<u64>(diff) / weight);
    if (rt.rt_runtime + static_cast<u64>(diff) > rt_period_) diff = static_cast<s64>(rt_period_ - rt.rt_runtime);
    iter.rt_runtime -= static_cast<u64>(diff);
    rt.rt_runtime += static_cast<u64>(diff);
    if (rt.rt_runtime == rt_period_) break;
  }
}

bool RtClass::sched_rt_runtime_exceeded(Rq& rq) {
  RtRq& rt = rq.rt;
  if (rt.rt_throttled) return true;
  if (rt.rt_runtime >= rt_period_) return false;
  balance_runtime(rq);
  if (rt.rt_runtime == RUNTIME_INF || rt.rt_time <= rt.rt_runtime) return false;
  if (!rt_runtime_) {
    rt.rt_time = 0;
    return false;
  }
  rt.rt_throttled = true;
  ++rt.nr_throttled;
  rt.throttled_clock = rq.clock;
  s_.emit(Tp::rt_throttle, s_.this_cpu(), rq.cpu, rt.rt_time, rt.rt_runtime);
  dequeue_top_rt_rq(rq);
  s_.cpufreq_update_util(rq, 0);
  return true;
}

bool RtClass::sched_rt_period_timer() {
  RtPeriodWalk w;
  const CpuId cpu = timer_->cpu;
  begin_period_timer(w);
  while (w.rq) period_timer_next(w, cpu);
  return timer_.has_value();
}

void RtClass::begin_period_timer(RtPeriodWalk& w) {
  s_.set_this_cpu(timer_->cpu);
  w = {};
  forward_period_timer(w);
}

/// The loop of sched_rt_period_timer: until the timer lies ahead again, or a queue has something to account.
void RtClass::forward_period_timer(RtPeriodWalk& w) {
  while (rt_period_expires_ <= s_.now().v) {
    w.overrun = (s_.now().v - rt_period_expires_) / rt_period_ + 1;
    rt_period_expires_ += w.overrun * rt_period_;
    w.idle = true;
    w.throttled = false;
    w.cpu = 0;
    do_sched_rt_period_timer(w);
    if (w.rq) return;
  }
  if (w.idle) {
    rt_period_active_ = false;
    timer_.reset();
  } else {
    timer_->expires = Ns(rt_period_expires_);
  }
}

/// On to the next CPU whose lock it takes; after the last one `w.idle` says that nothing is left to account, so that the timer may stop.
void RtClass::do_sched_rt_period_timer(RtPeriodWalk& w) const {
  w.rq = nullptr;
  for (; w.cpu < s_.cpus(); ++w.cpu) {
    Rq& rq = s_.rq(CpuId(w.cpu));
    if (!rq.online || (!rq.rt.rt_time && !rq.rt.rt_nr_running)) continue;
    w.rq = &rq;
    return;
  }
  if (!w.throttled && !rt_bandwidth_enabled()) w.idle = true;
}

/// One CPU of do_sched_rt_period_timer.
void RtClass::period_timer_next(RtPeriodWalk& w, CpuId cpu) {
  s_.set_this_cpu(cpu);
  const Scheduler::ClockPlace place(s_, "do_sched_rt_period_timer");
  Rq& rq = *w.rq;
  RtRq& rt = rq.rt;
  s_.update_rq_clock(rq);  // raw_spin_lock
  bool enqueue = false;
  if (rt.rt_time) {
    if (rt.rt_throttled) balance_runtime(rq);
    rt.rt_time -= std::min(rt.rt_time, w.overrun * rt.rt_runtime);
    if (rt.rt_throttled && rt.rt_time < rt.rt_runtime) {
      unthrottle(rq);
      enqueue = true;
      // The wait for this moment must not count as run time.
      if (rt.rt_nr_running && rq.curr == rq.idle) rq.clock_skip_update = false;
    }
    if (rt.rt_time || rt.rt_nr_running) w.idle = false;
  } else if (rt.rt_nr_running) {
    w.idle = false;
    enqueue = !rt.rt_throttled;
  }
  w.throttled |= rt.rt_throttled;
  if (enqueue) sched_rt_rq_enqueue(rq);
  ++w.cpu;
  do_sched_rt_period_timer(w);
  if (!w.rq) forward_period_timer(w);
}

}  // namespace forksim::km
