// What programs ask of the life cycle: fork, exec, exit, wait, signals, ptrace, scheduling; see programs.hpp.
#include <array>

#include "sim/workload/programs.hpp"

namespace forksim {

namespace {

/// Bits of wait4 and waitid; Instr::num holds those above 8 bits.
void set_wait_options(km::Op& out, const Instr& i) { out.arg = i.arg | i.num; }

/// Codes that are a system call with at most one operand, which the instruction holds.
enum class Operand : u8 { none, arg, num };
struct Plain {
  Code code;
  km::OpKind op;
  Operand operand;
};
constexpr std::array kPlain{
    Plain{Code::yield, km::OpKind::yield, Operand::none},         Plain{Code::pause, km::OpKind::pause, Operand::none},
    Plain{Code::setsid, km::OpKind::setsid, Operand::none},       Plain{Code::ctty, km::OpKind::set_ctty, Operand::none},
    Plain{Code::pdeath, km::OpKind::pdeath_signal, Operand::arg}, Plain{Code::subreaper, km::OpKind::subreaper, Operand::num},
    Plain{Code::setuid, km::OpKind::setuid, Operand::num},        Plain{Code::ioprio, km::OpKind::ioprio_set, Operand::num},
};
const Plain* plain_op(Code c) {
  static constexpr auto kRow = rows_by_code(kPlain);
  const u8 row = kRow[static_cast<std::size_t>(c)];
  return row ? &kPlain[row - 1u] : nullptr;
}

}  // namespace

// One case per code of the life cycle; see step.
bool Programs::step_task(Task& t, const Instr& i, km::Op& out) {
  if (const Plain* p = plain_op(i.code)) {
    set(out, p->op, p->operand == Operand::num ? i.num : p->operand == Operand::arg ? i.arg : 0);
    return true;
  }
  switch (i.code) {
    case Code::fork:
      out.kind = km::OpKind::fork;
      out.fork = &w_.forks[i.a].spec;
      return true;
    case Code::exec:
      out.kind = km::OpKind::exec;
      out.exec = &w_.execs[i.a].spec;
      return true;
    case Code::exit:
      set(out, km::OpKind::exit, number(t, i) & 0xff);
      return true;
    case Code::exit_group:
      set(out, km::OpKind::exit_group, number(t, i) & 0xff);
      return true;
    case Code::end:
      set(out, t.thread ? km::OpKind::exit : km::OpKind::exit_group, 0);
      return true;
    case Code::wait_any:
    case Code::wait_all:
      t.waited = 0;
      set(out, km::OpKind::wait, i.arg);
      set_wait_options(out, i);
      out.pid = km::Pid(i.b ? 0 : -1);
      return true;
    case Code::wait_child:
    case Code::join:
    case Code::kill:
    case Code::kthread_stop:
      return step_child(t, i, out);
    case Code::ptrace:
      return step_ptrace(t, i, out);
    case Code::kthread:
      out.kind = km::OpKind::kthread_run;
      out.kthread = &w_.kthreads[i.a];
      return true;
    case Code::queue_work:
      set(out, km::OpKind::queue_work, i.flag ? s64{i.b} : -1);
      out.ns = km::Ns(static_cast<u64>(i.num));
      return true;
    default:
      return step_own(t, i, out);
  }
}

/// What a task does to itself and to what it has: signals, memory, files, its name, groups and scheduling; a write to cpuN/online.
bool Programs::step_own(Task& t, const Instr& i, km::Op& out) {
  switch (i.code) {
    case Code::cpu_online:
      set(out, km::OpKind::cpu_online, number(t, i));
      out.flag = i.flag;
      return true;
    case Code::sigmask:
      set(out, km::OpKind::sigprocmask, i.arg);
      out.count = static_cast<u64>(i.num);
      return true;
    case Code::setpgid:
    case Code::foreground:
      return step_group(t, i, out);
    case Code::sigaction:
      step_sigaction(t, i, out);
      return true;
    case Code::sigreturn:
      step_sigreturn(t, out);
      return true;
    case Code::set_name:
      out.kind = km::OpKind::set_name;
      out.name = w_.texts[i.a];
      return true;
    case Code::nice:
    case Code::affinity:
    case Code::policy:
    case Code::cgroup:
      return step_sched(t, i, out);
    case Code::touch:
      set(out, km::OpKind::touch, i.arg);
      out.count = static_cast<u64>(number(t, i));
      return true;
    default:
      out.kind = i.code == Code::open ? km::OpKind::open : km::OpKind::close;
      out.count = static_cast<u64>(number(t, i));
      return true;
  }
}

void Programs::step_sigreturn(Task& t, km::Op& out) {
  out.kind = km::OpKind::sigreturn;
  const Frame f = t.frames.back();
  t.frames.pop_back();
  t.regs.resize(t.base);
  t.pc = f.pc;
  t.base = f.base;
  t.issued = f.issued;  // what the handler interrupted ends with the next result
}

/// nice, affinity, policy, cgroup: of a child with a slot, or of oneself.
bool Programs::step_sched(Task& t, const Instr& i, km::Op& out) {
  const s64 pid = i.children ? child_of(t, i) : 0;
  if (i.children && pid <= 0) {
    count(Anomaly::no_such_child);
    return false;
  }
  out.pid = km::Pid(static_cast<km::s32>(pid));
  switch (i.code) {
    case Code::nice:
      set(out, km::OpKind::nice, i.num);
      break;
    case Code::affinity:
      out.kind = km::OpKind::affinity;
      out.mask = &w_.masks[i.a];
      break;
    case Code::cgroup:
      set(out, km::OpKind::cgroup_attach, i.a);
      break;
    default:
      if (i.b) count(Anomaly::unmodelled_deadline);
      set(out, km::OpKind::setscheduler, i.arg);
      out.count = static_cast<u64>(i.num);
      out.flag = i.flag;
  }
  return true;
}

/// setpgid and tcsetpgrp: of a child with a slot (b is the slot of the group's child), or of oneself.
bool Programs::step_group(Task& t, const Instr& i, km::Op& out) {
  const s64 pid = i.children ? regs(t)[i.slot] : 0;
  if (i.code == Code::foreground) {
    set(out, km::OpKind::tcsetpgrp, pid);
    return true;
  }
  set(out, km::OpKind::setpgid, i.b ? regs(t)[i.b] : 0);
  out.pid = km::Pid(static_cast<km::s32>(pid));
  return true;
}

bool Programs::step_child(Task& t, const Instr& i, km::Op& out) {
  if (i.code == Code::kill && i.children == 0) {  // the own process group
    set(out, km::OpKind::kill, i.arg);
    out.pid = km::Pid(0);
    return true;
  }
  const s64 pid = child_of(t, i);
  if (pid <= 0) {
    count(Anomaly::no_such_child);
    return false;
  }
  constexpr u32 kThread = 1, kGroup = 2;
  out.arg = i.arg;
  out.pid = km::Pid(static_cast<km::s32>(i.b == kGroup ? -pid : pid));
  if (i.code == Code::kill)
    out.kind = i.b == kThread ? km::OpKind::tkill : km::OpKind::kill;
  else if (i.code == Code::kthread_stop)
    out.kind = km::OpKind::kthread_stop;
  else
    out.kind = i.code == Code::join ? km::OpKind::join : km::OpKind::wait;
  if (i.code == Code::wait_child) set_wait_options(out, i);
  if (i.code == Code::wait_child) t.waited = 0;
  return true;
}

/// WIFSTOPPED: what a tracer may let go on.
void Programs::note_status(Task& t, s64 pid, u64 status) {
  constexpr u64 kStopped = 0x7f;
  if ((status & 0xff) != kStopped) return;
  t.waited = pid;
  t.status = status;
}

/// Of whom the last wait found stopped (there may be nobody), or of a child with a slot. Stops other than for a signal have their event
/// above it.
bool Programs::step_ptrace(Task& t, const Instr& i, km::Op& out) {
  const s64 pid = i.children ? child_of(t, i) : t.waited;
  if (pid <= 0) {
    if (i.children) count(Anomaly::no_such_child);
    return false;
  }
  set(out, km::OpKind::ptrace, i.a);
  out.pid = km::Pid(static_cast<km::s32>(pid));
  out.count = static_cast<u64>(i.num);
  const bool seize = i.a == static_cast<u32>(km::PtraceRequest::seize);
  if (!seize && i.flag && pid == t.waited && !(t.status >> 16)) out.count = t.status >> 8 & 0xff;
  return true;
}

void Programs::step_sigaction(Task& t, const Instr& i, km::Op& out) {
  if (i.b == 2) {
    if (t.handlers == 0) t.handlers = new_handlers();
    handlers_[t.handlers].code[i.arg] = i.a + 1;
  }
  set(out, km::OpKind::sigaction, i.arg);
  out.count = i.b;
  out.flag = i.flag;
}

}  // namespace forksim
