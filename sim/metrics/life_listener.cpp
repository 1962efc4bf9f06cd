#include "sim/metrics/life_listener.hpp"

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::NameId;
using km::Pid;
using km::s32;
using km::s64;
using km::Tp;
using km::TraceEvent;

namespace {
NameId name_arg(const TraceEvent& e, km::u32 field) { return NameId(static_cast<km::u32>(arg(e, field))); }
s64 signed_arg(const TraceEvent& e, km::u32 field) { return static_cast<s64>(arg(e, field)); }
}  // namespace

km::TpSet LifeListener::events() {
  return tp_set({Tp::sched_switch,     Tp::sched_stat_runtime, Tp::rt_runtime, Tp::sched_waking,       Tp::sched_wakeup,
                 Tp::sched_wakeup_new, Tp::sched_migrate_task, Tp::task_newtask,       Tp::sched_process_fork,
                 Tp::task_rename,      Tp::de_thread,          Tp::sched_process_exec, Tp::signal_generate,
                 Tp::sys_enter,        Tp::sys_exit,           Tp::task_attr,          Tp::tty,
                 Tp::cmdline,          Tp::rss_stat,           Tp::do_exit,
                 Tp::exit_notify,      Tp::reparent,           Tp::release_task,       Tp::task_struct_free});
}

void LifeListener::push(const LifeRecord& r) {
  if (records_.size() < limit_) return records_.push_back(r);
  if (cut_++ == 0) complete_until_ = r.at;
}

void LifeListener::describe(const km::TaskView& t) {
  LifeRecord r;
  r.kind = LifeKind::boot;
  r.pid = t.pid;
  r.cpu = t.cpu;
  r.other = t.ppid.v;
  r.value = t.prio;
  r.text = t.comm;
  r.state = t.state;
  push(r);
}

/// What makes no row of its own: system calls and accounting. True when `e` was such an event.
bool LifeListener::on_background(const TraceEvent& e) {
  if (e.id == Tp::sched_stat_runtime || e.id == Tp::rt_runtime) {
    known_.at(arg(e, Field::kPid)).runtime += km::Ns(arg(e, Field::kRuntime));
    return true;
  }
  if (e.id != Tp::sys_enter && e.id != Tp::sys_exit) return false;
  if (e.pid.v != 0) known_.at(e.pid).nr = e.id == Tp::sys_enter ? static_cast<s32>(arg(e, Field::kSyscallNr)) : -1;
  return true;
}

void LifeListener::on_event(const TraceEvent& e) {
  if (on_background(e)) return;
  LifeRecord r;
  r.at = e.ts;
  r.cpu = e.cpu;
  switch (e.id) {
    case Tp::sched_switch:
      return on_switch(e, r);
    case Tp::task_newtask:
    case Tp::sched_process_fork:
      return on_fork(e, r);
    case Tp::do_exit:
    case Tp::exit_notify:
    case Tp::reparent:
    case Tp::release_task:
    case Tp::task_struct_free:
      return on_end(e, r);
    case Tp::sched_waking:
    case Tp::sched_wakeup:
    case Tp::sched_wakeup_new:
    case Tp::sched_migrate_task:
      return on_wake(e, r);
    case Tp::task_attr:
      return on_attr(e, r);
    case Tp::tty:
    case Tp::cmdline:
    case Tp::rss_stat:
      return on_view(e, r);
    default:
      return on_change(e, r);
  }
}

void LifeListener::on_switch(const TraceEvent& e, LifeRecord r) {
  r.kind = LifeKind::run;
  r.pid = pid_arg(e, Field::kNextPid);
  r.other = pid_arg(e, Field::kPrevPid).v;
  r.value = signed_arg(e, Field::kNextPrio);
  r.state = state_letter(arg(e, Field::kPrevState));
  r.preempted = arg(e, Field::kPrevState) & km::TaskStateChar::kPreempted;
  known_.arrive(e.cpu, arg(e, Field::kNextPid));
  if (r.pid.v != 0) known_.at(r.pid).running = true;
  if (r.other == 0) return push(r);
  Known& prev = known_.leave(e.cpu, static_cast<km::u64>(r.other), false);
  r.syscall = prev.nr;
  r.runtime = prev.runtime;
  push(r);
  prev.running = false;
  if (!prev.woken) return;
  prev.woken = false;
  prev.wake.at = e.ts;
  push(prev.wake);
}

/// The flags come with task_newtask, who the parent is with sched_process_fork: one row for both.
void LifeListener::on_fork(const TraceEvent& e, LifeRecord r) {
  if (e.id == Tp::task_newtask) {
    r.kind = LifeKind::fork;
    r.pid = pid_arg(e, Field::kNewPid);
    r.other = e.pid.v;
    r.value = signed_arg(e, Field::kNewFlags);
    r.text = name_arg(e, Field::kNewComm);
    const km::u32 uid = e.pid.v ? known_.at(e.pid).uid : 0;
    known_.reborn(r.pid) = Known{};
    known_.at(r.pid).uid = uid;
    return push(r);
  }
  const bool same = !records_.empty() && records_.back().kind == LifeKind::fork && records_.back().pid == pid_arg(e, Field::kForkChild);
  if (same) records_.back().other = pid_arg(e, Field::kForkParent).v;
}

