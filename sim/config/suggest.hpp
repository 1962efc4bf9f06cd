// Near-name hints for messages.
//
// Purpose: "did you mean nice?" for unknown keys, names, units and command-line words. Source: optimal string alignment distance.
// Units: edits. Ownership: values. Errors: none; an empty string means nothing is near. Not here: translation, abbreviations.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forksim {

/// Edits (insert, delete, replace, swap of neighbours) between two words, letter case ignored.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word` within about a third of its length, or else one that begins with it; the first one wins a tie. Empty
/// when none is near.
std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates);

/// `did you mean "x"?`, or empty.
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

/// "a, b, c" for messages, cut after `limit` names.
std::string one_of(const std::vector<std::string_view>& names, std::size_t limit = 16);

}  // namespace forksim
