// Interruption by the user.
//
// Purpose: SIGINT sets a flag that the engine looks at once per window, so that what was simulated is kept. Source: contract.md, exit code 130.
// Units: none. Ownership: the one object of the process that a signal handler can reach. Errors: none.
// Not here: SIGTERM, which ends the process as usual.
#pragma once

#include <atomic>

namespace forksim {

std::atomic<bool>& stop_flag();
/// Routes SIGINT to the flag. To be called again after a SimEngine was made: SimGrid installs a handler of its own.
void install_stop_handler();

}  // namespace forksim
