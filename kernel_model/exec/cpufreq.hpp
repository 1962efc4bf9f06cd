// The cpufreq driver and the governors' threads, inside the execution engine.
//
// Purpose: connects the governors (kernel_model/cpufreq) to what runs: the scheduler's utilisation hook queues an irq_work on the CPU where
//          it fired; that wakes the kworker (ondemand) or the sugov thread (schedutil), which asks the driver; the driver sends a message
//          to the firmware and sleeps until the mailbox interrupt; then the clock of every CPU has changed.
// Source:  Linux 4.19 drivers/cpufreq/{cpufreq.c,cpufreq_governor.c,cpufreq-dt.c}, kernel/sched/cpufreq_schedutil.c, raspberrypi/linux
//          drivers/cpufreq/bcm2835-cpufreq.c and drivers/mailbox/bcm2835-mailbox.c. Which driver: CpufreqConfig::driver.
// Units:   kHz, ns. Ownership: owned by the Core, which it borrows. Errors: contracts.
// Not modelled: SCHED_DEADLINE of the sugov thread (it is SCHED_FIFO 99 and left out of rt_runnable); a second kworker while the first
//          sleeps in the driver; voltage; a run whose governor changes.
#pragma once

#include <optional>

#include "kernel_model/core.hpp"
#include "kernel_model/cpufreq/ondemand.hpp"
#include "kernel_model/cpufreq/schedutil.hpp"

namespace forksim::km {

class Cpufreq {
 public:
  /// Null when the governor never acts during a run (performance, powersave, userspace): then initial_khz() is all there is.
  static std::unique_ptr<Cpufreq> make(Core& k, const KernelConfig& config);
  /// What the board runs at from boot.
  static u32 initial_khz(const KernelConfig& config);
  /// rq.freq_scale from boot: 1024 unless the driver tells the scheduler of its clock.
  static u64 initial_scale(const KernelConfig& config);

  /// Threads and interrupt line, at the end of boot.
  void boot();
  /// cpufreq_update_util_data::func of `cpu`, executed on `on`.
  void update_util(CpuId on, CpuId cpu, u64 time, u32 flags);
  /// The governor's irq_work on a CPU: wakes the thread that does the rest. Null when nobody has to be woken.
  Task* irq_work(Cpu& c);
  /// dbs_work_handler, sugov_work: what the driver is asked for now; nothing when the frequency stays.
  std::optional<u32> sample();
  void sampled();
  bool more_work() const { return sugov_queued_; }

  /// The driver: the request leaves, the firmware answers, everybody is told.
  void request(Task& waiter, u32 khz);
  Task* answered();
  void finish_transition(Cpu& c);
  bool transition_done() const { return !requested_khz_; }

  /// A CPU came or went: the governor starts anew.
  void cpus_changed();
  /// The function of the governor that the scheduler calls.
  Fn hook() const;
  u64 hz() const { return u64{hw_khz_} * 1000; }

 private:
  Cpufreq(Core& k, const KernelConfig& config);
  std::vector<CpuSample> samples() const;
  std::vector<Schedutil::CpuUtil> utils() const;

  Core& k_;
  FreqPolicy policy_;
  bool invariant_;
  std::optional<OndemandGovernor> ondemand_;
  std::optional<Schedutil> schedutil_;
  Task* sugov_ = nullptr;
  bool sugov_queued_ = false;
  u32 requested_khz_ = 0, hw_khz_ = 0;
  Task* waiter_ = nullptr;
  u32 mailbox_ = 0;  ///< index into Core::irqs
};

}  // namespace forksim::km
