// Random trees of processes with random failures: whatever happens, nothing is left over and no rule of the trace is broken.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "kernel_model/kernel.hpp"
#include "kernel_model/process/objects.hpp"
#include "sim/metrics/invariant_listener.hpp"
#include "tests/unit/kernel_model/exec/lock_checker.hpp"
#include "tests/unit/kernel_model/graph_checker.hpp"
#include "tests/unit/kernel_model/random.hpp"

using namespace forksim::km;
using namespace forksim::km::literals;

namespace {

/// Sleeps in TASK_TRACED.
struct StopCounter : TraceListener {
  static TpSet events() { return TpSet().set(static_cast<std::size_t>(Tp::sched_switch)); }
  void on_event(const TraceEvent& e) override {
    constexpr std::size_t kPrevState = 3;
    n += e.args[kPrevState] == 't';
  }
  u64 n = 0;
};

/// A machine whose every task does random things, and one process that kills all the others after a while.
class RandomTree : public UserSpace, public PowerPort, public FaultPort {
 public:
  explicit RandomTree(u64 seed) : seed_(seed), rng_{seed}, invariants_(4) {
    constexpr std::string_view kProfiles[] = {"rpi-4.19-arm64", "mc-4.19-arm64", "rpi-4.19-arm32"};
    KernelConfig c;
    c.profile = *find_profile(kProfiles[rng_.below(3)]);
    auto set = [&](Tunable t, u64 v) { c.profile.tunables[static_cast<std::size_t>(t)] = v; };
    set(Tunable::pid_max, 400);  // wraps
    if (rng_.one_in(4)) set(Tunable::threads_max, 22 + rng_.below(8));
    if (rng_.one_in(4)) set(Tunable::kernel_memory_bytes, 400'000 + rng_.below(300'000));
    if (rng_.one_in(4)) set(Tunable::rlimit_nproc, 1 + rng_.below(6));
    resolve_tunables(c.profile, 4, {});
    c.machine.topology.cpus = 4;
    for (auto kind : {TopologyLevel::Kind::llc, TopologyLevel::Kind::die})
      c.machine.topology.levels.push_back({kind, std::vector<CpuMask>(4, CpuMask::first_n(4))});
    c.machine.ipi.assign(16, 1200_ns);
    c.machine.opp_hz = {1'500'000'000};
    c.costs.ns.fill(Ns(rng_.one_in(8) ? 0 : 200 + rng_.below(3000)));
    faulty_ = rng_.one_in(2);
    c.faults = this;
    c.locks = !rng_.one_in(8);
    c.machine.transfer.assign(16, Ns(rng_.below(100)));
    c.costs.mm_contention_65536 = rng_.one_in(2) ? 17039 : 0;
    trace_.subscribe(stops_, StopCounter::events());
    trace_.subscribe(invariants_, forksim::InvariantListener::events());
    if (seed % 10 == 0) trace_.subscribe(graph_, test::GraphChecker::events());
    kernel_ = std::make_unique<Kernel>(c, *this, *this, trace_);
    for (u64 i = 0; i < 2; ++i) mutexes_.push_back(kernel_->create_object(ObjectKind::mutex, 1));
    kernel_->start({"root", &shape_, new_user(0, Role::tree), 0_ns, 0, nullptr, rng_.one_in(3) ? 1000u : 0u});
    kernel_->start({"killer", &shape_, new_user(0, Role::killer), 0_ns, 0, nullptr, 0});
  }

