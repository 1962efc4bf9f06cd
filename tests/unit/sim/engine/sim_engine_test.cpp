#include "sim/engine/sim_engine.hpp"

#include <doctest/doctest.h>

#include <random>

#include "tests/unit/sim/engine/test_support.hpp"

namespace forksim::test {
namespace {

using km::CpuId;
using km::Ns;

bool has(const std::string& text, const std::string& line) { return text.find(line + "\n") != std::string::npos; }

TEST_SUITE("sim/engine") {
  TEST_CASE("a burst of 3000 cycles at 1500 MHz takes 2000 ns and the run ends with it") {
    const std::string text = run_toy({kBoard, {{1, Ns(500), 3000}}, {}, {}}, true);
    CHECK(has(text, "cpu1 burst 0 ends 2500"));
    CHECK(has(text, "end 0 2500"));
  }

  TEST_CASE("a busy CPU costs 1.6 W and an idle one 0.75 W of the board") {
    // cpu0 busy 1 s of 1 s: 1.6 J; cpu1 busy 0.25 s: 0.25 * 1.6 + 0.75 * 0.75 = 0.9625 J; cpu2 and cpu3 idle: 0.75 J each
    const std::string text = in_child([] {
      Diagnostics d;
      SimEngine engine(kBoard, d);
      ToyKernel toy(engine.machine(), {{0, Ns(0), 1'500'000'000}, {1, Ns(500'000'000), 375'000'000}}, engine.power());
      const RunResult r = engine.run(toy, {});
      std::string out = r.now == Ns(1'000'000'000) ? "" : "wrong end ";
      const std::vector<double> expected{1.6, 0.9625, 0.75, 0.75};
      for (km::u32 c = 0; c < 4; ++c)
        if (std::abs(r.energy_j[c] - expected[c]) > 1e-9 * expected[c])
          out += "cpu" + std::to_string(c) + " " + std::to_string(r.energy_j[c]) + " ";
      if (std::abs(r.energy_total_j - 4.0625) > 1e-8) out += "total";
      if (r.energy_error > 1e-12) out += "error";
      return out;
    });
    CHECK(text == "");
  }

  TEST_CASE("an operating point changes wattage and speed at its date") {
    // 3000 cycles from 0: 1000 ns at 1500 MHz do 1500, the other 1500 at 600 MHz take 2500 ns
    const std::string text = run_toy({kBoard, {{0, Ns(0), 3000}}, {{0, Ns(1000), 3}}, {}}, true);
    CHECK(has(text, "cpu0 burst 0 ends 3500"));
    CHECK(text.find(" ns 1000 0 0 2500 0 0 0 0 off 0") != std::string::npos);
  }

  TEST_CASE("a state profile takes the CPU off and on at the exact ns and it costs wattage_off meanwhile") {
    const std::string file = board_with("state", profile("p", "HOST_AVAIL", "cpu3", "0.5 0\n0.75 1"));
    const Case c{file, {{3, Ns(0), 1'500'000'000}, {0, Ns(600'000'000), 1'500'000'000}}, {}, {}};
    const std::string text = run_toy(c, true);
    CHECK(has(text, "cpu3 off 500000000"));
    CHECK(has(text, "cpu3 on 750000000"));
    CHECK(has(text, "cpu3 burst 0 ends 1250000000"));
    CHECK(text.find("off 250000000") != std::string::npos);
    CHECK(text == run_toy(c, false));
    std::remove(file.c_str());
  }

  TEST_CASE("a speed profile reaches the kernel as a clock at its date, and the run-ahead obeys it") {
    const std::string file = board_with("speed", profile("p", "SPEED", "cpu0", "0.5 0.5\n1.0 1.0"));
    // 1.5e9 cycles: 0.5 s at 1500 MHz, 0.5 s at 750 MHz, the last 0.375e9 cycles at 1500 MHz take 0.25 s
    const Case c{file, {{0, Ns(0), 1'500'000'000}}, {}, {}};
    const std::string text = run_toy(c, true);
    CHECK(has(text, "cpu0 750000000 Hz 500000000"));
    CHECK(has(text, "cpu0 1500000000 Hz 1000000000"));
    CHECK(has(text, "cpu0 burst 0 ends 1250000000"));
    CHECK(text == run_toy(c, false));
    std::remove(file.c_str());
  }

  TEST_CASE("throttling to the clock of an operating point draws the power of that point") {
    const std::string file = board_with("throttle", profile("p", "SPEED", "cpu0", "0.000001 0.5"));
    // 1500 of 6000 cycles by 1000 ns, the other 4500 at 750 MHz take 6000 ns: pstate 0 for 1000 ns, pstate 2 for 6000 ns
    const Case c{file, {{0, Ns(0), 6000}}, {}, {}};
    const std::string text = run_toy(c, true);
    CHECK(has(text, "cpu0 750000000 Hz 1000"));
    CHECK(has(text, "cpu0 burst 0 ends 7000"));
    CHECK(text.find(" ns 1000 0 6000 0 0 0 0 0 off 0") != std::string::npos);
    CHECK(text == run_toy(c, false));
    std::remove(file.c_str());
  }

  TEST_CASE("a speed profile of 0 ends the run with a message that names the CPU") {
    const std::string file = board_with("zero", profile("p", "SPEED", "cpu2", "0.000001 0"));
    const std::string text = run_toy({file, {{0, Ns(0), 6000}}, {}, {}}, true);
    CHECK(text.find("child failed: ") == 0);
    CHECK(text.find("cpu2 stops the clock at 1000 ns") != std::string::npos);
    std::remove(file.c_str());
  }

  TEST_CASE("a state profile that no kernel can follow ends the run with a message that names the CPU, the date and why") {
    std::string profiles;
    for (int c = 0; c < 4; ++c) profiles += profile("p" + std::to_string(c), "HOST_AVAIL", "cpu" + std::to_string(c), "0.000001 0");
    const std::string file = board_with("all_off", profiles);
    const std::string text = run_toy({file, {{0, Ns(0), 6000}}, {}, {}}, true);
    CHECK(text.find("the state profile of cpu3 takes it off at 1000 ns, but it is the last CPU") != std::string::npos);
    std::remove(file.c_str());
  }

  TEST_CASE("profiles at date 0 are told before the first event") {
    const std::string file = board_with("zero_date", profile("p", "HOST_AVAIL", "cpu1", "0 0") + profile("q", "SPEED", "cpu0", "0 0.5"));
    const std::string text = run_toy({file, {{0, Ns(0), 3000}}, {}, {}}, true);
    CAPTURE(text);
    CHECK(text.find("cpu0 750000000 Hz 0\ncpu1 off 0\ncpu0 burst 0 ends 4000\n") == 0);
    std::remove(file.c_str());
  }

  TEST_CASE("until cuts the run at that date, and what is dated then still runs") {
    RunOptions o;
    o.until = Ns(2500);
    const std::string text = run_toy({kBoard, {{0, Ns(500), 3000}, {1, Ns(500), 3003}}, {}, o}, true);
    CHECK(has(text, "cpu0 burst 0 ends 2500"));
    CHECK(text.find("cpu1 burst") == std::string::npos);
    CHECK(has(text, "end 1 2500"));
    CHECK(text == run_toy({kBoard, {{0, Ns(500), 3000}, {1, Ns(500), 3003}}, {}, o}, false));
  }

  TEST_CASE("until beyond the last event ends with the last event") {
    RunOptions o;
    o.until = Ns(1'000'000'000);
    CHECK(has(run_toy({kBoard, {{0, Ns(500), 3000}}, {}, o}, false), "end 0 2500"));
  }

  TEST_CASE("a stop flag ends the run at a date the clock has reached, with the books closed") {
    const std::string text = in_child([] {
      Diagnostics d;
      SimEngine engine(kBoard, d);
      std::vector<Burst> bursts;
      for (km::u64 i = 0; i < 1000; ++i) bursts.push_back({0, Ns(i * 1'000'000), 3000});
      ToyKernel toy(engine.machine(), bursts, engine.power());
      std::atomic<bool> stop{false};
      RunOptions o;
      o.stop = &stop;
      o.progress = [&](Ns now) { stop = now >= Ns(100'000'000); };
      const RunResult r = engine.run(toy, o);
      const bool soon = r.now >= Ns(100'000'000) && r.now < Ns(200'000'000);
      return std::string(r.end == RunEnd::stopped && soon && r.energy_error < 1e-9 ? "stopped"
                                                                                   : "not stopped at " + std::to_string(r.now.v));
    });
    CHECK(text == "stopped");
  }

  TEST_CASE("a stop flag ends a lock-step run as well") {
    const std::string text = in_child([] {
      Diagnostics d;
      SimEngine engine(kBoard, d);
      ToyKernel toy(engine.machine(), std::vector<Burst>(1000, Burst{0, Ns(0), 3000}), engine.power());
      std::atomic<bool> stop{false};
      RunOptions o;
      o.lockstep = true;
      o.stop = &stop;
      o.progress = [&](Ns now) { stop = now >= Ns(10'000); };
      const RunResult r = engine.run(toy, o);
      return std::to_string(static_cast<int>(r.end)) + " " + std::to_string(r.now.v);
    });
    CHECK(text == "2 10000");
  }

  TEST_CASE("the clock ends at 2^50 ns, before doubles of seconds stop counting ns") {
    const Case c{kBoard, {{0, Ns(0), 3000}, {0, Ns((km::u64{1} << 50) + 1000), 3000}}, {}, {}};
    CHECK(has(run_toy(c, false), "end 3 1125899906842624"));
    CHECK(run_toy(c, true) == run_toy(c, false));
  }

  TEST_CASE("SimGrid and its energy plugin print nothing") {
    const std::string text = in_child([] {
      const std::string file = std::string(FORKSIM_BINARY_DIR) + "/test_silence_" + std::to_string(::getpid());
      std::FILE* out = std::fopen(file.c_str(), "w+");
      ::dup2(::fileno(out), 1);
      ::dup2(::fileno(out), 2);
      {
        Diagnostics d;
        SimEngine engine(kBoard, d);
        ToyKernel toy(engine.machine(), {{0, Ns(0), 3000}}, engine.power());
        engine.run(toy, {});
      }
      std::fflush(nullptr);
      const long bytes = std::fseek(out, 0, SEEK_END) == 0 ? std::ftell(out) : -1;
      std::remove(file.c_str());
      return std::to_string(bytes);
    });
    CHECK(text == "0");
  }

  TEST_CASE("lock-step and run-ahead give the same dates and the same Joules to the last bit on random work") {
    for (unsigned seed = 1; seed <= 8; ++seed) {
      CAPTURE(seed);
      std::mt19937_64 random(seed);
      Case c;
      for (km::u32 cpu = 0; cpu < 4; ++cpu) {
        km::u64 at = 0;
        for (int i = 0; i < 200; ++i) {
          at += random() % 2'000'000;
          c.bursts.push_back({cpu, Ns(at), 1 + random() % 2'000'000});
        }
      }
      for (km::u64 i = 1; i <= 20; ++i)
        c.opps.push_back({static_cast<km::u32>(random() % 4), Ns(i * 7'000'001), static_cast<km::u32>(random() % 4)});
      std::string lines;
      for (int i = 1; i <= 9; ++i)
        lines += "0.0" + std::to_string(i) + std::to_string(random() % 1000000) + " " + std::to_string(i % 2) + "\n";
      c.platform = board_with("random" + std::to_string(seed), profile("p", "HOST_AVAIL", "cpu2", lines));
      const std::string lockstep = run_toy(c, true);
      CHECK(lockstep.find("burst 199 ends") != std::string::npos);
      CHECK(lockstep.find("energy does not add up") == std::string::npos);
      CHECK(lockstep == run_toy(c, false));
      std::remove(c.platform.c_str());
    }
  }

  TEST_CASE("run-ahead needs one round of SimGrid per power transition, not per event") {
    const auto rounds = [](bool lockstep) {
      return std::stoull(in_child([&] {
        Diagnostics d;
        SimEngine engine(kBoard, d);
        std::vector<Burst> bursts(1000, Burst{0, Ns(0), 3000});
        ToyKernel toy(engine.machine(), bursts, engine.power());
        RunOptions o;
        o.lockstep = lockstep;
        return std::to_string(engine.run(toy, o).rounds);
      }));
    };
    CHECK(rounds(true) >= 1000);
    CHECK(rounds(false) <= 4);
  }
}

}  // namespace
}  // namespace forksim::test
