#include "sim/study/divergence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <map>
#include <string_view>

namespace forksim {

namespace {

using std::string_view;

constexpr std::size_t kContext = 4;      ///< events shown before a difference
constexpr std::size_t kNamesPerCpu = 8;  ///< waiting tasks named; the rest is counted

/// The parts of a line of ftrace text.
struct Event {
  string_view task, cpu, stamp, name, fields;
};

Event split(string_view line) {
  Event e;
  const std::size_t open = line.find(" ["), close = line.find(']', open);
  const std::size_t colon = line.find(": ", close);
  if (open == string_view::npos || close == string_view::npos || colon == string_view::npos) return {line, {}, {}, {}, {}};
  e.task = line.substr(0, open);
  e.cpu = line.substr(open + 2, close - open - 2);
  const std::size_t stamp = line.rfind(' ', colon);
  e.stamp = line.substr(stamp + 1, colon - stamp - 1);
  const string_view rest = line.substr(colon + 2);
  const std::size_t end = rest.find(':');
  e.name = rest.substr(0, end);
  if (end != string_view::npos) e.fields = rest.substr(std::min(rest.find_first_not_of(' ', end + 1), rest.size()));
  return e;
}

/// The value after `key=`; empty when there is none.
string_view field(string_view fields, string_view key) {
  for (std::size_t at = fields.find(key); at != string_view::npos; at = fields.find(key, at + 1)) {
    const bool begins = at == 0 || fields[at - 1] == ' ';
    if (!begins || at + key.size() >= fields.size() || fields[at + key.size()] != '=') continue;
    const string_view value = fields.substr(at + key.size() + 1);
    return value.substr(0, value.find(' '));
  }
  return {};
}

int number(string_view text) { return std::atoi(std::string(text).c_str()); }

/// Events whose fields are measured times: they follow the dates and say nothing about what happened.
bool measures_time(string_view name) {
  constexpr std::array<string_view, 7> kMeasured{"sched_stat_runtime", "sched_stat_wait",   "sched_stat_sleep", "sched_stat_blocked",
                                                 "sched_stat_iowait",  "sched_info_arrive", "task_acct"};
  return std::ranges::find(kMeasured, name) != kMeasured.end();
}

bool same_but_for_dates(string_view a, string_view b) {
  const Event x = split(a), y = split(b);
  return x.task == y.task && x.cpu == y.cpu && x.name == y.name && (measures_time(x.name) || x.fields == y.fields);
}

/// What the run queues hold, as far as the trace has told.
class Machine {
 public:
  void apply(string_view line) {
    const Event e = split(line);
    const int cpu = number(e.cpu);
    if (e.name == "sched_switch") return switched(cpu, e.fields);
    if (e.name == "sched_wakeup" || e.name == "sched_wakeup_new")
      return queue(number(field(e.fields, "target_cpu")), number(field(e.fields, "pid")), field(e.fields, "comm"));
    if (e.name == "sched_migrate_task" && waiting_.contains(number(field(e.fields, "pid"))))
      return queue(number(field(e.fields, "dest_cpu")), number(field(e.fields, "pid")), field(e.fields, "comm"));
  }

  std::vector<std::string> state() const {
    int last = running_.empty() ? -1 : running_.rbegin()->first;
    for (const auto& [pid, w] : waiting_) last = std::max(last, w.cpu);
    std::vector<std::string> out;
    for (int cpu = 0; cpu <= last; ++cpu) out.push_back(one(cpu));
    return out;
  }

 private:
  struct Waiter {
    int cpu = 0;
    std::string comm;
    km::u64 since = 0;
  };

  void queue(int cpu, int pid, string_view comm) { waiting_[pid] = {cpu, std::string(comm), ++order_}; }

  void switched(int cpu, string_view fields) {
    const int prev = number(field(fields, "prev_pid")), next = number(field(fields, "next_pid"));
    if (prev != 0 && field(fields, "prev_state").starts_with('R')) queue(cpu, prev, field(fields, "prev_comm"));
    waiting_.erase(next);
    running_[cpu] = next == 0 ? "idle" : fmt::format("{}-{}", field(fields, "next_comm"), next);
  }

