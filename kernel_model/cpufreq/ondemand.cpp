#include "kernel_model/cpufreq/ondemand.hpp"

namespace forksim::km {

OndemandGovernor::OndemandGovernor(const KernelProfile& k, u64 sampling_us)
    : sampling_rate_(static_cast<u32>(k.tun(Tunable::sampling_rate) ? k.tun(Tunable::sampling_rate) : sampling_us)),
      up_threshold_(static_cast<u32>(k.tun(Tunable::up_threshold))),
      sampling_down_factor_(static_cast<u32>(k.tun(Tunable::sampling_down_factor))),
      powersave_bias_(static_cast<u32>(k.tun(Tunable::powersave_bias))),
      ignore_nice_load_(k.tun(Tunable::ignore_nice_load) != 0) {}

void OndemandGovernor::start(const std::vector<CpuSample>& cpus) {
  cpus_.assign(cpus.size(), {});
  for (std::size_t c = 0; c < cpus.size(); ++c) cpus_[c] = {cpus[c].idle_us, cpus[c].wall_us, cpus[c].nice_ns, 0};
  rate_mult_ = 1;
  sub_sample_ = work_in_progress_ = false;
  sample_delay_ns_ = u64{sampling_rate_} * 1000;
  last_sample_time_ = 0;
}

bool OndemandGovernor::update_util(u64 time) {
  if (work_in_progress_ || static_cast<s64>(time - last_sample_time_) < static_cast<s64>(sample_delay_ns_)) return false;
  last_sample_time_ = time;
  work_in_progress_ = true;
  return true;
}

/// The load of the busiest CPU in percent. After a long idle time the load before it counts once more: the CPU has just been woken, and the
/// idle time says nothing about what comes.
u32 OndemandGovernor::dbs_update(const std::vector<CpuSample>& cpus) {
  u32 max_load = 0;
  const u32 sampling_rate = sampling_rate_ * rate_mult_;
  for (std::size_t c = 0; c < cpus.size(); ++c) {
    if (!cpus[c].online) continue;
    Cpu& j = cpus_[c];
    const u32 elapsed = static_cast<u32>(cpus[c].wall_us - j.prev_wall);
    u32 idle = static_cast<u32>(cpus[c].idle_us - j.prev_idle);
    j.prev_wall = cpus[c].wall_us;
    j.prev_idle = cpus[c].idle_us;
    if (ignore_nice_load_) {
      idle += static_cast<u32>((cpus[c].nice_ns - j.prev_nice) / 1000);
      j.prev_nice = cpus[c].nice_ns;
    }
    const bool long_idle = static_cast<s32>(idle) > static_cast<s32>(2 * sampling_rate);
    u32 load = j.prev_load;
    if (elapsed && long_idle && j.prev_load) {
      j.prev_load = 0;
    } else if (elapsed) {
      load = elapsed >= idle ? 100 * (elapsed - idle) / elapsed : static_cast<s32>(idle) < 0 ? 100 : 0;
      j.prev_load = load;
    }
    max_load = std::max(max_load, load);
  }
  return max_load;
}

/// Splits a sampling period between two operating points so that their mean is `powersave_bias` per mille below the frequency wanted.
u32 OndemandGovernor::generic_powersave_bias_target(const FreqPolicy& policy, u32 freq_next, Relation r) {
  const u32 freq_req = policy.resolve(freq_next, r);
  const u32 freq_avg = freq_req - freq_req * powersave_bias_ / 1000;
  const u32 lo = policy.resolve(freq_avg, Relation::at_most), hi = policy.resolve(freq_avg, Relation::at_least);
  if (lo == hi) {
    freq_lo_ = freq_lo_delay_us_ = 0;
    return lo;
  }
  // 32-bit like the kernel's: it wraps for spans above 4.29 GHz us.
  u32 delay_hi_us = (freq_avg - lo) * sampling_rate_;
  delay_hi_us += (hi - lo) / 2;
  delay_hi_us /= hi - lo;
  freq_hi_delay_us_ = delay_hi_us;
  freq_lo_ = lo;
  freq_lo_delay_us_ = sampling_rate_ - delay_hi_us;
  return hi;
}

OndemandGovernor::Target OndemandGovernor::od_update(const FreqPolicy& policy, const std::vector<CpuSample>& cpus) {
  load_ = dbs_update(cpus);
  freq_lo_ = 0;
  if (load_ > up_threshold_) {
    if (policy.cur < policy.max()) rate_mult_ = sampling_down_factor_;
    if (!powersave_bias_) return {policy.cur != policy.max(), policy.max(), Relation::at_most};
    return {true, generic_powersave_bias_target(policy, policy.max(), Relation::at_most), Relation::at_least};
  }
  const u32 next = policy.min() + load_ * (policy.max() - policy.min()) / 100;
  rate_mult_ = 1;
  const u32 target = powersave_bias_ ? generic_powersave_bias_target(policy, next, Relation::at_least) : next;
  return {true, target, Relation::closest};
}

OndemandGovernor::Target OndemandGovernor::od_dbs_update(const FreqPolicy& policy, const std::vector<CpuSample>& cpus) {
  const bool sub_sample = sub_sample_;
  sub_sample_ = false;
  if (sub_sample && sample_delay_ns_ > 0) {
    sample_delay_ns_ = u64{freq_lo_delay_us_} * 1000;
    return {true, freq_lo_, Relation::at_most};
  }
  const Target t = od_update(policy, cpus);
  sub_sample_ = freq_lo_ != 0;
  sample_delay_ns_ = 1000 * u64{freq_lo_ ? freq_hi_delay_us_ : sampling_rate_ * rate_mult_};
  return t;
}

}  // namespace forksim::km
