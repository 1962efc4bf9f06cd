#include "sim/metrics/invariant_listener.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::CpuId;
using km::Ns;
using km::Pid;
using km::Tp;
using km::TraceEvent;
using km::u32;
using km::u64;

km::TpSet InvariantListener::events() {
  return tp_set({Tp::sched_switch, Tp::sched_waking, Tp::sched_wakeup, Tp::sched_wakeup_new, Tp::sched_migrate_task, Tp::task_newtask,
                 Tp::task_rename, Tp::sched_process_exec, Tp::sched_process_free, Tp::task_struct_free, Tp::stack_free, Tp::do_exit,
                 Tp::exit_notify, Tp::release_task, Tp::user_first, Tp::cpu_power, Tp::task_acct, Tp::sched_info_arrive,
                 Tp::sched_process_fork, Tp::de_thread});
}

void InvariantListener::violate(const TraceEvent& e, std::string what) {
  ++violated_;
  if (violations_.size() == kKept) return;
  Violation v{e.ts, e.cpu, std::move(what), {}};
  const u64 n = std::min<u64>(ring_next_, kContext);
  for (u64 i = ring_next_ - n; i < ring_next_; ++i) v.before.push_back(ring_[i % kContext]);
  violations_.push_back(std::move(v));
}

void InvariantListener::violate_at_end(Ns at, CpuId cpu, std::string what) {
  ++violated_;
  if (violations_.size() < kKept) violations_.push_back({at, cpu, std::move(what), {}});
}

void InvariantListener::on_event(const TraceEvent& e) {
  ring_[ring_next_++ % kContext] = e;
  ++seen_[static_cast<std::size_t>(e.id)];
  if (!check(e.cpu.v < curr_.size())) return violate(e, fmt::format("an event of CPU {}, which the machine does not have", e.cpu.v));
  if (!check(e.ts >= last_ts_[e.cpu.v])) violate(e, fmt::format("time on CPU {} goes back from {} ns", e.cpu.v, last_ts_[e.cpu.v].v));
  last_ts_[e.cpu.v] = e.ts;
  switch (e.id) {
    case Tp::sched_switch:
      return on_switch(e);
    case Tp::task_newtask:
      return on_newtask(e);
    case Tp::sched_process_exec:
    case Tp::de_thread:
      return on_exec(e);
    case Tp::task_rename:
      return follow_rename(e);
    case Tp::task_struct_free:
      return on_free(e);
    case Tp::task_acct:
      return on_acct(e);
    case Tp::cpu_power:
      return on_power(e);
    default:
      return on_other(e);
  }
}

void InvariantListener::on_other(const TraceEvent& e) {
  switch (e.id) {
    case Tp::release_task: {
      TaskState& t = touch(e, arg(e, Field::kSubject));
      if (!t.taken_over && t.life == Life::alive) t.life = Life::released;
      return;
    }
    case Tp::sched_wakeup:
    case Tp::sched_wakeup_new: {
      TaskState& t = touch(e, arg(e, Field::kPid));
      if (!t.running) t.runnable = true;
      return;
    }
    case Tp::sched_info_arrive:
      touch(e, arg(e, Field::kSubject)).waited = Ns(arg(e, Field::kArriveDelay));
      return;
    case Tp::sched_waking:
    case Tp::sched_migrate_task:
    case Tp::sched_process_fork:
    case Tp::sched_process_free:
      touch(e, arg(e, Field::kPid));
      return;
    default:
      touch(e, arg(e, Field::kSubject));
      return;
  }
}

InvariantListener::TaskState& InvariantListener::touch(const TraceEvent& e, u64 pid) { return watch(e, pid, tasks_.at(pid)); }

InvariantListener::TaskState& InvariantListener::watch(const TraceEvent& e, u64 pid, TaskState& t) {
  const bool ok = check(t.life != Life::freed || t.taken_over);
  if (!ok) violate(e, fmt::format("an event of pid {} after its task_struct was freed", pid));
  if (t.life == Life::unseen) t.life = Life::alive;
  return t;
}

