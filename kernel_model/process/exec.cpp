// execve as a path.
// Mirrors Linux 4.19 fs/exec.c __do_execve_file, flush_old_exec, setup_new_exec. The cost row of execve is spent 45 % before exec_mmap,
// 10 % up to the new name and 45 % up to the end, the proportion seen on the real kernel's event dates.
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

// Locals of kSysExecve.
enum Local : u32 { kTotal = 0 };

const ExecSpec& spec(Ctx& x) { return *x.t.op[x.t.handler_depth].exec; }

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  return path.substr(0, 15);
}

Next exec_enter(Ctx& x) {
  x.k.emit(Tp::exec_call, x.c, x.t.pid);
  trace_sys_enter(x, Nr::execve);
  if (!thread_group_empty(x.t)) {
    x.t.result = -kENOSYS;
    return jump(6);
  }
  x.f.a[kTotal] = x.k.cost(spec(x).shape->dynamic ? Phase::execve_dynamic : Phase::execve_static).v;
  return advance();
}

/// sched_exec: the stopper moves the task before the new address space exists.
Next sched_exec(Ctx& x) {
  const CpuId dest = x.k.sched.sched_exec_select(x.c.id);
  if (dest != x.c.id && x.k.sched.cpu_active(dest)) call_stopper(x, x.t, dest);
  return advance();
}

Ns before_mmap_cost(Ctx& x) { return Ns(x.f.a[kTotal] * 45 / 100); }
Ns rename_cost(Ctx& x) { return Ns(x.f.a[kTotal] / 10); }
Ns rest_cost(Ctx& x) { return Ns(x.f.a[kTotal]) - before_mmap_cost(x) - rename_cost(x); }

/// exec_mmap starts with mm_release of the old mm: a vfork parent goes on here.
Next mm_release(Ctx& x) {
  x.t.clear_child_tid = 0;
  if (Task* p = x.t.vfork_parent) {
    x.t.vfork_parent = nullptr;
    p->vfork_waiting = false;
    call_ttwu(x, *p, TASK_NORMAL);
  }
  return advance();
}

Ns old_mm_cost(Ctx& x) { return x.t.mm->users > 1 ? Ns(0) : x.k.mm_teardown_cost(*x.t.mm); }
Next exec_mmap(Ctx& x) {
  x.k.mmput(*x.t.mm);
  x.t.mm = &x.k.new_mm(*spec(x).shape);
  x.t.flags &= ~PF_FORKNOEXEC;
  x.t.fault_cow = x.t.fault_file = x.t.fault_anon = 0;
  return advance();
}

Next setup_new_exec(Ctx& x) {
  Core& k = x.k;
  k.rename(x.c, x.t, k.name(base_name(spec(x).filename)));
  if (x.t.sighand->count > 1) {
    Sighand& fresh = k.dup_sighand(*x.t.sighand);
    k.put_sighand(*x.t.sighand);
    x.t.sighand = &fresh;
  }
  for (SigDisposition& d : x.t.sighand->action)
    if (d == SigDisposition::handler) d = SigDisposition::dfl;
  return advance();
}

Next exec_done(Ctx& x) {
  const ExecSpec& s = spec(x);
  const ProcessShape& shape = *s.shape;
  x.k.emit(Tp::sched_process_exec, x.c, x.k.name(s.filename), x.t.pid, x.t.pid);
  ++x.k.totals.execs;
  x.t.fault_cow = shape.startup_cow;
  x.t.fault_file = shape.startup_file;
  x.t.fault_anon = shape.startup_anon;
  x.t.user_startup = shape.dynamic ? x.k.cost(Phase::exec_user_startup) : Ns(0);
  x.t.user_fresh = true;
  x.t.user_fresh_kind = 1;
  x.k.user.exec_program(x.t.user, s);
  x.t.result = 0;
  return advance();
}

/// A successful execve leaves no system call number behind (start_thread), so arm64 traces no sys_exit for it.
Next exec_exit(Ctx& x) {
  if (x.t.result < 0) trace_sys_exit(x, Nr::execve, x.t.result);
  return ret();
}

constexpr Step kExecSteps[] = {
    {exec_enter, Phase::syscall_entry, nullptr, 0},
    {sched_exec, Phase::select_task_rq_fork, nullptr, StepFlag::kNoPreempt},
    {mm_release, Phase::count_, before_mmap_cost, 0},
    {exec_mmap, Phase::count_, old_mm_cost, 0},
    {setup_new_exec, Phase::count_, rename_cost, 0},
    {exec_done, Phase::count_, rest_cost, 0},
    {exec_exit, Phase::syscall_exit, nullptr, 0},
};

}  // namespace

const Path kSysExecve{"sys_execve", kExecSteps};

}  // namespace forksim::km
