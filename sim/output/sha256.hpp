// SHA-256 of text and files, and the short name of a run.
//
// Purpose: manifest.json and the name of the result folder. Source: OpenSSL libcrypto. Units: bytes in, lower-case hex out.
// Ownership: values. Errors: OutputError when a file cannot be read or the library fails.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace forksim {

/// A file that went into a run: name as the user gave it, and its content.
struct InputFile {
  std::string name, content;
};

std::string sha256_hex(std::string_view bytes);
std::string sha256_file(const std::filesystem::path& path);
/// First 8 hex digits over contents and lengths of the inputs, in order; names and places of the files do not count.
std::string short_hash(const std::vector<InputFile>& inputs);

}  // namespace forksim
