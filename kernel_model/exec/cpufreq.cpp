// Governors, their threads and the driver as paths. See cpufreq.hpp for the kernel files.
#include "kernel_model/exec/cpufreq.hpp"

#include "kernel_model/process/boot.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

constexpr u8 kOff = StepFlag::kIrqsOff | StepFlag::kNoPreempt;
constexpr u32 kMailboxIrq = 26;  // Linux' number for the line of the mailbox (SPI 33) in /proc/interrupts of the board

bool acts(Governor g) { return g == Governor::ondemand || g == Governor::schedutil; }

FreqPolicy policy_of(const KernelConfig& config) {
  const std::vector<u64>& hz = config.machine.opp_hz;
  std::vector<u32> khz;
  for (u64 h : hz) khz.push_back(static_cast<u32>(h / 1000));
  if (config.cpufreq.driver == CpufreqConfig::Driver::bcm2835_cpufreq) khz = {std::ranges::min(khz), std::ranges::max(khz)};
  return FreqPolicy(std::move(khz));
}

Next irq_work_entry(Ctx& x) {
  if (x.k.trace().enabled(Tp::ipi_entry)) x.k.emit(Tp::ipi_entry, x.c, x.k.name("IRQ work interrupts"));
  return advance();
}
Ns half_irq(Ctx& x) { return x.k.cost(Phase::irq_entry_exit) / 2 + (x.f.a[0] ? x.k.cost(Phase::idle_exit_wfi) : Ns(0)); }
Ns rest_irq(Ctx& x) { return x.k.cost(Phase::irq_entry_exit) - x.k.cost(Phase::irq_entry_exit) / 2; }
/// dbs_irq_work, sugov_irq_work: the thread that may sleep does the rest.
Next irq_work_run(Ctx& x) {
  account_irq_enter(x);
  if (Task* t = x.k.cpufreq->irq_work(x.c)) call_ttwu(x, *t, TASK_NORMAL);
  return advance();
}
Next irq_work_exit(Ctx& x) {
  if (x.k.trace().enabled(Tp::ipi_exit)) x.k.emit(Tp::ipi_exit, x.c, x.k.name("IRQ work interrupts"));
  return irq_exit(x);
}
bool by_ondemand(Ctx& x) { return x.k.cpufreq->hook() == Fn::dbs_update_util_handler; }
bool by_schedutil(Ctx& x) { return !by_ondemand(x); }
constexpr Step kIrqWorkSteps[] = {
    {irq_work_entry, Phase::count_, half_irq, kOff, marks<enters<Fn::gic_handle_irq>, enters<Fn::handle_IPI>>},
    {irq_work_run, Phase::count_, nullptr, kOff,
     marks<enters<Fn::irq_enter>, calls<Fn::rcu_irq_enter>, leaves<Fn::irq_enter>, enters<Fn::irq_work_run>, enters<Fn::irq_work_run_list>,
           enters<Fn::dbs_irq_work, by_ondemand>, enters<Fn::sugov_irq_work, by_schedutil>>},
    {irq_work_exit, Phase::count_, rest_irq, kOff, marks<leaves<Fn::irq_work_run>, enters<Fn::irq_exit>>},
};

Next dbs_update(Ctx& x) {
  if (const auto khz = x.k.cpufreq->sample()) call(x, kDriverTarget).a[0] = *khz;
  return advance();
}
Next dbs_done(Ctx& x) {
  x.k.cpufreq->sampled();
  return ret();
}
constexpr Step kDbsWorkSteps[] = {
    {dbs_update, Phase::cpufreq_governor, nullptr, StepFlag::kMightSleep,
     marks<enters<Fn::process_one_work>, enters<Fn::dbs_work_handler>, enters<Fn::od_dbs_update>, pays<Fn::dbs_update>>},
    {dbs_done, Phase::count_, nullptr, 0},
};

/// kthread_worker_fn of the sugov thread.
Next sugov_sleep(Ctx& x) {
  if (x.k.cpufreq->more_work()) return advance();
  x.t.state = TASK_INTERRUPTIBLE;
  call(x, kSchedule);
  return jump(0);
}
Next sugov_work(Ctx& x) {
  if (const auto khz = x.k.cpufreq->sample()) call(x, kDriverTarget).a[0] = *khz;
  return jump(0);
}
constexpr Step kSugovSteps[] = {
    {sugov_sleep, Phase::count_, nullptr, StepFlag::kNoPreempt, marks<leaves<Fn::sugov_work>>},
    {sugov_work, Phase::cpufreq_governor, nullptr, StepFlag::kCondResched, marks<enters<Fn::sugov_work>>},
};

