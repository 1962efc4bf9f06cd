#include "sim/output/life_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "sim/output/csv.hpp"
#include "sim/output/out_file.hpp"

namespace forksim {

namespace {

constexpr std::array kNames{
#define LIFE(name, ...) std::string_view(#name),
#include "sim/metrics/life_events.def"
#undef LIFE
};

[[noreturn]] void refuse(const std::string& file, std::size_t line, const std::string& what) {
  throw ReportError(fmt::format("{}:{}: {}; give a result folder written by forksim run", file, line, what));
}

/// One record; a quoted cell may hold line ends.
std::string_view next_record(std::string_view& rest) {
  bool quoted = false;
  std::size_t i = 0;
  for (; i < rest.size() && (quoted || rest[i] != '\n'); ++i)
    if (rest[i] == '"') quoted = !quoted;
  const std::string_view record = rest.substr(0, i);
  rest.remove_prefix(std::min(i + 1, rest.size()));
  return record;
}

bool read_cell(const std::string& cell, std::string& out) {
  out = cell;
  return true;
}
template <class T>
bool read_cell(const std::string& cell, T& out) {
  const char* end = cell.data() + cell.size();
  const auto r = std::from_chars(cell.data(), end, out);
  return r.ec == std::errc() && r.ptr == end;
}

bool read_row(const std::vector<std::string>& cells, LifeRow& row) {
  std::size_t i = 0;
  bool ok = true;
  visit(row, [&](const ColumnInfo&, auto& value) { ok = ok && i < cells.size() && read_cell(cells[i++], value); });
  return ok && i == cells.size();
}

}  // namespace

std::string comm_of_file(const std::string& file) { return file.substr(file.rfind('/') + 1).substr(0, 15); }

Life parse_life(const std::string& csv, const std::string& file) {
  std::string header;
  append_csv_header<LifeRow>(header);
  header.pop_back();
  std::string_view rest(csv);
  if (next_record(rest) != header) refuse(file, 1, "not the header of a life.csv");
  Life life;
  bool ended = false;
  for (std::size_t line = 2; !rest.empty(); ++line) {
    LifeEvent e{};
    if (ended || !read_row(split_csv(next_record(rest)), e.row)) refuse(file, line, "not a row of a life.csv");
    const auto* kind = std::find(kNames.begin(), kNames.end(), e.row.event);
    if (kind == kNames.end()) refuse(file, line, fmt::format("no event is called \"{}\"", e.row.event));
    e.kind = static_cast<LifeKind>(kind - kNames.begin());
    ended = e.kind == LifeKind::end;
    if (!ended) life.events.push_back(std::move(e));
    if (!ended) continue;
    life.complete_until = e.row.time_ns;
    life.cut = static_cast<km::u64>(e.row.value);
  }
  if (!ended) refuse(file, life.events.size() + 2, "the last row is missing: the file is torn");
  return life;
}

Life load_life(const std::filesystem::path& dir) {
  const std::filesystem::path file = dir / "life.csv";
  std::error_code ec;
  if (!std::filesystem::is_regular_file(file, ec))
    throw ReportError(fmt::format("{}: not there; give a result folder written by forksim run", file.string()));
  return parse_life(read_file(file), file.string());
}

}  // namespace forksim
