// Reads whole text files, plain or compressed with xz.
//
// Purpose: recorded traces are kept compressed; simulated ones are plain. Units: bytes. Ownership: the result is a value.
// Errors:  std::runtime_error names the file. Not modelled: streaming; the largest recorded trace unpacks to a few hundred KiB.
#pragma once

#include <string>

namespace forksim::traces {

/// Content of `path`; unpacked when the name ends in .xz.
std::string read_text_file(const std::string& path);

}  // namespace forksim::traces
