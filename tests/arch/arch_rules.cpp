#include "tests/arch/arch_rules.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace forksim::arch {

namespace {

namespace fs = std::filesystem;
using std::string_view;

// What the pure library may use: containers, algorithms, integers. No clock, randomness, threads or I/O.
constexpr std::array kStdAllowed = {"algorithm",   "array",         "bit",           "bitset",      "cerrno",
                                    "cmath",       "compare",       "concepts",      "cstddef",     "cstdint",
                                    "cstring",     "deque",         "exception",     "functional",  "initializer_list",
                                    "iterator",    "limits",        "map",           "memory",      "new",
                                    "numeric",     "optional",      "queue",         "ranges",      "set",
                                    "span",        "stdexcept",     "string",        "string_view", "tuple",
                                    "type_traits", "unordered_map", "unordered_set", "utility",     "variant",
                                    "vector"};

struct Room {
  string_view prefix;                ///< folder with a trailing '/'
  int level;                         ///< a room may include rooms of lower levels
  std::array<string_view, 2> peers;  ///< and these of its own level
};
// Arrows point one way: kernel_model <- config <- {platform, workload, placement, engine} <- {metrics, output} <- study <- app.
constexpr std::array kRooms = {Room{"kernel_model/", 0, {}},  Room{"sim/config/", 1, {}},
                               Room{"sim/platform/", 2, {}},  Room{"sim/workload/", 2, {}},
                               Room{"sim/placement/", 2, {}}, Room{"sim/engine/", 2, {"sim/platform/"}},
                               Room{"sim/metrics/", 3, {}},   Room{"sim/output/", 3, {"sim/metrics/"}},
                               Room{"sim/study/", 4, {}},     Room{"sim/app/", 5, {}}};

struct Library {
  string_view include_prefix;
  std::array<string_view, 3> rooms;  ///< where it may be used; empty strings match nothing
  bool cpp_only;                     ///< heavy: never in a header
};
// The app asks every library for its version, for the manifest.
constexpr string_view kVersions = "sim/app/build_info.cpp";
constexpr std::array kLibraries = {Library{"simgrid/", {"sim/engine/", "sim/platform/", kVersions}, false},
                                   Library{"xbt/", {"sim/engine/", "sim/platform/", kVersions}, false},
                                   Library{"src/kernel/", {"sim/engine/", "", ""}, false},
                                   Library{"yaml-cpp/", {"sim/", "", ""}, true},
                                   Library{"nlohmann/json.hpp", {"sim/", "", ""}, true},
                                   Library{"CLI/", {"sim/app/", "", ""}, true},
                                   Library{"boost/", {"sim/", "", ""}, false},
                                   Library{"fmt/", {"sim/", "", ""}, false}};

// Put together from halves, so that this file does not contain them.
const std::array kForbiddenText = {std::string("/wo") + "rk/",
                                   std::string("../sha") + "red",
                                   std::string("/ro") + "ot/",
                                   std::string("/ho") + "me/",
                                   std::string("/usr/lo") + "cal/",
                                   std::string("deb.deb") + "ian.org",
                                   std::string("archive.ubu") + "ntu.com",
                                   std::string("pypi") + ".org"};
const std::string kToDo = std::string("TO") + "DO";
const std::string kFixMe = std::string("FIX") + "ME";

constexpr int kMaxLines = 700;

bool ends_with_any(string_view path, std::initializer_list<string_view> tails) {
  return std::ranges::any_of(tails, [&](string_view t) { return path.ends_with(t); });
}

std::vector<string_view> split_lines(string_view text) {
  std::vector<string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

struct Include {
  string_view name;
  bool angled;
};
std::optional<Include> parse_include(string_view line) {
  const std::size_t hash = line.find_first_not_of(" \t");
  if (hash == string_view::npos || line[hash] != '#') return std::nullopt;
  line.remove_prefix(hash + 1);
  const std::size_t word = line.find_first_not_of(" \t");
  if (word == string_view::npos || !line.substr(word).starts_with("include")) return std::nullopt;
  const std::size_t open = line.find_first_of("<\"", word);
  if (open == string_view::npos) return Include{"a macro", false};
  const bool angled = line[open] == '<';
  const std::size_t close = line.find(angled ? '>' : '"', open + 1);
  if (close == string_view::npos) return std::nullopt;
  return Include{line.substr(open + 1, close - open - 1), angled};
}

const Room* room_of(string_view path) {
  for (const Room& r : kRooms)
    if (path.starts_with(r.prefix)) return &r;
  return nullptr;
}

class Checker {
 public:
  Checker(string_view path, string_view text) : path_(path), lines_(split_lines(text)), room_(room_of(path)) {}

  std::vector<Violation> run() {
    const bool code = ends_with_any(path_, {".hpp", ".cpp", ".def", ".h"});
    if (code) check_header_comment();
    if (code && lines_.size() >= kMaxLines) add(kMaxLines, "the file has 700 lines or more; split it");
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const int number = static_cast<int>(i) + 1;
      check_text(lines_[i], number, code);
      if (!code) continue;
      if (const auto inc = parse_include(lines_[i])) check_include(*inc, number);
    }
    return std::move(found_);
  }

 private:
  void add(int line, std::string what) { found_.push_back({std::string(path_), line, std::move(what)}); }

  void check_header_comment() {
    const std::size_t needed = path_.ends_with(".hpp") ? (room_ ? 3 : 1) : path_.ends_with(".def") ? 1 : 0;
    std::size_t have = 0;
    while (have < lines_.size() && lines_[have].starts_with("//")) ++have;
    if (have < needed) add(1, "begins with " + std::to_string(have) + " comment lines, at least " + std::to_string(needed) + " are needed");
  }

  void check_text(string_view line, int number, bool code) {
    for (const std::string& bad : kForbiddenText)
      if (line.find(bad) != string_view::npos && path_ != "LICENSE") add(number, "refers to a machine path or package host: " + bad);
    if (!code) return;
    if (line.find(kToDo) != string_view::npos || line.find(kFixMe) != string_view::npos) add(number, "unfinished work marked in code");
    if (line.starts_with("#if 0")) add(number, "dead code");
    if (room_ && line.find("void*") != string_view::npos && line.find("//") == string_view::npos) add(number, "untyped pointer");
  }

  void check_include(const Include& inc, int number) {
    const std::string name(inc.name);
    if (room_ && room_->level == 0) return check_kernel_model_include(inc, number);
    if (room_) check_arrow(name, number);
    for (const Library& lib : kLibraries)
      if (inc.name.starts_with(lib.include_prefix)) check_library(lib, name, number);
  }

  void check_kernel_model_include(const Include& inc, int number) {
    const std::string name(inc.name);
    if (!inc.angled) {
      if (!inc.name.starts_with("kernel_model/"))
        add(number, "kernel_model includes " + name + "; only itself and the standard library are allowed");
      else if (path_.starts_with("kernel_model/base/") && !inc.name.starts_with("kernel_model/base/"))
        add(number, "kernel_model/base includes " + name);
      return;
    }
    if (std::ranges::find(kStdAllowed, inc.name) == kStdAllowed.end())
      add(number, "kernel_model includes <" + name + ">, which is not on its list of standard headers");
  }

  void check_arrow(const std::string& name, int number) {
    if (name.starts_with("tests/")) return add(number, "includes a test: " + name);
    const Room* target = room_of(name);
    if (target == nullptr || target == room_ || target->level < room_->level) return;
    if (target->level == room_->level && std::ranges::find(room_->peers, target->prefix) != room_->peers.end()) return;
    add(number, std::string(room_->prefix) + " may not include " + name);
  }

  void check_library(const Library& lib, const std::string& name, int number) {
    if (!room_) return;
    if (lib.cpp_only && !path_.ends_with(".cpp")) add(number, name + " in a header; it belongs into a .cpp");
    const bool here = std::ranges::any_of(lib.rooms, [&](string_view r) { return !r.empty() && path_.starts_with(r); });
    if (!here) add(number, name + " does not belong into this room");
  }

  string_view path_;
  std::vector<string_view> lines_;
  const Room* room_;
  std::vector<Violation> found_;
};

bool skipped_folder(const fs::path& relative) {
  const std::string s = relative.generic_string();
  return s == ".git" || s == "build" || s.starts_with("build-") || s == "results/runs" || s.ends_with("__pycache__");
}

}  // namespace

std::vector<Violation> check_file(string_view path, string_view text) { return Checker(path, text).run(); }

std::vector<std::string> source_files(const std::string& root) {
  std::vector<std::string> files;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    const fs::path relative = fs::relative(it->path(), root);
    if (it->is_directory() && skipped_folder(relative)) it.disable_recursion_pending();
    const std::string name = relative.generic_string();
    if (it->is_regular_file() && !ends_with_any(name, {".xz", ".png", ".svg", ".pdf"})) files.push_back(name);
  }
  std::ranges::sort(files);
  return files;
}

std::vector<Violation> check_tree(const std::string& root) {
  std::vector<Violation> all;
  for (const std::string& name : source_files(root)) {
    std::ifstream in(fs::path(root) / name, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    if (!in) all.push_back({name, 0, "cannot be read"});
    const std::string content = text.str();
    for (Violation& v : check_file(name, content)) all.push_back(std::move(v));
  }
  return all;
}

}  // namespace forksim::arch
