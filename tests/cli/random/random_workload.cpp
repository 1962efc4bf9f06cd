#include "tests/cli/random/random_workload.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/kernel_model/random.hpp"

namespace forksim::cli {

namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

const Names kSignals = {
#define SIGNAL(name, number) #name,
#include "sim/config/signals.def"
#undef SIGNAL
};
const Names kSyscalls = {
#define SYSCALL(name, number) #name,
#include "sim/config/syscalls.def"
#undef SYSCALL
};
const Names kCloneFlags = {
#define CLONE_FLAG(name) #name,
#include "sim/config/clone_flags.def"
#undef CLONE_FLAG
};
const Names kFeatures = {
#define FEATURE(name, ...) #name,
#include "kernel_model/version/features.def"
#undef FEATURE
};
const Names kFailures = {
#define FAIL_POINT(name, ...) #name,
#include "kernel_model/process/fail_points.def"
#undef FAIL_POINT
};
/// Those for every kind of decision.
const Names kRules = [] {
  Names n;
#define PLACEMENT(name, fork_only, doc) \
  if (!fork_only) n.push_back(#name);
#include "kernel_model/sched/placements.def"
#undef PLACEMENT
  return n;
}();
const Names kFlow = {"ignore", "exit"};

struct Board {
  const char* name;
  std::uint64_t cpus;  ///< of which the file names some
};
constexpr std::array kBoards{Board{"bcm2711", 4}, Board{"bcm2711", 4}, Board{"dual_cluster", 6}, Board{"smt_server", 8}};
const Names kKernels = {"rpi-4.19-arm64", "rpi-4.19-arm64", "mc-4.19-arm64", "rpi-4.19-arm32"};

struct Object {
  std::string name;
  std::uint64_t count;
};

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : rng_{seed} {}
  json file();

 private:
  // --- numbers, times ---
  std::uint64_t below(std::uint64_t n) { return rng_.below(n); }
  std::uint64_t from(std::uint64_t lo, std::uint64_t hi) { return lo + below(hi - lo + 1); }
  std::int64_t level(int lo, int hi) { return lo + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(hi - lo + 1))); }
  bool percent(std::uint64_t p) { return below(100) < p; }
  const std::string& any(const Names& n) { return n[below(n.size())]; }
  std::string one(std::initializer_list<const char*> n) { return n.begin()[below(n.size())]; }
  json count(std::uint64_t lo, std::uint64_t hi);
  std::string time(double lo_us, double hi_us);
  json draw(double lo_us, double hi_us);
  std::string cpus();

  // --- what a program does ---
  using Body = std::vector<json>;
  struct Scope {
    Names children;  ///< named by `as` so far
    Names kthreads;
    int depth = 0;
    bool loop = false, handler = false;
  };
  Body body(Scope& s);
  Body nested(const Scope& s, bool loop);
  void step(Scope& s, Body& out);
  void time_step(const Scope& s, Body& out);
  void task_step(Scope& s, Body& out);
  void sched_step(const Scope& s, Body& out);
  void signal_step(const Scope& s, Body& out);
  void object_step(Scope& s, Body& out);
  void other_step(Scope& s, Body& out);
  void control_step(Scope& s, Body& out);
  void trace_step(const Scope& s, Body& out);
  json child(const char* verb, Scope& s);
  json wait(const Scope& s);
  void of(json& action, const Scope& s);
  json on_error(json action, const Scope& s);
  json of_object(const char* verb, const char* kind);
  void with_args(json& action, const std::string& program);

  // --- the rest of the file ---
  void settings(json& w);
  void groups(json& w);
  void objects(json& w);
  json process(const std::string& name);
  json start();
  void policy(json& j, bool real_time);

  km::Random rng_;
  std::uint64_t cpus_ = 4, next_name_ = 0;
  Names programs_, groups_;
  std::set<std::string> takes_arg_;
  std::map<std::string, std::vector<Object>> objects_;
  bool hotplug_ = false;
};

json Draw::count(std::uint64_t lo, std::uint64_t hi) {
  if (percent(75)) return from(lo, hi);
  return one({"$n", "${n + 1}", "${n * 2 - 1}", "${n % 3 + 1}"});
}

