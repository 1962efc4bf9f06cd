#include "sim/metrics/latency_listener.hpp"

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::kNever;
using km::Tp;
using km::TraceEvent;

km::TpSet LatencyListener::events() {
  return tp_set({Tp::sched_switch,       Tp::sched_waking,    Tp::sched_wakeup,   Tp::sched_wakeup_new, Tp::task_newtask,
                 Tp::sched_process_exec, Tp::signal_generate, Tp::signal_deliver, Tp::fork_call,        Tp::fork_return,
                 Tp::user_first,         Tp::vfork_wait,      Tp::vfork_done,     Tp::exec_call,        Tp::do_exit,
                 Tp::stack_free,         Tp::exit_notify,     Tp::release_task,   Tp::task_struct_free, Tp::sched_info_arrive,
                 Tp::contention_end});
}

void LatencyListener::on_event(const TraceEvent& e) {
  switch (e.id) {
    case Tp::sched_switch:
      return on_switch(e);
    case Tp::sched_waking:
    case Tp::sched_wakeup:
    case Tp::sched_wakeup_new:
      return on_wakeup(e);
    case Tp::sched_info_arrive:
      return on_arrive(e);
    case Tp::contention_end:
      return histograms_[static_cast<std::size_t>(Metric::lock_wait)].add(arg(e, Field::kLockWait));
    case Tp::task_newtask:
      return on_newtask(e);
    case Tp::sched_process_exec:
      return on_exec(e);
    case Tp::signal_generate:
    case Tp::signal_deliver:
      return on_signal(e);
    case Tp::user_first:
      return on_user_first(e);
    case Tp::do_exit:
    case Tp::stack_free:
    case Tp::exit_notify:
    case Tp::release_task:
      return on_exit_path(e);
    case Tp::task_struct_free:
      return on_free(e);
    default:
      return on_call(e);
  }
}

void LatencyListener::on_wakeup(const TraceEvent& e) {
  TaskState& t = tasks_.at(arg(e, Field::kPid));
  if (e.id == Tp::sched_waking)
    t.waking = e.ts;
  else if (e.id == Tp::sched_wakeup_new)
    t.wakeup_new = e.ts;
  else if (t.switched_in != kNever)
    t.waking = kNever;
}

void LatencyListener::on_arrive(const TraceEvent& e) {
  TaskState& t = tasks_.at(arg(e, Field::kSubject));
  const km::Ns sum(arg(e, Field::kArriveDelay));
  add(Metric::run_delay, t.run_delay, sum);
  t.run_delay = sum;
}

void LatencyListener::on_switch(const TraceEvent& e) {
  if (arg(e, Field::kPrevPid) != 0) {
    const bool dead = is_dead(state_letter(arg(e, Field::kPrevState)));
    TaskState& prev = tasks_.leave(e.cpu, arg(e, Field::kPrevPid), dead);
    close(Metric::timeslice, prev.switched_in, e.ts);
    if (dead && prev.do_exit != kNever) add(Metric::exit_to_switch, prev.do_exit, e.ts);
  }
  tasks_.arrive(e.cpu, arg(e, Field::kNextPid));
  if (arg(e, Field::kNextPid) == 0) return;
  TaskState& next = tasks_.at(arg(e, Field::kNextPid));
  close(Metric::fork_to_run, next.wakeup_new, e.ts);
  close(Metric::wakeup, next.waking, e.ts);
  next.switched_in = e.ts;
}

void LatencyListener::on_newtask(const TraceEvent& e) {
  const km::Ns entry = tasks_.at(e.pid).fork_call;
  TaskState& child = tasks_.reborn(arg(e, Field::kNewPid));
  child = TaskState{};
  child.clone_entry = entry;
}

void LatencyListener::on_exec(const TraceEvent& e) {
  const km::u64 pid = arg(e, Field::kExecPid), old_pid = arg(e, Field::kExecOldPid);
  if (pid == old_pid) return;
  // A thread other than the leader goes on under the leader's pid (de_thread); the leader's task_struct is still to be freed.
  const TaskState moved = tasks_.at(old_pid);
  tasks_.at(old_pid) = TaskState{};
  TaskState& t = tasks_.at(pid);
  tasks_.arrive(e.cpu, pid);
  const km::Ns since = t.switched_in;
  t = moved;
  if (since != kNever) t.switched_in = since;
}

void LatencyListener::on_user_first(const TraceEvent& e) {
  TaskState& t = tasks_.at(arg(e, Field::kSubject));
  if (arg(e, Field::kUserKind) == 0)
    close(Metric::fork_to_user, t.clone_entry, e.ts);
  else
    close(Metric::exec_call, t.exec_call, e.ts);
}

void LatencyListener::on_exit_path(const TraceEvent& e) {
  TaskState& t = tasks_.last_on(e.cpu, arg(e, Field::kSubject));
  switch (e.id) {
    case Tp::do_exit:
      t.do_exit = e.ts;
      unfreed_.at(arg(e, Field::kSubject)).push_back(e.ts);
      if (t.killed != kNever && (arg(e, Field::kExitCode) & 0x7f) == t.kill_sig) add(Metric::kill_to_exit, t.killed, e.ts);
      t.killed = kNever;
      return;
    case Tp::stack_free:
      if (t.do_exit != kNever) add(Metric::exit_to_stack_free, t.do_exit, e.ts);
      return tasks_.settle(e.cpu, arg(e, Field::kSubject));
    case Tp::exit_notify:
      if (arg(e, Field::kAutoreap) == 0) t.exit_notify = e.ts;
      return;
    default:
      return close(Metric::exit_to_reap, t.exit_notify, e.ts);
  }
}

/// RCU frees the owners of a pid in the order in which they were released.
void LatencyListener::on_free(const TraceEvent& e) {
  std::vector<km::Ns>& exits = unfreed_.at(arg(e, Field::kSubject));
  if (exits.empty()) return;  // of a fork that failed
  add(Metric::exit_to_free, exits.front(), e.ts);
  exits.erase(exits.begin());
}

void LatencyListener::on_call(const TraceEvent& e) {
  TaskState& t = tasks_.at(arg(e, Field::kSubject));
  switch (e.id) {
    case Tp::fork_call:
      t.fork_call = e.ts;
      return;
    case Tp::fork_return:
      return close(Metric::fork_call, t.fork_call, e.ts);
    case Tp::vfork_wait:
      t.vfork_wait = e.ts;
      return;
    case Tp::vfork_done:
      return close(Metric::vfork_block, t.vfork_wait, e.ts);
    case Tp::exec_call:
      t.exec_call = e.ts;
      return;
    default:
      return;
  }
}

void LatencyListener::on_signal(const TraceEvent& e) {
  constexpr km::u64 kDelivered = 0, kSigkill = 9, kSigIgn = 1;
  if (e.id == Tp::signal_deliver) {
    // A signal with a handler ends nobody.
    TaskState& t = tasks_.at(e.pid);
    if (arg(e, Field::kSig) == t.kill_sig && arg(e, Field::kSigHandler) > kSigIgn) t.killed = kNever;
    return;
  }
  if (arg(e, Field::kSigRes) != kDelivered) return;
  TaskState& t = tasks_.at(arg(e, Field::kSigPid));
  // Nothing overtakes a SIGKILL that is on its way; otherwise the newest signal is the candidate.
  if (t.killed != kNever && t.kill_sig == kSigkill) return;
  t.killed = e.ts;
  t.kill_sig = static_cast<km::u8>(arg(e, Field::kSig));
}

}  // namespace forksim
