#include "sim/workload/faults.hpp"

#include "sim/config/streams.hpp"

namespace forksim {

bool Faults::fail(km::FailPoint p, u64 pass) {
  for (const FailureDecl& f : failures_) {
    if (f.point != p) continue;
    if (f.when == FailureDecl::When::nth) return pass == f.n;
    if (f.when == FailureDecl::When::every) return pass % f.n == 0;
    u64 s = derive_key(derive_key(derive_key(seed_, hash_name("fail")), static_cast<u64>(p)), pass);
    constexpr double kOne = 9007199254740992.0;  // 2^53
    return static_cast<double>(next_u64(s) >> 11) < f.chance * kOne;
  }
  return false;
}

}  // namespace forksim
