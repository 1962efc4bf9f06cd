// Lines of a text file, plain or xz-compressed.
//
// Purpose: vector files are read as stream, whatever their size. Source: the file's name ends in .xz or not. Ownership: owns the stream.
// Errors:  throws std::runtime_error when the file cannot be read or is corrupt. Not modelled: other compressions.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

namespace forksim::oracle {

class LineReader {
 public:
  explicit LineReader(const std::string& path);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  /// False at the end.
  bool next(std::string& line);

 private:
  bool fill();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forksim::oracle
