// A kernel small enough to check by hand: each CPU runs its bursts first in, first out.
//
// Purpose: tests of the engine. A burst is a number of cycles that arrives at a date; work is kept in cycles x 1e9, so nothing is rounded
//          but the end, up to the next ns. Power: busy while a burst runs. Off: the burst stops and goes on later.
// Ownership: borrows the power port.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "sim/engine/kernel_model.hpp"

namespace forksim::test {

struct Burst {
  km::u32 cpu;
  km::Ns at;
  km::u64 cycles;
};
struct OppChange {
  km::u32 cpu;
  km::Ns at;
  km::u32 opp;
};

class ToyKernel final : public KernelModel {
 public:
  ToyKernel(const km::MachineDesc& m, std::vector<Burst> bursts, km::PowerPort& power, std::vector<OppChange> opps = {})
      : machine_(m), power_(power), opp_changes_(std::move(opps)), cpus_(m.topology.cpus) {
    for (const Burst& b : bursts) cpus_[b.cpu].arrivals.push_back(b);
    for (Cpu& c : cpus_) c.hz = m.opp_hz[m.boot_opp];
  }

  km::Ns next_event() const override {
    km::Ns next = km::kNever;
    for (const Cpu& c : cpus_) next = std::min({next, end_of(c), c.arrivals.empty() ? km::kNever : c.arrivals.front().at});
    // an operating point changes something only while there is work
    return next == km::kNever || opp_changes_.empty() ? next : std::min(next, opp_changes_.front().at);
  }

  void advance(km::Ns limit) override {
    for (km::Ns t = next_event(); t <= limit && t != km::kNever; t = next_event()) at(t);
  }
  km::Ns now() const override { return now_; }

  std::string_view cpu_onoff(km::CpuId cpu, bool on, km::Ns now) override {
    log_ += "cpu" + std::to_string(cpu.v) + (on ? " on " : " off ") + std::to_string(now.v) + "\n";
    Cpu& c = cpus_[cpu.v];
    settle(c, now);
    c.on = on;
    set_power(cpu.v, now);
    now_ = now;
    return std::ranges::none_of(cpus_, &Cpu::on) ? "it is the last CPU" : "";
  }
  void speed_changed(km::CpuId cpu, km::u64 hz, km::Ns now) override {
    log_ += "cpu" + std::to_string(cpu.v) + " " + std::to_string(hz) + " Hz " + std::to_string(now.v) + "\n";
    Cpu& c = cpus_[cpu.v];
    settle(c, now);
    c.hz = hz;
    now_ = now;
    const auto opp = std::find(machine_.opp_hz.begin(), machine_.opp_hz.end(), hz);
    if (opp == machine_.opp_hz.end()) return;
    c.opp = static_cast<km::u32>(opp - machine_.opp_hz.begin());
    power_.set_power_state(cpu, c.opp, c.busy, now);
  }

  /// One line per thing that happened.
  const std::string& log() const { return log_; }

 private:
  struct Cpu {
    std::deque<Burst> arrivals, queue;
    km::u128 work = 0;  ///< of the front of the queue, in cycles x 1e9
    km::Ns since{0};
    km::u64 hz = 0;
    km::u32 opp = 0, done = 0;
    bool on = true, busy = false;
  };

  static km::Ns end_of(const Cpu& c) {
    if (!c.on || c.queue.empty()) return km::kNever;
    return c.since + km::Ns(static_cast<km::u64>((c.work + c.hz - 1) / c.hz));
  }
  static void settle(Cpu& c, km::Ns now) {
    if (c.on && !c.queue.empty()) {
      const km::u128 done = static_cast<km::u128>((now - c.since).v) * c.hz;
      c.work = done < c.work ? c.work - done : 0;
    }
    c.since = now;
  }
  void set_power(km::u32 i, km::Ns now) {
    Cpu& c = cpus_[i];
    const bool busy = c.on && !c.queue.empty();
    if (busy == c.busy) return;
    c.busy = busy;
    power_.set_power_state(km::CpuId(i), c.opp, busy, now);
  }
  void at(km::Ns t) {
    now_ = t;
    while (!opp_changes_.empty() && opp_changes_.front().at == t) {
      Cpu& c = cpus_[opp_changes_.front().cpu];
      settle(c, t);
      c.opp = opp_changes_.front().opp;
      c.hz = machine_.opp_hz[c.opp];
      power_.set_power_state(km::CpuId(opp_changes_.front().cpu), c.opp, c.busy, t);
      opp_changes_.erase(opp_changes_.begin());
    }
    for (km::u32 i = 0; i < cpus_.size(); ++i) cpu_at(i, t);
  }
  void cpu_at(km::u32 i, km::Ns t) {
    Cpu& c = cpus_[i];
    if (end_of(c) == t) {
      log_ += "cpu" + std::to_string(i) + " burst " + std::to_string(c.done++) + " ends " + std::to_string(t.v) + "\n";
      c.queue.pop_front();
      if (!c.queue.empty()) begin(c, t);
    }
    while (!c.arrivals.empty() && c.arrivals.front().at == t) {
      c.queue.push_back(c.arrivals.front());
      c.arrivals.pop_front();
      if (c.queue.size() == 1) begin(c, t);
    }
    set_power(i, t);
  }
  static void begin(Cpu& c, km::Ns t) {
    c.work = static_cast<km::u128>(c.queue.front().cycles) * 1'000'000'000;
    c.since = t;
  }

  km::MachineDesc machine_;
  km::PowerPort& power_;
  std::vector<OppChange> opp_changes_;
  std::vector<Cpu> cpus_;
  km::Ns now_{0};
  std::string log_;
};

}  // namespace forksim::test