/// Wake-ups and moves.
void LifeListener::on_wake(const TraceEvent& e, LifeRecord r) {
  r.pid = pid_arg(e, Field::kPid);
  r.other = e.pid.v;
  if (e.id == Tp::sched_waking || e.id == Tp::sched_wakeup) {
    Known& k = known_.at(r.pid);
    k.woken = e.id == Tp::sched_waking && k.running;
    r.kind = LifeKind::waking;
    r.value = e.flags & km::TraceFlags::kHardirq ? 1 : e.flags & km::TraceFlags::kSoftirq ? 2 : 0;
    k.wake = r;
    if (e.id == Tp::sched_wakeup || k.woken) return;
  } else if (e.id == Tp::sched_wakeup_new) {
    r.kind = LifeKind::queued;
    r.value = signed_arg(e, Field::kPrio);
    r.cpu = km::CpuId(static_cast<km::u32>(arg(e, Field::kTargetCpu)));
  } else {
    r.kind = LifeKind::migrate;
    r.other = signed_arg(e, Field::kOrigCpu);
    r.value = signed_arg(e, Field::kDestCpu);
  }
  push(r);
}

/// Names, programs, signals.
void LifeListener::on_change(const TraceEvent& e, LifeRecord r) {
  switch (e.id) {
    case Tp::task_rename:
      r.kind = LifeKind::name;
      r.pid = pid_arg(e, Field::kRenamePid);
      r.text = name_arg(e, Field::kRenameNewComm);
      break;
    case Tp::de_thread:
      r.kind = LifeKind::takeover;
      r.pid = pid_arg(e, Field::kSubject);
      r.other = pid_arg(e, Field::kOldPid).v;
      known_.at(r.pid) = Known{known_.at(static_cast<km::u64>(r.other))};
      known_.arrive(e.cpu, arg(e, Field::kSubject));
      break;
    case Tp::sched_process_exec:
      r.kind = LifeKind::exec;
      r.pid = pid_arg(e, Field::kExecPid);
      r.other = pid_arg(e, Field::kExecOldPid).v;
      r.text = name_arg(e, Field::kExecFile);
      known_.at(r.pid).nr = -1;  // no sys_exit follows on arm64
      break;
    default:
      if (arg(e, Field::kSigRes) != 0) return;
      r.kind = LifeKind::signal;
      r.pid = pid_arg(e, Field::kSigPid);
      r.other = e.pid.v;
      r.value = signed_arg(e, Field::kSig);
      break;
  }
  push(r);
}

void LifeListener::on_attr(const TraceEvent& e, LifeRecord r) {
  r.kind = LifeKind::attr;
  r.pid = pid_arg(e, Field::kSubject);
  r.other = pid_arg(e, Field::kAttrPgrp).v;
  r.value = pid_arg(e, Field::kAttrSession).v;
  push(r);
  r.kind = LifeKind::prio;
  r.other = 0;
  r.value = signed_arg(e, Field::kAttrPrio);
  push(r);
  Known& known = known_.at(r.pid);
  if (known.uid == arg(e, Field::kAttrUid)) return;
  known.uid = static_cast<km::u32>(arg(e, Field::kAttrUid));
  r.kind = LifeKind::user;
  r.value = known.uid;
  push(r);
}

/// Terminal, command line, memory.
void LifeListener::on_view(const TraceEvent& e, LifeRecord r) {
  r.pid = pid_arg(e, Field::kSubject);
  if (e.id == Tp::cmdline) {
    r.kind = LifeKind::command;
    r.text = name_arg(e, Field::kCommand);
    return push(r);
  }
  const bool memory = e.id == Tp::rss_stat;
  r.kind = memory ? LifeKind::memory : LifeKind::tty;
  r.other = signed_arg(e, memory ? Field::kTotalVm : Field::kTtyPgrp);
  r.value = signed_arg(e, memory ? Field::kRss : Field::kTtyIndex);
  if (memory && arg(e, Field::kLocked)) r.state = 'L';
  push(r);
}

void LifeListener::on_end(const TraceEvent& e, LifeRecord r) {
  r.pid = pid_arg(e, Field::kSubject);
  switch (e.id) {
    case Tp::do_exit:
      r.kind = LifeKind::exit;
      r.value = signed_arg(e, Field::kExitCode);
      break;
    case Tp::exit_notify:
      r.kind = LifeKind::zombie;
      r.other = pid_arg(e, Field::kReaper).v;
      r.value = signed_arg(e, Field::kAutoreap);
      break;
    case Tp::reparent:
      r.kind = LifeKind::reparent;
      r.other = pid_arg(e, Field::kNewParent).v;
      r.value = pid_arg(e, Field::kOldParent).v;
      break;
    case Tp::release_task:
      r.kind = LifeKind::reaped;
      r.other = e.pid.v;
      break;
    default:
      r.kind = LifeKind::freed;
      break;
  }
  push(r);
}

void LifeListener::finish(km::Ns now) {
  if (cut_ == 0) complete_until_ = now;
}

}  // namespace forksim
