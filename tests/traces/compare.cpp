#include "tests/traces/compare.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace forksim::traces {

namespace {

using Stories = std::map<std::string, std::vector<std::string>>;

/// Names of the simulated CPUs in terms of the recorded ones.
class CpuNames {
 public:
  /// Binds `simulated` to `recorded`; false when either is bound to something else.
  bool bind(unsigned recorded, unsigned simulated) {
    const auto it = names_.find(simulated);
    if (it != names_.end()) return it->second == recorded;
    if (std::ranges::any_of(names_, [&](const auto& n) { return n.second == recorded; })) return false;
    names_[simulated] = recorded;
    return true;
  }
  bool bound(unsigned simulated) const { return names_.contains(simulated); }
  std::string operator()(unsigned simulated) const {
    const auto it = names_.find(simulated);
    return it == names_.end() ? "?" + std::to_string(simulated) : std::to_string(it->second);
  }

 private:
  std::map<unsigned, unsigned> names_;
};

bool is_task(const std::string& name) { return name != "-"; }

std::string outside_as_idle(const std::string& name) { return name == "o" ? "-" : name; }

bool is_number(const std::string& s) { return !s.empty() && s.find_first_not_of("0123456789") == std::string::npos; }

/// Applies the rules of the header: foreign tasks become idle, visits of foreign tasks and frees go.
std::vector<Step> normalise(const std::vector<Step>& steps) {
  std::vector<Step> out;
  std::map<std::string, bool> put_aside;  // by a task outside the program, still runnable
  for (Step s : steps) {
    if (s.kind == StepKind::free) continue;
    if (s.kind == StepKind::switch_) {
      if (s.subject == "o" && s.state.starts_with('R')) {
        put_aside[s.prev] = true;
        continue;
      }
      if (put_aside[s.subject]) {
        put_aside[s.subject] = false;
        if (s.prev == "o" || s.prev == "-") continue;
      }
      if (s.prev == "o" || s.prev == "-") s.state = "R";
    }
    s.who = outside_as_idle(s.who);
    s.prev = outside_as_idle(s.prev);
    s.subject = outside_as_idle(s.subject);
    if (s.kind == StepKind::generate && is_number(s.subject) && s.subject != "1") s.subject = "outside";
    out.push_back(std::move(s));
  }
  return out;
}

/// P's parent is not the same task in both runs, so its signal is reduced to number and code.
void hide_own_parent(std::vector<Step>& steps) {
  for (Step& s : steps)
    if (s.kind == StepKind::generate && s.who == "P" && (s.subject == "outside" || s.subject == "1")) {
      s.detail = s.detail.substr(0, s.detail.find(" to="));
      s.subject = "outside";
    }
}

/// Where the recording has Z: a simulated X that only says that the parent was faster counts as Z.
void accept_early_reap(const std::vector<Step>& recorded, std::vector<Step>& simulated) {
  const auto zombie = [&](const std::string& task) {
    return std::ranges::any_of(recorded, [&](const Step& s) { return s.kind == StepKind::switch_ && s.prev == task && s.state == "Z"; });
  };
  for (Step& s : simulated)
    if (s.kind == StepKind::switch_ && s.state == "X" && s.reaped_early && zombie(s.prev)) s.state = "Z";
}

std::string label(const Step& s, const CpuNames& names) {
  Step named = s;
  std::string text = "c" + names(s.cpu) + " " + s.who + ": ";
  if (s.target_cpu < 0) return text + to_text(named);
  // The target's name replaces its number, which to_text would print.
  const std::string what = to_text(named);
  return text + what.substr(0, what.find('@')) + " for c" + names(static_cast<unsigned>(s.target_cpu));
}

bool acts_on_subject(StepKind k) {
  return k == StepKind::newtask || k == StepKind::fork || k == StepKind::wakeup_new || k == StepKind::waking || k == StepKind::wakeup ||
         k == StepKind::migrate || k == StepKind::switch_;
}

Stories stories(const std::vector<Step>& steps, const CpuNames& names) {
  Stories result;
  for (const Step& s : steps) {
    const std::string text = label(s, names);
    std::vector<std::string> tasks = {s.kind == StepKind::switch_ ? s.prev : s.who};
    if (acts_on_subject(s.kind) && s.subject != tasks[0]) tasks.push_back(s.subject);
    for (const std::string& t : tasks)
      if (is_task(t)) result[t].push_back(text);
  }
  return result;
}

/// CPU names of one phase, or what is wrong with the placement.
class Placement {
 public:
  Placement(const Phase& recorded, const Phase& simulated) {
    names_.bind(recorded.cpu, simulated.cpu);
    identity_.bind(recorded.cpu, recorded.cpu);
    const auto want = new_tasks(recorded), have = new_tasks(simulated);
    for (std::size_t i = 0; i < std::min(want.size(), have.size()); ++i) place(*want[i], *have[i]);
  }
  const CpuNames& recorded() const { return identity_; }
  const CpuNames& simulated() const { return names_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  static std::vector<const Step*> new_tasks(const Phase& p) {
    std::vector<const Step*> list;
    for (const Step& s : p.steps)
      if (s.kind == StepKind::wakeup_new) list.push_back(&s);
    return list;
  }

  void place(const Step& want, const Step& have) {
    const auto r = static_cast<unsigned>(want.target_cpu), s = static_cast<unsigned>(have.target_cpu);
    const bool fresh = !identity_.bound(r);
    if (names_.bind(r, s) && (!fresh || want.target_free == have.target_free)) {
      identity_.bind(r, r);
      return;
    }
    problems_.push_back("placement of " + have.subject + ": recorded on c" + std::to_string(r) +
                        (want.target_free ? " (free)" : " (taken)") + ", simulated on c" + std::to_string(s) +
                        (have.target_free ? " (free)" : " (taken)"));
  }

  CpuNames names_, identity_;
  std::vector<std::string> problems_;
};

std::string at(const std::vector<std::string>& story, std::size_t i) { return i < story.size() ? story[i] : "(nothing more)"; }

void compare_stories(const std::string& mark, const Stories& want, const Stories& have, std::vector<std::string>& out) {
  for (const auto& [task, story] : want) {
    const auto found = have.find(task);
    const std::vector<std::string> other = found == have.end() ? std::vector<std::string>{} : found->second;
    const auto [w, h] = std::ranges::mismatch(story, other);
    if (w == story.end() && h == other.end()) continue;
    const auto i = static_cast<std::size_t>(w - story.begin());
    out.push_back(mark + ": " + task + ", event " + std::to_string(i + 1) + ": recorded " + at(story, i) + ", simulated " + at(other, i) +
                  (i ? "; both after " + story[i - 1] : ""));
  }
  for (const auto& [task, story] : have)
    if (!want.contains(task)) out.push_back(mark + ": " + task + " exists only in the simulation: " + story.front());
}

void compare_phase(const Phase& recorded, const Phase& simulated, std::vector<std::string>& out) {
  if (recorded.mark != simulated.mark) {
    out.push_back(recorded.mark + ": the simulated mark is " + simulated.mark);
    return;
  }
  Phase want = recorded, have = simulated;
  want.steps = normalise(want.steps);
  have.steps = normalise(have.steps);
  hide_own_parent(want.steps);
  hide_own_parent(have.steps);
  accept_early_reap(want.steps, have.steps);
  const Placement placement(want, have);
  for (const std::string& p : placement.problems()) out.push_back(recorded.mark + ": " + p);
  compare_stories(recorded.mark, stories(want.steps, placement.recorded()), stories(have.steps, placement.simulated()), out);
}

}  // namespace

std::vector<std::string> compare(const std::vector<Phase>& recorded, const std::vector<Phase>& simulated) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::max(recorded.size(), simulated.size()); ++i) {
    if (i >= simulated.size())
      out.push_back(recorded[i].mark + ": the phase is missing");
    else if (i >= recorded.size())
      out.push_back(simulated[i].mark + ": the phase was not recorded");
    else
      compare_phase(recorded[i], simulated[i], out);
  }
  for (std::size_t i = 1; i < std::min(recorded.size(), simulated.size()); ++i)
    if ((recorded[i].cpu == recorded[i - 1].cpu) != (simulated[i].cpu == simulated[i - 1].cpu))
      out.push_back(recorded[i].mark + ": P changed its CPU in one run only");
  return out;
}

}  // namespace forksim::traces
