// What this program was built from. Purpose: manifest.json and --version. Ownership: values. Errors: none; unknown things are left out.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace forksim {

std::string build_version();
/// Commit of the source at configure time, with `-dirty` when it had changes; empty outside a checkout.
std::string build_git();
std::vector<std::pair<std::string, std::string>> build_versions();

}  // namespace forksim
