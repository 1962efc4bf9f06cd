#include "sim/output/ps_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <tuple>

#include "sim/metrics/event_fields.hpp"

namespace forksim {

using km::s64;
using km::u64;

namespace {

constexpr u64 kSecond = 1'000'000'000, kClockTick = kSecond / 100;
constexpr u64 kPageKib = 4;

bool zombie(const ProcessRow& p) { return is_dead(p.state); }

/// hh:mm:ss with days in front when there are any.
std::string unix_time(u64 ns) {
  const u64 s = ns / kSecond, days = s / 86400;
  const std::string clock = fmt::format("{:02}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60);
  return days ? fmt::format("{}-{}", days, clock) : clock;
}
std::string bsd_time(u64 ns) { return fmt::format("{}:{:02}", ns / kSecond / 60, ns / kSecond % 60); }

bool realtime(const ProcessRow& p) { return p.prio < 100; }
std::string nice(const ProcessRow& p) { return realtime(p) ? "-" : std::to_string(p.prio - 120); }

std::string stat(const ProcessRow& p) {
  std::string s(1, p.state);
  if (!realtime(p) && p.prio < 120) s += '<';
  if (p.prio > 120) s += 'N';
  if (p.locked && !zombie(p)) s += 'L';
  if (p.session == p.pid) s += 's';
  if (p.threads > 1) s += 'l';
  if (p.tty >= 0 && p.pgrp == p.tpgid) s += '+';
  return s;
}

std::string tty(const ProcessRow& p) { return p.tty < 0 ? "?" : fmt::format("pts/{}", p.tty); }

u64 percent(const ProcessRow& p, u64 now) {
  const u64 age = now > p.start ? now - p.start : 0;
  return age == 0 ? 0 : std::min<u64>(p.cputime * 100 / age, 99);
}

std::string command(const ProcessRow& p) {
  if (zombie(p)) return fmt::format("[{}] <defunct>", p.comm);
  return p.kernel ? fmt::format("[{}]", p.comm) : p.command;
}

std::string line(const ProcessRow& p, PsLayout layout, const std::string& tree, u64 now) {
  switch (layout) {
    case PsLayout::ely: {
      const bool memory = !p.kernel && !zombie(p);
      const std::string wchan = p.wchan.empty() ? "-" : p.wchan.substr(p.wchan.find_first_not_of('_'));
      return fmt::format("{} {:>5} {:>5} {:>5} {:>2} {:>3} {:>3} {:>5} {:>5} {:<6.6} {:<8} {:>8} {}\n", p.state, p.uid, p.pid, p.ppid,
                         percent(p, now), p.prio - 40, nice(p), memory ? p.rss * kPageKib : 0, memory ? p.vm : 0, wchan, tty(p),
                         unix_time(p.cputime), p.comm);
    }
    case PsLayout::ejH:
      return fmt::format("{:>5} {:>5} {:>5} {:<8} {:>8} {}{}\n", p.pid, p.pgrp, p.session, tty(p), unix_time(p.cputime), tree, p.comm);
    default:
      break;
  }
  return fmt::format("{:>5} {:>5} {:>5} {:>5} {:<8} {:>5} {:<4} {:>5} {:>6} {}{}\n", p.ppid, p.pid, p.pgrp, p.session, tty(p), p.tpgid,
                     stat(p), p.uid, bsd_time(p.cputime), tree, command(p));
}

std::string_view header(PsLayout layout) {
  switch (layout) {
    case PsLayout::ely:
      return "S   UID   PID  PPID  C PRI  NI   RSS    SZ WCHAN  TTY          TIME CMD\n";
    case PsLayout::ejH:
      return "  PID  PGID   SID TTY          TIME CMD\n";
    case PsLayout::refs:
      return "  PID  TGID S FILES    FS SIGHAND SIGNAL    MM NSPROXY COMMAND\n";
    case PsLayout::axjf:
      break;
  }
  return " PPID   PID  PGID   SID TTY      TPGID STAT   UID   TIME COMMAND\n";
}

/// procps' show_forest: one line per process, children below their parent.
class Forest {
 public:
  Forest(std::vector<ProcessRow> rows, PsLayout layout, u64 now) : rows_(std::move(rows)), layout_(layout), now_(now) {
    const auto key = [](const ProcessRow& p) { return std::tuple(p.ppid, p.start / kClockTick, p.pid); };
    std::sort(rows_.begin(), rows_.end(), [&](const ProcessRow& a, const ProcessRow& b) { return key(a) < key(b); });
    for (const ProcessRow& p : rows_) pids_.insert(p.pid);
  }

  std::string text() {
    for (std::size_t i = rows_.size(); i-- > 0;)
      if (!pids_.contains(rows_[i].ppid)) show(i, {});
    return out_;
  }

 private:
  /// `above`: for each level of indentation, whether more siblings follow.
  void show(std::size_t self, std::vector<bool> above) {
    const ProcessRow& p = rows_[self];
    out_ += line(p, layout_, indent(above), now_);
    const auto first = std::find_if(rows_.begin(), rows_.end(), [&](const ProcessRow& c) { return c.ppid >= p.pid; });
    const auto last = std::find_if(first, rows_.end(), [&](const ProcessRow& c) { return c.ppid != p.pid; });
    const bool hide = layout_ == PsLayout::axjf && p.pid == kInitPid;
    for (auto c = first; c != last; ++c) {
      std::vector<bool> below = above;
      if (!hide) below.push_back(std::next(c) != last);
      show(static_cast<std::size_t>(c - rows_.begin()), std::move(below));
    }
  }

  std::string indent(const std::vector<bool>& above) const {
    if (layout_ == PsLayout::ejH) return std::string(2 * above.size(), ' ');
    std::string s;
    for (std::size_t i = 0; i < above.size(); ++i) s += i + 1 == above.size() ? " \\_ " : above[i] ? " |  " : "    ";
    return s;
  }

  std::vector<ProcessRow> rows_;
  PsLayout layout_;
  u64 now_;
  std::set<s64> pids_;
  std::string out_;
};

std::string references_line(const RefRow& r) {
  const auto count = [&](Shared kind) {
    const u64 n = r.users[static_cast<std::size_t>(kind)];
    return n ? std::to_string(n) : "-";
  };
  return fmt::format("{:>5} {:>5} {} {:>5} {:>5} {:>7} {:>6} {:>5} {:>7} {}\n", r.pid, r.tgid, r.state, count(Shared::files), count(Shared::fs),
                     count(Shared::sighand), count(Shared::signal), count(Shared::mm), count(Shared::nsproxy), r.comm);
}

}  // namespace

std::optional<PsLayout> find_ps_layout(std::string_view options) {
  constexpr std::pair<std::string_view, PsLayout> kKnown[] = {{"ely", PsLayout::ely}, {"Hej", PsLayout::ejH}, {"afjx", PsLayout::axjf}, {"efrs", PsLayout::refs}};
  std::string letters(options.starts_with('-') ? options.substr(1) : options);
  std::ranges::sort(letters);
  for (const auto& [known, layout] : kKnown)
    if (letters == known) return layout;
  return std::nullopt;
}

std::string render_ps(const std::vector<ProcessRow>& rows, PsLayout layout, u64 now) {
  std::string out(header(layout));
  if (layout != PsLayout::ely) return out + Forest(rows, layout, now).text();
  for (const ProcessRow& p : rows) out += line(p, layout, {}, now);
  return out;
}

std::string render_references(const std::vector<RefRow>& rows) {
  std::string out(header(PsLayout::refs));
  for (const RefRow& r : rows) out += references_line(r);
  return out;
}

}  // namespace forksim
