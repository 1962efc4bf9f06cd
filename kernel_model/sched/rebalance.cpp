// When to balance: newly idle, the tick's softirq, and on behalf of tickless idle CPUs. See load_balance.hpp.
#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/cpu_load.hpp"
#include "kernel_model/sched/load_balance.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

namespace {
using Stage = BalanceWalk::Stage;
}  // namespace

void LoadBalancer::update_max_interval() { max_interval_ = std::max(u64{hz_} * s_.cpu_active_mask().count() / 10, u64{1}); }

void LoadBalancer::cpus_changed() {
  update_max_interval();
  nohz_.nr_busy_cpus.assign(s_.cpus(), 0);
  for (u32 c = 0; c < s_.cpus(); ++c) {
    Rq& rq = s_.rq(CpuId(c));
    if (!rq.online && rq.nohz_tick_stopped) nohz_balance_exit_idle(rq);
    if (rq.online && !rq.nohz_tick_stopped) nohz_.nr_busy_cpus[s_.domains().llc_id(rq.cpu).v]++;
  }
}

void LoadBalancer::init_jiffies(u64 j) {
  nohz_.next_balance = nohz_.next_blocked = j;
  cpus_changed();
}

u64 LoadBalancer::get_sd_balance_interval(const SchedDomain& sd, bool busy) const {
  const u64 ms = busy ? sd.balance_interval * sd.busy_factor : sd.balance_interval;
  return std::clamp(msecs_to_jiffies(ms), u64{1}, max_interval_);
}

void LoadBalancer::update_next_balance(const SchedDomain& sd, u64& next_balance) const {
  const u64 next = sd.last_balance + get_sd_balance_interval(sd, false);
  if (time_after(next_balance, next)) next_balance = next;
}

// --- newly idle ---

bool LoadBalancer::newidle_wanted(const Rq& rq) const {
  const SchedDomain* sd = s_.domains().lowest(rq.cpu);
  return !rq.nr_running && rq.online && rq.avg_idle >= migration_cost_ && s_.rd_overload() && sd && rq.avg_idle >= sd->max_newidle_lb_cost;
}

bool LoadBalancer::nohz_newidle_due(const Rq& rq) const {
  return rq.avg_idle >= migration_cost_ && nohz_.has_blocked && time_after_eq(s_.jiffies(), nohz_.next_blocked);
}

bool LoadBalancer::newidle_unlocks(const Rq& rq) const {
  return !rq.nr_running && rq.online && rq.avg_idle >= migration_cost_ && (s_.rd_overload() || nohz_newidle_due(rq));
}

void LoadBalancer::begin_newidle(Rq& rq) {
  BalanceWalk& w = walks_[rq.cpu.v];
  w.rq = &rq;
  rq.newidle_over = w.newidle = true;
  w.for_others = false;
  w.curr_cost = 0;
  w.moved = w.detached = 0;
  w.stage = Stage::done;
  w.next_balance = s_.jiffies() + hz_;
  rq.idle_stamp = rq.clock;
  SchedDomain* sd = s_.domains().lowest(rq.cpu);
  if (rq.avg_idle >= migration_cost_ && s_.rd_overload()) return w.need(rq, Stage::newidle_blocked);
  if (sd) update_next_balance(*sd, w.next_balance);
  if (nohz_newidle_due(rq)) begin_nohz_walk(w, false, CpuIdleType::newly_idle);
}

void LoadBalancer::newidle_domain(BalanceWalk& w) {
  w.stage = Stage::done;
  for (; w.sd; w.sd = w.sd->parent) {
    if (!(w.sd->flags & SD_LOAD_BALANCE)) continue;
    if (w.rq->avg_idle < w.curr_cost + w.sd->max_newidle_lb_cost) {
      update_next_balance(*w.sd, w.next_balance);
      break;
    }
    if (w.sd->flags & SD_BALANCE_NEWIDLE) return begin_attempt(w, w.rq->cpu, *w.sd, CpuIdleType::newly_idle, Stage::newidle_balanced);
    update_next_balance(*w.sd, w.next_balance);
    if (w.rq->nr_running > 0) break;
  }
  w.rq->max_idle_balance_cost = std::max(w.rq->max_idle_balance_cost, w.curr_cost);
}

void LoadBalancer::newidle_balanced(BalanceWalk& w) {
  const u64 cost = w.rq->newidle_cost.v + (s_.sched_clock() - w.began);
  w.sd->max_newidle_lb_cost = std::max(w.sd->max_newidle_lb_cost, cost);
  w.curr_cost += cost;
  update_next_balance(*w.sd, w.next_balance);
  w.sd = w.moved || w.rq->nr_running > 0 ? nullptr : w.sd->parent;
  newidle_domain(w);
}

