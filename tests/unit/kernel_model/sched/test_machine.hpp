// A machine of any size around the scheduler, for unit tests.
//
// Purpose: idle tasks, stoppers, recorded IPIs and trace events, and short spellings for what a CPU does next.
// Source:  none. Units: ns. Ownership: owns everything. Errors: contracts. Not modelled: time between the steps of one call.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernel_model/sched/scheduler.hpp"

namespace forksim::km::test {

inline constexpr u64 kMs = 1'000'000;  ///< ns

inline KernelProfile profile(std::string_view name, u32 cpus = 4) {
  KernelProfile k = *find_profile(name);
  resolve_tunables(k, cpus, {});
  return k;
}
inline KernelProfile rpi(u32 cpus = 4) { return profile("rpi-4.19-arm64", cpus); }
inline KernelProfile mc(u32 cpus = 4) { return profile("mc-4.19-arm64", cpus); }

/// `llc` CPUs share a cache; all of them form the machine.
inline MachineTopology topology(u32 cpus, u32 llc) {
  MachineTopology t{cpus, {{TopologyLevel::Kind::llc, {}}, {TopologyLevel::Kind::die, std::vector<CpuMask>(cpus, CpuMask::first_n(cpus))}}};
  for (u32 c = 0; c < cpus; ++c) {
    CpuMask m;
    for (u32 i = c / llc * llc; i < std::min(cpus, (c / llc + 1) * llc); ++i) m.set(CpuId(i));
    t.levels[0].mask.push_back(m);
  }
  return t;
}

class TestMachine final : public SchedHooks, public TraceListener {
 public:
  explicit TestMachine(const KernelProfile& k, u32 cpus = 4, u32 llc = 4)
      : sched(k, topology(cpus, llc), *this, trace), idle(cpus), stopper(cpus) {
    trace.subscribe(*this, TpSet().set());
    sched.init_jiffies(1000);
    for (u32 c = 0; c < cpus; ++c) {
      sched.init_idle(idle[c], CpuId(c));
      Task& s = stopper[c];
      s.pid = Pid(static_cast<s32>(10 + c));
      s.state = TASK_INTERRUPTIBLE;
      s.sched_class = SchedClass::stop;
      s.prio = 0;
      s.cpus_allowed = CpuMask::of(CpuId(c));
      s.nr_cpus_allowed = 1;
      s.se.task = &s;
      sched.set_task_cpu_raw(s, CpuId(c));
      rq(c).stop = &s;
    }
    at(1'000'000'000);
  }

  void send_reschedule(CpuId from, CpuId to) override { ipis.emplace_back(from.v, to.v); }
  bool idle_polling(CpuId) const override { return polling; }
  u8 trace_flags(CpuId) const override { return 0; }
  void stop_one_cpu_nowait(CpuId from, CpuId cpu) override { sched.try_to_wake_up(stopper[cpu.v], TASK_NORMAL, 0, from); }
  void irq_work_queue_on(CpuId, CpuId cpu) override { rt_push.push_back(cpu); }
  void hrtimer_start(SchedTimer which, TaskGroup*, CpuId cpu, Ns expires) override {
    if (which == SchedTimer::hrtick) hrticks.emplace_back(cpu.v, expires);
  }
  void hrtick_cancel(CpuId cpu) override { hrticks.emplace_back(cpu.v, kNever); }
  void hrtick_call(CpuId from, CpuId cpu) override { hrtick_calls.emplace_back(from.v, cpu.v); }
  void on_event(const TraceEvent& e) override { events.push_back(e); }

  void at(u64 ns) { sched.set_now(Ns(ns)); }
  void advance(u64 ns) { sched.set_now(sched.now() + Ns(ns)); }
  Rq& rq(u32 c) { return sched.rq(CpuId(c)); }
  Task& curr(u32 c) { return *rq(c).curr; }

  /// A task that exists but was never queued; fork it with start().
  Task& task(int nice = 0, u64 allowed = ~u64{0}) {
    Task& t = tasks.emplace_back();
    t.pid = Pid(static_cast<s32>(100 + tasks.size()));
    t.id = TaskId{static_cast<u32>(tasks.size())};
    t.cpus_allowed = CpuMask::from_word(allowed) & CpuMask::first_n(sched.cpus());
    t.nr_cpus_allowed = t.cpus_allowed.count();
    t.se.task = &t;
    sched.set_params(t, SchedPolicy::normal, nice);
    return t;
  }
  /// sched_fork and wake_up_new_task by whoever runs on `cpu`.
  Task& start(Task& t, u32 cpu) {
    sched.sched_fork(t, CpuId(cpu));
    sched.wake_up_new_task_select(t, CpuId(cpu));
    sched.wake_up_new_task_activate(t, CpuId(cpu));
    return t;
  }
  /// __schedule on `cpu`; returns who runs.
  Task& schedule(u32 cpu, bool preempt = false, Ns newidle_cost = Ns(0)) {
    Task& prev = curr(cpu);
    sched.schedule_begin(CpuId(cpu), preempt, false);
    Task& next = sched.schedule_pick(CpuId(cpu), preempt, newidle_cost);
    if (&next != &prev) sched.finish_task_switch(prev, CpuId(cpu));
    return next;
  }
  Task& sleep(u32 cpu) {
    curr(cpu).state = TASK_INTERRUPTIBLE;
    return schedule(cpu);
  }
  Task& die(u32 cpu) {
    curr(cpu).state = TASK_DEAD;
    curr(cpu).exit_state = EXIT_ZOMBIE;
    return schedule(cpu);
  }
  /// Delivers wake lists and reschedules until nothing is pending; stoppers do their work.
  void settle() {
    for (bool again = true; again;) {
      again = !rt_push.empty();
      for (std::size_t i = 0; i < rt_push.size(); ++i) {
        sched.set_this_cpu(rt_push[i]);
        sched.rt().rto_push_irq_work(rt_push[i]);
      }
      rt_push.clear();
      for (u32 c = 0; c < sched.cpus(); ++c) {
        if (rq(c).wake_list) again |= sched.scheduler_ipi(CpuId(c)) > 0;
        if (!curr(c).need_resched()) continue;
        again = true;
        if (&schedule(c, &curr(c) != rq(c).idle) != rq(c).stop) continue;
        sched.active_load_balance_cpu_stop(CpuId(c));
        sleep(c);
      }
    }
  }
  std::vector<TraceEvent> seen(Tp id) const {
    std::vector<TraceEvent> out;
    std::ranges::copy_if(events, std::back_inserter(out), [id](const TraceEvent& e) { return e.id == id; });
    return out;
  }

  Trace trace;
  Scheduler sched;
  std::deque<Task> idle, stopper, tasks;
  std::vector<std::pair<u32, u32>> ipis;
  std::vector<CpuId> rt_push;
  std::vector<std::pair<u32, Ns>> hrticks;  ///< armed, or (kNever) cancelled
  std::vector<std::pair<u32, u32>> hrtick_calls;
  std::vector<TraceEvent> events;
  bool polling = false;
};

/// A nice-0 task runs on CPU 0 since `ran` ns; a second one has just been queued there by CPU `from`.
struct Pair {
  explicit Pair(const KernelProfile& k = rpi(), u32 from = 0, u64 ran = kMs) : m(k), a(m.start(m.task(0, 1), 0)), b() {
    m.settle();
    // A new task itself starts a slice to the right; once it runs, min_vruntime follows it.
    m.advance(ran);
    m.sched.scheduler_tick(CpuId(0));
    b = &m.start(m.task(0, 1), from);
  }
  u64 now() const { return m.sched.now().v; }
  TestMachine m;
  Task& a;
  Task* b;
};

}  // namespace forksim::km::test
