#include "sim/output/perf_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "sim/output/time_text.hpp"

namespace forksim {

namespace {

TaskLatencyRow to_row(const TaskRecord& t, const km::NameTable& names) {
  TaskLatencyRow r;
  r.comm = names[t.comm];
  r.pid = static_cast<km::u64>(t.pid.v);
  r.tasks = 1;
  r.runtime_ns = t.runtime.v;
  r.count = t.delays;
  r.total_delay_ns = t.total_delay.v;
  r.max_delay_ns = t.max_delay.v;
  r.max_delay_start_ns = t.max_delay_start.v;
  r.max_delay_end_ns = t.max_delay_end.v;
  return r;
}

void merge_into(TaskLatencyRow& to, const TaskLatencyRow& from) {
  to.tasks += from.tasks;
  to.runtime_ns += from.runtime_ns;
  to.count += from.count;
  to.total_delay_ns += from.total_delay_ns;
  if (to.max_delay_ns >= from.max_delay_ns) return;
  to.max_delay_ns = from.max_delay_ns;
  to.max_delay_start_ns = from.max_delay_start_ns;
  to.max_delay_end_ns = from.max_delay_end_ns;
}

km::u64 average(const TaskLatencyRow& r) { return r.count ? r.total_delay_ns / r.count : 0; }

std::string seconds(km::u64 ns) { return fmt::format("{}.{:06}", ns / 1'000'000'000, ns % 1'000'000'000 / 1000); }

std::string line(std::size_t dashes) { return fmt::format(" {:-<{}}\n", "", dashes); }

}  // namespace

std::vector<TaskLatencyRow> perf_rows(const std::vector<TaskRecord>& tasks, const km::NameTable& names) {
  // perf walks its tree from the highest pid down and keeps the first of each name.
  std::vector<std::size_t> order(tasks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::string &x = names[tasks[a].comm], &y = names[tasks[b].comm];
    return std::tuple(std::string_view(y), tasks[b].pid.v) < std::tuple(std::string_view(x), tasks[a].pid.v);
  });
  std::vector<TaskLatencyRow> rows;
  for (std::size_t i : order) {
    if (tasks[i].pid.v == 0) continue;
    TaskLatencyRow r = to_row(tasks[i], names);
    if (!rows.empty() && rows.back().comm == r.comm)
      merge_into(rows.back(), r);
    else
      rows.push_back(std::move(r));
  }
  std::erase_if(rows, [](const TaskLatencyRow& r) { return r.count == 0; });
  std::stable_sort(rows.begin(), rows.end(), [](const TaskLatencyRow& a, const TaskLatencyRow& b) {
    return std::tuple(average(b), b.max_delay_ns, b.count, b.runtime_ns) < std::tuple(average(a), a.max_delay_ns, a.count, a.runtime_ns);
  });
  return rows;
}

std::string render_perf_table(const std::vector<TaskLatencyRow>& rows, std::size_t limit) {
  std::string out = line(139);
  out +=
      "  Task                  |   Runtime ms  |  Count   | Avg delay ms    | Max delay ms    | Max delay start           | Max delay end  "
      "        "
      "|\n";
  out += line(139);
  km::u64 runtime = 0, count = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TaskLatencyRow& r = rows[i];
    runtime += r.runtime_ns;
    count += r.count;
    if (i >= limit) continue;
    const std::string who = r.tasks > 1 ? fmt::format("  {}:({}) ", r.comm, r.tasks) : fmt::format("  {}:{} ", r.comm, r.pid);
    out += fmt::format("{:<24}|{:11.3f} ms |{:9} | avg:{:8.3f} ms | max:{:8.3f} ms | max start: {:>12} s | max end: {:>12} s\n", who,
                       in_ms(r.runtime_ns), r.count, in_ms(average(r)), in_ms(r.max_delay_ns), seconds(r.max_delay_start_ns),
                       seconds(r.max_delay_end_ns));
  }
  if (rows.size() > limit) out += fmt::format("  ({} more in tasks.csv)\n", rows.size() - limit);
  out += line(113);
  out += fmt::format("  TOTAL:                |{:11.3f} ms |{:9} |\n", in_ms(runtime), count);
  out += line(51);
  return out;
}

}  // namespace forksim
