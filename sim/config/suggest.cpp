#include "sim/config/suggest.hpp"

#include <algorithm>
#include <cctype>

namespace forksim {

namespace {
char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), prev(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) prev[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({prev[j] + 1, row[j - 1] + 1, prev[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(prev);
    prev.swap(row);
  }
  return prev[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.size() > 64) return {};
  const std::size_t limit = std::max<std::size_t>(1, (word.size() + 1) / 3);
  std::size_t best = limit + 1;
  std::string_view found;
  for (std::string_view c : candidates) {
    const std::size_t d = edit_distance(word, c);
    if (d < best) {
      best = d;
      found = c;
    }
  }
  if (!found.empty() || word.size() < 3) return std::string(found);
  for (std::string_view c : candidates)  // a beginning or an end is as good as a slip: child_runs_first
    if (c.starts_with(word) || c.ends_with('_' + std::string(word))) return std::string(c);
  return {};
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  const std::string n = nearest(word, candidates);
  return n.empty() ? n : "did you mean \"" + n + "\"?";
}

std::string one_of(const std::vector<std::string_view>& names, std::size_t limit) {
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < limit; ++i) out += (i ? ", " : "") + std::string(names[i]);
  if (names.size() > limit) out += ", ... (" + std::to_string(names.size()) + " in all)";
  return out;
}

}  // namespace forksim