  /// Runs to the end; returns what is wrong, empty when nothing is.
  std::string run() {
    kernel_->advance(20_s);
    const auto stuck = kernel_->stuck_tasks();
    const Ns end = kernel_->now();
    kernel_->finish(end);
    forksim::FinalNumbers f;
    f.now = end;
    f.totals = kernel_->totals();
    f.alive = kernel_->alive();
    for (u32 c = 0; c < 4; ++c) f.cpus.push_back({kernel_->cpu_times(CpuId(c)), end, 0});
    invariants_.finish(f);
    std::string wrong;
    const Alive& a = f.alive;
    const std::pair<const char*, u64> left[] = {
        {"stacks", a.stacks},       {"task_structs", a.task_structs}, {"mms", a.mms},   {"files", a.files},     {"fs", a.fs},
        {"sighands", a.sighands},   {"signals", a.signals},           {"pids", a.pids}, {"creds", a.creds},     {"nsproxies", a.nsproxies},
        {"sem_undos", a.sem_undos}, {"io_contexts", a.io_contexts},   {"pid_namespaces", a.pid_namespaces},
        {"users", live_},           {"kernel_bytes", a.kernel_bytes}, {"stuck", stuck.size()}};
    for (const auto& [name, n] : left)
      if (n) wrong += std::string(name) + " left: " + std::to_string(n) + "; ";
    for (const TaskView& v : stuck) wrong += "pid " + std::to_string(v.pid.v) + " in " + v.state + "; ";
    for (const auto& v : invariants_.violations()) wrong += v.what + "; ";
    wrong += locks_.wrong();
    if (locks_.held()) wrong += "locks held at the end; ";
    check_lock_books(wrong);
    wrong += graph_.wrong();
    return wrong;
  }
  u64 traced_stops() const { return stops_.n; }
  const Totals& totals() { return kernel_->totals(); }
  u64 lock_waits() const { return locks_.waits(); }

  bool fail(FailPoint p, u64 pass) override {
    if (!faulty_ || p == FailPoint::exit_mm) return false;
    Random r{seed_ ^ (static_cast<u64>(p) << 32) ^ pass};
    return r.one_in(24);
  }
  const Op& next_op(u32 user, s64 last, Ns now, Op& out) override {
    User& u = users_[user - 1];
    out = Op{};
    if (u.role == Role::killer) {
      killer(u, now, out);
      return out;
    }
    if (u.forking && last > 0) pids_.push_back(static_cast<s32>(last));
    u.forking = false;
    if (u.budget == 0) {
      out.kind = u.rng.one_in(2) ? OpKind::exit : OpKind::exit_group;
      out.arg = static_cast<s64>(u.rng.below(256));
    } else {
      --u.budget;
      random_op(u, out);
    }
    return out;
  }
  u32 fork_child(u32 parent, const ForkSpec&, Pid) override {
    const User& p = users_[parent - 1];
    return new_user(p.depth + 1, Role::tree);
  }
  void exec_program(u32, const ExecSpec&) override {}
  void enter_handler(u32, int) override {}
  void task_gone(u32) override { --live_; }
  void set_power_state(CpuId, u32, bool, Ns) override {}

 private:
  /// What the kernel counted is what its events tell.
  void check_lock_books(std::string& wrong) {
    u64 taken = 0, waits = 0;
    Ns waited;
    for (const LockStats& s : kernel_->lock_stats()) {
      taken += s.acquisitions;
      waits += s.contended;
      waited += s.wait_total;
      if (s.wait_max > s.wait_total || s.hold_max > s.hold_total || s.contended > s.acquisitions) wrong += "lock statistics do not fit; ";
    }
    if (taken != locks_.taken() || waits != locks_.waits() || waited != locks_.waited()) wrong += "lock statistics and events differ; ";
  }

  static constexpr s32 kKiller = 12;  ///< the second process of the run; nobody else may stop it
  enum class Role : u8 { tree, killer };
  struct User {
    u32 depth = 0;
    Role role = Role::tree;
    u32 budget = 0;
    Random rng{0};
    bool forking = false;
    u32 round = 0;
  };

  u32 new_user(u32 depth, Role role) {
    ++live_;
    users_.push_back({depth, role, static_cast<u32>(2 + rng_.below(depth ? 8 : 16)), Random{rng_.next()}, false, 0});
    return static_cast<u32>(users_.size());
  }

