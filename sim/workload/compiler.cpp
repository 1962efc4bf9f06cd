#include "sim/workload/compiler.hpp"

#include <algorithm>

#include "sim/config/suggest.hpp"

namespace forksim {

namespace {

u64 label_hash(const std::string& s) { return hash_name(s); }

std::vector<std::string_view> keys(const std::map<std::string, u32, std::less<>>& m) {
  std::vector<std::string_view> out;
  for (const auto& [name, unused] : m) out.push_back(name);
  return out;
}

}  // namespace

void Compiler::error(const Value& v, std::string what, std::string allowed, std::string hint) {
  diags_.add(doc_.at(v.line, v.col, v.path, std::move(what), std::move(allowed), std::move(hint)));
}

Workload Compiler::compile() {
  w_.name = tree_["name"].text;
  w_.description = tree_["description"].text;
  w_.source = tree_["source"].text;
  declare_objects();
  declare_groups();
  declare_failures();
  declare_interrupts();
  w_.placement = placement_of(tree_["placement"]);
  declare_programs();
  for (u32 p = 0; p < program_values_.size(); ++p) compile_program(p);
  compile_starts();
  close_objects();
  check_object_count();
  check_shapes();
  check_endless();
  link_specs();
  return std::move(w_);
}

void Compiler::declare_objects() {
  declare_object_list("mutexes", km::ObjectKind::mutex, "", false);
  declare_object_list("rwlocks", km::ObjectKind::rwlock, "", false);
  declare_object_list("semaphores", km::ObjectKind::semaphore, "value", false);
  declare_object_list("barriers", km::ObjectKind::barrier, "parties", false);
  declare_object_list("conditions", km::ObjectKind::condition, "", false);
  declare_object_list("pipes", km::ObjectKind::pipe, "capacity", false);
  declare_object_list("socketpairs", km::ObjectKind::pipe, "capacity", true);
}

void Compiler::declare_object_list(std::string_view key, km::ObjectKind kind, std::string_view param, bool socketpair) {
  for (const Value& v : tree_[key].items) {
    ObjectDecl o;
    o.kind = kind;
    o.name = v["name"].text;
    if (!param.empty()) o.param = static_cast<u64>(v[param].num);
    if (v["robust"]) o.param = v["robust"].num != 0;
    o.count = static_cast<u32>(v["count"].num);
    o.per_instance = v["per"].text == "instance";
    o.socketpair = socketpair;
    if (!object_index_.emplace(o.name, static_cast<u32>(w_.objects.size())).second)
      error(v["name"], "\"" + o.name + "\" is declared twice",
            "each mutex, rwlock, semaphore, barrier, condition, pipe and socket pair has its own name");
    w_.objects.push_back(std::move(o));
  }
}

void Compiler::declare_programs() {
  for (const Value& v : tree_["processes"].items) {
    Program p;
    p.name = v["name"].text;
    p.file = v["file"] ? v["file"].text : "/usr/bin/" + p.name;
    p.command = v["command"].text;
    p.shape = shape_of(v["shape"]);
    p.has_nice = bool(v["nice"]);
    p.nice = static_cast<int>(v["nice"].num);
    p.has_affinity = bool(v["affinity"]);
    p.affinity = mask_of(v["affinity"]);
    p.placement = placement_of(v["placement"]);
    p.policy = policy_choice(v);
    p.has_group = bool(v["cgroup"]);
    p.group = group(v["cgroup"]);
    p.args = static_cast<u16>(std::min<std::size_t>(v["args"].items.size(), 64));
    if (v["args"].items.size() > 64) error(v["args"], "more than 64 args", "at most 64");
    if (!program_index_.emplace(p.name, static_cast<u32>(w_.programs.size())).second)
      error(v["name"], "\"" + p.name + "\" is declared twice", "each process has its own name");
    w_.programs.push_back(std::move(p));
    program_values_.push_back(&v);
  }
  uses_.resize(w_.programs.size());
  calls_.resize(w_.programs.size());
  shaped_.resize(w_.programs.size());
}

/// Numbers of the rules that `placement` names; each name gets one, in order of first use.
km::PlacementIds Compiler::placement_of(const Value& v) {
  km::PlacementIds ids{};
  for (std::size_t k = 0; k < km::kPlacementKinds; ++k) {
    const Value& name = v[km::kPlacementKindNames[k]];
    if (!name) continue;
    const auto at = std::ranges::find(w_.placements, name.text);
    ids[k] = static_cast<u8>(at - w_.placements.begin() + 1);
    if (at != w_.placements.end()) continue;
    w_.placements.push_back(name.text);
    if (w_.placements.size() > 255) error(name, "more than 254 placement rules in one run", "at most 254");
  }
  return ids;
}

km::ProcessShape Compiler::shape_of(const Value& v) {
  km::ProcessShape s;
  if (!v) return s;
  auto take = [&](u32& field, std::string_view key) { field = static_cast<u32>(v[key].num); };
  take(s.vmas, "vmas");
  take(s.anon_pages, "anon_pages");
  take(s.file_pages, "file_pages");
  take(s.pgtable_pages, "pgtable_pages");
  take(s.fds, "fds");
  s.working_set_kib = static_cast<u32>(v["working_set"].num / 1024);
  if (v["working_set"].num % 1024 != 0)
    error(v["working_set"], v["working_set"].text + " is not a whole number of KiB", "allowed are multiples of 1KiB");
  constexpr s64 kPage = 4096;
  s.vm_pages = static_cast<u32>(std::max<s64>((v["vm"].num + kPage - 1) / kPage, s64{s.anon_pages} + s.file_pages));
  if (v["vm"] && v["vm"].num < (s64{s.anon_pages} + s.file_pages) * kPage)
    error(v["vm"], v["vm"].text + " is less than the pages present", "at least anon_pages + file_pages, 4KiB each");
  s.locked = v["locked"].num != 0;
  take(s.child_cow, "child_cow");
  take(s.child_file, "child_file");
  take(s.child_anon, "child_anon");
  take(s.parent_cow, "parent_cow");
  s.dynamic = v["dynamic"].num != 0;
  take(s.startup_file, "startup_file");
  take(s.startup_anon, "startup_anon");
  take(s.startup_cow, "startup_cow");
  if (s.child_cow > s.anon_pages)
    error(v["child_cow"], "a child cannot copy " + std::to_string(s.child_cow) + " of " + std::to_string(s.anon_pages) + " anonymous pages",
          "child_cow <= anon_pages");
  return s;
}

km::CpuMask Compiler::mask_of(const Value& cpus) {
  km::CpuMask m;
  for (const Value& c : cpus.items) {
    m.set(km::CpuId(static_cast<u32>(c.num)));
    note_cpu(cpus, c.num);
  }
  return m;
}

/// Remembers the highest CPU that is named, and where.
void Compiler::note_cpu(const Value& place, s64 cpu) {
  if (cpu <= w_.highest_cpu) return;
  w_.highest_cpu = static_cast<int>(cpu);
  w_.highest_cpu_path = place.path;
  w_.highest_cpu_line = place.line;
  w_.highest_cpu_col = place.col;
}

void Compiler::declare_failures() {
  for (const Field& f : tree_["fail"].fields) {
    FailureDecl d;
    d.point =
        static_cast<km::FailPoint>(std::ranges::find(km::kFailPointTable, f.key, &km::FailPointInfo::name) - km::kFailPointTable.begin());
    d.when = f.value.text.starts_with("nth")     ? FailureDecl::When::nth
             : f.value.text.starts_with("every") ? FailureDecl::When::every
                                                 : FailureDecl::When::chance;
    d.n = static_cast<u64>(f.value.num);
    d.chance = f.value.real;
    w_.failures.push_back(d);
  }
}

void Compiler::declare_interrupts() {
  u64 nr = 0;
  for (const Value& v : tree_["interrupts"].items) {
    w_.texts.push_back(v["name"].text);
    InterruptDecl d;
    d.spec.name = w_.texts.back();
    d.spec.irq = static_cast<u32>(v["irq"].num);
    d.spec.cpu = km::CpuId(static_cast<u32>(v["cpu"].num));
    d.spec.handler = km::Ns(static_cast<u64>(v["handler"].num));
    d.spec.thread = km::Ns(static_cast<u64>(v["thread"].num));
    d.dates = arrivals(v, derive_key(derive_key(seed_, label_hash("interrupt")), nr++));
    note_cpu(v["cpu"], v["cpu"].num);
    w_.interrupts.push_back(std::move(d));
  }
}

void Compiler::compile_program(u32 index) {
  const Value& v = *program_values_[index];
  Scope s;
  s.label = w_.programs[index].name;
  s.program = index;
  s.numbers.emplace_back("index", u16{0});
  for (u16 a = 0; a < w_.programs[index].args; ++a) s.numbers.emplace_back(v["args"].items[a].text, slot(s, v));
  w_.programs[index].entry = static_cast<u32>(w_.code.size());
  body(s, v["phases"]);
  end_code(s);
  w_.programs[index].slots = s.slots;
}

void Compiler::end_code(const Scope& s) {
  Instr i;
  i.code = s.handler ? Code::sigreturn : Code::end;
  emit(i);
}

void Compiler::compile_starts() {
  std::map<u32, u64> occurrences;
  for (const Value& v : tree_["start"].items) compile_start(v, occurrences);
}

void Compiler::compile_start(const Value& v, std::map<u32, u64>& occurrences) {
  const u32 p = program(v["process"]);
  if (p == kNoIndex) return;
  shaped_[p] = true;
  StartDecl s;
  s.program = p;
  const u64 root = derive_key(derive_key(seed_, label_hash("start")), label_hash(w_.programs[p].name));
  s.key = derive_key(root, occurrences[p]++);
  s.uid = static_cast<u32>(v["user"].num);
  s.has_nice = bool(v["nice"]);
  s.nice = static_cast<int>(v["nice"].num);
  s.has_affinity = bool(v["affinity"]);
  s.affinity = mask_of(v["affinity"]);
  s.placement = placement_of(v["placement"]);
  s.policy = policy_choice(v);
  s.has_group = bool(v["cgroup"]);
  s.group = group(v["cgroup"]);
  s.args = start_args(v, p);
  s.arrivals = arrivals(v, s.key);
  w_.starts.push_back(std::move(s));
}

std::vector<s64> Compiler::start_args(const Value& start, u32 p) {
  const Value &declared = (*program_values_[p])["args"], &given = start["with"];
  std::vector<s64> out(w_.programs[p].args);
  std::vector<std::string_view> names;
  for (const Value& a : declared.items) names.push_back(a.text);
  for (const Field& f : given.fields) {
    const auto at = std::ranges::find(names, f.key) - names.begin();
    if (static_cast<std::size_t>(at) < out.size()) out[static_cast<std::size_t>(at)] = f.value.num;
    if (static_cast<std::size_t>(at) >= names.size())
      error(f.value, "process \"" + w_.programs[p].name + "\" has no arg \"" + f.key + "\"", "its args are " + one_of(names),
            did_you_mean(f.key, names));
  }
  for (std::string_view n : names)
    if (!given.find(n))
      error(start["process"], "arg \"" + std::string(n) + "\" of \"" + w_.programs[p].name + "\" is missing", {}, "give it under `with`");
  return out;
}

std::vector<km::Ns> Compiler::arrivals(const Value& v, u64 key) {
  const Value &every = v["every"], &poisson = v["poisson"], &burst = v["burst"];
  if (int(bool(every)) + int(bool(poisson)) + int(bool(burst)) > 1)
    error(v, "more than one of every, poisson and burst", "at most one of them in one start item");
  const auto count = static_cast<u64>(v["count"].num);
  std::vector<km::Ns> out;
  u64 date = static_cast<u64>(v["at"].num), stream = derive_key(key, label_hash("arrival"));
  const Distribution gap{DistKind::exponential, static_cast<double>(poisson.num), 0, 0, s64{1} << 62};
  const u64 size = burst ? static_cast<u64>(std::max<s64>(burst["size"].num, 1)) : 1;
  for (u64 i = 0; i < count && i < 1'000'000; ++i) {
    if (i > 0 && every) date += static_cast<u64>(every.num);
    if (i > 0 && poisson) date += static_cast<u64>(draw(gap, next_u64(stream)).value);
    if (i > 0 && burst && i % size == 0) date += static_cast<u64>(burst["every"].num);
    if (date > static_cast<u64>(s64{1} << 62)) {
      error(v, "arrivals reach beyond 146 years", "fewer or closer arrivals");
      break;
    }
    out.push_back(km::Ns(date));
  }
  return out;
}

void Compiler::close_objects() {
  for (bool grown = true; grown;) {
    grown = false;
    for (std::size_t p = 0; p < calls_.size(); ++p) {
      const std::size_t before = uses_[p].size();
      for (u32 callee : calls_[p]) uses_[p].insert(uses_[callee].begin(), uses_[callee].end());
      grown |= uses_[p].size() != before;
    }
  }
  for (std::size_t p = 0; p < uses_.size(); ++p) w_.programs[p].objects.assign(uses_[p].begin(), uses_[p].end());
}

/// Every object of the run is made before it starts.
void Compiler::check_object_count() {
  constexpr u64 kLimit = 10'000'000;
  u64 total = 0;
  for (const ObjectDecl& o : w_.objects) total += o.per_instance ? 0 : o.size();
  for (const StartDecl& s : w_.starts)
    for (u32 o : w_.programs[s.program].objects)
      if (w_.objects[o].per_instance) total += u64{w_.objects[o].size()} * s.arrivals.size();
  if (total > kLimit)
    error(tree_["start"], "the run would have " + std::to_string(total) + " mutexes, pipes and the like",
          "at most " + std::to_string(kLimit));
}

void Compiler::check_shapes() {
  for (std::size_t p = 0; p < program_values_.size(); ++p) {
    const Value& v = *program_values_[p];
    if (v["shape"] && !shaped_[p])
      error(v["shape"], "the shape of \"" + w_.programs[p].name + "\" is never used: a forked child has its parent's shape",
            "a shape belongs to what start or exec names");
  }
}

/// A loop that nothing in it can leave.
bool Compiler::endless(const Value& body) const {
  for (const Value& v : body.items) {
    const std::string action = v.text.size() > 6 ? v.text.substr(6) : std::string{};
    if (action != "loop") continue;
    const bool forever = v["loop"].num < 0 && !v["until"];
    auto leaves = [&](auto& self, const Value& list, bool inner) -> bool {
      return std::ranges::any_of(list.items, [&](const Value& p) {
        const std::string a = p.text.size() > 6 ? p.text.substr(6) : std::string{};
        const bool exits = a == "exit" || a == "exit_group" || a == "exec" || p["on_eof"].text == "exit" || p["on_error"].text == "exit";
        const bool breaks = !inner && (a == "break" || p["on_eof"].text == "break" || p["on_error"].text == "break");
        if (exits || breaks || self(self, p["body"], inner || a == "loop")) return true;
        return std::ranges::any_of(p["choose"].items, [&](const Value& c) { return self(self, c["body"], inner); });
      });
    };
    if (forever ? !leaves(leaves, v["body"], false) : endless(v["body"])) return true;
  }
  return false;
}

void Compiler::check_endless() {
  if (tree_["until"].num >= 0) return;
  for (const Value& v : tree_["start"].items) {
    const auto p = program_index_.find(v["process"].text);
    if (p == program_index_.end() || !endless((*program_values_[p->second])["phases"])) continue;
    error(v["process"], "\"" + p->first + "\" never ends and the run has no end", {},
          "give the file an `until`, or the loop a count, an `until` or a break");
  }
}

void Compiler::link_specs() {
  for (std::size_t f = 0; f < w_.forks.size(); ++f) {
    ForkSite& site = w_.forks[f];
    const Program& p = w_.programs[site.program];
    site.spec.program = static_cast<u32>(f);
    if (site.inline_child) continue;
    site.entry = p.entry;
    site.spec.has_nice = p.has_nice;
    site.spec.nice = p.nice;
    site.spec.affinity = p.has_affinity ? &p.affinity : nullptr;
    site.spec.placement = p.placement;
    site.spec.has_policy = p.policy.given;
    site.spec.policy = p.policy.policy;
    site.spec.rt_priority = p.policy.rt_priority;
    site.spec.has_group = p.has_group;
    site.spec.group = p.group;
    site.deadline = p.policy.deadline;
  }
  for (std::size_t e = 0; e < w_.execs.size(); ++e) {
    ExecSite& site = w_.execs[e];
    const Program& p = w_.programs[site.program];
    site.spec = {p.file, &p.shape, static_cast<u32>(e), p.command};
  }
}

u32 Compiler::program(const Value& name) {
  if (name.text.empty() || program_index_.empty()) return kNoIndex;
  const auto it = program_index_.find(name.text);
  if (it != program_index_.end()) return it->second;
  const auto names = keys(program_index_);
  error(name, "there is no process \"" + name.text + "\"", "processes are " + one_of(names), did_you_mean(name.text, names));
  return kNoIndex;
}

u32 Compiler::object(const Value& name, std::initializer_list<km::ObjectKind> kinds, const char* what) {
  if (name.text.empty()) return kNoIndex;
  std::vector<std::string_view> fitting;
  for (const ObjectDecl& o : w_.objects)
    if (std::ranges::find(kinds, o.kind) != kinds.end()) fitting.push_back(o.name);
  const auto it = object_index_.find(name.text);
  if (it != object_index_.end() && std::ranges::find(kinds, w_.objects[it->second].kind) != kinds.end()) return it->second;
  error(name, std::string("there is no ") + what + " \"" + name.text + "\"",
        fitting.empty() ? std::string("the file declares no ") + what : "declared are " + one_of(fitting),
        did_you_mean(name.text, fitting));
  return kNoIndex;
}

}  // namespace forksim
