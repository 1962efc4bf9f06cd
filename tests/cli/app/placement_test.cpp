// Placement rules, plug-ins, decisions and regret as a user meets them.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/cli/app/app.hpp"

namespace forksim::cli {

using nlohmann::json;

namespace {

const std::string kLoaded = kSource + "/workloads/fork_storm_loaded.yaml";

json report_in(const Session& s, const std::string& dir) { return json::parse(read_file(s.path() / dir / "report.json")); }

std::vector<std::vector<std::string>> rows_of(const std::filesystem::path& csv) {
  std::istringstream in(read_file(csv));
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(in, line);) {
    rows.emplace_back();
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) rows.back().push_back(cell);
  }
  return rows;
}

/// `run` on the small storm of 20 children with further arguments, into `out`.
Result storm(const Session& s, const std::string& arguments, const std::string& out = "out") {
  return s("run " + kLoaded + " --set parameters.children=20 --until 300ms --quiet --out " + out + " " + arguments);
}

constexpr const char* kPluginHead =
    "#include \"sim/placement/plugin.hpp\"\n#include <stdexcept>\nnamespace plugin = forksim_plugin;\n"
    "struct forksim_plugin::Rule {};\n"
    "plugin::Rule* forksim_rule_create(std::uint32_t v, std::uint32_t, std::uint64_t) { return v == VERSION ? new plugin::Rule : nullptr; "
    "}\n"
    "void forksim_rule_destroy(plugin::Rule* r) { delete r; }\n"
    "std::int32_t forksim_rule_select(plugin::Rule*, const plugin::Decision* d) { ";

/// Compiles a plug-in in the session's folder, outside the source tree.
void build_plugin(const Session& s, const std::string& name, const std::string& select,
                  const std::string& version = "plugin::kAbiVersion") {
  s.file(name + ".cpp", kPluginHead + select + " }\n");
  const Result r =
      run("g++ -std=c++20 -shared -fPIC -DVERSION=" + version + " -I '" + kSource + "' " + name + ".cpp -o " + name + ".so", s.path());
  REQUIRE_MESSAGE(r.code == 0, r.err);
}

/// Every phase of the cost table at 0, so that only work, ticks and the 1200 ns of an interrupt between CPUs (bcm2711.xml) take time.
std::string free_of_charge(const Session& s) {
  std::string costs = "costs:\n";
  for (const json& phase : json::parse(s("list phases --json").out)) costs += "  " + phase["name"].get<std::string>() + ": 0\n";
  return costs;
}

/// Runs w.yaml; which rule placed each fork.
std::vector<std::string> rules_of_run(const Session& s) {
  REQUIRE(s("run w.yaml --quiet --out out").code == 0);
  const auto rows = rows_of(s.path() / "out/forks.csv");
  const auto rule = static_cast<std::size_t>(std::ranges::find(rows[0], "rule") - rows[0].begin());
  std::vector<std::string> rules;
  for (std::size_t i = 1; i < rows.size(); ++i) rules.push_back(rows[i][rule]);
  return rules;
}

}  // namespace

TEST_SUITE_BEGIN("cli/placement");

TEST_CASE("every rule of the list runs, and decides every fork by itself") {
  const Session s;
  for (const json& rule : json::parse(s("list placements --json").out)) {
    const std::string name = rule["name"];
    CAPTURE(name);
    REQUIRE(storm(s, "--set placement.fork=" + name).code == 0);
    const json r = report_in(s, "out");
    CHECK(r["invariants"]["violated"] == 0);
    CHECK(r["diagnostics"].empty());
    const auto rows = rows_of(s.path() / "out/forks.csv");
    REQUIRE(rows.size() == 24);
    const auto column = static_cast<std::size_t>(std::ranges::find(rows[0], "rule") - rows[0].begin());
    for (std::size_t i = 1; i < rows.size(); ++i) CHECK((rows[i][column] == name || name == "oracle"));
  }
}

TEST_CASE("the three spellings of a rule are one run, and resolved.yaml repeats it") {
  const Session s;
  REQUIRE(storm(s, "--set placement.fork=pack", "a").code == 0);
  REQUIRE(storm(s, "--placement pack", "b").code == 0);
  REQUIRE(storm(s, "--set placement=pack", "c").code == 0);
  REQUIRE(s("run a/resolved.yaml --quiet --out d").code == 0);
  for (const char* other : {"b", "c", "d"}) {
    CAPTURE(other);
    CHECK(read_file(s.path() / "a/report.json") == read_file(s.path() / other / "report.json"));
    CHECK(read_file(s.path() / "a/forks.csv") == read_file(s.path() / other / "forks.csv"));
  }
}

