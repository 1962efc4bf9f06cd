#include "tests/oracle/oracle.hpp"
namespace forksim::oracle {
std::span<const CaseKind> scenario_cases() { return {}; }
}  // namespace forksim::oracle
