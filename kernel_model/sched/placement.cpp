#include "kernel_model/sched/placement.hpp"

#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {
constexpr u64 kCapacityScale = 1024, kMaxLoad = ~u64{0};

/// CPUs of `span` starting at `start` and wrapping around; `visit` returns true to stop.
template <class F>
bool for_each_cpu_wrap(const CpuMask& span, CpuId start, F visit) {
  for (u32 c = span.next(start.v); c < kMaxCpus; c = span.next(c + 1))
    if (visit(CpuId(c))) return true;
  for (u32 c = span.first(); c < start.v; c = span.next(c + 1))
    if (visit(CpuId(c))) return true;
  return false;
}
}  // namespace

struct Placement::GroupLoad {
  u64 runnable = 0, avg = 0, max_spare = 0;
};

Placement::Placement(Scheduler& s, const KernelProfile& k)
    : s_(s),
      lb_bias_(k.feat(Feature::LB_BIAS)),
      sis_avg_cpu_(k.feat(Feature::SIS_AVG_CPU)),
      sis_prop_(k.feat(Feature::SIS_PROP)),
      wa_idle_(k.feat(Feature::WA_IDLE)),
      wa_weight_(k.feat(Feature::WA_WEIGHT)),
      wa_bias_(k.feat(Feature::WA_BIAS)),
      util_est_(k.feat(Feature::UTIL_EST)),
      hz_(k.hz) {}

// --- loads ---

u64 Placement::weighted_cpuload(CpuId c) const { return s_.rq(c).cfs.avg.runnable_load_avg; }

u64 Placement::source_load(CpuId c, u32 type) const {
  const u64 total = weighted_cpuload(c);
  return type == 0 || !lb_bias_ ? total : std::min(s_.rq(c).cpu_load[type - 1], total);
}

u64 Placement::target_load(CpuId c, u32 type) const {
  const u64 total = weighted_cpuload(c);
  return type == 0 || !lb_bias_ ? total : std::max(s_.rq(c).cpu_load[type - 1], total);
}

u64 Placement::cpu_util(CpuId c) const {
  const Rq& rq = s_.rq(c);
  u64 util = rq.cfs.avg.util_avg;
  if (util_est_) util = std::max(util, u64{rq.cfs.avg.util_est.enqueued});
  return std::min(util, rq.cpu_capacity_orig);
}

u64 Placement::cpu_util_wake(CpuId c, const Task& p) const {
  if (c != p.cpu || !p.se.avg.last_update_time) return cpu_util(c);
  const Rq& rq = s_.rq(c);
  u64 util = rq.cfs.avg.util_avg;
  util -= std::min(util, p.se.avg.util_avg);
  // The task's share of util_est is not removed.
  if (util_est_) util = std::max(util, u64{rq.cfs.avg.util_est.enqueued});
  return std::min(util, rq.cpu_capacity_orig);
}

u64 Placement::capacity_spare_wake(CpuId c, const Task& p) const {
  const u64 capacity = s_.rq(c).cpu_capacity, util = cpu_util_wake(c, p);
  return capacity > util ? capacity - util : 0;
}

bool Placement::cpus_share_cache(CpuId a, CpuId b) const { return s_.domains().llc_id(a) == s_.domains().llc_id(b); }

// --- fork and exec ---

Placement::GroupLoad Placement::group_load(const SchedGroup& g, const Task& p, bool local, u32 load_idx) const {
  GroupLoad l;
  for (u32 c = g.span.first(); c < kMaxCpus; c = g.span.next(c + 1)) {
    const CpuId i(c);
    l.runnable += local ? source_load(i, load_idx) : target_load(i, load_idx);
    l.avg += s_.rq(i).cfs.avg.load_avg;
    l.max_spare = std::max(l.max_spare, capacity_spare_wake(i, p));
  }
  l.avg = l.avg * kCapacityScale / g.capacity;
  l.runnable = l.runnable * kCapacityScale / g.capacity;
  return l;
}

