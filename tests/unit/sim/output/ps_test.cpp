// The layouts of ps against output recorded from procps-ng 4.0.2 on a real system (ps/*.txt.xz: sessions, threads, zombie, real-time,
// nice).
#include <doctest/doctest.h>

#include <map>
#include <sstream>

#include "sim/output/ps_text.hpp"
#include "tests/traces/text_file.hpp"

TEST_SUITE_BEGIN("sim/output");

using namespace forksim;
using km::s64;
using km::u64;

namespace {

/// The recorded lines after the command that made them.
std::vector<std::string> recorded(const std::string& layout) {
  std::istringstream in(traces::read_text_file(FORKSIM_SOURCE_DIR "/tests/unit/sim/output/ps/" + layout + ".txt.xz"));
  std::vector<std::string> lines;
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) lines.push_back(line);
  return lines;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

s64 number(const std::string& line, std::size_t at, std::size_t width) { return std::stoll(line.substr(at, width)); }
u64 seconds(const std::string& hms) {
  return static_cast<u64>(std::stoll(hms.substr(0, 2)) * 3600 + std::stoll(hms.substr(3, 2)) * 60 + std::stoll(hms.substr(6, 2)));
}

/// The text behind the branches of the tree.
std::string without_tree(std::string text) {
  while (text.starts_with(" |  ") || text.starts_with("    ") || text.starts_with(" \\_ ")) text.erase(0, 4);
  return text;
}

constexpr u64 kSecond = 1'000'000'000, kTick = kSecond / 100;

void compare(const std::vector<std::string>& expected, const std::string& text) {
  const std::vector<std::string> lines = lines_of(text);
  REQUIRE(lines.size() == expected.size());
  for (std::size_t i = 0; i < lines.size(); ++i) CHECK(lines[i] == expected[i]);
}

/// "pts/1" is 1, "?" is -1.
s64 terminal(const std::string& text) { return text.starts_with("pts/") ? std::stoll(text.substr(4)) : -1; }

std::map<s64, ProcessRow> recorded_axjf(const std::vector<std::string>& lines) {
  std::map<s64, ProcessRow> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string& l = lines[i];
    ProcessRow p;
    p.ppid = number(l, 0, 5);
    p.pid = number(l, 6, 5);
    p.pgrp = number(l, 12, 5);
    p.session = number(l, 18, 5);
    p.tty = terminal(l.substr(24, 8));
    p.tpgid = number(l, 33, 5);
    p.uid = number(l, 44, 5);
    const std::string stat = l.substr(39, 4);
    p.locked = stat.find('L') != std::string::npos;
    CHECK((stat.find('+') != std::string::npos) == (p.pgrp == p.tpgid));
    p.state = stat[0];
    if (stat.find('<') != std::string::npos) p.prio = 100;
    if (stat.find('N') != std::string::npos) p.prio = 130;
    if (stat.find('l') != std::string::npos) p.threads = 4;
    p.start = static_cast<u64>(p.pid) * kTick;
    p.cputime = static_cast<u64>(number(l, 50, 3)) * 60 * kSecond + static_cast<u64>(number(l, 54, 2)) * kSecond;
    p.command = without_tree(l.substr(57));
    p.kernel = p.pid == 2 || p.ppid == 2;
    if (p.command[0] == '[') p.comm = p.command.substr(1, p.command.find(']') - 1);
    rows[p.pid] = p;
  }
  return rows;
}

std::vector<ProcessRow> by_pid(const std::map<s64, ProcessRow>& rows) {
  std::vector<ProcessRow> out;
  for (const auto& [pid, p] : rows) out.push_back(p);
  return out;
}

}  // namespace

TEST_CASE("ps axjf: the recorded table, column for column and branch for branch") {
  const std::vector<std::string> lines = recorded("axjf");
  const auto rows = recorded_axjf(lines);
  REQUIRE(rows.size() > 60);
  compare(lines, render_ps(by_pid(rows), PsLayout::axjf, 1000 * kSecond));
}

TEST_CASE("ps -ejH: the recorded table, column for column") {
  const std::vector<std::string> lines = recorded("ejH");
  const auto known = recorded_axjf(recorded("axjf"));
  std::map<s64, ProcessRow> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string& l = lines[i];
    ProcessRow p;
    p.tty = terminal(l.substr(18, 8));
    p.pid = number(l, 0, 5);
    p.pgrp = number(l, 6, 5);
    p.session = number(l, 12, 5);
    p.cputime = seconds(l.substr(27, 8)) * kSecond;
    p.comm = l.substr(l.find_first_not_of(' ', 36));
    p.start = static_cast<u64>(p.pid) * kTick;
    const auto parent = known.find(p.pid);
    p.ppid = parent == known.end() ? 99 : parent->second.ppid;  // ps itself, started by the script 99
    rows[p.pid] = p;
  }
  REQUIRE(rows.size() > 60);
  compare(lines, render_ps(by_pid(rows), PsLayout::ejH, 1000 * kSecond));
}

TEST_CASE("ps -ely: the recorded table, column for column") {
  const std::vector<std::string> lines = recorded("ely");
  const u64 now = 1'000'000 * kSecond;
  std::vector<ProcessRow> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string& l = lines[i];
    ProcessRow p;
    p.uid = number(l, 2, 5);
    p.rss = static_cast<u64>(number(l, 31, 5)) / 4;
    p.vm = static_cast<u64>(number(l, 37, 5));
    p.tty = terminal(l.substr(50, 8));
    p.state = l[0];
    p.pid = number(l, 8, 5);
    p.ppid = number(l, 14, 5);
    p.prio = number(l, 23, 3) + 40;
    p.wchan = l.substr(43, 6);
    if (p.wchan[0] == '-') p.wchan.clear();
    p.cputime = seconds(l.substr(59, 8)) * kSecond + kSecond / 2;
    const u64 percent = static_cast<u64>(number(l, 20, 2));
    p.start = percent ? now - p.cputime * 100 / percent : 0;
    p.comm = l.substr(68);
    p.kernel = p.pid == 2 || p.ppid == 2;
    rows.push_back(p);
  }
  REQUIRE(rows.size() > 60);
  compare(lines, render_ps(rows, PsLayout::ely, now));
}

TEST_CASE("ps: options in any order, with or without the dash, and nothing else") {
  CHECK(find_ps_layout("-ely") == PsLayout::ely);
  CHECK(find_ps_layout("yel") == PsLayout::ely);
  CHECK(find_ps_layout("-ejH") == PsLayout::ejH);
  CHECK(find_ps_layout("axjf") == PsLayout::axjf);
  CHECK_FALSE(find_ps_layout("-ef"));
  CHECK_FALSE(find_ps_layout("eell"));
  CHECK_FALSE(find_ps_layout(""));
}

TEST_CASE("ps: more than a day of CPU time shows its days, and a share of a CPU stops at 99") {
  ProcessRow p;
  p.pid = 7;
  p.comm = "hog";
  p.cputime = (86400 + 3661) * kSecond;
  const std::string text = render_ps({p}, PsLayout::ely, p.cputime);
  CHECK(text.find("S     0") == std::string::npos);
  CHECK(text.ends_with("R     0     7     0 99  80   0     0     0 -      ?        1-01:01:01 hog\n"));
}

TEST_SUITE_END();
