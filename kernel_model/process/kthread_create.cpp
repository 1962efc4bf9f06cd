// Kernel threads: kthread_create, kthreadd, the thread's own start, kthread_stop; work for the kworker.
// Mirrors Linux 4.19 kernel/kthread.c, kernel/irq/manage.c irq_thread, kernel/workqueue.c queue_work. A program calls them where a driver
// would, inside finit_module and delete_module.
#include <algorithm>

#include "kernel_model/process/paths.hpp"

namespace forksim::km {

Kthread& Core::new_kthread(const KthreadSpec& spec) {
  const u32 i = kthreads.alloc();
  Kthread& t = kthreads[i];
  t.index = i;
  t.refs = 1;
  t.spec = &spec;
  return t;
}

void Core::put_kthread(Kthread& t) {
  if (--t.refs == 0) kthreads.free(t.index);
}

namespace {

constexpr u8 kNoPreempt = StepFlag::kNoPreempt;

Op& op(Ctx& x) { return x.t.op[x.t.handler_depth]; }
Kthread& kthread_arg(Ctx& x) { return x.k.kthreads[static_cast<u32>(x.f.a[0])]; }

// Locals of kSysKthreadRun: a[0] Kthread.
enum RunPc : u16 { kPcRunWait = 2, kPcRunInactive = 3, kPcRunExit = 6 };

Next run_enter(Ctx& x) {
  trace_sys_enter(x, Nr::finit_module);
  fn_enter(x, Fn::sys_finit_module);
  x.t.result = -kENOMEM;
  if (x.k.fault(FailPoint::kthread_create)) return jump(kPcRunExit);
  Kthread& t = x.k.new_kthread(*op(x).kthread);
  t.creator = &x.t;
  x.f.a[0] = t.index;
  return advance();
}
/// __kthread_create_on_node: the request goes to kthreadd.
Next run_request(Ctx& x) {
  x.k.kthread_create_list.push_back(kthread_arg(x).index);
  fn_enter(x, Fn::wake_up_process);
  call_ttwu(x, *x.k.kthreadd, TASK_NORMAL);
  return advance();
}
/// wait_for_completion_killable; killed before kthreadd took the request: it is withdrawn, else its end is waited for.
Next run_wait(Ctx& x) {
  Kthread& t = kthread_arg(x);
  if (t.done) return advance();
  const bool killed = signal_pending_state(TASK_KILLABLE, x.t);
  auto& list = x.k.kthread_create_list;
  const auto queued = std::ranges::find(list, t.index);
  if (killed && queued != list.end()) {
    list.erase(queued);
    x.k.put_kthread(t);
    x.t.result = -kEINTR;
    return jump(kPcRunExit);
  }
  x.t.state = killed ? TASK_UNINTERRUPTIBLE : TASK_KILLABLE;
  call(x, kSchedule);
  return jump(kPcRunWait);
}

/// wait_task_inactive, before the mask of a thread that has to stay on one CPU is set.
Ns inactive_cost(Ctx& x) {
  Task* p = kthread_arg(x).task;
  if (!p || !p->on_cpu) return Ns(0);
  p->spin_target = true;
  x.c.spin_on = p;
  return kNever;
}
Next run_inactive(Ctx& x) {
  Kthread& t = kthread_arg(x);
  x.c.spin_on = nullptr;
  x.t.result = t.result;
  if (t.result < 0) {
    x.k.put_kthread(t);
    return jump(kPcRunExit);
  }
  if (!t.task->on_rq) return advance();
  x.k.arm_timer(x.c, x.t, x.k.now() + Ns(x.k.profile().tick_ns()));
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(kPcRunInactive);
}
void fn_setup(Ctx& x) {
  fn(x, Fn::__set_task_comm);
  fn_enter(x, Fn::sched_setscheduler_nocheck);
  fn(x, Fn::__sched_setscheduler);
  fn_leave(x, Fn::sched_setscheduler_nocheck);
  fn_enter(x, Fn::set_cpus_allowed_ptr);
  fn(x, Fn::__set_cpus_allowed_ptr);
  fn_leave(x, Fn::set_cpus_allowed_ptr);
}
/// Name, policy and mask are the creator's doing.
Next run_setup(Ctx& x) {
  Kthread& t = kthread_arg(x);
  Task& p = *t.task;
  const KthreadSpec& s = *t.spec;
  if (x.k.graph_on()) [[unlikely]]
    fn_setup(x);
  x.k.rename(x.c, p, x.k.name(s.name.substr(0, 15)));
  x.k.sched.sched_setscheduler(p, s.rt_priority ? SchedPolicy::fifo : SchedPolicy::normal, s.rt_priority, x.c.id);
  x.k.sched.set_cpus_allowed(p, s.bound ? CpuMask::of(s.cpu) : CpuMask::first_n(x.k.nr_cpus()), x.c.id);
  if (s.bound) p.flags |= PF_NO_SETAFFINITY;
  x.t.result = p.pid.v;
  return advance();
}
Next run_wake(Ctx& x) {
  call_ttwu(x, *kthread_arg(x).task, TASK_NORMAL);
  return advance();
}
Next run_exit(Ctx& x) {
  trace_sys_exit(x, Nr::finit_module, x.t.result);
  return ret();
}
constexpr Step kRunSteps[] = {
    {run_enter, Phase::syscall_entry, nullptr, 0},
    {run_request, Phase::kthread_create, nullptr, StepFlag::kMightSleep,
     marks<enters<Fn::__kthread_create_on_node>, calls<Fn::kmem_cache_alloc_trace>>},
    {run_wait, Phase::count_, nullptr, 0,
     marks<leaves<Fn::wake_up_process>, enters<Fn::wait_for_completion_killable, outside<Fn::wait_for_completion_killable>>,
           enters<Fn::wait_for_common, outside<Fn::wait_for_common>>>},
    {run_inactive, Phase::count_, inactive_cost, 0, marks<leaves<Fn::wait_for_completion_killable>>},
    {run_setup, Phase::count_, nullptr, kNoPreempt},
    {run_wake, Phase::count_, nullptr, 0, marks<leaves<Fn::__kthread_create_on_node>, enters<Fn::wake_up_process>>},
    {run_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_finit_module>>},
};
static_assert(kRunSteps[kPcRunWait].effect == run_wait && kRunSteps[kPcRunInactive].effect == run_inactive &&
              kRunSteps[kPcRunExit].effect == run_exit);

/// kthreadd: one request per round, by kernel_thread.
Next kthreadd_loop(Ctx& x) {
  auto& list = x.k.kthread_create_list;
  if (list.empty()) {
    x.t.state = TASK_INTERRUPTIBLE;
    call(x, kSchedule);
    return jump(0);
  }
  x.t.kthread = &x.k.kthreads[list.front()];
  list.pop_front();
  fn_enter(x, Fn::create_kthread);
  fn_enter(x, Fn::kernel_thread);
  call(x, kDoFork).a[1] = x.t.op[0].fork->clone_flags;
  return advance();
}
/// create_kthread: a failure is the creator's result.
Next kthreadd_result(Ctx& x) {
  Kthread& t = *x.t.kthread;
  x.t.kthread = nullptr;
  const s64 result = static_cast<s64>(x.f.a[kResult]);
  if (result >= 0) return jump(0);
  t.result = result;
  t.done = true;
  call_complete(x, *t.creator);
  return jump(0);
}
constexpr Step kKthreaddSteps[] = {
    {kthreadd_loop, Phase::count_, nullptr, kNoPreempt},
    {kthreadd_result, Phase::count_, nullptr, kNoPreempt, marks<leaves<Fn::create_kthread>>},
};

/// kthread(): reports to the creator and sleeps until it is let go.
Next kthread_begin(Ctx& x) {
  Kthread& t = *x.t.kthread;
  t.task = &x.t;
  t.result = x.t.pid.v;
  t.done = true;
  x.t.state = TASK_UNINTERRUPTIBLE;
  call_complete(x, *t.creator);
  return advance();
}
Next kthread_sleep(Ctx& x) {
  call(x, kSchedule);
  return advance();
}
/// The thread's function: one piece of work per period, per interrupt, or none; until kthread_should_stop.
Next kthread_loop(Ctx& x) {
  Kthread& t = *x.t.kthread;
  x.k.cancel_timer(x.t);
  x.t.state = TASK_RUNNING;
  if (t.should_stop) return jump(4);
  if (t.irq_pending || (t.spec->period != Ns(0) && x.f.a[1] <= x.k.now().v)) return advance();
  if (t.spec->period != Ns(0) && !x.k.workload_done()) x.k.arm_timer(x.c, x.t, Ns(x.f.a[1]));
  x.t.state = TASK_INTERRUPTIBLE;
  fn(x, Fn::kthread_should_stop);
  call(x, kSchedule);
  return jump(kKthreadLoop);
}
Ns kthread_work_cost(Ctx& x) {
  const Kthread& t = *x.t.kthread;
  return t.irq ? x.k.irqs[t.irq - 1].spec.thread : t.spec->work;
}
Next kthread_work(Ctx& x) {
  Kthread& t = *x.t.kthread;
  if (t.irq_pending) --t.irq_pending;
  x.f.a[1] = x.k.now().v + t.spec->period.v;
  return jump(kKthreadLoop);
}
Next kthread_exit(Ctx& x) {
  call(x, kDoExit).a[0] = 0;
  return jump(4);
}
constexpr Step kKthreadSteps[] = {
    {kthread_begin, Phase::count_, nullptr, kNoPreempt,
     marks<enters<Fn::kthread>, calls<Fn::kmem_cache_alloc_trace>, calls<Fn::__init_waitqueue_head>, calls<Fn::__init_waitqueue_head>>},
    {kthread_sleep, Phase::count_, nullptr, kNoPreempt},
    {kthread_loop, Phase::count_, nullptr, kNoPreempt,
     marks<calls<Fn::__kthread_parkme, outside<Fn::threadfn>>, enters<Fn::threadfn, outside<Fn::threadfn>>,
           calls<Fn::kthread_should_stop>>},
    {kthread_work, Phase::count_, kthread_work_cost, StepFlag::kCondResched},
    {kthread_exit, Phase::count_, nullptr, 0, marks<leaves<Fn::threadfn>>},
};
static_assert(kKthreadSteps[kKthreadLoop].effect == kthread_loop);

// Locals of kSysKthreadStop: a[0] pid, then Kthread; a[1] its task.
enum StopPc : u16 { kPcStopWait = 1, kPcStopExit = 3 };

Next stop_begin(Ctx& x) {
  trace_sys_enter(x, Nr::delete_module);
  fn_enter(x, Fn::sys_delete_module);
  Task* p = x.k.find_task(Pid(static_cast<s32>(x.f.a[0])));
  x.t.result = -kESRCH;
  if (!p || !p->kthread || p->boot || p->kthread->should_stop) return jump(kPcStopExit);
  Kthread& t = *p->kthread;
  ++t.refs;
  ++p->usage;
  t.should_stop = true;
  x.f.a[0] = t.index;
  x.f.a[1] = as_arg(*p);
  fn_enter(x, Fn::kthread_stop);
  x.k.emit(Tp::sched_kthread_stop, x.c, p->comm, p->pid);
  fn_enter(x, Fn::kthread_unpark);
  fn(x, Fn::wake_up_state);
  fn_leave(x, Fn::kthread_unpark);
  fn_enter(x, Fn::wake_up_process);
  call_ttwu(x, *p, TASK_NORMAL);
  return advance();
}
/// wait_for_completion(&kthread->exited), which the thread's mm_release completes.
Next stop_wait(Ctx& x) {
  if (kthread_arg(x).exited) return advance();
  task_arg(x, 1).vfork_parent = &x.t;
  x.t.state = TASK_UNINTERRUPTIBLE;
  call(x, kSchedule);
  return jump(kPcStopWait);
}
Next stop_done(Ctx& x) {
  x.t.result = 0;
  x.k.emit(Tp::sched_kthread_stop_ret, x.c, x.t.result);
  x.k.put_kthread(kthread_arg(x));
  x.k.put_task_struct(task_arg(x, 1));
  return advance();
}
Next stop_exit(Ctx& x) {
  trace_sys_exit(x, Nr::delete_module, x.t.result);
  return ret();
}
constexpr Step kStopSteps[] = {
    {stop_begin, Phase::syscall_entry, nullptr, 0},
    {stop_wait, Phase::count_, nullptr, 0,
     marks<leaves<Fn::wake_up_process>, enters<Fn::wait_for_completion, outside<Fn::wait_for_completion>>,
           enters<Fn::wait_for_common, outside<Fn::wait_for_common>>>},
    {stop_done, Phase::kthread_stop, nullptr, 0, marks<leaves<Fn::wait_for_completion>>},
    {stop_exit, Phase::syscall_exit, nullptr, 0, marks<leaves<Fn::sys_delete_module>>},
};
static_assert(kStopSteps[kPcStopWait].effect == stop_wait && kStopSteps[kPcStopExit].effect == stop_exit);

// kQueueWork: a[0] ns, a[1] CPU or -1.
Next queue_work(Ctx& x) {
  const s64 cpu = static_cast<s64>(x.f.a[1]);
  Cpu& c = cpu < 0 ? x.c : x.k.cpu(CpuId(static_cast<u32>(cpu)));
  c.works.push_back(Ns(x.f.a[0]));
  x.t.result = 0;
  call_ttwu(x, *c.kworker, TASK_NORMAL);
  return advance();
}
Next queue_work_exit(Ctx&) { return ret(); }
constexpr Step kQueueWorkSteps[] = {
    {queue_work, Phase::schedule_work, nullptr, kNoPreempt, marks<enters<Fn::queue_work_on>>},
    {queue_work_exit, Phase::count_, nullptr, 0},
};

}  // namespace

const Path kSysKthreadRun{"kthread_create_on_node", kRunSteps};
const Path kSysKthreadStop{"kthread_stop", kStopSteps};
const Path kKthreadd{"kthreadd", kKthreaddSteps};
const Path kKthread{"kthread", kKthreadSteps};
const Path kQueueWork{"queue_work_on", kQueueWorkSteps};

}  // namespace forksim::km
