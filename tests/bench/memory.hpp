// How much memory the program holds, counted in operator new and delete.
//
// Purpose: bytes per simulated task. Units: bytes as malloc rounds them. Ownership: none. Errors: none.
// Not counted: memory that C code of libraries takes itself.
#pragma once

#include <cstddef>

namespace forksim::bench {

std::size_t bytes_in_use();

}  // namespace forksim::bench
