// CSV of any row of columns.def, written and read back.
//
// Purpose: one writer for all tables. Source: RFC 4180 quoting, '\n' line ends, header line with the column names.
// Units:   as in the column names. Ownership: appends to the caller's text. Errors: none. Doubles: shortest text that reads back the same.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "sim/output/rows.hpp"

namespace forksim {

void append_csv(std::string_view text, std::string& out);
void append_csv(double value, std::string& out);
void append_csv(km::u64 value, std::string& out);
void append_csv(km::s64 value, std::string& out);

template <class Row>
void append_csv_header(std::string& out) {
  bool first = true;
  visit(Row{}, [&](const ColumnInfo& c, const auto&) {
    if (!first) out += ',';
    first = false;
    out += c.name;
  });
  out += '\n';
}

template <class Row>
void append_csv_row(const Row& row, std::string& out) {
  bool first = true;
  visit(row, [&](const ColumnInfo&, const auto& value) {
    if (!first) out += ',';
    first = false;
    append_csv(value, out);
  });
  out += '\n';
}

/// The cells of one line without its newline; undoes the quoting of append_csv.
std::vector<std::string> split_csv(std::string_view line);
/// Takes one record off `rest`; a quoted cell may hold line ends.
std::string_view next_csv_record(std::string_view& rest);

bool read_csv_cell(const std::string& cell, std::string& out);
template <class T>
bool read_csv_cell(const std::string& cell, T& out) {
  const char* end = cell.data() + cell.size();
  const auto r = std::from_chars(cell.data(), end, out);
  return r.ec == std::errc() && r.ptr == end;
}
/// False when the cells are not those of a Row.
template <class Row>
bool read_csv_row(const std::vector<std::string>& cells, Row& row) {
  std::size_t i = 0;
  bool ok = true;
  visit(row, [&](const ColumnInfo&, auto& value) { ok = ok && i < cells.size() && read_csv_cell(cells[i++], value); });
  return ok && i == cells.size();
}

}  // namespace forksim
