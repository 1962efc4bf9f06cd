// HRTICK on the engine: the dates at which slices really end, the interrupt that arms the timer of another CPU, what it costs.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/kernel_model/process/script_machine.hpp"
#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

void turn(ScriptMachine& m, Feature f, bool on) { m.config().profile.features[static_cast<std::size_t>(f)] = on; }

/// How long each of the tasks "test" was on its CPU, between two switches from the one to the other.
std::vector<Ns> slices(const ScriptMachine& m, Ns from) {
  std::vector<Ns> out;
  Ns in = kNever;
  for (const TraceEvent& e : m.of(Tp::sched_switch)) {
    if (e.ts < from) continue;
    const bool between = e.args[0] == e.args[4];
    if (in != kNever && between) out.push_back(e.ts - in);
    in = between ? e.ts : kNever;
  }
  return out;
}

}  // namespace

TEST_SUITE("kernel_model/exec") {
  TEST_CASE("with HRTICK a slice ends when it is used up, without it at the tick after") {
    struct {
      const char* kernel;
      Ns tick;
    } const kKernels[] = {{"rpi-4.19-arm64", 4_ms}, {"rpi-4.19-arm32", 10_ms}};
    for (const auto& k : kKernels) {
      for (const bool on : {false, true}) {
        CAPTURE(k.kernel);
        CAPTURE(on);
        ScriptMachine m(k.kernel, 1, 0_ns);
        turn(m, Feature::HRTICK, on);
        for (int i = 0; i < 2; ++i) m.start(m.add_list({run_op(500_ms)}));
        m.run();
        // One CPU: a period of 6 ms, all of it for the task in its session's group (through the inverse of 1024: 5999998 ns), half of that
        // for each session (through the inverse of 2048).
        const std::vector<Ns> all = slices(m, 100_ms);
        REQUIRE(all.size() > 50);
        const Ns wanted = on ? 2999997_ns : k.tick;
        CHECK(std::ranges::count(all, wanted) * 10 >= static_cast<std::ptrdiff_t>(all.size()) * 9);
        CHECK((m.kernel().totals().hrticks > 0) == on);
      }
    }
  }

  TEST_CASE("a task that comes from another CPU has the timer armed there by a function call interrupt, a route later") {
    ScriptMachine m("rpi-4.19-arm64", 2, 0_ns);
    turn(m, Feature::HRTICK, true);
    const CpuMask first = CpuMask::of(CpuId(0)), second = CpuMask::of(CpuId(1));
    m.start(m.add_list({run_op(30_ms)}), 0_ns, &first);
    const u32 child = m.add_list({{.kind = OpKind::affinity, .mask = &first}, run_op(30_ms)});
    m.start(m.add_list({run_op(1_ms), fork_op(m.fork_spec(child)), run_op(40_ms), wait_op()}), 0_ns, &second);
    m.run();
    const auto raised = m.of(Tp::ipi_raise);
    const NameId call = m.trace().names().intern("Function call interrupts");
    const auto of_call = [&](const TraceEvent& e) { return e.args[1] == call.v; };
    REQUIRE(std::ranges::any_of(raised, of_call));
    const TraceEvent sent = *std::ranges::find_if(raised, of_call);
    CHECK(sent.cpu == CpuId(1));
    CHECK(sent.args[0] == 0);  // the CPU whose bit the mask has
    const auto entered = m.of(Tp::ipi_entry);
    const auto there = std::ranges::find_if(entered, [&](const TraceEvent& e) { return e.args[0] == call.v && e.ts >= sent.ts; });
    REQUIRE(there != entered.end());
    CHECK(there->cpu == CpuId(0));
    CHECK(there->ts == sent.ts + 1200_ns);
    CHECK(m.kernel().totals().hrticks > 0);
  }

  TEST_CASE("arming and cancelling cost time in every __schedule, and only with the feature") {
    Ns ends[3];
    for (int i = 0; i < 3; ++i) {
      ScriptMachine m("rpi-4.19-arm64", 1, 0_ns);
      turn(m, Feature::HRTICK, i > 0);
      if (i == 2) m.config().costs.ns[static_cast<std::size_t>(Phase::hrtick_program)] = 1000_ns;
      for (int n = 0; n < 2; ++n) m.start(m.add_list({run_op(60_ms)}));
      m.run(200_ms);
      ends[i] = m.of(Tp::sched_process_exit).back().ts;
    }
    CHECK(ends[0] == ends[1]);  // all rows are 0: only the slices differ, the work is the same
    CHECK(ends[2] > ends[1] + 30'000_ns);
    CHECK(ends[2] < ends[1] + 200'000_ns);
  }

  TEST_CASE("random machines with HRTICK: driven in any steps they run the same events, and all is freed") {
    u64 hrticks = 0;
    for (u64 seed = 1; seed <= 60; ++seed) {
      CAPTURE(seed);
      std::vector<u64> hashes;
      for (const bool by_event : {false, true}) {
        Random r{seed};
        constexpr std::string_view kProfiles[] = {"rpi-4.19-arm64", "rpi-4.19-arm32", "mc-4.19-arm64"};
        const u32 cpus = static_cast<u32>(r.below(3)) + 1;
        ScriptMachine m(kProfiles[r.below(3)], cpus, Ns(r.below(1500)));
        turn(m, Feature::HRTICK, true);
        turn(m, Feature::DOUBLE_TICK, r.one_in(3));
        for (u64 n = 2 + r.below(8); n; --n) {
          std::vector<Op> ops;
          for (u64 i = 1 + r.below(4); i; --i) {
            ops.push_back(run_op(Ns(1 + r.below(15'000'000))));
            if (r.one_in(2)) ops.push_back(sleep_op(Ns(1 + r.below(3'000'000))));
            if (r.one_in(4)) ops.push_back({.kind = OpKind::nice, .arg = static_cast<s64>(r.below(19))});
          }
          m.start(m.add_list(ops), Ns(r.below(3'000'000)));
        }
        Kernel& k = m.kernel();
        if (by_event)
          for (Ns next; (next = k.next_event()) != kNever;) k.advance(next);
        else
          k.advance(Ns(60'000'000'000));
        u64 hash = k.now().v;
        for (const TraceEvent& e : m.events) hash = hash * 31 + e.ts.v + static_cast<u64>(e.id);
        hashes.push_back(hash);
        CHECK(k.stuck_tasks().empty());
        CHECK(k.alive().task_structs == 0);
        hrticks += k.totals().hrticks;
      }
      CHECK(hashes[0] == hashes[1]);
    }
    MESSAGE(hrticks << " slices ended by their timer");
    CHECK(hrticks > 1000);
  }
}
