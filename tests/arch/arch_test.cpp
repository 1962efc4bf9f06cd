#include <doctest/doctest.h>

#include <algorithm>

#include "tests/arch/arch_rules.hpp"

using forksim::arch::check_file;
using forksim::arch::check_tree;
using forksim::arch::source_files;

namespace {
constexpr std::string_view kComment = "// one\n// two\n// three\n";
std::size_t violations(std::string_view path, std::string body) { return check_file(path, std::string(kComment) + body).size(); }
}  // namespace

TEST_SUITE("arch") {
  TEST_CASE("the repository keeps its rules") {
    for (const auto& v : check_tree(FORKSIM_SOURCE_DIR)) FAIL_CHECK(v.path << ":" << v.line << ": " << v.what);
  }

  TEST_CASE("the walk sees the kernel model, the rooms and the scripts") {
    const auto files = source_files(FORKSIM_SOURCE_DIR);
    for (const char* expected :
         {"kernel_model/kernel.hpp", "kernel_model/trace/tracepoints.def", "sim/app/main.cpp", "sim/run.sh", "CMakeLists.txt", ".ci/run"})
      CHECK_MESSAGE(std::ranges::find(files, expected) != files.end(), expected);
    CHECK(std::ranges::none_of(files, [](const std::string& f) { return f.starts_with("build/") || f.starts_with(".git/"); }));
  }

  TEST_CASE("the kernel model may include itself and plain standard headers") {
    CHECK(violations("kernel_model/sched/x.cpp", "#include \"kernel_model/base/types.hpp\"\n#include <vector>\n#include <algorithm>\n") ==
          0);
  }

  TEST_CASE("the kernel model may not reach for clocks, randomness, threads, I/O or other rooms") {
    for (const char* bad :
         {"<iostream>", "<fstream>", "<chrono>", "<random>", "<thread>", "<filesystem>", "<mutex>", "<cstdio>", "<time.h>", "<unistd.h>",
          "<simgrid/s4u.hpp>", "<boost/graph/adjacency_list.hpp>", "\"sim/config/diagnostics.hpp\"", "\"x.hpp\""})
      CHECK_MESSAGE(violations("kernel_model/sched/x.cpp", std::string("#include ") + bad + "\n") == 1, bad);
    CHECK(violations("kernel_model/sched/x.cpp", "  #  include   <chrono> // spaced\n") == 1);
    CHECK(violations("kernel_model/sched/x.cpp", "#include FORKSIM_HEADER\n") == 1);
    CHECK(violations("kernel_model/base/x.hpp", "#include \"kernel_model/sched/entity.hpp\"\n") == 1);
  }

  TEST_CASE("arrows between rooms point one way") {
    CHECK(violations("sim/engine/x.cpp", "#include \"sim/platform/platform.hpp\"\n") == 0);
    CHECK(violations("sim/output/x.cpp", "#include \"sim/metrics/metrics.def\"\n") == 0);
    CHECK(violations("sim/app/x.cpp", "#include \"sim/output/report.hpp\"\n") == 0);
    CHECK(violations("sim/platform/x.cpp", "#include \"sim/output/report.hpp\"\n") == 1);
    CHECK(violations("sim/platform/x.cpp", "#include \"sim/engine/bridge.hpp\"\n") == 1);
    CHECK(violations("sim/metrics/x.cpp", "#include \"sim/output/report.hpp\"\n") == 1);
    CHECK(violations("sim/config/x.cpp", "#include \"sim/workload/program.hpp\"\n") == 1);
    CHECK(violations("sim/output/x.cpp", "#include \"sim/app/main.hpp\"\n") == 1);
    CHECK(violations("sim/engine/x.cpp", "#include \"tests/arch/arch_rules.hpp\"\n") == 1);
  }

  TEST_CASE("libraries stay in their place") {
    CHECK(violations("sim/config/x.cpp", "#include <yaml-cpp/yaml.h>\n") == 0);
    CHECK(violations("sim/config/x.hpp", "#include <yaml-cpp/yaml.h>\n") == 1);
    CHECK(violations("sim/output/x.hpp", "#include <nlohmann/json.hpp>\n") == 1);
    CHECK(violations("sim/metrics/x.cpp", "#include <simgrid/s4u.hpp>\n") == 1);
    CHECK(violations("sim/output/x.cpp", "#include <CLI/CLI.hpp>\n") == 1);
    CHECK(violations("sim/app/x.cpp", "#include <simgrid/version.h>\n") == 1);
    CHECK(violations("sim/app/build_info.cpp", "#include <simgrid/version.h>\n") == 0);
  }

  TEST_CASE("headers begin with a comment, and files stay short and finished") {
    CHECK(check_file("sim/config/x.hpp", "#pragma once\n").size() == 1);
    CHECK(check_file("sim/config/x.hpp", "// one\n// two\n#pragma once\n").size() == 1);
    CHECK(check_file("tests/unit/x.hpp", "#pragma once\n").size() == 1);
    CHECK(check_file("tests/unit/x.hpp", "// one\n#pragma once\n").empty());
    CHECK(check_file("sim/config/x.def", "ROW(a)\n").size() == 1);
    CHECK(check_file("sim/config/x.cpp", "int x;\n").empty());
    std::string longest;
    for (int i = 0; i < 699 - 3; ++i) longest += "\n";
    CHECK(violations("sim/config/x.hpp", longest) == 0);
    CHECK(violations("sim/config/x.hpp", longest + "\n") == 1);
    CHECK(violations("sim/config/x.cpp", std::string("// TO") + "DO later\n") == 1);
    CHECK(violations("sim/config/x.cpp", "#if 0\n") == 1);
    CHECK(violations("sim/config/x.cpp", "void* p;\n") == 1);
  }

  TEST_CASE("no file refers to the machine it was written on") {
    CHECK(check_file("README.md", "clone it, then bash sim/run.sh\n").empty());
    CHECK(check_file("README.md", std::string("see /wo") + "rk/main\n").size() == 1);
    CHECK(check_file("workloads/x.yaml", std::string("source: ../sha") + "red/facts\n").size() == 1);
    CHECK(check_file("tests/run.sh", std::string("cd /ho") + "me/me\n").size() == 1);
  }
}
