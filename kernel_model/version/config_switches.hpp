// CONFIG_ options of the modelled kernel that are on or off, by kernel spelling, declared once.
//
// Purpose: what the workload's `config` may switch, what resolved.yaml pins and what a report names as different from the profile.
// Source:  Kconfig of Linux 4.19. Units: none. Ownership: constants. Errors: none. Not modelled: HZ and PREEMPT have more than two values
// and are fields of their own; 64BIT comes with the processor; FAIR_GROUP_SCHED is selected by SCHED_AUTOGROUP, and CFS_BANDWIDTH depends
// on it: who applies them sees to that.
#pragma once

#include "kernel_model/version/profile.hpp"

namespace forksim::km {

struct ConfigSwitch {
  std::string_view name;
  bool KernelProfile::*on;
};
inline constexpr ConfigSwitch kConfigSwitches[] = {
    {"SCHED_MC", &KernelProfile::sched_mc},
    {"FAIR_GROUP_SCHED", &KernelProfile::fair_group_sched},
    {"CFS_BANDWIDTH", &KernelProfile::cfs_bandwidth},
    {"SCHED_AUTOGROUP", &KernelProfile::autogroup},
    {"IRQ_TIME_ACCOUNTING", &KernelProfile::irq_time_accounting},
    {"VMAP_STACK", &KernelProfile::vmap_stack},
};

}  // namespace forksim::km
