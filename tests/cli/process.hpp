// Runs commands the way a user does and keeps what they said.
//
// Purpose: tests of the command line. A command goes through /bin/sh in a folder of the test's choice; stdout and stderr are kept apart.
// Ownership: a TempDir removes its folder and all in it. Errors: std::runtime_error when the command cannot be started.
// Not modelled: terminals (stderr is never one here, so no progress line may appear).
#pragma once

#include <filesystem>
#include <string>

namespace forksim::cli {

struct Result {
  int code = 0;  ///< exit code; 128 + signal when killed by one
  std::string out, err;
};

/// Runs `command` in `folder`.
Result run(const std::string& command, const std::filesystem::path& folder);

/// A fresh folder, gone with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& file);
void write_file(const std::filesystem::path& file, const std::string& text);

}  // namespace forksim::cli
