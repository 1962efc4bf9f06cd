// Names of what load balancing does.
//
// Purpose: enums and texts of balance.def for the scheduler, the trace's text and the tables of a run. Source: Linux 4.19
//          kernel/sched/fair.c load_balance; where /proc/schedstat counts the same, balance.def gives its name.
// Units:   none. Ownership: constants. Errors: none. Not modelled: see load_balance.hpp.
#pragma once

#include <array>
#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

enum class BalanceKind : u8 {
#define BALANCE_KIND(name, doc) name,
#include "kernel_model/sched/balance.def"
#undef BALANCE_KIND
  count_
};
enum class BalanceReason : u8 {
#define BALANCE_REASON(name, doc) name,
#include "kernel_model/sched/balance.def"
#undef BALANCE_REASON
  count_
};
inline constexpr std::size_t kBalanceKinds = static_cast<std::size_t>(BalanceKind::count_);
inline constexpr std::size_t kBalanceReasons = static_cast<std::size_t>(BalanceReason::count_);

inline constexpr std::array<std::string_view, kBalanceKinds> kBalanceKindNames{
#define BALANCE_KIND(name, doc) #name,
#include "kernel_model/sched/balance.def"
#undef BALANCE_KIND
};
inline constexpr std::array<std::string_view, kBalanceReasons> kBalanceReasonNames{
#define BALANCE_REASON(name, doc) #name,
#include "kernel_model/sched/balance.def"
#undef BALANCE_REASON
};
/// enum cpu_idle_type of an attempt, and the levels of domains, as their numbers in events are shown.
inline constexpr std::array<std::string_view, 3> kCpuIdleNames{"idle", "busy", "newly_idle"};
inline constexpr std::array<std::string_view, 3> kDomainNames{"SMT", "MC", "DIE"};

}  // namespace forksim::km
