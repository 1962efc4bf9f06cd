// Files on disk: the bad ones with their exact messages, the shipped ones, and mutations of the shipped ones.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/sim/workload/support.hpp"

using namespace forksim;
using namespace forksim::test;
namespace fs = std::filesystem;

namespace {

std::string slurp(const fs::path& p) {
  std::ifstream in(p, std::ios::binary);
  std::ostringstream s;
  s << in.rdbuf();
  return s.str();
}

std::vector<fs::path> yaml_files(const char* folder) {
  std::vector<fs::path> out;
  for (const auto& e : fs::directory_iterator(fs::path(FORKSIM_SOURCE_DIR) / folder))
    if (e.path().extension() == ".yaml") out.push_back(e.path());
  std::ranges::sort(out);
  return out;
}

const Vocabulary kMetrics{{"fork_call", "fork_to_run", "wakeup", "run_delay"}};

/// Messages call the file by its full name; the expectations by its last part.
std::string without_folder(std::string text, const fs::path& file) {
  const std::string full = file.string(), name = file.filename().string();
  for (std::size_t at = 0; (at = text.find(full, at)) != std::string::npos; at += name.size()) text.replace(at, full.size(), name);
  return text;
}

}  // namespace

TEST_SUITE_BEGIN("sim/workload");

TEST_CASE("bad files: each is refused with exactly the messages that stand beside it") {
  const auto files = yaml_files("tests/cli/bad");
  CHECK(files.size() >= 40);
  for (const fs::path& f : files) {
    CAPTURE(f.filename().string());
    fs::path expected = f;
    expected.replace_extension(".expected");
    const std::string wanted = slurp(expected);
    CHECK_FALSE(wanted.empty());
    CHECK(without_folder(validate_file(f.string(), kMetrics).text(), f) == wanted);
  }
}

TEST_CASE("bad files: every message has a place, and every place is in the file") {
  for (const fs::path& f : yaml_files("tests/cli/bad")) {
    const std::string text = slurp(f);
    const auto lines = std::ranges::count(text, '\n');
    const Diagnostics diags = validate_file(f.string(), kMetrics);
    for (const Diagnostic& d : diags.list()) {
      CAPTURE(f.filename().string());
      CHECK(d.line >= 1);
      CHECK(d.line <= lines);
      CHECK(d.col >= 1);
      CHECK(static_cast<std::size_t>(d.col) <= d.source_line.size() + 1);
    }
  }
}

TEST_CASE("a file that is not there is refused by name") {
  CHECK(validate_file("no/such.yaml", {}).text() == "no/such.yaml: cannot read the file, give a readable YAML file\n");
}

TEST_CASE("shipped workloads: each has a description and a source, compiles, and resolves to a fixed point") {
  std::vector<fs::path> files = yaml_files("workloads");
  for (const fs::path& f : yaml_files("tests/traces/workloads")) files.push_back(f);
  CHECK(files.size() >= 24);
  for (const fs::path& f : files) {
    CAPTURE(f.filename().string());
    Diagnostics d;
    const ResolvedRun run = resolve_run(f.string(), {}, {}, d);
    REQUIRE_MESSAGE(d.ok(), d.text());
    CHECK(run.workload.description.size() > 20);
    CHECK(run.workload.source.size() > 10);
    CHECK(run.workload.name == f.stem().string());
    const std::string once = resolved_yaml(run, {});
    const ResolvedRun again = resolve_text(once, "resolved.yaml", {}, {}, d);
    REQUIRE_MESSAGE(d.ok(), d.text());
    CHECK(resolved_yaml(again, {}) == once);
    CHECK(again.workload.code.size() == run.workload.code.size());
  }
}

TEST_CASE("workloads/README.md names every shipped file and every action, and its example is valid") {
  const std::string text = slurp(fs::path(FORKSIM_SOURCE_DIR) / "workloads/README.md");
  for (const fs::path& f : yaml_files("workloads"))
    CHECK_MESSAGE(text.find("`" + f.stem().string() + "`") != std::string::npos, f.string());
  for (const NamedDoc& a : schema_actions()) CHECK_MESSAGE(text.find("`" + std::string(a.name) + "`") != std::string::npos, a.name);
  const std::size_t from = text.find("```yaml\n") + 8;
  Diagnostics d;
  resolve_text(text.substr(from, text.find("```", from) - from), "example.yaml", {}, {}, d);
  CHECK_MESSAGE(d.ok(), d.text());
}

TEST_CASE("costs files: the platforms' are fine, unknown and missing phases and values outside their band are refused") {
  const fs::path file = fs::path(FORKSIM_SOURCE_DIR) / "platforms/bcm2711.costs.yaml";
  CHECK(validate_file(file.string(), {}).ok());
  std::string text = slurp(file);
  const std::size_t at = text.find("\n  tick:\n");
  REQUIRE(at != std::string::npos);
  text.replace(at, 9, "\n  tikc:\n");
  const fs::path bad = fs::temp_directory_path() / "forksim_bad_costs.yaml";
  std::ofstream(bad) << text;
  const std::string messages = validate_file(bad.string(), {}).text();
  CHECK(messages.find("phases.tikc: unknown phase, see forksim list phases, did you mean \"tick\"?") != std::string::npos);
  CHECK(messages.find("1 phases are missing: tick") != std::string::npos);
  std::ofstream(bad) << "schema: forksim.costs/1\nphases:\n  tick: {value: 3us, low: 1us, high: 2us, basis: assumed, source: x}\n";
  CHECK(validate_file(bad.string(), {}).text().find(":3:17: phases.tick.value: 3us is outside its band 1us..2us") != std::string::npos);
  fs::remove(bad);
}

TEST_CASE("mutations of the shipped files never crash the reader or the compiler") {
  constexpr u64 kSeed = 20;
  MESSAGE("seed " << kSeed);
  const std::vector<fs::path> files = yaml_files("workloads");
  static constexpr const char* kPieces[] = {
      "{",  "}",  "[",    "]",     ":",    "- ", "\n",     "${", "$x",   "0",       "-1", "99999999999999999999",
      "&a", "*a", "<<: ", "\"",    "'",    "#",  "!!int ", "~",  "null", "forever", "\t", "|",
      ">",  "%",  "@",    "1.5ns", "x: y", ","};
  u64 s = kSeed;
  int accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string text = slurp(files[below(next_u64(s), files.size())]);
    const u64 edits = 1 + below(next_u64(s), 3);
    for (u64 e = 0; e < edits; ++e) {
      const std::size_t at = below(next_u64(s), text.size());
      const std::size_t length = below(next_u64(s), 8);
      const u64 what = below(next_u64(s), 3);
      const std::string piece = kPieces[below(next_u64(s), std::size(kPieces))];
      if (what == 0) text.insert(at, piece);
      if (what == 1) text.erase(at, length);
      if (what == 2) text.replace(at, length, piece);
    }
    Diagnostics d;
    const ResolvedRun run = resolve_text(text, "mutant.yaml", {}, {}, d);
    accepted += d.ok();
    if (!d.ok()) CHECK_FALSE(d.text().empty());
  }
  CHECK(accepted > 50);    // some mutations only touch words and comments
  CHECK(accepted < 1200);  // most are refused
}

TEST_SUITE_END();
