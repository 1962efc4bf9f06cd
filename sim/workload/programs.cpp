#include "sim/workload/programs.hpp"

#include <algorithm>

namespace forksim {

namespace {

constexpr s64 kEchild = -10, kEintr = -4;
constexpr s64 kExecFailed = 127, kGaveUp = 1;

constexpr Anomaly kCannotFail = Anomaly::count_;
/// What a failure counts as, by Code.
constexpr auto kFailure = [] {
  using enum Anomaly;
  constexpr Anomaly none = kCannotFail;
  return std::array{
#define CODE(name, failed) failed,
#include "sim/workload/codes.def"
#undef CODE
  };
}();
constexpr Anomaly failure_of(Code c) { return kFailure[static_cast<std::size_t>(c)]; }

/// Codes of operations on a kernel object.
struct ObjectOp {
  Code code;
  km::OpKind op;
};
constexpr std::array kObjectOps{
    ObjectOp{Code::mutex_lock, km::OpKind::mutex_lock},
    ObjectOp{Code::mutex_unlock, km::OpKind::mutex_unlock},
    ObjectOp{Code::read_lock, km::OpKind::rw_rdlock},
    ObjectOp{Code::write_lock, km::OpKind::rw_wrlock},
    ObjectOp{Code::rw_unlock, km::OpKind::rw_unlock},
    ObjectOp{Code::sem_wait, km::OpKind::sem_wait},
    ObjectOp{Code::sem_post, km::OpKind::sem_post},
    ObjectOp{Code::barrier_wait, km::OpKind::barrier_wait},
    ObjectOp{Code::cond_wait, km::OpKind::cond_wait},
    ObjectOp{Code::cond_signal, km::OpKind::cond_signal},
    ObjectOp{Code::cond_broadcast, km::OpKind::cond_broadcast},
    ObjectOp{Code::pipe_read, km::OpKind::pipe_read},
    ObjectOp{Code::pipe_write, km::OpKind::pipe_write},
    ObjectOp{Code::pipe_close_read, km::OpKind::pipe_close_read},
    ObjectOp{Code::pipe_close_write, km::OpKind::pipe_close_write},
};
const ObjectOp* object_op(Code c) {
  static constexpr auto kRow = rows_by_code(kObjectOps);
  const u8 row = kRow[static_cast<std::size_t>(c)];
  return row ? &kObjectOps[row - 1u] : nullptr;
}

}  // namespace

Programs::Programs(const Workload& workload) : w_(workload), handlers_(1) {}

u32 Programs::new_task() {
  ++live_;
  if (!free_.empty()) {
    const u32 i = free_.back();
    free_.pop_back();
    return i;
  }
  tasks_.emplace_back();
  return static_cast<u32>(tasks_.size() - 1);
}

u32 Programs::start_task(const StartDecl& start, u32 arrival, u32 instance) {
  const u32 index = new_task();
  Task& t = tasks_[index];
  const Program& p = w_.programs[start.program];
  t.pc = p.entry;
  t.program = start.program;
  t.instance = instance;
  t.key = derive_key(start.key, arrival);
  t.regs.assign(p.slots, 0);
  t.regs[0] = arrival;
  std::ranges::copy(start.args, t.regs.begin() + 1);
  return index + 1;
}

u32 Programs::fork_child(u32 parent, const km::ForkSpec& spec, km::Pid) {
  const ForkSite& site = w_.forks[spec.program];
  if (site.deadline) count(Anomaly::unmodelled_deadline);
  const u32 index = new_task();
  Task &c = tasks_[index], &p = tasks_[parent - 1];
  s64* r = regs(p);
  const Program& program = w_.programs[site.program];
  c.regs.assign(program.slots, 0);
  if (site.inline_child) {
    std::copy(r, r + program.slots, c.regs.begin());
  } else {
    c.regs[0] = site.index == kNoIndex ? 0 : eval(w_.exprs[site.index], r);
    for (std::size_t a = 0; a < site.args.size(); ++a) c.regs[1 + a] = eval(w_.exprs[site.args[a]], r);
  }
  c.pc = site.entry;
  c.program = site.program;
  c.instance = p.instance;
  c.thread = site.thread;
  c.key = derive_key(derive_key(p.key, site.label), static_cast<u64>(r[site.ordinal_slot]++));
  if (spec.clone_flags & km::kCLONE_SIGHAND) {
    if (p.handlers == 0) p.handlers = new_handlers();
    c.handlers = p.handlers;
    ++handlers_[c.handlers].users;
  } else if (p.handlers != 0) {
    c.handlers = new_handlers();
    handlers_[c.handlers].code = handlers_[p.handlers].code;
  }
  return index + 1;
}

void Programs::exec_program(u32 user, const km::ExecSpec& spec) {
  Task& t = tasks_[user - 1];
  const ExecSite& site = w_.execs[spec.program];
  const Program& p = w_.programs[site.program];
  std::vector<s64> fresh(p.slots, 0);
  for (std::size_t a = 0; a < site.args.size(); ++a) fresh[1 + a] = eval(w_.exprs[site.args[a]], regs(t));
  t.regs.swap(fresh);
  t.base = 0;
  t.pc = p.entry;
  t.issued = kNone;
  t.program = site.program;
  t.thread = false;
  t.frames.clear();
  t.key = derive_key(t.key, hash_name(p.name));  // a program that execs itself draws anew
  drop_handlers(t);
}

u32 Programs::new_handlers() {
  u32 i = static_cast<u32>(handlers_.size());
  if (free_handlers_.empty()) {
    handlers_.emplace_back();
  } else {
    i = free_handlers_.back();
    free_handlers_.pop_back();
  }
  handlers_[i] = {};
  handlers_[i].users = 1;
  return i;
}

void Programs::drop_handlers(Task& t) {
  if (t.handlers != 0 && --handlers_[t.handlers].users == 0) free_handlers_.push_back(t.handlers);
  t.handlers = 0;
}

void Programs::enter_handler(u32 user, int sig) {
  Task& t = tasks_[user - 1];
  FS_CONTRACT(sig > 0 && sig < 32 && t.handlers != 0, "a handler was installed");
  const u32 code = handlers_[t.handlers].code[static_cast<std::size_t>(sig)];
  FS_CONTRACT(code != 0, "a handler was installed for this signal");
  const HandlerCode& h = w_.handlers[code - 1];
  t.frames.push_back({t.pc, t.base, t.issued});
  t.base = static_cast<u32>(t.regs.size());
  t.regs.resize(t.regs.size() + h.slots, 0);
  t.pc = h.entry;
  t.issued = kNone;
  ++t.handler_runs;
}

void Programs::task_gone(u32 user) {
  Task& t = tasks_[user - 1];
  drop_handlers(t);
  std::vector<s64> regs = std::move(t.regs);  // keeps its memory for the next task
  regs.clear();
  t = {};
  t.regs = std::move(regs);
  free_.push_back(user - 1);
  --live_;
}

std::vector<std::pair<std::string_view, u64>> Programs::diagnostics() const {
  std::vector<std::pair<std::string_view, u64>> out;
  for (std::size_t a = 0; a < kAnomalies; ++a)
    if (anomalies_[a] > 0) out.emplace_back(kAnomalyTable[a].name, anomalies_[a]);
  return out;
}

s64 Programs::eval(const RunExpr& e, const s64* r) {
  std::array<s64, 2 * kExprDepth + 2> stack;
  std::size_t n = 0;
  for (const ExprTok& t : e.code) {
    if (t.op == ExprOp::push || t.op == ExprOp::var) {
      stack[n++] = t.op == ExprOp::push ? t.imm : r[t.imm];
      continue;
    }
    --n;
    if (!apply(t.op, stack[n - 1], stack[n], stack[n - 1])) {
      count(Anomaly::expression_error);
      stack[n - 1] = 0;
    }
  }
  return stack[0];
}

u64 Programs::random(Task& t, u16 slot, u64 purpose) {
  s64& state = regs(t)[slot];
  const u64 salt = t.frames.empty() ? 0 : t.handler_runs;  // a handler's registers are new each time
  u64 s = state ? static_cast<u64>(state) : derive_key(derive_key(t.key, purpose), salt) | 1;
  const u64 bits = next_u64(s);
  state = static_cast<s64>(s);
  return bits;
}

s64 Programs::draw_number(Task& t, const DrawSite& site) {
  const Drawn d = draw(site.dist, random(t, site.slot, site.purpose));
  if (d.clipped) count(Anomaly::clipped_draw);
  return d.value;
}

s64 Programs::number(Task& t, const Instr& i) {
  if (i.source == NumSource::constant) return i.num;
  const s64 v = i.source == NumSource::expr ? eval(w_.exprs[i.index], regs(t)) : draw_number(t, w_.draws[i.index]);
  if (v >= 0) return v;
  count(Anomaly::expression_error);
  return 0;
}

/// An index within an array; what is outside is counted and wraps.
u32 Programs::wrapped(Task& t, u32 at, u32 size) {
  if (at == kNoIndex) return 0;
  const s64 v = eval(w_.exprs[at], regs(t));
  if (v >= 0 && v < s64{size}) return static_cast<u32>(v);
  count(Anomaly::index_wrapped);
  const s64 m = v % s64{size};
  return static_cast<u32>(m < 0 ? m + size : m);
}

u32 Programs::one_of(Task& t, u32 decl, u32 at, u8 direction) {
  const ObjectDecl& o = w_.objects[decl];
  const u32 first = o.per_instance ? instance_base_[t.instance * w_.objects.size() + decl] : run_base_[decl];
  const u32 i = wrapped(t, at, o.count);
  return first + (o.socketpair ? 2 * i + direction : i);
}

s64& Programs::child_of(Task& t, const Instr& i) { return regs(t)[i.slot + wrapped(t, i.at, i.children)]; }

void Programs::prepare() {
  ready_.clear();
  for (u32 at = 0; at < w_.code.size(); ++at) ready_.push_back(prepared(at));
}

/// The operation of an instruction without expressions, draws and objects of its own, unless the result of the one before it may be
/// looked at although it is 0: the end of a file.
Programs::Ready Programs::prepared(u32 at) const {
  const Instr& i = w_.code[at];
  if (i.source != NumSource::constant || i.at != kNoIndex || (at > 0 && w_.code[at - 1].code == Code::pipe_read)) return {};
  Ready r{.ready = true, .op = {.ns = km::Ns(static_cast<u64>(i.num)), .count = static_cast<u64>(i.num)}};
  if (i.code == Code::run || i.code == Code::runtime) {
    r.op.kind = i.code == Code::run ? km::OpKind::run : km::OpKind::runtime;
    return r;
  }
  const ObjectOp* o = object_op(i.code);
  if (!o || the_one_[i.a] == kNone || (i.code == Code::cond_wait && the_one_[i.b] == kNone)) return {};
  r.op.kind = o->op;
  r.op.object = the_one_[i.a];
  if (i.code == Code::cond_wait) r.op.object2 = the_one_[i.b];
  return r;
}

const km::Op& Programs::next_op(u32 user, s64 last_result, km::Ns now, km::Op& space) {
  Task& t = tasks_[user - 1];
  if (const Ready& r = ready_[t.pc]; r.ready && last_result == 0) [[likely]] {
    t.issued = t.pc++;
    return r.op;
  }
  return issue(t, last_result, now, space);
}

/// Out of line: next_op needs no stack of its own for what is ready.
[[gnu::noinline]] const km::Op& Programs::issue(Task& t, s64 last_result, km::Ns now, km::Op& out) {
  if (t.issued != kNone) {
    const Instr& i = w_.code[t.issued];
    // 0 is plain success for all of them but read, where it is the end of the file
    if ((last_result != 0 || i.code == Code::pipe_read) && failure_of(i.code) != kCannotFail && finish(t, i, last_result, now, out))
      return out;
  }
  out.flag = false;  // the kernel keeps its own state of an operation here
  out.arg = 0;
  do {
    t.issued = t.pc++;
  } while (!step(t, w_.code[t.issued], now, out));
  return out;
}

// One case per code, so that it reads as the table it is; the groups with more to do have functions of their own.
bool Programs::step(Task& t, const Instr& i, km::Ns now, km::Op& out) {
  switch (i.code) {
    case Code::run:
    case Code::runtime:
      out.kind = i.code == Code::run ? km::OpKind::run : km::OpKind::runtime;
      out.ns = km::Ns(static_cast<u64>(number(t, i)));
      return true;
    case Code::sleep:
      out.kind = km::OpKind::sleep;
      out.ns = km::Ns(static_cast<u64>(number(t, i)));
      out.arg = i.arg;
      regs(t)[i.slot] = static_cast<s64>(now.v + out.ns.v);
      return true;
    case Code::timer:
      return step_timer(t, i, now, out);
    case Code::syscall:
      set(out, km::OpKind::syscall, i.a);
      out.count = static_cast<u64>(number(t, i));
      return true;
    case Code::mark:
      out.kind = km::OpKind::mark;
      out.name = w_.texts[i.a];
      return true;
    case Code::loop_begin:
    case Code::loop_test:
    case Code::loop_next:
    case Code::jump:
    case Code::jump_if_first:
    case Code::choose:
      return step_control(t, i, now);
    default:
      if (const ObjectOp* o = object_op(i.code)) return step_object(t, i, o->op, out);
      return step_task(t, i, out);
  }
}

bool Programs::step_object(Task& t, const Instr& i, km::OpKind kind, km::Op& out) {
  out.kind = kind;
  out.object = object(t, i.a, i.at, i.arg);
  if (i.code == Code::cond_wait) out.object2 = object(t, i.b, w_.objects[i.b].count > 1 ? i.at : kNoIndex, 0);
  if (i.code == Code::pipe_read || i.code == Code::pipe_write) out.count = static_cast<u64>(number(t, i));
  return true;
}

bool Programs::step_control(Task& t, const Instr& i, km::Ns now) {
  s64* r = regs(t);
  switch (i.code) {
    case Code::loop_begin:
      r[i.slot] = 0;
      r[i.slot + 1] = number(t, i);
      if (i.at != kNoIndex) r[i.slot + 2] = static_cast<s64>(now.v) + eval(w_.exprs[i.at], r);
      if (r[i.slot + 1] <= 0) t.pc = i.target;
      return false;
    case Code::loop_test:
      if (static_cast<s64>(now.v) >= r[i.slot + 2]) t.pc = i.target;
      return false;
    case Code::loop_next:
      if (++r[i.slot] < r[i.slot + 1]) t.pc = i.target;
      return false;
    case Code::jump_if_first:
      if (r[i.slot] == 0) t.pc = i.target;
      return false;
    case Code::choose: {
      const Choice& c = w_.choices[i.a];
      const u64 x = below(random(t, c.slot, c.purpose), c.branches.back().upto);
      t.pc = std::ranges::upper_bound(c.branches, x, {}, &Choice::Branch::upto)->target;
      return false;
    }
    default:
      t.pc = i.target;
      return false;
  }
}

bool Programs::step_timer(Task& t, const Instr& i, km::Ns now, km::Op& out) {
  s64& next = regs(t)[i.slot];
  if (next == 0) next = static_cast<s64>(now.v);
  next += i.num;
  if (next <= static_cast<s64>(now.v)) {
    count(Anomaly::timer_overrun);
    return false;
  }
  out.kind = km::OpKind::sleep_until;
  out.ns = km::Ns(static_cast<u64>(next));
  return true;
}

bool Programs::failed(Task& t, const Instr& i, OnError policy, Anomaly a, km::Op& out) {
  count(a);
  if (policy == OnError::retry) t.pc = t.issued;
  if (policy == OnError::leave) t.pc = i.target;
  if (policy != OnError::exit) return false;
  set(out, km::OpKind::exit_group, kGaveUp);
  return true;
}

/// nanosleep interrupted by a handler sleeps what is left, as programs do.
bool Programs::sleep_again(Task& t, const Instr& i, km::Ns now, km::Op& out) {
  const u64 date = static_cast<u64>(regs(t)[i.slot]);
  if (date <= now.v) return false;
  out.kind = i.code == Code::sleep ? km::OpKind::sleep : km::OpKind::sleep_until;
  out.ns = i.code == Code::sleep ? km::Ns(date - now.v) : km::Ns(date);
  return true;
}

bool Programs::finish(Task& t, const Instr& i, s64 result, km::Ns now, km::Op& out) {
  if (out.kind == km::OpKind::wait && result > 0) note_status(t, result, out.count);
  switch (i.code) {
    case Code::sleep:
    case Code::timer:
      return result == kEintr && sleep_again(t, i, now, out);
    case Code::fork:
    case Code::kthread:
      if (result < 0) return failed(t, i, i.on_error, failure_of(i.code), out);
      if (i.children > 0) child_of(t, i) = result;
      return false;
    case Code::exec:
      count(failure_of(i.code));
      set(out, km::OpKind::exit_group, kExecFailed);
      return true;
    case Code::wait_all:
      if (result > 0 || result == kEintr) t.pc = t.issued;
      return false;
    case Code::pipe_read:
      if (result == 0 && i.on_eof == OnError::leave) t.pc = i.target;
      if (result == 0 && i.on_eof == OnError::exit) {
        set(out, km::OpKind::exit_group, 0);
        return true;
      }
      [[fallthrough]];
    default:
      break;
  }
  if (result >= 0) return false;
  if (result == kEintr) {  // SA_RESTART, and what glibc's locks do
    t.pc = t.issued;
    return false;
  }
  const Anomaly a = failure_of(i.code);
  return failed(t, i, i.on_error, a == Anomaly::wait_error && result != kEchild ? Anomaly::other_error : a, out);
}

}  // namespace forksim
