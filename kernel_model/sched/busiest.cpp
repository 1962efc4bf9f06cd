// Whom to relieve and by how much: statistics per group and the imbalance. See load_balance.hpp.
#include "kernel_model/base/fixed_point.hpp"
#include "kernel_model/sched/load_balance.hpp"
#include "kernel_model/sched/scheduler.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::km {

namespace {
constexpr u64 kCapacityScale = 1024;

u32 get_sd_load_idx(const SchedDomain& sd, CpuIdleType idle) {
  if (idle == CpuIdleType::not_idle) return sd.busy_idx;
  return idle == CpuIdleType::newly_idle ? sd.newidle_idx : sd.idle_idx;
}

u64 cpu_avg_load_per_task(const Rq& rq) { return rq.cfs.h_nr_running ? rq.cfs.avg.runnable_load_avg / rq.cfs.h_nr_running : 0; }
}  // namespace

struct LoadBalancer::SgStats {
  u64 avg_load = 0, group_load = 0, sum_weighted_load = 0, load_per_task = 0, group_capacity = 0, group_util = 0;
  u32 sum_nr_running = 0, idle_cpus = 0, group_weight = 0;
  GroupType type = GroupType::other;
  bool no_capacity = false;

  bool has_capacity(u32 pct) const { return sum_nr_running < group_weight || group_capacity * 100 > group_util * pct; }
  bool is_overloaded(u32 pct) const { return sum_nr_running > group_weight && group_capacity * 100 < group_util * pct; }
  void classify(bool imbalanced) { type = no_capacity ? GroupType::overloaded : imbalanced ? GroupType::imbalanced : GroupType::other; }
};

struct LoadBalancer::SdStats {
  SchedGroup *busiest_group = nullptr, *local_group = nullptr;
  u64 total_load = 0, total_capacity = 0, avg_load = 0;
  SgStats busiest, local;
};

bool check_cpu_capacity(const Rq& rq, const SchedDomain& sd) { return rq.cpu_capacity * sd.imbalance_pct < rq.cpu_capacity_orig * 100; }

void LoadBalancer::update_cpu_capacity(SchedDomain& sd, CpuId cpu) {
  Rq& rq = s_.rq(cpu);
  // scale_rt_capacity
  const u64 max = rq.cpu_capacity_orig, used = rq.avg_rt.util_avg, irq = rq.avg_irq.util_avg;
  rq.cpu_capacity = irq >= max || used >= max ? 1 : std::max(scale_irq_capacity(max - used, irq, max), u64{1});
  SchedGroup& g = *sd.groups.front();
  g.capacity = g.min_capacity = rq.cpu_capacity;
}

void LoadBalancer::update_group_capacity(SchedDomain& sd, CpuId cpu) {
  SchedGroup& local = *sd.groups.front();
  local.next_update = s_.jiffies() + std::clamp(msecs_to_jiffies(sd.balance_interval), u64{1}, max_interval_);
  if (!sd.child) {
    update_cpu_capacity(sd, cpu);
    return;
  }
  u64 capacity = 0, min_capacity = ~u64{0};
  for (const SchedGroup* g : sd.child->groups) {
    capacity += g->capacity;
    min_capacity = std::min(min_capacity, g->min_capacity);
  }
  local.capacity = capacity;
  local.min_capacity = min_capacity;
}

