// The comparison, proved on recordings: it accepts another recording of the same program and refuses traces broken on purpose.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>

#include "tests/traces/compare.hpp"
#include "tests/traces/recordings.hpp"

using namespace forksim::traces;

namespace {

const std::string kMc = "4.19-arm64-icount", kRpi = "4.19-arm64-rpi-icount";
constexpr const char* kPrograms[] = {"a_forkwait", "b_vforkexec", "f_kill", "g_orphan", "h_autoreap"};

/// Index of the n-th step (from 0) of the phase whose text is `what`.
std::size_t find_step(const Phase& p, const std::string& what, int n = 0) {
  for (std::size_t i = 0; i < p.steps.size(); ++i)
    if (to_text(p.steps[i]) == what && n-- == 0) return i;
  FAIL("no step " << what << " in " << p.mark);
  return 0;
}

/// Differences of a recording of `name` against itself after `damage` was done to its first phase.
std::vector<std::string> after(const std::string& folder, const std::string& name, const std::function<void(Phase&)>& damage) {
  const auto phases = reduce(recorded(folder, name));
  auto broken = phases;
  damage(broken[0]);
  return compare(phases, broken);
}

std::size_t find_event(const std::vector<Event>& events, const std::string& name, const std::string& part) {
  const auto it = std::ranges::find_if(events, [&](const Event& e) { return e.name == name && e.body.find(part) != std::string::npos; });
  REQUIRE(it != events.end());
  return static_cast<std::size_t>(it - events.begin());
}

}  // namespace