int LoadBalancer::idle_balance(Rq& rq) {
  BalanceWalk& w = walks_[rq.cpu.v];
  if (!rq.newidle_over) {
    if (!rq.online) {
      rq.idle_stamp = rq.clock;
      return 0;
    }
    begin_newidle(rq);
    while (advance(w)) {
    }
  }
  rq.newidle_over = false;
  int result = static_cast<int>(w.moved);
  // Tasks may have arrived while the lock was dropped.
  if (rq.cfs.h_nr_running && !w.moved) result = 1;
  if (time_after(rq.next_balance, w.next_balance)) rq.next_balance = w.next_balance;
  if (rq.nr_running != rq.cfs.h_nr_running) result = -1;
  if (result) rq.idle_stamp = 0;
  return result;
}

// --- periodic ---

void LoadBalancer::trigger_load_balance(Rq& rq) {
  if (!s_.domains().lowest(rq.cpu)) return;
  if (time_after_eq(s_.jiffies(), rq.next_balance)) rq.softirq_pending = true;
  nohz_balancer_kick(rq);
}

void LoadBalancer::begin_rebalance_domains(CpuId cpu) {
  Rq& rq = s_.rq(cpu);
  BalanceWalk& w = walks_[cpu.v];
  rq.softirq_pending = false;
  w.rq = &rq;
  w.newidle = w.for_others = false;
  w.idle = rq.idle_balance ? CpuIdleType::idle : CpuIdleType::not_idle;
  // nohz_idle_balance
  const bool kicked = rq.nohz_balance_kick || rq.nohz_stats_kick, balance = rq.nohz_balance_kick;
  rq.nohz_balance_kick = rq.nohz_stats_kick = false;
  if (kicked && w.idle == CpuIdleType::idle) return begin_nohz_walk(w, balance, w.idle);
  w.need(rq, Stage::own_blocked);
}

void LoadBalancer::begin_domains(BalanceWalk& w, Rq& rq, CpuIdleType idle, Stage then) {
  w.for_rq = &rq;
  w.idle = idle;
  w.sd = s_.domains().lowest(rq.cpu);
  w.next_balance = s_.jiffies() + 60 * u64{hz_};
  w.max_cost = 0;
  w.cont = true;
  w.update_next = w.need_decay = false;
  w.after_domains = then;
  next_domain(w);
}

void LoadBalancer::next_domain(BalanceWalk& w) {
  const u64 now = s_.jiffies();
  w.stage = Stage::domains_done;
  for (; w.sd; w.sd = w.sd->parent) {
    SchedDomain& sd = *w.sd;
    if (time_after(now, sd.next_decay_max_lb_cost)) {
      sd.max_newidle_lb_cost = sd.max_newidle_lb_cost * 253 / 256;
      sd.next_decay_max_lb_cost = now + hz_;
      w.need_decay = true;
    }
    w.max_cost += sd.max_newidle_lb_cost;
    if (!(sd.flags & SD_LOAD_BALANCE)) continue;
    if (!w.cont) {
      if (w.need_decay) continue;
      break;
    }
    const u64 interval = get_sd_balance_interval(sd, w.idle != CpuIdleType::idle);
    if (time_after_eq(now, sd.last_balance + interval)) return begin_attempt(w, w.for_rq->cpu, sd, w.idle, Stage::domain_balanced);
    domain_passed(w, interval);
  }
}

void LoadBalancer::domain_balanced(BalanceWalk& w) {
  if (w.moved) w.idle = s_.idle_cpu(w.for_rq->cpu) ? CpuIdleType::idle : CpuIdleType::not_idle;
  w.sd->last_balance = s_.jiffies();
  domain_passed(w, get_sd_balance_interval(*w.sd, w.idle != CpuIdleType::idle));
  w.sd = w.sd->parent;
  next_domain(w);
}

void LoadBalancer::domain_passed(BalanceWalk& w, u64 interval) const {
  if (!time_after(w.next_balance, w.sd->last_balance + interval)) return;
  w.next_balance = w.sd->last_balance + interval;
  w.update_next = true;
}

void LoadBalancer::domains_done(BalanceWalk& w) {
  Rq& rq = *w.for_rq;
  w.stage = w.after_domains;
  if (w.need_decay) rq.max_idle_balance_cost = std::max(migration_cost_, w.max_cost);
  if (!w.update_next) return;
  rq.next_balance = w.next_balance;
  if (w.idle == CpuIdleType::idle && time_after(nohz_.next_balance, rq.next_balance)) nohz_.next_balance = rq.next_balance;
}

