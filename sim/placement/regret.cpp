#include "sim/placement/regret.hpp"

#include <algorithm>
#include <utility>

#include "sim/config/streams.hpp"

namespace forksim {

using km::CpuId;
using km::kMaxCpus;

Regret::Regret(Brancher& brancher, km::Ns horizon, km::u64 seed, km::u64 forks, km::u64 total)
    : brancher_(brancher),
      watch_(horizon),
      stream_(derive_key(seed, hash_name("regret.sample"))),
      wanted_(std::min(forks, total)),
      left_(total) {}

/// Selection sampling (Knuth, TAOCP 2, algorithm S): each of the decisions has the same chance, and exactly `wanted_` are taken.
bool Regret::sampled() {
  if (left_ == 0) return false;
  const bool take = below(next_u64(stream_), left_) < wanted_;
  --left_;
  wanted_ -= take;
  return take;
}

CpuId Regret::decided(const km::PlacementView& v, CpuId choice) {
  if (brancher_.in_branch() || !sampled()) return choice;
  const km::u64 number = decisions_.size();
  decisions_.push_back({v.now(), v.decider(), v.pid(), choice, {}});
  const km::CpuMask among = v.candidates();
  for (km::u32 c = among.first(); c < kMaxCpus; c = among.next(c + 1))
    if (CpuId(c) != choice && brancher_.branch(number, v.pid(), CpuId(c))) return CpuId(c);
  watch_.watch(v.pid(), number, choice);
  return choice;
}

std::vector<RegretDecision> Regret::results(km::Ns now) {
  watch_.finish(now);
  for (const ChildWait& w : watch_.waits()) decisions_[w.fork].waits.push_back(w);
  for (const ChildWait& w : brancher_.collect()) decisions_[w.fork].waits.push_back(w);
  for (RegretDecision& d : decisions_) std::ranges::sort(d.waits, {}, &ChildWait::forced);
  return std::move(decisions_);
}

std::optional<CpuId> OracleRule::select(const km::PlacementView& v) {
  if (brancher_.in_branch()) return std::nullopt;
  if (brancher_.branch(0, v.pid(), kAnyCpu)) return std::nullopt;
  ChildWait best = brancher_.collect().front();
  if (best.failed || best.wait == 0) return std::nullopt;
  const km::CpuMask among = v.candidates();
  for (km::u32 c = among.first(); c < kMaxCpus; c = among.next(c + 1))
    if (c != best.forced && brancher_.branch(0, v.pid(), CpuId(c))) return CpuId(c);
  for (const ChildWait& w : brancher_.collect())
    if (!w.failed && w.wait < best.wait) best = w;  // in order of CPUs: ties keep the kernel's choice, then the lowest
  return CpuId(best.forced);
}

}  // namespace forksim
