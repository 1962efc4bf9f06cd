// What load balancing did: attempts, how they ended, tasks moved.
//
// Purpose: the rows of balance.csv: per CPU that tasks would come to, domain and kind of attempt. Source: forksim:load_balance; kinds and
//          reasons are those of kernel_model/sched/balance.def. The rows of all kinds but active add up to totals.balance_attempts.
// Units:   counts; imbalance in the kernel's load units. Ownership: the caller's. Errors: none; events of unknown kinds are ignored.
// Not modelled: time spent balancing (its cost is in the CPU times).
#pragma once

#include <array>
#include <map>

#include "kernel_model/sched/balance.hpp"
#include "kernel_model/trace/trace.hpp"

namespace forksim {

struct BalanceKey {
  km::u32 cpu = 0, domain = 0, kind = 0;
  auto operator<=>(const BalanceKey&) const = default;
};
struct BalanceCounts {
  km::u64 attempts = 0, while_idle = 0, tasks = 0, imbalance = 0;
  std::array<km::u64, km::kBalanceReasons> by_reason{};
};

class BalanceListener final : public km::TraceListener {
 public:
  static km::TpSet events();
  void on_event(const km::TraceEvent& e) override;
  /// Calls f(key, counts) by CPU, domain, kind.
  template <class F>
  void for_each(F&& f) const {
    for (const auto& [key, counts] : rows_) f(key, counts);
  }

 private:
  std::map<BalanceKey, BalanceCounts> rows_;
};

}  // namespace forksim