// --- nohz ---

void LoadBalancer::nohz_balance_enter_idle(Rq& rq) {
  if (!rq.online) return;
  rq.has_blocked_load = true;
  if (!rq.nohz_tick_stopped) {
    if (!s_.domains().lowest(rq.cpu)) return;
    rq.nohz_tick_stopped = true;
    nohz_.idle_cpus_mask.set(rq.cpu);
    nohz_.nr_cpus++;
    nohz_.nr_busy_cpus[s_.domains().llc_id(rq.cpu).v]--;
  }
  nohz_.has_blocked = true;
}

void LoadBalancer::nohz_balance_exit_idle(Rq& rq) {
  if (!rq.nohz_tick_stopped) return;
  rq.nohz_tick_stopped = false;
  nohz_.idle_cpus_mask.clear(rq.cpu);
  nohz_.nr_cpus--;
  nohz_.nr_busy_cpus[s_.domains().llc_id(rq.cpu).v]++;
}

bool LoadBalancer::nohz_stats_due(const Rq& rq) const {
  return rq.has_blocked_load && nohz_.idle_cpus_mask.test(rq.cpu) && time_after(s_.jiffies(), rq.last_blocked_load_update_tick);
}

bool LoadBalancer::update_nohz_stats(Rq& rq, bool force) {
  if (!rq.has_blocked_load || !nohz_.idle_cpus_mask.test(rq.cpu)) return false;
  if (!force && !nohz_stats_due(rq)) return true;
  s_.fair().update_blocked_averages(rq.cpu);
  return rq.has_blocked_load;
}

void LoadBalancer::kick_ilb(bool balance) {
  nohz_.next_balance++;
  const u32 ilb = nohz_.idle_cpus_mask.first();
  if (ilb >= s_.cpus() || !s_.idle_cpu(CpuId(ilb))) return;
  Rq& rq = s_.rq(CpuId(ilb));
  const bool already = rq.nohz_balance_kick || rq.nohz_stats_kick;
  rq.nohz_stats_kick = true;
  rq.nohz_balance_kick |= balance;
  if (!already) s_.hooks().send_reschedule(s_.this_cpu(), rq.cpu);
}

void LoadBalancer::nohz_balancer_kick(Rq& rq) {
  if (rq.idle_balance) return;
  // The first busy tick after idling: we are no longer tickless.
  nohz_balance_exit_idle(rq);
  if (!nohz_.nr_cpus) return;
  const u64 now = s_.jiffies();
  bool stats = nohz_.has_blocked && time_after(now, nohz_.next_blocked), balance = false;
  if (time_after_eq(now, nohz_.next_balance)) {
    const SchedDomain* sd = s_.domains().lowest(rq.cpu);
    const bool llc_busy = s_.domains().llc(rq.cpu) && nohz_.nr_busy_cpus[s_.domains().llc_id(rq.cpu).v] > 1;
    balance = rq.nr_running >= 2 || llc_busy || (rq.cfs.h_nr_running >= 1 && check_cpu_capacity(rq, *sd));
  }
  if (stats || balance) kick_ilb(balance);
}

bool LoadBalancer::got_nohz_idle_kick(Rq& rq) {
  if (!rq.nohz_balance_kick && !rq.nohz_stats_kick) return false;
  if (s_.idle_cpu(rq.cpu) && !rq.curr->need_resched()) return true;
  rq.nohz_balance_kick = rq.nohz_stats_kick = false;
  return false;
}

// _nohz_idle_balance in stages.

void LoadBalancer::begin_nohz_walk(BalanceWalk& w, bool balance, CpuIdleType idle) {
  w.nohz_now = s_.jiffies();
  w.nohz_next_balance = w.nohz_now + 60 * u64{hz_};
  w.nohz_balance = balance;
  w.has_blocked = w.nohz_update_next = false;
  w.for_others = true;
  w.idle = idle;
  w.idle_cpus = nohz_.idle_cpus_mask;
  w.idle_cpu = w.idle_cpus.first();
  w.stage = Stage::next_idle_cpu;
  nohz_.has_blocked = false;
}

void LoadBalancer::next_idle_cpu(BalanceWalk& w) {
  for (; w.idle_cpu < s_.cpus(); w.idle_cpu = w.idle_cpus.next(w.idle_cpu + 1)) {
    Rq& rq = s_.rq(CpuId(w.idle_cpu));
    if (&rq == w.rq || !s_.idle_cpu(rq.cpu)) continue;
    if (w.rq->curr->need_resched()) {
      w.has_blocked = true;
      return nohz_done(w, true);
    }
    if (rq.has_blocked_load && nohz_.idle_cpus_mask.test(rq.cpu)) return w.need(rq, Stage::idle_cpu_blocked);
    return idle_cpu_looked_at(w, rq);
  }
  if (w.newidle) return nohz_done(w, false);
  w.need(*w.rq, Stage::nohz_own_blocked);
}

