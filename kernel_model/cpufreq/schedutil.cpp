#include "kernel_model/cpufreq/schedutil.hpp"

#include "kernel_model/base/fixed_point.hpp"

namespace forksim::km {

namespace {
/// sugov_get_util: a runnable real-time task asks for everything.
/// What tasks use is measured by a clock that stands still in interrupts: it is scaled to the time that these leave.
u64 sugov_get_util(const Schedutil::CpuUtil& u) {
  const u64 util = u.cfs + u.rt;
  if (u.rt_runnable || u.irq >= u.max || util >= u.max) return u.max;
  return scale_irq_capacity(util, u.irq, u.max) + u.irq;
}
}  // namespace

void Schedutil::start() {
  cpus_.assign(cpus_.size(), {});
  last_freq_update_time_ = 0;
  next_freq_ = cached_raw_freq_ = 0;
  work_in_progress_ = false;
}

/// A boost ends, or starts again from the bottom, when the CPU was not updated for more than a tick.
bool Schedutil::sugov_iowait_reset(Cpu& c, u64 time, bool set, const FreqPolicy& policy) const {
  if (static_cast<s64>(time - c.last_update) <= static_cast<s64>(tick_ns_)) return false;
  c.iowait_boost = set ? policy.min() : 0;
  c.iowait_boost_pending = set;
  return true;
}

void Schedutil::sugov_iowait_boost(Cpu& c, u64 time, u32 flags, const FreqPolicy& policy) const {
  const bool set = flags & SCHED_CPUFREQ_IOWAIT;
  if (c.iowait_boost && sugov_iowait_reset(c, time, set, policy)) return;
  if (!set || c.iowait_boost_pending) return;
  c.iowait_boost_pending = true;
  c.iowait_boost = c.iowait_boost ? std::min(c.iowait_boost << 1, policy.max()) : policy.min();
}

void Schedutil::sugov_iowait_apply(Cpu& c, u64 time, u64& util, u64& max, const FreqPolicy& policy) const {
  if (!c.iowait_boost || sugov_iowait_reset(c, time, false, policy)) return;
  if (!c.iowait_boost_pending) {
    // Nobody asked since the last update: the boost decays.
    c.iowait_boost >>= 1;
    if (c.iowait_boost < policy.min()) {
      c.iowait_boost = 0;
      return;
    }
  }
  c.iowait_boost_pending = false;
  const u64 boost_util = c.iowait_boost, boost_max = policy.max();
  if (util * boost_max >= max * boost_util) return;
  util = boost_util;
  max = boost_max;
}

u32 Schedutil::sugov_next_freq_shared(u64 time, const FreqPolicy& policy, const std::vector<CpuUtil>& utils) {
  u64 util = 0, max = 1;
  for (std::size_t j = 0; j < utils.size(); ++j) {
    if (!utils[j].online) continue;
    u64 j_util = sugov_get_util(utils[j]), j_max = utils[j].max;
    sugov_iowait_apply(cpus_[j], time, j_util, j_max, policy);
    if (j_util * max > j_max * util) {
      util = j_util;
      max = j_max;
    }
  }
  return get_next_freq(policy, util, max);
}

u32 Schedutil::get_next_freq(const FreqPolicy& policy, u64 util, u64 max) {
  const u32 top = policy.max();
  const u32 freq = static_cast<u32>(u64{top + (top >> 2)} * util / max);
  if (freq == cached_raw_freq_) return next_freq_;
  cached_raw_freq_ = freq;
  return policy.resolve(freq, Relation::at_least);
}

bool Schedutil::sugov_deferred_update(u64 time, u32 next_freq) {
  if (next_freq_ == next_freq) return false;
  next_freq_ = next_freq;
  last_freq_update_time_ = time;
  if (work_in_progress_) return false;
  work_in_progress_ = true;
  return true;
}

}  // namespace forksim::km
