// From the listeners' records to rows.
//
// Purpose: one place that knows both sides; the report and the CSV writers use it. Source: sim/metrics records, columns.def.
// Units:   as in the rows. Ownership: values. Errors: none.
#pragma once

#include "sim/metrics/run_metrics.hpp"
#include "sim/output/rows.hpp"

namespace forksim {

LatencyRow latency_row(Metric m, const Histogram& h);
TaskRow task_row(const TaskRecord& t, const km::NameTable& names);
ForkRow fork_row(km::u64 number, const ForkRecord& f, const PlacementListener& placement, const km::NameTable& names);
ScheduleRow schedule_row(const ScheduleRecord& s, const km::NameTable& names);
LifeRow life_row(const LifeRecord& l, const km::NameTable& names);
std::vector<BalanceRow> balance_rows(const BalanceListener& l);
/// The last row of life.csv: how far it is complete and how many rows are missing.
LifeRow life_end_row(const LifeListener& l);
LockRow lock_row(km::LockId id, const km::LockStats& s);
std::string_view placement_name(PlacementClass c);

}  // namespace forksim
