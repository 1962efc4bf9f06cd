// Single rules of the life cycle: interrupt threads, kworkers, options of wait, retargeted signals, exit signals after execve, the two
// references of a task_struct, preempt_count.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel_model/process/objects.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

constexpr int opts(u32 o) { return static_cast<int>(o); }

/// Time that `pid` ran on `cpu`, from its switches in and out.
Ns ran(const ScriptMachine& m, s32 pid, CpuId cpu) {
  Ns sum{0}, in{0};
  for (const TraceEvent& e : m.of(Tp::sched_switch)) {
    if (e.cpu != cpu) continue;
    if (static_cast<s32>(e.args[5]) == pid) in = e.ts;
    if (static_cast<s32>(e.args[1]) == pid) sum += e.ts - in;
  }
  return sum;
}

std::vector<std::pair<int, s64>> signals_and_results(const ScriptMachine& m, s32 pid) {
  std::vector<std::pair<int, s64>> out;
  for (const TraceEvent& e : m.of(Tp::signal_generate))
    if (static_cast<s32>(e.args[4]) == pid) out.emplace_back(static_cast<int>(e.args[0]), static_cast<s64>(e.args[6]));
  return out;
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("an interrupt wakes its thread irq/N-name, a FIFO task of its CPU, which works once for each") {
    ScriptMachine m;
    m.kernel().add_irq({"eth0", 40, CpuId(2), 3_us, 70_us}, {5_ms, 6_ms, 7_ms});
    m.start(m.add_list({sleep_op(20_ms)}));
    m.run();
    const auto tasks = m.kernel().tasks();
    const auto thread = std::ranges::find_if(tasks, [&](const TaskView& t) { return m.trace().names()[t.comm] == "irq/40-eth0"; });
    REQUIRE(thread != tasks.end());
    CHECK(thread->cpu == CpuId(2));
    CHECK(thread->prio == 99 - 50);
    const auto handled = m.of(Tp::irq_handler_exit);
    CHECK(std::ranges::count_if(handled, [](const TraceEvent& e) { return e.args[0] == 40 && e.args[1] == 2; }) == 3);  // IRQ_WAKE_THREAD
    CHECK(ran(m, thread->pid.v, CpuId(2)) >= 210_us);
    CHECK(ran(m, thread->pid.v, CpuId(2)) < 270_us);
  }

  TEST_CASE("queue_work: the kworker of the CPU asked for does the work") {
    ScriptMachine m;
    Op work = op(OpKind::queue_work, 2);
    work.ns = 500_us;
    m.start(m.add_list({work, work, sleep_op(10_ms)}));
    m.run();
    constexpr s32 kKworkerOfCpu2 = 8;
    CHECK(ran(m, kKworkerOfCpu2, CpuId(2)) >= 1_ms);
    CHECK(ran(m, kKworkerOfCpu2, CpuId(2)) < 1_ms + 50_us);
  }

  TEST_CASE("WNOWAIT leaves the zombie for the next wait") {
    ScriptMachine m;
    const u32 child = m.add_list({exit_op(3)});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child)), wait_op(-1, opts(kWEXITED | kWNOWAIT)), wait_op(-1, opts(kWEXITED | kWNOWAIT)),
                                   wait_op(), wait_op()});
    m.start(parent);
    m.run();
    const auto& r = m.results[parent];
    CHECK(r.at(1) == kFirstPid + 1);
    CHECK(r.at(2) == kFirstPid + 1);
    CHECK(r.at(3) == kFirstPid + 1);
    CHECK(r.at(4) == -kECHILD);
  }

  TEST_CASE("__WNOTHREAD: a thread does not see the children of its siblings") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(1_ms)});
    const u32 thread = m.add_list({wait_op(-1, opts(k__WNOTHREAD)), wait_op(), op(OpKind::exit)});
    m.start(m.add_list({fork_op(m.fork_spec(child)), thread_op(m, thread), sleep_op(20_ms)}));
    m.run();
    CHECK(m.results[thread].at(0) == -kECHILD);
    CHECK(m.results[thread].at(1) == kFirstPid + 1);
  }

  TEST_CASE("a parent that has called execve since gets SIGCHLD in place of another exit signal") {
    ScriptMachine m;
    const u32 child = m.add_list({sleep_op(10_ms)});
    const u32 after = m.add_list({wait_op(-1, opts(k__WALL))});
    const ExecSpec exec{"/bin/new", &m.shape, after};
    m.start(m.add_list({fork_op(m.fork_spec(child, 10)), {.kind = OpKind::exec, .exec = &exec}}));
    m.run();
    CHECK(signals_and_results(m, kFirstPid) == std::vector<std::pair<int, s64>>{{kSIGCHLD, 1}});  // 1: ignored by default
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("a clone child that calls execve has the exit signal SIGCHLD") {
    ScriptMachine m;
    const u32 after = m.add_list({sleep_op(10_ms)});
    const ExecSpec exec{"/bin/new", &m.shape, after};
    const u32 child = m.add_list({{.kind = OpKind::exec, .exec = &exec}});
    const u32 parent = m.add_list({fork_op(m.fork_spec(child, 0)), sleep_op(5_ms), wait_op()});  // without __WALL
    m.start(parent);
    m.run();
    CHECK(m.results[parent].at(2) == kFirstPid + 1);
    CHECK(signals_and_results(m, kFirstPid) == std::vector<std::pair<int, s64>>{{kSIGCHLD, 1}});
  }

  TEST_CASE("retarget_shared_pending: a thread that blocks a signal on its way passes it to one that does not") {
    ScriptMachine m;
    m.config().costs.ns[static_cast<std::size_t>(Phase::sys_misc)] = 2_ms;
    const Op handler{.kind = OpKind::sigaction, .arg = 10, .count = 2};
    Op block = op(OpKind::sigprocmask, 0);
    block.count = sigbit(10);
    const u32 other = m.add_list({sleep_op(50_ms), op(OpKind::exit)});
    // the handler is there at 2 ms; the block lasts from there to 4 ms; the signal comes in between, while the main thread is in the call
    const u32 target = m.add_list({handler, thread_op(m, other), block, sleep_op(30_ms)});
    m.start(target, 0_ns);
    m.start(m.add_list({sleep_op(3_ms), op(OpKind::kill, 10, kFirstPid)}));
    m.run();
    const auto delivered = m.of(Tp::signal_deliver);
    REQUIRE(delivered.size() >= 1);
    CHECK(delivered[0].args[0] == 10);
    CHECK(delivered[0].pid != Pid(kFirstPid));
    CHECK(delivered[0].ts > 4_ms);
    CHECK(delivered[0].ts < 5_ms);
  }

  TEST_CASE("the RCU grace period is a tunable") {
    for (u64 jiffies : {2, 10}) {
      CAPTURE(jiffies);
      ScriptMachine m;
      m.set(Tunable::rcu_grace_period_jiffies, jiffies);
      const u32 child = m.add_list({});
      m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op()}));
      m.run();
      const Ns waited = m.of(Tp::sched_process_free).at(0).ts - m.of(Tp::release_task).at(0).ts;
      CHECK(waited >= 4_ms * jiffies);
      CHECK(waited < 4_ms * (jiffies + 2));
    }
  }

  TEST_CASE("task_struct: the grace period may end before the final switch, whichever comes second frees it, once") {
    const CpuMask on0 = CpuMask::of(CpuId(0)), on1 = CpuMask::of(CpuId(1));
    Ns zombie{0};
    for (const bool delayed : {false, true}) {
      CAPTURE(delayed);
      ScriptMachine m;
      if (delayed) m.kernel().add_irq({"slow", 41, CpuId(1), 100_ms, 0_ns}, {zombie + Ns(1)});
      const u32 child = m.add_list({run_op(1_ms)});
      ForkSpec spec{kForkFlags, child, &on1};
      m.start(m.add_list({fork_op(&spec), wait_op()}), 0_ns, &on0);
      m.run();
      zombie = m.of(Tp::exit_notify).at(0).ts;
      const auto freed = m.of(Tp::task_struct_free);
      const auto put = m.of(Tp::sched_process_free), stack = m.of(Tp::stack_free);
      REQUIRE(freed.size() == 2);
      REQUIRE(put.size() == 2);
      const auto of_child = [](const std::vector<TraceEvent>& v, u32 field) {
        return *std::ranges::find_if(v, [&](const TraceEvent& e) { return e.args[field] == kFirstPid + 1; });
      };
      const Ns last = std::max(of_child(put, 1).ts, of_child(stack, 0).ts);
      CHECK((of_child(stack, 0).ts > of_child(put, 1).ts) == delayed);
      CHECK(of_child(freed, 0).ts == last);
      CHECK(m.kernel().alive().task_structs == 0);
    }
  }

  TEST_CASE("a run that ends between a task's release and its last switch accounts for the task, once") {
    const CpuMask on0 = CpuMask::of(CpuId(0)), on1 = CpuMask::of(CpuId(1));
    for (const char* profile : {"rpi-4.19-arm64", "rpi-4.19-arm32"}) {
      CAPTURE(profile);
      u32 between = 0;
      for (Ns end = 1_ms; end < 2_ms; end += 5_us) {
        CAPTURE(end.v);
        ScriptMachine m(profile);
        m.config().costs.ns[static_cast<std::size_t>(Phase::schedule)] = 50_us;  // longer than the parent needs to wake and reap
        const u32 child = m.add_list({run_op(1_ms)});
        ForkSpec spec{kForkFlags, child, &on1};
        m.start(m.add_program({[&](u32 step, s64 last) {  // asks again and again: a sleeper would come too late
                  if (step == 0) return fork_op(&spec);
                  if (step % 2) return wait_op(-1, kWNOHANG);
                  return last == 0 ? run_op(2_us) : exit_op(0);
                }}),
                0_ns, &on0);
        m.run(end);
        const auto released = m.of(Tp::release_task), stack = m.of(Tp::stack_free), acct = m.of(Tp::task_acct);
        const auto of_child = [](const std::vector<TraceEvent>& v) {
          return std::ranges::count_if(v, [](const TraceEvent& e) { return e.args[0] == kFirstPid + 1; });
        };
        CHECK(of_child(acct) == 1);
        between += of_child(released) == 1 && of_child(stack) == 0;
        u64 user = 0, of_tasks = 0;
        for (u32 c = 0; c < 4; ++c) user += m.kernel().cpu_times(CpuId(c)).user.v;
        for (const TraceEvent& e : acct) of_tasks += e.args[1];
        CHECK(user == of_tasks);
      }
      CHECK(between > 0);
    }
  }

  TEST_CASE("a run that ends while a wake-up is on its way to another CPU has not counted it") {
    const CpuMask on0 = CpuMask::of(CpuId(0)), on1 = CpuMask::of(CpuId(1));
    u32 on_the_way = 0;
    for (Ns end = 1_ms; end < 2_ms; end += 1_us) {
      CAPTURE(end.v);
      ScriptMachine m;
      std::vector<CpuMask> alone;  // no shared cache: ttwu_queue_remote
      for (u32 c = 0; c < 4; ++c) alone.push_back(CpuMask::of(CpuId(c)));
      m.config().machine.topology.levels[0].mask = alone;
      ForkSpec spec{kForkFlags, m.add_list({run_op(1_ms)}), &on1};
      m.start(m.add_list({fork_op(&spec), wait_op()}), 0_ns, &on0);
      m.run(end);
      CHECK(m.kernel().totals().wakeups == m.of(Tp::sched_wakeup).size());
      on_the_way += m.of(Tp::sched_waking).size() > m.of(Tp::sched_wakeup).size();
    }
    CHECK(on_the_way > 0);
  }

  TEST_CASE("preempt_count: 2 for a task that has not run yet or sleeps, 0 without CONFIG_PREEMPT_COUNT") {
    for (const char* profile : {"rpi-4.19-arm64", "rpi-4.19-arm32"}) {
      CAPTURE(profile);
      const u32 one = std::string(profile) == "rpi-4.19-arm64";
      ScriptMachine m(profile, 1);
      const u32 child = m.add_list({sleep_op(1_ms)});
      m.start(m.add_list({fork_op(m.fork_spec(child)), run_op(1_ms), sleep_op(100_ms)}));
      m.kernel().advance(300_us);
      CHECK(m.kernel().refs(Pid(kFirstPid)).preempt_count == 0);  // in user mode
      CHECK(m.kernel().refs(Pid(kFirstPid + 1 - 3 * 2)).preempt_count == 2 * one);
      m.kernel().advance(50_ms);
      CHECK(m.kernel().refs(Pid(kFirstPid - 3 * 2)).preempt_count == 2 * one);
    }
  }

  TEST_CASE("ftrace header: interrupts, context and preempt depth of each event are those of the kernel's code around it") {
    ScriptMachine m;
    const u32 child = m.add_list({run_op(30_us), sleep_op(100_us)});
    const u32 victim = m.add_list({sleep_op(1_s)});
    m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op(), fork_op(m.fork_spec(victim)), sleep_op(1_ms),
                        op(OpKind::kill, 9, kFirstPid + 2), wait_op()}));
    m.run();
    constexpr u8 d = TraceFlags::kIrqsOff, h = TraceFlags::kHardirq, s = TraceFlags::kSoftirq;
    using Header = std::pair<u8, u8>;  // flags without need-resched, depth
    std::map<Tp, std::set<Header>> seen;
    for (const TraceEvent& e : m.events)
      if (e.ts > 0_ns)  // the start itself has no parent
        seen[e.id].insert({static_cast<u8>(e.flags & ~TraceFlags::kNeedResched), e.preempt_depth});
    const std::set<Header> plain{{0, 0}};
    for (const Tp id : {Tp::sys_enter, Tp::sys_exit, Tp::task_newtask, Tp::sched_process_fork, Tp::sched_process_exit, Tp::sched_process_wait}) {
      CAPTURE(tracepoint_table()[static_cast<std::size_t>(id)].name);
      CHECK(seen[id] == plain);
    }
    CHECK(seen[Tp::sched_switch] == std::set<Header>{{d, 2}});      // preempt_disable, rq->lock
    CHECK(seen[Tp::sched_wakeup_new] == std::set<Header>{{d, 2}});  // pi_lock, rq->lock
    // siglock of kill; tasklist_lock and siglock of do_notify_parent
    CHECK(seen[Tp::signal_generate] == std::set<Header>{{d, 1}, {d, 2}});
    CHECK(seen[Tp::signal_deliver] == std::set<Header>{{d, 1}});
    CHECK(seen[Tp::sched_process_free] == std::set<Header>{{s, 1}});  // in a softirq on an idle CPU, whose preemption is always off
    CHECK(seen[Tp::irq_handler_entry].contains({d | h, 1}));
    CHECK(seen[Tp::ipi_entry].contains({d, 1}));  // not yet in interrupt context
    // pi_lock besides: hrtimer on an idle CPU; siglock of kill; tasklist_lock, siglock and the wait queue's lock of an exit
    for (const Header& want : {Header{d | h, 2}, Header{d, 2}, Header{d, 4}}) CHECK(seen[Tp::sched_waking].contains(want));
  }
}