/// __target_index: the message leaves; nobody else may change the clock until it is answered.
Next driver_request(Ctx& x) {
  Cpufreq& f = *x.k.cpufreq;
  // Another thread is at it, which happens only when hotplug restarted the governor: the next sample asks again.
  if (!f.transition_done()) return ret();
  f.request(x.t, static_cast<u32>(x.f.a[0]));
  return advance();
}
/// rpi_firmware_transaction: wait_for_completion until the mailbox interrupt.
Next driver_wait(Ctx& x) {
  if (x.k.cpufreq->transition_done()) {
    fn_leave(x, Fn::rpi_firmware_property);
    x.k.cpufreq->finish_transition(x.c);
    fn(x, Fn::cpufreq_freq_transition_end);
    return ret();
  }
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(1);
}
constexpr Step kDriverSteps[] = {
    {driver_request, Phase::cpufreq_target, nullptr, StepFlag::kMightSleep,
     marks<enters<Fn::__cpufreq_driver_target>, calls<Fn::cpufreq_freq_transition_begin>, enters<Fn::rpi_firmware_property>,
           enters<Fn::rpi_firmware_property_list>, enters<Fn::rpi_firmware_transaction>>},
    {driver_wait, Phase::count_, nullptr, StepFlag::kNoPreempt, marks<enters<Fn::wait_for_completion, outside<Fn::wait_for_completion>>>},
};

}  // namespace

const Path kIrqWork{"irq_work_run", kIrqWorkSteps};
const Path kDbsWork{"dbs_work_handler", kDbsWorkSteps};
const Path kSugov{"sugov_work", kSugovSteps};
const Path kDriverTarget{"__cpufreq_driver_target", kDriverSteps};

void Core::cpufreq_update_util(CpuId on, CpuId cpu, u64 time, u32 flags) {
  if (graph_on()) [[unlikely]]
    fn_enter(on, cpufreq->hook());
  cpufreq->update_util(on, cpu, time, flags);
  if (graph_on()) [[unlikely]]
    fn_leave(on);
}

u32 Cpufreq::initial_khz(const KernelConfig& config) {
  const FreqPolicy policy = policy_of(config);
  switch (config.cpufreq.governor) {
    case Governor::performance:
    case Governor::count_:
      return static_cast<u32>(config.machine.opp_hz[config.machine.boot_opp] / 1000);
    case Governor::userspace:
      return policy.resolve(config.cpufreq.setspeed_khz ? config.cpufreq.setspeed_khz : policy.max(), Relation::at_least);
    case Governor::powersave:
    case Governor::ondemand:
    case Governor::schedutil:
      break;
  }
  return policy.min();  // of the two that act: what a machine that was quiet before runs at
}

u64 Cpufreq::initial_scale(const KernelConfig& config) {
  if (config.cpufreq.driver != CpufreqConfig::Driver::cpufreq_dt || config.cpufreq.governor == Governor::performance) return 1024;
  FreqPolicy policy = policy_of(config);
  policy.cur = initial_khz(config);
  return policy.freq_scale();
}

std::unique_ptr<Cpufreq> Cpufreq::make(Core& k, const KernelConfig& config) {
  if (!acts(config.cpufreq.governor)) return nullptr;
  return std::unique_ptr<Cpufreq>(new Cpufreq(k, config));
}

Cpufreq::Cpufreq(Core& k, const KernelConfig& config)
    : k_(k), policy_(policy_of(config)), invariant_(config.cpufreq.driver == CpufreqConfig::Driver::cpufreq_dt) {
  policy_.cur = hw_khz_ = initial_khz(config);
  const KernelProfile& profile = k.profile();
  const u64 delay_us = FreqPolicy::transition_delay_us(k.cost(Phase::cpufreq_transition));
  if (config.cpufreq.governor == Governor::ondemand) {
    const u64 min_sampling_us = 2 * profile.tick_ns() / 1000;  // CPUFREQ_DBS_MIN_SAMPLING_INTERVAL
    ondemand_.emplace(profile, std::max(min_sampling_us, delay_us));
  } else {
    const u64 limit = profile.tun(Tunable::rate_limit_us);
    schedutil_.emplace(k.nr_cpus(), limit ? limit : delay_us, profile.tick_ns());
  }
}

