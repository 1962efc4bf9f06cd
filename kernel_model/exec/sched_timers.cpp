#include "kernel_model/exec/sched_timers.hpp"

#include "kernel_model/core.hpp"

namespace forksim::km {

const SchedTimers::Entry* SchedTimers::earliest(CpuId cpu) const {
  const Entry* first = !hrticks_.empty() && hrticks_[cpu.v].expires != kNever ? &hrticks_[cpu.v] : nullptr;
  for (const Entry& e : armed_)
    if (e.cpu == cpu && (!first || e.expires < first->expires || (e.expires == first->expires && e.seq < first->seq))) first = &e;
  return first;
}

void SchedTimers::program_cpu(Core& k, CpuId cpu) {
  Cpu& c = k.cpu(cpu);
  const Entry* e = earliest(cpu);
  c.sched_timer_at = e ? e->expires : kNever;
  c.update_timer();
  k.touch(c);
}

void SchedTimers::program(Core& k, CpuId cpu) {
  program_cpu(k, cpu);
  first_ = kNever;
  for (const Entry& a : armed_) first_ = std::min(first_, a.expires);
  k.stop_ahead(first_);
}

void SchedTimers::arm_hrtick(Core& k, CpuId cpu, Ns expires) {
  if (hrticks_.empty()) hrticks_.assign(k.nr_cpus(), {SchedTimer::hrtick, nullptr, cpu, kNever, 0});
  hrticks_[cpu.v] = {SchedTimer::hrtick, nullptr, cpu, expires, ++seq_};
  program_cpu(k, cpu);
}

void SchedTimers::cancel_hrtick(Core& k, CpuId cpu) { arm_hrtick(k, cpu, kNever); }

void SchedTimers::run_hrtick(Core& k, Cpu& c) {
  if (hrticks_[c.id.v].expires > k.now()) return;  // cancelled while the interrupt waited for the lock
  const Ns put_off = k.sched.rq(c.id).hrtick_expires;
  if (put_off > k.now()) return arm_hrtick(k, c.id, put_off);
  cancel_hrtick(k, c.id);
  ++k.totals.hrticks;
  k.sched.hrtick(c.id);
}

void SchedTimers::start(Core& k, SchedTimer which, TaskGroup* tg, CpuId cpu, Ns expires) {
  if (which == SchedTimer::hrtick) return arm_hrtick(k, cpu, expires);
  const auto same = std::ranges::find_if(armed_, [&](const Entry& e) { return e.which == which && e.tg == tg; });
  const CpuId before = same == armed_.end() ? cpu : same->cpu;
  if (same != armed_.end()) armed_.erase(same);
  armed_.push_back({which, tg, cpu, expires, ++seq_});
  program(k, cpu);
  if (before != cpu) program(k, before);
}

void SchedTimers::run(Core& k, Cpu& c) {
  const Entry e = *earliest(c.id);
  FS_CONTRACT(e.expires <= k.now(), "a timer of the scheduler is run when it is due");
  std::erase_if(armed_, [&](const Entry& o) { return o.seq == e.seq; });
  program(k, c.id);
  switch (e.which) {
    case SchedTimer::rt_period:
      if (k.sched.rt().sched_rt_period_timer()) start(k, e.which, nullptr, c.id, k.sched.rt().period_timer()->expires);
      break;
    case SchedTimer::cfs_period:
      if (k.sched.fair().sched_cfs_period_timer(*e.tg)) start(k, e.which, e.tg, c.id, Ns(e.tg->bandwidth.period_timer_expires));
      break;
    case SchedTimer::cfs_slack:
      k.sched.fair().sched_cfs_slack_timer(*e.tg);
      break;
    case SchedTimer::hrtick:
      FS_CONTRACT(false, "run_hrtick runs it, under the lock");
  }
}

bool SchedTimers::idle(const Core& k) const {
  for (const Entry& e : armed_)
    if (e.tg && !e.tg->bandwidth.throttled_cfs_rq.empty()) return false;
  for (u32 i = 0; i < k.nr_cpus(); ++i)
    if (k.sched.rq(CpuId(i)).rt.rt_nr_running) return false;
  return true;
}

u64 SchedTimers::work_ahead(const Cpu& c) const {
  const Entry* e = earliest(c.id);
  u64 n = 0;
  if (!e || !e->tg) return 0;
  auto& list = e->tg->bandwidth.throttled_cfs_rq;
  for (const CfsRq* q = list.front(); q; q = q->throttled_node.next) ++n;
  return n;
}

void SchedTimers::migrate(Core& k, CpuId from, CpuId to) {
  for (Entry& e : armed_) {
    if (e.cpu != from) continue;
    e.cpu = to;
    if (e.which == SchedTimer::rt_period) k.sched.rt().migrate_period_timer(to);
    if (e.which == SchedTimer::cfs_period) e.tg->bandwidth.timer_cpu = to;
    if (e.which == SchedTimer::cfs_slack) e.tg->bandwidth.slack_cpu = to;
  }
  program(k, from);
  program(k, to);
}

}  // namespace forksim::km
