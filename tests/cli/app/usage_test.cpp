// How the command line answers right and wrong usage: exit codes, stdout for results, stderr for everything else.
#include <doctest/doctest.h>

#include <algorithm>
#include <regex>
#include <string>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;

namespace {

/// A refusal: exit code 2, the reason on stderr alone, nothing left behind.
void check_refused(const std::string& arguments, const std::string& reason) {
  const Session forksim;
  const Result r = forksim(arguments);
  CAPTURE(arguments);
  CAPTURE(r.err);
  CHECK(r.code == 2);
  CHECK(r.out.empty());
  CHECK(contains(r.err, reason));
  CHECK(forksim.files().empty());
}

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("help and version are results") {
    const Session forksim;
    for (const char* ask : {"--help", "--version", "run --help", "list --help"}) {
      const Result r = forksim(ask);
      CAPTURE(ask);
      CHECK(r.code == 0);
      CHECK_FALSE(r.out.empty());
      CHECK(r.err.empty());
    }
  }

  TEST_CASE("the help shows what an option takes, and no option takes several words") {
    const Session forksim;
    const std::string help = forksim("run --help").out;
    CHECK(contains(help, "--set KEY=VALUE "));
    const std::regex several(R"(\n  --\S+ \S+ \.\.\.)");
    for (const std::string command : {"run", "compare", "sweep", "plot"}) {
      CAPTURE(command);
      CHECK_FALSE(std::regex_search(forksim(command + " --help").out, several));
    }
    check_refused("run " + kSmall + " --set seed=1 seed=2", "seed=2");
  }

  TEST_CASE("no sub-command, an unknown one and an unknown option are bad usage") {
    check_refused("", "subcommand");
    check_refused("rnu x.yaml", "rnu");
    check_refused("run --no-such-option " + kSmall, "--no-such-option");
    check_refused("run", "workload");
    check_refused("list nonsense", "nonsense");
    check_refused("schema nonsense", "nonsense");
  }

  TEST_CASE("a missing workload file is bad input, and names the file") { check_refused("run no_such_file.yaml", "no_such_file.yaml"); }

  TEST_CASE("bad values of options are bad usage") {
    check_refused("run " + kSmall + " --trace nonsense", "nonsense");
    check_refused("run " + kSmall + " --kernel nonsense", "nonsense");
    check_refused("run " + kSmall + " --platform nonsense", "nonsense");
    check_refused("run " + kSmall + " --seed minus", "seed");
    check_refused("run " + kSmall + " --until 5", "until");
    check_refused("run " + kSmall + " --repeat 0", "repeat");
    check_refused("run " + kSmall + " --jobs 0", "jobs");
    check_refused("run " + kSmall + " --set nonsense", "nonsense");
    check_refused("run " + kSmall + " --set features.NONSENSE=true", "NONSENSE");
  }

  TEST_CASE("a near miss is met with a hint") {
    const Session forksim;
    CHECK(contains(forksim("run " + kSmall + " --kernel rpi-4.19-arm46").err, "rpi-4.19-arm64"));
  }

  TEST_CASE("what a later version brings is refused by name") {
    for (const char* later : {"import rt-app x.json"}) {
      const std::string name = std::string(later).substr(0, std::string(later).find(' '));
      check_refused(later, name);
    }
    check_refused("run " + kSmall + " --trace perfetto", "perfetto");
  }

  TEST_CASE("validate accepts what is shipped") {
    const Session forksim;
    const Result r = forksim("validate " + kSource + "/workloads/*.yaml " + kSource + "/platforms/*.costs.yaml");
    CHECK_MESSAGE(r.code == 0, r.err);
    CHECK(r.err.empty());
  }

  TEST_CASE("validate shows all errors of all files at once, with file, line and column") {
    const Session forksim;
    forksim.file("a.yaml", "schema: forksim.workload/1\nname: a\nnonsense: 1\nmore: 2\n");
    forksim.file("b.yaml", "schema: forksim.workload/1\nname: b\nnonsense: 1\n");
    const Result r = forksim("validate a.yaml b.yaml");
    CHECK(r.code == 2);
    CHECK(r.out.empty());
    CHECK(contains(r.err, "a.yaml:3:"));
    CHECK(contains(r.err, "a.yaml:4:"));
    CHECK(contains(r.err, "b.yaml:3:"));
  }

  TEST_CASE("lists and schemas, for people and for machines") {
    const Session forksim;
    for (const char* what : {"platforms", "kernels", "placements", "features", "tunables", "metrics", "tracepoints", "phases"}) {
      const Result text = forksim(std::string("list ") + what);
      CAPTURE(what);
      CHECK(text.code == 0);
      CHECK(std::ranges::count(text.out, '\n') >= 1);
      CHECK(text.err.empty());
      const Result json = forksim(std::string("list ") + what + " --json");
      CHECK(json.code == 0);
      CHECK(is_json(json.out));
    }
    for (const char* what : {"workload", "costs"}) {
      const Result r = forksim(std::string("schema ") + what);
      CHECK(r.code == 0);
      CHECK(is_json(r.out));
      CHECK(contains(r.out, "draft-07"));
    }
  }
}
