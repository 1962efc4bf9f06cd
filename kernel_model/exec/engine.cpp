// Runs CPUs step by step in the order of their event keys. See core.hpp and exec/path.hpp.
#include "kernel_model/core.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

/// Of the CPUs; kNever also when it is out of reach.
Ns Core::next_date() const {
  const Ns d = next_.first().date();
  return d < EventKey::kFar ? d : kNever;
}

Ns Core::next_event() const {
  Ns d = next_date();
  if (next_start_ < starts_.size()) d = std::min(d, std::max(starts_[next_start_].at, now()));
  return d == sched_timers.first() && only_idle_timers() ? kNever : d;
}

/// Whether every CPU idles without a tick, nobody sleeps until a date, and only the scheduler's timers are armed, which have nothing to do.
bool Core::only_idle_timers() const {
  if (next_start_ < starts_.size()) return false;
  for (const auto& c : cpus_) {
    const Ns other = std::min({c->seg_end, c->ipi_at, c->tick_at, c->timers.next(), c->dev_at, c->irq_work_at, c->call_at});
    if (other != kNever) return false;
  }
  return sched_timers.idle(*this);
}

void Core::advance(Ns limit) {
  for (;;) {
    const Ns d = next_date();
    const Ns start = next_start_ < starts_.size() ? std::max(starts_[next_start_].at, now()) : kNever;
    if (start <= std::min(d, limit) && start != kNever) {
      set_clock(start);
      start_process(starts_[next_start_++]);
      continue;
    }
    const Ns timer = sched_timers.first();
    if (d > limit || d == kNever || (d == timer && only_idle_timers())) return;
    run_ahead(EventKey::before(std::min({limit < kNever ? limit + Ns(1) : kNever, start, timer})));
  }
}

/// Takes the earliest event, and all others that come before `end`, each CPU for as long as its next one comes before that of every other.
/// An effect that changes another CPU's date lowers bound_ through touch(). The innermost loop of a run: what it calls per step is inline.
void Core::run_ahead(EventKey end) {
  watch();
  end_ = end;
  WinnerTree::Firsts next = next_.firsts();
  do {
    Cpu& c = *cpus_[next.first.cpu().v];
    running_ = &c;
    EventKey key = next.first;
    run_until(std::min(end_, next.second));
    do {
      set_clock(key.date());
      if (key.step_ends())
        run_effect(c);
      else if (!interrupt(c))
        continue;
      enter_step<true>(c);
    } while ((key = key_of(c)) < bound_);
    next_.update(c.id, key);
    next = next_.firsts();
  } while (next.first < end_);
  running_ = nullptr;
}

inline void Core::set_clock(Ns t) {
  sched.set_now(t);
  if (t >= next_jiffy_) [[unlikely]] {
    const u64 tick = profile().tick_ns();
    const u64 passed = (t - next_jiffy_).v / tick + 1;
    sched.set_jiffies(sched.jiffies() + passed);
    next_jiffy_ += Ns(passed * tick);
    run_until(bound_);
  }
}

/// The next event of `c`.
inline EventKey Core::key_of(const Cpu& c) const {
  const bool interrupted = !(c.seg_flags & StepFlag::kIrqsOff) && c.irq_next <= c.seg_end;
  const Ns d = interrupted ? c.irq_next : c.seg_end;
  return d == kNever ? EventKey() : EventKey(std::max(d, now()), !interrupted, c.id);
}

void Core::touch(Cpu& c) {
  if (&c == running_) return;
  const EventKey key = key_of(c);
  next_.update(c.id, key);
  if (key < bound_) run_until(key);
}

/// Suspends the step in progress for the interrupt that is due; false when there is none after all.
bool Core::interrupt(Cpu& c) {
  if (!irq_due(c)) return false;
  suspend(c);
  take_irq(c);
  return true;
}

/// Whether an interrupt is really there: the timer of a sleeper that was woken otherwise has been reprogrammed.
inline bool Core::irq_due(Cpu& c) {
  return c.ipi_at <= now() || c.tick_at <= now() || c.dev_at <= now() || c.call_at <= now() || c.irq_work_at <= now() || timer_due(c);
}

