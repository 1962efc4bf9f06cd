// Input errors as data.
//
// Purpose: every reader collects Diagnostics and goes on; the edge prints all of them at once and exits 2.
// Format:  `file:line:col: path: what, what is allowed, hint` (contract.md). Units: line and column count from 1.
// Ownership: values. Errors: this is the error type. Not here: contract failures (kernel_model/base/contract.hpp).
#pragma once

#include <string>
#include <vector>

namespace forksim {

struct Diagnostic {
  std::string file;
  int line = 0, col = 0;    ///< 0: no place in a file (command line)
  std::string path;         ///< e.g. tasks[3].nice
  std::string what;         ///< what is wrong
  std::string allowed;      ///< what is allowed; may be empty
  std::string hint;         ///< e.g. did you mean "nice"?; may be empty
  std::string source_line;  ///< the text of the line, for the caret; may be empty
};

class Diagnostics {
 public:
  void add(Diagnostic d) { list_.push_back(std::move(d)); }
  bool ok() const { return list_.empty(); }
  const std::vector<Diagnostic>& list() const { return list_; }
  /// All of them, ordered by place, one per line, each with its source line and a caret when known.
  std::string text() const;

 private:
  std::vector<Diagnostic> list_;
};

}  // namespace forksim