void InvariantListener::on_switch(const TraceEvent& e) {
  Pid& curr = curr_[e.cpu.v];
  const Pid prev = pid_arg(e, Field::kPrevPid), next = pid_arg(e, Field::kNextPid);
  if (!check(prev == curr)) violate(e, fmt::format("CPU {} switches away from pid {} while pid {} ran", e.cpu.v, prev.v, curr.v));
  if (prev.v != 0) {
    const char state = state_letter(arg(e, Field::kPrevState));
    TaskState& p = watch(e, arg(e, Field::kPrevPid), tasks_.leave(e.cpu, arg(e, Field::kPrevPid), is_dead(state)));
    p.running = false;
    p.runnable = state == 'R';
  }
  curr = next;
  tasks_.arrive(e.cpu, arg(e, Field::kNextPid));
  if (audit_) audit_queue(e);
  if (next.v == 0) return;
  TaskState& n = touch(e, arg(e, Field::kNextPid));
  if (!check(!n.running)) violate(e, fmt::format("pid {} starts on CPU {} while it runs on CPU {}", next.v, e.cpu.v, n.cpu));
  n.runnable = false;
  n.running = true;
  n.cpu = e.cpu.v;
}

/// A queue that took many checks is looked at less often, so that the cost per event stays the same.
void InvariantListener::audit_queue(const TraceEvent& e) {
  QueueState& q = queues_[e.cpu.v];
  q.idle_since = curr_[e.cpu.v].v == 0 ? e.ts : km::kNever;
  if (e.ts >= next_idle_audit_) audit_idle(e);
  if (q.due > 0) {
    --q.due;
    return;
  }
  constexpr u64 kShort = 16;
  run_audit(e, e.cpu, km::kNever);
  q.due = q.checks / kShort;
}

void InvariantListener::audit_idle(const TraceEvent& e) {
  next_idle_audit_ = e.ts + idle_every_;
  for (u32 c = 0; c < queues_.size(); ++c)
    if (queues_[c].idle_since != km::kNever) run_audit(e, CpuId(c), queues_[c].idle_since + km::Kernel::kClockBase);
}

void InvariantListener::run_audit(const TraceEvent& e, CpuId cpu, Ns idle_since) {
  broken_.clear();
  const u64 checks = audit_(cpu, idle_since, broken_);
  checked_ += checks;
  queues_[cpu.v].checks = checks;
  for (const std::string& what : broken_) violate(e, what);
}

void InvariantListener::on_newtask(const TraceEvent& e) {
  const u64 pid = arg(e, Field::kNewPid);
  TaskState& t = tasks_.reborn(pid);
  if (!check(t.life != Life::alive))
    violate(e, t.born ? fmt::format("pid {} is born a second time", pid) : fmt::format("an event of pid {} came before its birth", pid));
  const auto unfreed = static_cast<km::u8>(t.old_unfreed + (t.life == Life::released ? 1 : 0));
  t = TaskState{};
  t.life = Life::alive;
  t.born = true;
  t.old_unfreed = unfreed;
}

void InvariantListener::follow_rename(const TraceEvent& e) {
  touch(e, arg(e, Field::kRenamePid));
  // de_thread has changed the current task's pid by now, before sched_process_exec says so.
  Pid& curr = curr_[e.cpu.v];
  if (e.pid == curr || e.pid.v == 0 || pid_arg(e, Field::kRenamePid) != e.pid) return;
  TaskState& t = tasks_.at(e.pid);
  t.taken_over = true;
  t.running = true;
  t.cpu = e.cpu.v;
  tasks_.at(curr).running = false;
  curr = e.pid;
  tasks_.arrive(e.cpu, static_cast<u64>(e.pid.v));
}