bool Core::timer_due(Cpu& c) {
  c.update_timer();
  return c.irq_next <= now();
}

void Core::run_steps(Cpu& c) {
  watch();
  enter_step<false>(c);
  touch(c);
}

/// The effect of the step that `c` is in, which has been paid.
inline void Core::run_effect(Cpu& c) {
  FrameStack& st = *c.stack;
  Frame& f = st.top();
  Ctx x{*this, c, st, f, *c.cur};
  apply(c, st, f, f.step->effect(x));
}

/// Moves on to the next step; locks that it does not have are free from now on.
inline void Core::apply(Cpu& c, FrameStack& st, Frame& f, Next n) {
  if (n.kind == Next::Kind::advance) [[likely]] {
    ++f.step;
  } else if (n.kind == Next::Kind::jump) {
    f.go(n.pc);
  } else if (n.kind == Next::Kind::ret) {
    FS_CONTRACT(&st.top() == &f, "a path returns above its callee");
    if (graph_on()) [[unlikely]]
      graph_.ret(*this, c, f);
    st.pop();
    if (st.empty()) update_stack(c);
    if (const u32 held = f.held()) drop_locks(c, held);
    return;
  } else {
    return;  // hold
  }
  if (const u32 gone = f.held_beyond(f.step->sees)) {
    f.drop(gone);
    drop_locks(c, gone);
  }
}

/// Goes from step to step: the effects of those that take no time follow at once, and so do, when `kAhead`, those that nothing disturbs.
/// Returns within a step, at its start. Part of the innermost loop, so forced into it.
template <bool kAhead>
[[gnu::always_inline]] inline void Core::enter_step(Cpu& c) {
  for (;;) {
    FrameStack& st = *c.stack;
    Frame& f = st.top();
    const Step& s = *f.step;
    if (c.irq_next <= now()) [[unlikely]]
      if (!((s.flags | c.lock_flags) & StepFlag::kIrqsOff) && irq_due(c)) {
        take_irq(c);
        continue;
      }
    if (c.cur->ti_flags) [[unlikely]]
      if (c.irq.empty() && c.cur != c.idle && push_pending(c)) continue;
    Ctx x{*this, c, st, f, *c.cur};
    Ns len;
    if (const u32 todo = s.sees & f.todo & watched_; !todo) [[likely]] {
      len = step_cost(x, s);
    } else if (todo & Frame::kStarted) {
      len = f.resume();
    } else {
      if (const u32 missing = todo & kAllLocks; missing && !take_locks(x, missing)) continue;
      if (todo & Frame::kGraph) [[unlikely]]
        graph_.step(x, s);
      len = step_cost(x, s);
    }
    if (len != Ns(0)) [[likely]]
      if (!begin_segment<kAhead>(c, s, len)) [[unlikely]]
        return;
    apply(c, st, f, s.effect(x));
  }
}

/// The scale of step `s`, when it is mm work or the one before it was.
[[gnu::noinline]] u64 Core::mm_scale(Cpu& c, const Step& s) {
  const u8 in = s.flags & StepFlag::kMm;
  if (in != c.in_mm) set_in_mm(c, in);
  return step_scale(c, mode_of(s.flags));
}

/// `c` is in step `s` from now on, of which `len` reference ns are to be paid. True when `kAhead` and that is over before anything else
/// happens on the machine: then it has been paid, and nobody sees what the CPU was in.
template <bool kAhead>
[[gnu::always_inline]] inline bool Core::begin_segment(Cpu& c, const Step& s, Ns len) {
  const Mode mode = mode_of(s.flags);
  u64 scale = c.scale[mode];
  if ((s.flags | c.in_mm) & mm_flag_) [[unlikely]]
    scale = mm_scale(c, s);
  if (const TimeKind kind = c.kind_of[mode]; kind != c.kind) [[unlikely]] {
    charge(c);
    c.kind = kind;
  }
  const Ns end = len == kNever ? kNever : now() + scaled(len, scale);
  c.seg_end = end;
  if (kAhead && end < ahead_ && (end < c.irq_next || ((s.flags | c.lock_flags) & StepFlag::kIrqsOff))) [[likely]] {
    sched.set_now(end);
    return true;
  }
  c.seg_flags = s.flags | c.lock_flags;
  c.seg_scale = scale;
  return false;
}

