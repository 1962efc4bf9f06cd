#include "sim/app/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace forksim {

Progress::Progress(const km::Kernel& kernel, km::Ns until, bool wanted) : kernel_(kernel), until_(until), on_(wanted && isatty(STDERR_FILENO)) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::update(km::Ns now) {
  if (!on_) return;
  const auto t = Clock::now();
  const double since_last = std::chrono::duration<double>(t - last_).count();
  if (since_last < 0.1) return;
  const double elapsed = std::chrono::duration<double>(t - start_).count();
  const km::u64 events = kernel_.totals().sched_events;
  const double rate = static_cast<double>(events - last_events_) / since_last;
  std::string estimate = "end not known";
  if (until_ != km::kNever && now.v) {
    const double left = elapsed * (static_cast<double>(until_.v) / static_cast<double>(now.v) - 1);
    estimate = fmt::format("{:.0f} s left", left);
  }
  fmt::print(stderr, "\r\033[K{:.3f} s simulated, {:.2f} M events/s, {}", static_cast<double>(now.v) / 1e9, rate / 1e6, estimate);
  std::fflush(stderr);
  shown_ = true;
  last_ = t;
  last_events_ = events;
}

}  // namespace forksim
