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

void SchedTimers::begin(Core& k, Cpu& c) {
  const Entry e = *earliest(c.id);
  FS_CONTRACT(e.expires <= k.now(), "a timer of the scheduler is run when it is due");
  FS_CONTRACT(e.which != SchedTimer::hrtick, "run_hrtick runs it, under the lock");
  std::erase_if(armed_, [&](const Entry& o) { return o.seq == e.seq; });
  program(k, c.id);
  if (callbacks_.empty()) callbacks_.resize(k.nr_cpus());
  Callback& b = callbacks_[c.id.v];
  b.which = e.which;
  if (e.which == SchedTimer::rt_period)
    k.sched.rt().begin_period_timer(b.rt);
  else if (e.which == SchedTimer::cfs_period)
    k.sched.fair().begin_period_timer(b.cfs, *e.tg);
  else
    k.sched.fair().begin_slack_timer(b.cfs, *e.tg);
  if (!wanted(c.id)) finish(k, c);
}

Rq* SchedTimers::wanted(CpuId cpu) const {
  if (callbacks_.empty()) return nullptr;
  const Callback& b = callbacks_[cpu.v];
  if (b.which == SchedTimer::rt_period) return b.rt.rq;
  const CfsRq* q = b.cfs.queue();
  return q ? q->rq : nullptr;
}

bool SchedTimers::unthrottles(CpuId cpu) const {
  const Callback& b = callbacks_[cpu.v];
  return b.which != SchedTimer::rt_period && b.cfs.queue()->throttled;
}

void SchedTimers::advance(Core& k, Cpu& c) {
  Callback& b = callbacks_[c.id.v];
  if (b.which == SchedTimer::rt_period)
    k.sched.rt().period_timer_next(b.rt, c.id);
  else
    k.sched.fair().distribute_to_next(b.cfs, c.id);
  if (!wanted(c.id)) finish(k, c);
}

/// HRTIMER_RESTART or not.
void SchedTimers::finish(Core& k, Cpu& c) {
  const Callback& b = callbacks_[c.id.v];
  if (b.which == SchedTimer::rt_period) {
    if (const auto timer = k.sched.rt().period_timer()) start(k, b.which, nullptr, c.id, timer->expires);
  } else if (b.which == SchedTimer::cfs_period && !b.cfs.idle) {
    start(k, b.which, b.cfs.tg, c.id, Ns(b.cfs.tg->bandwidth.period_timer_expires));
  }
}

bool SchedTimers::idle(const Core& k) const {
  for (const Entry& e : armed_)
    if (e.tg && !e.tg->bandwidth.throttled_cfs_rq.empty()) return false;
  for (u32 i = 0; i < k.nr_cpus(); ++i)
    if (k.sched.rq(CpuId(i)).rt.rt_nr_running) return false;
  return true;
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
