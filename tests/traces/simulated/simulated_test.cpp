// The simulated runs of the recorded programs, laid beside the recordings.
#include <doctest/doctest.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/cli/process.hpp"
#include "tests/traces/compare.hpp"
#include "tests/traces/recordings.hpp"

using namespace forksim::traces;

namespace {

constexpr const char* kPrograms[] = {"a_forkwait", "b_vforkexec", "f_kill", "g_orphan", "h_autoreap"};

/// The program as it ran when it was recorded. In a4 the recorded child takes 18 ms of the clock for its 6 ms: the emulator's CPUs share
/// one instruction clock and take turns, so while the parent burns 12 ms beside it, it gets ahead by a third. Real CPUs run both at once;
/// to compare the same order of events, the child's work is what the clock showed.
std::string workload(const std::string& program, const std::filesystem::path& dir) {
  const std::string file = kWorkloads + program + ".yaml";
  if (program != "a_forkwait") return file;
  std::string text = read_text_file(file);
  const std::string work = "{runtime: 6ms}, {exit_group: 3}";
  const std::size_t at = text.find(work, text.find("a4:"));
  REQUIRE(at != std::string::npos);
  text.replace(at, work.size(), "{runtime: 18200us}, {exit_group: 3}");
  const auto changed = dir / (program + ".yaml");
  forksim::cli::write_file(changed, text);
  return changed.string();
}

std::vector<Event> simulate(const std::string& program, const std::string& kernel) {
  const forksim::cli::TempDir dir;
  const std::string out = (dir.path() / "out").string();
  const auto r = forksim::cli::run(
      FORKSIM_BINARY_DIR "/forksim run '" + workload(program, dir.path()) + "' --kernel " + kernel + " --trace ftrace --quiet --out " + out,
      FORKSIM_SOURCE_DIR);
  REQUIRE_MESSAGE(r.code == 0, r.err);
  const TraceText t = parse_trace(read_text_file(out + "/trace.ftrace"), StateLetters::sane);
  for (const auto& line : t.bad_lines) FAIL_CHECK(program << ": " << line);
  REQUIRE_FALSE(t.events.empty());
  return t.events;
}

/// Children that died more than two grace periods before the end without being freed. (check_trace finds those freed too early or twice.)
std::vector<long> never_freed(const std::vector<Event>& events) {
  constexpr std::uint64_t kLongEnough = 40'000'000;
  std::map<long, std::uint64_t> died;
  for (const Event& e : events) {
    if (e.name == "sched_switch" && (field(e.body, "prev_state") == "Z" || field(e.body, "prev_state") == "X"))
      died[number(e.body, "prev_pid")] = e.ns;
    if (e.name == "sched_process_free") died.erase(number(e.body, "pid"));
  }
  std::vector<long> left;
  for (const auto& [pid, ns] : died)
    if (events.back().ns - ns > kLongEnough) left.push_back(pid);
  return left;
}

void check_program(const std::string& program, const std::string& kernel, const std::string& folder) {
  CAPTURE(program);
  const auto real = recorded(folder, program);
  const auto simulated = simulate(program, kernel);
  for (const auto& d : check_trace(simulated)) FAIL_CHECK(d);
  for (const auto& d : compare(reduce(real), reduce(simulated))) FAIL_CHECK(d);
  CHECK(never_freed(simulated).empty());
  CHECK(never_freed(real).empty());
}

}  // namespace

TEST_SUITE("traces") {
  TEST_CASE("event order on the Raspberry Pi topology is that of the recordings") {
    for (const char* program : kPrograms) check_program(program, "rpi-4.19-arm64", "4.19-arm64-rpi-icount");
  }
  TEST_CASE("event order on the shared-cache topology is that of the recordings") {
    for (const char* program : kPrograms) check_program(program, "mc-4.19-arm64", "4.19-arm64-icount");
  }
}
