// Whole scenarios: every event is executed by the production scheduler, then every row of state is compared.
#include <map>
#include <memory>

#include "tests/oracle/json_util.hpp"
#include "tests/oracle/machine.hpp"

namespace forksim::oracle {

using namespace km;

namespace {

/// A task group of the scenario. Autogroups are counted: the creator's processes hold references.
struct Group {
  int kind = 0;  ///< 1 autogroup, 2 cgroup, 0 destroyed
  int parent = 0;
  TaskGroup* tg = nullptr;
  int refs = 0;
};

/// Which groups a process belongs to: its cgroup, and its session's autogroup which counts only in the root cgroup.
struct Membership {
  int cgroup = 0, autogroup = 0;
};

class Scenario {
 public:
  Scenario(const Config& config, Check& check) : m_(config), s_(m_.sched), check_(check) { groups_[0] = {}; }
  void set_rt_parameters(const json& c);
  /// False once a row differed; later rows would only repeat it.
  bool event(const json& e);

 private:
  void run(const json& e);
  void spawn(const json& e);
  void fork(const json& e);
  void wake(const json& e);
  void exit(CpuId cpu);
  void tick(const json& e, CpuId cpu);
  void group_event(const std::string& ev, const json& e);
  Task& new_child(const json& e, const Task& parent);
  void setsid(Task& p, const json& e);
  int put_autogroup(int group);
  int effective(const Task& p) const;
  TaskGroup* tg(int group) { return group ? groups_.at(group).tg : nullptr; }

  void schedule(u32 c, bool preempt);
  void rebalance(u32 c);
  void run_pending(u32 first);
  bool serve(u32 c);
  void compare(const json& e);
  void compare_rows(const char* kind, const json& rows, json (Scenario::*actual)(const json& key), std::size_t keys);
  json cpu_row(const json& key);
  json task_row(const json& key);
  json tg_row(const json& key);
  json gcpu_row(const json& key);
  json rt_row(const json& key);

  Task& task(const json& e) { return m_.tasks.at(num(e, "task")); }
  s64 number(const Task* t) const { return t->pid.v - 1001; }

