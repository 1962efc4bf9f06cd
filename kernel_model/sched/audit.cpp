#include "kernel_model/sched/audit.hpp"

#include "kernel_model/sched/rbtree.hpp"

namespace forksim::km {

namespace {

std::string on(CpuId cpu) { return " on the queue of CPU " + std::to_string(cpu.v); }

/// The first task waiting below `q` that may run on `cpu` and has waited since before `limit`.
const Task* first_overdue(const CfsRq& q, CpuId cpu, Ns limit) {
  if (q.throttled) return nullptr;
  // the group that runs here is in no tree, but who waits inside of it is
  if (q.curr && q.curr->on_rq && !q.curr->task)
    if (const Task* t = first_overdue(*q.curr->my_q, cpu, limit)) return t;
  for (const SchedEntity* se = q.leftmost; se; se = rb_next(*se)) {
    if (!se->task) {
      if (const Task* t = first_overdue(*se->my_q, cpu, limit)) return t;
      continue;
    }
    const Task& t = *se->task;
    if (t.cpus_allowed.test(cpu) && t.last_queued.v && t.last_queued < limit) return &t;
  }
  return nullptr;
}

}  // namespace

void SchedAudit::entity(const SchedEntity& se, const CfsRq& q, CpuId cpu, Sums& sums) {
  sums.weight += se.load.weight;
  sums.runnable += se.runnable_weight;
  ++sums.entities;
  if (!se.on_rq) expect(false, [&] { return "an entity that is not queued is" + on(cpu); });
  if (se.my_q) {
    if (!se.my_q->throttled) sums.tasks += walk(*se.my_q, cpu).tasks;
    return;
  }
  ++sums.tasks;
  const Task& t = *se.task;
  if (t.cpu != cpu || t.se.cfs_rq != &q)
    expect(false, [&] { return "pid " + std::to_string(t.pid.v) + " belongs to CPU " + std::to_string(t.cpu.v) + " but is" + on(cpu); });
}

SchedAudit::Sums SchedAudit::walk(const CfsRq& q, CpuId cpu) {
  Sums sums;
  const SchedEntity* before = nullptr;
  bool ordered = true;
  for (const SchedEntity* se = q.leftmost; se; se = rb_next(*se)) {
    ordered = ordered && !(before && se->vruntime.before(before->vruntime));
    before = se;
    entity(*se, q, cpu, sums);
  }
  if (q.curr && q.curr->on_rq) entity(*q.curr, q, cpu, sums);
  checks_ += sums.entities;
  expect(ordered, [&] { return "entities are not in the order of their vruntime" + on(cpu); });
  const auto differs = [cpu](const char* what, auto is, auto sum) {
    return what + (" is " + std::to_string(is)) + " but its entities add up to " + std::to_string(sum) + on(cpu);
  };
  expect(q.load.weight == sums.weight, [&] { return differs("load", q.load.weight, sums.weight); });
  expect(q.runnable_weight == sums.runnable, [&] { return differs("runnable_weight", q.runnable_weight, sums.runnable); });
  expect(q.nr_running == sums.entities && q.h_nr_running == sums.tasks, [&] {
    return "nr_running is " + std::to_string(q.nr_running) + " and h_nr_running " + std::to_string(q.h_nr_running) + ", but " +
           std::to_string(sums.entities) + " entities with " + std::to_string(sums.tasks) + " tasks are" + on(cpu);
  });
  return sums;
}

void SchedAudit::overdue(Scheduler& s, CpuId cpu, Ns idle_since, Ns bound) {
  const Ns now = s.now() + s.clock_base();
  if (now < bound) return;
  const Ns limit = now - bound;
  if (idle_since >= limit || !s.rq(cpu).online) return;
  for (u32 i = 0; i < s.cpus(); ++i) {
    if (i == cpu.v || !s.rq(CpuId(i)).online || s.rq(CpuId(i)).nr_running < 2) continue;
    const Task* t = first_overdue(s.rq(CpuId(i)).cfs, cpu, limit);
    expect(!t, [&] {
      return "CPU " + std::to_string(cpu.v) + " idles while pid " + std::to_string(t->pid.v) + ", which it may run, has waited on CPU " +
             std::to_string(i) + " for more than " + std::to_string(bound.v) + " ns";
    });
  }
}

u64 SchedAudit::check(Scheduler& s, CpuId cpu, Ns idle_since, std::vector<std::string>& broken, Ns bound) {
  checks_ = 0;
  broken_ = &broken;
  const Rq& rq = s.rq(cpu);
  walk(rq.cfs, cpu);
  expect(rq.load.weight == rq.cfs.load.weight, [&] { return "rq.load differs from the load of its root queue" + on(cpu); });
  Last& last = last_[cpu.v];
  expect(!last.seen || !rq.cfs.min_vruntime.before(last.min_vruntime),
         [&] { return "min_vruntime went back by " + std::to_string(last.min_vruntime.minus(rq.cfs.min_vruntime)) + " ns" + on(cpu); });
  last = {true, rq.cfs.min_vruntime};
  if (idle_since != kNever) overdue(s, cpu, idle_since, bound);
  return checks_;
}

}  // namespace forksim::km
