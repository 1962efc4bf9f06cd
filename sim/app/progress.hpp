// The progress line.
//
// Purpose: simulated time, scheduling events per second and an estimate, on stderr and only when it is a terminal.
// Units: wall seconds. Ownership: erases its line when it goes. Errors: none. The estimate needs an end date (until); without one it says so.
#pragma once

#include <chrono>

#include "kernel_model/kernel.hpp"

namespace forksim {

class Progress {
 public:
  /// `until`: end date or kNever. `wanted` false (--quiet): prints nothing.
  Progress(const km::Kernel& kernel, km::Ns until, bool wanted);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// At most one line every 100 ms.
  void update(km::Ns now);

 private:
  using Clock = std::chrono::steady_clock;
  const km::Kernel& kernel_;
  km::Ns until_;
  bool on_;
  bool shown_ = false;
  Clock::time_point start_ = Clock::now(), last_ = start_;
  km::u64 last_events_ = 0;
};

}  // namespace forksim
