// --trace function_graph as a user asks for it: which files come, what the options do, what is refused.
#include <doctest/doctest.h>

#include <string>

#include "tests/cli/app/app.hpp"

using namespace forksim::cli;

namespace {
const std::string kRun = "run " + kSource + "/workloads/raspbian_whoami.yaml --quiet --out out ";
std::string graph(const Session& forksim, const std::string& options) {
  const Result r = forksim(kRun + "--trace function_graph " + options);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  return read_file(forksim.path() / "out/trace.function_graph");
}
}  // namespace

TEST_SUITE("cli/app") {
  TEST_CASE("function_graph: the trace is a file of its own, and the report is the one without it") {
    const Session forksim;
    REQUIRE(forksim(kRun).code == 0);
    const std::string report = read_file(forksim.path() / "out/report.json");
    const Result both = forksim(kRun + "--trace ftrace,function_graph");
    REQUIRE_MESSAGE(both.code == 0, both.err);
    CHECK(read_file(forksim.path() / "out/report.json") == report);
    CHECK(read_file(forksim.path() / "out/trace.function_graph").starts_with("# tracer: function_graph\n#\n# CPU  DURATION"));
    CHECK_FALSE(contains(read_file(forksim.path() / "out/trace.ftrace"), "funcgraph_entry"));
  }

  TEST_CASE("function_graph: roots, depth, columns and events by --set") {
    const Session forksim;
    const std::string two = graph(forksim, "--set trace.functions=sys_clone --set trace.graph.depth=2");
    CHECK(contains(two, "|  __arm64_sys_clone() {\n"));
    CHECK(contains(two, "|    _do_fork();\n"));
    CHECK_FALSE(contains(two, "copy_process"));
    const std::string columns = graph(forksim,
                                      "--set trace.functions=__arm64_sys_clone --set trace.graph.abstime=true --set trace.graph.cpu=false "
                                      "--set trace.graph.duration=false");
    CHECK(columns.starts_with("# tracer: function_graph\n#\n#     TIME                      FUNCTION CALLS\n"));
    CHECK(contains(graph(forksim, "--set trace.functions=do_exit --set trace.events=signal:*"), "/* signal_generate: sig=17 "));
    CHECK(contains(graph(forksim, "--kernel rpi-4.19-arm32 --set trace.functions=sys_clone"), "|  sys_clone() {\n"));
    const Result text = forksim(kRun + "--trace ftrace --set trace.events=ftrace:funcgraph_entry");
    REQUIRE(text.code == 0);
    CHECK(contains(read_file(forksim.path() / "out/trace.ftrace"), "funcgraph_entry:      func=copy_process depth=2"));
  }

  TEST_CASE("function_graph: unknown functions, keys and values, and no graph to limit are refused with a hint") {
    const Session forksim;
    const Result r = forksim(kRun +
                             "--trace function_graph --set trace.functions=do_frok,sched* --set trace.graph.depht=3 --set "
                             "trace.graph.proc=yes --set trace.graph.depth=-1");
    CHECK(r.code == 2);
    CHECK(contains(r.err, "no function is called \"do_frok\""));
    CHECK(contains(r.err, "did you mean \"_do_fork\"?"));
    CHECK(contains(r.err, "did you mean \"trace.graph.depth\"?"));
    CHECK(contains(r.err, "\"yes\" is no truth value"));
    CHECK(contains(r.err, "\"-1\" is no number"));
    const Result none = forksim(kRun + "--trace ftrace --set trace.functions=do_exit");
    CHECK(none.code == 2);
    CHECK(contains(none.err, "--trace function_graph"));
  }

  TEST_CASE("list shows functions and the options of traces") {
    const Session forksim;
    CHECK(contains(forksim("list functions").out, "copy_process"));
    CHECK(contains(forksim("list trace_options").out, "max_graph_depth"));
    CHECK(forksim("list functions --json").code == 0);
    CHECK(forksim("list phases --markdown").code == 2);
  }
}
