#include <algorithm>

#include "tests/unit/sim/workload/support.hpp"

using namespace forksim;
using namespace forksim::test;

namespace {

const std::string kText =
    "parameters: {jobs: 5, pause: 2ms}\ntunables: {sched_latency_ns: 18ms}\nfeatures: {NO_START_DEBIT: true}\ncosts: {tick: 5us, bound: "
    "low}\n"
    "processes:\n  - name: worker\n    phases:\n      - {loop: $jobs, body: [{run: 1ms}, {sleep: $pause}]}\n      - choose: [{weight: 2, "
    "body: []}, {body: [{fork: , child: [yield]}]}]\n"
    "start:\n  - {process: worker, affinity: \"0,2-3\"}\nplots:\n  - {kind: cdf, metric: [wakeup]}\n  - {kind: gantt, to: 5ms}\nmeasure: "
    "[wakeup]\n";

std::string refused(const std::vector<Override>& overrides) {
  Diagnostics d;
  resolve_text("schema: forksim.workload/1\n" + kText, "t.yaml", overrides, {}, d);
  return d.text();
}
Override set(const char* text) { return parse_set(text); }
std::size_t index_of(km::Tunable t) { return static_cast<std::size_t>(t); }

}  // namespace

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("resolve: the run carries kernel, tunables, features, costs, plots and measure") {
  const ResolvedRun r = compiled(kText);
  CHECK(r.workload.name == "t");
  CHECK(r.platform == "bcm2711");
  CHECK(r.kernel.name == "rpi-4.19-arm64");
  CHECK(r.seed == 1);
  CHECK(r.until == km::kNever);
  CHECK(r.kernel.tun(km::Tunable::sched_latency_ns) == 18'000'000);
  CHECK(r.given_tunables[index_of(km::Tunable::sched_latency_ns)]);
  CHECK_FALSE(r.given_tunables[index_of(km::Tunable::sched_min_granularity_ns)]);
  CHECK_FALSE(r.kernel.feat(km::Feature::START_DEBIT));
  REQUIRE(r.costs.size() == 2);
  CHECK(r.costs[0].key == "bound");
  CHECK(r.costs[1].text == "5us");
  REQUIRE(r.plots.size() == 2);
  CHECK(r.plots[0].metrics == std::vector<std::string>{"wakeup"});
  CHECK(*r.plots[1].to == km::Ns(5'000'000));
  CHECK_FALSE(r.plots[1].from);
  CHECK(r.measure == std::vector<std::string>{"wakeup"});
  CHECK(r.workload.starts[0].affinity.low_word() == 0b1101);
  CHECK(r.workload.highest_cpu == 3);
}

