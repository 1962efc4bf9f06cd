#include "sim/metrics/schedule_listener.hpp"

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::NameId;
using km::Tp;
using km::TraceEvent;

km::TpSet ScheduleListener::events() { return tp_set({Tp::sched_switch, Tp::sched_process_fork, Tp::do_exit, Tp::task_rename}); }

void ScheduleListener::push(ScheduleRecord r) {
  if (records_.size() >= limit_) {
    ++cut_;
    return;
  }
  records_.push_back(r);
}

void ScheduleListener::end_run(km::CpuId cpu, km::Ns now) {
  Running& r = running_[cpu.v];
  if (r.pid.v != 0) push({r.since, now, r.pid, r.comm, cpu, ScheduleRecord::Kind::run});
  r = {};
}

void ScheduleListener::on_event(const TraceEvent& e) {
  if (e.cpu.v >= running_.size()) return;
  if (e.id == Tp::sched_switch) {
    end_run(e.cpu, e.ts);
    running_[e.cpu.v] = {e.ts, pid_arg(e, Field::kNextPid), NameId(static_cast<km::u32>(arg(e, Field::kNextComm)))};
    return;
  }
  if (e.id == Tp::task_rename) {
    Running& r = running_[e.cpu.v];
    if (r.pid != pid_arg(e, Field::kRenamePid) || r.pid.v == 0) return;
    const km::Pid pid = r.pid;
    end_run(e.cpu, e.ts);
    r = {e.ts, pid, NameId(static_cast<km::u32>(arg(e, Field::kRenameNewComm)))};
    return;
  }
  const bool fork = e.id == Tp::sched_process_fork;
  constexpr km::u32 kChildComm = 2, kChildPid = 3;
  const km::Pid pid = pid_arg(e, fork ? kChildPid : Field::kSubject);
  const NameId comm = fork ? NameId(static_cast<km::u32>(arg(e, kChildComm))) : e.comm;
  push({e.ts, e.ts, pid, comm, e.cpu, fork ? ScheduleRecord::Kind::fork : ScheduleRecord::Kind::exit});
}

void ScheduleListener::finish(km::Ns now) {
  for (km::u32 c = 0; c < running_.size(); ++c) end_run(km::CpuId(c), now);
}

}  // namespace forksim