TEST_CASE("a program and a start have rules of their own") {
  const Session s;
  s.file("w.yaml",
         "schema: forksim.workload/1\nplacement: round_robin\nprocesses:\n"
         "  - {name: a, phases: [{fork: kid}, {fork: plain}, {wait: all}]}\n"
         "  - {name: kid, placement: {fork: parent_cpu}, phases: [{run: 1ms}]}\n"
         "  - {name: plain, phases: [{run: 1ms}]}\n"
         "start:\n  - {process: a, placement: lowest_idle}\n");
  // a itself, kid, and plain, which inherits from a
  CHECK(rules_of_run(s) == std::vector<std::string>{"lowest_idle", "parent_cpu", "lowest_idle"});
}

TEST_CASE("a group has rules of its own, which its tasks follow as long as they are in it and have none themselves") {
  const Session s;
  s.file("w.yaml",
         "schema: forksim.workload/1\nplacement: round_robin\n"
         "cgroups:\n  - {name: batch, placement: parent_cpu}\n  - {name: night, parent: batch}\n  - {name: day, parent: batch, placement: "
         "{fork: lowest_idle}}\n"
         "processes:\n"
         "  - {name: a, phases: [{fork: kid}, {cgroup: batch}, {fork: kid}, {cgroup: night}, {fork: kid}, {fork: own}, {cgroup: day}, "
         "{fork: kid}, {cgroup: root}, {fork: kid}, {wait: all}]}\n"
         "  - {name: kid, phases: [{run: 1ms}]}\n"
         "  - {name: own, placement: pack, phases: [{run: 1ms}]}\n"
         "start:\n  - {process: a}\n");
  CHECK(rules_of_run(s) == std::vector<std::string>{"round_robin", "round_robin", "parent_cpu", "parent_cpu", "pack", "lowest_idle", "round_robin"});
  CHECK(contains(s("run w.yaml --set cgroups.batch.placement=nonsense").err, "\"nonsense\" is not known here"));
}

TEST_CASE("unknown rules and files that are no plug-in are refused with a hint, and nothing is written") {
  const Session s;
  s.file("empty.so", "");
  const std::pair<std::string, std::string> kRefused[] = {{"--placement idlest_lode", "did you mean \"idlest_load\"?"},
                                                          {"--set placement.wake=oracle", "or the file of a plug-in (.so)"},
                                                          {"--set placement.forks=kernel", "did you mean \"fork\"?"},
                                                          {"--placement ./missing.so", "no placement plug-in"},
                                                          {"--placement empty.so", "no placement plug-in"},
                                                          {"--regret=0", "outside 1.."},
                                                          {"--regret=x", "regret.forks"},
                                                          {"--set regret.horizon=5", "unit"},
                                                          {"--set config.HZ=99", "allowed are 100, 250, 300, 1000"},
                                                          {"--set config.PREEMPT=rt", "allowed are full, voluntary, none"},
                                                          {"--set sched_domain.imbalance_pct=99", "100..1000"},
                                                          {"--set sched_domain.busy_idx=5", "0..4"},
                                                          {"--set sched_domain.flags=0", "sched_domain"},
                                                          {"--set tunables.sched_tunable_scaling=3", "0..2"},
                                                          {"--set tunables.sched_schedstats=2", "0..1"},
                                                          {"--set tunables.timer_migration=2", "0..1"},
                                                          {"--set tunables.numa_balancing=1", "numa_balancing does not exist in these kernels"},
                                                          {"--set tunables.numa_balancing=0", "without CONFIG_NUMA_BALANCING"},
                                                          {"--set tunables.nr_cached_stacks=17", "0..16"}};
  for (const auto& [arguments, reason] : kRefused) {
    const Result r = storm(s, arguments);
    CAPTURE(arguments);
    CAPTURE(r.err);
    CHECK(r.code == 2);
    CHECK(contains(r.err, reason));
  }
  CHECK(s.files() == std::vector<std::string>{"empty.so"});
}

