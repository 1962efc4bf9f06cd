#include "sim/output/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "sim/output/process_table.hpp"
#include "sim/output/time_text.hpp"
#include "sim/output/wchan.hpp"

namespace forksim {

using km::s64;
using km::u64;

namespace {

constexpr std::string_view kWaiting = "waiting to run", kRunning = "running", kPreempted = "preempted", kExiting = "exiting",
                           kZombie = "zombie", kDead = "dead until RCU", kSleeping = "sleeping";

struct SignalName {
  s64 number;
  std::string_view name;
};
constexpr SignalName kSignals[] = {
#define SIGNAL(name, number) {number, #name},
#include "sim/config/signals.def"
#undef SIGNAL
};
std::string signal_text(s64 sig) {
  const auto* s = std::ranges::find(kSignals, sig, &SignalName::number);
  return s == std::end(kSignals) ? fmt::format("signal {}", sig) : fmt::format("signal {} ({})", sig, s->name);
}

/// Who ran where: the names of tasks as they change, and the switches of each CPU.
class Machine {
 public:
  void apply(const LifeEvent& e) {
    const LifeRow& r = e.row;
    if (e.kind == LifeKind::boot || e.kind == LifeKind::fork || e.kind == LifeKind::name) names_[r.pid] = r.text;
    if (e.kind == LifeKind::takeover) names_[r.pid] = name(r.other);
    if (e.kind == LifeKind::exec) names_[r.pid] = comm_of_file(r.text);
    if (e.kind == LifeKind::run) switches_[r.cpu].push_back({r.time_ns, r.pid, who(r.pid)});
  }
  std::string who(s64 pid) const {
    if (pid == 0) return "idle";
    const auto it = names_.find(pid);
    return it == names_.end() ? fmt::format("pid {}", pid) : fmt::format("pid {} ({})", pid, it->second);
  }
  std::string name(s64 pid) const {
    const auto it = names_.find(pid);
    return it == names_.end() ? std::string{} : it->second;
  }
  /// "pid 7 (hog) 1.200000 ms, idle 0.003000 ms": who had the CPU from `a` to `b`, longest first, at most three.
  std::string ran(u64 cpu, u64 a, u64 b) const {
    std::vector<std::pair<std::string, u64>> shares = shares_of(cpu, a, b);
    std::ranges::stable_sort(shares, std::ranges::greater{}, &std::pair<std::string, u64>::second);
    constexpr std::size_t kShown = 3;
    std::string text;
    for (std::size_t i = 0; i < std::min(kShown, shares.size()); ++i)
      text += fmt::format("{}{} {} ms", i ? ", " : "", shares[i].first, exact_ms(shares[i].second));
    if (shares.size() > kShown) text += fmt::format(" and {} more", shares.size() - kShown);
    return text;
  }

 private:
  struct Switch {
    u64 at;
    s64 pid;
    std::string who;
  };
  std::vector<std::pair<std::string, u64>> shares_of(u64 cpu, u64 a, u64 b) const {
    std::vector<std::pair<std::string, u64>> shares;
    const auto on = switches_.find(cpu);
    if (on == switches_.end()) return shares;
    const std::vector<Switch>& all = on->second;
    auto s = std::ranges::upper_bound(all, a, {}, &Switch::at);
    if (s != all.begin()) --s;
    for (; s != all.end() && s->at < b; ++s) {
      const u64 end = std::next(s) == all.end() ? b : std::min(std::next(s)->at, b), start = std::max(s->at, a);
      if (end <= start) continue;
      const auto known = std::ranges::find(shares, s->who, &std::pair<std::string, u64>::first);
      if (known == shares.end())
        shares.emplace_back(s->who, end - start);
      else
        known->second += end - start;
    }
    return shares;
  }

  std::map<s64, std::string> names_;
  std::map<u64, std::vector<Switch>> switches_;
};

/// One life being put together: the open phase and those before it.
class Builder {
 public:
  Builder(s64 pid, u64 start, std::string title) : since_(start) {
    life_.pid = pid;
    life_.title = std::move(title);
  }

