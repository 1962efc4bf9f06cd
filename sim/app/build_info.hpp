// What this program was built from.
//
// Purpose: manifest.json and --version. Source: CMake (version, compiler, commit) and the version macros of the libraries' headers.
// Units: none. Ownership: values. Errors: none; what is not known is left out.
// Not here: versions of shared libraries found at run time, when they differ from the headers.
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