void LoadBalancer::update_sg_lb_stats(LbEnv& env, const SchedGroup& group, u32 load_idx, bool local, SgStats& sgs, bool& overload) {
  const Placement& load = s_.placement();
  for (u32 c = group.span.first(); c < kMaxCpus; c = group.span.next(c + 1)) {
    const CpuId i(c);
    if (!env.cpus.test(i)) continue;
    Rq& rq = s_.rq(i);
    if ((env.flags & LbEnv::kNohzStats) && update_nohz_stats(rq, false)) env.flags |= LbEnv::kNohzAgain;
    // The bias favours staying: the local load is over-, the others' underestimated.
    sgs.group_load += local ? load.target_load(i, load_idx) : load.source_load(i, load_idx);
    sgs.group_util += load.cpu_util(i);
    sgs.sum_nr_running += rq.cfs.h_nr_running;
    if (rq.nr_running > 1) overload = true;
    sgs.sum_weighted_load += load.weighted_cpuload(i);
    if (!rq.nr_running && s_.idle_cpu(i)) sgs.idle_cpus++;
  }
  const u32 pct = env.sd->imbalance_pct;
  sgs.group_capacity = group.capacity;
  sgs.avg_load = sgs.group_load * kCapacityScale / sgs.group_capacity;
  if (sgs.sum_nr_running) sgs.load_per_task = sgs.sum_weighted_load / sgs.sum_nr_running;
  sgs.group_weight = group.weight;
  sgs.no_capacity = sgs.is_overloaded(pct);
  sgs.classify(group.imbalance);
}

void LoadBalancer::update_sd_lb_stats(LbEnv& env, SdStats& sds) {
  SchedDomain& sd = *env.sd;
  const bool prefer_sibling = sd.child && (sd.child->flags & SD_PREFER_SIBLING);
  const u32 load_idx = get_sd_load_idx(sd, env.idle);
  bool overload = false;
  if (env.idle == CpuIdleType::newly_idle && nohz_.has_blocked) env.flags |= LbEnv::kNohzStats;
  for (SchedGroup* g : sd.groups) {
    const bool local = g->span.test(env.dst_cpu);
    SgStats stats;
    SgStats& sgs = local ? sds.local : stats;
    if (local) {
      sds.local_group = g;
      if (env.idle != CpuIdleType::newly_idle || time_after_eq(s_.jiffies(), g->next_update)) update_group_capacity(sd, env.dst_cpu);
    }
    update_sg_lb_stats(env, *g, load_idx, local, sgs, overload);
    if (!local) {
      const bool spread = prefer_sibling && sds.local_group && sds.local.has_capacity(sd.imbalance_pct) &&
                          sgs.sum_nr_running > sds.local.sum_nr_running + 1;
      if (spread) {
        sgs.no_capacity = true;
        sgs.classify(g->imbalance);
      }
      if (sgs.type > sds.busiest.type || (sgs.type == sds.busiest.type && sgs.avg_load > sds.busiest.avg_load)) {
        sds.busiest_group = g;
        sds.busiest = sgs;
      }
    }
    sds.total_load += sgs.group_load;
    sds.total_capacity += sgs.group_capacity;
  }
  if ((env.flags & LbEnv::kNohzAgain) && nohz_.idle_cpus_mask.subset_of(sd.span))
    nohz_.next_blocked = s_.jiffies() + msecs_to_jiffies(LOAD_AVG_PERIOD);
  if (!sd.parent) s_.set_rd_overload(overload);
}

void LoadBalancer::fix_small_imbalance(LbEnv& env, SdStats& sds) const {
  SgStats &local = sds.local, &busiest = sds.busiest;
  u64 imbn = 2;
  if (!local.sum_nr_running)
    local.load_per_task = cpu_avg_load_per_task(*env.dst_rq);
  else if (busiest.load_per_task > local.load_per_task)
    imbn = 1;
  const u64 one_task = busiest.load_per_task * kCapacityScale / busiest.group_capacity;
  if (busiest.avg_load + one_task >= local.avg_load + one_task * imbn) {
    env.imbalance = static_cast<s64>(busiest.load_per_task);
    return;
  }
  // Moving one task pays when more capacity is used afterwards than now.
  u64 now = busiest.group_capacity * std::min(busiest.load_per_task, busiest.avg_load) +
            local.group_capacity * std::min(local.load_per_task, local.avg_load);
  now /= kCapacityScale;
  u64 move = 0;
  if (busiest.avg_load > one_task) move += busiest.group_capacity * std::min(busiest.load_per_task, busiest.avg_load - one_task);
  const u64 added = std::min(busiest.avg_load * busiest.group_capacity, busiest.load_per_task * kCapacityScale) / local.group_capacity;
  move += local.group_capacity * std::min(local.load_per_task, local.avg_load + added);
  move /= kCapacityScale;
  if (move > now) env.imbalance = static_cast<s64>(busiest.load_per_task);
}

