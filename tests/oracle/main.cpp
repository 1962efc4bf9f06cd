// forksim-oracle DIR: replays vector files of the real kernel through the model. See tests/oracle/oracle.hpp.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/oracle/line_reader.hpp"
#include "tests/oracle/oracle.hpp"

namespace forksim::oracle {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kUsage =
    "usage: forksim-oracle [--set TUNABLE=VALUE]... DIR\n"
    "  DIR holds <version>/*.jsonl or *.jsonl.xz, or is one such version folder.\n"
    "  --set overrides a scheduler tunable, to see which cases depend on it.\n";

struct Counts {
  km::u64 passed = 0, failed = 0, skipped = 0;
};

struct Override {
  std::size_t tunable;
  km::u64 value;
};

CaseFn find_case(std::string_view name) {
  for (auto table : {arithmetic_cases(), decision_cases(), scenario_cases()})
    for (const CaseKind& k : table)
      if (k.name == name) return k.run;
  return nullptr;
}

bool has(const std::string& config, std::string_view option) { return config.find(option) != std::string::npos; }

/// Why the file cannot be replayed, or empty; fills `out` from the header line.
std::string configure(const json& header, std::string_view stem, const std::vector<Override>& overrides, Config& out) {
  const std::string config = header.at("config"), source = header.at("source");
  if (!has(source, "Linux 4.19")) return "kernel not modelled: " + source;
  const bool mc = !has(config, "SCHED_MC=n");
  out.profile = *km::find_profile(mc ? "mc-4.19-arm64" : "rpi-4.19-arm64");
  out.profile.fair_group_sched = has(config, "FAIR_GROUP_SCHED=y");
  out.profile.preempt = has(config, "PREEMPT=y") ? km::PreemptModel::full : km::PreemptModel::voluntary;
  km::resolve_tunables(out.profile, 4, {});
  for (const Override& o : overrides) out.profile.tunables[o.tunable] = o.value;
  out.autogroup = has(config, "SCHED_AUTOGROUP=y");
  out.wake_list = !mc;
  out.nohz = stem.ends_with("_nohz");
  out.one_cpu = stem.ends_with("_1cpu");
  return find_case(stem) ? "" : "kind of case not modelled";
}

std::string stem_of(const fs::path& p) {
  std::string s = p.filename().string();
  return s.substr(0, s.find(".jsonl"));
}

Counts run_file(const fs::path& path, const std::string& label, const std::vector<Override>& overrides) {
  LineReader reader(path.string());
  std::string line, first_failure;
  Counts n;
  if (!reader.next(line)) throw std::runtime_error(path.string() + ": empty");
  Config config;
  const std::string stem = stem_of(path);
  const std::string why = configure(json::parse(line), stem, overrides, config);
  const CaseFn run = find_case(stem);
  for (km::u64 number = 2; reader.next(line); ++number) {
    if (!why.empty()) {
      ++n.skipped;
      continue;
    }
    Check check;
    run(config, json::parse(line), check);
    ++(check.ok() ? n.passed : n.failed);
    if (!check.ok() && first_failure.empty())
      first_failure = "  first failure: line " + std::to_string(number) + "\n" + check.text() + "  case: " + line.substr(0, 400) + "\n";
  }
  std::cout << label << ": " << n.passed << " passed, " << n.failed << " failed, " << n.skipped << " skipped";
  if (!why.empty()) std::cout << " (" << why << ")";
  std::cout << "\n" << first_failure << std::flush;
  return n;
}

bool is_vectors(const fs::path& p) { return p.string().ends_with(".jsonl") || p.string().ends_with(".jsonl.xz"); }

/// Vector files of a folder and of its sub-folders, in name order.
std::vector<fs::path> vector_files(const fs::path& dir) {
  std::vector<fs::path> files;
  for (const auto& e : fs::directory_iterator(dir)) {
    if (e.is_regular_file() && is_vectors(e.path())) files.push_back(e.path());
    if (!e.is_directory()) continue;
    for (const auto& f : fs::directory_iterator(e.path()))
      if (f.is_regular_file() && is_vectors(f.path())) files.push_back(f.path());
  }
  std::ranges::sort(files);
  return files;
}

bool parse_override(const std::string& text, std::vector<Override>& out) {
  const std::size_t eq = text.find('=');
  if (eq == std::string::npos) return false;
  for (std::size_t i = 0; i < km::kTunables; ++i)
    if (km::kTunableTable[i].name == text.substr(0, eq)) {
      out.push_back({i, std::stoull(text.substr(eq + 1))});
      return true;
    }
  return false;
}

int main_checked(const std::vector<std::string>& args) {
  std::string dir;
  std::vector<Override> overrides;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const bool set = args[i] == "--set" && i + 1 < args.size();
    if (set ? !parse_override(args[++i], overrides) : (!dir.empty() || args[i].starts_with("--"))) {
      std::cerr << "forksim-oracle: bad argument " << args[i] << "\n" << kUsage;
      return 2;
    }
    if (!set) dir = args[i];
  }
  if (dir.empty() || !fs::is_directory(dir)) {
    std::cerr << "forksim-oracle: " << (dir.empty() ? "no folder given" : dir + ": not a folder") << "\n" << kUsage;
    return 2;
  }
  const std::vector<fs::path> files = vector_files(dir);
  if (files.empty()) {
    std::cerr << "forksim-oracle: " << dir << ": no *.jsonl or *.jsonl.xz in it\n";
    return 2;
  }
  Counts total;
  for (const fs::path& f : files) {
    const std::string version = fs::absolute(f).parent_path().filename().string();
    const Counts n = run_file(f, version + "/" + stem_of(f) + ".jsonl", overrides);
    total.passed += n.passed;
    total.failed += n.failed;
    total.skipped += n.skipped;
  }
  if (total.skipped) std::cout << total.skipped << " skipped: not modelled\n";
  std::cout << total.passed << " passed, " << total.failed << " failed\n";
  return total.failed || total.skipped ? 1 : 0;
}

}  // namespace

void Check::differ(std::string_view what, const std::string& expected, const std::string& actual) {
  constexpr int kShown = 8;
  if (count_++ < kShown) text_ += "    " + std::string(what) + ": expected " + expected + ", actual " + actual + "\n";
}

}  // namespace forksim::oracle

int main(int argc, char** argv) try { return forksim::oracle::main_checked({argv + 1, argv + argc}); } catch (const std::exception& e) {
  std::cerr << "forksim-oracle: " << e.what() << "\n";
  return 3;
}
