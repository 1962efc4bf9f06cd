// Row types of every table of columns.def, and a visitor over their columns.
//
// Purpose: text, CSV and JSON are written from the same declaration, so none can lag. Source: columns.def.
// Use:     visit(row, [](const ColumnInfo& c, auto& value) { ... }) calls once per column, in order; value is u64, s64, double or string.
// Units:   ColumnInfo::unit. Ownership: rows are values. Errors: none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim {

struct ColumnInfo {
  std::string_view type, name, unit, doc;
};
struct TableInfo {
  std::string_view name, doc;
  std::vector<ColumnInfo> columns;
};

namespace column_type {
using u64 = km::u64;
using s64 = km::s64;
using f64 = double;
using text = std::string;
}  // namespace column_type

#define TABLE(Row, name, doc) struct Row {
#define COLUMN(type, name, unit, doc) column_type::type name{};
#define TABLE_END(Row) \
  }                    \
  ;
#include "sim/output/columns.def"
#undef TABLE
#undef TABLE_END

#define TABLE(Row, name, doc) \
  template <class F>          \
  void visit(const Row& row, F&& f) {
#define TABLE_END(Row) }
#undef COLUMN
#define COLUMN(type, name, unit, doc) f(ColumnInfo{#type, #name, unit, doc}, row.name);
#include "sim/output/columns.def"
#undef TABLE

#define TABLE(Row, name, doc) \
  template <class F>          \
  void visit(Row& row, F&& f) {
#include "sim/output/columns.def"
#undef TABLE
#undef TABLE_END
#undef COLUMN

/// All tables with their columns, for `forksim list` and the manual.
std::vector<TableInfo> output_tables();

}  // namespace forksim
