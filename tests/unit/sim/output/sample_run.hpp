// A small hand-made run with every section of a report filled.
//
// Purpose: goldens and result-folder tests share it. Two CPUs, one fork, 10 ms. Units: ns. Ownership: a value. Errors: none.
#pragma once

#include "sim/output/report.hpp"
#include "tests/unit/sim/metrics/fake_stream.hpp"

namespace forksim::test {

struct SampleRun {
  FakeStream s;
  RunMetrics metrics{2};
  RunSummary run;

  SampleRun() {
    metrics.subscribe(s.trace);
    play();
    describe();
    metrics.finish(run.final);
  }
  Report report() const { return build_report(run, metrics, s.trace.names()); }

 private:
  void play() {
    using km::Tp;
    s.sw(0, 0, 0, 'R', 10);
    s.emit(0, 0, 10, Tp::cpu_power, {0, 0, 1});
    s.mark(1'000'000, 0, 10, Tp::fork_call, 10);
    s.newtask(1'050'000, 0, 10, 11);
    s.emit(1'050'000, 0, 10, Tp::sched_process_fork, {s.comm(10), 10, s.comm(11), 11});
    s.place(1'055'000, 0, 10, 0, 11, 0, 1, 0b10);
    s.wake(1'060'000, 0, 10, Tp::sched_wakeup_new, 11, 1);
    s.mark(1'080'000, 0, 10, Tp::fork_return, 10, 11);
    s.emit(1'064'000, 1, 0, Tp::cpu_power, {1, 0, 1});
    s.sw(1'066'500, 1, 0, 'R', 11);
    s.mark(1'066'500, 1, 11, Tp::sched_info_arrive, 11, 6'500);
    s.mark(1'090'250, 1, 11, Tp::user_first, 11, 0);
    s.sw(2'000'000, 0, 10, 'S', 0);
    s.emit(2'000'000, 0, 0, Tp::cpu_power, {0, 0, 0});
    s.mark(6'000'000, 1, 11, Tp::do_exit, 11, 0);
    s.mark(6'040'000, 1, 11, Tp::exit_notify, 11, 10, 0);
    s.acct(6'050'000, 1, 11, 4'900'000, 83'500, 6'500, 1, 0);
    s.emit(6'055'000, 1, 11, Tp::sched_stat_runtime, {s.comm(11), 11, 4'988'500, 0});
    s.wake(6'051'000, 1, 11, Tp::sched_waking, 10, 0);
    s.wake(6'055'000, 0, 0, Tp::sched_wakeup, 10, 0);
    s.sw(6'055'000, 1, 11, 'Z', 0);
    s.emit(6'055'000, 1, 0, Tp::cpu_power, {1, 0, 0});
    s.mark(6'058'000, 1, 0, Tp::stack_free, 11, 1);
    s.emit(6'056'000, 0, 0, Tp::cpu_power, {0, 0, 1});
    s.sw(6'059'000, 0, 0, 'R', 10);
    s.mark(6'059'000, 0, 10, Tp::sched_info_arrive, 10, 4'000);
    s.mark(6'070'000, 0, 10, Tp::release_task, 11);
    s.emit(7'000'000, 0, 10, Tp::sched_stat_runtime, {s.comm(10), 10, 2'941'000, 0});
    s.mark(9'000'000, 0, 10, Tp::task_struct_free, 11);
    s.acct(10'000'000, 0, 10, 5'000'000, 900'000, 4'000, 1, 0);
  }
  void describe() {
    run.workload = "sample";
    run.platform = "bcm2711";
    run.kernel = "rpi-4.19-arm64";
    run.seed = 1;
    FinalNumbers& f = run.final;
    f.now = km::Ns(10'000'000);
    f.totals.forks = f.totals.exits = f.totals.reaped = 1;
    f.totals.context_switches = 5;
    f.totals.voluntary_switches = 2;
    f.totals.wakeups = 1;
    f.totals.ipis = 2;
    f.totals.stacks_allocated = f.totals.task_structs_allocated = 1;
    f.totals.stack_cache_hits = f.totals.stacks_freed = f.totals.task_structs_freed = 1;
    f.cpus.resize(2);
    f.cpus[0].times = {km::Ns(5'000'000), km::Ns(900'000), km::Ns(100'000), km::Ns(4'000'000), 3, 0};
    f.cpus[1].times = {km::Ns(4'900'000), km::Ns(83'500), km::Ns(5'000), km::Ns(5'011'500), 2, 1};
    f.cpus[0].online = f.cpus[1].online = f.now;
    // WFI 0.25 W, busy 1 W: CPU 0 is busy 2 ms + 3.944 ms, CPU 1 4.991 ms.
    f.watts = {{0.25, 1.0}};
    f.cpus[0].energy_j = 5.944e-3 + 0.25 * 4.056e-3;
    f.cpus[1].energy_j = 4.991e-3 + 0.25 * 5.009e-3;
    run.energy_j = f.cpus[0].energy_j + f.cpus[1].energy_j;
    run.diagnostics = {{"clipped_draws", 3}};
  }
};

}  // namespace forksim::test