  void begin(std::string_view phase, u64 now, s64 cpu, std::string why) {
    close(now);
    open_ = {now, 0, cpu, std::string(phase), std::move(why)};
  }
  void note(const std::string& text) {
    if (!text.empty()) open_.why += (open_.why.empty() ? "" : "; ") + text;
  }
  void close(u64 now) {
    if (open_.phase.empty()) return;
    open_.duration_ns = now - open_.start_ns;
    life_.phases.push_back(open_);
    open_.phase.clear();
  }
  PhaseRow& open() { return open_; }
  bool in(std::string_view phase) const { return std::string_view(open_.phase).starts_with(phase); }
  TaskLife finish(u64 now, bool complete) {
    if (!complete) note("still so where the file ends");
    close(now);
    life_.complete = complete;
    sum(now - since_);
    return std::move(life_);
  }

  bool exiting = false;

 private:
  void sum(u64 whole) {
    for (const PhaseRow& p : life_.phases) {
      auto s = std::ranges::find(life_.sums, p.phase, &PhaseSumRow::phase);
      if (s == life_.sums.end()) s = life_.sums.insert(s, {p.phase, 0, 0, 0, 0});
      ++s->count;
      s->total_ns += p.duration_ns;
      s->max_ns = std::max(s->max_ns, p.duration_ns);
    }
    for (PhaseSumRow& s : life_.sums) s.share = whole ? static_cast<double>(s.total_ns) / static_cast<double>(whole) : 0;
  }

  TaskLife life_;
  PhaseRow open_;
  u64 since_;
};

/// Walks over the file once, following one pid.
class Explainer {
 public:
  explicit Explainer(s64 pid) : pid_(pid) {}

  std::vector<TaskLife> run(const Life& life) {
    for (const LifeEvent& e : life.events) {
      if (e.row.pid == pid_ || (e.kind == LifeKind::run && e.row.other == pid_)) about_us(e);
      if (e.kind == LifeKind::takeover && e.row.other == pid_) moved_on(e.row);
      machine_.apply(e);
    }
    for (Builder& b : lives_) done_.push_back(b.finish(life.complete_until, false));
    return std::move(done_);
  }

 private:
  void about_us(const LifeEvent& e) {
    const LifeRow& r = e.row;
    if (e.kind == LifeKind::boot || e.kind == LifeKind::fork) return born(e);
    if (lives_.empty()) return;
    if (e.kind == LifeKind::freed) {
      done_.push_back(lives_.front().finish(r.time_ns, true));
      lives_.erase(lives_.begin());
      return;
    }
    if (e.kind == LifeKind::takeover) return took_over(r);
    // A leader that was taken over is released while the new owner of its pid runs.
    const auto due = std::ranges::find_if(lives_, [](const Builder& l) { return !l.in(kDead); });
    if (due == lives_.end()) return;
    Builder& b = e.kind == LifeKind::reaped ? *due : lives_.back();
    if (e.kind == LifeKind::run) return r.pid == pid_ ? switch_in(b, r) : switch_out(b, r);
    change(e, b);
  }

  void born(const LifeEvent& e) {
    const LifeRow& r = e.row;
    const std::string name = fmt::format("pid {} ({})", r.pid, r.text);
    if (e.kind == LifeKind::boot) {
      lives_.emplace_back(pid_, r.time_ns, fmt::format("{}: there when the run began, child of {}", name, machine_.who(r.other)));
      const std::string_view wchan = wchan_of_loop(r.text);
      lives_.back().begin(sleep_phase(r.state, wchan), r.time_ns, -1, {});
      return;
    }
    const char* how = r.other == kInitPid ? "started by the workload as a child of" : "forked by";
    lives_.emplace_back(pid_, r.time_ns, fmt::format("{}: {} {}, clone flags 0x{:x}", name, how, machine_.who(r.other), r.value));
    lives_.back().begin("created", r.time_ns, static_cast<s64>(r.cpu), {});
  }

  static std::string sleep_phase(const std::string& state, std::string_view wchan) {
    if (state.starts_with('T')) return "stopped";
    if (state.starts_with('t')) return "stopped for tracer";
    const std::string_view word = sleep_word(wchan);
    if (!word.empty()) return fmt::format("{} in {}", kSleeping, word);
    return fmt::format("{} ({})", kSleeping, wchan.empty() ? state : std::string(wchan));
  }

  void switch_in(Builder& b, const LifeRow& r) {
    if (b.in(kZombie)) return;
    PhaseRow& o = b.open();
    if (b.in(kWaiting) || b.in(kPreempted)) {
      o.cpu = static_cast<s64>(r.cpu);
      const std::string meanwhile = machine_.ran(r.cpu, o.start_ns, r.time_ns);
      if (!meanwhile.empty()) b.note("meanwhile there: " + meanwhile);
    }
    b.begin(b.exiting ? kExiting : kRunning, r.time_ns, static_cast<s64>(r.cpu), {});
  }

