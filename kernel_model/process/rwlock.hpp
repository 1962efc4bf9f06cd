// pthread_rwlock: who gets it, who waits on which futex, whom an unlock wakes.
//
// Purpose: the state machine behind read_lock, write_lock and unlock; process/user.cpp puts time, futex calls and retries around it.
// Source:  glibc 2.36 nptl/pthread_rwlock_common.c for PTHREAD_RWLOCK_PREFER_READER_NP, the default. The lock is in a read or a write
// phase;
//          readers register at once and wait for a read phase, one primary writer waits for a write phase, further writers for their turn.
// Units:   none. Ownership: state in struct Lock. Errors: EDEADLK for who holds it for writing and wants it again, EPERM for an unlock of
//          what nobody holds (glibc leaves that undefined).
// Not modelled: spurious wake-ups by a stale FUTEX_USED mark (the queue itself says whether somebody waits); the preference of writers.
#pragma once

#include "kernel_model/process/objects.hpp"

namespace forksim::km {

/// How far one caller has come; kept with its operation while it waits.
enum class RwRole : u8 { fresh, reader, primary_writer };

struct RwStep {
  enum class Kind : u8 {
    done,
    wait_phase,    ///< on Lock::wait, for as long as the phase is what it is now
    wait_writers,  ///< on Lock::writers, for as long as there is a primary writer
    refused        ///< with `err`
  } kind = Kind::done;
  s64 err = 0;
  bool wake_phase = false;   ///< all that wait for a phase
  bool wake_writer = false;  ///< one further writer
};

RwStep rwlock_rdlock(Lock& l, u32 self, RwRole& role);
RwStep rwlock_wrlock(Lock& l, u32 self, RwRole& role);
RwStep rwlock_unlock(Lock& l, u32 self);

}  // namespace forksim::km