TEST_CASE("the example plug-in builds by its documented line outside the tree, and runs") {
  const Session s;
  const std::string source = read_file(kSource + "/sim/placement/example/shortest_queue.cpp");
  std::string line = source.substr(source.find("g++ "));
  line = line.substr(0, line.find('\n'));
  for (std::size_t at; (at = line.find("FORKSIM")) != std::string::npos;) line.replace(at, 7, kSource);
  const Result built = run(line, s.path());
  REQUIRE_MESSAGE(built.code == 0, built.err);
  REQUIRE(storm(s, "--placement ./my_rule.so").code == 0);
  const json r = report_in(s, "out");
  CHECK(r["diagnostics"].empty());
  CHECK(contains(read_file(s.path() / "out/forks.csv"), "./my_rule.so,by_rule,"));
  CHECK(contains(read_file(s.path() / "out/manifest.json"), "my_rule.so"));
}

TEST_CASE("an illegal CPU of a plug-in is counted, traced and replaced, and the run goes on") {
  const Session s;
  build_plugin(s, "far", "return d->kind == plugin::kFork ? 77 : plugin::kAsKernel;");
  REQUIRE(storm(s, "--placement ./far.so --trace ftrace").code == 0);
  const json r = report_in(s, "out");
  CHECK(r["diagnostics"]["placement_illegal"] == 23);
  CHECK(r["invariants"]["violated"] == 0);
  CHECK(contains(read_file(s.path() / "out/trace.ftrace"), "kind=0 pid=11 this_cpu=0 answer=77 cpu=0"));
  CHECK(contains(s("explain out --fork 3").out, "named a CPU that is out of range"));
}

TEST_CASE("a plug-in of another version is refused, and one that throws ends the run with its name") {
  const Session s;
  build_plugin(s, "old", "return static_cast<std::int32_t>(d->this_cpu);", "99");
  const Result old = storm(s, "--placement ./old.so");
  CHECK(old.code == 2);
  CHECK(contains(old.err, "refuses version 1 of the interface"));
  build_plugin(s, "throws", "if (d->pid > 15) throw std::runtime_error(\"no idea\"); return plugin::kAsKernel;");
  const Result thrown = storm(s, "--placement ./throws.so");
  CHECK(thrown.code == 4);
  CHECK(contains(thrown.err, "plug-in ./throws.so: forksim_rule_select threw: no idea"));
}

TEST_CASE("explain --fork tells the numbers and the comparison behind a decision") {
  const Session s;
  REQUIRE(storm(s, "").code == 0);
  const Result r = s("explain out --fork 3");
  CHECK(r.code == 0);
  CHECK(contains(r.out, "Fork 3 at 0.0600"));
  CHECK(contains(r.out, "imbalance_pct 125, so imbalance = 1024 * 25 / 100 = 256 and imbalance_scale = 100 + 25 / 2 = 112"));
  CHECK(contains(r.out, "The ring of groups begins with the parent's"));
  CHECK(is_json(s("explain out --fork 3 --json").out));
  REQUIRE(storm(s, "--kernel mc-4.19-arm64", "mc").code == 0);
  CHECK(contains(s("explain mc --fork 3").out,
                 "imbalance_pct 117, so imbalance = 1024 * 17 / 100 = 174 and imbalance_scale = 100 + 17 / 2 = 108"));
  CHECK(contains(s("explain out --fork 23").err, "allowed: 0 to 22"));
  CHECK(contains(s("explain out --fork 1 --pid 11").err, "give one of them"));
}

TEST_CASE("on 128 CPUs idle masks and spans are whole, and who idles is told by number") {
  const Session s;
  REQUIRE(s("run " + kSource + "/workloads/fork_storm.yaml --platform server128 --kernel mc-4.19-arm64 --quiet --out out").code == 0);
  const auto rows = rows_of(s.path() / "out/forks.csv");
  const auto column = [&](const char* name) { return static_cast<std::size_t>(std::ranges::find(rows[0], name) - rows[0].begin()); };
  // The first process finds everybody idle; it runs on CPU 35 when it forks the second.
  CHECK(rows[1][column("idle_mask")] == "0x" + std::string(32, 'f'));
  CHECK(rows[2][column("this_cpu")] == "35");
  CHECK(rows[2][column("idle_mask")] == "0x" + std::string(23, 'f') + "7" + std::string(8, 'f'));
  bool above = false;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const std::string& mask = rows[i][column("idle_mask")];
    const auto cpu = static_cast<std::size_t>(std::stoul(rows[i][column("cpu")]));
    const std::size_t digit = mask.size() - 1 - cpu / 4;
    const bool idle = cpu / 4 < mask.size() - 2 && ((mask[digit] <= '9' ? mask[digit] - '0' : mask[digit] - 'a' + 10) >> (cpu % 4)) & 1;
    if (rows[i][column("placement")] != "same_cpu") CHECK_MESSAGE(idle == (rows[i][column("placement")] == "idle_cpu"), i);
    above |= idle && cpu >= 64;
  }
  CHECK(above);
  CHECK(contains(rows[2][column("trail")], "DIE/125[0xffffffff00000000:"));
  CHECK(contains(rows[2][column("trail")], " MC/117[0x30000000000000000:0/0:local;0xc0000000000000000:"));  // CPUs 64 and 65, 66 and 67
  CHECK(contains(s("explain out --fork 0").out, "(idle: CPUs 0-127)"));
  CHECK(contains(s("explain out --fork 1").out, "(idle: CPUs 0-34,36-127)"));
  CHECK(contains(s("explain out --fork 1").out, "CPUs 96-127"));
}

