// Locks: the word and its queue by themselves, then CPUs that meet at one, with every number derived by hand.
#include <doctest/doctest.h>

#include <tuple>

#include "tests/unit/kernel_model/exec/lock_checker.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

LockWaiter waiter(LockId id, u32 owner) {
  LockWaiter w;
  w.id = id;
  w.owner = owner;
  return w;
}

/// A machine on which only small system calls cost time: 1000 ns in the call itself, 7 ns for a cache line from CPU to CPU.
void set_up(ScriptMachine& m, u32 cpus) {
  m.config().costs.ns[static_cast<std::size_t>(Phase::sys_misc)] = 1000_ns;
  m.config().machine.transfer.assign(cpus * cpus, 7_ns);
  m.config().machine.ipi.assign(cpus * cpus, 0_ns);
}

/// A process on `cpu` that makes `op` at `at` after its start, and goes on long enough not to meet the others again.
void start_on(ScriptMachine& m, u32 cpu, Ns at, const Op& op) {
  static CpuMask masks[4];
  masks[cpu] = CpuMask::of(CpuId(cpu));
  m.start(m.add_list({run_op(at), op, run_op(1_ms)}), 5_ms, &masks[cpu]);
}

/// Ends of waits, in their order: on which CPU, after how long.
struct Waited {
  u32 cpu;
  Ns wait;
  bool operator==(const Waited&) const = default;
};
std::vector<Waited> waits(const ScriptMachine& m) {
  std::vector<Waited> out;
  for (const TraceEvent& e : m.of(Tp::contention_end)) out.push_back({e.cpu.v, Ns(e.args[3])});
  return out;
}

struct Faults {
  u64 count;
  Ns cost;
};
/// Runs a thread that takes page faults after 220 us, and its creator, which forks a process after `fork`: `copy` of that under mmap_sem.
void fault_beside_fork(ScriptMachine& m, Faults faults, Ns fork, Ns copy) {
  m.config().costs.ns[static_cast<std::size_t>(Phase::copy_mm)] = copy;
  m.config().costs.ns[static_cast<std::size_t>(Phase::fault_anon_zero)] = faults.cost;
  m.config().machine.ipi.assign(4, 0_ns);
  const u32 child = m.add_list({});
  const u32 thread = m.add_list({run_op(220_us), {.kind = OpKind::touch, .count = faults.count}, run_op(10_us), {.kind = OpKind::exit}});
  m.start(m.add_list({fork_op(m.fork_spec(thread, kPthreadFlags)), run_op(fork), fork_op(m.fork_spec(child)), run_op(1_ms)}));
  m.run();
}

const LockStats& stats(ScriptMachine& m, LockId id) { return m.kernel().lock_stats()[static_cast<std::size_t>(id)]; }

const Op kSetsid{.kind = OpKind::setsid}, kSubreaper{.kind = OpKind::subreaper, .arg = 1};

}  // namespace

