// forksim sweep as a user calls it: tables, failing cells, interruption at any moment, shards, ranks.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/cli/study/study.hpp"

using namespace forksim::cli;

namespace {

Result shell(const Session& s, const std::string& command) { return run(command, s.path()); }

const std::string kMpirun = "mpirun --allow-run-as-root --oversubscribe --enable-recovery -n 3 ";

/// A study that takes long enough to be interrupted.
void write_long_study(const Session& s) {
  s.file("tiny.yaml", kTiny);
  s.file("long.yaml", study_text(kGrid + "set: [parameters.children=400]\n", 24));
}

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("a sweep writes the same tables whatever the number of jobs, and a table of cells") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text(kGrid));
    const Result one = forksim("sweep study.yaml --jobs 1 --out one"), three = forksim("sweep study.yaml --jobs 3 --out three");
    REQUIRE_MESSAGE(one.code == 0, one.err);
    REQUIRE(three.code == 0);
    CHECK(one.err.empty());
    CHECK(contains(one.out, "3 cells, 12 runs: 12 finished, 0 failed, 0 missing"));
    CHECK(tables(forksim, "one") == tables(forksim, "three"));
    const std::string csv = read_file(forksim.path() / "one/results.csv");
    CHECK(csv.starts_with("cell,workload,stacks,seed,metric,statistic,value\n0000,tiny,0,1,fork_call,count,30\n"));
    CHECK(contains(csv, "\n0002,tiny,8,4,totals,forks,"));
    CHECK(contains(read_file(forksim.path() / "one/cells.csv"), "0001,tiny,2,4,0,0,0,\n"));
    // what a cell stands for can be run by hand: a run of its resolved.yaml gives the numbers of its first seed
    REQUIRE(forksim("run one/resolved/0001.yaml --out again --quiet").code == 0);
    CHECK(contains(csv, "0001,tiny,2,1,run,simulated_ns," + read_file(forksim.path() / "again/report.json").substr(read_file(forksim.path() / "again/report.json").find("simulated_ns") + 15, 8)));
  }

  TEST_CASE("a cell that cannot run is reported and does not stop the others") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text("grid:\n  - {name: rule, key: placement.fork, values: [kernel, nonsense]}\n"));
    const Result r = forksim("sweep study.yaml --out out");
    CHECK(r.code == 4);
    CHECK(contains(r.out, "2 cells, 8 runs: 4 finished, 4 failed, 0 missing"));
    const std::string cells = read_file(forksim.path() / "out/cells.csv");
    CHECK(contains(cells, "0000,tiny,kernel,4,0,0,0,\n"));
    CHECK(contains(cells, "0001,tiny,nonsense,0,4,0,0,"));
    CHECK(contains(cells, "\"\"nonsense\"\" is not known here"));
    CHECK(contains(forksim("validate study.yaml").err, "nonsense"));
    // the report is about what finished, and says what did not
    for (const std::string base : {"kernel", "nonsense"}) {
      forksim.file("study.yaml", study_text("grid:\n  - {name: rule, key: placement.fork, values: [kernel, nonsense, pack]}\n"
                                            "report: {factor: rule, base: " +
                                            base + ", measures: [fork_to_run.p99]}\n"));
      const Result again = forksim("sweep study.yaml --out out");
      CHECK(again.code == 4);
      CHECK(again.err == "4 runs failed, see out/cells.csv\n");
      const std::string report = read_file(forksim.path() / "out/report.md");
      CHECK(contains(report, "\nNo run with rule = nonsense finished"));
      CHECK(contains(report, "nothing to compare with") == (base == "nonsense"));
      CHECK(contains(report, "| pack | ") == (base == "kernel"));
      CHECK(is_json(read_file(forksim.path() / "out/manifest.json")));
    }
  }

  TEST_CASE("a bad study is refused with places and hints, all at once") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    const auto refusal = [&](const std::string& text) {
      forksim.file("bad.yaml", text);
      const Result r = forksim("sweep bad.yaml");
      CHECK(r.code == 2);
      CHECK(r.out.empty());
      CHECK(forksim("validate bad.yaml").err == r.err);
      return r.err;
    };
    const std::string err = refusal(study_text("grdi: []\nset: [nonsense]\n"));
    CHECK(contains(err, "bad.yaml:4:1: grdi: unknown key"));
    CHECK(contains(err, "did you mean \"grid\"?"));
    CHECK(contains(refusal("schema: forksim.study/1\nworkloads: [none.yaml]\n"), "bad.yaml:2:13: workloads[0]: there is no file none.yaml"));
    CHECK(contains(refusal(study_text("set: [nonsense]\n")), "is no KEY=VALUE"));
    CHECK(contains(refusal(study_text("set: [seed=4]\n")), "seeds are the study's own"));
    CHECK(contains(refusal(study_text("grid:\n  - {name: a, key: until, values: [1ms, 1ms]}\n")), "\"1ms\" is there twice"));
    CHECK(contains(refusal(study_text("grid:\n  - {name: a, values: [1ms]}\n")), "a factor is a key with values, or cases"));
    CHECK(contains(refusal(study_text("random:\n  samples: 3\n  over: [{name: a, key: until, min: 2ms, max: 1ms}]\n")), "min and max are no range"));
    CHECK(contains(refusal(study_text(kGrid + "report: {factor: stakcs, base: \"2\", measures: [fork_call.p99]}\n")), "did you mean \"stacks\"?"));
    CHECK(contains(refusal(study_text(kGrid + "report: {factor: stacks, base: \"3\", measures: [fork_call.p98]}\n")), "there is no measure \"fork_call.p98\""));
  }

  TEST_CASE("a plug-in, built by its documented line elsewhere, is one more row of a study's tables and plots") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text("grid:\n  - {name: rule, key: placement.fork, values: [kernel, parent_cpu, least_queued]}\n"
                                          "report: {factor: rule, base: kernel, measures: [fork_to_run.p99, energy_per_fork_j]}\n",
                                          6));
    const std::string source = read_file(kSource + "/sim/placement/example/shortest_queue.cpp");
    std::string line = source.substr(source.find("g++ "));
    line = line.substr(0, line.find('\n'));
    for (std::size_t at; (at = line.find("FORKSIM")) != std::string::npos;) line.replace(at, 7, kSource);
    const Result built = shell(forksim, line);
    REQUIRE_MESSAGE(built.code == 0, built.err);
    const auto part = [&](const char* name) { return read_file(forksim.path() / "out" / name); };
    for (const char* factor : {"rule", "placement.fork"}) {
      const Result r = forksim(std::string("sweep study.yaml --out out --add ") + factor + "=./my_rule.so");
      REQUIRE_MESSAGE(r.code == 0, r.err);
      CHECK(contains(r.out, "4 cells, 24 runs: 24 finished"));
    }
    CHECK(contains(part("results.csv"), "\n0003,tiny,my_rule,6,run,energy_per_fork_j,"));
    CHECK(contains(part("summary.csv"), "\nmy_rule,workload=tiny,fork_to_run.p99,ns,6,"));
    CHECK(contains(part("summary.csv"), "\nmy_rule,workload=tiny,energy_per_fork_j,J,6,"));
    const std::string report = part("report.md");
    CHECK(contains(report, "Added to the study on the command line: rule = my_rule (my_rule.so)."));
    CHECK(contains(report, "4 cells, seeds 1 to 6 in each, the same in all (common random numbers): 24 runs. forksim "));
    CHECK(contains(report, "; platform bcm2711, kernel rpi-4.19-arm64."));
    CHECK(contains(report, "\n| least_queued | "));
    CHECK(contains(report, "\n| my_rule | "));
    CHECK_FALSE(contains(report, "./"));
    // three rows beside the base, from top to bottom in the order of the study
    CHECK(contains(part("plots/effect-fork_to_run-p99.gp"), "set ytics (\"parent_cpu\" 3, \"least_queued\" 2, \"my_rule\" 1)"));
    CHECK(contains(part("plots/effect-fork_to_run-p99.gp"), "fork_to_run.p99 relative to rule = kernel, 95 % interval, 6 seeds"));
    CHECK(std::filesystem::file_size(forksim.path() / "out/plots/effect-fork_to_run-p99.png") > 1000);
    CHECK(contains(part("manifest.json"), "\"./my_rule.so\": \""));
  }

  TEST_CASE("a plug-in that was built anew is run anew, also one that the workload itself names, and nothing else is") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("own.yaml", "placement: ./rule.so\n" + kTiny);
    forksim.file("study.yaml",
                 "schema: forksim.study/1\nworkloads: [tiny.yaml, own.yaml]\nseeds: {count: 2}\n"
                 "grid:\n  - {name: rule, key: placement.exec, values: [kernel]}\n");
    const auto build = [&](const std::string& answer) {
      forksim.file("rule.cpp",
                   "#include \"sim/placement/plugin.hpp\"\nnamespace plugin = forksim_plugin;\nstruct forksim_plugin::Rule {};\n"
                   "plugin::Rule* forksim_rule_create(std::uint32_t, std::uint32_t, std::uint64_t) { return new plugin::Rule; }\n"
                   "void forksim_rule_destroy(plugin::Rule* r) { delete r; }\n"
                   "std::int32_t forksim_rule_select(plugin::Rule*, const plugin::Decision*) { return " +
                       answer + "; }\n");
      const Result r = shell(forksim, "g++ -std=c++20 -shared -fPIC -I '" + kSource + "' rule.cpp -o rule.so");
      REQUIRE_MESSAGE(r.code == 0, r.err);
    };
    const auto sweep = [&] {
      const Result r = forksim("sweep study.yaml --out out --resume --add rule=./rule.so");
      REQUIRE_MESSAGE(r.code == 0, r.err);
      const std::string journal = read_file(forksim.path() / "out/journal.txt");
      return std::count(journal.begin(), journal.end(), '\n') / 2;
    };
    build("plugin::kAsKernel");
    CHECK(sweep() == 8);
    const std::string before = tables(forksim, "out");
    CHECK(sweep() == 8);
    CHECK(tables(forksim, "out") == before);
    build("2");
    CHECK(sweep() == 8 + 6);  // all but tiny.yaml under the kernel's rule
    CHECK(tables(forksim, "out") != before);
    REQUIRE(forksim("sweep study.yaml --out fresh --add rule=./rule.so").code == 0);
    CHECK(tables(forksim, "out") == tables(forksim, "fresh"));
  }

  TEST_CASE("--add is refused where it makes no sense, and shards and commands carry it on") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("kernel.so", "");
    forksim.file(
        "study.yaml",
        study_text("grid:\n  - {name: rule, key: placement.fork, values: [kernel, pack]}\n  - {name: side, cases: [{label: one}]}\n"
                   "report: {factor: rule, base: kernel, measures: [energy_j]}\n"));
    const auto refusal = [&](const std::string& add) {
      const Result r = forksim("sweep study.yaml --out out --add " + add);
      CHECK(r.code == 2);
      CHECK(r.out.empty());
      return r.err;
    };
    CHECK(refusal("rlue=random") ==
          "command line: --add rlue=random: the study has no factor \"rlue\" with a key and values, allowed are rule, did you mean "
          "\"rule\"?\n");
    CHECK(contains(refusal("side=two"), "no factor \"side\" with a key and values"));
    CHECK(contains(refusal("rule"), "this is no FACTOR=VALUE, such as rule=./my_rule.so"));
    CHECK(contains(refusal("rule=pack"), "\"rule\" has a value \"pack\" already"));
    CHECK(contains(refusal("rule=./none.so"), "there is no file ./none.so"));
    CHECK(contains(refusal("rule=./kernel.so"), "a file goes by its name without .so: rename it"));
    CHECK(contains(refusal("rule=random --add rule=random"), "has a value \"random\" already"));
    REQUIRE(shell(forksim,
                  "'" + kForksim + "' sweep study.yaml --add rule=random --out parts --emit-commands --shards 2 >commands && sh commands")
                .code == 0);
    REQUIRE(forksim("sweep study.yaml --add rule=random --out parts --merge").code == 0);
    REQUIRE(forksim("sweep study.yaml --add rule=random --out local").code == 0);
    CHECK(tables(forksim, "parts") == tables(forksim, "local"));
    CHECK(contains(read_file(forksim.path() / "parts/cells.csv"), "0002,tiny,random,one,4,0,0,0,\n"));
  }

  TEST_CASE("a sweep's folder says what it was made from, and a run does not replace it") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text(kGrid + "report: {factor: stacks, base: \"2\", measures: [totals.stack_cache_hits]}\n"));
    REQUIRE(forksim("sweep study.yaml --out out").code == 0);
    const std::string manifest = read_file(forksim.path() / "out/manifest.json");
    for (const char* part : {"\"study.yaml\": \"", "\"tiny.yaml\": \"", "bcm2711.xml\": \"", "bcm2711.costs.yaml\": \"",
                             "\"results.csv\": \"", "\"report.md\": \"", "\"simgrid\": ", "\"wall_s\": "})
      CHECK_MESSAGE(contains(manifest, part), part);
    CHECK(is_json(manifest));
    const Result r = forksim("run tiny.yaml --out out");
    CHECK(r.code == 2);
    CHECK(contains(r.err, "out: is the folder of a sweep; give another --out"));
    // no stack is cached: each run has lost all of its hits
    CHECK(contains(read_file(forksim.path() / "out/report.md"), "\n| 0 | -100.0 % |\n"));
    CHECK(contains(read_file(forksim.path() / "out/summary.csv"), "\n0,workload=tiny,totals.stack_cache_hits,,4,"));
  }

  TEST_CASE("an axis has the unit that the study gives") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text("grid:\n  - {name: rule, key: placement.fork, values: [kernel, pack]}\n"
                                          "  - {name: width, unit: children, key: parameters.children, values: [4, 40]}\n"
                                          "report: {factor: rule, base: kernel, measures: [fork_to_run.p99], limit: 1ms, along: width}\n",
                                          3));
    const Result r = forksim("sweep study.yaml --out out");
    REQUIRE_MESSAGE(r.code == 0, r.err);
    const std::string plot = read_file(forksim.path() / "out/plots/crossing.gp");
    CHECK(contains(plot, "set xlabel \"width (children)\""));
    CHECK(contains(plot, "median and quartiles over 3 seeds"));
    CHECK(contains(plot, "set ylabel \"fork_to_run.p99 (ms, logarithmic)\""));
  }

  TEST_CASE("random samples are the same in every cell of the grid and repeat with their seed") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text(kGrid + "random:\n  samples: 3\n  over: [{name: latency, key: tunables.sched_latency_ns, min: 6ms, max: 48ms, scale: log}]\n", 1));
    REQUIRE(forksim("sweep study.yaml --out a").code == 0);
    const std::string cells = read_file(forksim.path() / "a/cells.csv");
    std::string drawn[2][3];
    for (int g = 0; g < 2; ++g)
      for (int i = 0; i < 3; ++i) {
        const std::string id = "000" + std::to_string(3 * g + i) + ",tiny," + (g ? "2," : "0,");
        const std::size_t at = cells.find(id);
        REQUIRE(at != std::string::npos);
        drawn[g][i] = cells.substr(at + id.size(), cells.find(',', at + id.size()) - at - id.size());
      }
    CHECK(drawn[0][0] == drawn[1][0]);
    CHECK(drawn[0][2] == drawn[1][2]);
    CHECK(drawn[0][0] != drawn[0][1]);
  }

  TEST_CASE("killed at any moment and resumed, a sweep gives the bytes of one that was not") {
    const Session forksim;
    write_long_study(forksim);
    REQUIRE(forksim("sweep long.yaml --jobs 2 --out whole").code == 0);
    for (const char* moment : {"0.05", "0.2", "0.35", "0.6"}) {
      CAPTURE(moment);
      shell(forksim, std::string("timeout -s KILL ") + moment + " '" + kForksim + "' sweep long.yaml --jobs 2 --out cut");
      shell(forksim, std::string("timeout -s KILL ") + moment + " '" + kForksim + "' sweep long.yaml --jobs 2 --out cut --resume");
      REQUIRE(forksim("sweep long.yaml --jobs 2 --out cut --resume").code == 0);
      CHECK(tables(forksim, "cut") == tables(forksim, "whole"));
    }
    // a torn record is not taken for a whole one
    const std::string journal = read_file(forksim.path() / "cut/journal.txt");
    write_file(forksim.path() / "cut/journal.txt", journal.substr(0, journal.size() / 2));
    REQUIRE(forksim("sweep long.yaml --out cut --resume").code == 0);
    CHECK(tables(forksim, "cut") == tables(forksim, "whole"));
  }

  TEST_CASE("an interrupt keeps what is finished and says how to go on") {
    const Session forksim;
    write_long_study(forksim);
    const std::string after_one_run = "for i in $(seq 3000); do grep -qs '{' cut/journal.txt && break; sleep 0.01; done; ";
    const Result r = shell(forksim, "'" + kForksim + "' sweep long.yaml --jobs 1 --out cut & " + after_one_run + "kill -INT $!; wait $!");
    CHECK(r.code == 130);
    CHECK(contains(r.err, "runs are missing; forksim sweep long.yaml --out cut --resume goes on"));
    CHECK(contains(read_file(forksim.path() / "cut/results.csv"), "cell,workload,stacks,seed"));
    CHECK(forksim("sweep long.yaml --out cut --resume").code == 0);
  }

  TEST_CASE("resume repeats only the runs whose input changed") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text(kGrid));
    REQUIRE(forksim("sweep study.yaml --out out").code == 0);
    const auto records = [&] {
      const std::string journal = read_file(forksim.path() / "out/journal.txt");
      return std::count(journal.begin(), journal.end(), '\n') / 2;
    };
    CHECK(records() == 12);
    forksim.file("study.yaml", study_text("grid:\n  - {name: stacks, key: tunables.nr_cached_stacks, values: [0, 2, 8, 16]}\n"));
    REQUIRE(forksim("sweep study.yaml --out out --resume").code == 0);
    CHECK(records() == 16);
    REQUIRE(forksim("sweep study.yaml --out fresh").code == 0);
    CHECK(tables(forksim, "out") == tables(forksim, "fresh"));
  }

  TEST_CASE("a folder that is not a sweep's is left alone") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text(kGrid));
    forksim.file("mine/letter.txt", "dear");
    const Result r = forksim("sweep study.yaml --out mine");
    CHECK(r.code == 2);
    CHECK(contains(r.err, "is not a sweep's folder"));
    CHECK(read_file(forksim.path() / "mine/letter.txt") == "dear");
  }

  TEST_CASE("shards, by hand, by Slurm's variables or by emitted commands, merge to the bytes of a local sweep") {
    const Session forksim;
    forksim.file("tiny.yaml", kTiny);
    forksim.file("study.yaml", study_text(kGrid));
    REQUIRE(forksim("sweep study.yaml --out local").code == 0);
    for (const char* shard : {"2/3", "1/3"}) REQUIRE(forksim(std::string("sweep study.yaml --out parts --shard ") + shard).code == 0);
    CHECK(forksim("sweep study.yaml --out parts --merge").code == 4);  // one is missing
    const Result slurm = shell(forksim, "SLURM_ARRAY_TASK_ID=12 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=12 '" + kForksim + "' sweep study.yaml --out parts --shard slurm");
    REQUIRE_MESSAGE(slurm.code == 0, slurm.err);
    REQUIRE(forksim("sweep study.yaml --out parts --merge").code == 0);
    CHECK(tables(forksim, "parts") == tables(forksim, "local"));
    REQUIRE(shell(forksim, "'" + kForksim + "' sweep study.yaml --out emitted --emit-commands --shards 5 >commands && test $(wc -l <commands) = 5 && sh commands").code == 0);
    REQUIRE(forksim("sweep study.yaml --out emitted --merge").code == 0);
    CHECK(tables(forksim, "emitted") == tables(forksim, "local"));
    CHECK(contains(forksim("sweep study.yaml --shard 4/3").err, "no part of a whole"));
    CHECK(contains(forksim("sweep study.yaml --shard slurm").err, "SLURM_ARRAY_TASK_ID"));
  }

  TEST_CASE("three ranks of Open MPI give the bytes of a local sweep, also when one is killed") {
    const Session forksim;
    write_long_study(forksim);
    REQUIRE(forksim("sweep long.yaml --out local").code == 0);
    const Result all = shell(forksim, "timeout 120 " + kMpirun + "'" + kForksim + "' sweep long.yaml --out ranks");
    REQUIRE_MESSAGE(all.code == 0, all.err);
    CHECK(tables(forksim, "ranks") == tables(forksim, "local"));
    // rank 2 becomes forksim under its own pid, and a shell beside it kills that once a dozen runs are in the journal
    const std::string kills =
        "(for i in $(seq 3000); do [ $(grep -c \"{\" cut/journal.txt) -ge 12 ] && kill -KILL $$ && break; sleep 0.02; done) 2>/dev/null & ";
    const std::string dies = "sh -c 'if [ \"$OMPI_COMM_WORLD_RANK\" = 2 ]; then " + kills + "fi; exec \"" + kForksim + "\" sweep long.yaml --out cut --patience 2'";
    const Result cut = shell(forksim, "timeout 120 " + kMpirun + dies);
    CAPTURE(cut.out);
    CAPTURE(cut.err);
    CHECK(contains(cut.err, "rank 2 is lost"));
    CHECK(tables(forksim, "cut") == tables(forksim, "local"));
  }
}
