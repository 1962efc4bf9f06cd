// Fork, exec, wait, kill, signal handlers: the parts of Compiler that make, end and address tasks.
#include <algorithm>

#include "sim/config/suggest.hpp"
#include "sim/workload/compiler.hpp"

namespace forksim {

namespace {
struct WaitOption {
  std::string_view name;
  u8 low;
  s64 high;
};
constexpr WaitOption kWaitOptions[] = {{"nohang", 1, 0},         {"untraced", 2, 0},          {"continued", 8, 0},
                                       {"nowait", 0, 0x1000000}, {"nothread", 0, 0x20000000}, {"all", 0, 0x40000000},
                                       {"clone", 0, 0x80000000}};
struct TraceOption {
  std::string_view name;
  km::u32 option;
};
constexpr TraceOption kTraceOptions[] = {{"fork", km::kPTRACE_O_TRACEFORK},
                                         {"vfork", km::kPTRACE_O_TRACEVFORK},
                                         {"clone", km::kPTRACE_O_TRACECLONE},
                                         {"exec", km::kPTRACE_O_TRACEEXEC},
                                         {"vforkdone", km::kPTRACE_O_TRACEVFORKDONE}};
constexpr u64 kSigchld = 17;
}  // namespace

u8 Compiler::signal_number(std::string_view name) {
  for (const SignalInfo& s : signal_table())
    if (name == s.name) return static_cast<u8>(s.number);
  return 0;
}

u64 Compiler::clone_flags(const Value& v, const std::string& action) const {
  if (action == "fork") return km::kForkFlags;
  if (action == "vfork") return km::kVforkFlags;
  if (action == "thread") return km::kPthreadFlags;
  u64 flags = 0;
  for (const Value& f : v["flags"].items)
    for (const CloneFlagInfo& c : clone_flag_table())
      if (f.text == c.name) flags |= c.flag;
  if (flags & km::kCLONE_THREAD) return flags;
  const Value& sig = v["exit_signal"];
  return !sig ? flags | kSigchld : flags | signal_number(sig.text);
}

std::vector<u32> Compiler::args(Scope& s, const Value& v, u32 p) {
  const Value &declared = (*program_values_[p])["args"], &given = v["with"];
  std::vector<std::string_view> names;
  std::vector<u32> out;
  for (const Value& a : declared.items) {
    names.push_back(a.text);
    const Value* value = given.find(a.text);
    if (!value) error(v, "arg \"" + a.text + "\" of \"" + w_.programs[p].name + "\" is missing", {}, "give it under `with`");
    out.push_back(value ? bind(s, *value) : 0);
  }
  for (const Field& f : given.fields)
    if (std::ranges::find(names, f.key) == names.end())
      error(f.value, "process \"" + w_.programs[p].name + "\" has no arg \"" + f.key + "\"", "its args are " + one_of(names),
            did_you_mean(f.key, names));
  return out;
}

/// What is forked: another program, or the phases under `child`. False when it is neither.
bool Compiler::fork_site(Scope& s, const Value& v, const std::string& action, ForkSite& site) {
  const Value &name = v[action], &child = v["child"];
  site.spec.clone_flags = clone_flags(v, action);
  site.thread = (site.spec.clone_flags & km::kCLONE_THREAD) != 0;
  site.ordinal_slot = slot(s, v);
  site.inline_child = bool(child);
  if (bool(child) == !name.text.empty()) {
    error(v, child ? "both a program and a child" : "neither a program nor a child",
          "allowed is {" + action + ": PROGRAM}, or {" + action + ": , child: [...]}");
    return false;
  }
  if (child) {
    site.program = s.program;
    site.label = hash_name(purpose(s, "child"));
    if (s.handler) error(v, "a handler cannot fork a child of its own phases", "name a process of this file");
    return !s.handler;
  }
  site.program = program(name);
  if (site.program == kNoIndex) return false;
  site.label = hash_name(purpose(s, name.text));
  site.args = args(s, v, site.program);
  calls_[s.program].insert(site.program);
  return true;
}

/// Registers for the children named by `as`.
void Compiler::fork_names(Scope& s, const Value& v, Instr& i) {
  const Value &as = v["as"], &count = v["count"];
  if (!as) return;
  const u64 n = count.expr.constant ? static_cast<u64>(std::max<s64>(count.num, 1)) : 1;
  if (!count.expr.constant)
    error(count, "children with a name need a constant count", "parameters of the file may be used, loop indexes may not");
  const auto known = std::ranges::find(s.children, as.text, &ChildName::name);
  if (known != s.children.end() && known->count == n) {  // the same variable again, as in C
    i.slot = known->base;
    i.children = known->count;
    return;
  }
  if (known != s.children.end()) {
    error(as, "\"" + as.text + "\" names " + std::to_string(known->count) + " children elsewhere", "the same count, or another name");
    return;
  }
  if (n > 50'000) {
    error(count, "more than 50000 children with a name", "leave out `as`");
    return;
  }
  i.slot = slot(s, v, n);
  i.children = static_cast<u16>(n);
  s.children.push_back({as.text, i.slot, i.children});
}

void Compiler::fork(Scope& s, const Value& v, const std::string& action) {
  ForkSite site;
  if (!fork_site(s, v, action, site)) return;
  Instr i;
  i.code = Code::fork;
  i.a = static_cast<u32>(w_.forks.size());
  i.on_error = policy(v["on_error"]);
  w_.forks.push_back(site);
  const Value &count = v["count"], &name = v["index"];
  const bool once = count.expr.constant && count.num == 1;
  if (once && !name) {
    fork_names(s, v, i);
    return fork_code(s, v, i);
  }
  Instr begin;
  begin.code = Code::loop_begin;
  begin.slot = slot(s, v, 2);
  number(s, begin, count, "count");
  fork_names(s, v, i);
  const u32 head = emit(begin);
  const u32 top = static_cast<u32>(w_.code.size());
  w_.forks[i.a].index = slot_expr(begin.slot);
  if (i.children > 1) i.at = w_.forks[i.a].index;
  if (v["gap"]) fork_gap(s, v, begin.slot);
  if (name) s.numbers.emplace_back(name.text, begin.slot);
  fork_code(s, v, i);
  if (name) s.numbers.pop_back();
  Instr next;
  next.code = Code::loop_next;
  next.slot = begin.slot;
  next.target = top;
  emit(next);
  patch(head);
}

/// A sleep before every fork but the first.
void Compiler::fork_gap(Scope& s, const Value& v, u16 round) {
  Instr first;
  first.code = Code::jump_if_first;
  first.slot = round;
  const u32 skip = emit(first);
  Instr gap;
  gap.code = Code::sleep;
  gap.slot = slot(s, v);
  number(s, gap, v["gap"], "gap");
  emit(gap);
  patch(skip);
}

void Compiler::fork_code(Scope& s, const Value& v, Instr i) {
  leaves(s, i, v);
  emit(i);
  if (w_.forks[i.a].inline_child) child_code(s, v, i.a);
}

/// The child's phases stand behind the fork; the parent jumps over them.
void Compiler::child_code(Scope& s, const Value& v, u32 site) {
  Instr over;
  over.code = Code::jump;
  const u32 jump = emit(over);
  w_.forks[site].entry = static_cast<u32>(w_.code.size());
  std::vector<Loop> outer;
  outer.swap(s.loops);  // a child cannot leave its parent's loops
  body(s, v["child"]);
  end_code(s);
  outer.swap(s.loops);
  patch(jump);
}

void Compiler::exec(Scope& s, const Value& v) {
  const u32 p = program(v["exec"]);
  if (p == kNoIndex) return;
  shaped_[p] = true;
  calls_[s.program].insert(p);
  Instr i;
  i.code = Code::exec;
  i.a = static_cast<u32>(w_.execs.size());
  ExecSite site;
  site.program = p;
  site.args = args(s, v, p);
  w_.execs.push_back(std::move(site));
  emit(i);
}

void Compiler::wait(Scope& s, const Value& v) {
  Instr i;
  i.on_error = policy(v["on_error"]);
  for (const Value& o : v["options"].items)
    for (const WaitOption& w : kWaitOptions) {
      if (o.text != w.name) continue;
      i.arg |= w.low;
      i.num |= w.high;
    }
  const std::string& whom = v["wait"].text;
  if (whom == "one" || whom == "any" || whom == "all" || whom == "group") {
    i.b = whom == "group";
    if (v["at"]) error(v["at"], "`at` belongs to children with a name", "leave it out");
    i.code = whom == "all" ? Code::wait_all : Code::wait_any;
    if (i.on_error == OnError::leave && !(v["count"].expr.constant && v["count"].num == 1))
      return error(v["on_error"], "break with a count", "write a loop around {wait: one, on_error: break}");
    leaves(s, i, v);
    return repeated(s, i, v["count"]);
  }
  i.code = Code::wait_child;
  i.b = v["of"].text == "group" ? 2 : 0;
  each_child(s, v, whom, i);
}

/// An operation on every child of a name, or on the one `at` picks.
void Compiler::each_child(Scope& s, const Value& v, const std::string& name, Instr i) {
  std::vector<std::string_view> names;
  for (const ChildName& c : s.children) names.push_back(c.name);
  const auto it = std::ranges::find(s.children, name, &ChildName::name);
  if (it == s.children.end()) {
    const bool wait = i.code == Code::wait_child;
    return error(
        v, "there is no child \"" + name + "\" here",
        (wait ? "allowed are one, all, and names given by `as` before: " : "allowed are names given by `as` before: ") + one_of(names),
        did_you_mean(name, names));
  }
  i.slot = it->base;
  i.children = it->count;
  const Value& at = v["at"];
  if (at) i.at = at_operand(s, at, v, it->count, "\"" + name + "\"");
  if (at || it->count == 1) {
    leaves(s, i, v);
    emit(i);
    return;
  }
  Instr begin;
  begin.code = Code::loop_begin;
  begin.slot = slot(s, v, 2);
  begin.num = it->count;
  const u32 head = emit(begin);
  i.at = slot_expr(begin.slot);
  leaves(s, i, v);
  const u32 first = emit(i);
  end_loop(begin, head, first);
}

/// The register of one child named by `as`; 0 when there is none of that name.
u16 Compiler::child_slot(Scope& s, const Value& name) {
  std::vector<std::string_view> names;
  for (const ChildName& c : s.children) {
    if (c.name == name.text) return c.base;
    names.push_back(c.name);
  }
  error(name, "there is no child \"" + name.text + "\" here", "allowed are names given by `as` before: " + one_of(names),
        did_you_mean(name.text, names));
  return 0;
}

void Compiler::process_group(Scope& s, const Value& v, const std::string& action) {
  Instr i;
  i.code = action == "setpgid" ? Code::setpgid : Code::foreground;
  const Value& whom = v[action];
  if (whom.text != "self") {
    i.slot = child_slot(s, whom);
    i.children = 1;
  }
  if (v["group"]) i.b = child_slot(s, v["group"]);
  emit(i);
}

void Compiler::kthread(Scope& s, const Value& v) {
  km::KthreadSpec spec;
  w_.texts.push_back(v["kthread"].text);
  spec.name = w_.texts.back();
  spec.work = km::Ns(static_cast<u64>(v["work"].num));
  spec.period = km::Ns(static_cast<u64>(v["period"].num));
  spec.bound = bool(v["cpu"]);
  spec.cpu = km::CpuId(static_cast<u32>(v["cpu"].num));
  spec.rt_priority = static_cast<u32>(v["priority"].num);
  if (spec.bound) note_cpu(v["cpu"], v["cpu"].num);
  Instr i;
  i.code = Code::kthread;
  i.a = static_cast<u32>(w_.kthreads.size());
  i.on_error = policy(v["on_error"]);
  w_.kthreads.push_back(spec);
  fork_names(s, v, i);
  leaves(s, i, v);
  emit(i);
}

void Compiler::queue_work(const Value& v) {
  Instr i;
  i.code = Code::queue_work;
  i.num = v["queue_work"].num;
  i.flag = bool(v["cpu"]);
  i.b = static_cast<u32>(v["cpu"].num);
  if (i.flag) note_cpu(v["cpu"], v["cpu"].num);
  emit(i);
}

void Compiler::cpu_online(Scope& s, const Value& v, bool on) {
  const Value& cpu = v[on ? "cpu_on" : "cpu_off"];
  Instr i;
  i.code = Code::cpu_online;
  i.flag = on;
  i.on_error = policy(v["on_error"]);
  leaves(s, i, v);
  number(s, i, cpu, on ? "cpu_on" : "cpu_off");
  note_cpu(cpu, cpu.num);
  w_.hotplug = true;
  emit(i);
}

void Compiler::ptrace(Scope& s, const Value& v, const std::string& action) {
  using Request = km::PtraceRequest;
  Instr i;
  i.code = Code::ptrace;
  i.a = static_cast<u32>(action == "ptrace_seize" ? Request::seize : action == "ptrace_cont" ? Request::cont : Request::detach);
  i.on_error = policy(v["on_error"]);
  i.flag = v["pass"].num != 0;
  for (const Value& o : v["options"].items)
    for (const TraceOption& t : kTraceOptions)
      if (o.text == t.name) i.num |= t.option;
  if (v[action].text != "waited" || action == "ptrace_seize") return each_child(s, v, v[action].text, i);
  if (v["at"]) error(v["at"], "`at` belongs to children with a name", "leave it out");
  leaves(s, i, v);
  emit(i);
}

void Compiler::sigmask(const Value& v) {
  Instr i;
  i.code = Code::sigmask;
  i.arg = v["sigmask"].text == "block" ? 0 : v["sigmask"].text == "unblock" ? 1 : 2;
  for (const Value& sig : v["signals"].items) i.num |= s64{1} << (signal_number(sig.text) - 1);
  emit(i);
}

void Compiler::signal(Scope& s, const Value& v) {
  Instr i;
  i.code = Code::sigaction;
  for (const SignalInfo& sig : signal_table())
    if (v["signal"].text == sig.name) i.arg = static_cast<u8>(sig.number);
  const std::string& what = v["do"].text;
  i.b = what == "ignore" ? 1 : what == "handler" ? 2 : 0;
  i.flag = v["nocldwait"].num != 0;
  const std::string& name = v["signal"].text;
  if (i.b != 0 && (name == "SIGKILL" || name == "SIGSTOP"))
    error(v["do"], name + " can be neither caught nor ignored", "allowed is default");
  if (i.flag && name != "SIGCHLD") error(v["nocldwait"], "SA_NOCLDWAIT belongs to SIGCHLD", {}, "leave it out");
  if ((i.b == 2) != bool(v["handler"]))
    return error(v, i.b == 2 ? "the handler's phases are missing" : "a handler needs do: handler",
                 "allowed is {signal: S, do: handler, handler: [...]}");
  if (i.b != 2) {
    emit(i);
    return;
  }
  i.a = static_cast<u32>(w_.handlers.size());
  w_.handlers.emplace_back();
  emit(i);
  Instr over;
  over.code = Code::jump;
  const u32 jump = emit(over);
  Scope inner;
  inner.label = s.label + "/handler:" + name;
  inner.program = s.program;
  inner.handler = true;
  const u32 entry = static_cast<u32>(w_.code.size());
  body(inner, v["handler"]);
  end_code(inner);
  w_.handlers[i.a] = {entry, inner.slots};
  patch(jump);
}

}  // namespace forksim
