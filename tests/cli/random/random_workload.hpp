// A workload drawn at random.
//
// Purpose: files that nobody would write, from the whole vocabulary: every action, object, arrival and policy, settings of kernel and board,
//          nested as deep as a few levels. What is drawn is always accepted by `forksim validate`.
// Units:   as in workload files. Ownership: values. Errors: none; a file that is refused is a defect, here or there.
// Source:  sim/config/schema.def and its tables. Not drawn: names that a file refers to but does not have (tests/cli/bad has those), files of
//          other kinds (plug-ins, platforms of the user).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace forksim::cli {

/// The same seed gives the same file everywhere. JSON is YAML.
nlohmann::json random_workload(std::uint64_t seed);

}  // namespace forksim::cli
