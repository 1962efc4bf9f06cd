// An example of a placement plug-in: the allowed CPU with the fewest runnable tasks; among equals the one whose cache the parent shares,
// then the one that carries less load. Wake-ups stay with the kernel. Build it outside the repository with
//   g++ -std=c++20 -O2 -shared -fPIC -I FORKSIM FORKSIM/sim/placement/example/shortest_queue.cpp -o my_rule.so
#include <tuple>

#include "sim/placement/plugin.hpp"

namespace plugin = forksim_plugin;

struct forksim_plugin::Rule {};

plugin::Rule* forksim_rule_create(std::uint32_t abi_version, std::uint32_t, std::uint64_t) {
  return abi_version == plugin::kAbiVersion ? new plugin::Rule : nullptr;
}

std::int32_t forksim_rule_select(plugin::Rule*, const plugin::Decision* d) {
  if (d->kind == plugin::kWake) return plugin::kAsKernel;
  const std::uint32_t cache = d->cpu[d->prev_cpu].cache;
  const auto key = [&](const plugin::Cpu& c) { return std::tuple(c.nr_running, c.cache != cache, c.runnable_load_avg); };
  std::int32_t best = plugin::kAsKernel;
  for (std::uint32_t i = 0; i < d->cpus; ++i) {
    if (!d->cpu[i].allowed) continue;
    if (best < 0 || key(d->cpu[i]) < key(d->cpu[best])) best = static_cast<std::int32_t>(i);
  }
  return best;
}

void forksim_rule_destroy(plugin::Rule* rule) { delete rule; }
