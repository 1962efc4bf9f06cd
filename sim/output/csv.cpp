#include "sim/output/csv.hpp"

#include <fmt/format.h>

#include <iterator>

namespace forksim {

void append_csv(std::string_view text, std::string& out) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_csv(double value, std::string& out) { fmt::format_to(std::back_inserter(out), "{}", value); }
void append_csv(km::u64 value, std::string& out) { fmt::format_to(std::back_inserter(out), "{}", value); }
void append_csv(km::s64 value, std::string& out) { fmt::format_to(std::back_inserter(out), "{}", value); }

}  // namespace forksim
