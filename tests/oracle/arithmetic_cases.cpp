// Single functions of one queue: virtual time, slices, PELT, picking.
#include <deque>
#include <memory>

#include "kernel_model/sched/rbtree.hpp"
#include "tests/oracle/json_util.hpp"
#include "tests/oracle/machine.hpp"

namespace forksim::oracle {

using namespace km;

namespace {

void check_avg(Check& check, std::string_view what, const json& row, std::size_t at, const SchedAvg& sa) {
  const std::array<u64, 8> actual{sa.last_update_time, sa.load_sum,          sa.runnable_load_sum, sa.util_sum,
                                  sa.load_avg,         sa.runnable_load_avg, sa.util_avg,          sa.period_contrib};
  static constexpr std::array<const char*, 8> kNames{"last_update_time", "load_sum",          "runnable_load_sum", "util_sum",
                                                     "load_avg",         "runnable_load_avg", "util_avg",          "period_contrib"};
  for (std::size_t i = 0; i < actual.size(); ++i) check.eq(std::string(what) + "." + kNames[i], row.at(at + i).get<u64>(), actual[i]);
}

/// CPU 0's root queue with entities that are no tasks, so that only the arithmetic is at work.
class Queue {
 public:
  explicit Queue(const Config& config) : m(std::make_unique<Machine>(config)) {}
  CfsRq& cfs() { return m->rq(0).cfs; }
  FairClass& fair() { return m->sched.fair(); }
  SchedEntity& entity(u64 weight) {
    SchedEntity& se = entities.emplace_back();
    se.load = task_load(weight);
    se.runnable_weight = se.load.weight;
    se.cfs_rq = &cfs();
    return se;
  }
  SchedEntity& accounted(u64 weight) {
    SchedEntity& se = entity(weight);
    fair().account_entity_enqueue(cfs(), se);
    se.on_rq = true;
    return se;
  }
  SchedEntity& queued(u64 weight, u64 vruntime) {
    SchedEntity& se = accounted(weight);
    se.vruntime = VNs(vruntime);
    enqueue_entity_tree(cfs(), se);
    return se;
  }
  /// -1 none, 0 curr, k the k-th of the case's queue.
  SchedEntity* coded(s64 code, SchedEntity* curr) {
    return code < 0 ? nullptr : code == 0 ? curr : tree.at(static_cast<std::size_t>(code - 1));
  }
  s64 code(const SchedEntity* se, const SchedEntity* curr) const {
    if (!se) return -1;
    if (se == curr) return 0;
    for (std::size_t i = 0; i < tree.size(); ++i)
      if (tree[i] == se) return static_cast<s64>(i + 1);
    return -2;
  }
  void fill(const json& rows) {
    for (const json& r : rows) tree.push_back(&queued(r.at(0), r.at(1)));
  }
  void set_buddies(const json& c, SchedEntity* curr) {
    cfs().skip = coded(snum(c, "skip"), curr);
    cfs().last = coded(snum(c, "last"), curr);
    cfs().next = coded(snum(c, "next"), curr);
  }
  void check_buddies(const json& c, Check& check, const SchedEntity* curr) {
    check.eq("skip_out", snum(c, "skip_out"), code(cfs().skip, curr));
    check.eq("last_out", snum(c, "last_out"), code(cfs().last, curr));
    check.eq("next_out", snum(c, "next_out"), code(cfs().next, curr));
  }

