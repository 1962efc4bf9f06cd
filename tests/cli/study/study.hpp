// A small study and the forksim binary, for the tests of sweeps.
//
// Purpose: three cells with four seeds of a workload that takes a few ms. Ownership: a Session removes its folder. Errors: as in
// process.hpp. Not modelled: other machines; ranks and shards run on this one.
#pragma once

#include <string>

#include "tests/cli/app/app.hpp"

namespace forksim::cli {

inline const std::string kTiny =
    "schema: forksim.workload/1\n"
    "description: thirty children at once\n"
    "source: invented for the tests\n"
    "parameters: {children: 30}\n"
    "processes:\n"
    "  - name: parent\n"
    "    phases:\n"
    "      - {fork: child, count: $children, gap: {dist: exponential, mean: 200us}}\n"
    "      - {wait: all}\n"
    "  - name: child\n"
    "    phases:\n"
    "      - run: {dist: lognormal, median: 1ms, sigma: 0.5, min: 100us, max: 20ms}\n"
    "start:\n"
    "  - {process: parent}\n";

/// `body` follows the workloads and seeds.
inline std::string study_text(const std::string& body, int seeds = 4) {
  return "schema: forksim.study/1\nworkloads: [tiny.yaml]\nseeds: {count: " + std::to_string(seeds) + "}\n" + body;
}
inline const std::string kGrid = "grid:\n  - {name: stacks, key: tunables.nr_cached_stacks, values: [0, 2, 8]}\n";

/// Everything that must be the same bytes whoever ran what and when.
inline std::string tables(const Session& s, const std::string& dir) {
  return read_file(s.path() / dir / "results.csv") + read_file(s.path() / dir / "cells.csv") + read_file(s.path() / dir / "results.sqlite");
}

}  // namespace forksim::cli
