// Hot functions of the scheduler, each alone with its data in cache.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "kernel_model/sched/pelt.hpp"
#include "kernel_model/sched/scheduler.hpp"

namespace forksim::bench {

namespace {

using namespace forksim::km;

constexpr u32 kCpus = 4;

struct NoHooks : SchedHooks {
  void send_reschedule(CpuId, CpuId) override {}
  bool idle_polling(CpuId) const override { return false; }
  u8 trace_flags(CpuId) const override { return 0; }
};

/// Four idle CPUs and `tasks` sleeping tasks on CPU 0.
class Machine {
 public:
  explicit Machine(u32 tasks) : sched_(profile(), topology(), hooks_, trace_), idle_(kCpus), tasks_(tasks) {
    sched_.set_now(Ns(1'000'000'000));
    for (u32 c = 0; c < kCpus; ++c) sched_.init_idle(idle_[c], CpuId(c));
    for (Task& t : tasks_) {
      t.cpus_allowed = CpuMask::first_n(kCpus);
      t.nr_cpus_allowed = kCpus;
      t.se.task = &t;
      t.se.cfs_rq = &sched_.rq(CpuId(0)).cfs;
      t.state = TASK_INTERRUPTIBLE;
      sched_.set_params(t, SchedPolicy::normal, 0);
    }
  }
  Scheduler& sched() { return sched_; }
  Task& task(u32 i) { return tasks_[i]; }
  void tick() { sched_.set_now(sched_.now() + Ns(10'000)); }

 private:
  static KernelProfile profile() {
    KernelProfile p = kernel_profiles()[0];
    resolve_tunables(p, kCpus, {});
    return p;
  }
  static MachineTopology topology() {
    MachineTopology m;
    m.cpus = kCpus;
    const std::vector<CpuMask> all(kCpus, CpuMask::first_n(kCpus));
    m.levels = {{TopologyLevel::Kind::llc, all}, {TopologyLevel::Kind::die, all}};
    return m;
  }

  NoHooks hooks_;
  Trace trace_;
  Scheduler sched_;
  std::vector<Task> idle_, tasks_;
};

/// Activation and deactivation of one task among others, 10 us apart.
void enqueue_dequeue(benchmark::State& state) {
  const auto queued = static_cast<u32>(state.range(0));
  Machine m(queued + 1);
  Rq& rq = m.sched().rq(CpuId(0));
  m.sched().update_rq_clock(rq);
  for (u32 i = 0; i < queued; ++i) m.sched().activate_task(rq, m.task(i), ENQUEUE_NOCLOCK);
  Task& p = m.task(queued);
  for (auto _ : state) {
    m.tick();
    m.sched().activate_task(rq, p, ENQUEUE_WAKEUP);
    m.sched().deactivate_task(rq, p, DEQUEUE_SLEEP);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(enqueue_dequeue)->Arg(0)->Arg(8)->Arg(64);

/// find_idlest_group on the four CPUs, for a fork.
void select_task_rq_fork(benchmark::State& state) {
  Machine m(1);
  for (u32 c = 0; c < kCpus; ++c) m.sched().rq(CpuId(c)).cfs.avg.load_avg = 100 * (c + 1);
  m.sched().set_this_cpu(CpuId(0));
  for (auto _ : state) benchmark::DoNotOptimize(m.sched().placement().select_task_rq_fair(m.task(0), CpuId(0), SD_BALANCE_FORK, 0));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(select_task_rq_fork);

/// Ages one entity's averages by a few periods.
void update_load_sum_10us(benchmark::State& state) {
  SchedAvg sa;
  u64 now = 1'000'000;
  for (auto _ : state) {
    now += 10'000;
    benchmark::DoNotOptimize(update_load_sum(now, {}, sa, 1024, 1024, true));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(update_load_sum_10us);

}  // namespace

}  // namespace forksim::bench