/// Logarithmically between the two.
std::string Draw::time(double lo_us, double hi_us) {
  const double u = static_cast<double>(below(1'000'000)) / 1e6;
  return std::to_string(std::llround(1000 * lo_us * std::pow(hi_us / lo_us, u))) + "ns";
}

json Draw::draw(double lo_us, double hi_us) {
  const std::string max = time(hi_us, hi_us), t = time(lo_us, hi_us);
  switch (below(16)) {
    case 0: return {{"dist", "constant"}, {"value", t}};
    case 1: return {{"dist", "uniform"}, {"min", time(lo_us, lo_us)}, {"max", max}};
    case 2: return {{"dist", "exponential"}, {"mean", t}, {"max", max}};
    case 3: return {{"dist", "normal"}, {"mean", t}, {"stddev", time(lo_us, hi_us)}, {"max", max}};
    case 4: return {{"dist", "lognormal"}, {"median", t}, {"sigma", 0.8}, {"max", max}};
    case 5: return {{"dist", "pareto"}, {"scale", t}, {"shape", 1.2}, {"max", max}};
    case 6: return one({"$t", "${t / 2}", "${t * 2}"});
    default: return t;
  }
}

std::string Draw::cpus() {
  std::set<std::uint64_t> set;
  for (std::uint64_t i = from(1, 3); i > 0; --i) set.insert(below(cpus_));
  std::string out;
  for (std::uint64_t c : set) out += (out.empty() ? "" : ",") + std::to_string(c);
  return out;
}

Draw::Body Draw::body(Scope& s) {
  Body out;
  for (std::uint64_t i = from(1, s.depth ? 5 : 8); i > 0; --i) step(s, out);
  return out;
}

/// A part that may or may not be done: the names it makes are its own.
Draw::Body Draw::nested(const Scope& s, bool loop) {
  Scope inner = s;
  ++inner.depth;
  inner.loop |= loop;
  return body(inner);
}

void Draw::step(Scope& s, Body& out) {
  const std::uint64_t k = below(100);
  if (k < 32) return time_step(s, out);
  if (k < 48) return task_step(s, out);
  if (k < 58) return sched_step(s, out);
  if (k < 66) return signal_step(s, out);
  if (k < 82) return object_step(s, out);
  if (k < 89) return other_step(s, out);
  if (k < 97) return control_step(s, out);
  trace_step(s, out);
}

