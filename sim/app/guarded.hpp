// Exceptions turned into exit codes.
//
// Purpose: what the contract says about exit codes of commands that simulate, compare or look at results, once. Refused input and output:
//          2; a broken contract of ours: 3; anything else: 4 ("could not be completed"). Source: contract of the command line, exit codes.
// Units:   none. Ownership: none. Errors: none leave; each is told on stderr. Not here: the codes of results (0, 1, 130).
#pragma once

#include <functional>
#include <string_view>

namespace forksim {

/// Runs `body` and returns its exit code; `what` is named when it could not be completed, such as "the run".
int guarded(std::string_view what, const std::function<int()>& body);

}  // namespace forksim
