#include "sim/app/build_info.hpp"

#include <fmt/core.h>
#include <xbt/base.h>

#include <simgrid/version.h>

#include <boost/version.hpp>
#include <nlohmann/json.hpp>

namespace forksim {

std::string build_version() { return FORKSIM_VERSION; }
std::string build_git() { return FORKSIM_GIT; }

std::vector<std::pair<std::string, std::string>> build_versions() {
  return {{"forksim", FORKSIM_VERSION},
          {"compiler", FORKSIM_COMPILER},
          {"simgrid", fmt::format("{}.{}.{}", SIMGRID_VERSION_MAJOR, SIMGRID_VERSION_MINOR, SIMGRID_VERSION_PATCH)},
          {"boost", BOOST_LIB_VERSION},
          {"yaml-cpp", FORKSIM_YAML_CPP_VERSION},
          {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
          {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)}};
}

}  // namespace forksim
