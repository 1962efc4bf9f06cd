// Recorded placement decisions of a real 4.19 kernel, replayed: same inputs, same CPU.
//
// Each row holds what find_idlest_group saw when a task was forked (flag 8, SD_BALANCE_FORK) or executed (flag 4, SD_BALANCE_EXEC): the
// runnable and the whole load of each CPU's root queue, the ring order of the groups, and the CPU chosen. Utilisation was not recorded;
// at the recorded execs only the executing task was on its CPU, so every CPU has all its capacity to spare for it.
#include <doctest/doctest.h>

#include <array>
#include <bit>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel_model/sched/scheduler.hpp"
#include "tests/traces/recordings.hpp"

using namespace forksim::km;
using forksim::traces::kData;
using forksim::traces::read_csv;
using forksim::traces::read_text_file;

namespace {

using Row = std::map<std::string, std::string>;

struct NoHooks : SchedHooks {
  void send_reschedule(CpuId, CpuId) override {}
  bool idle_polling(CpuId) const override { return false; }
  u8 trace_flags(CpuId) const override { return 0; }
};

constexpr u32 kCpus = 4;

MachineTopology quad_core() {
  MachineTopology m;
  m.cpus = kCpus;
  const std::vector<CpuMask> all(kCpus, CpuMask::first_n(kCpus));
  m.levels = {{TopologyLevel::Kind::llc, all}, {TopologyLevel::Kind::die, all}};
  return m;
}

/// Four CPUs in the state of one row. The task that decides is current on its CPU.
class RecordedMachine {
 public:
  RecordedMachine(const KernelProfile& profile, const Row& row) : sched_(resolved(profile), quad_core(), hooks_, trace_) {
    for (u32 i = 0; i < kCpus; ++i) {
      sched_.init_idle(idle_[i], CpuId(i));
      Rq& rq = sched_.rq(CpuId(i));
      const std::string n = std::to_string(i);
      rq.cfs.avg.runnable_load_avg = std::stoull(row.at("runnable" + n));
      rq.cfs.avg.load_avg = std::stoull(row.at("avg" + n));
      rq.nr_running = rq.cfs.nr_running = rq.cfs.h_nr_running = static_cast<u32>(std::stoul(row.at("nr" + n)));
    }
    this_cpu_ = CpuId(static_cast<u32>(std::stoul(row.at("this_cpu"))));
    init(parent_);
    parent_.on_cpu = true;
    sched_.rq(this_cpu_).curr = &parent_;
  }

  CpuId fork() {
    init(child_);
    child_.state = TASK_NEW;
    return sched_.wake_up_new_task_select(child_, this_cpu_);
  }
  CpuId exec() { return sched_.sched_exec_select(this_cpu_); }

  Trace& trace() { return trace_; }
  std::string ring() {
    std::string order;
    for (const SchedGroup* g : sched_.domains().lowest(this_cpu_)->groups)
      order += (order.empty() ? "" : "-") + std::to_string(g->span.first());
    return order;
  }

 private:
  static KernelProfile resolved(KernelProfile p) {
    resolve_tunables(p, kCpus, {});
    return p;
  }
  void init(Task& t) {
    t.cpu = this_cpu_;
    t.cpus_allowed = CpuMask::first_n(kCpus);
    t.nr_cpus_allowed = kCpus;
    t.se.task = &t;
    t.se.cfs_rq = &sched_.rq(this_cpu_).cfs;
    sched_.set_params(t, SchedPolicy::normal, 0);
  }

  NoHooks hooks_;
  Trace trace_;
  std::array<Task, kCpus> idle_;
  Task parent_, child_;
  Scheduler sched_;
  CpuId this_cpu_;
};

/// The comparisons of one decision.
struct Steps : TraceListener {
  void on_event(const TraceEvent& e) override { (e.id == Tp::placement_group ? groups : steps).push_back(e); }
  static PlacementStep step_of(const TraceEvent& e) { return static_cast<PlacementStep>(e.args[e.id == Tp::placement_group ? 5 : 0]); }
  std::vector<TraceEvent> groups, steps;
};

struct Recording {
  const char* profile;
  const char* file;
  unsigned forks, execs;
};
constexpr Recording kRecordings[] = {{"mc-4.19-arm64", "4.19-arm64-icount-instr/a_forkwait", 5, 1},
                                     {"mc-4.19-arm64", "4.19-arm64-icount-instr/d_forkstorm20", 21, 1},
                                     {"rpi-4.19-arm64", "4.19-arm64-rpi-icount-instr/a_forkwait", 5, 1},
                                     {"rpi-4.19-arm64", "4.19-arm64-rpi-icount-instr/c_pthreads", 9, 1},
                                     {"rpi-4.19-arm64", "4.19-arm64-rpi-icount-instr/d_forkstorm", 201, 1},
                                     {"rpi-4.19-arm64", "4.19-arm64-rpi-icount-instr/d_forkstorm20", 21, 1}};

std::vector<Row> rows_of(const Recording& r) { return read_csv(read_text_file(kData + r.file + ".decisions.csv.xz")); }

}  // namespace

