#include "sim/metrics/placement_listener.hpp"

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::CpuId;
using km::Tp;
using km::TraceEvent;
using km::u32;
using km::u64;

PlacementListener::PlacementListener(u32 cpus) : cpus_(cpus) {
  for (PlacementCounts& c : counts_) c.matrix.resize(std::size_t{cpus} * cpus);
}

km::TpSet PlacementListener::events() {
  return tp_set({Tp::placement, Tp::placement_cpu, Tp::placement_mask, Tp::placement_group, Tp::placement_step, Tp::sched_wakeup_new,
                 Tp::sched_switch});
}

void PlacementListener::on_event(const TraceEvent& e) {
  if (e.id == Tp::placement) return on_placement(e);
  if (on_detail(e)) return;
  const bool is_switch = e.id == Tp::sched_switch;
  u32& row = pending_.at(arg(e, is_switch ? Field::kNextPid : Field::kPid));
  if (row == 0) return;
  ForkRecord& f = forks_[row - 1];
  if (!is_switch) {
    f.woken = e.ts;
    return;
  }
  f.ran = e.ts;
  f.ran_on = e.cpu;
  row = 0;
}

bool PlacementListener::on_detail(const TraceEvent& e) {
  auto number = [&](u32 field) { return static_cast<u32>(arg(e, field)); };
  switch (e.id) {
    case Tp::placement_cpu:
      candidates_.push_back({CpuId(number(Field::kCandCpu)), arg(e, Field::kCandRunnable), arg(e, Field::kCandLoad),
                             arg(e, Field::kCandUtil), arg(e, Field::kCandCapacity), number(Field::kCandRunning),
                             arg(e, Field::kCandIdle) != 0});
      return true;
    case Tp::placement_mask:
      words_.push_back({number(Field::kMaskWord), arg(e, Field::kMaskBits)});
      return true;
    case Tp::placement_group:
      groups_.push_back({take_mask(arg(e, Field::kGroupSpan)), arg(e, Field::kGroupRunnable), arg(e, Field::kGroupLoad),
                         static_cast<km::PlacementStep>(arg(e, Field::kGroupStep))});
      return true;
    case Tp::placement_step: {
      u32 seen = kept_groups_;
      for (std::size_t s = kept_steps_; s < steps_.size(); ++s) seen += steps_[s].groups;
      steps_.push_back({static_cast<km::PlacementStep>(arg(e, Field::kStepStep)), km::NameId(number(Field::kStepLevel)),
                        CpuId(number(Field::kStepCpu)), number(Field::kStepPct), static_cast<u32>(groups_.size()) - seen});
      return true;
    }
    default:
      return false;
  }
}

/// Only forks keep what led to the decision.
void PlacementListener::forget_details() {
  candidates_.resize(kept_candidates_);
  groups_.resize(kept_groups_);
  steps_.resize(kept_steps_);
  words_.resize(kept_words_);
  taken_words_ = kept_words_;
}

/// The mask of an event: its word and those told before it.
MaskRecord PlacementListener::take_mask(u64 low) {
  const Stretch high{taken_words_, static_cast<u32>(words_.size()) - taken_words_};
  taken_words_ = static_cast<u32>(words_.size());
  return {low, high};
}

bool PlacementListener::has(const MaskRecord& m, u32 cpu) const {
  if (cpu < 64) return (m.low >> cpu) & 1;
  for (const MaskWord& w : std::span(words_).subspan(m.high.first, m.high.count))
    if (w.word == cpu / 64) return (w.bits >> (cpu % 64)) & 1;
  return false;
}

km::CpuMask PlacementListener::mask(const MaskRecord& m) const {
  km::CpuMask out = km::CpuMask::from_word(m.low);
  for (const MaskWord& w : std::span(words_).subspan(m.high.first, m.high.count)) out.set_word(w.word, w.bits);
  return out;
}

namespace {

/// What was added to `list` since `kept`, which moves on.
template <class T>
Stretch keep(const std::vector<T>& list, u32& kept) {
  const Stretch s{kept, static_cast<u32>(list.size()) - kept};
  kept = static_cast<u32>(list.size());
  return s;
}

PlacementClass classify(bool same, bool idle, bool idle_existed) {
  if (same) return PlacementClass::same_cpu;
  if (idle) return PlacementClass::idle_cpu;
  return idle_existed ? PlacementClass::busy_while_idle : PlacementClass::busy_none_idle;
}

void count(PlacementClass cls, bool idle_existed, PlacementCounts& c) {
  ++c.total;
  switch (cls) {
    case PlacementClass::same_cpu:
      ++c.same_cpu;
      if (idle_existed) ++c.same_cpu_while_idle;
      return;
    case PlacementClass::idle_cpu:
      ++c.idle_cpu;
      return;
    case PlacementClass::busy_while_idle:
      ++c.busy_while_idle;
      return;
    case PlacementClass::busy_none_idle:
      ++c.busy_none_idle;
      return;
  }
}

}  // namespace

void PlacementListener::on_placement(const TraceEvent& e) {
  const u64 kind = arg(e, Field::kPlaceKind);
  if (kind >= counts_.size()) return;
  const auto this_cpu = static_cast<u32>(arg(e, Field::kPlaceThis)), cpu = static_cast<u32>(arg(e, Field::kPlaceCpu));
  const MaskRecord idle = take_mask(arg(e, Field::kPlaceIdle));
  const bool idle_existed = idle.low || idle.high.count;
  const PlacementClass cls = classify(cpu == this_cpu, has(idle, cpu), idle_existed);
  PlacementCounts& c = counts_[kind];
  count(cls, idle_existed, c);
  if (this_cpu < cpus_ && cpu < cpus_) ++c.matrix[std::size_t{this_cpu} * cpus_ + cpu];
  if (cpu == arg(e, Field::kPlacePrev)) ++c.prev_cpu;
  if (kind != static_cast<u64>(PlacementKind::fork)) return forget_details();
  ForkRecord f;
  f.at = e.ts;
  f.parent = e.pid;
  f.child = pid_arg(e, Field::kPlacePid);
  f.this_cpu = CpuId(this_cpu);
  f.cpu = CpuId(cpu);
  f.idle_mask = idle;
  f.runnable_this = arg(e, Field::kPlaceRunThis);
  f.runnable_chosen = arg(e, Field::kPlaceRunChosen);
  f.cls = cls;
  f.candidates = keep(candidates_, kept_candidates_);
  f.groups = keep(groups_, kept_groups_);
  f.steps = keep(steps_, kept_steps_);
  kept_words_ = taken_words_;
  forks_.push_back(f);
  pending_.at(f.child) = static_cast<u32>(forks_.size());
}

}  // namespace forksim
