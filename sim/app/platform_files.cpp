#include "sim/app/platform_files.hpp"

#include <algorithm>
#include <filesystem>

namespace forksim {

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> platform_dirs() {
  std::vector<fs::path> dirs{"platforms"};
  std::error_code ec;
  const fs::path self = fs::read_symlink("/proc/self/exe", ec);
  if (!ec) {
    dirs.push_back(self.parent_path().parent_path() / "platforms");
    dirs.push_back(self.parent_path().parent_path() / "share" / "forksim" / "platforms");
  }
  return dirs;
}

}  // namespace

std::string find_platform(const std::string& name) {
  std::error_code ec;
  if (name.find('/') != std::string::npos || name.ends_with(".xml")) return fs::is_regular_file(name, ec) ? name : "";
  for (const fs::path& dir : platform_dirs()) {
    const fs::path file = dir / (name + ".xml");
    if (fs::is_regular_file(file, ec)) return file.string();
  }
  return "";
}

std::string platform_places() {
  std::string text;
  for (const fs::path& dir : platform_dirs()) text += (text.empty() ? "" : ", ") + dir.string();
  return text;
}

std::vector<std::string> platform_names() {
  std::vector<std::string> names;
  std::error_code ec;
  for (const fs::path& dir : platform_dirs())
    for (const auto& entry : fs::directory_iterator(dir, ec))
      if (entry.path().extension() == ".xml") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace forksim
