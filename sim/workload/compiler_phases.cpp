// Operands, control flow, objects: the parts of Compiler that do not make or end tasks.
#include <algorithm>

#include "sim/config/suggest.hpp"
#include "sim/workload/compiler.hpp"

namespace forksim {

namespace {

struct SimpleAction {
  std::string_view action;
  Code code;
};
constexpr SimpleAction kNumberActions[] = {{"run", Code::run},       {"runtime", Code::runtime},    {"sleep", Code::sleep},
                                           {"timer", Code::timer},   {"exit", Code::exit},          {"exit_group", Code::exit_group},
                                           {"open", Code::open},     {"close", Code::close},        {"setsid", Code::setsid},
                                           {"setuid", Code::setuid}, {"subreaper", Code::subreaper}};
constexpr SimpleAction kObjectActions[] = {
    {"lock", Code::mutex_lock},         {"unlock", Code::mutex_unlock},           {"read_lock", Code::read_lock},
    {"write_lock", Code::write_lock},   {"sem_wait", Code::sem_wait},
    {"sem_post", Code::sem_post},       {"barrier", Code::barrier_wait},          {"cond_wait", Code::cond_wait},
    {"cond_signal", Code::cond_signal}, {"cond_broadcast", Code::cond_broadcast}, {"read", Code::pipe_read},
    {"write", Code::pipe_write},        {"close_read", Code::pipe_close_read},    {"close_write", Code::pipe_close_write}};

template <class Table>
const SimpleAction* find_action(const Table& table, std::string_view action) {
  const auto* it = std::ranges::find(table, action, &SimpleAction::action);
  return it == std::end(table) ? nullptr : it;
}

km::ObjectKind kind_of(Code c) {
  switch (c) {
    case Code::mutex_lock:
    case Code::mutex_unlock:
      return km::ObjectKind::mutex;
    case Code::read_lock:
    case Code::write_lock:
      return km::ObjectKind::rwlock;
    case Code::sem_wait:
    case Code::sem_post:
      return km::ObjectKind::semaphore;
    case Code::barrier_wait:
      return km::ObjectKind::barrier;
    case Code::cond_wait:
    case Code::cond_signal:
    case Code::cond_broadcast:
      return km::ObjectKind::condition;
    default:
      return km::ObjectKind::pipe;
  }
}

const char* kind_name(km::ObjectKind k) {
  switch (k) {
    case km::ObjectKind::mutex:
      return "mutex";
    case km::ObjectKind::rwlock:
      return "rwlock";
    case km::ObjectKind::semaphore:
      return "semaphore";
    case km::ObjectKind::barrier:
      return "barrier";
    case km::ObjectKind::condition:
      return "condition";
    case km::ObjectKind::pipe:
      return "pipe or socket pair";
  }
  return "";
}

/// Which of a socket pair's two pipes an action at an end uses: 0 carries a to b.
u8 direction(Code c, const std::string& end) {
  const bool writes = c == Code::pipe_write || c == Code::pipe_close_write;
  return (end == "a") == writes ? 0 : 1;
}

std::string action_of(const Value& v) { return v.text.size() > 6 ? v.text.substr(6) : std::string{}; }

}  // namespace

u32 Compiler::emit(Instr i) {
  w_.code.push_back(i);
  return static_cast<u32>(w_.code.size() - 1);
}

u16 Compiler::slot(Scope& s, const Value& v, u64 n) {
  if (s.slots + n > 60'000) {
    error(v, "\"" + s.label + "\" needs too many registers", "at most 60000 children by name, loops and draws in one program");
    return 0;
  }
  const u16 first = s.slots;
  s.slots = static_cast<u16>(s.slots + n);
  return first;
}

std::string Compiler::purpose(Scope& s, const std::string& action) {
  return s.label + "/" + action + "#" + std::to_string(s.ordinals[action]++);
}

std::string Compiler::number_names(const Scope& s) const {
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : s.numbers) names.push_back(name);
  return one_of(names);
}

u32 Compiler::slot_expr(u16 from) {
  w_.exprs.push_back({{{ExprOp::var, from, {}}}});
  return static_cast<u32>(w_.exprs.size() - 1);
}

