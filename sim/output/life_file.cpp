#include "sim/output/life_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

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

}  // namespace

std::string comm_of_file(const std::string& file) { return file.substr(file.rfind('/') + 1).substr(0, 15); }

Life parse_life(const std::string& csv, const std::string& file) {
  std::string header;
  append_csv_header<LifeRow>(header);
  header.pop_back();
  std::string_view rest(csv);
  if (next_csv_record(rest) != header) refuse(file, 1, "not the header of a life.csv");
  Life life;
  bool ended = false;
  for (std::size_t line = 2; !rest.empty(); ++line) {
    LifeEvent e{};
    if (ended || !read_csv_row(split_csv(next_csv_record(rest)), e.row)) refuse(file, line, "not a row of a life.csv");
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