  std::string one(int cpu) const {
    std::vector<std::pair<int, const Waiter*>> here;
    for (const auto& [pid, w] : waiting_)
      if (w.cpu == cpu) here.emplace_back(pid, &w);
    std::ranges::sort(here, {}, [](const auto& w) { return w.second->since; });
    const auto runs = running_.find(cpu);
    std::string text = fmt::format("CPU {}: {}", cpu, runs == running_.end() ? "idle" : runs->second + (runs->second == "idle" ? "" : " runs"));
    if (!here.empty()) text += fmt::format(", {} waiting:", here.size());
    for (std::size_t i = 0; i < here.size() && i < kNamesPerCpu; ++i) text += fmt::format(" {}-{}", here[i].second->comm, here[i].first);
    return text + (here.size() > kNamesPerCpu ? " ..." : "");
  }

  std::map<int, Waiter> waiting_;       ///< by pid
  std::map<int, std::string> running_;  ///< by CPU
  km::u64 order_ = 0;
};

/// Events of one trace, comments left out.
class Lines {
 public:
  explicit Lines(std::FILE* file) : file_(file) {}
  ~Lines() { std::free(buffer_); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  /// The next event; false at the end.
  bool next(std::string& line) {
    line.clear();
    while (true) {
      const ssize_t n = getline(&buffer_, &size_, file_);
      if (n <= 0) return false;
      if (buffer_[0] == '#') continue;
      line.assign(buffer_, static_cast<std::size_t>(n));
      while (line.ends_with('\n')) line.pop_back();
      return true;
    }
  }

 private:
  std::FILE* file_;
  char* buffer_ = nullptr;
  std::size_t size_ = 0;
};

std::string trimmed(const std::string& line) { return line.substr(std::min(line.find_first_not_of(' '), line.size())); }

void render_place(const char* title, const DivergencePlace& p, std::string& out) {
  out += fmt::format("{}: event {} (counted from 0)\n", title, p.event);
  for (const std::string& b : p.before) out += "    both   " + trimmed(b) + '\n';
  out += "    base   " + (p.base.line.empty() ? "(the trace has ended)" : trimmed(p.base.line)) + '\n';
  out += "    new    " + (p.next.line.empty() ? "(the trace has ended)" : trimmed(p.next.line)) + '\n';
  const std::size_t cpus = std::max(p.base.state.size(), p.next.state.size());
  for (std::size_t i = 0; i < cpus; ++i) {
    const std::string a = i < p.base.state.size() ? p.base.state[i] : "", b = i < p.next.state.size() ? p.next.state[i] : "";
    out += a == b ? fmt::format("    both   {}\n", a) : fmt::format("    base   {}\n    new    {}\n", a, b);
  }
}

}  // namespace

Divergence find_divergence(std::FILE* base, std::FILE* next) {
  Lines x(base), y(next);
  Machine left, right;
  std::deque<std::string> before;
  std::string a, b;
  Divergence d;
  for (;; ++d.events) {
    const bool more_a = x.next(a), more_b = y.next(b);
    if (!more_a && !more_b) return d;
    if (a != b) {
      const DivergencePlace here{d.events, {before.begin(), before.end()}, {a, left.state()}, {b, right.state()}};
      if (!d.any) d.any = here;
      if (!more_a || !more_b || !same_but_for_dates(a, b)) {
        d.order = here;
        return d;
      }
    }
    left.apply(a);
    right.apply(b);
    before.push_back(a);
    if (before.size() > kContext) before.pop_front();
  }
}

std::string render_divergence(const Divergence& d) {
  if (!d.any) return fmt::format("traces: all {} events are the same\n", d.events);
  std::string out;
  const bool one = d.order && d.order->event == d.any->event;
  render_place(one ? "first difference" : "first difference, in time only", *d.any, out);
  if (!d.order) return out + fmt::format("order: all {} events are the same but for dates and measured times\n", d.events);
  if (!one) render_place("first difference in what happens", *d.order, out);
  return out;
}

}  // namespace forksim