TEST_CASE("a report names what differs from the plain kernel, so that it can be repeated, and a plain run names nothing") {
  const Session s;
  REQUIRE(storm(s, "", "plain").code == 0);
  CHECK_FALSE(report_in(s, "plain").contains("settings"));
  CHECK_FALSE(contains(read_file(s.path() / "plain/report.txt"), "\nset: "));
  REQUIRE(storm(s,
                "--placement pack --set placement.wake=cache_warm --set config.HZ=1000 --set features.NO_START_DEBIT --set "
                "tunables.sched_latency_ns=6ms "
                "--set costs.tick=2us --set model.locks=off --set governor=powersave --set sched_domain.imbalance_pct=110 --set "
                "fail.copy_mm=nth:3",
                "all")
              .code == 0);
  const std::string line =
      "set: config.HZ=1000, sched_domain.imbalance_pct=110, features.NO_START_DEBIT, tunables.sched_latency_ns=6000000, "
      "governor=powersave, "
      "placement.fork=pack, placement.wake=cache_warm, costs.tick=2000ns, model.locks=off, fail.copy_mm=nth:3\n";
  const std::string text = read_file(s.path() / "all/report.txt");
  CHECK_MESSAGE(contains(text, line), text.substr(0, text.find("forks,")));
  // what is in force counts, not who said it
  REQUIRE(s("run all/resolved.yaml --quiet --out again").code == 0);
  CHECK(read_file(s.path() / "again/report.json") == read_file(s.path() / "all/report.json"));
  CHECK(s("report all").out == text);
  REQUIRE(storm(s, "--set costs.bound=high", "high").code == 0);
  CHECK(contains(read_file(s.path() / "high/report.txt"), "\nset: costs of "));
  // the default said aloud is still the default
  REQUIRE(storm(s, "--placement kernel --set config.HZ=250 --set tunables.sched_latency_ns=18ms --set features.START_DEBIT", "said").code ==
          0);
  CHECK(read_file(s.path() / "said/report.json") == read_file(s.path() / "plain/report.json"));
}

TEST_CASE("a task that waits beside an idle CPU for longer than allowed is a violation: time, CPU, the events before it, exit code 1") {
  // Four tasks wait on CPU 0 when their masks are widened; the other CPUs idle until a tick of CPU 0 asks one of them to balance.
  const Session s;
  s.file("widened.yaml",
         "schema: forksim.workload/1\nprocesses:\n"
         "  - {name: parent, affinity: 0, phases: [{fork: kid, count: 4, as: kids}, {affinity: 0-3, of: kids}, {wait: all}]}\n"
         "  - {name: kid, phases: [{run: 20ms}]}\n"
         "start: [{process: parent}]\n");
  const std::string run = "run widened.yaml --set audit.balance_bound=";
  const Result tight = s(run + "1us --out tight");
  CHECK(tight.code == 1);
  CHECK(contains(tight.out, "audit.balance_bound=1000ns"));
  CHECK_FALSE(contains(tight.out, " checked, 0 violated"));
  CHECK(contains(tight.out, "\nviolated: "));
  const std::size_t at = tight.err.find("invariant violated: ");
  REQUIRE(at != std::string::npos);
  const std::string told = tight.err.substr(at, tight.err.find("invariant violated: ", at + 1) - at);
  CAPTURE(told);
  // invariant violated: 299749 ns, CPU 0: CPU 1 idles while pid 14, which it may run, has waited on CPU 0 for more than 1000 ns
  std::istringstream words(told);
  std::string word;
  long long ns = 0, idler = -1, holder = -1;
  words >> word >> word >> ns >> word >> word >> word >> word >> idler;
  // the parent has widened the masks and goes to sleep: its children, in one task group, wait beside one of them that runs
  CHECK(ns > 0);
  CHECK(ns < 1'000'000);
  CHECK(contains(told, " ns, CPU "));
  CHECK(contains(told, ": CPU " + std::to_string(idler) + " idles while pid "));
  words.str(told.substr(told.find("has waited on CPU ") + 18));
  words.clear();
  words >> holder;
  CHECK(idler != holder);
  CHECK(contains(told, " for more than 1000 ns\n"));
  // the window: eight events in the format of the trace, the last one at the date of the violation
  std::istringstream lines(told.substr(told.find('\n') + 1));
  int events = 0;
  for (std::string line; std::getline(lines, line);)
    events += line.find(": ") != std::string::npos && line.find(" [00") != std::string::npos;
  CHECK(events == 8);
  char date[32];
  std::snprintf(date, sizeof date, "%lld.%09lld", ns / 1'000'000'000, ns % 1'000'000'000);
  CHECK(contains(told.substr(told.rfind(" [00")), date));
  CHECK(report_in(s, "tight")["invariants"]["violated"].get<int>() > 0);
  CHECK(report_in(s, "tight")["violations"].size() > 0);
  // the bound changes what is said about the run, not the run
  const Result plain = s(run + "2148ms --out plain");
  CHECK(plain.code == 0);
  CHECK(plain.err.find("violated") == std::string::npos);
  CHECK(read_file(s.path() / "plain/forks.csv") == read_file(s.path() / "tight/forks.csv"));
  CHECK(contains(s(run + "0").err, "audit.balance_bound"));
}

