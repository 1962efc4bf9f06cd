// sched_stat_wait, sched_stat_sleep and sched_stat_blocked: where they stand and what they say, in recordings of a real kernel with
// kernel.sched_schedstats=1 and in simulated runs of the same programs. One set of rules for both.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/traces/simulated/run.hpp"

using namespace forksim::traces;

namespace {

/// What the rules have found.
struct Found {
  int waits = 0, sleeps = 0, blocked = 0, empty_waits = 0;
  int told = 0;  ///< waits of more than nothing
  std::vector<std::string> wrong;
  Found& operator+=(const Found& o) {
    waits += o.waits;
    sleeps += o.sleeps;
    blocked += o.blocked;
    empty_waits += o.empty_waits;
    told += o.told;
    wrong.insert(wrong.end(), o.wrong.begin(), o.wrong.end());
    return *this;
  }
};

/// `delay=N [ns]`.
std::uint64_t delay_of(const Event& e) { return std::stoull(field(e.body, "delay").value()); }

class Rules {
 public:
  void apply(const Event& e) {
    if (e.name == "sched_stat_wait") return wait(e);
    if (e.name == "sched_stat_sleep" || e.name == "sched_stat_blocked") return sleep(e);
    if (e.name == "sched_wakeup_new" || e.name == "sched_wakeup") return wakeup(e);
    if (e.name == "sched_switch") return switched(e);
  }
  Found found;

 private:
  struct Task {
    std::string state;        ///< letter it left its CPU with; empty: not known, or it runs
    std::uint64_t since = 0;  ///< then, or its wake-up
    bool queued = false;      ///< and since is known
    std::string slept;        ///< event that has told of its sleep, until its wake-up
  };

  void fail(const Event& e, const std::string& what) {
    found.wrong.push_back(std::to_string(e.ns) + " " + e.name + " " + e.body + ": " + what);
  }
  /// `at_most`: the clock may have stood still since then.
  void compare(const Event& e, std::uint64_t since, bool at_most = false) {
    const std::uint64_t told = delay_of(e), seen = e.ns - since;
    const std::uint64_t off = told > seen ? told - seen : seen - told;
    if (at_most && told < seen) return;
    if (off > kTolerance) fail(e, "the events around it are " + std::to_string(seen) + " ns apart");
  }

  /// In set_next_entity: the task that runs next, or (a wait of nothing) the one that runs and was put back.
  void wait(const Event& e) {
    const long pid = number(e.body, "pid");
    if (pid == e.pid) {
      ++found.empty_waits;
      if (delay_of(e) != 0) fail(e, "who runs has not waited");
      return;
    }
    ++found.waits;
    waited_[e.cpu] = pid;
    const Task& t = tasks_[pid];
    // A CPU that is to reschedule anyway (an idle one above all) keeps the clock of the wake-up that told it so: RQCF_REQ_SKIP.
    if (t.queued) compare(e, t.since, true);
    found.told += t.queued && delay_of(e) > 0;
  }
  /// In enqueue_entity, with the event of the state it left its CPU in.
  void sleep(const Event& e) {
    const bool interruptible = e.name == "sched_stat_sleep";
    ++(interruptible ? found.sleeps : found.blocked);
    Task& t = tasks_[number(e.body, "pid")];
    t.slept = e.name;
    if (t.state.empty()) return;
    if ((t.state == "S") != interruptible) fail(e, "it left its CPU in " + t.state);
    compare(e, t.since);
  }
  void wakeup(const Event& e) {
    Task& t = tasks_[number(e.body, "pid")];
    const bool fair = number(e.body, "prio") >= 100;
    if (fair && (t.state == "S" || t.state == "D" || t.state == "I") && t.slept.empty()) fail(e, "nothing tells of its sleep");
    // Woken before it was switched out it has not slept and goes on.
    const bool runs = e.name == "sched_wakeup" && t.state.empty() && t.slept.empty();
    t = {{}, e.ns, fair && !runs, {}};
  }
  void switched(const Event& e) {
    const long prev = number(e.body, "prev_pid"), next = number(e.body, "next_pid");
    if (next && number(e.body, "next_prio") >= 100 && waited_[e.cpu] != next) fail(e, "nothing tells of the wait of who comes");
    waited_[e.cpu] = 0;
    const std::string state = field(e.body, "prev_state").value();
    const bool runnable = state.starts_with("R");
    if (prev) tasks_[prev] = {runnable ? std::string() : state, e.ns, runnable && number(e.body, "prev_prio") >= 100, {}};
    if (next) tasks_[next] = {};
  }

