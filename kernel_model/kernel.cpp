// The facade: forwards to the Core.
#include "kernel_model/kernel.hpp"

#include "kernel_model/core.hpp"
#include "kernel_model/sched/audit.hpp"

namespace forksim::km {

class Kernel::Impl : public Core {
 public:
  using Core::Core;
  SchedAudit auditor{nr_cpus()};
};

Kernel::Kernel(const KernelConfig& config, UserSpace& user, PowerPort& power, Trace& trace)
    : impl_(std::make_unique<Impl>(config, user, power, trace)) {}
Kernel::~Kernel() = default;

u32 Kernel::create_object(ObjectKind kind, u64 param) { return impl_->create_object(kind, param); }
void Kernel::start(const StartSpec& spec) { impl_->start(spec); }
void Kernel::add_irq(const IrqSpec& spec, const std::vector<Ns>& dates) { impl_->add_irq(spec, dates); }
u32 Kernel::create_group(const GroupSpec& spec) { return impl_->create_group(spec); }
void Kernel::attach_pipe(u32 user, u32 pipe) { impl_->attach_pipe(user, pipe); }
Ns Kernel::next_event() const { return impl_->next_event(); }
void Kernel::advance(Ns limit) { impl_->advance(limit); }
void Kernel::finish(Ns now) { impl_->finish(now); }
std::string_view Kernel::cpu_onoff(CpuId cpu, bool on, Ns now) { return impl_->cpu_onoff(cpu, on, now); }
void Kernel::speed_changed(CpuId cpu, u64 hz, Ns now) { impl_->speed_changed(cpu, hz, now); }
u64 Kernel::audit(CpuId cpu, Ns idle_since, Ns bound, std::vector<std::string>& broken) {
  return impl_->auditor.check(impl_->sched, cpu, idle_since, broken, bound);
}
Ns Kernel::now() const { return impl_->now(); }
const Totals& Kernel::totals() const { return impl_->all_totals(); }
Alive Kernel::alive() const { return impl_->alive(); }
CpuTimes Kernel::cpu_times(CpuId cpu) const { return impl_->cpu_times(cpu); }
const DoubleClock& Kernel::double_clock() const { return impl_->sched.double_clock(); }
const std::array<LockStats, kLocks>& Kernel::lock_stats() const { return impl_->lock_stats(); }
std::vector<TaskView> Kernel::tasks() const { return impl_->tasks(); }
std::vector<GroupView> Kernel::groups() const { return impl_->groups(); }
TaskRefs Kernel::refs(Pid pid) const { return impl_->refs(pid); }
std::vector<TaskView> Kernel::stuck_tasks() const { return impl_->stuck_tasks(); }

}  // namespace forksim::km