void Cpufreq::boot() {
  mailbox_ = static_cast<u32>(k_.irqs.size());
  Irq irq;
  irq.spec.name = "fe00b880.mailbox";
  irq.spec.irq = kMailboxIrq;
  irq.spec.handler = k_.cost(Phase::mailbox_interrupt);
  irq.name = k_.name(irq.spec.name);
  irq.mailbox = true;
  k_.irqs.push_back(irq);
  if (schedutil_) {
    sugov_ = &boot_kthread(k_, "sugov:0", CpuId(0), kSugov, false);
    k_.sched.set_params(*sugov_, SchedPolicy::fifo, 0, 99);
  }
  cpus_changed();
  k_.sched.set_update_util(true);
}

std::vector<CpuSample> Cpufreq::samples() const {
  std::vector<CpuSample> out;
  for (u32 i = 0; i < k_.nr_cpus(); ++i) {
    const Cpu& c = k_.cpu(CpuId(i));
    const Ns idle = c.times.idle + (c.kind == TimeKind::idle ? k_.now() - c.acct_at : Ns(0));
    out.push_back({k_.sched.cpu_active(c.id), idle.v / 1000, k_.now().v / 1000, c.nice_ns});
  }
  return out;
}

std::vector<Schedutil::CpuUtil> Cpufreq::utils() const {
  std::vector<Schedutil::CpuUtil> out;
  const bool util_est = k_.profile().feat(Feature::UTIL_EST);
  for (u32 i = 0; i < k_.nr_cpus(); ++i) {
    const Rq& rq = k_.sched.rq(CpuId(i));
    const u64 cfs = util_est ? std::max(rq.cfs.avg.util_avg, u64{rq.cfs.avg.util_est.enqueued}) : rq.cfs.avg.util_avg;
    // The sugov thread is a deadline task in the kernel and does not count as one of the real-time class.
    const u32 own = sugov_->rt.on_rq && sugov_->cpu == rq.cpu ? 1 : 0;
    out.push_back(
        {rq.online, rq.rt.rt_queued && rq.rt.rt_nr_running > own, cfs, rq.avg_rt.util_avg, rq.cpu_capacity_orig, rq.avg_irq.util_avg});
  }
  return out;
}

void Cpufreq::update_util(CpuId on, CpuId cpu, u64 time, u32 flags) {
  if (!k_.sched.cpu_active(on)) return;  // cpufreq_this_cpu_can_update
  const bool due =
      ondemand_ ? ondemand_->update_util(time) : schedutil_->update_shared(cpu.v, time, flags, policy_, [&] { return utils(); });
  if (due) k_.irq_work_queue(on);
}

Fn Cpufreq::hook() const { return ondemand_ ? Fn::dbs_update_util_handler : Fn::sugov_update_shared; }

Task* Cpufreq::irq_work(Cpu& c) {
  if (ondemand_) {
    c.dbs_work = true;
    return c.kworker;
  }
  sugov_queued_ = true;
  return sugov_;
}

std::optional<u32> Cpufreq::sample() {
  u32 khz = policy_.cur;
  if (ondemand_) {
    const OndemandGovernor::Target t = ondemand_->od_dbs_update(policy_, samples());
    if (t.wanted) khz = policy_.resolve(t.khz, t.relation);
  } else {
    sugov_queued_ = false;
    khz = policy_.resolve(schedutil_->sugov_work(), Relation::at_least);
  }
  if (khz == policy_.cur) return {};
  return khz;
}

void Cpufreq::sampled() { ondemand_->sampled(); }

void Cpufreq::request(Task& waiter, u32 khz) {
  requested_khz_ = khz;
  waiter_ = &waiter;
  const CpuId cpu(k_.sched.cpu_active_mask().first());
  k_.raise_irq_at(cpu, mailbox_, k_.now() + k_.cost(Phase::cpufreq_transition));
}

Task* Cpufreq::answered() {
  hw_khz_ = requested_khz_;
  requested_khz_ = 0;
  k_.set_frequency(u64{hw_khz_} * 1000);
  return waiter_;
}

void Cpufreq::finish_transition(Cpu& c) {
  policy_.cur = hw_khz_;
  ++k_.totals.frequency_changes;
  for (u32 i = 0; i < k_.nr_cpus(); ++i) {
    if (invariant_) k_.sched.rq(CpuId(i)).freq_scale = policy_.freq_scale();
    if (k_.sched.cpu_active(CpuId(i))) k_.emit(Tp::cpu_frequency, c, policy_.cur, CpuId(i));
  }
}

void Cpufreq::cpus_changed() {
  if (ondemand_) ondemand_->start(samples());
  if (schedutil_) schedutil_->start();
}

}  // namespace forksim::km
