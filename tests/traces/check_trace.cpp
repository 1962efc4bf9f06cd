#include <map>
#include <optional>

#include "tests/traces/compare.hpp"

namespace forksim::traces {

namespace {

class TraceChecker {
 public:
  std::vector<std::string> run(const std::vector<Event>& events) {
    for (const Event& e : events) {
      event_ = &e;
      if (e.ns < last_ns_) report("time goes back");
      last_ns_ = e.ns;
      const auto running = current_.find(e.cpu);
      if (running != current_.end() && running->second != e.pid) report("the task last switched in is " + std::to_string(running->second));
      current_[e.cpu] = e.pid;
      check(e);
    }
    return std::move(broken_);
  }

 private:
  struct Task {
    bool runnable = true;         ///< unknown tasks count as runnable
    std::optional<unsigned> cpu;  ///< where it may run
    bool dead = false, freed = false, waking = false;
    int signals = 0;        ///< generated and not delivered
    bool reported = false;  ///< told its parent of an exit, a stop or a continuation
  };

  void report(const std::string& what) {
    broken_.push_back(std::to_string(event_->ns) + " ns, c" + std::to_string(event_->cpu) + " " + event_->name + " " + event_->body + ": " +
                      what);
  }

  Task& subject(const Event& e) { return tasks_[number(e.body, "pid")]; }

  void check(const Event& e) {
    if (e.name == "sched_switch")
      check_switch(e);
    else if (e.name == "sched_waking")
      subject(e).waking = true;
    else if (e.name == "sched_wakeup" || e.name == "sched_wakeup_new")
      check_wakeup(e);
    else if (e.name == "sched_migrate_task")
      subject(e).cpu = static_cast<unsigned>(number(e.body, "dest_cpu"));
    else if (e.name == "signal_generate")
      check_generate(e);
    else if (e.name == "signal_deliver")
      check_deliver();
    else if (e.name == "sched_process_free")
      check_free(e);
    else if (e.name == "sys_exit")
      check_wait(e);
  }

  void check_switch(const Event& e) {
    const long prev_pid = number(e.body, "prev_pid"), next_pid = number(e.body, "next_pid");
    if (prev_pid != e.pid) report("prev is not the current task");
    const std::string state = field(e.body, "prev_state").value_or("?");
    Task& prev = tasks_[prev_pid];
    prev.runnable = state.starts_with('R');
    prev.dead = state == "Z" || state == "X";
    prev.cpu = e.cpu;
    current_[e.cpu] = static_cast<int>(next_pid);
    if (next_pid == 0) return;
    Task& next = tasks_[next_pid];
    if (next.dead) report("a dead task runs");
    if (!next.runnable) report("a task runs that nobody woke");
    if (next.cpu && *next.cpu != e.cpu) report("it was woken for c" + std::to_string(*next.cpu));
    next.cpu = e.cpu;
  }

  void check_wakeup(const Event& e) {
    Task& t = subject(e);
    if (e.name == "sched_wakeup" && !t.waking) report("no sched_waking before it");
    t.waking = false;
    t.runnable = true;
    t.cpu = static_cast<unsigned>(number(e.body, "target_cpu"));
  }

  void check_generate(const Event& e) {
    ++subject(e).signals;
    if (number(e.body, "sig") == 17) tasks_[e.pid].reported = true;
  }

  void check_deliver() {
    Task& t = tasks_[event_->pid];
    if (t.signals == 0)
      report("it was never generated");
    else
      --t.signals;
  }

  void check_free(const Event& e) {
    Task& t = subject(e);
    if (!t.dead) report("the task has not left its CPU for good");
    if (t.freed) report("freed twice");
    t.freed = true;
  }

  void check_wait(const Event& e) {
    constexpr std::string_view kWait4 = "NR 260 = ";
    if (!e.body.starts_with(kWait4)) return;
    const long pid = std::stol(e.body.substr(kWait4.size()));
    if (pid > 0 && !tasks_[pid].reported) report("the child has not reported yet");
  }

  std::map<long, Task> tasks_;
  std::map<unsigned, int> current_;
  std::vector<std::string> broken_;
  const Event* event_ = nullptr;
  std::uint64_t last_ns_ = 0;
};

}  // namespace

std::vector<std::string> check_trace(const std::vector<Event>& events) { return TraceChecker().run(events); }

}  // namespace forksim::traces