TEST_SUITE("traces") {
  TEST_CASE("every recording agrees with itself and keeps the rules of any trace") {
    for (const std::string& folder : {kMc, kRpi})
      for (const char* name : kPrograms) {
        const auto events = recorded(folder, name);
        for (const auto& d : compare(reduce(events), reduce(events))) FAIL_CHECK(folder << " " << name << ": " << d);
        for (const auto& d : check_trace(events)) FAIL_CHECK(folder << " " << name << ": " << d);
      }
  }

  TEST_CASE("a second recording of the same program on another day agrees") {
    for (const auto& d : compare(reduce(recorded(kMc, "a_forkwait")), reduce(recorded(kMc + "-instr", "a_forkwait")))) FAIL_CHECK(d);
  }

  TEST_CASE("the two topologies differ in where remote wake-ups are made") {
    const auto differences = compare(reduce(recorded(kMc, "a_forkwait")), reduce(recorded(kRpi, "a_forkwait")));
    // a1, a3 and a4: the dying child wakes its waiting parent on another CPU. In a2 the parent's timer wakes it. Each in two stories.
    CHECK(differences.size() == 6);
    for (const auto& d : differences) CHECK_MESSAGE(d.find("wakeup(P for c") != std::string::npos, d);
    CHECK(std::ranges::none_of(differences, [](const std::string& d) { return d.starts_with("a2") || d.starts_with("a: end"); }));
  }

  TEST_CASE("without sched_wakeup the two topologies agree in all five programs") {
    const auto without_wakeups = [](const std::string& folder, const char* name) {
      auto phases = reduce(recorded(folder, name));
      for (Phase& p : phases) std::erase_if(p.steps, [](const Step& s) { return s.kind == StepKind::wakeup; });
      return phases;
    };
    for (const char* name : kPrograms)
      for (const auto& d : compare(without_wakeups(kMc, name), without_wakeups(kRpi, name))) FAIL_CHECK(name << ": " << d);
  }

  TEST_CASE("concurrent events may interleave: the child's first switch and the parent's return from clone") {
    CHECK(after(kRpi, "a_forkwait", [](Phase& p) {
            std::swap(p.steps[find_step(p, "<clone=pid")], p.steps[find_step(p, "switch(-:R->C1)")]);
          }).empty());
  }

  TEST_CASE("concurrent events may interleave: the remote wake-up and the waker's last switch") {
    CHECK(after(kRpi, "a_forkwait", [](Phase& p) {
            std::swap(p.steps[find_step(p, "switch(C1:Z->-)")], p.steps[find_step(p, "wakeup(P@3)")]);
          }).empty());
  }

  TEST_CASE("which idle CPU the child gets may differ, if it is one of its own") {
    const auto move_child = [](unsigned from, unsigned to) {
      return [from, to](Phase& p) {
        for (Step& s : p.steps) {
          if (s.cpu == from) s.cpu = to;
          if (s.target_cpu == static_cast<int>(from)) s.target_cpu = static_cast<int>(to);
        }
      };
    };
    CHECK(after(kRpi, "a_forkwait", move_child(0, 1)).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", move_child(0, 3)).empty());  // c3 is P's own
  }

  TEST_CASE("swapped events of one task are refused") {
    const auto d = after(kRpi, "a_forkwait", [](Phase& p) {
      std::swap(p.steps[find_step(p, "task_newtask(C1 flags=1200011)")], p.steps[find_step(p, "sched_process_fork")]);
    });
    REQUIRE(d.size() == 2);  // in the story of P and in that of C1
    CHECK(d[0] ==
          "a1: child exits at once, parent blocks in wait: C1, event 1: recorded c3 P: task_newtask(C1 flags=1200011), simulated c3 P: "
          "sched_process_fork");
  }

  TEST_CASE("a wake-up before the sleep it ends is refused") {
    CHECK_FALSE(after(kMc, "a_forkwait", [](Phase& p) {
                  std::swap(p.steps[find_step(p, "switch(P:S->-)")], p.steps[find_step(p, "waking(P@2)")]);
                }).empty());
  }

  TEST_CASE("a missing waking is refused") {
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) {
                  p.steps.erase(p.steps.begin() + static_cast<long>(find_step(p, "waking(P@3)")));
                }).empty());
  }

  TEST_CASE("an event too many is refused") {
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) { p.steps.insert(p.steps.begin() + 3, p.steps[2]); }).empty());
  }

  TEST_CASE("a wrong state letter is refused") {
    CHECK_FALSE(after(kRpi, "h_autoreap", [](Phase& p) { p.steps[find_step(p, "switch(C1:X->-)")].state = "Z"; }).empty());
  }

  TEST_CASE("X instead of Z is accepted only when the parent was just reaping the task") {
    const auto reaped = [](bool early) {
      return [early](Phase& p) {
        Step& s = p.steps[find_step(p, "switch(C1:Z->-)")];
        s.state = "X";
        s.reaped_early = early;
      };
    };
    CHECK(after(kRpi, "a_forkwait", reaped(true)).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", reaped(false)).empty());
  }

  TEST_CASE("a wrong signal, result, flag or CPU of an event is refused") {
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) {
                  p.steps[find_step(p, "signal_generate(sig=17 code=1 to=P grp=1 res=1)")].detail = "sig=17 code=1 to=P grp=1 res=0";
                }).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) { p.steps[find_step(p, "<wait4=pid")].detail = "wait4=-10"; }).empty());
    CHECK_FALSE(
        after(kRpi, "a_forkwait", [](Phase& p) { p.steps[find_step(p, "task_newtask(C1 flags=1200011)")].detail = "1200000"; }).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) { p.steps[find_step(p, "<wait4=pid")].cpu = 1; }).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) { p.steps[find_step(p, "wakeup(P@3)")].target_cpu = 2; }).empty());
  }

  TEST_CASE("a child of its own on a CPU that another task of the program holds is refused") {
    const auto d = after(kRpi, "a_forkwait", [](Phase& p) { p.steps[find_step(p, "wakeup_new(C1@0)")].target_free = false; });
    REQUIRE_FALSE(d.empty());
    CHECK(d[0] == "a1: child exits at once, parent blocks in wait: placement of C1: recorded on c0 (free), simulated on c0 (taken)");
  }

  TEST_CASE("a missing phase, a renamed mark and a stranger are refused") {
    const auto phases = reduce(recorded(kRpi, "a_forkwait"));
    auto cut = phases;
    cut.pop_back();
    CHECK(compare(phases, cut).size() == 1);
    CHECK(compare(cut, phases).size() == 1);
    CHECK(after(kRpi, "a_forkwait", [](Phase& p) { p.mark = "a0"; }).size() == 1);
    CHECK_FALSE(after(kRpi, "a_forkwait", [](Phase& p) { p.steps[find_step(p, "sched_process_exit")].who = "C2"; }).empty());
  }

  TEST_CASE("being put aside by a foreign task is left out, by a task of the program it is not") {
    const auto insert_visit = [](const std::string& visitor) {
      return [visitor](Phase& p) {
        const std::size_t at = find_step(p, ">wait4");
        Step out = p.steps[at];
        out.kind = StepKind::switch_;
        out.detail.clear();
        out.prev = "P";
        out.state = "R+";
        out.subject = visitor;
        Step back = out;
        back.who = back.prev = visitor;
        back.state = "S";
        back.subject = "P";
        p.steps.insert(p.steps.begin() + static_cast<long>(at), {out, back});
      };
    };
    CHECK(after(kRpi, "a_forkwait", insert_visit("o")).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", insert_visit("C1")).empty());
    CHECK_FALSE(after(kRpi, "a_forkwait", insert_visit("-")).empty());
  }

  TEST_CASE("events out of place are found by the rules of any trace") {
    const auto good = recorded(kRpi, "f_kill");
    const auto broken = [&](const std::function<void(std::vector<Event>&)>& damage) {
      auto events = good;
      damage(events);
      return check_trace(events);
    };
    CHECK(broken([](auto& e) { std::swap(e[100], e[101]); }).size() >= 1);  // time goes back
    CHECK_FALSE(broken([](auto& e) { e.erase(e.begin() + static_cast<long>(find_event(e, "sched_wakeup", "comm=f_kill"))); }).empty());
    CHECK_FALSE(broken([](auto& e) { e.erase(e.begin() + static_cast<long>(find_event(e, "sched_waking", "comm=f_kill"))); }).empty());
    CHECK_FALSE(broken([](auto& e) { e.erase(e.begin() + static_cast<long>(find_event(e, "signal_generate", "sig=9"))); }).empty());
    CHECK_FALSE(broken([](auto& e) { e.erase(e.begin() + static_cast<long>(find_event(e, "sched_switch", "next_comm=f_kill"))); }).empty());
    CHECK_FALSE(broken([](auto& e) {
                  e.push_back(e[find_event(e, "sched_process_free", "comm=f_kill")]), e.back().ns = e[e.size() - 2].ns, e.back().cpu = 9;
                }).empty());
    CHECK_FALSE(broken([](auto& e) {
                  const auto at = find_event(e, "signal_generate", "sig=17");
                  e.erase(e.begin() + static_cast<long>(at));
                }).empty());
  }
}
