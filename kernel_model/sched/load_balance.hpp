// Load balancing: pulling queued tasks to where there is room.
//
// Purpose: newly idle, periodic, nohz and active balancing. Source: Linux 4.19 kernel/sched/fair.c (load_balance and everything below,
//          idle_balance, rebalance_domains, nohz_*); each function carries the kernel's name. load_balance.cpp moves tasks, busiest.cpp
//          chooses the victim and the amount, rebalance.cpp decides when.
// Locks:   balancing waits for run queues that others hold. So it is cut into stages: each runs with the lock held that BalanceWalk::lock
//          names, or none, and the next begins when that one is had. The engine lets time pass in between, everybody else does not.
// Units:   loads and capacities in the kernel's units, intervals in jiffies. Ownership: borrows the Scheduler.
// Errors:  none. Not modelled: NUMA, asymmetric packing, SD_SERIALIZE. Every attempt and its end are traced as forksim:load_balance.
#pragma once

#include <algorithm>
#include <vector>

#include "kernel_model/sched/balance.hpp"
#include "kernel_model/sched/topology.hpp"
#include "kernel_model/task/task.hpp"

namespace forksim::km {

class Scheduler;
struct Rq;

enum class CpuIdleType : u8 { idle, not_idle, newly_idle };

/// One balancing attempt (struct lb_env).
struct LbEnv {
  enum Flag : u32 { kAllPinned = 0x1, kNeedBreak = 0x2, kDstPinned = 0x4, kSomePinned = 0x8, kNohzStats = 0x10, kNohzAgain = 0x20,
                   kSawHot = 0x100, kSawHeavy = 0x200, kSawThrottled = 0x400 };  // the last three are ours: why tasks stayed
  SchedDomain* sd = nullptr;
  Rq *src_rq = nullptr, *dst_rq = nullptr;
  CpuId src_cpu, dst_cpu, new_dst_cpu;
  CpuMask dst_grpmask, cpus;
  CpuIdleType idle = CpuIdleType::idle;
  s64 imbalance = 0;
  s64 found_imbalance = 0;  ///< as find_busiest_group left it
  BalanceReason reason = BalanceReason::other_cpu;
  u32 flags = 0;
  u32 loop = 0, loop_break = 32, loop_max = 0;
  IList<Task, &Task::group_node> tasks;  ///< detached, newest first
};

/// What the balancing of one CPU is in the middle of: idle_balance, run_rebalance_domains or active_load_balance_cpu_stop.
struct BalanceWalk {
  enum class Stage : u8 {
    done,
    // load_balance
    find_busiest,
    refresh_idle,
    detach,
    attach,
    detached,
    kick,
    // rebalance_domains
    own_blocked,
    domain_balanced,
    domains_done,
    // _nohz_idle_balance
    next_idle_cpu,
    idle_cpu_blocked,
    idle_cpu_clock,
    idle_cpu_rebalanced,
    nohz_own_blocked,
    nohz_done,
    // idle_balance
    newidle_blocked,
    newidle_balanced,
    // active_load_balance_cpu_stop
    stop_detach,
    stop_attach,
  };
  Stage stage = Stage::done;
  Rq* lock = nullptr;  ///< whose lock the next stage runs under
  Rq* rq = nullptr;    ///< of the CPU that balances
  bool newidle = false;
  // load_balance
  LbEnv env;
  CpuId dst;
  u32 moved = 0, detached = 0;  ///< detached: not attached yet
  u64 began = 0;                ///< sched_clock, for the cost of being newly idle
  u32 refreshed = 0;            ///< tickless CPU whose averages are brought up to date before they are looked at
  bool cont = true;             ///< false: another CPU of the group should do this
  Stage after_attempt = Stage::done;
  // rebalance_domains of `for_rq`
  Rq* for_rq = nullptr;
  CpuIdleType idle = CpuIdleType::idle;
  SchedDomain* sd = nullptr;
  u64 next_balance = 0, max_cost = 0;  ///< next_balance: of idle_balance too
  bool update_next = false, need_decay = false;
  Stage after_domains = Stage::done;
  // _nohz_idle_balance
  CpuMask idle_cpus;
  u32 idle_cpu = 0;
  u64 nohz_now = 0, nohz_next_balance = 0;
  bool for_others = false, nohz_balance = false, nohz_update_next = false, has_blocked = false;
  // idle_balance
  u64 curr_cost = 0;
  // active_load_balance_cpu_stop
  Task* stopped = nullptr;

