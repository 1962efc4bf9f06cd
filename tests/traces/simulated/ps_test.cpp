// ps on the simulated machine of workloads/ps_sample.yaml against ps on the real one whose processes that file repeats.
//
// Compared: the rows of the two login sessions and of the orphan in the three layouts - order and shape of the tree, parent, group,
// session, terminal and its foreground group, STAT, UID, PRI, NI, RSS, SZ, WCHAN, CMD and COMMAND. Left out by nature: numbers of processes
// (each becomes its row's), times and shares of a CPU, kernel threads, init, ps itself, and what the shell that ps was started from has by
// its start: its session, its size, and what it waits for (the recorded one is outside any session and runs ps).
#include <algorithm>
#include <map>
#include <sstream>

#include "tests/traces/simulated/run.hpp"

using namespace forksim::traces;

namespace {

struct Row {
  std::vector<std::string> words;  ///< before the command
  std::string command;             ///< with the branches of the tree
};

/// Rows behind the header, `words` columns and then the rest of the line.
std::vector<Row> rows_of(const std::string& text, std::size_t words) {
  std::istringstream in(text);
  std::vector<Row> rows;
  std::size_t at = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("$ ")) continue;
    if (!at) {
      at = line.find(line.ends_with("COMMAND") ? "COMMAND" : "CMD");
      continue;
    }
    std::istringstream w(line);
    Row r;
    for (std::string word; r.words.size() < words && w >> word;) r.words.push_back(word);
    r.command = line.substr(at);
    rows.push_back(std::move(r));
  }
  return rows;
}

bool of_ps(const Row& r) {
  return r.command.find("/ps ") != std::string::npos || r.command.ends_with("/ps") || r.command.ends_with(" ps") || r.command == "ps";
}

/// Of a tree: what is below init, which comes after the kernel's threads; without ps itself.
std::vector<Row> below_init(std::vector<Row> rows, std::size_t pid) {
  const auto init = std::ranges::find_if(rows, [&](const Row& r) { return r.words[pid] == "1"; });
  REQUIRE(init != rows.end());
  rows.erase(rows.begin(), init + 1);
  std::erase_if(rows, of_ps);
  return rows;
}

std::string printed_by_ps(const std::string& layout) { return read_text_file(kSource + "tests/unit/sim/output/ps/" + layout + ".txt.xz"); }

class Sample {
 public:
  Sample() {
    const auto r = forksim::cli::run(FORKSIM_BINARY_DIR "/forksim run workloads/ps_sample.yaml --quiet --out " + out(), FORKSIM_SOURCE_DIR);
    REQUIRE_MESSAGE(r.code == 0, r.err);
  }
  std::string ps(const std::string& layout) const {
    const auto r = forksim::cli::run(FORKSIM_BINARY_DIR "/forksim ps " + out() + " --at 10s " + layout, FORKSIM_SOURCE_DIR);
    REQUIRE_MESSAGE(r.code == 0, r.err);
    return r.out;
  }

 private:
  std::string out() const { return (dir_.path() / "out").string(); }
  forksim::cli::TempDir dir_;
};

const Sample& sample() {
  static const Sample s;
  return s;
}

/// Text of each row with its number, and those in `pids`, replaced by the row they mean; nothing of the shell but its name.
std::vector<std::string> shape(const std::vector<Row>& rows, std::size_t pid, std::vector<std::size_t> pids,
                               const std::vector<std::size_t>& columns) {
  std::map<std::string, std::string> row_of{{"0", "0"}, {"1", "init"}, {"-1", "none"}};
  for (std::size_t i = 0; i < rows.size(); ++i) row_of[rows[i].words[pid]] = "row" + std::to_string(i);
  std::vector<std::string> out;
  for (const Row& r : rows) {
    const bool shell = r.command.starts_with("sh /tmp/go.sh") || r.command == "sh" || r.command == "  sh";
    std::string text;
    for (std::size_t c : pids) text += shell ? "" : (row_of.contains(r.words[c]) ? row_of[r.words[c]] : "gone") + " ";
    for (std::size_t c : columns) text += shell ? "" : r.words[c] + " ";
    out.push_back(text + r.command);
  }
  return out;
}

void same(const std::vector<std::string>& simulated, const std::vector<std::string>& real) {
  CHECK(simulated.size() == real.size());
  CHECK(real.size() >= 25);
  for (std::size_t i = 0; i < std::min(simulated.size(), real.size()); ++i) CHECK(simulated[i] == real[i]);
}

}  // namespace

TEST_CASE("ps axjf of the simulated sessions is that of the recorded ones, but for numbers and times") {
  enum : std::size_t { PPID, PID, PGID, SID, TTY, TPGID, STAT, UID, kWords };
  const auto of = [](const std::string& text) {
    return shape(below_init(rows_of(text, kWords), PID), PID, {PPID, PGID, SID, TPGID}, {TTY, STAT, UID});
  };
  same(of(sample().ps("axjf")), of(printed_by_ps("axjf")));
}

TEST_CASE("ps -ejH of the simulated sessions is that of the recorded ones, but for numbers and times") {
  enum : std::size_t { PID, PGID, SID, TTY, kWords };
  const auto of = [](const std::string& text) { return shape(below_init(rows_of(text, kWords), PID), PID, {PGID, SID}, {TTY}); };
  same(of(sample().ps("-ejH")), of(printed_by_ps("ejH")));
}

TEST_CASE("ps -ely of the simulated sessions is that of the recorded ones, but for numbers, times and the order of concurrent forks") {
  enum : std::size_t { S, UID, PID, PPID, C, PRI, NI, RSS, SZ, WCHAN, TTY, kWords };
  const auto of = [](const std::string& text) {
    std::vector<Row> rows = rows_of(text, kWords);
    std::erase_if(rows, [](const Row& r) { return std::stoi(r.words[PID]) <= 2 || r.words[PPID] == "2" || of_ps(r); });
    std::map<std::string, std::string> name{{"1", "init"}};
    for (const Row& r : rows) name[r.words[PID]] = r.command;
    std::vector<std::string> out;
    for (const Row& r : rows) {
      if (r.command == "sh" && r.words[PPID] == "1") continue;
      std::string line = name[r.words[PPID]] + " > " + r.command + ":";
      for (std::size_t c : {S, UID, PRI, NI, RSS, SZ, WCHAN, TTY}) line += " " + r.words[c];
      out.push_back(line);
    }
    std::ranges::sort(out);
    return out;
  };
  same(of(sample().ps("-ely")), of(printed_by_ps("ely")));
}
