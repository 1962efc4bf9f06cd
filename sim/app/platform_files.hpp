// Where platform files are.
//
// Purpose: a platform is given by path or by name; names are looked up in platforms/ of the current folder, then beside the program.
// Units: none. Ownership: values. Errors: an empty result when nothing is found.
#pragma once

#include <string>
#include <vector>

namespace forksim {

/// Path of the platform file for a name or a path; empty when there is none.
std::string find_platform(const std::string& name);
/// Where names are looked up, "platforms, /usr/share/forksim/platforms", for messages.
std::string platform_places();
/// Names of all platforms that can be found, sorted.
std::vector<std::string> platform_names();

}  // namespace forksim