inline Ns Core::step_cost(Ctx& x, const Step& s) {
  Ns n = phase_cost_[static_cast<std::size_t>(s.phase)];
  if (s.cost) {
    const Ns extra = s.cost(x);
    n = extra == kNever ? kNever : n + extra;
  }
  return n;
}

/// Work that must come before the next step of the current task: signals and rescheduling before user mode, preemption in the kernel.
bool Core::push_pending(Cpu& c) {
  Task& t = *c.cur;
  const Frame& f = t.frames.top();
  const Step& s = *f.step;
  if (s.flags & StepFlag::kUser) {
    t.frames.push(kUserWork);
    return true;
  }
  if (!t.need_resched() || t.preempt_count) return false;
  if (!profile().config_preempt() && !(s.flags & resched_points_)) return false;
  if ((s.flags | c.lock_flags) & (StepFlag::kIrqsOff | StepFlag::kNoPreempt)) return false;
  t.frames.push(kSchedule).a[0] = 1;
  return true;
}

void Core::suspend(Cpu& c) {
  const Ns left = c.seg_end != kNever ? unscaled(c.seg_end - now(), c.seg_scale) : c.wfi ? Ns(0) : kNever;
  c.stack->top().suspend(left);
}

u64 Core::step_scale(const Cpu& c, Mode mode) const {
  if (mode == kUserMode || !c.in_mm || nr_mm_ == 1) return c.scale[mode];
  return (c.scale[kKernelMode] * (65536 + u64{nr_mm_ - 1} * costs_.mm_contention_65536)) >> 16;
}

/// `c` enters or leaves mm code: what remains of the mm steps of the other CPUs takes longer or shorter from now on.
void Core::set_in_mm(Cpu& c, bool in) {
  c.in_mm = in ? StepFlag::kMm : 0;
  const u32 others = in ? nr_mm_ : nr_mm_ - 1;
  nr_mm_ = others + in;
  if (!others) return;
  for (auto& o : cpus_) {
    if (!o->in_mm || o.get() == &c || o->seg_end == kNever) continue;
    const Ns left = unscaled(o->seg_end - now(), o->seg_scale);
    o->seg_scale = step_scale(*o, mode_of(o->seg_flags));
    o->seg_end = now() + scaled(left, o->seg_scale);
    touch(*o);
  }
}

void Core::end_segment_now(Cpu& c) {
  c.seg_end = now();
  touch(c);
}

/// After a change of what `c` executes: another task, the first or last interrupt frame, on or off.
void Core::update_stack(Cpu& c) {
  c.stack = c.irq.empty() ? &c.cur->frames : &c.irq;
  const TimeKind k = !c.online ? TimeKind::off : !c.irq.empty() ? TimeKind::irq : c.cur == c.idle ? TimeKind::idle : TimeKind::system;
  c.kind_of = {k, k == TimeKind::system ? TimeKind::user : k};
}

/// Books the time since the last call to what the CPU was doing: before it does something else, for another task, or somebody looks.
void Core::charge(Cpu& c) {
  const Ns dt = now() - c.acct_at;
  c.acct_at = now();
  if (c.kind == TimeKind::off) [[unlikely]]
    return;
  c.times.*time_of(c.kind) += dt;
  if (c.kind > TimeKind::system) return;
  (c.kind == TimeKind::user ? c.cur->utime : c.cur->stime) += dt;
}

void Core::switch_frames(Cpu& c, Task& next) {
  charge(c);
  c.prev = c.cur;
  c.cur = &next;
  update_stack(c);
  ++c.times.context_switches;
}

void Core::set_power(Cpu& c, bool busy) {
  power_.set_power_state(c.id, c.opp, busy, now());
  emit(Tp::cpu_power, c, c.id, c.opp, busy);
}

/// smp_cross_call to one CPU.
inline void Core::raise_ipi(CpuId from, CpuId to, NameId reason) {
  ++totals.ipis;
  sched.emit(Tp::ipi_raise, from, to, reason);
}

