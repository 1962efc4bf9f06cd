#include "sim/engine/km_kernel.hpp"

#include <doctest/doctest.h>

#include <map>
#include <memory>

#include "sim/platform/cost_file.hpp"
#include "tests/unit/sim/engine/reference_engine.hpp"

namespace forksim::test {
namespace {

using km::CpuId;
using km::CpuMask;
using km::Ns;
using km::Op;
using km::OpKind;
using km::u32;
using km::u64;

/// One pinned process per CPU: wait for the arrival of each burst, run it, note the date, and exit after the last.
class PinnedBursts final : public km::UserSpace {
 public:
  explicit PinnedBursts(std::vector<Burst> bursts) {
    for (const Burst& b : bursts) programs_[b.cpu + 1].bursts.push_back(b);
  }
  const Op& next_op(u32 user, km::s64, Ns now, Op& out) override {
    Program& p = programs_[user];
    if (p.running) {
      ends_[p.bursts[p.next].cpu] +=
          "cpu" + std::to_string(user - 1) + " burst " + std::to_string(p.next) + " ends " + std::to_string(now.v) + "\n";
      p.running = false;
      ++p.next;
    }
    out = Op{};
    if (p.next == p.bursts.size()) {
      out.kind = OpKind::exit_group;
    } else if (const Burst& b = p.bursts[p.next]; now < b.at) {
      out.kind = OpKind::sleep_until;
      out.ns = b.at;
    } else {
      out.kind = OpKind::run;
      out.ns = Ns(b.cycles * 2 / 3);  // at 1500 MHz
      p.running = true;
    }
    return out;
  }
  u32 fork_child(u32, const km::ForkSpec&, km::Pid) override { return 0; }
  void exec_program(u32, const km::ExecSpec&) override {}
  void enter_handler(u32, int) override {}
  void task_gone(u32) override {}

  bool has(u32 user) const { return programs_.count(user) > 0; }
  std::string ends() const {
    std::string text;
    for (const auto& [cpu, lines] : ends_) text += lines;
    return text;
  }

 private:
  struct Program {
    std::vector<Burst> bursts;
    std::size_t next = 0;
    bool running = false;
  };
  std::map<u32, Program> programs_;
  std::map<u32, std::string> ends_;
};

struct KmRun {
  std::string platform = kBoard;
  std::vector<Burst> bursts;
  bool lockstep = false, costed = false;
  RunOptions options;
};

/// Ends of bursts, then the books of the run.
std::string run_km(const KmRun& c, bool books) {
  return in_child([&] {
    Diagnostics d;
    SimEngine engine(c.platform, d);
    if (!d.ok()) return "refused: " + d.list().front().what;
    km::KernelConfig config;
    config.profile = *km::find_profile("rpi-4.19-arm64");
    config.machine = engine.machine();
    if (c.costed) config.costs = load_costs(engine.platform().costs_file, d).table();
    config.costs.memory_share_256 = c.costed ? config.costs.memory_share_256 : 0;
    std::array<bool, km::kTunables> given{};
    const auto slack = static_cast<std::size_t>(km::Tunable::timer_slack_ns);
    given[slack] = true;
    config.profile.tunables[slack] = 0;
    km::resolve_tunables(config.profile, config.machine.topology.cpus, given);

    PinnedBursts user(c.bursts);
    km::Trace trace;
    km::Kernel kernel(config, user, engine.power(), trace);
    km::ProcessShape shape;
    shape.child_cow = shape.child_file = 0;
    std::vector<std::unique_ptr<CpuMask>> masks;
    for (u32 cpu = 0; cpu < config.machine.topology.cpus; ++cpu) {
      if (!user.has(cpu + 1)) continue;
      masks.push_back(std::make_unique<CpuMask>(CpuMask::of(CpuId(cpu))));
      km::StartSpec start;
      start.name = "burst";
      start.shape = &shape;
      start.user = cpu + 1;
      start.affinity = masks.back().get();
      kernel.start(start);
    }
    KmKernel model(kernel);
    RunOptions o = c.options;
    o.lockstep = c.lockstep;
    const RunResult r = engine.run(model, o);
    kernel.finish(r.now);
    std::string text = user.ends();
    if (!books) return text;
    text += "end " + std::to_string(r.now.v) + " events " + std::to_string(kernel.totals().sched_events) + "\n";
    for (u32 cpu = 0; cpu < r.energy_j.size(); ++cpu) {
      const km::CpuTimes t = kernel.cpu_times(CpuId(cpu));
      text += "J " + bits(r.energy_j[cpu]) + " user " + std::to_string(t.user.v) + " idle " + std::to_string(t.idle.v) + "\n";
      if (t.user + t.system + t.irq + t.idle != r.now) text += "time does not add up\n";
    }
    if (!(r.energy_error <= 1e-9)) text += "energy does not add up\n";
    return text;
  });
}

/// Bursts of 3 cycles x `step`, one every ms and a bit.
std::vector<Burst> some_bursts() {
  std::vector<Burst> bursts;
  for (u32 cpu = 1; cpu < 4; ++cpu)
    for (u64 i = 0; i < 20; ++i)
      bursts.push_back({cpu, Ns(1'000'000 + i * (1'000'003 + 200'000 * cpu)), 1500 * (100 + 57 * ((i + cpu) % 13))});
  return bursts;
}

TEST_SUITE("sim/engine/km_kernel") {
  TEST_CASE("with every cost 0 the kernel ends pinned bursts at the same ns as actors with Exec") {
    const std::string reference = run_reference(kBoard, some_bursts());
    CHECK(std::count(reference.begin(), reference.end(), '\n') == 60);
    CHECK(run_km({kBoard, some_bursts(), true, false, {}}, false) == reference);
    CHECK(run_km({kBoard, some_bursts(), false, false, {}}, false) == reference);
  }

  TEST_CASE("the same while a speed profile halves the clock of a CPU") {
    const std::string file = board_with("km_speed", profile("p", "SPEED", "cpu1", "0.005 0.5\n0.015 1.0"));
    const std::string reference = run_reference(file, some_bursts());
    CHECK(run_km({file, some_bursts(), false, false, {}}, false) == reference);
    std::remove(file.c_str());
  }

  TEST_CASE("with the board's costs lock-step and run-ahead agree in dates, times and Joules, and the books close") {
    const std::string lockstep = run_km({kBoard, some_bursts(), true, true, {}}, true);
    CHECK(lockstep.find("does not add up") == std::string::npos);
    CHECK(std::count(lockstep.begin(), lockstep.end(), '\n') == 65);
    CHECK(run_km({kBoard, some_bursts(), false, true, {}}, true) == lockstep);
  }

  TEST_CASE("until cuts a run of the kernel in the middle of a burst, and the books close") {
    KmRun c{kBoard, some_bursts(), true, true, {}};
    c.options.until = Ns(15'000'000);
    const std::string lockstep = run_km(c, true);
    CHECK(lockstep.find("end 15000000 ") != std::string::npos);
    CHECK(lockstep.find("does not add up") == std::string::npos);
    c.lockstep = false;
    CHECK(run_km(c, true) == lockstep);
  }
}

}  // namespace
}  // namespace forksim::test