TEST_SUITE("traces") {
  TEST_CASE("placement chooses the recorded CPU at every recorded fork and exec") {
    for (const Recording& r : kRecordings) {
      unsigned forks = 0, execs = 0;
      for (const Row& row : rows_of(r)) {
        CAPTURE(std::string(r.file));
        CAPTURE(row.at("t"));
        const KernelProfile* profile = find_profile(r.profile);
        REQUIRE(profile != nullptr);
        RecordedMachine m(*profile, row);
        CHECK(m.ring() == row.at("order"));
        const bool fork = row.at("flag") == "8";
        CHECK(std::to_string((fork ? m.fork() : m.exec()).v) == row.at("chosen"));
        ++(fork ? forks : execs);
      }
      CHECK(forks == r.forks);
      CHECK(execs == r.execs);
    }
  }

  TEST_CASE("the comparison that is told for a recorded fork holds for its recorded loads") {
    unsigned stayed = 0, left = 0;
    for (const Recording& r : kRecordings) {
      for (const Row& row : rows_of(r)) {
        if (row.at("flag") != "8") continue;
        CAPTURE(std::string(r.file));
        CAPTURE(row.at("t"));
        RecordedMachine m(*find_profile(r.profile), row);
        Steps told;
        TpSet events;
        events.set(static_cast<std::size_t>(Tp::placement_group)).set(static_cast<std::size_t>(Tp::placement_step));
        m.trace().subscribe(told, events);
        const u32 chosen = m.fork().v;
        REQUIRE(told.groups.size() == kCpus);
        REQUIRE(told.steps.size() >= 1);
        const std::string here = row.at("this_cpu");
        for (const TraceEvent& g : told.groups) {
          const std::string cpu = std::to_string(std::countr_zero(g.args[1]));
          CHECK(std::to_string(g.args[2]) == row.at("runnable" + cpu));
          CHECK(std::to_string(g.args[3]) == row.at("avg" + cpu));
          CHECK((Steps::step_of(g) == PlacementStep::local) == (cpu == here));
        }
        // imbalance and scale as the profile's domain has them: 1024 * 17 / 100 and 100 + 17 / 2, or 256 and 112
        const bool mc = told.steps[0].args[3] == 117;
        const u64 imbalance = mc ? 174 : 256, scale = mc ? 108 : 112;
        const u64 this_runnable = std::stoull(row.at("runnable" + here)), this_avg = std::stoull(row.at("avg" + here));
        const PlacementStep end = Steps::step_of(told.steps[0]);
        const bool stays = end == PlacementStep::stay_runnable || end == PlacementStep::stay_load;
        CHECK(stays == (std::to_string(chosen) == here));
        ++(stays ? stayed : left);
        if (stays) continue;
        const std::string there = std::to_string(chosen);
        const u64 runnable = std::stoull(row.at("runnable" + there)), avg = std::stoull(row.at("avg" + there));
        if (end == PlacementStep::leave_runnable) CHECK(this_runnable + imbalance > runnable);
        if (end == PlacementStep::leave_load) CHECK(100 * this_avg >= scale * avg);
      }
    }
    CHECK(stayed > 20);
    CHECK(left > 20);
  }

  TEST_CASE("the other topology's thresholds would miss recorded decisions") {
    // Guards the test above: if it did not depend on the loads and thresholds of the profile, this would find no difference.
    unsigned different = 0;
    const Recording& storm = kRecordings[4];
    for (const Row& row : rows_of(storm)) {
      if (row.at("flag") != "8") continue;
      RecordedMachine m(*find_profile("mc-4.19-arm64"), row);
      different += std::to_string(m.fork().v) != row.at("chosen");
    }
    CHECK(different > 0);
  }
}
