// A placement rule that lives in a shared library of the user's.
//
// Purpose: loads the library, checks the version of its interface, and asks it. Source: sim/placement/plugin.hpp.
// Units:   as there. Ownership: closes the library when it goes. Errors: load_plugin_rule explains what is wrong with the file in
// `problem`;
//          PluginError for what the rule throws during a run (exit code 4).
// Not modelled: the time the rule takes.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "kernel_model/sched/placement_rule.hpp"

namespace forksim {

struct PluginError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Null with `problem` set when the file is no plug-in of this version.
std::unique_ptr<km::PlacementRule> load_plugin_rule(const std::string& file, km::u32 cpus, km::u64 seed, std::string& problem);

}  // namespace forksim