void LoadBalancer::idle_cpu_blocked(BalanceWalk& w) {
  Rq& rq = s_.rq(CpuId(w.idle_cpu));
  w.has_blocked |= update_nohz_stats(rq, true);
  idle_cpu_looked_at(w, rq);
}

void LoadBalancer::idle_cpu_looked_at(BalanceWalk& w, Rq& rq) {
  if (time_after_eq(w.nohz_now, rq.next_balance)) return w.need(rq, Stage::idle_cpu_clock);
  w.stage = Stage::idle_cpu_rebalanced;
}

void LoadBalancer::idle_cpu_clock(BalanceWalk& w) {
  Rq& rq = s_.rq(CpuId(w.idle_cpu));
  s_.lock_update_rq_clock(rq);
  cpu_load_update_idle(rq, w.nohz_now);
  w.stage = Stage::idle_cpu_rebalanced;
  if (w.nohz_balance) begin_domains(w, rq, CpuIdleType::idle, Stage::idle_cpu_rebalanced);
}

void LoadBalancer::idle_cpu_rebalanced(BalanceWalk& w) {
  const Rq& rq = s_.rq(CpuId(w.idle_cpu));
  if (time_after(w.nohz_next_balance, rq.next_balance)) {
    w.nohz_next_balance = rq.next_balance;
    w.nohz_update_next = true;
  }
  w.idle_cpu = w.idle_cpus.next(w.idle_cpu + 1);
  w.stage = Stage::next_idle_cpu;
}

void LoadBalancer::nohz_own_blocked(BalanceWalk& w) {
  s_.fair().update_blocked_averages(w.rq->cpu);
  w.has_blocked |= w.rq->has_blocked_load;
  w.stage = Stage::nohz_done;
  if (w.nohz_balance) begin_domains(w, *w.rq, CpuIdleType::idle, Stage::nohz_done);
}

/// `abandoned`: this CPU has work.
void LoadBalancer::nohz_done(BalanceWalk& w, bool abandoned) {
  w.stage = Stage::done;
  w.for_others = false;
  if (!abandoned) nohz_.next_blocked = w.nohz_now + msecs_to_jiffies(LOAD_AVG_PERIOD);
  if (w.has_blocked) nohz_.has_blocked = true;
  if (w.nohz_update_next) nohz_.next_balance = w.nohz_next_balance;
  if (abandoned && w.newidle) kick_ilb(false);
}

bool LoadBalancer::advance(BalanceWalk& w) {
  w.lock = nullptr;
  while (!w.lock && w.stage != Stage::done) run_stage(w);
  return w.lock;
}

/// One line per stage.
void LoadBalancer::run_stage(BalanceWalk& w) {
  switch (w.stage) {
    case Stage::find_busiest:
      return find_busiest(w);
    case Stage::refresh_idle:
      return refresh_idle(w);
    case Stage::detach:
      return detach_stage(w);
    case Stage::attach:
      return attach_stage(w);
    case Stage::detached:
      return detached(w);
    case Stage::kick:
      return kick(w);
    case Stage::domain_balanced:
      return domain_balanced(w);
    case Stage::domains_done:
      return domains_done(w);
    case Stage::own_blocked:
      s_.fair().update_blocked_averages(w.rq->cpu);
      return begin_domains(w, *w.rq, w.idle, Stage::done);
    case Stage::next_idle_cpu:
      return next_idle_cpu(w);
    case Stage::idle_cpu_blocked:
      return idle_cpu_blocked(w);
    case Stage::idle_cpu_clock:
      return idle_cpu_clock(w);
    case Stage::idle_cpu_rebalanced:
      return idle_cpu_rebalanced(w);
    case Stage::nohz_own_blocked:
      return nohz_own_blocked(w);
    case Stage::nohz_done:
      return nohz_done(w, false);
    case Stage::newidle_blocked:
      s_.fair().update_blocked_averages(w.rq->cpu);
      w.sd = s_.domains().lowest(w.rq->cpu);
      return newidle_domain(w);
    case Stage::newidle_balanced:
      return newidle_balanced(w);
    case Stage::stop_detach:
      return stop_detach(w);
    case Stage::stop_attach:
      return stop_attach(w);
    case Stage::done:
      return;
  }
}

}  // namespace forksim::km
