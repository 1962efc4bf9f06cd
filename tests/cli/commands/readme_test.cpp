// Every command that README.md shows is run, in a copy of the repository, and its report is what the command prints.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/cli/process.hpp"

using namespace forksim::cli;
namespace fs = std::filesystem;

namespace {

const fs::path kSource = FORKSIM_SOURCE_DIR;

/// Commands that a test cannot run: they fetch the repository, run the tests, or build them once more.
constexpr const char* kNotHere[] = {"git clone ", "cd ", "bash tests/run.sh", "cmake --workflow", "ctest "};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// Lines of fenced blocks marked sh, bash or console; in console blocks only those behind a prompt. Comments are cut off.
std::vector<std::string> shell_commands(const std::string& markdown) {
  std::vector<std::string> commands;
  std::string fence;
  for (std::string line : lines_of(markdown)) {
    if (line.starts_with("```")) {
      fence = fence.empty() ? line : "";
      continue;
    }
    const bool shell = fence == "```sh" || fence == "```bash";
    const bool prompt = fence == "```console" && line.starts_with("$ ");
    if (!shell && !prompt) continue;
    if (line.starts_with("$ ")) line.erase(0, 2);
    line = line.substr(0, line.find(" #"));
    while (line.ends_with(' ')) line.pop_back();
    if (!line.empty() && !line.starts_with('#')) commands.push_back(line);
  }
  return commands;
}

bool runs_here(const std::string& command) {
  return std::ranges::none_of(kNotHere, [&](const char* prefix) { return command.starts_with(prefix); });
}

/// The repository without its builds and results, and with the build under test as build/.
void copy_repository(const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(kSource)) {
    const std::string name = entry.path().filename().string();
    if (name == ".git" || name == "results" || name.starts_with("build")) continue;
    fs::copy(entry.path(), to / name, fs::copy_options::recursive);
  }
  fs::create_directory_symlink(FORKSIM_BINARY_DIR, to / "build");
}

}  // namespace

TEST_SUITE("cli") {
  TEST_CASE("commands are found in fences only") {
    const auto found =
        shell_commands("run me\n```sh\n$ a b  # why\n\n# comment\nc\n```\n```console\n$ d\noutput\n```\n```yaml\ne: 1\n```\n");
    CHECK(found == std::vector<std::string>{"a b", "c", "d"});
  }

  TEST_CASE("every command of README.md works as written, and its report is what the command prints") {
    const std::string readme = read_file(kSource / "README.md");
    const auto commands = shell_commands(readme);
    REQUIRE(std::ranges::find(commands, "bash sim/run.sh run workloads/fork_storm.yaml") != commands.end());
    REQUIRE(std::ranges::find(commands, "bash tests/run.sh") != commands.end());
    const TempDir copy;
    copy_repository(copy.path());
    for (const std::string& command : commands) {
      if (!runs_here(command)) continue;
      const Result r = run(command, copy.path());
      CHECK_MESSAGE(r.code == 0, command << "\n" << r.err);
      if (command == "bash sim/run.sh run workloads/fork_storm.yaml")
        CHECK_MESSAGE(readme.find(r.out) != std::string::npos, "README.md does not show:\n" << r.out);
    }
  }
}
