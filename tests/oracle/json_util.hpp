// Reading integers of a case.
//
// Purpose: short spellings for the fields of a JSON case; 64-bit integers, never doubles. Units: as in the files.
// Ownership: none. Errors: a missing field throws nlohmann::json::out_of_range.
#pragma once

#include <nlohmann/json.hpp>

#include "kernel_model/sched/entity.hpp"
#include "kernel_model/sched/weights.hpp"

namespace forksim::oracle {

using nlohmann::json;

inline km::u64 num(const json& c, const char* key) { return c.at(key).get<km::u64>(); }
inline km::s64 snum(const json& c, const char* key) { return c.at(key).get<km::s64>(); }
inline km::u32 num32(const json& c, const char* key) { return static_cast<km::u32>(num(c, key)); }
inline km::u64 num(const json& c, const char* key, std::size_t i) { return c.at(key).at(i).get<km::u64>(); }

/// Weight of an entity whose unscaled weight is given; table inverse when it is a nice level's weight.
inline km::LoadWeight task_load(km::u64 unscaled) {
  km::LoadWeight lw{km::scale_load(unscaled), 0};
  for (std::size_t i = 0; i < km::sched_prio_to_weight.size(); ++i)
    if (km::sched_prio_to_weight[i] == unscaled) lw.inv_weight = km::sched_prio_to_wmult[i];
  if (unscaled == km::WEIGHT_IDLEPRIO) lw.inv_weight = km::WMULT_IDLEPRIO;
  return lw;
}

/// [last_update_time, load_sum, runnable_load_sum, util_sum, load_avg, runnable_load_avg, util_avg, period_contrib].
inline km::SchedAvg sched_avg(const json& a) {
  km::SchedAvg sa;
  sa.last_update_time = a.at(0);
  sa.load_sum = a.at(1);
  sa.runnable_load_sum = a.at(2);
  sa.util_sum = a.at(3);
  sa.load_avg = a.at(4);
  sa.runnable_load_avg = a.at(5);
  sa.util_avg = a.at(6);
  sa.period_contrib = a.at(7);
  return sa;
}

}  // namespace forksim::oracle
