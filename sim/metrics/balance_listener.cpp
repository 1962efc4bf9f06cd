#include "sim/metrics/balance_listener.hpp"

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::Tp;
using km::u32;

km::TpSet BalanceListener::events() { return tp_set({Tp::load_balance}); }

void BalanceListener::on_event(const km::TraceEvent& e) {
  const auto kind = arg(e, Field::kBalanceKind), domain = arg(e, Field::kBalanceDomain), reason = arg(e, Field::kBalanceReason);
  if (kind >= km::kBalanceKinds || domain >= km::kDomainNames.size() || reason >= km::kBalanceReasons) return;
  constexpr u32 kBusy = 1;  // CPU_NOT_IDLE
  BalanceCounts& c = rows_[{static_cast<u32>(arg(e, Field::kBalanceDst)), static_cast<u32>(domain), static_cast<u32>(kind)}];
  ++c.attempts;
  if (arg(e, Field::kBalanceIdle) != kBusy) ++c.while_idle;
  ++c.by_reason[reason];
  c.tasks += arg(e, Field::kBalanceMoved);
  c.imbalance += arg(e, Field::kBalanceImbalance);
}

}  // namespace forksim
