// Reading the fields of trace events.
//
// Purpose: names for the positions in TraceEvent::args that the listeners read, and the sets they subscribe to. Source: field order of
//          kernel_model/trace/tracepoints.def (a unit test compares the two). Units: as there. Errors: none.
#pragma once

#include <initializer_list>

#include "kernel_model/trace/trace.hpp"

namespace forksim {

/// Position of a field in TraceEvent::args.
struct Field {
  // sched_switch
  static constexpr km::u32 kPrevComm = 0, kPrevPid = 1, kPrevState = 3, kNextComm = 4, kNextPid = 5, kNextPrio = 6;
  // sched_waking, sched_wakeup, sched_wakeup_new, sched_migrate_task, sched_process_exit, sched_process_free
  static constexpr km::u32 kComm = 0, kPid = 1, kPrio = 2, kTargetCpu = 3, kOrigCpu = 3, kDestCpu = 4;
  // sched_process_fork
  static constexpr km::u32 kForkParent = 1, kForkChild = 3;
  // sys_enter, sys_exit
  static constexpr km::u32 kSyscallNr = 0;
  // sched_stat_runtime
  static constexpr km::u32 kRuntime = 2;
  // sched_process_exec
  static constexpr km::u32 kExecFile = 0, kExecPid = 1, kExecOldPid = 2;
  // task_newtask, task_rename
  static constexpr km::u32 kNewPid = 0, kNewComm = 1, kNewFlags = 2, kRenamePid = 0, kRenameNewComm = 2;
  // signal_generate, signal_deliver
  static constexpr km::u32 kSig = 0, kSigPid = 4, kSigRes = 6, kSigHandler = 3;
  // forksim events: the pid is always first, then the rest
  static constexpr km::u32 kSubject = 0;
  // sched_info_arrive
  static constexpr km::u32 kArriveDelay = 1;
  // de_thread
  static constexpr km::u32 kOldPid = 1;
  static constexpr km::u32 kUserKind = 1, kExitCode = 1, kReaper = 1, kAutoreap = 2, kOldParent = 1, kNewParent = 2;
  static constexpr km::u32 kAttrPrio = 1, kAttrPgrp = 2, kAttrSession = 3, kAttrUid = 4;
  // tty, cmdline, rss_stat
  static constexpr km::u32 kTtyIndex = 1, kTtyPgrp = 2, kCommand = 1, kRss = 1, kTotalVm = 2, kLocked = 3;
  // placement
  static constexpr km::u32 kPlaceKind = 0, kPlacePid = 1, kPlaceThis = 2, kPlacePrev = 3, kPlaceCpu = 4, kPlaceIdle = 5, kPlaceRunThis = 6,
                           kPlaceRunChosen = 7;
  // load_balance
  static constexpr km::u32 kBalanceKind = 0, kBalanceDomain = 1, kBalanceDst = 2, kBalanceIdle = 3, kBalanceReason = 5, kBalanceMoved = 6,
                           kBalanceImbalance = 7;
  // contention_end
  static constexpr km::u32 kLockWait = 3;
  // placement_cpu, placement_mask, placement_group, placement_step
  static constexpr km::u32 kCandCpu = 0, kCandRunnable = 1, kCandLoad = 2, kCandUtil = 3, kCandCapacity = 4, kCandRunning = 5,
                           kCandIdle = 6;
  static constexpr km::u32 kMaskWord = 0, kMaskBits = 1;
  static constexpr km::u32 kGroupDomain = 0, kGroupSpan = 1, kGroupRunnable = 2, kGroupLoad = 3, kGroupSpare = 4, kGroupStep = 5;
  static constexpr km::u32 kStepStep = 0, kStepLevel = 1, kStepCpu = 2, kStepPct = 3;
  // cpu_power
  static constexpr km::u32 kPowerCpu = 0, kPowerOpp = 1, kPowerBusy = 2;
  // task_acct
  static constexpr km::u32 kUtime = 1, kStime = 2, kRunDelay = 3, kNvcsw = 4, kNivcsw = 5, kMinflt = 6, kMigrations = 7;
};

constexpr km::u64 arg(const km::TraceEvent& e, km::u32 field) { return e.args[field]; }
constexpr km::Pid pid_arg(const km::TraceEvent& e, km::u32 field) { return km::Pid(static_cast<km::s32>(e.args[field])); }
/// The letter of sched_switch's prev_state.
constexpr char state_letter(km::u64 prev_state) { return static_cast<char>(prev_state & 0xff); }

constexpr bool is_dead(char state_letter) { return state_letter == 'Z' || state_letter == 'X'; }

inline km::TpSet tp_set(std::initializer_list<km::Tp> ids) {
  km::TpSet s;
  for (km::Tp id : ids) s.set(static_cast<std::size_t>(id));
  return s;
}

}  // namespace forksim
