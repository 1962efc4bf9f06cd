#include "kernel_model/sched/load_balance.hpp"

#include "kernel_model/base/contract.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {
constexpr u32 kLoopBreak = 32;           // sched_nr_migrate_break
constexpr u64 kMaxPinnedInterval = 512;  // ms

/// Why detach_tasks took nothing; what was seen last in the kernel's order of tests decides.
BalanceReason failure_reason(const LbEnv& env) {
  if (env.src_rq->nr_running <= 1) return BalanceReason::one_task;
  if (env.flags & LbEnv::kSawHeavy) return BalanceReason::heavy;
  if (env.flags & LbEnv::kSawHot) return BalanceReason::hot;
  if (env.flags & LbEnv::kSawThrottled) return BalanceReason::throttled;
  return env.flags & LbEnv::kAllPinned ? BalanceReason::all_pinned : BalanceReason::running;
}
}  // namespace

LoadBalancer::LoadBalancer(Scheduler& s, const KernelProfile& k)
    : s_(s),
      migration_cost_(k.tun(Tunable::sched_migration_cost_ns)),
      nr_migrate_(static_cast<u32>(k.tun(Tunable::sched_nr_migrate))),
      hz_(k.hz),
      preempt_(k.config_preempt()),
      lb_min_(k.feat(Feature::LB_MIN)),
      cache_hot_buddy_(k.feat(Feature::CACHE_HOT_BUDDY)),
      walks_(s.machine().cpus) {}

void LoadBalancer::init_env(LbEnv& env, CpuId this_cpu, SchedDomain& sd, CpuIdleType idle) {
  env.sd = &sd;
  env.src_rq = nullptr;
  env.src_cpu = env.new_dst_cpu = CpuId();
  env.imbalance = env.found_imbalance = 0;
  env.reason = BalanceReason::other_cpu;
  env.flags = env.loop = env.loop_max = 0;
  env.dst_cpu = this_cpu;
  env.dst_rq = &s_.rq(this_cpu);
  env.dst_grpmask = sd.groups.front()->span;
  env.idle = idle;
  env.cpus = sd.span & s_.cpu_active_mask();
  env.loop_break = kLoopBreak;
}

bool LoadBalancer::should_we_balance(const LbEnv& env) const {
  if (!env.cpus.test(env.dst_cpu)) return false;
  if (env.idle == CpuIdleType::newly_idle) return true;
  // The first idle CPU of the group, or else its first CPU, acts for all.
  const CpuMask group = env.dst_grpmask & env.cpus;
  for (u32 c = group.first(); c < kMaxCpus; c = group.next(c + 1))
    if (s_.idle_cpu(CpuId(c))) return CpuId(c) == env.dst_cpu;
  return env.dst_grpmask.first() == env.dst_cpu.v;
}

bool LoadBalancer::task_hot(const Task& p, const LbEnv& env) const {
  if (p.sched_class != SchedClass::fair || p.policy == SchedPolicy::idle) return false;
  const CfsRq& q = *p.se.cfs_rq;
  if (cache_hot_buddy_ && env.dst_rq->nr_running && (&p.se == q.next || &p.se == q.last)) return true;
  return static_cast<s64>(env.src_rq->clock_task - p.se.exec_start) < static_cast<s64>(migration_cost_);
}

bool LoadBalancer::can_migrate_task(const Task& p, LbEnv& env) const {
  if (const TaskGroup* tg = p.se.cfs_rq->tg; tg && (tg->cfs_rq[env.src_cpu.v]->throttle_count || tg->cfs_rq[env.dst_cpu.v]->throttle_count)) {
    env.flags |= LbEnv::kSawThrottled;
    return false;
  }
  if (!p.cpus_allowed.test(env.dst_cpu)) {
    env.flags |= LbEnv::kSomePinned;
    if (env.idle == CpuIdleType::newly_idle || (env.flags & LbEnv::kDstPinned)) return false;
    // Another CPU of this group may take it instead.
    const u32 c = (env.dst_grpmask & env.cpus & p.cpus_allowed).first();
    if (c < kMaxCpus) {
      env.flags |= LbEnv::kDstPinned;
      env.new_dst_cpu = CpuId(c);
    }
    return false;
  }
  env.flags &= ~u32{LbEnv::kAllPinned};
  if (p.on_cpu) return false;
  if (!task_hot(p, env) || env.sd->nr_balance_failed > env.sd->cache_nice_tries) return true;
  env.flags |= LbEnv::kSawHot;
  return false;
}