  void need(Rq& queue, Stage next) {
    lock = &queue;
    stage = next;
  }
};

class LoadBalancer {
 public:
  LoadBalancer(Scheduler& s, const KernelProfile& k);
  void init_jiffies(u64 j);
  /// max_load_balance_interval, jiffies. Boot value HZ/10; update_max_interval sets HZ * online CPUs / 10 as CPUs come and go.
  void set_max_interval(u64 jiffies) { max_interval_ = jiffies; }
  void update_max_interval();
  /// After hotplug: interval limit and the counts of busy CPUs per cache.
  void cpus_changed();

  // --- stages ---
  BalanceWalk& walk(CpuId cpu) { return walks_[cpu.v]; }
  bool under_way() const {
    return std::any_of(walks_.begin(), walks_.end(), [](const BalanceWalk& w) { return w.stage != BalanceWalk::Stage::done; });
  }
  /// Goes on with `w`, whose lock (if any) is held, until it needs another; false when it is over.
  bool advance(BalanceWalk& w);
  void begin_rebalance_domains(CpuId cpu);
  void begin_active_balance(CpuId busiest_cpu);
  /// Whether idle_balance would unlock `this_rq` now, to look at others.
  bool newidle_unlocks(const Rq& this_rq) const;
  /// The part of idle_balance before it unlocks; what follows are stages, and idle_balance itself once more with the lock held again.
  void begin_newidle(Rq& this_rq);

  // --- one attempt (load_balance.cpp) ---
  /// Tasks moved to `this_cpu`; `cont` becomes false when another CPU of the group should do this.
  u32 load_balance(CpuId this_cpu, SchedDomain& sd, CpuIdleType idle, bool& cont);
  LbEnv make_env(CpuId this_cpu, SchedDomain& sd, CpuIdleType idle) {
    LbEnv env;
    init_env(env, this_cpu, sd, idle);
    return env;
  }
  void init_env(LbEnv& env, CpuId this_cpu, SchedDomain& sd, CpuIdleType idle);
  bool need_active_balance(const LbEnv& env) const;

  // --- whom to relieve and by how much (busiest.cpp) ---
  SchedGroup* find_busiest_group(LbEnv& env);
  Rq* find_busiest_queue(const LbEnv& env, const SchedGroup& group) const;
  void update_group_capacity(SchedDomain& sd, CpuId cpu);

  // --- when (rebalance.cpp) ---
  /// Newly idle: more than 0 tasks pulled, 0 nothing, -1 a more urgent class has work.
  int idle_balance(Rq& this_rq);
  /// Whether idle_balance would walk the domains now.
  bool newidle_wanted(const Rq& this_rq) const;
  /// From the tick: raises SCHED_SOFTIRQ when a balance is due and kicks an idle tickless CPU when it should balance for others.
  void trigger_load_balance(Rq& rq);
  /// got_nohz_idle_kick: a kick arrived and this CPU can serve it now.
  bool got_nohz_idle_kick(Rq& rq);
  void nohz_balance_enter_idle(Rq& rq);

 private:
  struct SgStats;
  struct SdStats;
  enum class GroupType : u8 { other, imbalanced, overloaded };
  enum class Outcome : u8 { balanced, all_pinned, one_pinned, done, active };

  bool should_we_balance(const LbEnv& env) const;
  bool can_migrate_task(const Task& p, LbEnv& env) const;
  bool task_hot(const Task& p, const LbEnv& env) const;
  void detach_task(Task& p, const LbEnv& env);
  void attach_task(Rq& rq, Task& p);
  u32 detach_tasks(LbEnv& env);
  void attach_tasks(LbEnv& env);
  /// How an attempt on behalf of `dst` ended.
  void trace_attempt(const LbEnv& env, CpuId dst, BalanceKind kind, u32 moved);