void InvariantListener::on_exec(const TraceEvent& e) {
  const bool early = e.id == Tp::de_thread;  // the number changes here already
  const u64 pid = arg(e, early ? Field::kSubject : Field::kExecPid), old_pid = arg(e, early ? Field::kOldPid : Field::kExecOldPid);
  if (pid == old_pid || (!early && curr_[e.cpu.v].v == static_cast<km::s32>(pid))) {
    touch(e, pid);
    return;
  }
  const TaskState moved = tasks_.at(old_pid);
  TaskState& t = tasks_.at(pid);
  if (early) ++t.old_unfreed;  // the leader's
  t.taken_over = true;
  t.life = Life::alive;
  t.running = true;
  t.cpu = e.cpu.v;
  t.waited = moved.waited;
  curr_[e.cpu.v] = Pid(static_cast<km::s32>(pid));
  tasks_.arrive(e.cpu, pid);
  tasks_.at(old_pid) = TaskState{};
}

void InvariantListener::on_free(const TraceEvent& e) {
  const u64 pid = arg(e, Field::kSubject);
  if (pid == 0) return;  // of a fork that failed
  TaskState& t = tasks_.at(pid);
  if (t.old_unfreed > 0) {
    --t.old_unfreed;
    return;
  }
  touch(e, pid);
  if (!check(!t.running)) violate(e, fmt::format("the task_struct of pid {} is freed while it runs on CPU {}", pid, t.cpu));
  t.life = Life::freed;
}

void InvariantListener::on_acct(const TraceEvent& e) {
  const u64 pid = arg(e, Field::kSubject), delay = arg(e, Field::kRunDelay);
  TaskState& t = watch(e, pid, tasks_.last_on(e.cpu, pid));
  task_user_ += Ns(arg(e, Field::kUtime));
  // A task that waits right now has a wait in neither sum, or only the part before its last migration.
  if (!t.runnable && !t.taken_over && !check(t.waited.v == delay))
    violate(e, fmt::format("pid {}: run_delay is {} ns but its waits add up to {} ns", pid, delay, t.waited.v));
  tasks_.settle(e.cpu, pid);
}

void InvariantListener::spend(PowerState& p, Ns now) {
  if (p.spent.size() <= p.opp) p.spent.resize(p.opp + 1);
  p.spent[p.opp][p.busy] += now - p.since;
  p.since = now;
}

void InvariantListener::on_power(const TraceEvent& e) {
  const u64 cpu = arg(e, Field::kPowerCpu);
  if (cpu >= power_.size()) return;
  PowerState& p = power_[cpu];
  // Time before the first transition belongs to the boot state, which only finish() is told.
  if (p.seen)
    spend(p, e.ts);
  else
    p.boot = e.ts;
  p.seen = true;
  p.since = e.ts;
  p.opp = static_cast<u32>(arg(e, Field::kPowerOpp));
  p.busy = arg(e, Field::kPowerBusy) != 0;
}

void InvariantListener::finish(const FinalNumbers& f) {
  check_times(f);
  check_books(f);
  check_counts(f);
  if (!f.watts.empty()) check_energy(f);
}

void InvariantListener::check_times(const FinalNumbers& f) {
  for (u32 c = 0; c < f.cpus.size(); ++c) {
    const km::CpuTimes& t = f.cpus[c].times;
    const Ns sum = t.user + t.system + t.irq + t.idle;
    if (!check(sum == f.cpus[c].online))
      violate_at_end(f.now, CpuId(c), fmt::format("times of CPU {} add up to {} ns, it was online {} ns", c, sum.v, f.cpus[c].online.v));
  }
}

void InvariantListener::check_books(const FinalNumbers& f) {
  const km::Totals& t = f.totals;
  if (!check(t.stacks_allocated == t.stacks_freed + f.alive.stacks))
    violate_at_end(f.now, {}, fmt::format("stacks: {} allocated, {} freed, {} alive", t.stacks_allocated, t.stacks_freed, f.alive.stacks));
  if (!check(t.task_structs_allocated == t.task_structs_freed + f.alive.task_structs))
    violate_at_end(f.now, {},
                   fmt::format("task_structs: {} allocated, {} freed, {} alive", t.task_structs_allocated, t.task_structs_freed,
                               f.alive.task_structs));
}

