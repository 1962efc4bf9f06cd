#include "sim/placement/placement_set.hpp"

#include "kernel_model/base/contract.hpp"
#include "sim/config/streams.hpp"
#include "sim/placement/plugin_rule.hpp"

namespace forksim {

PlacementSet::PlacementSet(km::u64 seed, km::u32 cpus, km::Trace& trace, unsigned jobs)
    : seed_(seed),
      stream_(derive_key(seed, hash_name("placement.random"))),
      cpus_(cpus),
      trace_(trace),
      jobs_(jobs),
      oracle_(trace, km::Ns(0), jobs, in_branch_) {}

void PlacementSet::load(const std::vector<std::string>& names, Diagnostics& diags) {
  for (const std::string& name : names) {
    const auto known = km::find_placement(name);
    if (known == km::PlacementName::oracle) {
      rules_.push_back(std::make_unique<OracleRule>(oracle_));
    } else if (known) {
      rules_.push_back(km::make_placement_rule(*known, *this));
    } else {
      std::string problem;
      rules_.push_back(load_plugin_rule(name, cpus_, derive_key(seed_, hash_name("placement.plugin")), problem));
      plugins_.push_back(name);
      if (!problem.empty())
        diags.add({{},
                   0,
                   0,
                   "placement",
                   "\"" + name + "\" is no placement plug-in: " + problem,
                   {},
                   "build it as sim/placement/plugin.hpp says",
                   {}});
    }
  }
}

std::vector<km::PlacementRule*> PlacementSet::rules() const {
  std::vector<km::PlacementRule*> out;
  for (const auto& r : rules_) out.push_back(r.get());
  return out;
}

km::u64 PlacementSet::draw() { return next_u64(stream_); }

Regret& PlacementSet::start_regret(km::Ns horizon, km::u64 forks, km::u64 total) {
  regret_branches_ = std::make_unique<Brancher>(trace_, horizon, jobs_, in_branch_);
  regret_ = std::make_unique<Regret>(*regret_branches_, horizon, seed_, forks, total);
  return *regret_;
}

void PlacementSet::end_branch(km::Ns now, bool failed) {
  FS_CONTRACT(in_branch_, "only a branch ends as one");
  if (oracle_.in_own_branch()) oracle_.end_branch(now, failed);
  regret_branches_->end_branch(now, failed);
}

}  // namespace forksim
