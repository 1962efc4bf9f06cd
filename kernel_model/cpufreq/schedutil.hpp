// The schedutil governor: the frequency follows the scheduler's utilisation averages.
//
// Purpose: when an update is due and which frequency it asks for. Source: Linux 4.19 kernel/sched/cpufreq_schedutil.c (sugov_*,
//          get_next_freq); functions carry the kernel's names. arm64 and arm define arch_scale_freq_capacity, so the governor takes
//          utilisation for frequency-invariant whatever the driver does.
// Units:   kHz, utilisation in 0..1024, ns of the run queue's clock. Ownership: a value. Errors: none.
// Not modelled: deadline bandwidth, fast switching (the board's firmware call sleeps), single-CPU policies, limits that change.
#pragma once

#include <vector>

#include "kernel_model/cpufreq/policy.hpp"

namespace forksim::km {

/// SCHED_CPUFREQ_* flags of the utilisation hook.
inline constexpr u32 SCHED_CPUFREQ_IOWAIT = 1, SCHED_CPUFREQ_MIGRATION = 2;

class Schedutil {
 public:
  /// What the governor reads of a run queue.
  struct CpuUtil {
    bool online = true;
    bool rt_runnable = false;
    u64 cfs = 0, rt = 0;  ///< cpu_util_cfs (with util_est), cpu_util_rt
    u64 max = 1024;
    u64 irq = 0;  ///< cpu_util_irq; their time is not in that of the others
  };
  Schedutil(u32 cpus, u64 rate_limit_us, u64 tick_ns) : cpus_(cpus), freq_update_delay_ns_(rate_limit_us * 1000), tick_ns_(tick_ns) {}
  /// sugov_start.
  void start();
  /// sugov_update_shared of `cpu`; `utils` is asked for only when the rate limit allows an update. True: the irq_work has to be queued.
  template <class Utils>
  bool update_shared(u32 cpu, u64 time, u32 flags, const FreqPolicy& policy, Utils&& utils) {
    sugov_iowait_boost(cpus_[cpu], time, flags, policy);
    cpus_[cpu].last_update = time;
    if (static_cast<s64>(time - last_freq_update_time_) < static_cast<s64>(freq_update_delay_ns_)) return false;
    return sugov_deferred_update(time, sugov_next_freq_shared(time, policy, utils()));
  }
  /// The head of sugov_work: the frequency to set now.
  u32 sugov_work() {
    work_in_progress_ = false;
    return next_freq_;
  }

 private:
  struct Cpu {
    u64 last_update = 0;
    u32 iowait_boost = 0;
    bool iowait_boost_pending = false;
  };
  bool sugov_iowait_reset(Cpu& c, u64 time, bool set, const FreqPolicy& policy) const;
  void sugov_iowait_boost(Cpu& c, u64 time, u32 flags, const FreqPolicy& policy) const;
  void sugov_iowait_apply(Cpu& c, u64 time, u64& util, u64& max, const FreqPolicy& policy) const;
  u32 sugov_next_freq_shared(u64 time, const FreqPolicy& policy, const std::vector<CpuUtil>& utils);
  u32 get_next_freq(const FreqPolicy& policy, u64 util, u64 max);
  bool sugov_deferred_update(u64 time, u32 next_freq);

  std::vector<Cpu> cpus_;
  u64 freq_update_delay_ns_, tick_ns_, last_freq_update_time_ = 0;
  u32 next_freq_ = 0, cached_raw_freq_ = 0;
  bool work_in_progress_ = false;
};

}  // namespace forksim::km
