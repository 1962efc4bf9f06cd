#include "sim/placement/brancher.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace forksim {

namespace {

/// Ends this process without a trace: no destructor runs and nothing buffered is written.
template <class T>
[[noreturn]] void tell_and_exit(int fd, const T& what) {
  static_assert(sizeof(T) <= 512, "below PIPE_BUF: a pipe takes it whole or not at all");
  _exit(write(fd, &what, sizeof what) == static_cast<ssize_t>(sizeof what) ? 0 : 1);
}

/// What the other end told before it closed its pipe.
template <class T>
bool hear(int fd, T& what) {
  ssize_t n;
  do n = read(fd, &what, sizeof what);
  while (n < 0 && errno == EINTR);
  return n == static_cast<ssize_t>(sizeof what);
}

struct Pipe {
  int read = -1, write = -1;
};
Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw BranchError(std::string("no pipe for a branch: ") + std::strerror(errno));
  return {ends[0], ends[1]};
}
pid_t make_process() {
  const pid_t pid = fork();
  if (pid < 0) throw BranchError(std::string("no process for a branch: ") + std::strerror(errno));
  return pid;
}
void bury(pid_t pid) {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

class BranchWatch final : public ChildWatch {
 public:
  BranchWatch(km::Ns horizon, int fd) : ChildWatch(horizon), fd_(fd) {}
  void fail() { failed_ = true; }

 private:
  void closed(const ChildWait& w) override {
    ChildWait told = w;
    told.failed = failed_;
    tell_and_exit(fd_, told);
  }
  int fd_;
  bool failed_ = false;
};

Brancher::Brancher(km::Trace& trace, km::Ns horizon, unsigned jobs, bool& in_branch)
    : trace_(trace), horizon_(horizon), jobs_(std::max(jobs, 1u)), in_branch_(in_branch) {}

Brancher::~Brancher() {
  for (const Running& r : running_) {
    kill(r.pid, SIGKILL);
    close(r.fd);
    bury(r.pid);
  }
}

bool Brancher::branch(km::u64 fork, km::Pid child, km::CpuId forced) {
  while (running_.size() >= jobs_) wait_for_one();
  const Pipe p = make_pipe();
  const pid_t pid = make_process();
  if (pid == 0) {
    running_.clear();  // its siblings are not its own
    in_branch_ = true;
    watch_ = std::make_unique<BranchWatch>(horizon_, p.write);
    watch_->watch(child, fork, forced);
    trace_.only(*watch_, ChildWatch::events());
    return true;
  }
  close(p.write);
  ChildWait pending;
  pending.fork = fork;
  pending.forced = forced.v;
  pending.failed = 1;
  running_.push_back({pid, p.read, results_.size()});
  results_.push_back(pending);
  ++started_;
  return false;
}

void Brancher::wait_for_one() {
  std::vector<pollfd> fds;
  for (const Running& r : running_) fds.push_back({r.fd, POLLIN, 0});
  while (poll(fds.data(), fds.size(), -1) < 0 && errno == EINTR) {
  }
  for (std::size_t i = fds.size(); i-- > 0;) {
    if (!fds[i].revents) continue;
    const Running r = running_[i];
    ChildWait w;
    if (hear(r.fd, w)) results_[r.slot] = w;
    close(r.fd);
    bury(r.pid);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

std::vector<ChildWait> Brancher::collect() {
  while (!running_.empty()) wait_for_one();
  return std::exchange(results_, {});
}

void Brancher::end_branch(km::Ns now, bool failed) {
  if (failed) watch_->fail();
  watch_->finish(now);
  _exit(1);  // not reached unless the measurement is gone already
}

km::u64 count_in_a_copy(const std::function<km::u64()>& count) {
  const Pipe p = make_pipe();
  const pid_t pid = make_process();
  if (pid == 0) {
    try {
      tell_and_exit(p.write, count());
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
      _exit(1);
    }
  }
  close(p.write);
  km::u64 n = 0;
  const bool told = hear(p.read, n);
  close(p.read);
  bury(pid);
  if (!told) throw BranchError("the run that was to count the forks beforehand did not end well");
  return n;
}

}  // namespace forksim
