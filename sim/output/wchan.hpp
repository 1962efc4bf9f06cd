// Where tasks sleep, by system call or kernel loop.
//
// Purpose: one table for life.csv (kernel function), ps (WCHAN) and explain (a word). Source: wchan.def.
// Units: arm64 system call numbers. Ownership: constants. Errors: an empty text for what the table does not know; nothing is guessed.
#pragma once

#include <string_view>

#include "kernel_model/base/types.hpp"

namespace forksim {

/// Kernel function of a sleeper in system call `nr`.
std::string_view wchan_of_call(km::s32 nr);
/// Kernel function of a kernel task that waits in its own loop, by its name.
std::string_view wchan_of_loop(std::string_view comm);
/// "wait4" for "do_wait".
std::string_view sleep_word(std::string_view wchan);

}  // namespace forksim
