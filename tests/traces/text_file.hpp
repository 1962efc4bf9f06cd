// Reads whole text files, plain or compressed with xz, and rows of CSV text.
//
// Purpose: recorded traces are kept compressed; simulated ones are plain. Units: bytes. Ownership: the result is a value.
// Errors:  std::runtime_error names the file. Not modelled: streaming; the largest recorded trace unpacks to a few hundred KiB.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace forksim::traces {

/// Content of `path`; unpacked when the name ends in .xz.
std::string read_text_file(const std::string& path);

/// Rows of a CSV text by column name. Fields may be quoted; quotes inside fields are not supported. Every row has all columns.
std::vector<std::map<std::string, std::string>> read_csv(const std::string& text);

}  // namespace forksim::traces
