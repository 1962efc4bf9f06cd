// Load balancing: pulling queued tasks to where there is room.
//
// Purpose: newly idle, periodic, nohz and active balancing. Source: Linux 4.19 kernel/sched/fair.c (load_balance and everything below,
//          idle_balance, rebalance_domains, nohz_*); each function carries the kernel's name. load_balance.cpp moves tasks, busiest.cpp
//          chooses the victim and the amount, rebalance.cpp decides when.
// Units:   loads and capacities in the kernel's units, intervals in jiffies. Ownership: borrows the Scheduler.
// Errors:  none. Not modelled: NUMA, asymmetric packing, SD_SERIALIZE. Every attempt and its end are traced as forksim:load_balance.
#pragma once

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

class LoadBalancer {
 public:
  LoadBalancer(Scheduler& s, const KernelProfile& k);
  void init_jiffies(u64 j);
  /// max_load_balance_interval, jiffies. Boot value HZ/10; update_max_interval sets HZ * online CPUs / 10 as CPUs come and go.
  void set_max_interval(u64 jiffies) { max_interval_ = jiffies; }
  void update_max_interval();
  /// After hotplug: interval limit and the counts of busy CPUs per cache.
  void cpus_changed();

  // --- one attempt (load_balance.cpp) ---
  /// Tasks moved to `this_cpu`; `cont` becomes false when another CPU of the group should do this.
  u32 load_balance(CpuId this_cpu, SchedDomain& sd, CpuIdleType idle, bool& cont);
  LbEnv make_env(CpuId this_cpu, SchedDomain& sd, CpuIdleType idle);
  bool need_active_balance(const LbEnv& env) const;
  void active_load_balance_cpu_stop(CpuId busiest_cpu);

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
  void run_rebalance_domains(CpuId cpu);
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
  /// Pulls from env.src_rq until done or every task is pinned; tasks moved.
  u32 pull_tasks(LbEnv& env);
  Outcome attempt(LbEnv& env, CpuId this_cpu, u32& moved, bool& cont);
  /// How an attempt on behalf of `dst` ended.
  void trace_attempt(const LbEnv& env, CpuId dst, BalanceKind kind, u32 moved);
  /// Nothing moved: count it, and perhaps have the victim's stopper push its running task.
  Outcome after_failure(LbEnv& env, CpuId this_cpu);

  void update_sd_lb_stats(LbEnv& env, SdStats& sds);
  void update_sg_lb_stats(LbEnv& env, const SchedGroup& group, u32 load_idx, bool local, SgStats& sgs, bool& overload);
  void calculate_imbalance(LbEnv& env, SdStats& sds) const;
  void fix_small_imbalance(LbEnv& env, SdStats& sds) const;
  void update_cpu_capacity(SchedDomain& sd, CpuId cpu);

  u64 get_sd_balance_interval(const SchedDomain& sd, bool busy) const;
  void update_next_balance(const SchedDomain& sd, u64& next_balance) const;
  void rebalance_domains(Rq& rq, CpuIdleType idle);
  u64 msecs_to_jiffies(u64 ms) const { return (ms * hz_ + 999) / 1000; }

  // nohz
  bool update_nohz_stats(Rq& rq, bool force);
  void nohz_balance_exit_idle(Rq& rq);
  void nohz_balancer_kick(Rq& rq);
  void kick_ilb(bool balance);
  bool nohz_idle_balance(Rq& this_rq, CpuIdleType idle);
  bool nohz_idle_balance_walk(Rq& this_rq, bool balance, CpuIdleType idle);
  void nohz_newidle_balance(Rq& this_rq);

  Scheduler& s_;
  u64 migration_cost_, max_interval_ = 0;
  u32 nr_migrate_, hz_;
  bool preempt_, lb_min_, cache_hot_buddy_;
  bool for_others_ = false;  ///< inside nohz_idle_balance_walk
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
