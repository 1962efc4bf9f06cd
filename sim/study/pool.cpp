#include "sim/study/pool.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>

namespace forksim {

namespace {

constexpr int kTickMs = 200;
constexpr unsigned kLookUs = 5000;

struct Child {
  std::size_t job;
  pid_t pid;
  int fd;
  std::string sent;
};

void send_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;  // the pool is gone
    done += static_cast<std::size_t>(n);
  }
}

pid_t fork_here() {
  std::fflush(stdout);
  std::fflush(stderr);
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "no process can be made");
  return pid;
}

/// A process whose parent has died before prctl sees another parent.
void die_with(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
}

Child start(std::size_t job, const PoolCalls& calls) {
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "no pipe can be made");
  const pid_t parent = getpid();
  const pid_t pid = fork_here();
  if (pid == 0) {
    die_with(parent);
    close(ends[0]);
    std::signal(SIGINT, SIG_IGN);
    send_all(ends[1], calls.run(job));
    std::fflush(stderr);
    _exit(0);
  }
  close(ends[1]);
  return {job, pid, ends[0], {}};
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

/// True at the end of what the child sends.
bool read_some(Child& c) {
  char buffer[1 << 16];
  const ssize_t n = read(c.fd, buffer, sizeof buffer);
  if (n > 0) c.sent.append(buffer, static_cast<std::size_t>(n));
  return n == 0 || (n < 0 && errno != EINTR);
}

}  // namespace

void run_pool(const std::vector<std::size_t>& jobs, unsigned width, const PoolCalls& calls, const std::atomic<bool>& stop) {
  std::vector<Child> running;
  std::size_t next = 0;
  while (true) {
    while (next < jobs.size() && running.size() < width && !stop) running.push_back(start(jobs[next++], calls));
    if (running.empty()) return;
    std::vector<pollfd> fds;
    for (const Child& c : running) fds.push_back({c.fd, POLLIN, 0});
    const int ready = poll(fds.data(), fds.size(), kTickMs);
    if (calls.tick) calls.tick();
    if (ready <= 0) continue;
    for (std::size_t i = fds.size(); i-- > 0;) {
      if (fds[i].revents == 0 || !read_some(running[i])) continue;
      const Child c = std::move(running[i]);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      close(c.fd);
      calls.finished(c.job, c.sent, wait_for(c.pid));
    }
  }
}

int in_child(const std::function<int()>& body, const std::atomic<bool>& stop) {
  const pid_t parent = getpid();
  const pid_t pid = fork_here();
  if (pid == 0) {
    die_with(parent);
    const int code = body();
    std::fflush(stderr);
    _exit(code);
  }
  int status = 0;
  bool told = false;
  // A handler set by std::signal restarts waitpid, so the flag is looked at between.
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (stop && !told) told = kill(pid, SIGINT) == 0;
    usleep(kLookUs);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace forksim
