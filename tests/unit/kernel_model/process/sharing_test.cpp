// What clone shares and what it copies: reference counts, cost by size, everything freed once; numbers written to user memory; execve's
// own descriptor table.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "kernel_model/process/objects.hpp"
#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;

namespace {

constexpr Pid kParent{kFirstPid}, kChild{kFirstPid + 1};

/// A parent with an I/O priority clones a child with `flags`; both sleep. The machine stands at 5 ms.
struct Pair {
  ScriptMachine m;
  TaskRefs parent, child;
  explicit Pair(u64 flags, u32 ioprio = 2u << kIoprioClassShift) {
    const u32 program = m.add_list({sleep_op(20_ms), op(OpKind::exit)});
    m.start(m.add_list({op(OpKind::ioprio_set, ioprio), fork_op(m.fork_spec(program, flags)), sleep_op(30_ms), op(OpKind::exit)}));
    m.kernel().advance(5_ms);
    parent = m.kernel().refs(kParent);
    child = m.kernel().refs(kChild);
  }
};

/// From the entry to the return of one clone call, every phase at 1 us.
Ns clone_time(u64 flags, void (*shape)(ProcessShape&) = nullptr) {
  ScriptMachine m;
  if (shape) shape(m.shape);
  const u32 child = m.add_list({op(OpKind::exit)});
  m.start(m.add_list({fork_op(m.fork_spec(child, flags))}));
  m.run();
  return m.of(Tp::fork_return).at(0).ts - m.of(Tp::fork_call).at(0).ts;
}

std::vector<TraceEvent> tid_writes(const ScriptMachine& m, u64 kind) {
  std::vector<TraceEvent> out = m.of(Tp::set_tid);
  std::erase_if(out, [&](const TraceEvent& e) { return e.args[2] != kind; });
  return out;
}

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("clone: each flag adds one user to one object, without it the child has its own") {
    struct Case {
      u64 flags;
      u32 mm, files, fs, sighand, sigcnt, sem_undo, io;  ///< users that parent and child see alike
    };
    const Case cases[] = {
        {kSIGCHLD, 1, 1, 1, 1, 1, 0, 1},
        {kCLONE_FILES | kSIGCHLD, 1, 2, 1, 1, 1, 0, 1},
        {kCLONE_FS | kSIGCHLD, 1, 1, 2, 1, 1, 0, 1},
        {kCLONE_VM | kSIGCHLD, 2, 1, 1, 1, 1, 0, 1},
        {kCLONE_VM | kCLONE_SIGHAND | kSIGCHLD, 2, 1, 1, 2, 1, 0, 1},
        {kCLONE_VM | kCLONE_SIGHAND | kCLONE_THREAD, 2, 1, 1, 2, 2, 0, 1},
        {kCLONE_SYSVSEM | kSIGCHLD, 1, 1, 1, 1, 1, 2, 1},
        {kCLONE_IO | kSIGCHLD, 1, 1, 1, 1, 1, 0, 2},
        {kPthreadFlags, 2, 2, 2, 2, 2, 2, 1},
    };
    for (const Case& c : cases) {
      CAPTURE(c.flags);
      Pair p(c.flags);
      for (const TaskRefs& r : {p.parent, p.child}) {
        CHECK(r.mm_users == c.mm);
        CHECK(r.files_count == c.files);
        CHECK(r.fs_users == c.fs);
        CHECK(r.sighand_count == c.sighand);
        CHECK(r.sigcnt == c.sigcnt);
        CHECK(r.sem_undo_refcnt == c.sem_undo);
        CHECK(r.io_nr_tasks == c.io);
        CHECK(r.ioprio == 2u << kIoprioClassShift);
        CHECK(r.usage == 2);
      }
      CHECK(p.parent.cred_usage == (c.flags & kCLONE_THREAD ? 2 : 1));
      CHECK(p.parent.nsproxy_count == p.child.nsproxy_count);
      p.m.run();
      CHECK(left_over(p.m.kernel().alive()) == 0);
    }
  }

  TEST_CASE("clone: a new namespace gives the child an nsproxy of its own, without an I/O priority there is no I/O context to copy") {
    Pair own(kCLONE_NEWUTS | kSIGCHLD);
    CHECK(own.child.nsproxy_count == 1);
    CHECK(own.parent.nsproxy_count > 1);
    Pair none(kSIGCHLD, 0);
    CHECK(none.parent.io_nr_tasks == 1);
    CHECK(none.child.io_nr_tasks == 0);
    Pair shared(kCLONE_IO | kSIGCHLD, 0);
    CHECK(shared.child.io_nr_tasks == 2);
    for (Pair* p : {&own, &none, &shared}) {
      p->m.run();
      CHECK(left_over(p->m.kernel().alive()) == 0);
    }
  }

  TEST_CASE("ioprio_set: the real-time class is root's") {
    for (u32 uid : {0u, 1000u}) {
      ScriptMachine m;
      const u32 p = m.add_list({op(OpKind::ioprio_set, 1 << kIoprioClassShift), op(OpKind::ioprio_set, 3 << kIoprioClassShift)});
      m.start(p, 0_ns, nullptr, uid);
      m.run();
      CHECK(m.results[p].at(0) == (uid ? -kEPERM : 0));
      CHECK(m.results[p].at(1) == 0);
    }
  }

