#include <doctest/doctest.h>

#include <random>

#include "kernel_model/sched/rbtree.hpp"
#include "kernel_model/sched/weights.hpp"
#include "tests/unit/kernel_model/sched/test_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;

TEST_SUITE_BEGIN("sched/properties");

namespace {

/// Fixed seeds: a failure names the one that broke.
constexpr u32 kSeeds = 24;

/// Entities below `q`, running one included, with their depth-first task count.
void check_queue(const CfsRq& q, std::vector<const Task*>& tasks) {
  u64 weight = 0;
  u32 n = 0, below = 0;
  auto visit = [&](const SchedEntity& se) {
    CHECK(se.on_rq);
    CHECK(se.cfs_rq == &q);
    weight += se.load.weight;
    ++n;
    const std::size_t before = tasks.size();
    if (se.my_q)
      check_queue(*se.my_q, tasks);
    else
      tasks.push_back(se.task);
    below += static_cast<u32>(tasks.size() - before);
  };
  const SchedEntity* previous = nullptr;
  for (const SchedEntity* se = q.leftmost; se; se = rb_next(*se)) {
    if (previous) CHECK_FALSE(se->vruntime.before(previous->vruntime));
    visit(*se);
    previous = se;
  }
  if (q.curr && q.curr->on_rq) visit(*q.curr);
  CHECK(rb_black_height(q) >= 0);
  CHECK(q.load.weight == weight);
  CHECK(q.nr_running == n);
  CHECK(q.h_nr_running == below);
}

void check_machine(TestMachine& m) {
  std::vector<const Task*> queued;
  for (u32 c = 0; c < m.sched.cpus(); ++c) {
    const Rq& rq = m.rq(c);
    std::vector<const Task*> here;
    check_queue(rq.cfs, here);
    const std::size_t fair = here.size();
    for (const auto& queue : rq.rt.queue)
      for (const Task* t = queue.front(); t; t = queue.next(t)) here.push_back(t);
    CHECK(rq.rt.rt_nr_running == here.size() - fair);
    for (const Task* t : here) CHECK(t->cpu == CpuId(c));
    CHECK(rq.nr_running == here.size() + (rq.stop->on_rq ? 1 : 0));
    u32 listed = 0;
    for (const Task* t = rq.cfs_tasks.front(); t; t = rq.cfs_tasks.next(t)) ++listed;
    CHECK(listed == fair);
    queued.insert(queued.end(), here.begin(), here.end());
  }
  std::ranges::sort(queued);
  CHECK(std::ranges::adjacent_find(queued) == queued.end());
  for (const Task& t : m.tasks) CHECK(std::ranges::binary_search(queued, &t) == (t.on_rq == TASK_ON_RQ_QUEUED));
}

/// A machine under random load for `steps`; calls `after` when each step has settled.
template <class F>
void random_life(TestMachine& m, std::mt19937& rng, int steps, F after) {
  auto pick = [&](u32 n) { return static_cast<u32>(rng() % n); };
  std::vector<TaskGroup*> groups{nullptr};
  if (m.sched.profile().fair_group_sched) groups.push_back(&m.sched.create_group(nullptr));
  const u32 cpus = m.sched.cpus();
  for (int i = 0; i < steps; ++i) {
    m.advance(1 + pick(5'000'000));
    m.sched.set_jiffies(1000 + (m.sched.now().v - 1'000'000'000) / 4'000'000);
    const u32 c = pick(cpus);
    Task& curr = m.curr(c);
    const bool idle = &curr == m.rq(c).idle;
    switch (pick(9)) {
      case 0:
        if (m.tasks.size() < 60) {
          Task& t = m.task(static_cast<int>(pick(40)) - 20, 1 + pick((1u << cpus) - 1));
          m.start(t, c);
        }
        break;
      case 1:
      case 2:
        if (!idle) m.sleep(c);
        break;
      case 3:
      case 4:
        if (!m.tasks.empty())
          m.sched.try_to_wake_up(m.tasks[pick(static_cast<u32>(m.tasks.size()))], TASK_NORMAL, pick(2) ? WF_SYNC : 0, CpuId(c));
        break;
      case 5:
        if (!idle) m.sched.yield_task(CpuId(c)), m.schedule(c);
        break;
      case 6:
        if (!m.tasks.empty()) {
          Task& t = m.tasks[pick(static_cast<u32>(m.tasks.size()))];
          if (t.state != TASK_DEAD && pick(3)) m.sched.set_user_nice(t, static_cast<int>(pick(40)) - 20, CpuId(c));
          if (t.state != TASK_DEAD && !pick(3)) {
            const bool rt = pick(2);
            m.sched.sched_setscheduler(t, rt ? (pick(2) ? SchedPolicy::fifo : SchedPolicy::rr) : SchedPolicy::normal, rt ? 1 + pick(5) : 0,
                                       CpuId(c));
          }
        }
        break;
      case 7:
        if (!idle && groups.size() > 1)
          m.sched.sched_move_task(curr, groups[pick(2)], CpuId(c));
        else if (!idle && pick(6) == 0)
          m.die(c);
        break;
      default:
        m.sched.scheduler_tick(CpuId(c));
        if (m.sched.softirq_wanted(CpuId(c))) m.sched.run_rebalance_domains(CpuId(c));
    }
    m.settle();
    after();
  }
}

KernelProfile random_profile(std::mt19937& rng, u32 cpus) { return rng() % 2 ? rpi(cpus) : mc(cpus); }

}  // namespace

TEST_CASE("the tree stays a valid ordered red-black tree and ties keep insertion order") {
  for (u32 seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    std::mt19937 rng(seed);
    CfsRq q;
    std::deque<SchedEntity> pool(200);
    std::vector<SchedEntity*> model, out(pool.size());
    for (std::size_t i = 0; i < pool.size(); ++i) out[i] = &pool[i];
    for (int step = 0; step < 3000; ++step) {
      const bool insert = model.empty() || (!out.empty() && rng() % 2);
      if (insert) {
        SchedEntity* se = out.back();
        out.pop_back();
        se->vruntime = VNs(rng() % 50 - 25);  // around the wrap, many ties
        enqueue_entity_tree(q, *se);
        const auto pos = std::ranges::upper_bound(model, se, [](const auto* a, const auto* b) { return a->vruntime.before(b->vruntime); });
        model.insert(pos, se);
      } else {
        const std::size_t i = rng() % model.size();
        dequeue_entity_tree(q, *model[i]);
        out.push_back(model[i]);
        model.erase(model.begin() + static_cast<std::ptrdiff_t>(i));
      }
      std::vector<SchedEntity*> walked;
      for (SchedEntity* se = q.leftmost; se; se = rb_next(*se)) walked.push_back(se);
      REQUIRE(walked == model);
      REQUIRE(rb_black_height(q) >= 0);
    }
  }
}

TEST_CASE("on a random machine every task is on at most one queue and every sum is the sum of its parts") {
  for (u32 seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    std::mt19937 rng(seed);
    const u32 cpus = 1 + seed % 6;
    TestMachine m(random_profile(rng, cpus), cpus, 1 + seed % 4);
    random_life(m, rng, 400, [&] { check_machine(m); });
    CHECK(m.tasks.size() > 5);
  }
}

TEST_CASE("min_vruntime of a queue never goes back while time passes") {
  for (u32 seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    std::mt19937 rng(seed * 7919);
    const u32 cpus = 2 + seed % 3;
    TestMachine m(random_profile(rng, cpus), cpus, 4);
    std::vector<VNs> last(cpus);
    for (u32 c = 0; c < cpus; ++c) last[c] = m.rq(c).cfs.min_vruntime;
    random_life(m, rng, 500, [&] {
      for (u32 c = 0; c < cpus; ++c) {
        CHECK_FALSE(m.rq(c).cfs.min_vruntime.before(last[c]));
        last[c] = m.rq(c).cfs.min_vruntime;
      }
    });
  }
}

TEST_CASE("CPU time handed out equals the time CPUs were busy, to the nanosecond") {
  for (u32 seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    std::mt19937 rng(seed * 104729);
    TestMachine m(random_profile(rng, 3), 3, 3);
    m.events.clear();
    random_life(m, rng, 400, [] {});
    u64 busy = 0, handed_out = 0;
    std::array<u64, 3> since{};
    for (const TraceEvent& e : m.seen(Tp::sched_switch)) {
      if (static_cast<s32>(e.args[1]) >= 100) busy += e.ts.v - since[e.cpu.v];
      if (static_cast<s32>(e.args[5]) >= 100) since[e.cpu.v] = e.ts.v;
    }
    for (u32 c = 0; c < 3; ++c)
      if (m.curr(c).pid.v >= 100) busy += m.curr(c).se.exec_start - since[c];
    for (const Task& t : m.tasks) handed_out += t.se.sum_exec_runtime;
    CHECK(handed_out == busy);
    CHECK(busy > 0);
  }
}

TEST_CASE("the same seed gives the same events") {
  for (u32 seed : {3u, 4u}) {
    CAPTURE(seed);
    std::vector<std::vector<u64>> runs;
    for (int run = 0; run < 2; ++run) {
      std::mt19937 rng(seed);
      TestMachine m(random_profile(rng, 4));
      random_life(m, rng, 300, [] {});
      std::vector<u64>& r = runs.emplace_back();
      for (const TraceEvent& e : m.events) {
        r.insert(r.end(), {e.ts.v, u64{static_cast<u8>(e.id)}, e.cpu.v});
        r.insert(r.end(), e.args.begin(), e.args.end());
      }
    }
    CHECK(runs[0].size() > 1000);
    CHECK(runs[0] == runs[1]);
  }
}

TEST_SUITE_END();
