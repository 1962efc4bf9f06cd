#include "tests/oracle/machine.hpp"

namespace forksim::oracle {

using namespace km;

namespace {
MachineTopology quad() {
  const std::vector<CpuMask> all(kCpus, CpuMask::first_n(kCpus));
  return {kCpus, {{TopologyLevel::Kind::llc, all}, {TopologyLevel::Kind::die, all}}};
}
}  // namespace

Machine::Machine(const Config& cfg) : config(cfg), sched(config.profile, quad(), *this, trace) {
  sched.init_jiffies(kBootJiffies);
  // The generator brought no CPU up, so its limit stayed the boot value.
  sched.balancer().set_max_interval(config.profile.hz / 10);
  for (u32 c = 0; c < kCpus; ++c) {
    sched.init_idle(idle[c], CpuId(c));
    Task& s = stopper[c];
    s.state = TASK_INTERRUPTIBLE;
    s.sched_class = SchedClass::stop;
    s.prio = 0;
    s.cpus_allowed = CpuMask::of(CpuId(c));
    s.nr_cpus_allowed = 1;
    s.se.task = &s;
    sched.set_task_cpu_raw(s, CpuId(c));
    rq(c).stop = &s;
    rq(c).next_balance = kBootJiffies + c;
  }
}

void Machine::send_reschedule(CpuId, CpuId to) {
  ipi_sent |= 1u << to.v;
  ipi_pending |= 1u << to.v;
}

void Machine::stop_one_cpu_nowait(CpuId from, CpuId cpu) {
  active = static_cast<int>(cpu.v);
  if (config.wake_list)
    sched.try_to_wake_up(stopper[cpu.v], TASK_NORMAL, 0, from);
  else
    stop_pending |= 1u << cpu.v;
}

Task& Machine::new_task() {
  Task& t = tasks.emplace_back();
  t.pid = Pid(static_cast<s32>(1000 + tasks.size()));
  t.se.task = &t;
  return t;
}

}  // namespace forksim::oracle