  TEST_CASE("clone: a copy costs by size, a reference 1 us whatever the size") {
    // mm: 1 + 15 vmas + 23 pages + 6 tables = 45; files: 1 + 3; fs, sighand, signal: 1 each; the child's tid: nothing here
    const Ns fork = clone_time(kSIGCHLD);
    CHECK(fork - clone_time(kCLONE_VM | kSIGCHLD) == 44_us);
    CHECK(fork - clone_time(kCLONE_FILES | kSIGCHLD) == 3_us);
    CHECK(fork == clone_time(kCLONE_FS | kSIGCHLD));
    CHECK(clone_time(kCLONE_VM | kSIGCHLD) - clone_time(kCLONE_VM | kCLONE_SIGHAND | kCLONE_THREAD) == 1_us);  // no signal_struct
    CHECK(clone_time(kCLONE_NEWUTS | kCLONE_NEWNS | kSIGCHLD) - fork == 2_us);
    const auto larger = [](ProcessShape& s) {
      s.vmas += 10;
      s.anon_pages += 100;
      s.pgtable_pages += 2;
      s.fds += 7;
    };
    CHECK(clone_time(kSIGCHLD, larger) - fork == 119_us);
    CHECK(clone_time(kCLONE_VM | kCLONE_FILES | kSIGCHLD, larger) == clone_time(kCLONE_VM | kCLONE_FILES | kSIGCHLD));
    CHECK(clone_time(kCLONE_PARENT_SETTID | kCLONE_VM | kSIGCHLD) - clone_time(kCLONE_VM | kSIGCHLD) == 1_us);
    CHECK(clone_time(kCLONE_PARENT_SETTID | kSIGCHLD) - fork == 2_us);  // and the page fork has just made copy-on-write: a fault
  }

  TEST_CASE("fork of glibc: the child writes its number before its first user instruction, to a page it has to copy first") {
    ScriptMachine m;
    const u32 child = m.add_list({});
    m.start(m.add_list({fork_op(m.fork_spec(child)), wait_op()}));
    m.run();
    const auto writes = tid_writes(m, 1);
    REQUIRE(writes.size() == 1);
    CHECK(writes[0].pid == kChild);
    CHECK(writes[0].args[1] == 12);
    const auto faults = m.of(Tp::page_fault);
    const auto first_fault = std::ranges::find(faults, kChild, &TraceEvent::pid);
    const auto users = m.of(Tp::user_first);
    const auto user = std::ranges::find(users, kChild, &TraceEvent::pid);
    REQUIRE(first_fault != faults.end());
    REQUIRE(user != users.end());
    CHECK(writes[0].ts < first_fault->ts);
    CHECK(first_fault->args[1] == 0);
    CHECK(first_fault->ts < user->ts);
    CHECK(std::ranges::count(faults, kChild, &TraceEvent::pid) == m.shape.child_cow + m.shape.child_file);  // it is one of them
    CHECK(tid_writes(m, 0).empty());
    CHECK(tid_writes(m, 2).empty());  // nobody shares the address space at its end
  }

  TEST_CASE("pthread_create: the parent writes the number, the end of the thread clears it and wakes the one who joins") {
    ScriptMachine m;
    const u32 worker = m.add_list({sleep_op(2_ms), op(OpKind::exit)});
    const u32 second = m.add_list({sleep_op(1_ms), {.kind = OpKind::join, .pid = kChild}, op(OpKind::exit)});
    const ForkSpec *w = m.fork_spec(worker, kPthreadFlags), *s = m.fork_spec(second, kPthreadFlags);
    const u32 main = m.add_list({fork_op(w), fork_op(s), {.kind = OpKind::join, .pid = kChild}, sleep_op(1_ms)});
    m.start(main);
    m.kernel().advance(500_us);
    CHECK(m.kernel().refs(kChild).clear_child_tid);
    CHECK_FALSE(m.kernel().refs(kChild).set_child_tid);
    CHECK(m.kernel().refs(kChild).tls != m.kernel().refs(kParent).tls);
    m.run();
    const auto by_parent = tid_writes(m, 0), cleared = tid_writes(m, 2);
    REQUIRE(by_parent.size() == 2);
    CHECK(by_parent[0].pid == kParent);
    CHECK(by_parent[0].args[1] == 12);
    CHECK(cleared.size() == 2);
    CHECK(std::ranges::count(cleared, kChild, &TraceEvent::pid) == 1);
    CHECK(tid_writes(m, 1).empty());
    CHECK(m.results[second].at(1) == -kEINVAL);  // somebody else joins already
    CHECK(m.results[main].at(2) == 0);
    CHECK(m.kernel().stuck_tasks().empty());
  }

  TEST_CASE("execve gives a task that shares its descriptor table one of its own, at the price of a copy, a failed one gives it back") {
    for (const bool fails : {false, true}) {
      CAPTURE(fails);
      ScriptMachine m;
      if (fails) m.fail_at(FailPoint::exec_mmap, 1);
      const u32 after = m.add_list({sleep_op(20_ms)});
      const ExecSpec exec{"/bin/new", &m.shape, after};
      const u32 child = m.add_list({{.kind = OpKind::exec, .exec = &exec}, sleep_op(20_ms)});
      m.start(m.add_list({fork_op(m.fork_spec(child, kCLONE_FILES | kSIGCHLD)), sleep_op(30_ms), wait_op()}));
      m.kernel().advance(10_ms);
      CHECK(m.kernel().refs(kParent).files_count == (fails ? 2 : 1));
      CHECK(m.kernel().refs(kChild).files_count == (fails ? 2 : 1));
      m.run();
      CHECK(left_over(m.kernel().alive()) == 0);
    }
  }
}