SchedGroup* Placement::find_idlest_group(SchedDomain& sd, const Task& p, CpuId this_cpu, u32 sd_flag) const {
  const u32 load_idx = sd_flag & SD_BALANCE_WAKE ? sd.wake_idx : sd.forkexec_idx;
  const u64 scale = 100 + (sd.imbalance_pct - 100) / 2;
  const u64 imbalance = scale_load_down(NICE_0_LOAD) * (sd.imbalance_pct - 100) / 100;
  SchedGroup *idlest = nullptr, *most_spare_sg = nullptr;
  GroupLoad min{kMaxLoad, kMaxLoad, 0}, here{kMaxLoad, kMaxLoad, 0};
  u64 most_spare = 0;
  for (SchedGroup* g : sd.groups) {
    if (!g->span.intersects(p.cpus_allowed)) continue;
    const bool local = g->span.test(this_cpu);
    const GroupLoad l = group_load(*g, p, local, load_idx);
    PlacementStep step = PlacementStep::not_better;
    if (local) {
      here = l;
      tell_group(PlacementStep::local, sd, *g, l);
      continue;
    }
    if (min.runnable > l.runnable + imbalance) {
      min.runnable = l.runnable;
      min.avg = l.avg;
      idlest = g;
      step = PlacementStep::less_runnable;
    } else if (l.runnable < min.runnable + imbalance && 100 * min.avg > scale * l.avg) {
      // Close enough in runnable load: blocked load decides, and min_runnable stays.
      min.avg = l.avg;
      idlest = g;
      step = PlacementStep::less_load;
    }
    if (most_spare < l.max_spare) {
      most_spare = l.max_spare;
      most_spare_sg = g;
    }
    tell_group(step, sd, *g, l);
  }
  if (!(sd_flag & SD_BALANCE_FORK)) {
    const u64 half = p.se.avg.util_avg / 2;
    if (here.max_spare > half && scale * here.max_spare > 100 * most_spare) {
      tell(PlacementStep::spare_local, sd.name, this_cpu, sd.imbalance_pct, half);
      return nullptr;
    }
    if (most_spare > half) {
      tell(PlacementStep::spare_most, sd.name, CpuId(most_spare_sg->span.first()), sd.imbalance_pct, half);
      return most_spare_sg;
    }
  }
  return stay_or_leave(sd, this_cpu, idlest, here, min);
}

/// The end of find_idlest_group: the local group against the idlest of the others.
SchedGroup* Placement::stay_or_leave(const SchedDomain& sd, CpuId this_cpu, SchedGroup* idlest, const GroupLoad& local,
                                     const GroupLoad& min) const {
  const u64 scale = 100 + (sd.imbalance_pct - 100) / 2;
  const u64 imbalance = scale_load_down(NICE_0_LOAD) * (sd.imbalance_pct - 100) / 100;
  PlacementStep step = PlacementStep::leave_load;
  const bool close = local.runnable < min.runnable + imbalance;
  if (!idlest)
    step = PlacementStep::only_local;
  else if (min.runnable > local.runnable + imbalance)
    step = PlacementStep::stay_runnable;
  else if (close && 100 * local.avg < scale * min.avg)
    step = PlacementStep::stay_load;
  else if (!close)
    step = PlacementStep::leave_runnable;
  const bool leave = step == PlacementStep::leave_load || step == PlacementStep::leave_runnable;
  tell(step, sd.name, leave ? CpuId(idlest->span.first()) : this_cpu, sd.imbalance_pct);
  return leave ? idlest : nullptr;
}

CpuId Placement::find_idlest_group_cpu(const SchedGroup& group, const Task& p, CpuId this_cpu) const {
  if (group.weight == 1) {
    tell(PlacementStep::only_cpu, {}, CpuId(group.span.first()));
    return CpuId(group.span.first());
  }
  u64 min_load = kMaxLoad, latest_idle = 0;
  CpuId least_loaded = this_cpu;
  u32 shallowest = kMaxCpus;
  for (u32 c = group.span.first(); c < kMaxCpus; c = group.span.next(c + 1)) {
    const CpuId i(c);
    if (!p.cpus_allowed.test(i)) continue;
    const Rq& rq = s_.rq(i);
    if (s_.idle_cpu(i)) {
      // No idle states here: the CPU that went idle last is the warmest.
      if (shallowest == kMaxCpus || rq.idle_stamp > latest_idle) {
        latest_idle = rq.idle_stamp;
        shallowest = c;
      }
    } else if (shallowest == kMaxCpus && weighted_cpuload(i) < min_load) {
      min_load = weighted_cpuload(i);
      least_loaded = i;
    }
  }
  const bool idle = shallowest != kMaxCpus;
  const CpuId chosen = idle ? CpuId(shallowest) : least_loaded;
  tell(idle ? PlacementStep::latest_idle : PlacementStep::least_loaded, {}, chosen);
  return chosen;
}

CpuId Placement::find_idlest_cpu(SchedDomain* sd, Task& p, CpuId cpu, CpuId prev_cpu, u32 sd_flag) {
  if (!sd->span.intersects(p.cpus_allowed)) {
    tell(PlacementStep::span_not_allowed, sd->name, prev_cpu);
    return prev_cpu;
  }
  if (!(sd_flag & SD_BALANCE_FORK)) s_.fair().sync_entity_load_avg(p.se);
  CpuId new_cpu = cpu;
  while (sd) {
    const SchedGroup* group = sd->flags & sd_flag ? find_idlest_group(*sd, p, cpu, sd_flag) : nullptr;
    if (group) new_cpu = find_idlest_group_cpu(*group, p, cpu);
    if (!group || new_cpu == cpu) {
      sd = sd->child;
      continue;
    }
    // Go on from the chosen CPU's highest domain below this one.
    cpu = new_cpu;
    const u32 weight = sd->span_weight;
    sd = nullptr;
    for (SchedDomain* tmp = s_.domains().lowest(cpu); tmp && tmp->span_weight < weight; tmp = tmp->parent)
      if (tmp->flags & sd_flag) sd = tmp;
  }
  return new_cpu;
}

