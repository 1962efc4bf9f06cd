#include "kernel_model/process/rwlock.hpp"

namespace forksim::km {

namespace {
bool held_for_writing_by(const Lock& l, u32 self) { return l.write_phase && l.write_locked && l.owner == self; }
RwStep refused(s64 err) { return {.kind = RwStep::Kind::refused, .err = err}; }
}  // namespace

RwStep rwlock_rdlock(Lock& l, u32 self, RwRole& role) {
  if (role == RwRole::fresh) {
    if (held_for_writing_by(l, self)) return refused(kEDEADLK);
    ++l.readers;
    role = RwRole::reader;
  }
  if (!l.write_phase) return {};
  if (l.write_locked) return {.kind = RwStep::Kind::wait_phase};
  l.write_phase = false;  // a writer left without readers behind it: the first reader opens a read phase for all
  return {.wake_phase = !l.wait.empty()};
}

RwStep rwlock_wrlock(Lock& l, u32 self, RwRole& role) {
  if (role == RwRole::fresh) {
    if (held_for_writing_by(l, self)) return refused(kEDEADLK);
    if (l.write_locked) return {.kind = RwStep::Kind::wait_writers};
    l.write_locked = true;
    role = RwRole::primary_writer;
  }
  if (!l.write_phase && l.readers) return {.kind = RwStep::Kind::wait_phase};
  l.write_phase = true;
  l.owner = self;
  return {};
}

RwStep rwlock_unlock(Lock& l, u32 self) {
  if (held_for_writing_by(l, self)) {
    l.owner = 0;
    l.write_locked = false;
    if (l.readers) l.write_phase = false;
    return {.wake_phase = l.readers && !l.wait.empty(), .wake_writer = !l.writers.empty()};
  }
  if (l.write_phase || !l.readers) return refused(kEPERM);
  if (--l.readers || !l.write_locked) return {};
  l.write_phase = true;  // the last reader hands over to the primary writer
  return {.wake_phase = !l.wait.empty()};
}

}  // namespace forksim::km