  std::unique_ptr<Machine> m;
  std::deque<SchedEntity> entities;
  std::vector<SchedEntity*> tree;
};

void run_calc_delta(const Config&, const json& c, Check& check) {
  if (c.at("kind") == "fair") {
    SchedEntity se;
    const bool idle = num(c, "idle_policy");
    se.load = task_load(idle ? WEIGHT_IDLEPRIO : sched_prio_to_weight[static_cast<std::size_t>(snum(c, "nice") + 20)]);
    check.eq("weight", num(c, "weight"), se.load.weight);
    check.eq("inv_weight", num(c, "inv_weight"), u64{se.load.inv_weight});
    check.eq("out", num(c, "out"), calc_delta_fair(num(c, "delta"), se));
    return;
  }
  LoadWeight lw{num(c, "lw_weight"), 0};
  check.eq("out", num(c, "out"), calc_delta(num(c, "delta"), num(c, "weight"), lw));
  check.eq("inv_weight", num(c, "inv_weight"), u64{lw.inv_weight});
}

void run_decay_load(const Config&, const json& c, Check& check) { check.eq("out", num(c, "out"), decay_load(num(c, "val"), num(c, "n"))); }

void run_segments(const Config&, const json& c, Check& check) {
  check.eq("out", num(c, "out"), u64{accumulate_pelt_segments(num(c, "periods"), num32(c, "d1"), num32(c, "d3"))});
}

void run_pelt(const Config&, const json& c, Check& check) {
  const std::string kind = c.at("kind");
  CfsRq q;
  SchedEntity se;
  SchedAvg& sa = kind == "cfs_rq" ? q.avg : se.avg;
  sa = sched_avg(c.at("init"));
  std::size_t n = 0;
  for (const json& s : c.at("steps")) {
    const u64 now = s.at(0), load = s.at(1), runnable = s.at(2), weight = s.at(4), runnable_weight = s.at(5);
    bool ret = false;
    if (kind == "cfs_rq") {
      q.load = {scale_load(load), 0};
      q.runnable_weight = scale_load(runnable);
      q.curr = s.at(3).get<u64>() ? &se : nullptr;
      ret = update_load_avg_cfs_rq(now, {}, q);
    } else {
      se.load = {scale_load(weight), 0};
      se.runnable_weight = scale_load(runnable_weight);
      se.on_rq = load != 0;
      q.curr = s.at(3).get<u64>() ? &se : nullptr;
      ret = kind == "se" ? update_load_avg_se(now, {}, q, se, true) : update_load_avg_blocked_se(now, se);
    }
    const std::string at = "step " + std::to_string(n++);
    check.eq(at + ".ret", s.at(6).get<u64>(), u64{ret});
    check_avg(check, at, s, 7, sa);
  }
}

void run_sched_slice(const Config& config, const json& c, Check& check) {
  Queue q(config);
  SchedEntity* se = nullptr;
  for (const json& w : c.at("weights")) {
    SchedEntity& e = q.accounted(w);
    if (!se) se = &e;
  }
  if (!num(c, "se_on_rq")) se = &q.entity(num(c, "se_weight"));
  check.eq("nr_running", num(c, "nr_running"), u64{q.cfs().nr_running});
  check.eq("period", num(c, "period"), q.fair().sched_period(q.cfs().nr_running + !se->on_rq));
  check.eq("slice", num(c, "slice"), q.fair().sched_slice(q.cfs(), *se));
  check.eq("vslice", num(c, "vslice"), q.fair().sched_vslice(q.cfs(), *se));
}

void run_place_entity(const Config& config, const json& c, Check& check) {
  Queue q(config);
  for (const json& w : c.at("weights")) q.accounted(w);
  q.cfs().min_vruntime = VNs(num(c, "min_vruntime"));
  SchedEntity& se = q.entity(num(c, "se_weight"));
  se.vruntime = VNs(num(c, "vruntime_in"));
  q.fair().place_entity(q.cfs(), se, num(c, "initial"));
  check.eq("vruntime_out", num(c, "vruntime_out"), se.vruntime.v);
}

void run_update_min_vruntime(const Config& config, const json& c, Check& check) {
  Queue q(config);
  q.cfs().min_vruntime = VNs(num(c, "min_in"));
  if (!c.at("curr").is_null()) {
    SchedEntity& curr = q.entity(1024);
    curr.vruntime = VNs(num(c, "curr", 0));
    curr.on_rq = num(c, "curr", 1);
    q.cfs().curr = &curr;
  }
  for (const json& v : c.at("tree")) q.queued(1024, v);
  q.fair().update_min_vruntime(q.cfs());
  check.eq("min_out", num(c, "min_out"), q.cfs().min_vruntime.v);
}

void run_wakeup_preempt_entity(const Config& config, const json& c, Check& check) {
  Queue q(config);
  SchedEntity &curr = q.entity(1024), &se = q.entity(num(c, "se_weight"));
  curr.vruntime = VNs(num(c, "curr_vruntime"));
  se.vruntime = VNs(num(c, "se_vruntime"));
  check.eq("out", snum(c, "out"), s64{q.fair().wakeup_preempt_entity(curr, se)});
}

void run_check_preempt_tick(const Config& config, const json& c, Check& check) {
  Queue q(config);
  SchedEntity& curr = q.accounted(num(c, "curr_weight"));
  curr.vruntime = VNs(num(c, "curr_vruntime"));
  curr.sum_exec_runtime = num(c, "sum_exec_runtime");
  curr.prev_sum_exec_runtime = num(c, "prev_sum_exec_runtime");
  q.cfs().curr = &curr;
  q.fill(c.at("queued"));
  q.set_buddies(c, &curr);
  check.eq("ideal_runtime", num(c, "ideal_runtime"), q.fair().sched_slice(q.cfs(), curr));
  q.fair().check_preempt_tick(q.cfs(), curr);
  check.eq("resched", num(c, "resched"), u64{q.m->rq(0).curr->need_resched()});
  q.check_buddies(c, check, &curr);
}

void run_pick_next_entity(const Config& config, const json& c, Check& check) {
  Queue q(config);
  SchedEntity* curr = nullptr;
  if (!c.at("curr").is_null()) {
    curr = &q.accounted(num(c, "curr", 0));
    curr->vruntime = VNs(num(c, "curr", 1));
    q.cfs().curr = curr;
  }
  q.fill(c.at("queued"));
  q.set_buddies(c, curr);
  check.eq("out", snum(c, "out"), q.code(q.fair().pick_next_entity(q.cfs(), curr), curr));
  q.check_buddies(c, check, curr);
}

void run_post_init(const Config& config, const json& c, Check& check) {
  Queue q(config);
  q.m->rq(0).clock = q.m->rq(0).clock_task = num(c, "clock_task");
  CfsRq& cfs = q.cfs();
  cfs.avg = sched_avg(c.at("cfs_in"));
  cfs.load = {scale_load(num(c, "cfs_load_weight")), 0};
  cfs.runnable_weight = scale_load(num(c, "cfs_runnable_weight"));
  SchedEntity running;
  cfs.curr = num(c, "cfs_running") ? &running : nullptr;
  Task& p = q.m->new_task();
  p.se.load = task_load(num(c, "weight"));
  p.se.cfs_rq = &cfs;
  FairClass::init_entity_runnable_average(p.se);
  q.fair().post_init_entity_util_avg(p.se);
  check_avg(check, "se", c.at("se_out"), 0, p.se.avg);
  check_avg(check, "cfs", c.at("cfs_out"), 0, cfs.avg);
}

void run_calc_group_shares(const Config& config, const json& c, Check& check) {
  Queue q(config);
  TaskGroup tg;
  tg.shares = num(c, "tg_shares");
  tg.load_avg = snum(c, "tg_load_avg");
  CfsRq cfs;
  cfs.tg = &tg;
  cfs.load = {num(c, "load_weight"), 0};
  cfs.avg.load_avg = num(c, "load_avg");
  cfs.avg.runnable_load_avg = num(c, "runnable_load_avg");
  cfs.runnable_weight = num(c, "runnable_weight");
  cfs.tg_load_avg_contrib = num(c, "tg_load_avg_contrib");
  const u64 shares = q.fair().calc_group_shares(cfs);
  check.eq("shares", num(c, "shares"), shares);
  check.eq("runnable", num(c, "runnable"), q.fair().calc_group_runnable(cfs, num(c, "shares")));
}

void run_task_h_load(const Config& config, const json& c, Check& check) {
  Queue q(config);
  const std::size_t depth = num(c, "depth");
  CfsRq* parent = &q.cfs();
  parent->avg.load_avg = num(c, "root_load_avg");
  std::deque<CfsRq> queues;
  std::vector<const CfsRq*> chain{parent};
  for (std::size_t k = 0; k < depth; ++k) {
    SchedEntity& se = q.entity(1024);
    CfsRq& child = queues.emplace_back();
    se.cfs_rq = parent;
    se.my_q = &child;
    se.parent = parent->group_se;
    se.avg.load_avg = num(c, "se_load_avg", k);
    child.avg.load_avg = num(c, "cfs_load_avg", k);
    child.rq = parent->rq;
    child.group_se = &se;
    child.last_h_load_update = kBootJiffies - 1;
    parent = &child;
    chain.push_back(parent);
  }
  Task& p = q.m->new_task();
  p.se.cfs_rq = parent;
  p.se.avg.load_avg = num(c, "task_load_avg");
  check.eq("out", num(c, "out"), q.fair().task_h_load(p));
  for (std::size_t k = 0; k < chain.size(); ++k) check.eq("h_load", num(c, "h_load", k), chain[k]->h_load);
}

constexpr std::array kArithmeticCases{CaseKind{"calc_delta", run_calc_delta},
                                      CaseKind{"pelt", run_pelt},
                                      CaseKind{"pelt_decay_load", run_decay_load},
                                      CaseKind{"pelt_segments", run_segments},
                                      CaseKind{"sched_slice", run_sched_slice},
                                      CaseKind{"place_entity", run_place_entity},
                                      CaseKind{"update_min_vruntime", run_update_min_vruntime},
                                      CaseKind{"wakeup_preempt_entity", run_wakeup_preempt_entity},
                                      CaseKind{"check_preempt_tick", run_check_preempt_tick},
                                      CaseKind{"pick_next_entity", run_pick_next_entity},
                                      CaseKind{"post_init_entity_util_avg", run_post_init},
                                      CaseKind{"calc_group_shares", run_calc_group_shares},
                                      CaseKind{"task_h_load", run_task_h_load}};

}  // namespace

std::span<const CaseKind> arithmetic_cases() { return kArithmeticCases; }

}  // namespace forksim::oracle
