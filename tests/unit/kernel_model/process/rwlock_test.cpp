// Reader-writer locks: glibc's states by hand, no lost wake-up and no two masters over random histories, time on a machine.
#include "kernel_model/process/rwlock.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <random>

#include "tests/unit/kernel_model/process/script_machine.hpp"

using namespace forksim::km;
using namespace forksim::km::test;
using namespace forksim::km::literals;
using Kind = RwStep::Kind;

namespace {

/// One lock and callers that wait on its queues as the kernel's futexes would.
struct Rw {
  struct Caller {
    Task task;
    RwRole role = RwRole::fresh;
    enum class State : u8 { idle, reading, writing, wants_read, wants_write } state = State::idle;
    bool queued = false;
  };
  Lock l;
  std::deque<Caller> callers;

  explicit Rw(u32 n) : callers(n) { l.kind = ObjectKind::rwlock; }

  RwStep ask(u32 i, bool write) {
    Caller& c = callers[i];
    const RwStep s = write ? rwlock_wrlock(l, i + 1, c.role) : rwlock_rdlock(l, i + 1, c.role);
    c.state = write ? Caller::State::wants_write : Caller::State::wants_read;
    if (s.kind == Kind::done) {
      c.state = write ? Caller::State::writing : Caller::State::reading;
      c.role = RwRole::fresh;
    }
    if (s.kind == Kind::refused) c.state = Caller::State::idle;
    c.queued = s.kind == Kind::wait_phase || s.kind == Kind::wait_writers;
    if (c.queued) (s.kind == Kind::wait_phase ? l.wait : l.writers).push_back(&c.task);
    wake(s);
    return s;
  }
  RwStep release(u32 i) {
    const RwStep s = rwlock_unlock(l, i + 1);
    if (s.kind == Kind::done) callers[i].state = Caller::State::idle;
    wake(s);
    return s;
  }
  void wake(const RwStep& s) {
    while (s.wake_phase && !l.wait.empty()) pop(l.wait);
    if (s.wake_writer && !l.writers.empty()) pop(l.writers);
  }
  void pop(WaitQueue& q) {
    Task* t = q.front();
    q.remove(t);
    for (Caller& c : callers)
      if (&c.task == t) c.queued = false;
  }
  u32 in(Caller::State s) const {
    u32 n = 0;
    for (const Caller& c : callers) n += c.state == s;
    return n;
  }
  /// Whether caller `i`, asleep in a queue, would get further if it looked again: then somebody forgot to wake it. Of further writers one
  /// that has been woken, or has just come, is enough.
  bool overslept(u32 i) const {
    for (const Caller& c : callers)
      if (c.state == Caller::State::wants_write && c.role == RwRole::fresh && !c.queued && callers[i].role == RwRole::fresh) return false;
    Lock copy;
    copy.readers = l.readers;
    copy.write_phase = l.write_phase;
    copy.write_locked = l.write_locked;
    copy.owner = l.owner;
    RwRole role = callers[i].role;
    const bool write = callers[i].state == Caller::State::wants_write;
    const RwStep s = write ? rwlock_wrlock(copy, i + 1, role) : rwlock_rdlock(copy, i + 1, role);
    return s.kind != Kind::wait_phase && s.kind != Kind::wait_writers;
  }
};

Op lock_op(OpKind kind, u32 object) { return {.kind = kind, .object = object}; }

}  // namespace