void InvariantListener::check_counts(const FinalNumbers& f) {
  const km::Totals& t = f.totals;
  struct Pair {
    Tp event;
    u64 total;
    const char* name;
  };
  const Pair pairs[] = {{Tp::sched_switch, t.context_switches, "context_switches"},
                        {Tp::sched_process_fork, t.forks + t.threads + t.kthreads, "forks + threads + kthreads"},
                        {Tp::sched_process_exec, t.execs, "execs"},
                        {Tp::do_exit, t.exits, "exits"},
                        {Tp::sched_wakeup, t.wakeups, "wakeups"},
                        {Tp::sched_migrate_task, t.migrations, "migrations"},
                        {Tp::stack_free, t.stacks_freed, "stacks_freed"},
                        {Tp::task_struct_free, t.task_structs_freed, "task_structs_freed"}};
  for (const Pair& p : pairs) {
    const u64 seen = seen_[static_cast<std::size_t>(p.event)];
    if (!check(seen == p.total)) violate_at_end(f.now, {}, fmt::format("totals.{} is {}, but {} events were seen", p.name, p.total, seen));
  }
  Ns user{0};
  for (const FinalNumbers::Cpu& c : f.cpus) user += c.times.user;
  if (!check(user == task_user_))
    violate_at_end(f.now, {}, fmt::format("the CPUs spent {} ns in user mode, the tasks {} ns", user.v, task_user_.v));
}

/// The engine's log of operating points: its times add up to the run, its energies to what was charged.
void InvariantListener::check_opps(const FinalNumbers& f, u32 c) {
  const FinalNumbers::Cpu& cpu = f.cpus[c];
  if (cpu.opps.empty()) return;
  constexpr double kTolerance = 1e-9;
  Ns spent = cpu.off;
  double joules = cpu.off_energy_j;
  for (const FinalNumbers::Cpu::Opp& o : cpu.opps) {
    spent += o.busy + o.wfi;
    joules += o.energy_j;
  }
  if (!check(spent == f.now))
    violate_at_end(f.now, CpuId(c), fmt::format("times of CPU {} by operating point add up to {} ns, the run to {} ns", c, spent.v, f.now.v));
  if (!check(std::fabs(joules - cpu.energy_j) <= kTolerance * std::max(std::fabs(joules), std::fabs(cpu.energy_j))))
    violate_at_end(f.now, CpuId(c), fmt::format("energies of CPU {} by operating point add up to {} J, {} J were charged", c, joules, cpu.energy_j));
}

void InvariantListener::check_energy(const FinalNumbers& f) {
  constexpr double kTolerance = 1e-9, kNsPerSecond = 1e9;
  for (u32 c = 0; c < f.cpus.size() && c < power_.size(); ++c) {
    PowerState& p = power_[c];
    if (p.seen)
      spend(p, f.now);
    else
      p.boot = f.now;
    p.joules = 0;
    check_opps(f, c);
    if (f.cpus[c].online != f.now) continue;  // power while off is the platform's, not seen in the events
    if (f.boot_opp < f.watts.size()) p.joules = f.watts[f.boot_opp][f.boot_busy] * (static_cast<double>(p.boot.v) / kNsPerSecond);
    for (u32 opp = 0; opp < p.spent.size() && opp < f.watts.size(); ++opp)
      for (u32 busy = 0; busy < 2; ++busy) p.joules += f.watts[opp][busy] * (static_cast<double>(p.spent[opp][busy].v) / kNsPerSecond);
    const double limit = kTolerance * std::max(std::fabs(p.joules), std::fabs(f.cpus[c].energy_j));
    if (!check(std::fabs(p.joules - f.cpus[c].energy_j) <= limit))
      violate_at_end(f.now, CpuId(c), fmt::format("energy of CPU {}: {} J charged, power x time is {} J", c, f.cpus[c].energy_j, p.joules));
  }
}

}  // namespace forksim
