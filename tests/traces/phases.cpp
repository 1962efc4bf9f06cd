#include "tests/traces/phases.hpp"

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string_view>

namespace forksim::traces {

namespace {

/// System calls of the recording's filter (arm64 numbers); `pid_result`: a positive result is a pid.
struct Syscall {
  const char* name;
  bool pid_result;
};
const std::map<long, Syscall> kSyscalls = {{93, {"exit", false}},  {94, {"exit_group", false}}, {95, {"waitid", true}},
                                           {98, {"futex", false}}, {101, {"nanosleep", false}}, {115, {"clock_nanosleep", false}},
                                           {129, {"kill", false}}, {220, {"clone", true}},      {221, {"execve", false}},
                                           {260, {"wait4", true}}, {435, {"clone3", true}}};

const std::map<std::string, StepKind, std::less<>> kKinds = {
    {"sys_enter", StepKind::sys_enter},     {"sys_exit", StepKind::sys_exit},           {"task_newtask", StepKind::newtask},
    {"sched_process_fork", StepKind::fork}, {"sched_wakeup_new", StepKind::wakeup_new}, {"sched_waking", StepKind::waking},
    {"sched_wakeup", StepKind::wakeup},     {"sched_migrate_task", StepKind::migrate},  {"sched_switch", StepKind::switch_},
    {"sched_process_wait", StepKind::wait}, {"sched_process_exit", StepKind::exit},     {"sched_process_free", StepKind::free},
    {"task_rename", StepKind::rename},      {"sched_process_exec", StepKind::exec},     {"signal_generate", StepKind::generate},
    {"signal_deliver", StepKind::deliver}};

/// tracefs shows a time rounded to the microsecond; the recordings' order.txt subtracts such times.
constexpr std::uint64_t to_us(std::uint64_t ns) { return (ns + 500) / 1000; }

class Reducer {
 public:
  std::vector<Phase> run(const std::vector<Event>& events) {
    for (const Event& e : events) {
      current_[e.cpu] = e.pid;
      note_wait(e);
      if (e.name == "print")
        begin_phase(e);
      else if (!phases_.empty())
        take(e);
      if (e.name == "sched_switch") current_[e.cpu] = static_cast<int>(number(e.body, "next_pid"));
    }
    return std::move(phases_);
  }

 private:
  void begin_phase(const Event& e) {
    if (phases_.empty()) p_ = e.pid;
    if (e.pid != p_) throw std::runtime_error("a mark by another task: " + e.body);
    phases_.push_back({e.body, e.ns, e.cpu, {}});
    names_ = {{p_, "P"}};
  }

  bool ours(long pid) const { return names_.contains(pid); }
  std::string task(long pid) const {
    const auto it = names_.find(pid);
    return it != names_.end() ? it->second : pid == 0 ? "-" : "o";
  }
  std::string task_or_number(long pid) const { return ours(pid) || pid == 0 ? task(pid) : std::to_string(pid); }

  void take(const Event& e) {
    const auto kind = kKinds.find(e.name);
    if (kind == kKinds.end()) return;
    Step s;
    s.ns = e.ns;
    s.cpu = e.cpu;
    s.kind = kind->second;
    if (s.kind == StepKind::newtask && ours(e.pid)) names_[number(e.body, "pid")] = std::string("C").append(std::to_string(names_.size()));
    s.who = task(e.pid);
    if (!fill(s, e)) return;
    phases_.back().steps.push_back(std::move(s));
    if (phases_.back().steps.back().state == "X")
      last_switch_[number(e.body, "prev_pid")] = {phases_.size() - 1, phases_.back().steps.size() - 1, waiting_};
  }

  /// Follows who is inside wait4 and has not slept there, to find out which last switches came after the parent had claimed the task.
  void note_wait(const Event& e) {
    if (e.name == "sys_enter" && e.body.starts_with("NR 260 ")) waiting_[e.pid] = e.ns;
    if (e.name == "sys_exit" || e.name == "sched_switch") waiting_.erase(e.pid);
    if (e.name != "release_task") return;
    const auto last = last_switch_.find(number(e.body, "pid"));
    if (last == last_switch_.end()) return;
    const auto now = waiting_.find(e.pid), then = last->second.waiting.find(e.pid);
    if (now == waiting_.end() || then == last->second.waiting.end() || now->second != then->second) return;
    phases_[last->second.phase].steps[last->second.step].reaped_early = true;
  }

