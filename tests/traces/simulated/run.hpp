// Runs forksim and reads its trace, for the tests of the simulated side.
//
// Purpose: one place that knows how a workload becomes a list of events. Units: none. Ownership: the result folder lives in a TempDir.
// Errors:  a failed run fails the test. Not here: what is compared.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/cli/process.hpp"
#include "tests/traces/recordings.hpp"

namespace forksim::traces {

inline std::vector<Event> run_workload(const std::string& file, const std::string& kernel, const std::string& more = {}) {
  const forksim::cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  const auto r = forksim::cli::run(
      FORKSIM_BINARY_DIR "/forksim run '" + file + "' --kernel " + kernel + " --trace ftrace --quiet " + more + " --out " + out,
      FORKSIM_SOURCE_DIR);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  return parse_trace(read_text_file(out + "/trace.ftrace"), StateLetters::sane).events;
}

}  // namespace forksim::traces
