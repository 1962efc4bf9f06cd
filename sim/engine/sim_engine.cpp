#include "sim/engine/sim_engine.hpp"

#include <simgrid/plugins/energy.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernel_model/base/contract.hpp"
#include "sim/engine/power_log.hpp"
#include "sim/platform/machine_graph.hpp"
#include "sim/platform/sim_time.hpp"
#include "sim/platform/simgrid_platform.hpp"

namespace forksim {
namespace {

using km::CpuId;
using km::kNever;
using km::Ns;
using km::u32;
using km::u64;

/// Longest stretch the kernel runs ahead before the stop flag is looked at; idle spans between events do not count.
constexpr Ns kWindow{10'000'000};

/// SimGrid's arguments: silent below warnings (host_energy logs every host at the end), exact dates, no lazy bookkeeping of activities,
/// of which there are none, then the caller's.
class Arguments {
 public:
  explicit Arguments(const std::vector<std::string>& extra)
      : words_{"forksim",
               "--log=root.thres:warning",
               "--log=no_loc",
               sg::timing_precision_option(),
               "--cfg=cpu/optim:Full",
               "--cfg=network/optim:Full"} {
    words_.insert(words_.end(), extra.begin(), extra.end());
    for (std::string& w : words_) pointers_.push_back(w.data());
    pointers_.push_back(nullptr);
    count_ = static_cast<int>(words_.size());
  }
  int* argc() { return &count_; }
  char** argv() { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<char*> pointers_;
  int count_ = 0;
};

}  // namespace

class SimEngine::Impl final : public km::PowerPort {
 public:
  Impl(const std::string& file, Diagnostics& diags, const std::vector<std::string>& extra)
      : args_(extra), engine_(args_.argc(), args_.argv()) {
    Diagnostics found;
    platform_ = load_platform_file(engine_, file, found);
    if (found.ok()) machine_ = derive_machine(platform_.desc, found);
    for (const Diagnostic& d : found.list()) diags.add(d);
    if (found.ok()) attach();
  }
  ~Impl() override { *alive_ = nullptr; }

  const PlatformDesc& platform() const { return platform_.desc; }
  const km::MachineDesc& machine() const { return machine_; }
  const PowerLog& log() const { return log_; }

  void set_power_state(CpuId cpu, u32 opp, bool busy, Ns at) override {
    FS_CONTRACT(cpu.v < cpus() && opp < opps(), "no such CPU or operating point");
    pending_.push({at, cpu, pstate(opp, busy)});
  }
  void set_cpu_power(CpuId cpu, bool on, Ns at) override {
    FS_CONTRACT(cpu.v < cpus(), "no such CPU");
    pending_.push({at, cpu, on ? kTurnOn : kTurnOff});
  }

  RunResult run(KernelModel& kernel, const RunOptions& options);

 private:
  static constexpr u32 kTurnOn = 0xfffffffe, kTurnOff = 0xffffffff;
  struct Transition {
    Ns at;
    CpuId cpu;
    u32 pstate;  ///< or kTurnOn, kTurnOff
  };
  /// Those of one window that are not yet charged, by date.
  class Pending {
   public:
    bool empty() const { return next_ == list_.size(); }
    const Transition& front() const { return list_[next_]; }
    void push(const Transition& t) {
      FS_CONTRACT(empty() || list_.back().at <= t.at, "power states go forward in time");
      list_.push_back(t);
    }
    void pop() {
      if (++next_ < list_.size()) return;
      list_.clear();
      next_ = 0;
    }

   private:
    std::vector<Transition> list_;
    std::size_t next_ = 0;
  };

  /// Something a profile did to a CPU.
  struct Notice {
    enum class What : km::u8 { onoff, speed };
    Ns at;
    u32 cpu;
    What what;
    auto operator<=>(const Notice&) const = default;
  };

  /// The kernel as SimGrid sees it.
  class Source final : public sg::Model {
   public:
    explicit Source(Impl& impl) : Model("forksim kernel"), impl_(impl) {}
    double next_occurring_event(double limit) override { return impl_.next_step(limit); }
    void update_actions_state(double, double) override {}
    bool next_occurring_event_is_idempotent() override { return false; }