  Machine m_;
  Scheduler& s_;
  Check& check_;
  std::map<int, Group> groups_;
  std::map<const Task*, Membership> members_;
  std::map<std::string, json> expected_;  ///< full state, rows carried forward
  bool softirq_ = false;
  u32 ilb_ = 0, stopped_ = 0;
  std::size_t cpu_columns_ = 0;
  bool with_groups_ = false, with_rt_ = false;
};

// --- driving ---

void Scenario::schedule(u32 c, bool preempt) {
  const CpuId cpu(c);
  Rq& rq = m_.rq(c);
  if (m_.config.nohz && rq.tick_stopped) {
    s_.nohz_tick_restart(cpu);
    stopped_ &= ~(1u << c);
  }
  Task& prev = *rq.curr;
  s_.schedule_begin(cpu, preempt && &prev != rq.idle, false);
  Task& next = s_.schedule_pick(cpu, preempt && &prev != rq.idle, Ns(0));
  if (&next != &prev) s_.finish_task_switch(prev, cpu);
  if (&next != rq.stop) return;
  s_.active_load_balance_cpu_stop(cpu);
  next.state = TASK_INTERRUPTIBLE;
  schedule(c, false);
}

void Scenario::rebalance(u32 c) {
  if (m_.rq(c).nohz_balance_kick || m_.rq(c).nohz_stats_kick) ilb_ |= 1u << c;
  s_.run_rebalance_domains(CpuId(c));
}

/// One round of pending work of a CPU; true when there was some.
bool Scenario::serve(u32 c) {
  const u32 bit = 1u << c;
  bool worked = false;
  if (m_.rt_push_pending & bit) {
    m_.rt_push_pending &= ~bit;
    s_.set_this_cpu(CpuId(c));
    s_.rt().rto_push_irq_work(CpuId(c));
    worked = true;
  }
  if (m_.ipi_pending & bit) {
    m_.ipi_pending &= ~bit;
    const bool softirq = s_.softirq_wanted(CpuId(c));
    s_.scheduler_ipi(CpuId(c));
    if (!softirq && s_.softirq_wanted(CpuId(c))) rebalance(c);
    worked = true;
  }
  if (m_.stop_pending & bit) {
    m_.stop_pending &= ~bit;
    s_.try_to_wake_up(m_.stopper[c], TASK_NORMAL, 0, CpuId(c));
    worked = true;
  }
  if (m_.rq(c).curr->need_resched()) {
    schedule(c, true);
    worked = true;
  }
  if (m_.config.nohz && m_.rq(c).curr == m_.rq(c).idle && !m_.rq(c).tick_stopped) {
    s_.nohz_tick_stop(CpuId(c));
    stopped_ |= bit;
    worked = true;
  }
  return worked;
}

void Scenario::run_pending(u32 first) {
  for (bool again = true; again;) {
    again = false;
    for (u32 k = 0; k < kCpus; ++k) again |= serve((first + k) % kCpus);
  }
}

bool rt_policy(const Task& p) { return p.sched_class == SchedClass::rt; }

Task& Scenario::new_child(const json& e, const Task& parent) {
  Task& p = m_.new_task();
  const Pid pid = p.pid;
  p = parent;
  p.pid = pid;
  p.se.task = &p;
  p.state = TASK_NEW;
  // The generator's tasks start from zero; the kernel's dup_task_struct would hand the parent's history of wake-ups down.
  p.last_wakee = nullptr;
  p.wakee_flips = 0;
  p.wakee_flip_decay_ts = 0;
  p.flags = 0;
  p.ti_flags = 0;
  p.cpus_allowed = CpuMask::from_word(num(e, "allowed"));
  p.nr_cpus_allowed = p.cpus_allowed.count();
  // A child of a real-time task is the copy it is, down to a load weight that a later nice value of the parent did not touch.
  if (rt_policy(parent)) return p;
  if (e.value("rt_priority", 0) > 0)
    s_.set_params(p, static_cast<SchedPolicy>(num(e, "policy")), p.static_prio - DEFAULT_PRIO, num32(e, "rt_priority"));
  else
    s_.set_params(p, num(e, "idle_policy") ? SchedPolicy::idle : SchedPolicy::normal, static_cast<int>(snum(e, "arg")));
  return p;
}

void Scenario::spawn(const json& e) {
  const CpuId cpu(num32(e, "cpu"));
  Rq& rq = s_.rq(cpu);
  Task& p = new_child(e, *rq.idle);
  const int group = e.contains("group") ? static_cast<int>(snum(e, "group")) : 0;
  if (group) {
    (groups_.at(group).kind == 1 ? members_[&p].autogroup : members_[&p].cgroup) = group;
    if (groups_.at(group).kind == 1) groups_.at(group).refs++;
    s_.set_task_group(p, tg(group));
  }
  // The parent is the idle task, whoever really runs there.
  Task* curr = rq.curr;
  rq.curr = rq.idle;
  s_.sched_fork(p, cpu);
  rq.curr = curr;
  s_.wake_up_new_task_select(p, cpu);
  s_.wake_up_new_task_activate(p, cpu);
}

void Scenario::fork(const json& e) {
  const CpuId cpu(num32(e, "cpu"));
  const Task& parent = *s_.rq(cpu).curr;
  Task& p = new_child(e, parent);
  members_[&p] = members_[&parent];
  if (int ag = members_[&p].autogroup) groups_.at(ag).refs++;
  s_.sched_fork(p, cpu);
  s_.wake_up_new_task_select(p, cpu);
  s_.wake_up_new_task_activate(p, cpu);
}

void Scenario::wake(const json& e) {
  const CpuId cpu(num32(e, "cpu"));
  const u32 flags = num(e, "arg") ? WF_SYNC : 0;
  if (!e.contains("woken")) {
    s_.try_to_wake_up(task(e), TASK_NORMAL, flags, cpu);
    return;
  }
  for (const json& t : e.at("woken")) s_.try_to_wake_up(m_.tasks.at(t.get<std::size_t>()), TASK_NORMAL, flags, cpu);
}

void Scenario::exit(CpuId cpu) {
  Task& p = *s_.rq(cpu).curr;
  p.flags |= PF_EXITING;
  if (m_.config.autogroup) s_.sched_move_task(p, tg(effective(p)), cpu);
  p.state = TASK_DEAD;
  schedule(cpu.v, false);
}

void Scenario::tick(const json& e, CpuId cpu) {
  static_cast<void>(e);
  s_.scheduler_tick(cpu);
  softirq_ = s_.softirq_wanted(cpu) && !m_.config.one_cpu;
  if (softirq_) rebalance(cpu.v);
}

void Scenario::run(const json& e) {
  const std::string ev = e.at("ev");
  const CpuId cpu(num32(e, "cpu"));
  if (ev == "tick") {
    tick(e, cpu);
  } else if (ev == "spawn") {
    spawn(e);
  } else if (ev == "fork") {
    fork(e);
  } else if (ev == "wake" || ev == "wakes") {
    wake(e);
  } else if (ev == "sleep") {
    s_.rq(cpu).curr->state = TASK_INTERRUPTIBLE;
    schedule(cpu.v, false);
  } else if (ev == "exit") {
    exit(cpu);
  } else if (ev == "yield") {
    s_.yield_task(cpu);
    schedule(cpu.v, false);
  } else if (ev == "setnice") {
    s_.set_user_nice(task(e), static_cast<int>(snum(e, "arg")), cpu);
  } else if (ev == "setsched") {
    s_.sched_setscheduler(task(e), static_cast<SchedPolicy>(num(e, "policy")), num32(e, "arg"), cpu);
  } else if (ev == "rt_period") {
    const auto timer = s_.rt().period_timer();
    check_.eq("expires", snum(e, "expires"), timer ? static_cast<s64>(timer->expires.v) : -1);
    if (timer) check_.eq("restart", num(e, "restart"), u64{s_.rt().sched_rt_period_timer()});
  } else {
    group_event(ev, e);
  }
}

void Scenario::set_rt_parameters(const json& c) {
  if (c.contains("rr_timeslice")) s_.rt().set_rr_timeslice(num32(c, "rr_timeslice"));
  if (c.contains("rt_period")) s_.rt().set_bandwidth(num(c, "rt_period"), num(c, "rt_runtime"));
}

bool Scenario::event(const json& e) {
  s_.set_now(Ns(num(e, "t")));
  s_.set_jiffies(num(e, "jiffies"));
  m_.ipi_sent = 0;
  softirq_ = false;
  ilb_ = 0;
  if (m_.config.one_cpu) s_.set_rd_overload(false);
  run(e);

  u32 resched = 0, wake_lists = 0;
  for (u32 c = 0; c < kCpus; ++c) {
    if (m_.rq(c).curr->need_resched()) resched |= 1u << c;
    if (m_.rq(c).wake_list) wake_lists |= 1u << c;
  }
  check_.eq("resched", num(e, "resched"), u64{resched});
  check_.eq("softirq", e.value("softirq", u64{0}), u64{softirq_});
  if (e.contains("ipi")) check_.eq("ipi", num(e, "ipi"), u64{m_.ipi_sent});
  if (e.contains("wl")) check_.eq("wl", num(e, "wl"), u64{wake_lists});
  run_pending(num32(e, "cpu"));
  if (e.contains("ilb")) check_.eq("ilb", num(e, "ilb"), u64{ilb_});
  if (e.contains("stopped")) check_.eq("stopped", num(e, "stopped"), u64{stopped_});
  compare(e);
  return check_.ok();
}

// --- groups ---

int Scenario::effective(const Task& p) const {
  auto it = members_.find(&p);
  if (it == members_.end()) return 0;
  const bool wants_autogroup = it->second.cgroup == 0 && !(p.flags & PF_EXITING);
  return wants_autogroup ? it->second.autogroup : it->second.cgroup;
}

int Scenario::put_autogroup(int group) {
  if (!group || --groups_.at(group).refs > 0) return -1;
  s_.destroy_group(*groups_.at(group).tg);
  groups_.at(group).kind = 0;
  groups_.at(group).tg = nullptr;
  return group;
}

void Scenario::setsid(Task& p, const json& e) {
  const CpuId cpu(num32(e, "cpu"));
  const int group = static_cast<int>(snum(e, "arg")), old = members_[&p].autogroup;
  groups_[group] = {1, 0, &s_.create_group(nullptr), 1};
  members_[&p].autogroup = group;
  s_.sched_move_task(p, tg(effective(p)), cpu);
  check_.eq("destroyed", snum(e, "destroyed"), s64{put_autogroup(old)});
}

void Scenario::group_event(const std::string& ev, const json& e) {
  const CpuId cpu(num32(e, "cpu"));
  const int arg = static_cast<int>(snum(e, "arg")), number = static_cast<int>(snum(e, "task"));
  if (ev == "mkgroup") {
    groups_[number] = {2, arg, &s_.create_group(tg(arg)), 0};
  } else if (ev == "rmgroup") {
    s_.destroy_group(*tg(number));
    groups_[number].kind = 0;
    groups_[number].tg = nullptr;
  } else if (ev == "set_shares") {
    s_.set_group_shares(*tg(number), scale_load(static_cast<u64>(arg)));
  } else if (ev == "set_quota") {
    const s64 quota = snum(e, "quota");
    check_.eq("ret", snum(e, "ret"), s64{s_.set_group_bandwidth(*tg(number), num(e, "period"), static_cast<u64>(quota), cpu)});
  } else if (ev == "cfs_period") {
    check_.eq("expires", num(e, "expires"), tg(number)->bandwidth.period_timer_expires);
    check_.eq("restart", num(e, "restart"), u64{s_.fair().sched_cfs_period_timer(*tg(number))});
  } else if (ev == "cfs_slack") {
    check_.eq("expires", num(e, "expires"), tg(number)->bandwidth.slack_timer_expires);
    s_.fair().sched_cfs_slack_timer(*tg(number));
  } else if (ev == "setsid") {
    setsid(task(e), e);
  } else if (ev == "move_group") {
    Task& p = task(e);
    check_.eq("from", snum(e, "from"), s64{effective(p)});
    members_[&p].cgroup = arg;
    check_.eq("to", snum(e, "to"), s64{effective(p)});
    s_.sched_move_task(p, tg(effective(p)), cpu);
  } else if (ev == "reap") {
    check_.eq("destroyed", snum(e, "destroyed"), s64{put_autogroup(members_[&task(e)].autogroup)});
    members_[&task(e)].autogroup = 0;
  } else {
    check_.differ("event", "one of the modelled kinds", ev);
  }
}

// --- comparing ---

json Scenario::cpu_row(const json& key) {
  const u32 c = key.at(0);
  const Rq& rq = m_.rq(c);
  const CfsRq& q = rq.cfs;
  const s64 curr = rq.curr == rq.idle ? -1 : number(rq.curr);
  json row = {c,
              curr,
              rq.nr_running,
              q.min_vruntime.v,
              scale_load_down(q.load.weight),
              q.avg.load_avg,
              q.avg.runnable_load_avg,
              q.avg.util_avg,
              q.avg.util_est.enqueued,
              rq.cpu_load[1]};
  if (cpu_columns_ > 10) row.push_back(rq.cpu_load[0]);
  return row;
}

json Scenario::task_row(const json& key) {
  const Task& p = m_.tasks.at(key.at(0).get<std::size_t>());
  const SchedEntity& se = p.se;
  const int state = p.state == TASK_DEAD ? 0 : m_.sched.rq(p.cpu).curr == &p ? 2 : p.on_rq ? 1 : 3;
  json row = {number(&p),      p.cpu.v,         state,           se.vruntime.v,   se.sum_exec_runtime, se.prev_sum_exec_runtime,
              se.avg.load_avg, se.avg.util_avg, se.avg.load_sum, se.avg.util_sum, se.avg.util_est.ewma};
  if (with_groups_) row.push_back(effective(p));
  if (with_rt_) row.insert(row.end(), {static_cast<int>(p.policy), p.prio, p.rt.time_slice});
  return row;
}

json Scenario::tg_row(const json& key) {
  const int number = key.at(0);
  const Group& g = groups_.at(number);
  if (!g.tg) return key.size() == 10 ? key : json{number, 0, g.parent, 0, 0};
  json row = {number, g.kind, g.parent, g.tg->shares, g.tg->load_avg};
  const CfsBandwidth& b = g.tg->bandwidth;
  constexpr std::size_t kWithQuota = 10;
  if (key.size() == kWithQuota)
    row.insert(row.end(), {static_cast<s64>(b.quota), b.period, b.runtime, int{b.period_active}, int{!b.throttled_cfs_rq.empty()}});
  return row;
}

json Scenario::gcpu_row(const json& key) {
  const int number = key.at(0);
  const u32 c = key.at(1);
  const SchedEntity& se = *groups_.at(number).tg->se.at(c);
  const CfsRq& q = *groups_.at(number).tg->cfs_rq.at(c);
  json row = {number,
              c,
              int{se.on_rq},
              se.load.weight,
              se.runnable_weight,
              se.vruntime.v,
              se.avg.load_avg,
              se.avg.runnable_load_avg,
              se.avg.util_avg,
              se.avg.load_sum,
              q.min_vruntime.v,
              q.nr_running,
              q.h_nr_running,
              q.load.weight,
              q.runnable_weight,
              q.avg.load_avg,
              q.avg.runnable_load_avg,
              q.avg.util_avg,
              q.tg_load_avg_contrib,
              int{q.on_list}};
  constexpr std::size_t kWithQuota = 24;
  if (key.size() == kWithQuota) row.insert(row.end(), {int{q.runtime_enabled}, q.runtime_remaining, int{q.throttled}, q.throttle_count});
  return row;
}

json Scenario::rt_row(const json& key) {
  const u32 c = key.at(0);
  const RtRq& rt = m_.rq(c).rt;
  json queues = json::array(), pushable = json::array();
  for (std::size_t prio = 0; prio < rt.queue.size(); ++prio) {
    if (rt.queue[prio].empty()) continue;
    json ids = json::array();
    for (const Task* p = rt.queue[prio].front(); p; p = rt.queue[prio].next(p)) ids.push_back(number(p));
    queues.push_back({prio, ids});
  }
  for (const Task* p = rt.pushable_tasks.front(); p; p = rt.pushable_tasks.next(p)) pushable.push_back(number(p));
  json row = {c,
              rt.rt_nr_running,
              rt.rr_nr_running,
              rt.highest_prio_curr,
              rt.highest_prio_next,
              rt.rt_nr_migratory,
              int{rt.overloaded},
              m_.rq(c).avg_rt.util_avg,
              queues,
              pushable};
  constexpr std::size_t kWithThrottling = 14;
  if (key.size() == kWithThrottling) row.insert(row.end(), {rt.rt_time, rt.rt_runtime, int{rt.rt_throttled}, int{rt.rt_queued}});
  return row;
}

void Scenario::compare_rows(const char* kind, const json& rows, json (Scenario::*actual)(const json& key), std::size_t keys) {
  for (const json& row : rows) {
    std::string name = kind;
    for (std::size_t k = 0; k < keys; ++k) name += " " + row.at(k).dump();
    expected_[name] = row;
  }
  for (auto& [name, row] : expected_) {
    if (!name.starts_with(std::string(kind) + " ")) continue;
    if (keys == 2 && !groups_.at(row.at(0)).tg) continue;  // its group is gone
    const json now = (this->*actual)(row);
    if (now != row) check_.differ(name, row.dump(), now.dump());
  }
}

void Scenario::compare(const json& e) {
  const json& cpus = e.at("cpus");
  with_groups_ = e.contains("tgs");
  with_rt_ = e.contains("rt");
  if (!cpus.empty()) cpu_columns_ = cpus.at(0).size();
  compare_rows("cpu", cpus, &Scenario::cpu_row, 1);
  compare_rows("task", e.at("tasks"), &Scenario::task_row, 1);
  if (with_rt_) compare_rows("rt", e.at("rt"), &Scenario::rt_row, 1);
  if (!with_groups_) return;
  compare_rows("tg", e.at("tgs"), &Scenario::tg_row, 1);
  compare_rows("gcpu", e.at("gcpu"), &Scenario::gcpu_row, 2);
}

void run_scenario(const Config& config, const json& c, Check& check) {
  Scenario scenario(config, check);
  scenario.set_rt_parameters(c);
  std::size_t n = 0;
  for (const json& e : c.at("events")) {
    if (scenario.event(e)) {
      ++n;
      continue;
    }
    check.differ("in event " + std::to_string(n), e.dump().substr(0, 300), "see above");
    return;
  }
}

constexpr std::array kScenarioCases{CaseKind{"scenario_1cpu", run_scenario}, CaseKind{"scenario_4cpu", run_scenario},
                                    CaseKind{"scenario_4cpu_nohz", run_scenario}, CaseKind{"scenario_4cpu_rr", run_scenario},
                                    CaseKind{"scenario_4cpu_throttle", run_scenario}};

}  // namespace

std::span<const CaseKind> scenario_cases() { return kScenarioCases; }

}  // namespace forksim::oracle