u32 Compiler::bind(Scope& s, const Value& v) {
  RunExpr e{v.expr.code};
  if (e.code.empty() || v.expr.constant) e.code = {{ExprOp::push, v.num, {}}};
  std::vector<std::string_view> known;
  for (const auto& [name, unused] : s.numbers) known.push_back(name);
  for (const Field& p : tree_["parameters"].fields) known.push_back(p.key);
  for (ExprTok& t : e.code) {
    if (t.op != ExprOp::var) continue;
    const auto it = std::find_if(s.numbers.rbegin(), s.numbers.rend(), [&](const auto& n) { return n.first == t.name; });
    if (it != s.numbers.rend())
      t.imm = it->second;
    else
      error(v, "unknown name \"" + t.name + "\"", "known here are " + one_of(known), did_you_mean(t.name, known));
    t.name.clear();
  }
  w_.exprs.push_back(std::move(e));
  return static_cast<u32>(w_.exprs.size() - 1);
}

u32 Compiler::draw_site(Scope& s, const Value& v, const std::string& action) {
  DrawSite site;
  Distribution& d = site.dist;
  const std::string name = v.text.size() > 5 ? v.text.substr(5) : std::string{};
  auto num = [&](std::string_view key) { return static_cast<double>(v[key].num); };
  d.min = v["min"] ? v["min"].num : 0;
  d.max = v["max"] ? v["max"].num : s64{1} << 62;
  if (name == "constant") d = {DistKind::constant, num("value"), 0, 0, 0};
  if (name == "uniform") d.kind = DistKind::uniform;
  if (name == "exponential") d = {DistKind::exponential, num("mean"), 0, d.min, d.max};
  if (name == "normal") d = {DistKind::normal, num("mean"), num("stddev"), d.min, d.max};
  if (name == "lognormal") d = {DistKind::lognormal, num("median"), v["sigma"].real, d.min, d.max};
  if (name == "pareto") d = {DistKind::pareto, num("scale"), v["shape"].real, d.min, d.max};
  for (const Field& f : v.fields)
    if (!f.value.expr.constant)
      error(f.value, "the parameter of a distribution must be constant", "parameters of the file may be used, loop indexes may not");
  site.slot = slot(s, v);
  site.purpose = hash_name(purpose(s, action));
  w_.draws.push_back(site);
  return static_cast<u32>(w_.draws.size() - 1);
}

void Compiler::number(Scope& s, Instr& i, const Value& v, const std::string& action) {
  i.num = v.num;
  if (v.kind == Value::Kind::map) {
    i.source = NumSource::draw;
    i.index = draw_site(s, v, action);
  } else if (!v.expr.constant) {
    i.source = NumSource::expr;
    i.index = bind(s, v);
  }
}

u32 Compiler::at_operand(Scope& s, const Value& at, const Value& place, u32 count, const std::string& what) {
  if (!at) {
    if (count > 1)
      error(place, what + " is an array of " + std::to_string(count), {}, "say which with `at`: 0.." + std::to_string(count - 1));
    return kNoIndex;
  }
  if (at.expr.constant && at.num >= s64{count})
    error(at, "index " + std::to_string(at.num) + " is outside " + what, "allowed are 0.." + std::to_string(count - 1));
  return bind(s, at);
}

OnError Compiler::policy(const Value& v) {
  if (v.text == "retry") return OnError::retry;
  if (v.text == "exit") return OnError::exit;
  return v.text == "break" ? OnError::leave : OnError::ignore;
}

/// Where on_error: break and on_eof: break go; the loop's end fills in the target.
void Compiler::leaves(Scope& s, Instr& i, const Value& place) {
  if (i.on_error != OnError::leave && i.on_eof != OnError::leave) return;
  if (s.loops.empty())
    error(place, "break outside a loop", "allowed inside a loop");
  else
    s.loops.back().breaks.push_back(static_cast<u32>(w_.code.size()));
}

void Compiler::body(Scope& s, const Value& list) {
  for (const Value& v : list.items) phase(s, v);
}

void Compiler::phase(Scope& s, const Value& v) {
  const std::string action = action_of(v);
  if (action.empty()) return;  // the reader has said why
  if (action == "fork" || action == "vfork" || action == "clone" || action == "thread") return fork(s, v, action);
  if (action == "exec") return exec(s, v);
  if (action == "wait") return wait(s, v);
  if (action == "signal") return signal(s, v);
  if (action == "kthread") return kthread(s, v);
  if (action == "queue_work") return queue_work(v);
  if (action == "cpu_off" || action == "cpu_on") return cpu_online(s, v, action == "cpu_on");
  if (action == "sigmask") return sigmask(v);
  if (action.starts_with("ptrace_")) return ptrace(s, v, action);
  if (action == "nice" || action == "affinity" || action == "policy" || action == "cgroup") return sched_action(s, v, action);
  if (action == "setpgid" || action == "foreground") return process_group(s, v, action);
  if (action == "loop") return loop(s, v);
  if (action == "choose") return choose(s, v);
  if (action == "break") return brk(s, v);
  if (find_action(kObjectActions, action)) return object_op(s, v, action);
  simple(s, v, action);
}