void Core::send_reschedule(CpuId from, CpuId to) {
  Cpu& target = *cpus_[to.v];
  const FnSpan call(sched, from, Fn::smp_send_reschedule), cross(sched, from, Fn::smp_cross_call);
  raise_ipi(from, to, ipi_reason_);
  const Ns arrival = now() + machine_.ipi[from.v * nr_cpus() + to.v];
  if (arrival < target.ipi_at) {
    target.ipi_at = arrival;
    target.update_irq();
    touch(target);
  }
}

void Core::call_function_on(CpuId from, Cpu& target) {
  raise_ipi(from, target.id, call_reason_);
  target.call_at = std::min(target.call_at, now() + machine_.ipi[from.v * nr_cpus() + target.id.v]);
  target.update_irq();
  touch(target);
}

void Core::irq_work_queue_on(CpuId from, CpuId to) {
  cpus_[to.v]->call_rto = true;
  call_function_on(from, *cpus_[to.v]);
}

void Core::hrtick_call(CpuId from, CpuId to) {
  cpus_[to.v]->call_hrtick = true;
  call_function_on(from, *cpus_[to.v]);
}

void Core::stop_one_cpu_nowait(CpuId from, CpuId cpu) {
  cpus_[cpu.v]->active_balance = true;
  stop_requests_.emplace_back(from, cpu);
}

CpuId Core::take_stop_request(CpuId from) {
  for (auto r = stop_requests_.begin(); r != stop_requests_.end(); ++r) {
    if (r->first != from) continue;
    const CpuId target = r->second;
    stop_requests_.erase(r);
    return target;
  }
  return from;
}

u8 Core::trace_flags(CpuId cpu) const {
  const Cpu& c = *cpus_[cpu.v];
  u8 flags = 0;
  const Frame* f = c.stack && !c.stack->empty() ? &c.stack->top() : nullptr;
  const bool off = f && (f->step->flags & StepFlag::kIrqsOff);
  if (c.irqs_here ? c.irqs_here > 0 : off) flags |= TraceFlags::kIrqsOff;
  if (c.cur && c.cur->need_resched()) flags |= TraceFlags::kNeedResched;
  if (c.cur && (c.cur->preempt_count & HARDIRQ_MASK)) flags |= TraceFlags::kHardirq;
  if (c.cur && (c.cur->preempt_count & SOFTIRQ_MASK)) flags |= TraceFlags::kSoftirq;
  return flags;
}

void Core::arm_timer(Cpu& c, Task& t, Ns soft) {
  t.timer_seq = ++timer_seq_;
  c.timers.push({soft + Ns(profile().tun(Tunable::timer_slack_ns)), soft, t.timer_seq, &t});
  c.update_timer();
}

void Core::irq_work_queue(CpuId cpu) {
  Cpu& c = *cpus_[cpu.v];
  if (c.irq_work_at != kNever) return;
  raise_ipi(cpu, cpu, work_reason_);
  c.irq_work_at = now();
  c.update_irq();
  touch(c);
}

void Core::raise_irq_at(CpuId cpu, u32 irq, Ns date) {
  Cpu& c = *cpus_[cpu.v];
  c.dev_irqs.insert(std::ranges::upper_bound(c.dev_irqs, date, {}, &DevIrq::date), {date, irq});
  c.dev_at = c.dev_irqs.front().date;
  c.update_irq();
  touch(c);
}

void Core::set_frequency(u64 hz) {
  policy_hz_ = hz;
  for (auto& p : cpus_) {
    Cpu& c = *p;
    charge(c);
    const u32 before = c.opp;
    apply_speed(c, c.cap_hz ? std::min(hz, c.cap_hz) : hz);
    if (c.online && c.opp != before) set_power(c, !c.wfi);
    touch(c);
  }
}

void Core::speed_changed(CpuId id, u64 hz, Ns now) {
  Cpu& c = *cpus_[id.v];
  set_clock(std::max(now, sched.now()));
  charge(c);
  c.cap_hz = hz;
  apply_speed(c, policy_hz_ ? std::min(hz, policy_hz_) : hz);
  touch(c);
}

