// CSV of any row of columns.def.
//
// Purpose: one writer for all tables. Source: RFC 4180 quoting, '\n' line ends, header line with the column names.
// Units:   as in the column names. Ownership: appends to the caller's text. Errors: none. Doubles: shortest text that reads back the same.
#pragma once

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

}  // namespace forksim
