#include "tests/bench/child.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <stdexcept>

namespace forksim::bench {

Numbers in_child(const std::function<Numbers()>& work) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("no pipe");
  const pid_t pid = fork();
  if (pid < 0) throw std::runtime_error("no child process");
  if (pid == 0) {
    int code = 1;
    try {
      const Numbers n = work();
      code = write(ends[1], n.data(), sizeof n) == static_cast<ssize_t>(sizeof n) ? 0 : 1;
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    _exit(code);  // no destructors of SimGrid: the parent still has its own
  }
  close(ends[1]);
  Numbers n{};
  const bool whole = read(ends[0], n.data(), sizeof n) == static_cast<ssize_t>(sizeof n);
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  if (!whole || !WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("the simulation in the child failed");
  return n;
}

}  // namespace forksim::bench