/// Re-scales the step in progress: what remains is kept in reference ns across the change.
void Core::apply_speed(Cpu& c, u64 hz) {
  const bool running = c.seg_end != kNever;
  const Ns left = running ? unscaled(c.seg_end - now(), c.seg_scale) : kNever;
  const u64 ref = machine_.opp_hz[0];
  const u64 user_scale = (ref * 65536 + hz - 1) / hz;
  const u64 mem = costs_.memory_share_256;
  c.scale = {((256 - mem) * user_scale + mem * 65536) / 256, user_scale};
  for (u32 i = 0; i < machine_.opp_hz.size(); ++i)
    if (machine_.opp_hz[i] == hz) c.opp = i;
  if (!running) return;
  c.seg_scale = step_scale(c, mode_of(c.seg_flags));
  c.seg_end = now() + scaled(left, c.seg_scale);
}

std::string_view Core::cpu_onoff(CpuId id, bool on, Ns now) {
  Cpu& c = *cpus_[id.v];
  if (c.online == on) return {};
  if (hotplug.holder) return "a write to cpuN/online is under way";
  if (c.off_by_write) return "it was taken off by a write to cpuN/online";
  if (!on && sched.cpu_active_mask() == CpuMask::of(id)) return "it is the last CPU";
  set_clock(std::max(now, sched.now()));
  charge(c);
  c.online = on;
  update_stack(c);
  CpuId alive = id;
  for (auto& o : cpus_)
    if (o->online && o->id != id) {
      alive = o->id;
      break;
    }
  sched.set_cpu_online(id, on, on ? id : alive);
  if (!on) sched_timers.migrate(*this, id, alive);
  c.kind = c.kind_of[mode_of(c.seg_flags)];
  if (!on && c.cur != c.idle) {
    if (c.prev && c.prev->on_cpu && c.prev->on_rq == TASK_ON_RQ_QUEUED) request_push(*this, c, *c.prev);
    request_push(*this, c, *c.cur);
  }
  touch(c);
  return {};
}

void Core::cpu_power_off(Cpu& c) {
  charge(c);
  c.online = false;
  c.off_by_write = true;
  update_stack(c);
  c.kind = TimeKind::off;
  c.ipi_at = c.tick_at = c.call_at = c.irq_work_at = kNever;
  c.call_rto = c.call_hrtick = false;
  c.irq_next = kNever;
  emit(Tp::cpu_online, c, c.id, 0);
  power_.set_cpu_power(c.id, false, now());
}

void Core::cpu_power_on(Cpu& c) {
  charge(c);
  c.online = true;
  c.off_by_write = false;
  update_stack(c);
  c.kind = TimeKind::idle;
  c.seg_flags = StepFlag::kIrqsOff;
  c.wfi = c.polling = false;
  power_.set_cpu_power(c.id, true, now());
  apply_speed(c, policy_hz_ ? policy_hz_ : machine_.opp_hz[c.opp]);
  set_power(c, true);
  end_segment_now(c);
}

void Core::finish(Ns now) {
  set_clock(std::max(now, sched.now()));
  for (auto& c : cpus_) {
    charge(*c);
    for (const Task* t = sched.rq(c->id).wake_list; t; t = t->wake_entry) --totals.wakeups;  // on their way to the CPU: not woken yet
  }
  for (Task* t : by_pid_)
    if (t && t->has_stack && !switched_away(*t)) emit_acct(*cpus_[0], *t);
  for (u32 i = 0; i < task_pool.capacity(); ++i) {  // reaped, by others or itself, before its last switch is done
    Task& t = task_pool[i];
    if ((t.flags & PF_EXITING) && by_pid_[static_cast<std::size_t>(t.pid.v)] != &t && !switched_away(t)) emit_acct(*cpus_[0], t);
  }
}

/// Whether finish_task_switch has seen the task off for good.
bool Core::switched_away(const Task& t) const { return t.state == TASK_DEAD && !t.on_cpu && cpus_[t.cpu.v]->prev != &t; }

}  // namespace forksim::km