  // stages of load_balance
  void run_stage(BalanceWalk& w);
  void begin_attempt(BalanceWalk& w, CpuId dst, SchedDomain& sd, CpuIdleType idle, BalanceWalk::Stage then);
  void find_busiest(BalanceWalk& w);
  void refresh_from(BalanceWalk& w, u32 cpu);
  void refresh_idle(BalanceWalk& w);
  void choose_busiest(BalanceWalk& w);
  void detach_stage(BalanceWalk& w);
  void attach_stage(BalanceWalk& w);
  void detached(BalanceWalk& w);
  /// Nothing moved: count it, and perhaps have the victim's stopper push its running task.
  void after_failure(BalanceWalk& w);
  void kick(BalanceWalk& w);
  void end_attempt(BalanceWalk& w, Outcome outcome);
  // of active_load_balance_cpu_stop
  void stop_detach(BalanceWalk& w);
  void stop_attach(BalanceWalk& w);
  // of rebalance_domains, _nohz_idle_balance, idle_balance
  void begin_domains(BalanceWalk& w, Rq& rq, CpuIdleType idle, BalanceWalk::Stage then);
  void next_domain(BalanceWalk& w);
  void domain_balanced(BalanceWalk& w);
  void domain_passed(BalanceWalk& w, u64 interval) const;
  void domains_done(BalanceWalk& w);
  void begin_nohz_walk(BalanceWalk& w, bool balance, CpuIdleType idle);
  void next_idle_cpu(BalanceWalk& w);
  void idle_cpu_blocked(BalanceWalk& w);
  void idle_cpu_looked_at(BalanceWalk& w, Rq& rq);
  void idle_cpu_clock(BalanceWalk& w);
  void idle_cpu_rebalanced(BalanceWalk& w);
  void nohz_own_blocked(BalanceWalk& w);
  void nohz_done(BalanceWalk& w, bool abandoned);
  void newidle_domain(BalanceWalk& w);
  void newidle_balanced(BalanceWalk& w);

  void update_sd_lb_stats(LbEnv& env, SdStats& sds);
  void update_sg_lb_stats(LbEnv& env, const SchedGroup& group, u32 load_idx, bool local, SgStats& sgs, bool& overload);
  void calculate_imbalance(LbEnv& env, SdStats& sds) const;
  void fix_small_imbalance(LbEnv& env, SdStats& sds) const;
  void update_cpu_capacity(SchedDomain& sd, CpuId cpu);

  u64 get_sd_balance_interval(const SchedDomain& sd, bool busy) const;
  void update_next_balance(const SchedDomain& sd, u64& next_balance) const;
  u64 msecs_to_jiffies(u64 ms) const { return (ms * hz_ + 999) / 1000; }

  // nohz
  /// Whether the averages of a tickless CPU are of an earlier jiffy.
  bool nohz_stats_due(const Rq& rq) const;
  bool update_nohz_stats(Rq& rq, bool force);
  void nohz_balance_exit_idle(Rq& rq);
  void nohz_balancer_kick(Rq& rq);
  void kick_ilb(bool balance);
  bool nohz_newidle_due(const Rq& this_rq) const;

  Scheduler& s_;
  u64 migration_cost_, max_interval_ = 0;
  u32 nr_migrate_, hz_;
  bool preempt_, lb_min_, cache_hot_buddy_;
  std::vector<BalanceWalk> walks_;  ///< by CPU
  struct Nohz {
    CpuMask idle_cpus_mask;
    u32 nr_cpus = 0;
    bool has_blocked = false;
    u64 next_balance = 0, next_blocked = 0;  ///< jiffies
    std::vector<u32> nr_busy_cpus;           ///< by llc id
  } nohz_;
};

/// The CPU's capacity is noticeably reduced by other classes.
bool check_cpu_capacity(const Rq& rq, const SchedDomain& sd);

}  // namespace forksim::km
