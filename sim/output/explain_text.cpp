// The phases of a life as a table, and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/output/explain.hpp"
#include "sim/output/json_lines.hpp"
#include "sim/output/time_text.hpp"

namespace forksim {

using Json = nlohmann::ordered_json;

namespace {

template <class Row>
Json rows_to_json(const std::vector<Row>& rows) {
  Json list = Json::array();
  for (const Row& row : rows) {
    Json j = Json::object();
    visit(row, [&](const ColumnInfo& c, const auto& value) { j[std::string(c.name)] = value; });
    list.push_back(std::move(j));
  }
  return list;
}

void append_life(const TaskLife& life, std::string& out) {
  out += fmt::format("{}\n\n{:>14} {:>14} {:>4} {:<20} {}\n", life.title, "START s", "DURATION ms", "CPU", "PHASE", "WHY");
  for (const PhaseRow& p : life.phases) {
    std::string line = fmt::format("{:>14} {:>14} {:>4} {:<20} {}", exact_s(p.start_ns), exact_ms(p.duration_ns),
                                   p.cpu < 0 ? "-" : std::to_string(p.cpu), p.phase, p.why);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  out += fmt::format("\n{:<20} {:>7} {:>14} {:>7} {:>14}\n", "PHASE", "COUNT", "TOTAL ms", "SHARE", "LONGEST ms");
  km::u64 count = 0, total = 0, longest = 0;
  for (const PhaseSumRow& s : life.sums) {
    out += fmt::format("{:<20} {:>7} {:>14} {:>6.2f}% {:>14}\n", s.phase, s.count, exact_ms(s.total_ns), 100 * s.share, exact_ms(s.max_ns));
    count += s.count;
    total += s.total_ns;
    longest = std::max(longest, s.max_ns);
  }
  out += fmt::format("{:<20} {:>7} {:>14} {:>6.2f}% {:>14}\n", "whole life", count, exact_ms(total), 100.0, exact_ms(longest));
}

}  // namespace

std::string render_explain_text(const std::vector<TaskLife>& lives) {
  std::string out;
  for (std::size_t i = 0; i < lives.size(); ++i) {
    if (i) out += '\n';
    if (lives.size() > 1) out += fmt::format("use {} of {} of this pid: ", i + 1, lives.size());
    append_life(lives[i], out);
  }
  return out;
}

std::string render_explain_json(const std::vector<TaskLife>& lives) {
  Json list = Json::array();
  for (const TaskLife& l : lives)
    list.push_back(
        {{"pid", l.pid}, {"title", l.title}, {"complete", l.complete}, {"phases", rows_to_json(l.phases)}, {"sums", rows_to_json(l.sums)}});
  return json_lines(list);
}

}  // namespace forksim
