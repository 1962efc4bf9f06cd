#include "sim/placement/placement_set.hpp"

#include "sim/config/streams.hpp"

namespace forksim {

PlacementSet::PlacementSet(km::u64 seed) : stream_(derive_key(seed, hash_name("placement.random"))) {}

void PlacementSet::load(const std::vector<std::string>& names, Diagnostics& diags) {
  for (const std::string& name : names) {
    const auto known = km::find_placement(name);
    if (!known || *known == km::PlacementName::oracle) diags.add({{}, 0, 0, "placement", "\"" + name + "\" is not in this version", {}, {}, {}});
    rules_.push_back(known ? km::make_placement_rule(*known, *this) : nullptr);
  }
}

std::vector<km::PlacementRule*> PlacementSet::rules() const {
  std::vector<km::PlacementRule*> out;
  for (const auto& r : rules_) out.push_back(r.get());
  return out;
}

km::u64 PlacementSet::draw() { return next_u64(stream_); }

}  // namespace forksim
