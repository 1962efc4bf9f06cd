// What a sweep has finished so far, safe against being killed at any moment.
//
// Purpose: one line per finished run, written at once and with its own checksum; a torn line is ignored and its run done again. Records are
//          found by the hash of everything the run depends on, so that an edited study repeats only what changed.
// Format:  journal.txt, or journal-I-of-N.txt of a shard; an empty line, then 16 hex digits of SHA-256, a blank, a JSON object.
// Units:   as in measures.hpp. Ownership: values; the file is appended to by one process. Errors: OutputError when it cannot be written.
// Not here: tables (tables.hpp).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "sim/study/measures.hpp"

namespace forksim {

struct RunOutcome {
  std::string key;             ///< hash of the input
  bool ok = false;
  km::u64 violated = 0;        ///< invariants
  std::string error;           ///< why it failed
  std::vector<std::pair<std::size_t, double>> values;  ///< measure and value
  std::string resolved;        ///< resolved.yaml, of the first seed of a cell
};

/// One line with its newlines.
std::string encode(const RunOutcome& outcome);

class Journal {
 public:
  /// Opens for appending; `fresh` empties it first.
  Journal(std::filesystem::path file, bool fresh);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  /// Appends a line of encode().
  void append(const std::string& line);

 private:
  std::filesystem::path file_;
  int fd_ = -1;
};

using Outcomes = std::map<std::string, RunOutcome, std::less<>>;  ///< by key
/// Every whole record of text.
void decode(const std::string& text, Outcomes& out);
/// Every whole record of every journal in the folder.
Outcomes read_journals(const std::filesystem::path& dir);

}  // namespace forksim