  /// kill(-1, SIGKILL) until nobody is left; then the kernel threads are stopped.
  void killer(User& u, Ns now, Op& out) {
    out.kind = OpKind::sleep;
    out.ns = 3_ms;
    if (now < 40_ms) return;
    if (++u.round % 2 == 0) return;
    constexpr s32 kKthreadd = 2, kLastOfBoot = 10;
    const auto tasks = kernel_->tasks();
    const auto kthread = std::ranges::find_if(tasks, [](const TaskView& v) { return v.ppid.v == kKthreadd && v.pid.v > kLastOfBoot; });
    const bool alone = std::ranges::none_of(
        tasks, [](const TaskView& v) { return v.ppid.v != kKthreadd && v.pid.v > kLastOfBoot && v.tgid.v != kKiller; });
    out.kind = !alone ? OpKind::kill : kthread == tasks.end() ? OpKind::exit_group : OpKind::kthread_stop;
    out.pid = alone && kthread != tasks.end() ? kthread->pid : Pid(-1);
    out.arg = alone ? 0 : kSIGKILL;
  }

  s32 some_pid(User& u) {
    if (pids_.empty() || u.rng.one_in(8)) return static_cast<s32>(u.rng.below(60)) + kKiller + 1;
    return pids_[u.rng.below(pids_.size())];
  }

  void random_fork(User& u, Op& out) {
    constexpr u64 kKinds[] = {kForkFlags,
                              kForkFlags,
                              kForkFlags,
                              kPthreadFlags,
                              kPthreadFlags,
                              kVforkFlags,
                              kCLONE_PARENT | 17,
                              kCLONE_PTRACE | 17,
                              kCLONE_UNTRACED | 17,
                              kCLONE_VM | 17,
                              kCLONE_FILES | kCLONE_FS | 17,
                              0,
                              10,
                              kCLONE_THREAD,
                              kCLONE_SIGHAND,
                              kCLONE_NEWNS | 17,
                              kCLONE_NEWNS | kCLONE_FS | 17,
                              kCLONE_NEWIPC | kCLONE_SYSVSEM | 17,
                              kCLONE_SYSVSEM | 17,
                              kCLONE_NEWUSER | kCLONE_NEWPID | 17};
    if (u.depth > 3 || pids_.size() > 14) {
      out.kind = OpKind::run;
      out.ns = 50_us;
      return;
    }
    specs_.push_back({kKinds[u.rng.below(std::size(kKinds))], 1, nullptr, false, 0});
    out.kind = OpKind::fork;
    out.fork = &specs_.back();
    u.forking = true;
  }

  void random_signal_op(User& u, Op& out) {
    constexpr int kSignals[] = {1, 9, 9, 10, 15, 17, 18, 18, 19, 19, 20, 11};
    const int sig = kSignals[u.rng.below(std::size(kSignals))];
    out.arg = sig;
    switch (u.rng.below(6)) {
      case 0:
        out.kind = OpKind::sigaction;
        out.count = u.rng.below(2);
        out.flag = u.rng.one_in(2);
        break;
      case 1:
        out.kind = OpKind::sigprocmask;
        out.arg = static_cast<s64>(u.rng.below(3));
        out.count = u.rng.next() & u.rng.next() & 0xffffffff;
        break;
      case 2:
        out.kind = OpKind::tkill;
        out.pid = Pid(some_pid(u));
        break;
      case 3:
        out.kind = OpKind::kill;
        out.pid = Pid(u.rng.one_in(3) ? 0 : -some_pid(u));
        if (sig == kSIGKILL) out.arg = kSIGCONT;
        break;
      default:
        out.kind = OpKind::kill;
        out.pid = Pid(some_pid(u));
    }
  }

  void random_wait(User& u, Op& out) {
    constexpr u32 kOptions[] = {0,       0,         kWNOHANG,     kWUNTRACED,          kWCONTINUED | kWUNTRACED,
                                k__WALL, k__WCLONE, k__WNOTHREAD, kWNOWAIT | kWNOHANG, 0x40};
    out.kind = OpKind::wait;
    out.arg = s64{kOptions[u.rng.below(std::size(kOptions))]};
    constexpr s32 kAny = -1, kOwnGroup = 0;
    out.pid = Pid(u.rng.one_in(3) ? kAny : u.rng.one_in(2) ? kOwnGroup : u.rng.one_in(2) ? some_pid(u) : -some_pid(u));
  }