CpuId Placement::select_task_rq_fair(Task& p, CpuId prev_cpu, u32 sd_flag, u32 wake_flags) {
  const CpuId cpu = s_.this_cpu();
  const bool wake = sd_flag & SD_BALANCE_WAKE;
  const bool sync = (wake_flags & WF_SYNC) && !(s_.current().flags & PF_EXITING);
  bool want_affine = false;
  if (wake) {
    record_wakee(p);
    const bool wide = wake_wide(p);
    if (wide) tell_wake(PlacementStep::wide, p, prev_cpu);
    want_affine = !wide && p.cpus_allowed.test(cpu);
  }
  CpuId new_cpu = prev_cpu;
  SchedDomain* sd = nullptr;
  for (SchedDomain* tmp = s_.domains().lowest(cpu); tmp && (tmp->flags & SD_LOAD_BALANCE); tmp = tmp->parent) {
    if (want_affine && (tmp->flags & SD_WAKE_AFFINE) && tmp->span.test(prev_cpu)) {
      if (cpu != prev_cpu)
        new_cpu = wake_affine(*tmp, p, cpu, prev_cpu, sync);
      else
        tell_wake(PlacementStep::affine_same, p, cpu);
      sd = nullptr;
      break;
    }
    if (tmp->flags & sd_flag)
      sd = tmp;
    else if (!want_affine)
      break;
  }
  if (sd) return find_idlest_cpu(sd, p, cpu, prev_cpu, sd_flag);
  if (!wake) {
    tell(PlacementStep::no_domain, {}, new_cpu);
    return new_cpu;
  }
  new_cpu = select_idle_sibling(p, prev_cpu, new_cpu);
  if (want_affine) s_.current().recent_used_cpu = cpu;
  return new_cpu;
}

// --- wake-up ---

void Placement::record_wakee(Task& p) {
  Task& curr = s_.current();
  if (time_after(s_.jiffies(), curr.wakee_flip_decay_ts + hz_)) {
    curr.wakee_flips >>= 1;
    curr.wakee_flip_decay_ts = s_.jiffies();
  }
  if (curr.last_wakee == &p) return;
  curr.last_wakee = &p;
  curr.wakee_flips++;
}

bool Placement::wake_wide(const Task& p) const {
  u32 master = s_.current().wakee_flips, slave = p.wakee_flips;
  const u32 factor = s_.domains().llc_size(s_.this_cpu());
  if (master < slave) std::swap(master, slave);
  return slave >= factor && master >= slave * factor;
}

std::optional<CpuId> Placement::wake_affine_idle(const Task& p, CpuId this_cpu, CpuId prev_cpu, bool sync) const {
  // An idle waker means an interrupt: only then do the caches of prev matter more than this CPU.
  fn_call(s_, Fn::available_idle_cpu);
  if (s_.idle_cpu(this_cpu) && cpus_share_cache(this_cpu, prev_cpu)) {
    const bool prev_idle = s_.idle_cpu(prev_cpu);
    const CpuId target = prev_idle ? prev_cpu : this_cpu;
    tell_wake(prev_idle ? PlacementStep::affine_idle_prev : PlacementStep::affine_idle_this, p, target);
    return target;
  }
  if (!sync || s_.rq(this_cpu).nr_running != 1) return std::nullopt;
  tell_wake(PlacementStep::affine_sync, p, this_cpu);
  return this_cpu;
}

std::optional<CpuId> Placement::wake_affine_weight(const SchedDomain& sd, Task& p, CpuId this_cpu, CpuId prev_cpu, bool sync) {
  s64 this_eff = static_cast<s64>(target_load(this_cpu, sd.wake_idx));
  if (sync) {
    const s64 current_load = static_cast<s64>(s_.fair().task_h_load(s_.current()));
    if (current_load > this_eff) {
      tell_wake(PlacementStep::affine_current, p, this_cpu, this_eff, current_load);
      return this_cpu;
    }
    this_eff -= current_load;
  }
  fn_call(s_, Fn::task_h_load);
  const s64 task_load = static_cast<s64>(s_.fair().task_h_load(p));
  this_eff += task_load;
  if (wa_bias_) this_eff *= 100;
  this_eff *= static_cast<s64>(s_.rq(prev_cpu).cpu_capacity);
  s64 prev_eff = static_cast<s64>(source_load(prev_cpu, sd.wake_idx)) - task_load;
  if (wa_bias_) prev_eff *= 100 + (sd.imbalance_pct - 100) / 2;
  prev_eff *= static_cast<s64>(s_.rq(this_cpu).cpu_capacity);
  // With sync, equal loads favour the waker's CPU.
  if (sync) prev_eff += 1;
  const bool here = this_eff < prev_eff;
  tell_wake(here ? PlacementStep::affine_this : PlacementStep::affine_prev, p, here ? this_cpu : prev_cpu, this_eff, prev_eff);
  return here ? std::optional(this_cpu) : std::nullopt;
}