TEST_CASE("regret leaves the run as it is, byte for byte, whatever the number of jobs") {
  const Session s;
  REQUIRE(storm(s, "", "plain").code == 0);
  REQUIRE(storm(s, "--regret --jobs 1", "one").code == 0);
  REQUIRE(storm(s, "--regret --jobs 3", "three").code == 0);
  for (const char* name : {"forks.csv", "tasks.csv", "latency.csv", "cpus.csv", "schedule.csv", "life.csv", "histograms.json"})
    CHECK(read_file(s.path() / "plain" / name) == read_file(s.path() / "one" / name));
  for (const char* name : {"regret.csv", "report.json", "report.txt"})
    CHECK(read_file(s.path() / "one" / name) == read_file(s.path() / "three" / name));
  json with = report_in(s, "one"), without = report_in(s, "plain");
  CHECK(with["regret"]["forks"] == 23);
  CHECK(with["regret"]["branches"] == 23 * 3);
  CHECK(with["regret"]["failed"] == 0);
  with.erase("regret");
  CHECK(with == without);
  // what a branch was told to be like is what the run was like: the wait of the chosen CPU is that of forks.csv
  const auto forks = rows_of(s.path() / "one/forks.csv"), regret = rows_of(s.path() / "one/regret.csv");
  REQUIRE(regret.size() == 1 + 23 * 4);
  for (std::size_t i = 1; i < regret.size(); ++i)
    if (regret[i][4] == "1") CHECK(regret[i][7] == forks[1 + std::stoul(regret[i][0])][10]);
}

TEST_CASE("a sample of forks is drawn once for a seed and has its size") {
  const Session s;
  REQUIRE(storm(s, "--regret=5", "a").code == 0);
  REQUIRE(storm(s, "--regret=5", "b").code == 0);
  REQUIRE(storm(s, "--regret", "all").code == 0);
  CHECK(read_file(s.path() / "a/regret.csv") == read_file(s.path() / "b/regret.csv"));
  CHECK(report_in(s, "a")["regret"]["forks"] == 5);
  const std::string all = read_file(s.path() / "all/regret.csv");
  std::istringstream sample(read_file(s.path() / "a/regret.csv"));
  for (std::string line; std::getline(sample, line);) CHECK(contains(all, line + "\n"));
}

namespace {

/// Three bound hogs end 1.0, 2.5 and 2.0 ms after the fork on CPUs 1, 2 and 3; the parent on CPU 0 blocks after 1.5 ms. Nobody can pull the
/// child (sched_nr_migrate 1 looks at the bound hog only), nobody is preempted before the tick at 12 ms. The kernel weighs loads: the hog
/// of nice 19 on CPU 2 carries 15 of 1024, so it takes the CPU with the longest wait.
std::string known_case(const Session& s) {
  return "schema: forksim.workload/1\nkernel: mc-4.19-arm64\ntunables: {sched_nr_migrate: 1}\nfeatures: {WAKEUP_PREEMPTION: false}\n" +
         free_of_charge(s) +
         "processes:\n"
         "  - {name: parent, affinity: 0, phases: [{fork: child}, {run: 1500us}, {wait: all}]}\n"
         "  - {name: child, affinity: 0-3, phases: [{run: 100us}]}\n"
         "  - {name: hog, args: [us], phases: [{run: \"${us * 1us}\"}]}\n"
         "start:\n"
         "  - {process: hog, affinity: 1, with: {us: 10000}}\n"
         "  - {process: hog, affinity: 2, nice: 19, with: {us: 11500}}\n"
         "  - {process: hog, affinity: 3, with: {us: 11000}}\n"
         "  - {process: parent, at: 9ms}\n";
}

}  // namespace

