// A four-CPU machine around the production scheduler, driven with the clock standing still.
//
// Purpose: what the cases need besides the scheduler: idle tasks, stoppers, IPIs that are recorded until delivered.
// Source:  the harness described with the vectors. Units: ns, jiffies. Ownership: owns tasks and Scheduler. Errors: contracts.
#pragma once

#include <array>
#include <deque>

#include "kernel_model/sched/scheduler.hpp"
#include "tests/oracle/oracle.hpp"

namespace forksim::oracle {

inline constexpr km::u32 kCpus = 4;
inline constexpr km::u64 kBootJiffies = 300000;

class Machine final : public km::SchedHooks {
 public:
  explicit Machine(const Config& config);

  void send_reschedule(km::CpuId from, km::CpuId to) override;
  bool idle_polling(km::CpuId) const override { return false; }
  km::u8 trace_flags(km::CpuId) const override { return 0; }
  void stop_one_cpu_nowait(km::CpuId from, km::CpuId cpu) override;
  void irq_work_queue_on(km::CpuId, km::CpuId cpu) override { rt_push_pending |= 1u << cpu.v; }

  km::Task& new_task();
  km::Rq& rq(km::u32 c) { return sched.rq(km::CpuId(c)); }

  const Config config;
  km::Trace trace;
  km::Scheduler sched;
  std::array<km::Task, kCpus> idle, stopper;
  std::deque<km::Task> tasks;
  km::u32 ipi_sent = 0;      ///< CPUs that were sent an IPI since last cleared
  km::u32 ipi_pending = 0;   ///< not delivered yet
  km::u32 stop_pending = 0;  ///< stoppers the driver has to wake (sets without a wake list)
  km::u32 rt_push_pending = 0;
  int active = -1;  ///< CPU on which active balance was kicked last
};

}  // namespace forksim::oracle
