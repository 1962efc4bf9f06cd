#include "sim/config/diagnostics.hpp"

#include <algorithm>
#include <tuple>

namespace forksim {

namespace {

void append_part(std::string& out, const std::string& part) {
  if (part.empty()) return;
  out += ", ";
  out += part;
}

/// The source line with a caret under the column; tabs are kept so that the caret lands under the character.
std::string caret(const Diagnostic& d) {
  if (d.source_line.empty() || d.col < 1) return {};
  std::string pad;
  for (std::size_t i = 0; i + 1 < static_cast<std::size_t>(d.col) && i < d.source_line.size(); ++i) {
    const auto c = static_cast<unsigned char>(d.source_line[i]);
    if ((c & 0xc0) == 0x80) continue;  // the tail of a UTF-8 character takes no column
    pad += c == '\t' ? '\t' : ' ';
  }
  return "    " + d.source_line + "\n    " + pad + "^\n";
}

}  // namespace

std::string Diagnostics::text() const {
  std::vector<const Diagnostic*> sorted;
  for (const Diagnostic& d : list_) sorted.push_back(&d);
  std::ranges::stable_sort(sorted, {}, [](const Diagnostic* d) { return std::tie(d->file, d->line, d->col); });
  std::string out;
  for (const Diagnostic* d : sorted) {
    out += d->file.empty() ? "command line" : d->file;
    if (d->line > 0) out += ":" + std::to_string(d->line) + ":" + std::to_string(d->col);
    out += ": ";
    if (!d->path.empty()) out += d->path + ": ";
    out += d->what;
    append_part(out, d->allowed);
    append_part(out, d->hint);
    out += '\n';
    out += caret(*d);
  }
  return out;
}

}  // namespace forksim