CpuId Placement::wake_affine(const SchedDomain& sd, Task& p, CpuId this_cpu, CpuId prev_cpu, bool sync) {
  std::optional<CpuId> target;
  if (wa_idle_) target = wake_affine_idle(p, this_cpu, prev_cpu, sync);
  if (wa_weight_ && !target) target = wake_affine_weight(sd, p, this_cpu, prev_cpu, sync);
  return target.value_or(prev_cpu);
}

std::optional<CpuId> Placement::select_idle_cpu(const Task& p, const SchedDomain& sd, CpuId target) {
  SchedDomain* this_sd = s_.domains().llc(s_.this_cpu());
  if (!this_sd) return std::nullopt;
  const u64 avg_idle = s_.rq(s_.this_cpu()).avg_idle / 512;
  const u64 avg_cost = this_sd->avg_scan_cost + 1;
  if (sis_avg_cpu_ && avg_idle < avg_cost) return std::nullopt;
  u32 nr = ~u32{0} >> 1;
  if (sis_prop_) {
    const u64 span_avg = sd.span_weight * avg_idle;
    nr = span_avg > 4 * avg_cost ? static_cast<u32>(span_avg / avg_cost) : 4;
  }
  bool out_of_budget = false;
  std::optional<CpuId> found;
  for_each_cpu_wrap(sd.span, target, [&](CpuId c) {
    out_of_budget = --nr == 0;
    if (!out_of_budget && p.cpus_allowed.test(c) && s_.idle_cpu(c)) found = c;
    return out_of_budget || found;
  });
  if (out_of_budget) return std::nullopt;
  // The scan's own time is part of the wake-up's cost; by the clock of this model it takes none.
  this_sd->avg_scan_cost += static_cast<u64>(-static_cast<s64>(this_sd->avg_scan_cost) / 8);
  return found;
}

CpuId Placement::select_idle_sibling(Task& p, CpuId prev, CpuId target) {
  const auto told = [&](PlacementStep step, CpuId cpu) {
    tell_wake(step, p, cpu);
    return cpu;
  };
  fn_call(s_, Fn::available_idle_cpu);
  if (s_.idle_cpu(target)) return told(PlacementStep::target_idle, target);
  if (prev != target && cpus_share_cache(prev, target) && s_.idle_cpu(prev)) return told(PlacementStep::prev_idle, prev);
  const CpuId recent = p.recent_used_cpu;
  if (recent != prev && recent != target && cpus_share_cache(recent, target) && s_.idle_cpu(recent) && p.cpus_allowed.test(recent)) {
    p.recent_used_cpu = prev;
    return told(PlacementStep::recent_idle, recent);
  }
  const SchedDomain* sd = s_.domains().llc(target);
  if (!sd) return told(PlacementStep::no_cache_domain, target);
  const std::optional<CpuId> idle = select_idle_cpu(p, *sd, target);
  return told(idle ? PlacementStep::scan_idle : PlacementStep::scan_nothing, idle.value_or(target));
}

// --- what decided, for listeners ---

void Placement::tell(PlacementStep step, std::string_view level, CpuId cpu, u32 pct, u64 half) const {
  if (!s_.trace().enabled(Tp::placement_step)) [[likely]]
    return;
  s_.emit(Tp::placement_step, s_.this_cpu(), static_cast<u32>(step), s_.trace().names().intern(level), cpu, pct, half);
}

void Placement::tell_wake(PlacementStep step, const Task& p, CpuId cpu, s64 this_eff, s64 prev_eff) const {
  s_.emit(Tp::placement_wake, s_.this_cpu(), static_cast<u32>(step), p.pid, cpu, this_eff, prev_eff);
}

void Placement::tell_group(PlacementStep step, const SchedDomain& sd, const SchedGroup& g, const GroupLoad& l) const {
  s_.emit_mask(g.span);
  s_.emit(Tp::placement_group, s_.this_cpu(), static_cast<u32>(sd.kind), g.span.low_word(), l.runnable, l.avg, l.max_spare,
          static_cast<u32>(step));
}

}  // namespace forksim::km