  static constexpr std::uint64_t kTolerance = 60'000;  // the queue's clock was read in __schedule or ttwu_queue, the event written later
  std::map<long, Task> tasks_;
  std::map<unsigned, long> waited_;
};

Found check(const std::vector<Event>& events) {
  Rules rules;
  for (const Event& e : events) rules.apply(e);
  for (std::size_t i = 0; i < std::min<std::size_t>(rules.found.wrong.size(), 5); ++i) MESSAGE(rules.found.wrong[i]);
  return rules.found;
}

}  // namespace

TEST_CASE("the recordings of a real 4.19 keep the rules of sched_stat_wait, sched_stat_sleep and sched_stat_blocked") {
  Found all;
  for (const std::string config : {"4.19-arm64-icount", "4.19-arm64-rpi-icount"})
    for (const std::string name : {"a_forkwait", "b_vforkexec", "c_pthreads", "f_kill", "g_orphan", "h_autoreap", "m_pipe"}) {
      CAPTURE(config);
      CAPTURE(name);
      const Found f = check(recorded(config, name));
      CHECK(f.wrong.empty());
      all += f;
    }
  CHECK(all.waits > 500);
  CHECK(all.sleeps > 100);
  CHECK(all.blocked > 100);
  CHECK(all.told > 100);
}

TEST_CASE("the simulated runs of the same programs keep them too") {
  Found all;
  for (const std::string kernel : {"rpi-4.19-arm64", "mc-4.19-arm64"})
    for (const std::string name :
         {"a_forkwait", "b_vforkexec", "c_pthreads", "e_hack", "f_kill", "g_orphan", "h_autoreap", "m_pipe", "n_kthread"}) {
      CAPTURE(kernel);
      CAPTURE(name);
      const Found f = check(run_workload(kWorkloads + name + ".yaml", kernel, "--set tunables.sched_schedstats=1"));
      CHECK(f.wrong.empty());
      all += f;
    }
  CHECK(all.waits > 500);
  CHECK(all.sleeps > 100);
  CHECK(all.blocked > 50);
  CHECK(all.told > 100);
  CHECK(all.empty_waits > 20);  // autogroup: a dying task is moved to the root group
}

TEST_CASE("the rules notice a wait or a sleep that is missing, wrong, or of the wrong state") {
  const std::vector<Event> good = recorded("4.19-arm64-rpi-icount", "b_vforkexec");
  for (const std::string name : {"sched_stat_wait", "sched_stat_sleep", "sched_stat_blocked"}) {
    CAPTURE(name);
    // The last one, so that the task's past is known; not of threads that wait in TASK_IDLE, which 4.19.0 shows as R+.
    std::size_t at = 0;
    const auto idle_kthread = [](const std::string& comm) { return comm.starts_with("rcu") || comm.starts_with("kworker"); };
    for (std::size_t i = 0; i < good.size(); ++i)
      if (good[i].name == name && number(good[i].body, "pid") != good[i].pid && !idle_kthread(field(good[i].body, "comm").value())) at = i;
    REQUIRE(at > 0);
    std::vector<Event> missing = good, longer = good;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(at));
    longer[at].body = std::string(longer[at].body).replace(longer[at].body.find("delay=") + 6, 0, "9");
    Rules without, with;
    for (const Event& e : missing) without.apply(e);
    for (const Event& e : longer) with.apply(e);
    CHECK(without.found.wrong.size() == 1);
    CHECK(with.found.wrong.size() == 1);
  }
}