TEST_CASE("resolve: built-in < workload file < command line") {
  const ResolvedRun r = compiled(kText, {set("tunables.sched_latency_ns=24ms"),
                                         set("tunables.sched_nr_migrate=8"),
                                         set("features.START_DEBIT=true"),
                                         set("parameters.jobs=9"),
                                         set("kernel=mc-4.19-arm64"),
                                         set("until=3s"),
                                         set("costs.tick=7us"),
                                         {"seed", "42", "--seed 42"},
                                         set("processes.worker.phases[0].body[0].run=4ms")});
  CHECK(r.kernel.name == "mc-4.19-arm64");
  CHECK(r.kernel.tun(km::Tunable::sched_latency_ns) == 24'000'000);
  CHECK(r.kernel.tun(km::Tunable::sched_nr_migrate) == 8);
  CHECK(r.kernel.feat(km::Feature::START_DEBIT));
  CHECK(r.seed == 42);
  CHECK(r.until == km::Ns(3'000'000'000));
  CHECK(r.costs.back().text == "7us");
  Rig rig(kText, {set("parameters.jobs=9"), set("processes.worker.phases[0].body[0].run=4ms")});
  for (int i = 0; i < 9; ++i) {
    CHECK(rig.next().ns == km::Ns(4'000'000));
    CHECK(rig.next().ns == km::Ns(2'000'000));
  }
}

TEST_CASE("resolve: unknown keys on the command line are refused with a hint") {
  CHECK(refused({set("tunables.sched_latency=1ms")}).find("did you mean \"sched_latency_ns\"?") != std::string::npos);
  CHECK(refused({set("sed=3")}).find("did you mean \"seed\"?") != std::string::npos);
  CHECK(refused({set("costs.tikc=3us")}).find("did you mean \"tick\"?") != std::string::npos);
  CHECK(refused({set("features.NO_STRT_DEBIT")}).find("did you mean \"START_DEBIT\"?") != std::string::npos);
  CHECK(refused({set("seed=abc")}).starts_with("command line: seed: \"abc\" is no integer"));
  CHECK(refused({set("processes.worker.phases[0].body[0].run=5")}).find("has no unit") != std::string::npos);
}

TEST_CASE("resolve: the runtime of real-time tasks is at most its period, or -1") {
  const ResolvedRun r = compiled(kText, {set("tunables.sched_rt_runtime_us=-1")});
  CHECK(r.kernel.tun(km::Tunable::sched_rt_runtime_us) == ~u64{0});
  CHECK(resolved_yaml(r, {}).find("\n  sched_rt_runtime_us: -1  #< command line") != std::string::npos);
  CHECK(refused({set("tunables.sched_rt_runtime_us=1000000")}).empty());
  CHECK(refused({set("tunables.sched_rt_runtime_us=1000001")}).find("1000001 us of a period of 1000000 us are refused") !=
        std::string::npos);
  CHECK(refused({set("tunables.sched_rt_period_us=949999")}).find("sched_rt_period_us: 950000 us of a period of 949999 us") !=
        std::string::npos);
  CHECK(refused({set("tunables.sched_rt_runtime_us=-2")}).find("-2 is outside -1..1000000000 us") != std::string::npos);
}

TEST_CASE("resolve: CPUs beyond the platform are refused at their place") {
  const ResolvedRun r = compiled(kText);
  Diagnostics fine, bad;
  check_cpus(r, 4, fine);
  CHECK(fine.ok());
  check_cpus(r, 3, bad);
  CHECK(bad.text() == "t.yaml:12:33: start[0].affinity: CPU 3 is not on platform bcm2711, it has CPUs 0..2\n");
}

TEST_CASE("resolved.yaml: every value says where it came from") {
  const ResolvedRun r = compiled(kText, {set("parameters.jobs=9")});
  const std::string text = resolved_yaml(r, {});
  for (const char* line : {"\nplatform: bcm2711  #< built-in default\n", "\n  jobs: 9  #< command line (--set parameters.jobs=9)\n",
                           "\n  pause: 2ms  #< t.yaml:2\n", "\n  sched_latency_ns: 18000000  #< t.yaml:3\n",
                           "\n  START_DEBIT: false  #< t.yaml:4\n", "\n  tick: 5us  #< t.yaml:5\n", "\n      - loop: $jobs  #< t.yaml:9\n",
                           "\n          - run: 1ms  #< t.yaml:9\n", "\n    affinity: [0, 2, 3]  #< t.yaml:12\n"})
    CHECK_MESSAGE(text.find(line) != std::string::npos, line);
}

TEST_CASE("resolved.yaml: running it again gives the same input and the same bytes") {
  const ResolvedRun r = compiled(kText, {set("parameters.jobs=9"), set("features.WA_BIAS=false")});
  km::KernelProfile kernel = r.kernel;
  km::resolve_tunables(kernel, 4, r.given_tunables);
  CHECK(kernel.tun(km::Tunable::sched_min_granularity_ns) == 2'250'000);  // 0.75 ms x (1 + ilog2 4)
  km::CostTable costs;
  for (std::size_t i = 0; i < km::kPhases; ++i) costs.ns[i] = km::Ns(100 + i);
  const std::string once = resolved_yaml(r, {&kernel, &costs, "x.costs.yaml"});

  Diagnostics d;
  const ResolvedRun again = resolve_text(once, "resolved.yaml", {}, {}, d);
  REQUIRE_MESSAGE(d.ok(), d.text());
  km::KernelProfile second = again.kernel;
  km::resolve_tunables(second, 4, again.given_tunables);
  CHECK(second.tunables == kernel.tunables);
  CHECK(second.features == kernel.features);
  CHECK(again.workload.name == "t");
  CHECK(again.costs.size() == km::kPhases + 1);  // and the bound, which holds for mm_contention, too
  CHECK(again.workload.code.size() == r.workload.code.size());
  CHECK(resolved_yaml(again, {&second, &costs, "x.costs.yaml"}) == once);
  CHECK(canonical_text(once).find('#') == std::string::npos);
}

TEST_CASE("resolved.yaml: what is built into the kernel is pinned, whatever the profile of that name becomes") {
  // The same file under another profile, as if the one it names had changed: HZ 100 instead of 250, VOLUNTARY, no VMAP_STACK.
  const ResolvedRun r = compiled(kText, {set("config.SCHED_MC=true")});
  km::KernelProfile kernel = r.kernel;
  km::resolve_tunables(kernel, 4, r.given_tunables);
  const km::CostTable costs{};
  std::string text = resolved_yaml(r, {&kernel, &costs, "x.costs.yaml"});
  CHECK(text.find("\n  PREEMPT: full  #< kernel profile rpi-4.19-arm64\n") != std::string::npos);
  CHECK(text.find("\n  SCHED_MC: true  #< command line (--set config.SCHED_MC=true)\n") != std::string::npos);
  const std::string named = "\nkernel: \"rpi-4.19-arm64\"";
  REQUIRE(text.find(named) != std::string::npos);
  text.replace(text.find(named), named.size(), "\nkernel: \"rpi-4.19-arm32\"");
  Diagnostics d;
  const ResolvedRun later = resolve_text(text, "resolved.yaml", {}, {}, d);
  REQUIRE_MESSAGE(d.ok(), d.text());
  CHECK(later.kernel.name == "rpi-4.19-arm32");
  CHECK(later.kernel.hz == 250);
  CHECK(later.kernel.preempt == km::PreemptModel::full);
  CHECK(later.kernel.sched_mc);
  CHECK(later.kernel.fair_group_sched);
  CHECK_FALSE(later.kernel.cfs_bandwidth);
  CHECK(later.kernel.autogroup);
  CHECK(later.kernel.vmap_stack);
}

TEST_CASE("resolve: a name that could leave the results folder is refused") {
  Diagnostics d;
  resolve_text("schema: forksim.workload/1\nname: ../../x\n" + kText, "t.yaml", {}, {}, d);
  CHECK(d.text().find("cannot name a result folder") != std::string::npos);
  CHECK(compiled(kText).workload.name == "t");
}

TEST_SUITE_END();
