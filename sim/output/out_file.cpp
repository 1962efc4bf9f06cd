#include "sim/output/out_file.hpp"

#include <cerrno>
#include <string>
#include <system_error>

namespace forksim {

namespace {
[[noreturn]] void fail(const std::filesystem::path& path, const char* doing) {
  throw OutputError(path.string() + ": cannot " + doing + ": " + std::generic_category().message(errno));
}
}  // namespace

OutFile::OutFile(std::filesystem::path path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "wb")) {
  if (!file_) fail(path_, "be created");
}

void OutFile::write(std::string_view bytes) {
  if (!bytes.empty() && std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) fail(path_, "be written");
}

void OutFile::close() {
  // Closing flushes, and that is where a full disk often shows.
  if (std::fclose(file_.release()) != 0) fail(path_, "be written");
}

void write_file(const std::filesystem::path& path, std::string_view bytes) {
  OutFile f(path);
  f.write(bytes);
  f.close();
}

std::string read_file(const std::filesystem::path& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> f(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!f) fail(path, "be read");
  std::string out;
  char buffer[1 << 16];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, f.get())) out.append(buffer, n);
  if (std::ferror(f.get())) fail(path, "be read");
  return out;
}

}  // namespace forksim