void LoadBalancer::detach_task(Task& p, const LbEnv& env) {
  p.on_rq = TASK_ON_RQ_MIGRATING;
  s_.deactivate_task(*env.src_rq, p, DEQUEUE_NOCLOCK);
  s_.set_task_cpu(p, env.dst_cpu);
}

/// A platform may have taken the CPU off between detach and attach, which the kernel's stop_machine never does.
void LoadBalancer::attach_task(Rq& locked, Task& p) {
  if (!locked.online) s_.set_task_cpu(p, s_.select_fallback_rq(p));
  Rq& rq = s_.rq(p.cpu);
  if (&rq != &locked) s_.lock_update_rq_clock(rq);
  s_.activate_task(rq, p, ENQUEUE_NOCLOCK);
  p.on_rq = TASK_ON_RQ_QUEUED;
  s_.check_preempt_curr(rq, p, 0);
}

u32 LoadBalancer::detach_tasks(LbEnv& env) {
  if (env.imbalance <= 0) return 0;
  auto& tasks = env.src_rq->cfs_tasks;
  u32 detached = 0;
  while (!tasks.empty()) {
    if (env.idle != CpuIdleType::not_idle && env.src_rq->nr_running <= 1) break;
    Task& p = *tasks.back();
    if (++env.loop > env.loop_max) break;
    if (env.loop > env.loop_break) {
      env.loop_break += kLoopBreak;
      env.flags |= LbEnv::kNeedBreak;
      break;
    }
    u64 load = 0;
    bool take = can_migrate_task(p, env);
    if (take) {
      load = s_.fair().task_h_load(p);
      const bool too_small = lb_min_ && load < 16 && !env.sd->nr_balance_failed;
      take = !too_small && load / 2 <= static_cast<u64>(env.imbalance);
      if (!take) env.flags |= LbEnv::kSawHeavy;
    }
    if (!take) {
      tasks.move_front(&p);
      continue;
    }
    detach_task(p, env);
    env.tasks.push_front(&p);
    detached++;
    env.imbalance -= static_cast<s64>(load);
    // With kernel preemption a newly idle CPU keeps the lock for one task only.
    if (preempt_ && env.idle == CpuIdleType::newly_idle) break;
    if (env.imbalance <= 0) break;
  }
  return detached;
}

void LoadBalancer::attach_tasks(LbEnv& env) {
  s_.lock_update_rq_clock(*env.dst_rq);
  while (Task* p = env.tasks.front()) {
    env.tasks.remove(p);
    attach_task(*env.dst_rq, *p);
  }
}

bool LoadBalancer::need_active_balance(const LbEnv& env) const {
  const SchedDomain& sd = *env.sd;
  const u64 src = env.src_rq->cpu_capacity, dst = s_.rq(env.dst_cpu).cpu_capacity;
  if (env.idle != CpuIdleType::not_idle && env.src_rq->cfs.h_nr_running == 1 && check_cpu_capacity(*env.src_rq, sd) &&
      src * sd.imbalance_pct < dst * 100)
    return true;
  return sd.nr_balance_failed > sd.cache_nice_tries + 2;
}

// --- load_balance in stages ---

namespace {
using Stage = BalanceWalk::Stage;
}  // namespace

void LoadBalancer::begin_attempt(BalanceWalk& w, CpuId dst, SchedDomain& sd, CpuIdleType idle, Stage then) {
  init_env(w.env, dst, sd, idle);
  w.dst = dst;
  w.began = s_.sched_clock();
  w.after_attempt = then;
  find_busiest(w);
}

void LoadBalancer::find_busiest(BalanceWalk& w) {
  LbEnv& env = w.env;
  w.moved = 0;
  if (!should_we_balance(env)) {
    w.cont = false;
    env.reason = BalanceReason::other_cpu;
    return end_attempt(w, Outcome::balanced);
  }
  if (env.idle == CpuIdleType::newly_idle && nohz_.has_blocked) return refresh_from(w, 0);
  choose_busiest(w);
}

/// What update_nohz_stats does in update_sg_lb_stats to the tickless CPUs of the domain, one after the other under their locks. All of
/// them before the first is looked at: the averages of one are not in the loads of another. What it does itself after that is for a jiffy
/// that began while a lock was waited for.
void LoadBalancer::refresh_from(BalanceWalk& w, u32 cpu) {
  const CpuMask looked_at = w.env.sd->span & w.env.cpus;
  for (w.refreshed = looked_at.next(cpu); w.refreshed < kMaxCpus; w.refreshed = looked_at.next(w.refreshed + 1)) {
    Rq& rq = s_.rq(CpuId(w.refreshed));
    if (nohz_stats_due(rq)) return w.need(rq, Stage::refresh_idle);
  }
  choose_busiest(w);
}
void LoadBalancer::refresh_idle(BalanceWalk& w) {
  s_.fair().update_blocked_averages(CpuId(w.refreshed));
  refresh_from(w, w.refreshed + 1);
}