TEST_SUITE("kernel_model/process") {
  TEST_CASE("rwlock: readers share, go before a waiting writer, and the last one hands over to it") {
    Rw rw(5);
    CHECK(rw.ask(0, false).kind == Kind::done);
    CHECK(rw.ask(1, false).kind == Kind::done);
    CHECK(rw.ask(2, true).kind == Kind::wait_phase);    // the next writer
    CHECK(rw.ask(3, true).kind == Kind::wait_writers);  // not the next
    CHECK(rw.ask(4, false).kind == Kind::done);         // readers are preferred
    CHECK_FALSE(rw.release(0).wake_phase);
    CHECK_FALSE(rw.release(1).wake_phase);
    CHECK(rw.release(4).wake_phase);
    CHECK(rw.ask(0, false).kind == Kind::wait_phase);  // the phase is the writer's, though it has not run yet
    CHECK(rw.ask(2, true).kind == Kind::done);
    const RwStep gone = rw.release(2);  // readers first, and the further writer may become the next
    CHECK(gone.wake_phase);
    CHECK(gone.wake_writer);
    CHECK(rw.ask(0, false).kind == Kind::done);
    CHECK(rw.ask(3, true).kind == Kind::wait_phase);
    CHECK(rw.release(0).wake_phase);
    CHECK(rw.ask(3, true).kind == Kind::done);
    CHECK_FALSE(rw.release(3).wake_phase);
    CHECK(rw.ask(1, false).kind == Kind::done);  // opens the read phase that the writer left closed
  }

  TEST_CASE("rwlock: a writer that asks again gets EDEADLK, an unlock of what nobody holds EPERM") {
    Rw rw(2);
    CHECK(rw.release(0).err == kEPERM);
    CHECK(rw.ask(0, true).kind == Kind::done);
    CHECK(rw.ask(0, true).err == kEDEADLK);
    CHECK(rw.ask(0, false).err == kEDEADLK);
    CHECK(rw.l.readers == 0);
    CHECK(rw.release(1).err == kEPERM);
    CHECK(rw.release(0).kind == Kind::done);
  }

  TEST_CASE("rwlock: over random histories a writer is alone, and whoever could go on has been woken") {
    using State = Rw::Caller::State;
    for (u32 seed = 1; seed <= 300; ++seed) {
      CAPTURE(seed);
      std::mt19937 rng(seed);
      Rw rw(2 + seed % 7);
      for (int round = 0; round < 400; ++round) {
        const u32 i = static_cast<u32>(rng() % rw.callers.size());
        Rw::Caller& c = rw.callers[i];
        if (c.queued) continue;
        if (c.state == State::idle)
          rw.ask(i, rng() % 3 == 0);
        else if (c.state == State::reading || c.state == State::writing)
          rw.release(i);
        else
          rw.ask(i, c.state == State::wants_write);
        const u32 writing = rw.in(State::writing), reading = rw.in(State::reading);
        REQUIRE(writing <= 1);
        REQUIRE((writing == 0 || reading == 0));
        for (u32 w = 0; w < rw.callers.size(); ++w) REQUIRE_FALSE((rw.callers[w].queued && rw.overslept(w)));
      }
    }
  }

  TEST_CASE("rwlock on a machine: three readers of 5 ms overlap, the writer comes after the last, 1 ms more each") {
    ScriptMachine m;
    const u32 rw = m.kernel().create_object(ObjectKind::rwlock, 0);
    const Op rd = lock_op(OpKind::rw_rdlock, rw), wr = lock_op(OpKind::rw_wrlock, rw), un = lock_op(OpKind::rw_unlock, rw);
    const u32 reader = m.add_list({rd, sleep_op(5_ms), un, {.kind = OpKind::exit}});
    const u32 writer = m.add_list({sleep_op(1_ms), wr, {.kind = OpKind::mark, .name = "got"}, sleep_op(1_ms), un, {.kind = OpKind::exit}});
    const ForkSpec *r = m.fork_spec(reader, kPthreadFlags), *w = m.fork_spec(writer, kPthreadFlags);
    m.start(m.add_list({fork_op(r), fork_op(r), fork_op(r), fork_op(w), fork_op(w), {.kind = OpKind::exit}}));
    m.run();
    const auto got = m.of(Tp::print);
    REQUIRE(got.size() == 2);
    // sleeps end up to 50 us late (timer slack); paths of 1 us a step take well below 200 us together
    CHECK(got[0].ts > 5_ms);
    CHECK(got[0].ts < 5_ms + 400_us);
    CHECK(got[1].ts > got[0].ts + 1_ms);
    CHECK(got[1].ts < got[0].ts + 1_ms + 300_us);
    for (s64 result : m.results[reader]) CHECK(result >= 0);
    CHECK(m.kernel().stuck_tasks().empty());
    CHECK(m.kernel().alive().task_structs == 0);
  }
}
