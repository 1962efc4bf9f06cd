// Rules about the shape of the source tree, checked on text.
//
// Purpose: keep the kernel model pure (design invariant 1), arrows between rooms one-way, libraries in their place, headers explained,
//          and the repository free of references to the machine it was written on.
// Units:   lines count from 1. Ownership: values. Errors: a broken rule is a Violation; an unreadable file is one too.
// Not checked: what a name means; includes hidden behind macros.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forksim::arch {

struct Violation {
  std::string path;  ///< relative to the root of the repository
  int line = 0;
  std::string what;
};

/// All rules on one file. `path` is relative to the root, with '/' between folders.
std::vector<Violation> check_file(std::string_view path, std::string_view text);

/// Every text file of the repository at `root` that belongs to it (no build folders, no run results, no .git), sorted.
std::vector<std::string> source_files(const std::string& root);

/// check_file() on all of them.
std::vector<Violation> check_tree(const std::string& root);

}  // namespace forksim::arch
