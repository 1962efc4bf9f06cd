// A file being written, with every error noticed.
//
// Purpose: no result is silently short: open, write and close are all checked. Units: bytes. Ownership: closes in the destructor, but only
//          close() reports. Errors: OutputError (exit code 4: the run could not be completed, e.g. disk full) and OutputRefused (exit
//          code 2: the place asked for cannot be used).
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace forksim {

struct OutputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct OutputRefused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class OutFile {
 public:
  explicit OutFile(std::filesystem::path path);
  void write(std::string_view bytes);
  void close();

 private:
  struct Closer {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Closer> file_;
};

/// The whole file at once.
void write_file(const std::filesystem::path& path, std::string_view bytes);
/// Throws OutputError when it cannot be read.
std::string read_file(const std::filesystem::path& path);

}  // namespace forksim
