#include "sim/app/stop_flag.hpp"

#include <csignal>

namespace forksim {

std::atomic<bool>& stop_flag() {
  static std::atomic<bool> flag{false};
  return flag;
}

void install_stop_handler() {
  std::signal(SIGINT, [](int) { stop_flag() = true; });
}

}  // namespace forksim