void LoadBalancer::calculate_imbalance(LbEnv& env, SdStats& sds) const {
  SgStats &local = sds.local, &busiest = sds.busiest;
  if (busiest.type == GroupType::imbalanced) busiest.load_per_task = std::min(busiest.load_per_task, sds.avg_load);
  if (busiest.avg_load <= sds.avg_load || local.avg_load >= sds.avg_load) {
    env.imbalance = 0;
    fix_small_imbalance(env, sds);
    return;
  }
  u64 load_above_capacity = ~u64{0};
  if (busiest.type == GroupType::overloaded && local.type == GroupType::overloaded) {
    const u64 wanted = busiest.sum_nr_running * kCapacityScale;
    // Pull no more than what the busiest group cannot run anyway.
    if (wanted > busiest.group_capacity)
      load_above_capacity = (wanted - busiest.group_capacity) * scale_load_down(NICE_0_LOAD) / busiest.group_capacity;
  }
  const u64 max_pull = std::min(busiest.avg_load - sds.avg_load, load_above_capacity);
  const u64 room = (sds.avg_load - local.avg_load) * local.group_capacity;
  env.imbalance = static_cast<s64>(std::min(max_pull * busiest.group_capacity, room) / kCapacityScale);
  if (static_cast<u64>(env.imbalance) < busiest.load_per_task) fix_small_imbalance(env, sds);
}

SchedGroup* LoadBalancer::find_busiest_group(LbEnv& env) {
  SdStats sds;
  update_sd_lb_stats(env, sds);
  const SgStats &local = sds.local, &busiest = sds.busiest;
  env.imbalance = 0;
  if (!sds.busiest_group || !busiest.sum_nr_running) return nullptr;
  sds.avg_load = kCapacityScale * sds.total_load / sds.total_capacity;
  const u32 pct = env.sd->imbalance_pct;
  const bool force =
      busiest.type == GroupType::imbalanced || (env.idle != CpuIdleType::not_idle && local.has_capacity(pct) && busiest.no_capacity);
  if (!force) {
    if (local.avg_load >= busiest.avg_load || local.avg_load >= sds.avg_load) return nullptr;
    if (env.idle == CpuIdleType::idle) {
      if (busiest.type != GroupType::overloaded && local.idle_cpus <= busiest.idle_cpus + 1) return nullptr;
    } else if (100 * busiest.avg_load <= pct * local.avg_load) {
      return nullptr;
    }
  }
  calculate_imbalance(env, sds);
  return env.imbalance ? sds.busiest_group : nullptr;
}

Rq* LoadBalancer::find_busiest_queue(const LbEnv& env, const SchedGroup& group) const {
  Rq* busiest = nullptr;
  u64 busiest_load = 0, busiest_capacity = 1;
  for (u32 c = group.span.first(); c < kMaxCpus; c = group.span.next(c + 1)) {
    if (!env.cpus.test(CpuId(c))) continue;
    Rq& rq = s_.rq(CpuId(c));
    const u64 capacity = rq.cpu_capacity, wl = rq.cfs.avg.runnable_load_avg;
    if (rq.nr_running == 1 && wl > static_cast<u64>(env.imbalance) && !check_cpu_capacity(rq, *env.sd)) continue;
    if (wl * busiest_capacity > busiest_load * capacity) {
      busiest_load = wl;
      busiest_capacity = capacity;
      busiest = &rq;
    }
  }
  return busiest;
}

}  // namespace forksim::km
