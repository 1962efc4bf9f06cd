// The unwinding ladder of copy_process: one step per label, each falling through to the next older one.
// Mirrors Linux 4.19 kernel/fork.c; tearing down costs what the same work costs in do_exit.
#include "kernel_model/process/fork.hpp"
#include "kernel_model/process/paths.hpp"

namespace forksim::km {

namespace {

Task& child(Ctx& x) { return task_arg(x); }

Next passed(Ctx& x, const char* label) {
  if (x.k.trace().enabled(Tp::bad_fork)) x.k.emit(Tp::bad_fork, x.c, x.t.pid, x.k.name(label));
  return advance();
}

Next cancel_cgroup(Ctx& x) { return passed(x, "bad_fork_cancel_cgroup"); }
/// The number is spent: the next fork gets a later one.
Next free_pid(Ctx& x) {
  PidNamespace& ns = *child(x).pid_ns;
  ++ns.count;
  x.k.put_pid(child(x).pid);
  wake_reapers(x, ns);
  child(x).pid_ns = nullptr;
  child(x).pid = Pid(0);
  return passed(x, "bad_fork_free_pid");
}
Next cleanup_thread(Ctx& x) { return passed(x, "bad_fork_cleanup_thread"); }
Next cleanup_io(Ctx& x) {
  if (child(x).io_context) x.k.exit_io_context(child(x));
  return passed(x, "bad_fork_cleanup_io");
}
Next cleanup_namespaces(Ctx& x) {
  x.k.put_nsproxy(*child(x).nsproxy);
  return passed(x, "bad_fork_cleanup_namespaces");
}
Ns mm_cost(Ctx& x) {
  const Mm* mm = child(x).mm;
  if (!mm) return Ns(0);
  return mm->users > 1 ? x.k.cost(Phase::exit_mm_shared) : x.k.mm_teardown_cost(*mm);
}
Next cleanup_mm(Ctx& x) {
  if (child(x).mm) x.k.mmput(*child(x).mm);
  return passed(x, "bad_fork_cleanup_mm");
}
/// free_signal_struct; a thread has only borrowed its group's.
Next cleanup_signal(Ctx& x) {
  if (!(x.f.a[1] & kCLONE_THREAD)) x.k.put_signal(*child(x).signal);
  return passed(x, "bad_fork_cleanup_signal");
}
Next cleanup_sighand(Ctx& x) {
  x.k.put_sighand(*child(x).sighand);
  return passed(x, "bad_fork_cleanup_sighand");
}
Next cleanup_fs(Ctx& x) {
  x.k.put_fs(*child(x).fs);
  return passed(x, "bad_fork_cleanup_fs");
}
Ns files_cost(Ctx& x) {
  const Files& f = *child(x).files;
  return f.count > 1 ? Ns(0) : x.k.cost(Phase::exit_files) + x.k.cost(Phase::exit_files_per_fd) * (f.fds + f.ends.size());
}
Next cleanup_files(Ctx& x) {
  const Next n = passed(x, "bad_fork_cleanup_files");
  x.k.put_files(&x, *child(x).files);
  return n;
}
Next cleanup_semundo(Ctx& x) {
  if (child(x).sysvsem) x.k.put_sem_undo(*child(x).sysvsem);
  return passed(x, "bad_fork_cleanup_semundo");
}
Next cleanup_security(Ctx& x) { return passed(x, "bad_fork_cleanup_security"); }
Next cleanup_audit(Ctx& x) { return passed(x, "bad_fork_cleanup_audit"); }
Next cleanup_perf(Ctx& x) { return passed(x, "bad_fork_cleanup_perf"); }
Next cleanup_policy(Ctx& x) { return passed(x, "bad_fork_cleanup_policy"); }
Next cleanup_threadgroup_lock(Ctx& x) { return passed(x, "bad_fork_cleanup_threadgroup_lock"); }
/// exit_creds; the user has one process less.
Next cleanup_count(Ctx& x) {
  Cred& c = *child(x).cred;
  --c.user->processes;
  x.k.put_cred(c);
  return passed(x, "bad_fork_cleanup_count");
}

bool cache_full(Ctx& x) { return x.c.cached_stacks >= x.k.profile().tun(Tunable::nr_cached_stacks); }
Ns free_cost(Ctx& x) {
  Phase stack = Phase::stack_free_pages;
  if (x.k.profile().vmap_stack) stack = cache_full(x) ? Phase::schedule_work : Phase::stack_free_cached;
  return x.k.cost(stack) + x.k.cost(Phase::task_struct_free);
}
/// put_task_stack and free_task: at once, nobody can know the task.
Next bad_fork_free(Ctx& x) {
  Core& k = x.k;
  const Next n = passed(x, "bad_fork_free");
  ++k.totals.stacks_freed;
  --k.live_stacks;
  bool cached = false;
  if (!k.profile().vmap_stack) {
    k.kernel_bytes -= k.profile().stack_bytes;
  } else {
    cached = k.free_thread_stack(x.c);
    ++(cached ? x.c.times.stack_cached : x.c.times.stack_full);
  }
  k.emit(Tp::stack_free, x.c, Pid(0), cached);
  ++k.totals.task_structs_freed;
  k.emit(Tp::task_struct_free, x.c, Pid(0));
  k.kernel_bytes -= KernelBytes::task_struct;
  k.task_pool.free(child(x).id.v);
  if (k.profile().vmap_stack && !cached) call_ttwu(x, *x.c.kworker, TASK_NORMAL);
  return n;
}
Next fork_out(Ctx& x) {
  passed(x, "fork_out");
  return ret();
}

constexpr Step kBadForkSteps[] = {
    {cancel_cgroup},      {free_pid},
    {cleanup_thread},     {cleanup_io},
    {cleanup_namespaces}, {cleanup_mm, Phase::count_, mm_cost, StepFlag::kCondResched | StepFlag::kMightSleep},
    {cleanup_signal},     {cleanup_sighand},
    {cleanup_fs},         {cleanup_files, Phase::count_, files_cost, StepFlag::kCondResched},
    {cleanup_semundo},    {cleanup_security},
    {cleanup_audit},      {cleanup_perf},
    {cleanup_policy},     {cleanup_threadgroup_lock},
    {cleanup_count},      {bad_fork_free, Phase::bad_fork, free_cost, StepFlag::kNoPreempt},
    {fork_out},
};
static_assert(kBadForkSteps[static_cast<u32>(ForkLabel::bad_fork_free)].effect == bad_fork_free &&
              kBadForkSteps[static_cast<u32>(ForkLabel::cleanup_mm)].effect == cleanup_mm &&
              kBadForkSteps[static_cast<u32>(ForkLabel::fork_out)].effect == fork_out);

}  // namespace

const Path kBadFork{"copy_process", kBadForkSteps};

}  // namespace forksim::km
