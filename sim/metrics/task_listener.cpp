#include "sim/metrics/task_listener.hpp"

#include "kernel_model/user_space.hpp"
#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::NameId;
using km::Ns;
using km::Tp;
using km::TraceEvent;
using Wait = TaskRecord::Wait;

km::TpSet TaskListener::events() {
  return tp_set({Tp::sched_switch, Tp::sched_wakeup, Tp::sched_wakeup_new, Tp::sched_stat_runtime, Tp::rt_runtime, Tp::task_newtask, Tp::sched_process_fork,
                 Tp::task_rename, Tp::sched_process_exec, Tp::do_exit, Tp::task_acct});
}

TaskRecord& TaskListener::record(km::u64 pid, NameId comm, Ns now) { return record(index_.at(pid), pid, comm, now); }

TaskRecord& TaskListener::record(km::u32& i, km::u64 pid, NameId comm, Ns now) {
  if (i == 0) {
    records_.emplace_back();
    i = static_cast<km::u32>(records_.size());
    TaskRecord& fresh = records_.back();
    fresh.pid = fresh.tgid = km::Pid(static_cast<km::s32>(pid));
    fresh.comm = comm;
    fresh.start = now;
    if (const Boot& b = boot_.at(pid); b.start != km::kNever) {
      fresh.tgid = b.tgid;
      fresh.ppid = b.ppid;
      fresh.start = b.start;
    }
  }
  return records_[i - 1];
}

void TaskListener::on_event(const TraceEvent& e) {
  switch (e.id) {
    case Tp::sched_switch:
      return on_switch(e);
    case Tp::sched_wakeup:
    case Tp::sched_wakeup_new:
      return on_wakeup(e);
    case Tp::rt_runtime:
    case Tp::sched_stat_runtime: {
      const km::u64 pid = arg(e, Field::kPid);
      TaskRecord& r = record(index_.last_on(e.cpu, pid), pid, NameId(static_cast<km::u32>(arg(e, Field::kComm))), e.ts);
      if (r.wait == Wait::unseen) {
        r.wait = Wait::wait_cpu;
        r.wake_up = e.ts;
      }
      r.runtime += Ns(arg(e, Field::kRuntime));
      return;
    }
    case Tp::task_newtask:
      return on_newtask(e);
    case Tp::sched_process_fork:
      return on_fork(e);
    case Tp::task_rename:
      record(arg(e, Field::kRenamePid), {}, e.ts).comm = NameId(static_cast<km::u32>(arg(e, Field::kRenameNewComm)));
      return;
    case Tp::sched_process_exec:
      return on_exec(e);
    case Tp::do_exit:
      record(arg(e, Field::kSubject), e.comm, e.ts).exit_code = static_cast<km::s32>(arg(e, Field::kExitCode));
      return;
    case Tp::task_acct:
      return on_acct(e);
    default:
      return;
  }
}

void TaskListener::on_switch(const TraceEvent& e) {
  if (arg(e, Field::kPrevPid) != 0) {
    const km::u64 pid = arg(e, Field::kPrevPid);
    const char state = state_letter(arg(e, Field::kPrevState));
    TaskRecord& prev = record(index_.leave(e.cpu, pid, is_dead(state)), pid, NameId(static_cast<km::u32>(arg(e, Field::kPrevComm))), e.ts);
    prev.wait = state == 'R' ? Wait::wait_cpu : Wait::sleeping;
    prev.wake_up = e.ts;
    if (is_dead(state)) prev.end = e.ts;
  }
  index_.arrive(e.cpu, arg(e, Field::kNextPid));
  if (arg(e, Field::kNextPid) == 0) return;
  TaskRecord& next = record(arg(e, Field::kNextPid), NameId(static_cast<km::u32>(arg(e, Field::kNextComm))), e.ts);
  if (next.wait == Wait::unseen)
    next.wake_up = e.ts;
  else if (next.wait != Wait::wait_cpu)
    return;
  next.wait = Wait::sched_in;
  const Ns delay = e.ts - next.wake_up;
  ++next.delays;
  next.total_delay += delay;
  if (delay <= next.max_delay) return;
  next.max_delay = delay;
  next.max_delay_start = next.wake_up;
  next.max_delay_end = e.ts;
}

void TaskListener::on_wakeup(const TraceEvent& e) {
  TaskRecord& r = record(arg(e, Field::kPid), NameId(static_cast<km::u32>(arg(e, Field::kComm))), e.ts);
  if (r.wait != Wait::unseen && r.wait != Wait::sleeping) return;
  r.wait = Wait::wait_cpu;
  r.wake_up = e.ts;
}

void TaskListener::on_newtask(const TraceEvent& e) {
  const km::u64 flags = arg(e, Field::kNewFlags);
  km::Pid parent_tgid = e.pid, grandparent{0};
  if (const km::u32 p = index_.at(e.pid)) {
    parent_tgid = records_[p - 1].tgid;
    grandparent = records_[p - 1].ppid;
  }
  index_.reborn(arg(e, Field::kNewPid)) = 0;
  boot_.at(arg(e, Field::kNewPid)) = {};
  TaskRecord& child = record(arg(e, Field::kNewPid), NameId(static_cast<km::u32>(arg(e, Field::kNewComm))), e.ts);
  if (flags & km::kCLONE_THREAD) child.tgid = parent_tgid;
  if (e.pid.v == 0) return;
  child.ppid = (flags & (km::kCLONE_THREAD | km::kCLONE_PARENT)) ? grandparent : parent_tgid;
}

/// A process that the workload starts is init's child, whoever runs on the CPU where it appears.
void TaskListener::on_fork(const TraceEvent& e) {
  constexpr km::u64 kInit = 1;
  if (arg(e, Field::kForkParent) != kInit) return;
  TaskRecord& child = record(arg(e, Field::kForkChild), {}, e.ts);
  child.ppid = km::Pid(kInit);
  child.tgid = child.pid;
}

void TaskListener::on_exec(const TraceEvent& e) {
  const km::u64 pid = arg(e, Field::kExecPid), old_pid = arg(e, Field::kExecOldPid);
  if (pid == old_pid || index_.at(old_pid) == 0) return;
  const km::u32 row = index_.at(old_pid);
  index_.at(old_pid) = 0;
  index_.at(pid) = row;
  index_.arrive(e.cpu, pid);
  records_[row - 1].pid = records_[row - 1].tgid = km::Pid(static_cast<km::s32>(pid));
}

void TaskListener::on_acct(const TraceEvent& e) {
  const km::u64 pid = arg(e, Field::kSubject);
  TaskRecord& r = record(index_.last_on(e.cpu, pid), pid, e.comm, e.ts);
  r.utime = Ns(arg(e, Field::kUtime));
  r.stime = Ns(arg(e, Field::kStime));
  r.run_delay = Ns(arg(e, Field::kRunDelay));
  r.nvcsw = arg(e, Field::kNvcsw);
  r.nivcsw = arg(e, Field::kNivcsw);
  r.minflt = arg(e, Field::kMinflt);
  r.migrations = arg(e, Field::kMigrations);
  index_.settle(e.cpu, pid);
}

void TaskListener::describe(km::Pid pid, km::Pid tgid, km::Pid ppid, Ns start) { boot_.at(pid) = {tgid, ppid, start}; }

}  // namespace forksim