  /// Completes a step; false when it concerns no task of this phase.
  bool fill(Step& s, const Event& e) {
    switch (s.kind) {
      case StepKind::sys_enter:
      case StepKind::sys_exit:
        return ours(e.pid) && fill_syscall(s, e);
      case StepKind::switch_:
        return fill_switch(s, e);
      case StepKind::newtask:
        s.detail = field(e.body, "clone_flags").value_or("?");
        return fill_subject(s, e);
      case StepKind::fork:
        s.subject = task(number(e.body, "child_pid"));
        return ours(e.pid);
      case StepKind::wakeup_new:
      case StepKind::waking:
      case StepKind::wakeup:
        return fill_target(s, e, "target_cpu");
      case StepKind::migrate:
        s.detail = field(e.body, "orig_cpu").value_or("?");
        return fill_target(s, e, "dest_cpu");
      case StepKind::wait:
        s.subject = task_or_number(number(e.body, "pid"));
        return ours(e.pid);
      case StepKind::generate:
        return fill_signal(s, e);
      case StepKind::deliver:
        s.detail = "sig=" + *field(e.body, "sig") + " code=" + *field(e.body, "code");
        return ours(e.pid);
      case StepKind::exit:
      case StepKind::free:
      case StepKind::rename:
      case StepKind::exec:
        return fill_subject(s, e);
    }
    return false;
  }

  bool fill_subject(Step& s, const Event& e) {
    const long pid = number(e.body, "pid");
    s.subject = task(pid);
    return ours(pid);
  }

  bool fill_target(Step& s, const Event& e, const char* key) {
    s.target_cpu = static_cast<int>(number(e.body, key));
    const auto running = current_.find(static_cast<unsigned>(s.target_cpu));
    s.target_free = running == current_.end() || !ours(running->second);
    return fill_subject(s, e);
  }

  bool fill_syscall(Step& s, const Event& e) {
    long nr = 0, ret = 0;
    const int read = std::sscanf(e.body.c_str(), "NR %ld = %ld", &nr, &ret);
    const auto call = kSyscalls.find(nr);
    if (read < 1 || call == kSyscalls.end()) return false;
    s.detail = call->second.name;
    if (s.kind == StepKind::sys_enter) return true;
    if (read != 2) throw std::runtime_error("no result in: " + e.body);
    s.detail += call->second.pid_result && ret > 0 ? "=pid" : std::string("=").append(std::to_string(ret));
    return true;
  }

  bool fill_switch(Step& s, const Event& e) {
    const long prev = number(e.body, "prev_pid"), next = number(e.body, "next_pid");
    s.prev = task(prev);
    s.subject = task(next);
    s.state = field(e.body, "prev_state").value_or("?");
    return ours(prev) || ours(next);
  }

  bool fill_signal(Step& s, const Event& e) {
    const long pid = number(e.body, "pid");
    s.subject = task_or_number(pid);
    s.detail = "sig=" + *field(e.body, "sig") + " code=" + *field(e.body, "code") + " to=" + s.subject + " grp=" + *field(e.body, "grp") +
               " res=" + *field(e.body, "res");
    return ours(e.pid) || ours(pid);
  }

  std::vector<Phase> phases_;
  std::map<long, std::string> names_;  ///< pid to P, C1 ...
  struct LastSwitch {
    std::size_t phase, step;
    std::map<long, std::uint64_t> waiting;  ///< waiting_ at that moment
  };
  std::map<long, LastSwitch> last_switch_;  ///< by pid
  std::map<long, std::uint64_t> waiting_;   ///< pid inside wait4, awake since it entered, and when it entered
  std::map<unsigned, int> current_;         ///< CPU to the pid that runs there
  int p_ = 0;
};

}  // namespace

std::string to_text(const Step& s) {
  const std::string at = s.subject + "@" + std::to_string(s.target_cpu);
  switch (s.kind) {
    case StepKind::sys_enter:
      return ">" + s.detail;
    case StepKind::sys_exit:
      return "<" + s.detail;
    case StepKind::newtask:
      return "task_newtask(" + s.subject + " flags=" + s.detail + ")";
    case StepKind::fork:
      return "sched_process_fork";
    case StepKind::wakeup_new:
      return "wakeup_new(" + at + ")";
    case StepKind::waking:
      return "waking(" + at + ")";
    case StepKind::wakeup:
      return "wakeup(" + at + ")";
    case StepKind::migrate:
      return "migrate(" + s.subject + " " + s.detail + "->" + std::to_string(s.target_cpu) + ")";
    case StepKind::switch_:
      return "switch(" + s.prev + ":" + s.state + "->" + s.subject + ")";
    case StepKind::wait:
      return "sched_process_wait(" + s.subject + ")";
    case StepKind::exit:
      return "sched_process_exit";
    case StepKind::free:
      return "sched_process_free(" + s.subject + ")";
    case StepKind::rename:
      return "task_rename";
    case StepKind::exec:
      return "sched_process_exec";
    case StepKind::generate:
      return "signal_generate(" + s.detail + ")";
    case StepKind::deliver:
      return "signal_deliver(" + s.detail + ")";
  }
  return "?";
}

std::vector<Phase> reduce(const std::vector<Event>& events) { return Reducer().run(events); }

std::string order_text(const std::vector<Phase>& phases) {
  std::string text;
  for (const Phase& p : phases) {
    text += "== " + p.mark + "\n";
    for (const Step& s : p.steps) {
      char head[64];
      std::snprintf(head, sizeof head, "%8llu c%u ", static_cast<unsigned long long>(to_us(s.ns) - to_us(p.ns)), s.cpu);
      text += head + s.who + ": " + to_text(s) + "\n";
    }
  }
  return text;
}

}  // namespace forksim::traces