void Draw::time_step(const Scope&, Body& out) {
  switch (below(10)) {
    case 0:
    case 1: return out.push_back({{"sleep", draw(1, 20'000)}});
    case 2: return out.push_back({{"sleep", time(1, 5'000)}, {"state", one({"interruptible", "uninterruptible", "killable"})}});
    case 3: return out.push_back({{"timer", time(100, 20'000)}});
    case 4: return out.push_back({{"yield", count(1, 3)}});
    case 5: return out.push_back({{"syscall", any(kSyscalls)}, {"count", count(1, 20)}});
    case 6: return out.push_back(percent(15) ? json{{"pause", 1}} : json{{"mark", "here"}});
    case 7: return out.push_back({{"runtime", draw(1, 10'000)}});
    default: return out.push_back({{"run", draw(1, 10'000)}});
  }
}

json Draw::on_error(json action, const Scope& s) {
  if (percent(25)) action["on_error"] = s.loop && percent(30) ? "break" : any(kFlow);
  return action;
}

void Draw::with_args(json& action, const std::string& program) {
  if (takes_arg_.contains(program)) action["with"] = {{"a", count(0, 3)}};
}

json Draw::child(const char* verb, Scope& s) {
  json j;
  if (s.handler || percent(40)) {
    const std::string& program = any(programs_);
    j[verb] = program;
    with_args(j, program);
  } else {
    j[verb] = nullptr;
    Scope own = s;
    own.loop = false;
    j["child"] = nested(own, false);
  }
  if (percent(40)) j["count"] = count(0, 4);
  if (percent(20)) j["gap"] = draw(1, 2'000);
  if (percent(15)) j["index"] = "i" + std::to_string(next_name_++);
  if (!s.handler && percent(70)) {
    s.children.push_back("c" + std::to_string(next_name_++));
    j["as"] = s.children.back();
  }
  return on_error(j, s);
}

json Draw::wait(const Scope& s) {
  Names whom = s.children;
  for (const char* w : {"one", "any", "all", "group"}) whom.push_back(w);
  json j{{"wait", any(whom)}};
  if (j["wait"] == "one" && percent(30)) j["count"] = count(1, 3);
  if (percent(30)) j["options"] = {one({"nohang", "untraced", "continued", "nothread", "all", "clone"})};
  return on_error(j, s);
}

void Draw::task_step(Scope& s, Body& out) {
  const std::uint64_t k = below(20);
  if (k < 9 && s.depth > 3) return out.push_back(wait(s));
  if (k < 4) return out.push_back(child("fork", s));
  if (k < 5) return out.push_back(child("vfork", s));
  if (k < 7) return out.push_back(child("thread", s));
  if (k < 9) {
    json j = child("clone", s);
    std::set<std::string> flags;
    for (std::uint64_t i = below(6); i > 0; --i) flags.insert(any(kCloneFlags));
    if (flags.contains("CLONE_THREAD")) flags.insert("CLONE_SIGHAND");
    if (flags.contains("CLONE_SIGHAND")) flags.insert("CLONE_VM");
    j["flags"] = flags;
    if (percent(20)) j["exit_signal"] = percent(30) ? "none" : any(kSignals);
    return out.push_back(j);
  }
  if (k < 12) return out.push_back(wait(s));
  if (k < 13 && !s.children.empty()) return out.push_back({{"join", any(s.children)}});
  if (k < 14) return out.push_back({{"subreaper", percent(80)}});
  if (k < 15) return out.push_back({{"name", "other" + std::to_string(below(100))}});
  if (k < 16) return out.push_back({{"ioprio", one({"none", "realtime", "best_effort", "idle"})}, {"level", below(8)}});
  if (k < 17 && percent(40)) return out.push_back({{"setuid", below(4)}});
  if (k < 18 && percent(40)) {
    json j{{"exec", any(programs_)}};
    with_args(j, j["exec"]);
    return out.push_back(j);
  }
  if (k < 19 && percent(30)) return out.push_back({{one({"exit", "exit_group"}), below(4)}});
}

void Draw::of(json& action, const Scope& s) {
  if (s.children.empty() || percent(60)) return;
  action["of"] = any(s.children);
  if (percent(20)) action["at"] = 0;
}

void Draw::policy(json& j, bool real_time) {
  const std::uint64_t k = below(real_time ? 5 : 3);
  j["policy"] = std::array{"other", "batch", "idle", "fifo", "rr"}[k];
  if (k > 2) j["priority"] = from(1, 99);
}

void Draw::sched_step(const Scope& s, Body& out) {
  json j;
  switch (below(groups_.empty() ? 3 : 4)) {
    case 0: j["nice"] = level(-20, 19); break;
    case 1: j["affinity"] = cpus(); break;
    case 2:
      policy(j, true);
      if (percent(20)) j["reset_on_fork"] = true;
      break;
    default: j["cgroup"] = percent(30) ? "root" : any(groups_);
  }
  of(j, s);
  out.push_back(on_error(j, s));
}

void Draw::signal_step(const Scope& s, Body& out) {
  std::string sig;
  do sig = any(kSignals);
  while (sig == "SIGKILL" || sig == "SIGSTOP");
  switch (below(6)) {
    case 0: {
      json j{{"signal", sig}, {"do", one({"default", "ignore"})}};
      if (sig == "SIGCHLD" && percent(40)) j["nocldwait"] = true;
      return out.push_back(j);
    }
    case 1: {
      Scope handler;
      handler.depth = s.depth + 2;
      handler.handler = true;
      return out.push_back({{"signal", sig}, {"do", "handler"}, {"handler", s.handler ? Body{{{"run", "10us"}}} : body(handler)}});
    }
    case 2: return out.push_back({{"sigmask", one({"block", "unblock", "set"})}, {"signals", {sig}}});
    case 3: return out.push_back({{"pdeath", sig}});
    default: {
      if (s.children.empty() && percent(80)) return;
      json j{{"kill", s.children.empty() ? "group" : any(s.children)}, {"signal", any(kSignals)}};
      if (percent(30)) j["to"] = one({"process", "thread", "group"});
      return out.push_back(on_error(j, s));
    }
  }
}

json Draw::of_object(const char* verb, const char* kind) {
  const auto& all = objects_[kind];
  const Object& o = all[below(all.size())];
  json j{{verb, o.name}};
  if (o.count > 1 || percent(10)) j["at"] = below(o.count);
  return j;
}

void Draw::object_step(Scope& s, Body& out) {
  const auto held = [&](json take) {
    json give = take;
    const std::string verb = take.contains("lock") ? "lock" : take.contains("read_lock") ? "read_lock" : "write_lock";
    give["unlock"] = give[verb];
    give.erase(verb);
    out.push_back(std::move(take));
    if (s.depth < 3 && percent(40))
      for (json& j : nested(s, false)) out.push_back(std::move(j));
    else
      out.push_back({{"run", draw(1, 2'000)}});
    if (percent(97)) out.push_back(give);
  };
  switch (below(14)) {
    case 0:
    case 1: return held(of_object("lock", "mutexes"));
    case 2: return held(of_object("read_lock", "rwlocks"));
    case 3: return held(of_object("write_lock", "rwlocks"));
    case 4: return out.push_back(of_object("cond_signal", "conditions"));
    case 5: return out.push_back(of_object("cond_broadcast", "conditions"));
    case 6: {
      if (percent(70)) return;
      const std::string mutex = objects_["mutexes"][0].name, condition = objects_["conditions"][0].name;
      out.push_back({{"lock", mutex}, {"at", 0}});
      out.push_back({{"cond_wait", condition}, {"mutex", mutex}, {"at", 0}});
      return out.push_back({{"unlock", mutex}, {"at", 0}});
    }
    case 7: return percent(40) ? out.push_back(of_object("barrier", "barriers")) : void();
    case 8: return out.push_back(of_object(percent(40) ? "sem_wait" : "sem_post", "semaphores"));
    default: break;
  }
  const std::string verb = one({"read", "read", "write", "write", "write", "close_read", "close_write"});
  const bool socket = percent(50);
  json j = of_object(verb.c_str(), socket ? "socketpairs" : "pipes");
  if (socket) j["end"] = one({"a", "b"});
  if (verb[0] == 'c') return percent(50) ? out.push_back(j) : void();
  j["size"] = one({"1B", "100B", "512B", "4KiB", "70000B"});
  if (verb == "read" && percent(30)) j["on_eof"] = any(kFlow);
  out.push_back(on_error(j, s));
}

void Draw::other_step(Scope& s, Body& out) {
  switch (below(hotplug_ ? 12 : 10)) {
    case 0: return out.push_back({{"touch", one({"anon", "cow", "file"})}, {"pages", count(1, 20)}});
    case 1: return out.push_back({{one({"open", "close"}), count(1, 4)}});
    case 2: return out.push_back({{"setsid", 1}});
    case 3: return out.push_back({{"ctty", 1}});
    case 4: return out.push_back({{"foreground", s.children.empty() ? "self" : any(s.children)}});
    case 5: {
      json j{{"setpgid", s.children.empty() ? "self" : any(s.children)}};
      if (!s.children.empty() && percent(30)) j["group"] = any(s.children);
      return out.push_back(j);
    }
    case 6: {
      json j{{"kthread", "kt" + std::to_string(next_name_)}, {"work", time(1, 1'000)}};
      if (percent(60)) j["period"] = time(100, 20'000);
      if (percent(40)) j["cpu"] = below(cpus_);
      if (percent(30)) j["priority"] = from(1, 99);
      if (!s.handler) {
        s.kthreads.push_back("k" + std::to_string(next_name_++));
        j["as"] = s.kthreads.back();
      }
      out.push_back(j);
      if (s.handler || percent(60)) return;
      out.push_back({{"sleep", time(1, 10'000)}});
      return out.push_back({{"kthread_stop", any(s.kthreads)}});
    }
    case 7:
    case 8:
    case 9: {
      json j{{"queue_work", time(1, 5'000)}};
      if (percent(50)) j["cpu"] = below(cpus_);
      return out.push_back(j);
    }
    default: return out.push_back(on_error({{one({"cpu_off", "cpu_on"}), below(cpus_)}}, s));
  }
}

void Draw::control_step(Scope& s, Body& out) {
  if (s.depth > 2) return s.loop && percent(30) ? out.push_back({{"break", 1}}) : void();
  const std::uint64_t k = below(6);
  if (k == 0) return s.loop ? out.push_back({{"break", 1}}) : void();
  if (k < 3) {
    json cases = json::array();
    for (std::uint64_t i = from(1, 3); i > 0; --i) cases.push_back({{"weight", below(5) + (i == 1)}, {"body", nested(s, false)}});
    return out.push_back({{"choose", cases}});
  }
  json j{{"loop", count(0, 6)}};
  if (percent(15)) j = {{"loop", "forever"}, {"until", time(1'000, 50'000)}};
  if (percent(20)) j["index"] = "i" + std::to_string(next_name_++);
  j["body"] = nested(s, true);
  j["body"].push_back({{"sleep", time(10, 500)}});  // a round takes time
  out.push_back(j);
}

void Draw::trace_step(const Scope& s, Body& out) {
  if (s.children.empty()) return;
  json j{{"ptrace_seize", any(s.children)}};
  if (percent(70)) j["options"] = {one({"fork", "vfork", "clone", "exec"}), "vforkdone"};
  out.push_back(on_error(j, s));
  json next{{"wait", "one"}, {"options", {"all"}}};
  if (percent(30)) next["options"].push_back("nohang");
  if (percent(80)) out.push_back({{"loop", from(1, 4)}, {"body", {next, {{"ptrace_cont", "waited"}, {"pass", percent(70)}}}}});
  if (percent(30)) out.push_back({{"ptrace_detach", percent(50) ? "waited" : any(s.children)}});
}

void Draw::settings(json& w) {
  const Board& board = kBoards[below(kBoards.size())];
  cpus_ = board.cpus;
  hotplug_ = percent(50);
  w["platform"] = board.name;
  w["kernel"] = any(kKernels);
  w["seed"] = below(1'000'000);
  w["until"] = one({"30ms", "60ms", "100ms"});
  w["parameters"] = {{"n", from(1, 3)}, {"t", time(1, 3'000)}};
  w["tunables"]["threads_max"] = one({"60", "200", "1000"});
  if (percent(20)) w["tunables"]["sched_latency_ns"] = one({"1000000", "6000000", "48000000"});
  if (percent(20)) w["tunables"]["sched_rt_runtime_us"] = one({"-1", "0", "100000", "1000000"});
  if (percent(10)) w["tunables"]["pid_max"] = one({"330", "400"});
  if (percent(30)) w["features"][any(kFeatures)] = percent(50);
  if (percent(20)) w["config"]["PREEMPT"] = one({"full", "voluntary", "none"});
  if (percent(20)) w["config"]["HZ"] = one({"100", "250", "300", "1000"});
  for (const char* c : {"SCHED_MC", "SCHED_AUTOGROUP", "IRQ_TIME_ACCOUNTING", "VMAP_STACK"})
    if (percent(12)) w["config"][c] = percent(50);
  if (percent(30)) w["governor"] = one({"performance", "powersave", "ondemand", "schedutil", "userspace"});
  if (percent(20)) w["placement"][one({"fork", "exec", "wake"})] = any(kRules);
  if (percent(10)) w["model"]["locks"] = "off";
  if (percent(15)) w["fail"] = {{any(kFailures), one({"nth:2", "every:5", "p:0.1"})}};
  if (percent(30))
    w["interrupts"] = {{{"name", "dev"}, {"irq", 40}, {"cpu", below(cpus_)}, {"handler", time(1, 200)}, {"thread", time(1, 1'000)}, {"every", time(200, 20'000)}, {"count", from(1, 100)}}};
}

/// Quotas of nested groups would have to fit into each other: only those at the top have one.
void Draw::groups(json& w) {
  if (percent(60)) return;
  w["config"]["CFS_BANDWIDTH"] = true;
  for (std::uint64_t i = from(1, 4); i > 0; --i) {
    json g{{"name", "g" + std::to_string(i)}};
    if (percent(50)) g["shares"] = one({"2", "100", "1024", "262144"});
    if (!groups_.empty() && percent(50)) {
      g["parent"] = any(groups_);
    } else if (percent(50)) {
      g["cfs_period_us"] = one({"1000", "5000", "100000"});
      g["cfs_quota_us"] = one({"1000", "5000", "400000"});
    }
    groups_.push_back(g["name"]);
    w["cgroups"].push_back(g);
  }
}

void Draw::objects(json& w) {
  for (const char* kind : {"mutexes", "rwlocks", "semaphores", "barriers", "conditions", "pipes", "socketpairs"})
    for (std::uint64_t i = from(1, 2); i > 0; --i) {
      const Object o{std::string(kind).substr(0, 3) + std::to_string(i), percent(30) ? from(2, 3) : 1};
      json j{{"name", o.name}, {"count", o.count}};
      if (percent(30)) j["per"] = "instance";
      if (kind[0] == 'm') j["robust"] = percent(30);
      if (kind == std::string("semaphores")) j["value"] = below(5);
      if (kind[0] == 'b') j["parties"] = from(1, 3);
      if (kind[0] == 'p' || kind == std::string("socketpairs")) j["capacity"] = one({"1B", "4KiB", "100000B"});
      objects_[kind].push_back(o);
      w[kind].push_back(j);
    }
}

json Draw::process(const std::string& name) {
  json p{{"name", name}};
  if (percent(30)) p["nice"] = level(-20, 19);
  if (percent(20)) p["affinity"] = cpus();
  if (percent(20)) policy(p, true);
  if (!groups_.empty() && percent(40) && !p.contains("priority")) p["cgroup"] = any(groups_);
  if (percent(20)) p["placement"][one({"fork", "exec", "wake"})] = any(kRules);
  Body phases;
  if (takes_arg_.contains(name)) {
    p["args"] = {"a"};
    phases.push_back({{"loop", "${a + 1}"}, {"body", {{{"run", "20us"}}}}});
  }
  Scope s;
  for (json& j : body(s)) phases.push_back(std::move(j));
  p["phases"] = phases;
  return p;
}

json Draw::start() {
  const std::string& program = any(programs_);
  json j{{"process", program}, {"count", from(1, 5)}};
  switch (below(4)) {
    case 0: j["every"] = time(100, 20'000); break;
    case 1: j["poisson"] = time(100, 20'000); break;
    case 2: j["burst"] = {{"size", from(1, 4)}, {"every", time(100, 20'000)}}; break;
    default: break;
  }
  if (percent(30)) j["at"] = time(1, 20'000);
  if (percent(20)) j["user"] = below(4);
  if (percent(15)) j["nice"] = level(-20, 19);
  if (percent(15)) policy(j, false);
  if (percent(10)) j["affinity"] = cpus();
  if (takes_arg_.contains(program)) j["with"] = {{"a", below(4)}};
  return j;
}

json Draw::file() {
  json w{{"schema", "forksim.workload/1"}, {"description", "drawn at random"}};
  settings(w);
  groups(w);
  objects(w);
  for (std::uint64_t i = from(1, 4); i > 0; --i) {
    programs_.push_back("p" + std::to_string(i));
    if (percent(30)) takes_arg_.insert(programs_.back());
  }
  for (const std::string& name : programs_) w["processes"].push_back(process(name));
  // Every parameter has to be used.
  w["processes"][0]["phases"].push_back({{"run", "$t"}});
  w["processes"][0]["phases"].push_back({{"yield", "$n"}});
  for (std::uint64_t i = from(1, 4); i > 0; --i) w["start"].push_back(start());
  return w;
}

}  // namespace

json random_workload(std::uint64_t seed) { return Draw(seed).file(); }

}  // namespace forksim::cli