  void switch_out(Builder& b, const LifeRow& r) {
    if (b.in(kZombie) || r.state.starts_with('Z') || r.state.starts_with('X')) return;
    if (r.state.starts_with('R')) {
      const char* how = r.text == "sys_sched_yield" ? "yields to" : r.state.ends_with('+') ? "in the kernel, by" : "by";
      return b.begin(kPreempted, r.time_ns, static_cast<s64>(r.cpu), fmt::format("{} {}", how, machine_.who(r.pid)));
    }
    b.begin(sleep_phase(r.state, r.text.empty() ? wchan_of_loop(machine_.name(pid_)) : r.text), r.time_ns, -1, {});
  }

  void change(const LifeEvent& e, Builder& b) {
    const LifeRow& r = e.row;
    const u64 now = r.time_ns;
    switch (e.kind) {
      case LifeKind::queued:
        return b.begin(kWaiting, now, static_cast<s64>(r.cpu), fmt::format("new on CPU {}", r.cpu));
      case LifeKind::waking:
        if (!b.in(kSleeping) && !b.in("stopped")) return;
        b.note(
            fmt::format("until woken by {}", r.value == 1 ? fmt::format("the timer interrupt of CPU {}", r.cpu) : machine_.who(r.other)));
        return b.begin(kWaiting, now, -1, {});
      case LifeKind::migrate:
        return b.note(fmt::format("moved from CPU {} to {}", r.other, r.value));
      case LifeKind::name:
        return b.note(fmt::format("is called {} now", r.text));
      case LifeKind::exec:
        return b.note(fmt::format("execs {}", r.text));
      case LifeKind::signal:
        return b.note(fmt::format("{} from {}", signal_text(r.value), machine_.who(r.other)));
      case LifeKind::attr:
        return b.note(fmt::format("process group {}, session {}", r.other, r.value));
      case LifeKind::reparent:
        return b.note(fmt::format("given to {} when {} died", machine_.who(r.other), machine_.who(r.value)));
      case LifeKind::exit:
        b.exiting = true;
        return b.begin(kExiting, now, static_cast<s64>(r.cpu),
                       r.value & 0x7f ? "killed by " + signal_text(r.value & 0x7f) : fmt::format("exit code {}", r.value >> 8 & 0xff));
      case LifeKind::zombie:
        if (r.value) return b.note("nobody will wait: reaps itself");
        return b.begin(kZombie, now, -1, {});
      case LifeKind::reaped:
        b.note(r.other == pid_ ? "released itself" : fmt::format("until reaped by {}", machine_.who(r.other)));
        return b.begin(kDead, now, -1, {});
      default:
        return;
    }
  }

  void took_over(const LifeRow& r) {
    lives_.emplace_back(pid_, r.time_ns,
                        fmt::format("pid {}: until now {}, whose execve took over the process", r.pid, machine_.who(r.other)));
    lives_.back().begin(kRunning, r.time_ns, static_cast<s64>(r.cpu), {});
  }

  /// execve of a thread that is not the leader: it goes on under the leader's pid.
  void moved_on(const LifeRow& r) {
    if (lives_.empty()) return;
    lives_.back().note(fmt::format("goes on as pid {} by execve", r.pid));
    done_.push_back(lives_.back().finish(r.time_ns, true));
    lives_.pop_back();
  }

  s64 pid_;
  Machine machine_;
  std::vector<Builder> lives_;  ///< not freed yet, oldest first: a pid may be used again before its last owner is freed
  std::vector<TaskLife> done_;
};

}  // namespace

std::vector<TaskLife> explain(const Life& life, s64 pid) {
  std::vector<TaskLife> lives = Explainer(pid).run(life);
  if (!lives.empty()) return lives;
  std::vector<s64> pids;
  for (const LifeEvent& e : life.events)
    if (e.kind == LifeKind::fork || e.kind == LifeKind::boot) pids.push_back(e.row.pid);
  std::ranges::sort(pids);
  const auto [first, last] = std::ranges::minmax(pids);
  throw ReportError(fmt::format("no task had pid {}; allowed are the pids of tasks.csv, from {} to {}", pid, first, last));
}

}  // namespace forksim
