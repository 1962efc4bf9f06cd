// Runs a function in a child process and brings its numbers back.
//
// Purpose: SimGrid allows one simulation per process, so every iteration of a benchmark needs a fresh one.
// Units: the caller's. Ownership: values. Errors: std::runtime_error when the child does not deliver. Not modelled: large results.
#pragma once

#include <array>
#include <functional>

namespace forksim::bench {

using Numbers = std::array<double, 8>;

/// The result of `work`, executed in a forked child.
Numbers in_child(const std::function<Numbers()>& work);

}  // namespace forksim::bench
