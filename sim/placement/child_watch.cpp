#include "sim/placement/child_watch.hpp"

#include <algorithm>

namespace forksim {

using km::kNever;
using km::Ns;
using km::Tp;
using km::TraceEvent;
using km::u32;
using km::u64;

namespace {

// positions of fields in tracepoints.def
constexpr u32 kWokenPid = 1, kTargetCpu = 3, kPrevPid = 1, kPrevState = 3, kNextPid = 5;

}  // namespace

km::TpSet ChildWatch::events() {
  km::TpSet s;
  for (Tp id : {Tp::sched_wakeup_new, Tp::sched_wakeup, Tp::sched_switch}) s.set(static_cast<std::size_t>(id));
  return s;
}

ChildWatch::Open& ChildWatch::open(u64 pid) {
  const auto i = static_cast<std::size_t>(pid);
  if (i >= open_.size()) open_.resize(i + i / 2 + 64);
  return open_[i];
}

void ChildWatch::watch(km::Pid child, u64 fork, km::CpuId forced) {
  ChildWait w;
  w.fork = fork;
  w.forced = forced.v;
  waits_.push_back(w);
  open(static_cast<u64>(child.v)) = {static_cast<u32>(waits_.size()), kNever, kNever};
}

void ChildWatch::on_event(const TraceEvent& e) {
  if (e.id == Tp::sched_switch) return on_switch(e);
  Open& o = open(e.args[kWokenPid]);
  if (!o.wait || o.since != kNever) return;
  if (e.id == Tp::sched_wakeup_new) {
    ChildWait& w = waits_[o.wait - 1];
    w.woken = e.ts.v;
    if (w.forced == kAnyCpu.v) w.forced = static_cast<u32>(e.args[kTargetCpu]);
  } else if (o.deadline == kNever) {
    return;
  }
  o.since = e.ts;
}

void ChildWatch::on_switch(const TraceEvent& e) {
  while (!deadlines_.empty() && deadlines_.front().first <= e.ts) {
    Open& o = open(deadlines_.front().second);
    deadlines_.pop_front();
    if (o.wait && o.deadline <= e.ts) close(o, o.deadline);
  }
  Open& prev = open(e.args[kPrevPid]);
  const char state = static_cast<char>(e.args[kPrevState] & 0xff);
  if (prev.wait && state == 'R') prev.since = e.ts;
  if (prev.wait && (state == 'X' || state == 'Z')) close(prev, e.ts);
  const u64 pid = e.args[kNextPid];
  Open& next = open(pid);
  if (!next.wait || next.since == kNever) return;
  ChildWait& w = waits_[next.wait - 1];
  w.delay += (e.ts - next.since).v;
  next.since = kNever;
  if (w.wait != kNever.v) return;
  w.wait = w.delay;
  w.ran_on = e.cpu.v;
  next.deadline = e.ts + horizon_;
  deadlines_.emplace_back(next.deadline, static_cast<u32>(pid));
}

void ChildWatch::close(Open& o, Ns now) {
  ChildWait& w = waits_[o.wait - 1];
  if (o.since < now) w.delay += (now - o.since).v;
  w.closed = 1;
  o = {};
  closed(w);
}

void ChildWatch::finish(Ns now) {
  for (Open& o : open_)
    if (o.wait) close(o, std::min(now, o.deadline));
}

}  // namespace forksim
