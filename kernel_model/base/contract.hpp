// Contracts: asserts for our own bugs, always on.
//
// A broken contract throws ContractBroken (exit code 3 at the edge); it never fires on user input.
#pragma once

#include <stdexcept>

namespace forksim::km {

struct ContractBroken : std::logic_error {
  using std::logic_error::logic_error;
};

#define FS_STR2(x) #x
#define FS_STR(x) FS_STR2(x)
#define FS_CONTRACT(cond, why)                                                                             \
  do {                                                                                                     \
    if (!(cond)) [[unlikely]]                                                                              \
      throw ::forksim::km::ContractBroken(__FILE__ ":" FS_STR(__LINE__) ": " #cond ": " why);              \
  } while (0)

}  // namespace forksim::km
