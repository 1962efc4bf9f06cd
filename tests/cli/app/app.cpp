#include "tests/cli/app/app.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace forksim::cli {

Session::Session() { std::filesystem::create_directory_symlink(kSource + "/platforms", path() / "platforms"); }

std::string Session::file(const std::string& name, const std::string& text) const {
  write_file(path() / name, text);
  return name;
}

std::vector<std::string> Session::files() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path()))
    if (!entry.is_symlink())
      names.push_back(std::filesystem::relative(entry.path(), path()).generic_string() + (entry.is_directory() ? "/" : ""));
  std::ranges::sort(names);
  return names;
}

nlohmann::json report_of(const Session& forksim, const std::string& arguments) {
  const Result r = forksim("run " + arguments + " --out result --json");
  if (r.code != 0) throw std::runtime_error(r.err);
  return nlohmann::json::parse(r.out);
}

bool is_json(const std::string& text) { return nlohmann::json::accept(text); }

}  // namespace forksim::cli
