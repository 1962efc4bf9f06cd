// Runs a function in a forked child and brings its text back.
//
// Purpose: SimGrid allows one simulation per process; tests compare several. Units: none. Ownership: values.
// Errors: a child that dies or throws comes back as "child failed: ..." so that the comparison fails and shows why.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>

namespace forksim::test {

template <class F>
std::string in_child(F&& f) {
  int fd[2];
  if (::pipe(fd) != 0) return "child failed: no pipe";
  std::fflush(nullptr);  // or the child prints our buffer again
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(fd[0]);
    std::string text;
    try {
      text = f();
    } catch (const std::exception& e) {
      text = std::string("child failed: ") + e.what();
    }
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ::write(fd[1], text.data() + at, text.size() - at);
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    ::_exit(0);
  }
  ::close(fd[1]);
  std::string text;
  char buf[4096];
  for (ssize_t n; (n = ::read(fd[0], buf, sizeof buf)) > 0;) text.append(buf, static_cast<std::size_t>(n));
  ::close(fd[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return "child failed: signal " + std::to_string(WTERMSIG(status)) + " " + text;
  return text;
}

}  // namespace forksim::test