TEST_SUITE("kernel_model/exec/locks") {
  TEST_CASE("a lock goes to whoever came first, one by one") {
    LockWord l;
    CHECK(l.try_take(LockId::rq, 1, false));
    CHECK_FALSE(l.try_take(LockId::rq, 2, false));
    LockWaiter b = waiter(LockId::rq, 2), c = waiter(LockId::rq, 3);
    l.enqueue(b, false);
    l.enqueue(c, false);
    CHECK(l.grant() == nullptr);
    l.release(LockId::rq);
    CHECK_FALSE(l.try_take(LockId::rq, 4, false));
    CHECK(l.grant() == &b);
    CHECK(l.grant() == nullptr);
    CHECK(l.owner == 2);
    l.release(LockId::rq);
    CHECK(l.grant() == &c);
    l.release(LockId::rq);
    CHECK(l.grant() == nullptr);
    CHECK(l.try_take(LockId::rq, 1, false));
  }

  TEST_CASE("readers share, a writer that waits keeps later readers out, readers in a row get it together") {
    LockWord l;
    CHECK(l.try_take(LockId::tasklist_read, 1, false));
    CHECK(l.try_take(LockId::tasklist_read, 2, false));
    LockWaiter w = waiter(LockId::tasklist_write, 3), r1 = waiter(LockId::tasklist_read, 4), r2 = waiter(LockId::tasklist_read, 1),
               w2 = waiter(LockId::tasklist_write, 2);
    CHECK_FALSE(l.try_take(LockId::tasklist_write, 3, false));
    l.enqueue(w, false);
    CHECK_FALSE(l.try_take(LockId::tasklist_read, 4, false));
    for (LockWaiter* x : {&r1, &r2, &w2}) l.enqueue(*x, false);
    l.release(LockId::tasklist_read);
    CHECK(l.grant() == nullptr);
    l.release(LockId::tasklist_read);
    CHECK(l.grant() == &w);
    CHECK(l.grant() == nullptr);
    l.release(LockId::tasklist_write);
    CHECK(l.grant() == &r1);
    CHECK(l.grant() == &r2);
    CHECK(l.grant() == nullptr);
    CHECK(l.readers == 2);
    l.release(LockId::tasklist_read);
    l.release(LockId::tasklist_read);
    CHECK(l.grant() == &w2);
  }

  TEST_CASE("a reader in an interrupt passes a writer that waits, and goes before the queue when one is inside") {
    LockWord l;
    CHECK(l.try_take(LockId::tasklist_read, 1, false));
    LockWaiter w = waiter(LockId::tasklist_write, 2), irq = waiter(LockId::tasklist_read, 3);
    l.enqueue(w, false);
    CHECK_FALSE(l.try_take(LockId::tasklist_read, 3, false));
    CHECK(l.try_take(LockId::tasklist_read, 3, true));
    l.release(LockId::tasklist_read);
    l.release(LockId::tasklist_read);
    CHECK(l.grant() == &w);
    LockWaiter w2 = waiter(LockId::tasklist_write, 1);
    l.enqueue(w2, false);
    CHECK_FALSE(l.try_take(LockId::tasklist_read, 3, true));
    l.enqueue(irq, true);
    l.release(LockId::tasklist_write);
    CHECK(l.grant() == &irq);
    CHECK(l.grant() == nullptr);
    l.release(LockId::tasklist_read);
    CHECK(l.grant() == &w2);
  }

  TEST_CASE("an object is not overwritten while its lock is in use, and a copy has a free lock") {
    LockWord l;
    CHECK(l.try_take(LockId::rq, 1, false));
    LockWord copy = l;
    CHECK(copy.owner == 0);
    CHECK_THROWS(l = copy);
  }

  TEST_CASE("two CPUs: the second writer of tasklist_lock waits what the first still holds it, and a cache line") {
    // CPU 0 is in setsid from 100 to 1100 ns after the start, CPU 1 wants the lock at 400: 700 ns, and 7 for the line.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    set_up(m, 2);
    start_on(m, 0, 100_ns, kSetsid);
    start_on(m, 1, 400_ns, kSetsid);
    m.run();
    CHECK(waits(m) == std::vector<Waited>{{1, 707_ns}});
    const LockStats& s = stats(m, LockId::tasklist_write);
    CHECK(s.contended == 1);
    CHECK(s.wait_total == 707_ns);
    CHECK(s.wait_max == 707_ns);
    CHECK(s.hold_max == 1000_ns);
    // time spun is system time of the CPU
    CHECK(m.kernel().cpu_times(CpuId(0)).system == 1000_ns);
    CHECK(m.kernel().cpu_times(CpuId(1)).system == 1707_ns);
  }

  TEST_CASE("four CPUs queue first in first out, whatever their number") {
    // CPU 0 holds from 100 to 1100. CPU 3 wants it at 200: 907. It has it from 1107 to 2107; CPU 1 came at 300: 2114 - 300; from 2114
    // to 3114; CPU 2 came at 400: 3121 - 400.
    ScriptMachine m("rpi-4.19-arm64", 4, 0_ns);
    set_up(m, 4);
    start_on(m, 0, 100_ns, kSetsid);
    start_on(m, 3, 200_ns, kSetsid);
    start_on(m, 1, 300_ns, kSetsid);
    start_on(m, 2, 400_ns, kSetsid);
    m.run();
    CHECK(waits(m) == std::vector<Waited>{{3, 907_ns}, {1, 1814_ns}, {2, 2721_ns}});
    CHECK(stats(m, LockId::tasklist_write).wait_total == 5442_ns);
  }

  TEST_CASE("setpriority holds pi_lock and run queue of the task it changes, wherever the caller is") {
    // CPU 0 changes itself from 100 to 1100 ns, CPU 1 wants to change the same task at 400.
    const auto run = [](s32 pid) {
      ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
      set_up(m, 2);
      start_on(m, 0, 100_ns, {.kind = OpKind::nice, .arg = 5});
      start_on(m, 1, 400_ns, {.kind = OpKind::nice, .arg = 7, .pid = Pid(pid)});
      m.run();
      return std::make_tuple(m.of(Tp::sys_enter).front().pid.v, waits(m), stats(m, LockId::pi).wait_total);
    };
    const s32 first = std::get<0>(run(0));  // with 0, CPU 1 changes itself and meets nobody
    CHECK(std::get<1>(run(0)).empty());
    CHECK(run(first) == std::make_tuple(first, std::vector<Waited>{{1, 707_ns}}, 707_ns));
  }

  TEST_CASE("a dying task leaves its autogroup under its pi_lock and its run queue's lock") {
    // CPU 1 changes the nice value of a task of CPU 0 from 10.000 to 11.000 us: of one that sleeps there (the queue's lock is wanted), or
    // of the one that dies (its pi_lock comes first). That ends at 10.500, waits 500 ns and 7, and then tells its parent.
    constexpr s32 kFirstStarted = 7;  // two migration threads, two kworkers, init and kthreadd before it
    for (const s32 target : {kFirstStarted, kFirstStarted + 1})
      for (const bool locks : {true, false}) {
        CAPTURE(target);
        CAPTURE(locks);
        ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
        m.config().locks = locks;
        m.config().costs.ns[static_cast<std::size_t>(Phase::sys_misc)] = 1000_ns;
        m.config().machine.transfer.assign(4, 7_ns);
        m.config().machine.ipi.assign(4, 0_ns);
        LockChecker checker(m.trace());
        const CpuMask first = CpuMask::of(CpuId(0)), second = CpuMask::of(CpuId(1));
        m.start(m.add_list({{.kind = OpKind::pause}}), 5_ms, &first);
        m.start(m.add_list({run_op(10'500_ns)}), 5_ms, &first);
        m.start(m.add_list({run_op(10_us), {.kind = OpKind::nice, .arg = 0, .pid = Pid(target)}, run_op(1_ms)}), 5_ms, &second);
        m.run(6_ms);
        CHECK(checker.wrong() == "");
        const auto ends = m.of(Tp::contention_end);
        REQUIRE(ends.size() == (locks ? 1 : 0));
        if (locks) CHECK(Ns(ends[0].args[3]) == 507_ns);
        REQUIRE_FALSE(m.of(Tp::signal_generate).empty());
        CHECK(m.of(Tp::signal_generate)[0].ts == 5_ms + (locks ? 11'007_ns : 10'500_ns));
        CHECK(m.kernel().lock_stats()[static_cast<std::size_t>(LockId::pi)].contended == (locks && target != kFirstStarted ? 1 : 0));
      }
  }

  TEST_CASE("two readers of tasklist_lock go together, a writer waits for the later of them") {
    // Readers from 100 to 1100 and from 300 to 1300; the writer comes at 500 and gets the lock at 1307.
    ScriptMachine m("rpi-4.19-arm64", 4, 0_ns);
    set_up(m, 4);
    start_on(m, 0, 100_ns, kSubreaper);
    start_on(m, 1, 300_ns, kSubreaper);
    start_on(m, 2, 500_ns, kSetsid);
    m.run();
    CHECK(waits(m) == std::vector<Waited>{{2, 807_ns}});
    CHECK(stats(m, LockId::tasklist_read).contended == 0);
  }

  TEST_CASE("with model.locks=off nobody waits and nothing is counted") {
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    set_up(m, 2);
    m.config().locks = false;
    start_on(m, 0, 100_ns, kSetsid);
    start_on(m, 1, 400_ns, kSetsid);
    m.run();
    CHECK(m.of(Tp::contention_begin).empty());
    for (const LockStats& s : m.kernel().lock_stats()) CHECK(s.acquisitions + s.contended + s.wait_total.v == 0);
    CHECK(m.kernel().cpu_times(CpuId(1)).system == 1000_ns);
  }

  TEST_CASE("a thread that takes a page fault sleeps until the fork of another has copied the address space") {
    // copy_mm costs 50 us under mmap_sem; the fault comes in the middle of it, so the thread sleeps: it does not use its CPU meanwhile.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    fault_beside_fork(m, {.count = 1, .cost = 1_us}, 200_us, 50_us);
    const auto e = waits(m);
    REQUIRE(e.size() == 1);
    CHECK(stats(m, LockId::mmap_read).contended == 1);
    CHECK(e[0].wait == 30_us);
    Ns user, system;
    for (u32 c = 0; c < 2; ++c) user += m.kernel().cpu_times(CpuId(c)).user;
    for (u32 c = 0; c < 2; ++c) system += m.kernel().cpu_times(CpuId(c)).system;
    CHECK(user == 1430_us);
    CHECK(system == 51_us);
  }

  TEST_CASE("a fork that comes in the middle of another thread's faults sleeps to the end of the first one, and the second waits for it") {
    // Faults of 50 us from 220 us on, the fork at 240, its copy_mm 30 us: it sleeps to 270 and holds mmap_sem to 300, where the next fault
    // begins.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    fault_beside_fork(m, {.count = 2, .cost = 50_us}, 240_us, 30_us);
    const auto e = waits(m);
    REQUIRE(e.size() == 2);
    CHECK(e[0].wait == 30_us);
    CHECK(e[1].wait == 30_us);
    CHECK(stats(m, LockId::mmap_write).contended == 1);
    CHECK(stats(m, LockId::mmap_read).contended == 1);
    constexpr u64 kAnon = 2;
    std::vector<Ns> faults;
    for (const TraceEvent& f : m.of(Tp::page_fault))
      if (f.args[1] == kAnon) faults.push_back(f.ts);
    REQUIRE(faults.size() == 2);
    CHECK(faults[1] - faults[0] == 80_us);
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("a fork that comes in the middle of another thread's last fault is woken by it, and both go on") {
    // As above with one fault, 220 to 270 us: nobody takes mmap_sem after it but the fork.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    fault_beside_fork(m, {.count = 1, .cost = 50_us}, 240_us, 30_us);
    REQUIRE(waits(m).size() == 1);
    CHECK(waits(m)[0].wait == 30_us);
    CHECK(stats(m, LockId::mmap_write).contended == 1);
    CHECK(m.kernel().alive().task_structs == 0);
  }

  TEST_CASE("a writer of a pipe spins for its mutex while the other writer runs") {
    // The body of write costs 1000 ns under the mutex: 100 to 1100 and, wanted at 400, 1107 to 2107.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    set_up(m, 2);
    m.config().costs.ns[static_cast<std::size_t>(Phase::pipe_write)] = 1000_ns;
    const u32 pipe = m.kernel().create_object(ObjectKind::pipe, 0);
    m.kernel().attach_pipe(1, pipe);
    m.kernel().attach_pipe(2, pipe);
    const Op write{.kind = OpKind::pipe_write, .count = 1, .object = pipe};
    start_on(m, 0, 100_ns, write);
    start_on(m, 1, 400_ns, write);
    m.run();
    CHECK(waits(m) == std::vector<Waited>{{1, 707_ns}});
    CHECK(stats(m, LockId::pipe).contended == 1);
  }

  TEST_CASE("mm work takes longer while another CPU is in mm code, and only that long") {
    // Two children of different parents tear down 100 us each; alone that long, together 1.5 times. One starts 40 us before the other:
    // 40 us alone, the remaining 60 take 90, of which the other has done 60; its last 40 are alone again. 130 and 130 us.
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    m.config().costs.ns[static_cast<std::size_t>(Phase::exit_mm)] = 100_us;
    m.config().costs.mm_contention_65536 = 32768;
    m.config().machine.ipi.assign(4, 0_ns);
    static CpuMask masks[2] = {CpuMask::of(CpuId(0)), CpuMask::of(CpuId(1))};
    m.start(m.add_list({run_op(100_us)}), 5_ms, &masks[0]);
    m.start(m.add_list({run_op(140_us)}), 5_ms, &masks[1]);
    m.run();
    const auto exits = m.of(Tp::sched_process_exit);
    REQUIRE(exits.size() == 2);
    CHECK(exits[0].ts == 5_ms + 230_us);
    CHECK(exits[1].ts == 5_ms + 270_us);
  }

  TEST_CASE("without mm contention, or off, mm work of two CPUs takes what it takes alone") {
    for (const bool off : {false, true}) {
      ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
      m.config().costs.ns[static_cast<std::size_t>(Phase::exit_mm)] = 100_us;
      m.config().costs.mm_contention_65536 = off ? 32768 : 0;
      m.config().mm_contention = !off;
      m.config().machine.ipi.assign(4, 0_ns);
      static CpuMask masks[2] = {CpuMask::of(CpuId(0)), CpuMask::of(CpuId(1))};
      m.start(m.add_list({run_op(100_us)}), 5_ms, &masks[0]);
      m.start(m.add_list({run_op(140_us)}), 5_ms, &masks[1]);
      m.run();
      const auto exits = m.of(Tp::sched_process_exit);
      REQUIRE(exits.size() == 2);
      CHECK(exits[0].ts == 5_ms + 200_us);
      CHECK(exits[1].ts == 5_ms + 240_us);
    }
  }
}