/// `count` times the same operation.
void Compiler::repeated(Scope& s, Instr i, const Value& count) {
  if (count.expr.constant && count.num == 1) {
    emit(i);
    return;
  }
  Instr begin;
  begin.code = Code::loop_begin;
  begin.slot = slot(s, count, 2);
  number(s, begin, count, "count");
  const u32 head = emit(begin);
  const u32 first = emit(i);
  end_loop(begin, head, first);
}

void Compiler::end_loop(const Instr& begin, u32 head, u32 first) {
  Instr next;
  next.code = Code::loop_next;
  next.slot = begin.slot;
  next.target = first;
  emit(next);
  patch(head);
}

void Compiler::numeric(Scope& s, const Value& v, const std::string& action, Code code) {
  Instr i;
  i.code = code;
  number(s, i, v[action], action);
  if (code == Code::sleep || code == Code::timer) i.slot = slot(s, v);
  if (v["state"]) i.arg = v["state"].text == "interruptible" ? 0 : v["state"].text == "uninterruptible" ? 1 : 2;
  if ((code == Code::setuid || code == Code::timer) && i.source != NumSource::constant)
    error(v[action], "the value must be constant", "parameters of the file may be used, loop indexes may not");
  emit(i);
}

void Compiler::simple(Scope& s, const Value& v, const std::string& action) {
  Instr i;
  const Value& main = v[action];
  if (const SimpleAction* a = find_action(kNumberActions, action)) return numeric(s, v, action, a->code);
  if (action == "yield" || action == "pause") {
    i.code = action == "yield" ? Code::yield : Code::pause;
    return repeated(s, i, main);
  }
  if (action == "kthread_stop") {
    i.code = Code::kthread_stop;
    return each_child(s, v, main.text, i);
  }
  if (action == "kill" || action == "join") {
    i.code = action == "kill" ? Code::kill : Code::join;
    i.b = v["to"].text == "thread" ? 1 : v["to"].text == "group" ? 2 : 0;
    i.on_error = policy(v["on_error"]);
    for (const SignalInfo& sig : signal_table())
      if (v["signal"].text == sig.name) i.arg = static_cast<u8>(sig.number);
    if (action == "join" || main.text != "group") return each_child(s, v, main.text, i);
    leaves(s, i, v);
    emit(i);
    return;
  }
  if (action == "syscall") {
    i.code = Code::syscall;
    for (const SyscallInfo& c : syscall_table())
      if (main.text == c.name) i.a = static_cast<u32>(c.number);
    number(s, i, v["count"], action);
  } else if (action == "touch") {
    i.code = Code::touch;
    i.arg = main.text == "anon" ? 0 : main.text == "cow" ? 1 : 2;
    number(s, i, v["pages"], action);
  } else if (action == "mark" || action == "name") {
    i.code = action == "mark" ? Code::mark : Code::set_name;
    i.a = static_cast<u32>(w_.texts.size());
    w_.texts.push_back(main.text);
  } else if (action == "pdeath") {
    i.code = Code::pdeath;
    i.arg = signal_number(main.text);
  } else if (action == "ioprio") {
    const std::string& c = main.text;
    constexpr int kClassShift = 13;
    i.code = Code::ioprio;
    i.num = (c == "realtime" ? 1 : c == "best_effort" ? 2 : c == "idle" ? 3 : 0) << kClassShift;
    i.num |= v["level"].num;
  } else if (action == "ctty") {
    i.code = Code::ctty;
  }
  emit(i);
}

void Compiler::object_op(Scope& s, const Value& v, const std::string& action) {
  Instr i;
  i.code = find_action(kObjectActions, action)->code;
  const km::ObjectKind kind = kind_of(i.code);
  if (i.code == Code::mutex_unlock)
    i.a = object(v[action], {kind, km::ObjectKind::rwlock}, "mutex or rwlock");
  else
    i.a = object(v[action], {kind}, kind_name(kind));
  if (i.code == Code::cond_wait) i.b = object(v["mutex"], {km::ObjectKind::mutex}, "mutex");
  if (i.a == kNoIndex || i.b == kNoIndex) return;
  const ObjectDecl& decl = w_.objects[i.a];
  if (decl.kind == km::ObjectKind::rwlock && i.code == Code::mutex_unlock) i.code = Code::rw_unlock;
  uses_[s.program].insert(i.a);
  if (i.code == Code::cond_wait) uses_[s.program].insert(i.b);
  i.at = at_operand(s, v["at"], v[action], decl.count, "\"" + decl.name + "\"");
  const Value& end = v["end"];
  if (decl.socketpair) i.arg = direction(i.code, end.text);
  if (!decl.socketpair && end && end.origin != Origin::built_in)
    error(end, "\"" + decl.name + "\" is a pipe and has no ends a and b", "leave it out");
  if (v["size"]) number(s, i, v["size"], action);
  i.on_error = policy(v["on_error"]);
  i.on_eof = policy(v["on_eof"]);
  leaves(s, i, v);
  emit(i);
}

