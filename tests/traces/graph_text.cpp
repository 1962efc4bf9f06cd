#include "tests/traces/graph_text.hpp"

#include <map>
#include <stdexcept>

namespace forksim::traces {

namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

[[noreturn]] void bad(std::string_view line) { throw std::runtime_error("no line of function_graph: " + std::string(line)); }

/// Cuts `s` behind the next `mark` and gives what was before it.
std::string_view take(std::string_view& s, std::string_view mark, std::string_view line) {
  const std::size_t at = s.find(mark);
  if (at == std::string_view::npos) bad(line);
  const std::string_view head = s.substr(0, at);
  s.remove_prefix(at + mark.size());
  return head;
}

/// "12.345" with three digits behind the point: thousands.
long long thousandths(std::string_view s) {
  const std::size_t dot = s.find('.');
  std::string digits(s.substr(0, dot));
  digits += dot == std::string_view::npos
                ? "000"
                : std::string(s.substr(dot + 1)) + std::string(3 - std::min<std::size_t>(3, s.size() - dot - 1), '0');
  return std::stoll(digits);
}

void parse_body(std::string_view s, std::string_view line, GraphLine& g) {
  const std::size_t first = s.find_first_not_of(' ');
  if (first == std::string_view::npos) bad(line);
  g.depth = static_cast<unsigned>(first / 2);
  s = trimmed(s);
  if (s.starts_with("/*") && s.ends_with("*/")) {
    g.kind = GraphLine::Kind::comment;
    g.text = trimmed(s.substr(2, s.size() - 4));
  } else if (s.ends_with("();")) {
    g.kind = GraphLine::Kind::leaf;
    g.text = s.substr(0, s.size() - 3);
  } else if (s.ends_with("() {")) {
    g.kind = GraphLine::Kind::entry;
    g.text = s.substr(0, s.size() - 4);
  } else if (s.starts_with("}")) {
    g.kind = GraphLine::Kind::exit;
    if (s.size() > 1) g.text = trimmed(s.substr(4, s.size() - 6));
  } else {
    bad(line);
  }
}

GraphLine parse_line(std::string_view line, const GraphColumns& columns) {
  GraphLine g{};
  std::string_view s = line;
  if (columns.abstime) {
    const std::string_view date = trimmed(take(s, "|", line));
    const std::size_t dot = date.find('.');
    if (dot == std::string_view::npos) bad(line);
    g.us = std::stoll(std::string(date.substr(0, dot))) * 1'000'000 + std::stoll(std::string(date.substr(dot + 1)));
    s.remove_prefix(2);
  }
  if (columns.cpu) {
    g.cpu = std::stoi(std::string(trimmed(take(s, ")", line))));
    s.remove_prefix(1);
  }
  if (columns.proc) {
    g.task = trimmed(take(s, "|", line));
    s.remove_prefix(1);
  }
  if (trimmed(s).starts_with("==========>") || trimmed(s).starts_with("<==========")) {
    g.kind = trimmed(s).front() == '=' ? GraphLine::Kind::irq_begin : GraphLine::Kind::irq_end;
    return g;
  }
  if (columns.duration) {
    std::string_view d = trimmed(take(s, "|", line));
    if (!d.empty() && std::string_view("+!#*@$").find(d.front()) != std::string_view::npos) d = trimmed(d.substr(1));
    if (!d.empty()) g.ns = thousandths(trimmed(d.substr(0, d.find(' '))));
    s.remove_prefix(2);
  }
  parse_body(s, line, g);
  return g;
}

/// " 2)   fgact-218    =>    <idle>-0   ".
GraphLine parse_block(std::string_view line) {
  GraphLine g{};
  g.kind = GraphLine::Kind::switch_block;
  std::string_view s = line;
  g.cpu = std::stoi(std::string(trimmed(take(s, ")", line))));
  g.from = trimmed(take(s, "=>", line));
  g.to = trimmed(s);
  return g;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

GraphColumns graph_columns(std::string_view text) {
  GraphColumns c;
  for (const std::string_view line : split_lines(text)) {
    if (line.find("FUNCTION CALLS") == std::string_view::npos) continue;
    c.abstime = line.find("TIME ") != std::string_view::npos;
    c.cpu = line.find("CPU") != std::string_view::npos;
    c.proc = line.find("TASK/PID") != std::string_view::npos;
    c.duration = line.find("DURATION") != std::string_view::npos;
    return c;
  }
  throw std::runtime_error("no header of function_graph");
}

std::vector<GraphLine> parse_graph(std::string_view text) {
  const GraphColumns columns = graph_columns(text);
  std::vector<GraphLine> out;
  for (const std::string_view line : split_lines(text)) {
    // without the CPU column a line may begin with the mark of 1 ms
    const bool header = line.starts_with('#') && line.find(" us ") == std::string_view::npos;
    if (line.empty() || header || trimmed(line).starts_with("-----")) continue;
    out.push_back(line.find(" => ") != std::string_view::npos && line.find("/*") == std::string_view::npos ? parse_block(line)
                                                                                                           : parse_line(line, columns));
  }
  return out;
}

std::string plain_symbol(std::string_view symbol) {
  // a module's function has no name in the recordings; there is only one
  if (symbol.starts_with("0x")) return "threadfn";
  return std::string(symbol.substr(0, symbol.find('.')));
}

namespace {
/// Names change with execve: a task is its number; idle tasks share 0.
std::string task_key(const GraphLine& l) {
  const std::string pid = l.task.substr(l.task.rfind('-') + 1);
  return pid == "0" ? "cpu" + std::to_string(l.cpu) : pid;
}
}  // namespace

std::vector<CallTree> call_trees(const std::vector<GraphLine>& lines, std::string_view from, std::string_view to) {
  std::vector<CallTree> roots;
  // Where each task is: the indices from a root down to the function it is in.
  std::map<std::string, std::vector<std::size_t>> at;
  const auto children = [&](const std::vector<std::size_t>& path) {
    std::vector<CallTree>* list = &roots;
    for (const std::size_t i : path) list = &(*list)[i].calls;
    return list;
  };
  bool on = from.empty();
  for (const GraphLine& l : lines) {
    if (l.kind == GraphLine::Kind::comment) {
      if (!from.empty() && l.text == from) on = true;
      if (!to.empty() && l.text == to) on = false;
    }
    if (!on) continue;
    std::vector<std::size_t>& path = at[task_key(l)];
    if (l.kind == GraphLine::Kind::entry || l.kind == GraphLine::Kind::leaf) {
      std::vector<CallTree>* list = children(path);
      list->push_back({plain_symbol(l.text), l.task, l.cpu, {}});
      if (l.kind == GraphLine::Kind::entry) path.push_back(list->size() - 1);
    } else if (l.kind == GraphLine::Kind::exit && !path.empty()) {
      path.pop_back();
    }
  }
  return roots;
}

std::string to_text(const CallTree& t) {
  std::string s = t.function;
  if (t.calls.empty()) return s;
  s += "(";
  for (const CallTree& c : t.calls) s += ' ' + to_text(c);
  return s + " )";
}

}  // namespace forksim::traces