TEST_CASE("where the best CPU is known, regret names it and gives the right wait of all four") {
  const Session s;
  s.file("known.yaml", known_case(s));
  REQUIRE(s("run known.yaml --regret --quiet --out out").code == 0);
  const auto rows = rows_of(s.path() / "out/regret.csv");
  REQUIRE(rows.size() == 5);
  const std::array<std::string, 4> wait = {"1500000", "1001200", "2501200", "2001200"};
  for (std::size_t c = 0; c < 4; ++c) {
    CAPTURE(c);
    CHECK(rows[c + 1][3] == std::to_string(c));
    CHECK(rows[c + 1][4] == (c == 2 ? "1" : "0"));
    CHECK(rows[c + 1][5] == (c == 1 ? "1" : "0"));
    CHECK(rows[c + 1][6] == std::to_string(c));
    CHECK(rows[c + 1][7] == wait[c]);
  }
  const json sum = report_in(s, "out")["regret"];
  CHECK(sum["best"] == 0);
  CHECK(sum["max_ns"] == 1500000);
  CHECK(sum["worst"][0]["best_cpu"] == 1);
  REQUIRE(s("run known.yaml --placement oracle --quiet --out oracle").code == 0);
  CHECK(contains(read_file(s.path() / "oracle/forks.csv"), ",oracle,by_rule,"));
  const auto forks = rows_of(s.path() / "oracle/forks.csv");
  CHECK(forks.back()[5] == "1");
  CHECK(forks.back()[10] == "1001200");
}

TEST_CASE("HZ, preemption, imbalance_pct, latency, migration cost, child_runs_first and the stack cache are switches that matter") {
  const Session s;
  const std::string loop = kSource + "/workloads/stack_cache.yaml";
  REQUIRE(storm(s, "", "base").code == 0);
  const json base = report_in(s, "base");
  const auto differs = [&](const std::string& set) {
    REQUIRE(storm(s, set, "other").code == 0);
    return report_in(s, "other") != base;
  };
  CHECK(differs("--set config.HZ=1000"));
  const json fast = report_in(s, "other");
  CHECK(fast["totals"]["ticks"].get<int>() > 3 * base["totals"]["ticks"].get<int>());
  CHECK(differs("--set config.HZ=100"));
  CHECK(differs("--set config.SCHED_MC=true"));
  CHECK(differs("--set config.SCHED_AUTOGROUP=false"));
  CHECK(differs("--set sched_domain.imbalance_pct=400"));
  CHECK(differs("--set sched_domain.min_interval=1 --set sched_domain.busy_factor=1"));
  CHECK(differs("--set sched_domain.forkexec_idx=3"));
  CHECK(differs("--set tunables.sched_tunable_scaling=0"));
  CHECK(differs("--set tunables.sched_autogroup_enabled=0"));
  CHECK(differs("--set tunables.sched_latency_ns=2ms"));
  CHECK(differs("--set tunables.sched_migration_cost_ns=0"));
  CHECK(differs("--set tunables.sched_child_runs_first=1"));
  CHECK(differs("--set features.NO_START_DEBIT"));
  // boot leaves the cache full (0, 2 or 8 stacks a CPU), and a fork takes from it what its CPU has got back
  int hits = -1;
  for (const char* size : {"0", "2", "8"}) {
    REQUIRE(s("run " + loop + " --quiet --out cache --set tunables.nr_cached_stacks=" + size).code == 0);
    const int now = report_in(s, "cache")["totals"]["stack_cache_hits"];
    CAPTURE(size);
    CHECK(now > hits);
    hits = now;
  }
  REQUIRE(s("run " + loop + " --quiet --out cache --set tunables.nr_cached_stacks=0").code == 0);
  CHECK(report_in(s, "cache")["totals"]["stack_cache_hits"] == 0);
}

TEST_SUITE_END();

}  // namespace forksim::cli