bool Compiler::action_takes_time(const Value& v) const {
  const std::string a = action_of(v);
  const Value& main = v[a];
  if (a == "mark" || a == "kill" || a == "join" || a.starts_with("ptrace_")) return false;  // may have nothing to do
  if (v["of"] && a != "wait") return false;
  if (a == "break" || a == "exit" || a == "exit_group" || a == "exec") return true;
  if (a == "run" || a == "runtime") return main.kind == Value::Kind::map || !main.expr.constant || main.num > 0;
  if (a == "wait") return main.text == "one" || main.text == "any" || main.text == "all";
  if (a == "loop") return main.expr.constant && main.num != 0 && takes_time(v["body"]);
  if (a == "fork" || a == "vfork" || a == "clone" || a == "thread") return v["count"].expr.constant && v["count"].num > 0;
  if (a == "choose")
    return !main.items.empty() &&
           std::ranges::all_of(main.items, [&](const Value& c) { return c["weight"].num == 0 || takes_time(c["body"]); });
  return true;
}

bool Compiler::takes_time(const Value& list) const {
  return std::ranges::any_of(list.items, [&](const Value& v) { return action_takes_time(v); });
}

void Compiler::loop(Scope& s, const Value& v) {
  const Value &count = v["loop"], &until = v["until"], &name = v["index"];
  const bool forever = count.num < 0 && count.text == "forever";
  if (!takes_time(v["body"]))
    error(v["body"], "a round of this loop may take no time", {},
          "put in at least one action that always takes time (run, sleep, a system call)");
  Instr begin;
  begin.code = Code::loop_begin;
  begin.slot = slot(s, v, 3);
  number(s, begin, count, "loop");
  if (forever) begin.num = s64{1} << 62;
  if (until) begin.at = bind(s, until);
  const u32 head = emit(begin);
  const u32 top = static_cast<u32>(w_.code.size());
  s.loops.emplace_back();
  if (until) {
    Instr test;
    test.code = Code::loop_test;
    test.slot = begin.slot;
    s.loops.back().breaks.push_back(emit(test));
  }
  if (name) s.numbers.emplace_back(name.text, begin.slot);
  body(s, v["body"]);
  if (name) s.numbers.pop_back();
  Instr next;
  next.code = Code::loop_next;
  next.slot = begin.slot;
  next.target = top;
  emit(next);
  patch(head);
  for (u32 b : s.loops.back().breaks) patch(b);
  s.loops.pop_back();
}

void Compiler::choose(Scope& s, const Value& v) {
  Choice choice;
  choice.slot = slot(s, v);
  choice.purpose = hash_name(purpose(s, "choose"));
  Instr i;
  i.code = Code::choose;
  i.a = static_cast<u32>(w_.choices.size());
  emit(i);
  w_.choices.emplace_back();
  u64 total = 0;
  std::vector<u32> ends;
  for (const Value& c : v["choose"].items) {
    if (!c["weight"].expr.constant)
      error(c["weight"], "the weight must be constant", "parameters of the file may be used, loop indexes may not");
    total += static_cast<u64>(std::max<s64>(c["weight"].num, 0));
    choice.branches.push_back({total, static_cast<u32>(w_.code.size())});
    body(s, c["body"]);
    Instr jump;
    jump.code = Code::jump;
    ends.push_back(emit(jump));
  }
  if (total == 0) error(v["choose"], "there is nothing to choose", "allowed is at least one case with a weight above 0");
  for (u32 e : ends) patch(e);
  w_.choices[i.a] = std::move(choice);
}

void Compiler::brk(Scope& s, const Value& v) {
  if (s.loops.empty()) return error(v, "break outside a loop", "allowed inside a loop");
  Instr jump;
  jump.code = Code::jump;
  s.loops.back().breaks.push_back(emit(jump));
}

}  // namespace forksim