void LoadBalancer::choose_busiest(BalanceWalk& w) {
  LbEnv& env = w.env;
  // In a further round: nothing else is left to look at.
  env.reason = env.flags & LbEnv::kAllPinned ? BalanceReason::all_pinned : BalanceReason::no_busiest_group;
  SchedGroup* group = find_busiest_group(env);
  if (!group) return end_attempt(w, Outcome::balanced);
  env.reason = BalanceReason::no_busiest_queue;
  env.src_rq = find_busiest_queue(env, *group);
  if (!env.src_rq) return end_attempt(w, Outcome::balanced);
  env.src_cpu = env.src_rq->cpu;
  env.found_imbalance = env.imbalance;
  if (env.src_rq->nr_running <= 1) return after_failure(w);
  env.flags |= LbEnv::kAllPinned;
  env.loop_max = std::min(nr_migrate_, env.src_rq->nr_running);
  w.need(*env.src_rq, Stage::detach);
}

/// With the lock of the busiest queue; the destination's is taken when that one is free again.
void LoadBalancer::detach_stage(BalanceWalk& w) {
  LbEnv& env = w.env;
  s_.lock_update_rq_clock(*env.src_rq);
  w.detached = detach_tasks(env);
  w.moved += w.detached;
  if (w.detached) return w.need(*env.dst_rq, Stage::attach);
  w.stage = Stage::detached;
}

void LoadBalancer::attach_stage(BalanceWalk& w) {
  attach_tasks(w.env);
  w.detached = 0;
  w.stage = Stage::detached;
}

void LoadBalancer::detached(BalanceWalk& w) {
  LbEnv& env = w.env;
  if (env.flags & LbEnv::kNeedBreak) {
    env.flags &= ~u32{LbEnv::kNeedBreak};
    return w.need(*env.src_rq, Stage::detach);
  }
  if ((env.flags & LbEnv::kDstPinned) && env.imbalance > 0) {
    // Pinned to another CPU of our group: go on for that one.
    env.cpus.clear(env.dst_cpu);
    env.dst_cpu = env.new_dst_cpu;
    env.dst_rq = &s_.rq(env.dst_cpu);
    env.flags &= ~u32{LbEnv::kDstPinned};
    env.loop = 0;
    env.loop_break = kLoopBreak;
    return w.need(*env.src_rq, Stage::detach);
  }
  SchedDomain& sd = *env.sd;
  if (sd.parent && (env.flags & LbEnv::kSomePinned) && env.imbalance > 0) sd.parent->groups.front()->imbalance = true;
  if (env.flags & LbEnv::kAllPinned) {
    // Nothing there may come here: look for the next busiest without it.
    env.cpus.clear(env.src_cpu);
    env.reason = BalanceReason::all_pinned;
    if (env.cpus.subset_of(env.dst_grpmask)) return end_attempt(w, Outcome::all_pinned);
    env.loop = 0;
    env.loop_break = kLoopBreak;
    w.stage = Stage::find_busiest;
    return;
  }
  if (!w.moved) return after_failure(w);
  env.reason = BalanceReason::pulled;
  sd.nr_balance_failed = 0;
  end_attempt(w, Outcome::done);
}

void LoadBalancer::after_failure(BalanceWalk& w) {
  LbEnv& env = w.env;
  env.reason = failure_reason(env);
  if (env.idle != CpuIdleType::newly_idle) env.sd->nr_balance_failed++;
  if (!need_active_balance(env)) return end_attempt(w, Outcome::done);
  w.need(*env.src_rq, Stage::kick);
}

/// With the lock of the busiest queue: its running task can only be pushed, by its stopper.
void LoadBalancer::kick(BalanceWalk& w) {
  LbEnv& env = w.env;
  Rq& busiest = *env.src_rq;
  if (!busiest.curr->cpus_allowed.test(w.dst)) {
    env.flags |= LbEnv::kAllPinned;
    env.reason = BalanceReason::curr_pinned;
    return end_attempt(w, Outcome::one_pinned);
  }
  const bool asked = !busiest.active_balance;
  if (asked) {
    busiest.active_balance = true;
    busiest.push_cpu = w.dst;
    env.reason = BalanceReason::active_balance;
    s_.hooks().stop_one_cpu_nowait(s_.this_cpu(), busiest.cpu);
  }
  env.sd->nr_balance_failed = env.sd->cache_nice_tries + 1;
  end_attempt(w, asked ? Outcome::active : Outcome::done);
}

