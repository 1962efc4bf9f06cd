// The ondemand governor: the frequency follows the share of time the busiest CPU was not idle.
//
// Purpose: when a sample is due, and which frequency it asks for. The execution engine calls it from the scheduler's utilisation hook and
//          from the work it queues. Source: Linux 4.19 drivers/cpufreq/cpufreq_governor.c (dbs_update, dbs_update_util_handler),
//          cpufreq_ondemand.c (od_update, od_dbs_update, generic_powersave_bias_target); functions carry the kernel's names.
// Units:   kHz, us of idle and wall time as get_cpu_idle_time gives them, ns for dates. Ownership: a value. Errors: none.
// Not modelled: the store functions of sysfs during a run (tunables are fixed at boot), conservative.
#pragma once

#include <vector>

#include "kernel_model/cpufreq/policy.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim::km {

/// What the governor reads of a CPU when it samples.
struct CpuSample {
  bool online = true;
  u64 idle_us = 0;  ///< get_cpu_idle_time: idle so far, waiting for I/O included
  u64 wall_us = 0;  ///< the clock at that moment
  u64 nice_ns = 0;  ///< CPUTIME_NICE
};

class OndemandGovernor {
 public:
  /// `sampling_us` is what cpufreq_dbs_governor_init computed; used unless the tunable is given.
  OndemandGovernor(const KernelProfile& k, u64 sampling_us);

  /// cpufreq_dbs_governor_start: from boot, and again when a CPU came or went.
  void start(const std::vector<CpuSample>& cpus);
  /// dbs_update_util_handler: whether a sample is due at the run queue's date `time`; then it is in progress until sampled().
  bool update_util(u64 time);
  /// What one sample asks the driver for; `wanted` is false when it asks for nothing.
  struct Target {
    bool wanted = false;
    u32 khz = 0;
    Relation relation = Relation::at_least;
  };
  /// od_dbs_update.
  Target od_dbs_update(const FreqPolicy& policy, const std::vector<CpuSample>& cpus);
  /// The end of dbs_work_handler: the next sample may be taken.
  void sampled() { work_in_progress_ = false; }

  u64 sample_delay_ns() const { return sample_delay_ns_; }
  u64 load() const { return load_; }  ///< of the last sample, percent

 private:
  struct Cpu {
    u64 prev_idle = 0, prev_wall = 0, prev_nice = 0;
    u32 prev_load = 0;
  };
  u32 dbs_update(const std::vector<CpuSample>& cpus);
  Target od_update(const FreqPolicy& policy, const std::vector<CpuSample>& cpus);
  u32 generic_powersave_bias_target(const FreqPolicy& policy, u32 freq_next, Relation r);

  u32 sampling_rate_, up_threshold_, sampling_down_factor_, powersave_bias_;
  bool ignore_nice_load_;
  std::vector<Cpu> cpus_;
  u32 rate_mult_ = 1, load_ = 0;
  u64 sample_delay_ns_ = 0, last_sample_time_ = 0;
  bool work_in_progress_ = false, sub_sample_ = false;
  u32 freq_lo_ = 0, freq_lo_delay_us_ = 0, freq_hi_delay_us_ = 0;
};

}  // namespace forksim::km