  void random_identity(User& u, Op& out) {
    constexpr OpKind kKinds[] = {OpKind::setsid,    OpKind::setpgid,   OpKind::set_ctty,
                                 OpKind::tcsetpgrp, OpKind::subreaper, OpKind::pdeath_signal};
    out.kind = kKinds[u.rng.below(std::size(kKinds))];
    out.arg = out.kind == OpKind::pdeath_signal ? 15 : out.kind == OpKind::subreaper ? 1 : u.rng.one_in(2) ? 0 : some_pid(u);
    if (out.kind == OpKind::setpgid && u.rng.one_in(2)) out.pid = Pid(some_pid(u));
  }

  void random_ptrace(User& u, Op& out) {
    constexpr PtraceRequest kRequests[] = {PtraceRequest::seize, PtraceRequest::seize, PtraceRequest::cont, PtraceRequest::cont,
                                           PtraceRequest::detach};
    out.kind = OpKind::ptrace;
    const PtraceRequest r = kRequests[u.rng.below(std::size(kRequests))];
    out.arg = static_cast<s64>(r);
    out.pid = Pid(some_pid(u));
    constexpr u64 kOptions = 0x3e;
    out.count = r == PtraceRequest::seize ? u.rng.next() & kOptions : u.rng.one_in(2) ? 0 : 1 + u.rng.below(20);
  }

  void random_op(User& u, Op& out) {
    const u64 kind = u.rng.below(16);
    if (u.rng.one_in(8)) return random_ptrace(u, out);
    if (kind < 5) return random_fork(u, out);
    if (kind < 8) return random_signal_op(u, out);
    if (kind < 10) return random_wait(u, out);
    if (kind == 10) return random_identity(u, out);
    if (kind == 11) {
      out.kind = OpKind::exec;
      out.exec = &exec_;
      return;
    }
    if (kind == 12) {
      out.kind = OpKind::mutex_lock;
      out.object = mutexes_[u.rng.below(2)];
      return;
    }
    if (kind == 13 && u.rng.one_in(4)) {
      out.kind = OpKind::kthread_run;
      out.kthread = &kthread_;
      return;
    }
    out.kind = kind == 14 ? OpKind::sleep : OpKind::run;
    out.ns = Ns(u.rng.below(3'000'000));
    out.arg = kind == 14 ? static_cast<s64>(u.rng.below(3)) : 0;
  }

  u64 seed_;
  Random rng_;
  Trace trace_;
  forksim::InvariantListener invariants_;
  test::LockChecker locks_{trace_};
  test::GraphChecker graph_;
  StopCounter stops_;
  ProcessShape shape_;
  ExecSpec exec_{"/bin/x", &shape_, 1};
  KthreadSpec kthread_{"kt", 20_us, 1_ms, false, CpuId(0), 0};
  std::deque<ForkSpec> specs_;
  std::deque<User> users_;
  std::vector<s32> pids_;
  std::vector<u32> mutexes_;
  u64 live_ = 0;
  bool faulty_ = false;
  std::unique_ptr<Kernel> kernel_;
};

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("ten thousand random trees leave nothing behind, whatever fails") {
    u64 errors = 0, threads = 0, execs = 0, lock_waits = 0, stops = 0;
    for (u64 seed = 1; seed <= 10'000; ++seed) {
      RandomTree tree(seed);
      const std::string wrong = tree.run();
      errors += tree.totals().fork_errors;
      threads += tree.totals().threads;
      execs += tree.totals().execs;
      lock_waits += tree.lock_waits();
      stops += tree.traced_stops();
      REQUIRE_MESSAGE(wrong.empty(), "seed " << seed << ": " << wrong);
    }
    MESSAGE(errors << " failed forks, " << threads << " threads, " << execs << " execs, " << lock_waits << " waits for locks, " << stops
                   << " stops for a tracer");
    CHECK(lock_waits > 1000);
    CHECK(stops > 1000);
    CHECK(errors > 1000);
    CHECK(threads > 1000);
    CHECK(execs > 1000);
  }
}