void LoadBalancer::end_attempt(BalanceWalk& w, Outcome outcome) {
  LbEnv& env = w.env;
  SchedDomain& sd = *env.sd;
  const bool below_max = sd.balance_interval < sd.max_interval;
  switch (outcome) {
    case Outcome::balanced:
      if (sd.parent) sd.parent->groups.front()->imbalance = false;
      [[fallthrough]];
    case Outcome::all_pinned:
      sd.nr_balance_failed = 0;
      [[fallthrough]];
    case Outcome::one_pinned:
      w.moved = 0;
      if (((env.flags & LbEnv::kAllPinned) && sd.balance_interval < kMaxPinnedInterval) || below_max) sd.balance_interval *= 2;
      break;
    case Outcome::done:
      sd.balance_interval = sd.min_interval;
      break;
    case Outcome::active:
      if (below_max) sd.balance_interval *= 2;
      break;
  }
  s_.count_balance(w.moved);
  const BalanceKind asked = w.for_others ? BalanceKind::nohz : BalanceKind::periodic;
  trace_attempt(env, w.dst, env.idle == CpuIdleType::newly_idle ? BalanceKind::newidle : asked, w.moved);
  w.stage = w.after_attempt;
}

u32 LoadBalancer::load_balance(CpuId this_cpu, SchedDomain& sd, CpuIdleType idle, bool& cont) {
  BalanceWalk w;
  w.cont = cont;
  begin_attempt(w, this_cpu, sd, idle, Stage::done);
  while (advance(w)) {
  }
  cont = w.cont;
  return w.moved;
}

void LoadBalancer::trace_attempt(const LbEnv& env, CpuId dst, BalanceKind kind, u32 moved) {
  const bool chosen = env.found_imbalance > 0 || kind == BalanceKind::active;
  const s64 src = chosen ? s64{env.src_cpu.v} : -1;
  s_.emit(Tp::load_balance, s_.this_cpu(), static_cast<u32>(kind), static_cast<u32>(env.sd->kind), dst, static_cast<u32>(env.idle), src,
          static_cast<u32>(env.reason), moved, env.found_imbalance);
}

void LoadBalancer::begin_active_balance(CpuId busiest_cpu) {
  BalanceWalk& w = walks_[busiest_cpu.v];
  w.rq = &s_.rq(busiest_cpu);
  w.stopped = nullptr;
  w.need(*w.rq, Stage::stop_detach);
}

/// active_load_balance_cpu_stop up to where it unlocks the busiest queue, which is its own.
void LoadBalancer::stop_detach(BalanceWalk& w) {
  Rq& busiest = *w.rq;
  const CpuId target = busiest.push_cpu;
  const bool wanted = busiest.active_balance && s_.cpu_active(busiest.cpu) && s_.cpu_active(target) && busiest.nr_running > 1;
  SchedDomain* sd = s_.domains().lowest(target);
  while (sd && !((sd->flags & SD_LOAD_BALANCE) && sd->span.test(busiest.cpu))) sd = sd->parent;
  w.stage = Stage::done;
  if (wanted && sd) {
    LbEnv& env = w.env = LbEnv{};
    env.sd = sd;
    env.dst_cpu = target;
    env.dst_rq = &s_.rq(target);
    env.src_cpu = busiest.cpu;
    env.src_rq = &busiest;
    env.idle = CpuIdleType::idle;
    env.flags = LbEnv::kDstPinned;  // no other destination will do
    s_.lock_update_rq_clock(busiest);
    auto& tasks = busiest.cfs_tasks;
    for (Task* p = tasks.back(); p && !w.stopped; p = w.stopped ? p : tasks.prev(p))
      if (can_migrate_task(*p, env)) w.stopped = p;
    if (w.stopped) {
      detach_task(*w.stopped, env);
      sd->nr_balance_failed = 0;
      w.need(*env.dst_rq, Stage::stop_attach);
    }
    env.reason = w.stopped ? BalanceReason::pulled : failure_reason(env);
    trace_attempt(env, target, BalanceKind::active, w.stopped != nullptr);
  }
  busiest.active_balance = false;
}

void LoadBalancer::stop_attach(BalanceWalk& w) {
  s_.lock_update_rq_clock(*w.env.dst_rq);
  attach_task(*w.env.dst_rq, *w.stopped);
  w.stage = Stage::done;
}

}  // namespace forksim::km