   private:
    Impl& impl_;
  };

  u32 cpus() const { return static_cast<u32>(platform_.hosts.size()); }
  u32 opps() const { return static_cast<u32>(machine_.opp_hz.size()); }
  u32 pstate(u32 opp, bool busy) const { return busy ? opp : opps() + opp; }
  Ns clock() const { return to_ns(sg::Engine::get_clock()); }

  void attach();
  void host_onoff(const sg::Host& h);
  void host_speed(const sg::Host& h);
  void tell_notices();
  double next_step(double limit);
  Ns next_date(Ns bound);
  void run_ahead(Ns bound);
  void time_advanced();
  void apply_transitions(Ns now);
  void apply(const Transition& t);
  void tell_onoff(u32 cpu, Ns now);
  void tell_speed(u32 cpu, Ns now);
  void window_passed(Ns reached);
  void stop_here(RunEnd why);
  RunResult close_books();

  Arguments args_;
  sg::Engine engine_;
  LoadedPlatform platform_;
  km::MachineDesc machine_;
  PowerLog log_;
  /// SimGrid's callbacks live as long as the process; they reach us through this and find null when we are gone.
  std::shared_ptr<Impl*> alive_ = std::make_shared<Impl*>(this);

  KernelModel* kernel_ = nullptr;  ///< set during run
  RunOptions options_;
  sg::Timer* horizon_ = nullptr;    ///< keeps SimGrid's loop going until the run ends
  Pending pending_;
  std::vector<Notice> notices_;     ///< not yet told to the kernel
  std::vector<double> ratio_;       ///< available speed of each host
  std::vector<bool> on_, told_on_;  ///< as SimGrid has it, as the kernel knows it
  bool ending_ = false;
  bool charging_ = false;  ///< inside our own set_pstate
  RunEnd end_ = RunEnd::finished;
  u64 rounds_ = 0, transitions_ = 0;
};

void SimEngine::Impl::attach() {
  const u32 boot = pstate(machine_.boot_opp, false);
  for (u32 c = 0; c < cpus(); ++c) {
    sg::Host* h = platform_.hosts[c];
    h->set_pstate(boot);
    ratio_.push_back(h->get_available_speed());
    on_.push_back(h->is_on());
    told_on_.push_back(true);
    // a profile may have acted already while the platform was sealed
    if (!on_[c]) notices_.push_back({Ns(0), c, Notice::What::onoff});
    if (ratio_[c] != 1.0) notices_.push_back({Ns(0), c, Notice::What::speed});
  }
  log_.start(2 * opps(), boot, on_);
  sg::on_host_onoff([alive = alive_](const sg::Host& h) {
    if (*alive) (*alive)->host_onoff(h);
  });
  sg::Host::on_speed_change_cb([alive = alive_](const sg::Host& h) {
    if (*alive) (*alive)->host_speed(h);
  });
  sg::Engine::on_time_advance_cb([alive = alive_](double) {
    if (*alive) (*alive)->time_advanced();
  });
  engine_.add_model(std::make_shared<Source>(*this));
}

void SimEngine::Impl::host_onoff(const sg::Host& h) {
  if (charging_) return;  // our own turn_on or turn_off
  const auto it = std::find(platform_.hosts.begin(), platform_.hosts.end(), &h);
  if (it == platform_.hosts.end()) return;
  const u32 cpu = static_cast<u32>(it - platform_.hosts.begin());
  if (on_[cpu] == h.is_on()) return;
  on_[cpu] = h.is_on();
  log_.set_on(cpu, on_[cpu], clock());
  notices_.push_back({clock(), cpu, Notice::What::onoff});
}

void SimEngine::Impl::host_speed(const sg::Host& h) {
  if (charging_) return;  // our own set_pstate
  const auto it = std::find(platform_.hosts.begin(), platform_.hosts.end(), &h);
  if (it == platform_.hosts.end()) return;
  const u32 cpu = static_cast<u32>(it - platform_.hosts.begin());
  if (h.get_available_speed() == ratio_[cpu]) return;
  ratio_[cpu] = h.get_available_speed();
  notices_.push_back({clock(), cpu, Notice::What::speed});
}

/// SimGrid applies the profile events of one date in an order of its own; the kernel hears of them CPU by CPU.
void SimEngine::Impl::tell_notices() {
  std::sort(notices_.begin(), notices_.end());
  for (const Notice& n : std::exchange(notices_, {})) {
    if (n.what == Notice::What::speed) {
      tell_speed(n.cpu, n.at);
    } else if (told_on_[n.cpu] != on_[n.cpu]) {
      told_on_[n.cpu] = on_[n.cpu];
      tell_onoff(n.cpu, n.at);
    }
  }
}

void SimEngine::Impl::tell_onoff(u32 cpu, Ns now) {
  const std::string_view refused = kernel_->cpu_onoff(CpuId(cpu), on_[cpu], now);
  if (!refused.empty())
    throw EngineError(platform_.desc.file + ": the state profile of cpu" + std::to_string(cpu) +
                      (on_[cpu] ? " brings it back at " : " takes it off at ") + std::to_string(now.v) + " ns, but " +
                      std::string(refused));
}

/// A profile gives a share of the boot clock. What the kernel makes of it (another operating point, other watts) comes back as power
/// states.
void SimEngine::Impl::tell_speed(u32 cpu, Ns now) {
  const double hz = static_cast<double>(machine_.opp_hz[machine_.boot_opp]) * ratio_[cpu];
  if (to_hz(hz) == 0)
    throw EngineError(platform_.desc.file + ": the speed profile of cpu" + std::to_string(cpu) + " stops the clock at " +
                      std::to_string(now.v) + " ns; a state profile takes a CPU off");
  kernel_->speed_changed(CpuId(cpu), to_hz(hz), now);
}

/// SimGrid asks: how far may the clock go, given that it has something of its own in `limit` seconds?
double SimEngine::Impl::next_step(double limit) {
  if (!kernel_ || ending_) return -1.0;
  if (!notices_.empty()) [[unlikely]]
    tell_notices();
  const double clock_s = sg::Engine::get_clock();
  const Ns bound = to_ns(clock_s + limit);
  if (options_.stop && options_.stop->load(std::memory_order_relaxed)) end_ = RunEnd::stopped;
  const Ns date = next_date(bound);
  if (date == kNever || (end_ == RunEnd::stopped && date <= clock())) {
    stop_here(end_);
    return 0.0;
  }
  if (date < bound) return step_to(clock_s, date);
  // SimGrid adds the step to its clock: near its own date that is exact, from afar it depends on where the clock stood
  const double near = exact_from(clock_s, clock_s + limit) ? 0.0 : step_to(clock_s, bound - Ns(1));
  return near > 0.0 ? near : limit;
}

/// The next date the clock must stand at; kNever when the run is over and the clock is at its end.
Ns SimEngine::Impl::next_date(Ns bound) {
  if (pending_.empty() && !options_.lockstep && end_ != RunEnd::stopped) run_ahead(bound);
  if (!pending_.empty()) return std::min(pending_.front().at, bound);
  // whoever ran ahead must let the clock catch up before the books are closed
  if (end_ == RunEnd::stopped || kernel_->next_event() == kNever)
    return kernel_->now() > clock() ? std::min(kernel_->now(), bound) : kNever;
  return std::min(kernel_->next_event(), bound);
}

/// Runs the kernel in windows until it sets a power state or reaches the date before `bound`.
void SimEngine::Impl::run_ahead(Ns bound) {
  while (pending_.empty()) {
    const Ns next = kernel_->next_event();
    if (next >= bound) return;
    const Ns limit = std::min(next + kWindow, bound - Ns(1));
    kernel_->advance(limit);
    window_passed(limit);
    if (end_ == RunEnd::stopped) return;
  }
}

void SimEngine::Impl::time_advanced() {
  if (!kernel_ || ending_) return;
  ++rounds_;
  const Ns now = clock();
  apply_transitions(now);
  if (!pending_.empty() || kernel_->next_event() > now) return;  // who has run ahead has nothing to do before the last of them
  kernel_->advance(now);
  apply_transitions(now);
  if (options_.lockstep) window_passed(now);
}

void SimEngine::Impl::apply_transitions(Ns now) {
  for (; !pending_.empty() && pending_.front().at <= now; pending_.pop()) {
    const Transition& t = pending_.front();
    FS_CONTRACT(t.at == now, "a power state is charged at its own date");
    charging_ = true;
    apply(t);
    charging_ = false;
    ++transitions_;
  }
}

void SimEngine::Impl::apply(const Transition& t) {
  sg::Host* h = platform_.hosts[t.cpu.v];
  if (t.pstate != kTurnOn && t.pstate != kTurnOff) {
    log_.set_pstate(t.cpu.v, t.pstate, t.at);
    h->set_pstate(t.pstate);
    return;
  }
  // The kernel's own doing: it need not be told.
  const bool on = t.pstate == kTurnOn;
  on_[t.cpu.v] = told_on_[t.cpu.v] = on;
  log_.set_on(t.cpu.v, on, t.at);
  on ? h->turn_on() : h->turn_off();
}

void SimEngine::Impl::window_passed(Ns reached) {
  if (options_.stop && options_.stop->load(std::memory_order_relaxed)) end_ = RunEnd::stopped;
  if (options_.progress) options_.progress(std::min(reached, kernel_->now()));
}

/// No more dates from us: without the timer SimGrid's loop ends after this round.
void SimEngine::Impl::stop_here(RunEnd why) {
  ending_ = true;
  end_ = why;
  if (horizon_) horizon_->remove();
  horizon_ = nullptr;
}

RunResult SimEngine::Impl::run(KernelModel& kernel, const RunOptions& options) {
  FS_CONTRACT(!kernel_ && !ending_, "one run per process: SimGrid's clock cannot be reset");
  FS_CONTRACT(!platform_.hosts.empty(), "the platform was refused");
  kernel_ = &kernel;
  options_ = options;
  apply_transitions(Ns(0));
  const Ns last = std::min(options.until, kHorizon);
  const RunEnd why = options.until <= kHorizon ? RunEnd::until : RunEnd::horizon;
  horizon_ = sg::Timer::set(to_seconds(last), [this, why] {
    horizon_ = nullptr;  // SimGrid frees a timer that fired
    stop_here(why);
  });
  engine_.run();
  RunResult r = close_books();
  kernel_ = nullptr;
  return r;
}

RunResult SimEngine::Impl::close_books() {
  FS_CONTRACT(pending_.empty(), "every power state was charged");
  RunResult r;
  r.end = end_;
  r.now = clock();
  r.rounds = rounds_;
  r.transitions = transitions_;
  log_.finish(r.now);
  for (u32 c = 0; c < cpus(); ++c) {
    const double charged = sg_host_get_consumed_energy(platform_.hosts[c]);
    const double booked = log_.joules(c, platform_.desc.cpus[c]);
    r.energy_j.push_back(charged);
    r.energy_total_j += charged;
    const double scale = std::max(std::abs(booked), 1e-12);
    r.energy_error = std::max(r.energy_error, std::abs(charged - booked) / scale);
  }
  return r;
}

SimEngine::SimEngine(const std::string& platform_file, Diagnostics& diags, const std::vector<std::string>& simgrid_args)
    : impl_(std::make_unique<Impl>(platform_file, diags, simgrid_args)) {}
SimEngine::~SimEngine() = default;
const PlatformDesc& SimEngine::platform() const { return impl_->platform(); }
const km::MachineDesc& SimEngine::machine() const { return impl_->machine(); }
km::PowerPort& SimEngine::power() { return *impl_; }
RunResult SimEngine::run(KernelModel& kernel, const RunOptions& options) { return impl_->run(kernel, options); }
Ns SimEngine::residency(CpuId cpu, u32 pstate) const { return impl_->log().residency(cpu.v, pstate); }
Ns SimEngine::off_ns(CpuId cpu) const { return impl_->log().off_ns(cpu.v); }

}  // namespace forksim
