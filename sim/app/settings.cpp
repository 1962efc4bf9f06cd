#include "sim/app/settings.hpp"

#include <fmt/format.h>

#include "kernel_model/version/config_switches.hpp"

namespace forksim {

namespace {

using Settings = std::vector<std::string>;

void add_config(const km::KernelProfile& plain, const km::KernelProfile& k, Settings& out) {
  if (k.hz != plain.hz) out.push_back(fmt::format("config.HZ={}", k.hz));
  if (k.preempt != plain.preempt) out.push_back(fmt::format("config.PREEMPT={}", km::kPreemptModelNames[static_cast<std::size_t>(k.preempt)]));
  for (const km::ConfigSwitch& s : km::kConfigSwitches)
    if (plain.*s.on != k.*s.on) out.push_back(fmt::format("config.{}={}", s.name, k.*s.on));
  for (std::size_t i = 0; i < km::kSdValues; ++i)
    if (k.sched_domain.of[i] >= 0) out.push_back(fmt::format("sched_domain.{}={}", km::kSdValueNames[i], k.sched_domain.of[i]));
  for (std::size_t i = 0; i < km::kFeatures; ++i)
    if (k.features[i] != plain.features[i])
      out.push_back(fmt::format("features.{}{}", k.features[i] ? "" : "NO_", km::kFeatureTable[i].name));
  for (std::size_t i = 0; i < km::kTunables; ++i)
    if (k.tunables[i] != plain.tunables[i])
      out.push_back(fmt::format("tunables.{}={}", km::kTunableTable[i].name, static_cast<km::s64>(k.tunables[i])));
}

/// A few phases by name; a whole bound of the bands changes all of them.
void add_costs(const km::CostTable& plain, const km::CostTable& costs, Settings& out) {
  constexpr std::size_t kFew = 4;
  Settings changed;
  for (std::size_t i = 0; i < km::kPhases; ++i)
    if (costs.ns[i] != plain.ns[i]) changed.push_back(fmt::format("costs.{}={}ns", km::kPhaseTable[i].name, costs.ns[i].v));
  if (changed.size() > kFew) changed = {fmt::format("costs of {} phases", changed.size())};
  out.insert(out.end(), changed.begin(), changed.end());
}

void add_cpufreq(const km::CpufreqConfig& c, Settings& out) {
  if (c.governor != km::Governor::performance)
    out.push_back(fmt::format("governor={}", km::kGovernorNames[static_cast<std::size_t>(c.governor)]));
  if (c.setspeed_khz) out.push_back(fmt::format("frequency={}kHz", c.setspeed_khz));
  if (c.driver != km::CpufreqConfig::Driver::cpufreq_dt) out.push_back("cpufreq_driver=bcm2835-cpufreq");
}

void add_placement(const Workload& w, Settings& out) {
  constexpr const char* kWhen[] = {"fork", "exec", "wake"};  // in the order of PlacementKind
  for (std::size_t i = 0; i < w.placement.size(); ++i)
    if (w.placement[i] > 1) out.push_back(fmt::format("placement.{}={}", kWhen[i], w.placements[w.placement[i] - 1u]));
}

}  // namespace

Settings changed_settings(const ResolvedRun& run, const km::KernelConfig& in_force, const km::CostTable& platform) {
  Settings out;
  km::KernelProfile plain = *km::find_profile(in_force.profile.name);
  km::resolve_tunables(plain, in_force.machine.topology.cpus, {});
  add_config(plain, in_force.profile, out);
  add_cpufreq(in_force.cpufreq, out);
  add_placement(run.workload, out);
  add_costs(platform, in_force.costs, out);
  if (!run.locks) out.push_back("model.locks=off");
  if (!run.mm_contention) out.push_back("model.mm_contention=off");
  for (const Field& f : run.tree["fail"].fields) out.push_back(fmt::format("fail.{}={}", f.key, f.value.text));
  if (run.balance_bound) out.push_back(fmt::format("audit.balance_bound={}ns", run.balance_bound->v));
  return out;
}

}  // namespace forksim
