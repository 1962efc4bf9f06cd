#include "sim/output/rows.hpp"

namespace forksim {

std::vector<TableInfo> output_tables() {
  std::vector<TableInfo> out;
#define TABLE(Row, name, doc) out.push_back({#name, doc, {}});
#define COLUMN(type, name, unit, doc) out.back().columns.push_back({#type, #name, unit, doc});
#define TABLE_END(Row)
#include "sim/output/columns.def"
#undef TABLE
#undef COLUMN
#undef TABLE_END
  return out;
}

}  // namespace forksim
