// When to balance: newly idle, the tick's softirq, and on behalf of tickless idle CPUs. See load_balance.hpp.
#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/cpu_load.hpp"
#include "kernel_model/sched/load_balance.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km {

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
  return !rq.cfs.h_nr_running && rq.online && rq.avg_idle >= migration_cost_ && s_.rd_overload() && sd &&
         rq.avg_idle >= sd->max_newidle_lb_cost;
}

int LoadBalancer::idle_balance(Rq& rq) {
  rq.idle_stamp = rq.clock;
  if (!rq.online) return 0;
  u64 next_balance = s_.jiffies() + hz_, curr_cost = 0;
  u32 pulled = 0;
  SchedDomain* sd = s_.domains().lowest(rq.cpu);
  if (rq.avg_idle < migration_cost_ || !s_.rd_overload()) {
    if (sd) update_next_balance(*sd, next_balance);
    nohz_newidle_balance(rq);
  } else {
    s_.fair().update_blocked_averages(rq.cpu);
    for (; sd; sd = sd->parent) {
      if (!(sd->flags & SD_LOAD_BALANCE)) continue;
      if (rq.avg_idle < curr_cost + sd->max_newidle_lb_cost) {
        update_next_balance(*sd, next_balance);
        break;
      }
      if (sd->flags & SD_BALANCE_NEWIDLE) {
        bool cont = true;
        pulled = load_balance(rq.cpu, *sd, CpuIdleType::newly_idle, cont);
        const u64 cost = s_.newidle_cost().v;
        sd->max_newidle_lb_cost = std::max(sd->max_newidle_lb_cost, cost);
        curr_cost += cost;
      }
      update_next_balance(*sd, next_balance);
      if (pulled || rq.nr_running > 0) break;
    }
    rq.max_idle_balance_cost = std::max(rq.max_idle_balance_cost, curr_cost);
  }
  int result = static_cast<int>(pulled);
  // Tasks may have arrived while the lock was dropped.
  if (rq.cfs.h_nr_running && !pulled) result = 1;
  if (time_after(rq.next_balance, next_balance)) rq.next_balance = next_balance;
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

void LoadBalancer::run_rebalance_domains(CpuId cpu) {
  Rq& rq = s_.rq(cpu);
  rq.softirq_pending = false;
  const CpuIdleType idle = rq.idle_balance ? CpuIdleType::idle : CpuIdleType::not_idle;
  if (nohz_idle_balance(rq, idle)) return;
  s_.fair().update_blocked_averages(cpu);
  rebalance_domains(rq, idle);
}

void LoadBalancer::rebalance_domains(Rq& rq, CpuIdleType idle) {
  const u64 now = s_.jiffies();
  u64 next_balance = now + 60 * u64{hz_}, max_cost = 0;
  bool cont = true, update_next = false, need_decay = false;
  for (SchedDomain* sd = s_.domains().lowest(rq.cpu); sd; sd = sd->parent) {
    if (time_after(now, sd->next_decay_max_lb_cost)) {
      sd->max_newidle_lb_cost = sd->max_newidle_lb_cost * 253 / 256;
      sd->next_decay_max_lb_cost = now + hz_;
      need_decay = true;
    }
    max_cost += sd->max_newidle_lb_cost;
    if (!(sd->flags & SD_LOAD_BALANCE)) continue;
    if (!cont) {
      if (need_decay) continue;
      break;
    }
    u64 interval = get_sd_balance_interval(*sd, idle != CpuIdleType::idle);
    if (time_after_eq(now, sd->last_balance + interval)) {
      if (load_balance(rq.cpu, *sd, idle, cont)) idle = s_.idle_cpu(rq.cpu) ? CpuIdleType::idle : CpuIdleType::not_idle;
      sd->last_balance = now;
      interval = get_sd_balance_interval(*sd, idle != CpuIdleType::idle);
    }
    if (time_after(next_balance, sd->last_balance + interval)) {
      next_balance = sd->last_balance + interval;
      update_next = true;
    }
  }
  if (need_decay) rq.max_idle_balance_cost = std::max(migration_cost_, max_cost);
  if (!update_next) return;
  rq.next_balance = next_balance;
  if (idle == CpuIdleType::idle && time_after(nohz_.next_balance, rq.next_balance)) nohz_.next_balance = rq.next_balance;
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

bool LoadBalancer::update_nohz_stats(Rq& rq, bool force) {
  if (!rq.has_blocked_load || !nohz_.idle_cpus_mask.test(rq.cpu)) return false;
  if (!force && !time_after(s_.jiffies(), rq.last_blocked_load_update_tick)) return true;
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

bool LoadBalancer::nohz_idle_balance(Rq& rq, CpuIdleType idle) {
  if (!rq.nohz_balance_kick && !rq.nohz_stats_kick) return false;
  const bool balance = rq.nohz_balance_kick;
  rq.nohz_balance_kick = rq.nohz_stats_kick = false;
  if (idle != CpuIdleType::idle) return false;
  nohz_idle_balance_walk(rq, balance, idle);
  return true;
}

/// _nohz_idle_balance: false when the walk was abandoned because this CPU has work.
bool LoadBalancer::nohz_idle_balance_walk(Rq& this_rq, bool balance, CpuIdleType idle) {
  const u64 now = s_.jiffies();
  u64 next_balance = now + 60 * u64{hz_};
  bool has_blocked = false, update_next = false, done = true;
  nohz_.has_blocked = false;
  for_others_ = true;
  const CpuMask mask = nohz_.idle_cpus_mask;
  for (u32 c = mask.first(); c < s_.cpus() && done; c = mask.next(c + 1)) {
    Rq& rq = s_.rq(CpuId(c));
    if (&rq == &this_rq || !s_.idle_cpu(rq.cpu)) continue;
    if (this_rq.curr->need_resched()) {
      has_blocked = true;
      done = false;
      break;
    }
    has_blocked |= update_nohz_stats(rq, true);
    if (time_after_eq(now, rq.next_balance)) {
      s_.update_rq_clock(rq);
      cpu_load_update_idle(rq, now);
      if (balance) rebalance_domains(rq, CpuIdleType::idle);
    }
    if (time_after(next_balance, rq.next_balance)) {
      next_balance = rq.next_balance;
      update_next = true;
    }
  }
  if (done) {
    if (idle != CpuIdleType::newly_idle) {
      s_.fair().update_blocked_averages(this_rq.cpu);
      has_blocked |= this_rq.has_blocked_load;
    }
    if (balance) rebalance_domains(this_rq, CpuIdleType::idle);
    nohz_.next_blocked = now + msecs_to_jiffies(LOAD_AVG_PERIOD);
  }
  for_others_ = false;
  if (has_blocked) nohz_.has_blocked = true;
  if (update_next) nohz_.next_balance = next_balance;
  return done;
}

void LoadBalancer::nohz_newidle_balance(Rq& this_rq) {
  if (this_rq.avg_idle < migration_cost_) return;
  if (!nohz_.has_blocked || !time_after_eq(s_.jiffies(), nohz_.next_blocked)) return;
  if (!nohz_idle_balance_walk(this_rq, false, CpuIdleType::newly_idle)) kick_ilb(false);
}

}  // namespace forksim::km
