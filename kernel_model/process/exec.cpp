// execve as a path.
// Mirrors Linux 4.19 fs/exec.c __do_execve_file, flush_old_exec, de_thread, setup_new_exec. The cost row of execve is spent 45 % before
// exec_mmap, 10 % up to the new name and 45 % up to the end, the proportion seen on the real kernel's event dates.
#include "kernel_model/process/paths.hpp"
#include "kernel_model/process/ptrace.hpp"

namespace forksim::km {

namespace {

// Locals of kSysExecve.
enum Local : u32 { kTotal = 0, kOldPid = 1, kLeader = 2, kDisplaced = 3 };
enum Pc : u16 { kPcWaitThreads = 5, kPcWaitLeader = 6, kPcAlone = 8, kPcMmRelease = 9, kPcExit = 13 };

const ExecSpec& spec(Ctx& x) { return *x.t.op[x.t.handler_depth].exec; }

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  return path.substr(0, 15);
}

/// From the system call to sched_exec.
void fn_begin(Ctx& x) {
  fn_enter(x, Fn::sys_execve);
  fn_enter(x, Fn::getname);
  fn(x, Fn::getname_flags);
  fn_leave(x, Fn::getname);
  fn_enter(x, Fn::__do_execve_file);
  for (Fn f : {Fn::unshare_files, Fn::kmem_cache_alloc_trace, Fn::mutex_lock_interruptible, Fn::prepare_exec_creds, Fn::do_open_execat})
    fn(x, f);
}

Next exec_enter(Ctx& x) {
  x.k.emit(Tp::exec_call, x.c, x.t.pid);
  trace_sys_enter(x, Nr::execve);
  if (x.k.graph_on()) [[unlikely]]
    fn_begin(x);
  x.f.a[kOldPid] = static_cast<u64>(x.t.pid.v);
  x.f.a[kTotal] = x.k.cost(spec(x).shape->dynamic ? Phase::execve_dynamic : Phase::execve_static).v;
  return advance();
}

/// unshare_files: a descriptor table that others use is copied; the old one is kept (displaced) until nothing can fail any more.
Ns unshare_cost(Ctx& x) {
  const Files& f = *x.t.files;
  return f.count == 1 ? Ns(0) : x.k.cost(Phase::copy_files) + x.k.cost(Phase::copy_files_per_fd) * (f.fds + f.ends.size());
}
Next unshare_files(Ctx& x) {
  Files& f = *x.t.files;
  if (f.count == 1) return advance();
  x.f.a[kDisplaced] = u64{f.index} + 1;
  x.t.files = &x.k.dup_files(f);
  return advance();
}
/// put_files_struct(displaced), or reset_files_struct when execve failed.
void end_unshare(Ctx& x, bool failed) {
  if (!x.f.a[kDisplaced]) return;
  Files& displaced = x.k.files_at(static_cast<u32>(x.f.a[kDisplaced] - 1));
  x.f.a[kDisplaced] = 0;
  Files& copy = *x.t.files;
  if (failed) x.t.files = &displaced;
  x.k.put_files(&x, failed ? copy : displaced);
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

Next refuse(Ctx& x, s64 err) {
  x.t.result = -err;
  x.t.fs->in_exec = false;
  end_unshare(x, true);
  return jump(kPcExit);
}

/// bprm_mm_init and the loader's reads are behind us: the last point at which execve can fail and return.
Next point_of_no_return(Ctx& x) {
  if (!x.k.may_allocate(FailPoint::exec_mmap, KernelBytes::mm_struct + KernelBytes::page * spec(x).shape->pgtable_pages))
    return refuse(x, kENOMEM);
  x.t.fs->in_exec = x.t.fs->users == x.t.signal->nr_threads;
  return advance();
}

Ns de_thread_cost(Ctx& x) { return thread_group_empty(x.t) ? Ns(0) : x.k.cost(Phase::de_thread); }
/// de_thread: kills the other threads.
Next de_thread(Ctx& x) {
  Signal& s = *x.t.signal;
  if (thread_group_empty(x.t)) return jump(kPcAlone);
  if (s.group_exit()) return refuse(x, kEAGAIN);
  s.group_exit_task = &x.t;
  s.notify_count = static_cast<s32>(s.nr_threads) - (x.t.group_leader == &x.t ? 1 : 2);
  call(x, kZapThreads).a[0] = as_arg(x.t);
  return advance();
}

/// One round of waiting for notify_count; a fatal signal ends the exec.
Next de_thread_wait(Ctx& x, u16 again) {
  Signal& s = *x.t.signal;
  if (signal_pending_state(TASK_KILLABLE, x.t)) {
    s.group_exit_task = nullptr;
    s.notify_count = 0;
    return refuse(x, kEAGAIN);
  }
  x.t.state = TASK_KILLABLE;
  call(x, kSchedule);
  return jump(again);
}
Next wait_threads(Ctx& x) { return x.t.signal->notify_count ? de_thread_wait(x, kPcWaitThreads) : advance(); }

/// A thread that is not the leader waits for the leader's end and goes on under its number.
Next wait_leader(Ctx& x) {
  Signal& s = *x.t.signal;
  Task& leader = *x.t.group_leader;
  if (&leader == &x.t) return jump(kPcAlone);
  s.notify_count = -1;
  if (!leader.exit_state) return de_thread_wait(x, kPcWaitLeader);
  x.k.take_over_pid(x.t, leader);
  x.k.emit(Tp::de_thread, x.c, x.t.pid, Pid(static_cast<s32>(x.f.a[kOldPid])));
  leader.exit_state = EXIT_DEAD;
  x.f.a[kLeader] = as_arg(leader);
  return advance();
}
Next release_leader(Ctx& x) {
  release_task_now(x, task_arg(x, kLeader));
  return advance();
}

/// The process has one thread now.
Next alone(Ctx& x) {
  x.t.signal->group_exit_task = nullptr;
  x.t.signal->notify_count = 0;
  x.t.exit_signal = kSIGCHLD;
  return advance();
}

/// exec_mmap starts with mm_release of the old mm: a vfork parent goes on here.
Next mm_release(Ctx& x) {
  if (release_robust(x)) return jump(kPcMmRelease);
  x.t.clear_child_tid = 0;
  if (Task* p = x.t.vfork_parent) {
    x.t.vfork_parent = nullptr;
    p->vfork_waiting = false;
    call_complete(x, *p);
  }
  return advance();
}

Ns old_mm_cost(Ctx& x) { return x.t.mm->users > 1 ? Ns(0) : x.k.mm_teardown_cost(*x.t.mm); }
Next exec_mmap(Ctx& x) {
  x.k.sync_mm_rss(x.c, x.t);
  x.k.mmput(*x.t.mm);
  x.t.mm = &x.k.new_mm(*spec(x).shape);
  x.k.graph().switch_mm(x.c, x.t.mm);
  x.t.flags &= ~PF_FORKNOEXEC;
  x.t.pdeath_signal = 0;
  ++x.t.self_exec_id;
  x.t.fs->in_exec = false;
  x.t.fault_cow = x.t.fault_file = x.t.fault_anon = 0;
  return advance();
}

Next setup_new_exec(Ctx& x) {
  Core& k = x.k;
  fn(x, Fn::__set_task_comm);
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
  fn_leave(x, Fn::search_binary_handler);
  x.k.emit(Tp::sched_process_exec, x.c, x.k.name(s.filename), x.t.pid, Pid(static_cast<s32>(x.f.a[kOldPid])));
  if (x.k.trace().enabled(Tp::cmdline)) x.k.emit(Tp::cmdline, x.c, x.t.pid, x.k.name(s.command.empty() ? s.filename : s.command));
  x.k.emit_rss(x.c, x.t);
  ++x.k.totals.execs;
  x.t.fault_cow = shape.startup_cow;
  x.t.fault_file = shape.startup_file;
  x.t.fault_anon = shape.startup_anon;
  x.t.user_startup = shape.dynamic ? x.k.cost(Phase::exec_user_startup) : Ns(0);
  x.t.user_fresh = true;
  x.t.user_fresh_kind = 1;
  x.k.user.exec_program(x.t.user, s);
  x.t.result = 0;
  end_unshare(x, false);
  if (ptrace_event_enabled(x.t, PTRACE_EVENT_EXEC)) [[unlikely]]
    call_ptrace_event(x, PTRACE_EVENT_EXEC);
  return advance();
}

/// A successful execve leaves no system call number behind (start_thread), so arm64 traces no sys_exit for it. What a signal handler had
/// interrupted is gone with the old program.
Next exec_exit(Ctx& x) {
  if (x.t.result < 0) {
    trace_sys_exit(x, Nr::execve, x.t.result);
    return ret();
  }
  if (!x.t.handler_depth) return ret();
  x.t.handler_depth = 0;
  fn_leave_all(x);
  x.t.frames.clear();
  x.t.frames.push(kUser);
  return hold();
}

bool last_mm(Ctx& x) { return x.t.mm->users == 1; }
bool inside_exec(Ctx& x) { return x.k.graph().is_open(x, Fn::__do_execve_file); }

constexpr Step kExecSteps[] = {
    {exec_enter, Phase::syscall_entry, nullptr, 0},
    {unshare_files, Phase::count_, unshare_cost, StepFlag::kMightSleep},
    {sched_exec, Phase::select_task_rq_fork, nullptr, StepFlag::kNoPreempt, marks<pays<Fn::sched_exec>>},
    {point_of_no_return, Phase::count_, before_mmap_cost, StepFlag::kCondResched | StepFlag::kMightSleep,
     marks<calls<Fn::mm_alloc>, calls<Fn::vm_area_alloc>, calls<Fn::vm_get_page_prot>, calls<Fn::insert_vm_struct>, calls<Fn::count>,
           calls<Fn::count>, calls<Fn::prepare_binprm>, calls<Fn::copy_strings_kernel>, calls<Fn::copy_strings>, calls<Fn::copy_strings>,
           calls<Fn::would_dump>, calls<Fn::task_active_pid_ns>, calls<Fn::__task_pid_nr_ns>, enters<Fn::search_binary_handler>,
           enters<Fn::load_elf_binary>>},
    {de_thread, Phase::count_, de_thread_cost, StepFlag::kNoPreempt, marks<enters<Fn::flush_old_exec>, enters<Fn::de_thread>>},
    {wait_threads, Phase::count_, nullptr, 0},
    {wait_leader, Phase::count_, nullptr, 0},
    {release_leader, Phase::release_task, nullptr, StepFlag::kNoPreempt, marks<enters<Fn::release_task>>, LockSet::tasklist_write},
    {alone, Phase::count_, nullptr, 0, marks<leaves<Fn::de_thread>>},
    {mm_release, Phase::count_, nullptr, 0,
     marks<enters<Fn::exec_mmap, outside<Fn::exec_mmap>>, enters<Fn::mm_release, outside<Fn::mm_release>>>},
    {exec_mmap, Phase::count_, old_mm_cost, StepFlag::kCondResched | StepFlag::kMightSleep | StepFlag::kMm,
     marks<leaves<Fn::mm_release>, pays<Fn::mmput>, pays<Fn::exit_mmap, last_mm>>},
    {setup_new_exec, Phase::count_, rename_cost, StepFlag::kMightSleep, marks<leaves<Fn::flush_old_exec>, enters<Fn::setup_new_exec>>},
    {exec_done, Phase::count_, rest_cost, StepFlag::kMightSleep, marks<leaves<Fn::setup_new_exec>>},
    {exec_exit, Phase::syscall_exit, nullptr, 0,
     marks<calls<Fn::free_bprm, inside_exec>, calls<Fn::putname, inside_exec>, leaves<Fn::sys_execve>>},
};
static_assert(kExecSteps[kPcWaitThreads].effect == wait_threads && kExecSteps[kPcWaitLeader].effect == wait_leader &&
              kExecSteps[kPcAlone].effect == alone && kExecSteps[kPcExit].effect == exec_exit);

}  // namespace

const Path kSysExecve{"sys_execve", kExecSteps};

}  // namespace forksim::km
