// Overrides from the command line, applied to a YAML tree before it is checked.
//
// Purpose: --set key=value reaches every value of a workload by its path: seed, parameters.groups, features.NO_START_DEBIT,
//          processes.worker.phases[0].run. Source: contract.md. Ownership: values. Errors: Diagnostics at "command line".
// Not here: what a value means; the reader checks overridden values like all others.
#pragma once

#include <string>

#include "sim/config/yaml_tree.hpp"

namespace forksim {

/// `--set key=value`, or an option of its own (--seed: key "seed"). `option` is how messages call it, such as "--set seed=3".
struct Override {
  std::string key, value;
  std::string option;
};

/// Splits "key=value"; "features.NO_X" alone means =true. A text without "=" gives an empty key.
Override parse_set(const std::string& text);

/// Puts the value where the key points; list elements by [index] or by their name. Maps on the way are made.
void apply_override(YamlDocument& doc, const Override& o, Diagnostics& diags);

/// `placement: NAME` is short for `placement: {fork: NAME}`: the long form of a scalar.
YamlNode placement_map(const YamlNode& name);

}  // namespace forksim
