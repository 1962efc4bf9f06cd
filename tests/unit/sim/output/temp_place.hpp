// A temporary folder for a test case.
//
// Purpose: result and plot tests write files. Ownership: made new, removed with everything in it at the end of the test case.
// Errors: none that a test would want to handle.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace forksim::test {

struct TempPlace {
  std::filesystem::path path;
  explicit TempPlace(const std::string& what) : path(std::filesystem::temp_directory_path() / (what + '-' + std::to_string(getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~TempPlace() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TempPlace(const TempPlace&) = delete;
  TempPlace& operator=(const TempPlace&) = delete;
};

}  // namespace forksim::test
