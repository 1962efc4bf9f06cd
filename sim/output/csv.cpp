#include "sim/output/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace forksim {

namespace {
void append_integer(const fmt::format_int& value, std::string& out) { out.append(value.data(), value.size()); }
}  // namespace

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
// Most cells are integers; without a format string they take a third of the time.
void append_csv(km::u64 value, std::string& out) { append_integer(fmt::format_int(value), out); }
void append_csv(km::s64 value, std::string& out) { append_integer(fmt::format_int(value), out); }

std::vector<std::string> split_csv(std::string_view line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      cells.back() += line[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else
      cells.back() += c;
  }
  return cells;
}

std::string_view next_csv_record(std::string_view& rest) {
  bool quoted = false;
  std::size_t i = 0;
  for (; i < rest.size() && (quoted || rest[i] != '\n'); ++i)
    if (rest[i] == '"') quoted = !quoted;
  const std::string_view record = rest.substr(0, i);
  rest.remove_prefix(std::min(i + 1, rest.size()));
  return record;
}

bool read_csv_cell(const std::string& cell, std::string& out) {
  out = cell;
  return true;
}

}  // namespace forksim
