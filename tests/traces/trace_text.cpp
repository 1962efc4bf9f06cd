#include "tests/traces/trace_text.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace forksim::traces {

namespace {

using std::string_view;

template <class T>
std::optional<T> to_number(string_view s) {
  T value{};
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
  if (error != std::errc{} || end != s.data() + s.size() || s.empty()) return std::nullopt;
  return value;
}

string_view skip_blanks(string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  return s;
}

/// The text up to the next blank; moves `s` behind it.
string_view take_word(string_view& s) {
  s = skip_blanks(s);
  const std::size_t end = std::min(s.find(' '), s.size());
  const string_view word = s.substr(0, end);
  s.remove_prefix(end);
  return word;
}

/// "4.876229680" to ns; digits behind the ninth are cut off (forksim writes a tenth for readers that go through a double).
std::optional<std::uint64_t> to_ns(string_view s) {
  const std::size_t point = s.find('.');
  if (point == string_view::npos) return std::nullopt;
  const string_view fraction = s.substr(point + 1, 9);
  const auto seconds = to_number<std::uint64_t>(s.substr(0, point));
  auto part = to_number<std::uint64_t>(fraction);
  if (!seconds || !part) return std::nullopt;
  for (std::size_t i = fraction.size(); i < 9; ++i) *part *= 10;
  return *seconds * 1'000'000'000 + *part;
}

/// Splits "  comm-pid  (tgid)" into name and pid; the name may contain blanks, dashes and brackets.
bool parse_task(string_view s, Event& e) {
  s = skip_blanks(s);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  if (s.ends_with(')')) {
    const std::size_t open = s.rfind('(');
    if (open == string_view::npos) return false;
    s = s.substr(0, open);
    while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  }
  const std::size_t dash = s.rfind('-');
  if (dash == string_view::npos) return false;
  const auto pid = to_number<int>(s.substr(dash + 1));
  if (!pid) return false;
  e.pid = *pid;
  e.comm = s.substr(0, dash);
  return true;
}

/// Position of the '[' of "[cpu]": the first group of digits in brackets that follows a task name.
std::optional<std::size_t> find_cpu(string_view line, Event& e) {
  for (std::size_t open = line.find('['); open != string_view::npos; open = line.find('[', open + 1)) {
    const std::size_t close = line.find(']', open);
    if (close == string_view::npos) return std::nullopt;
    const auto cpu = to_number<unsigned>(line.substr(open + 1, close - open - 1));
    if (!cpu || !parse_task(line.substr(0, open), e)) continue;
    e.cpu = *cpu;
    return close + 1;
  }
  return std::nullopt;
}

char sane_letter(char shown) {
  switch (shown) {  // Linux 4.19.0 prints the letter behind the right one of "RSDTtXZP"
    case 'S':
      return 'R';
    case 'D':
      return 'S';
    case 'T':
      return 'D';
    case 't':
      return 'T';
    case 'X':
      return 't';
    case 'Z':
      return 'X';
    case 'P':
      return 'Z';
    default:
      return shown;  // "R+" is right: preempted, or an idle kernel thread
  }
}

void undo_4_19_0_letters(Event& e) {
  constexpr string_view kKey = " prev_state=";
  const std::size_t at = e.body.find(kKey);
  if (at != std::string::npos && at + kKey.size() < e.body.size()) e.body[at + kKey.size()] = sane_letter(e.body[at + kKey.size()]);
}

/// A mark is `print: symbol: text` in a report and `tracing_mark_write: text` in tracefs; both become print with the text alone.
void normalise_mark(Event& e) {
  if (e.name == "tracing_mark_write") {
    e.name = "print";
    return;
  }
  if (e.name != "print") return;
  const std::size_t colon = e.body.find(": ");
  const bool symbol = colon != std::string::npos && e.body.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == colon;
  // Every recorded mark follows the name of a kernel symbol with underscores; a mark of ours ("a1: ...") has none.
  if (symbol && e.body.substr(0, colon).find('_') != std::string::npos) e.body.erase(0, colon + 2);
}

bool parse_line(string_view line, Event& e) {
  const auto rest_at = find_cpu(line, e);
  if (!rest_at) return false;
  string_view rest = line.substr(*rest_at);
  string_view word = take_word(rest);
  if (!word.ends_with(':')) word = take_word(rest);  // the flags column
  if (!word.ends_with(':')) return false;
  const auto ns = to_ns(word.substr(0, word.size() - 1));
  if (!ns) return false;
  e.ns = *ns;
  const string_view name = take_word(rest);
  if (name.size() < 2 || !name.ends_with(':')) return false;
  e.name = name.substr(0, name.size() - 1);
  e.body = skip_blanks(rest);
  return true;
}

}  // namespace

TraceText parse_trace(string_view text, StateLetters letters) {
  TraceText result;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.starts_with("cpus=")) continue;
    Event e;
    if (!parse_line(line, e)) {
      result.bad_lines.push_back("line " + std::to_string(number) + ": " + std::string(line));
      continue;
    }
    normalise_mark(e);
    if (letters == StateLetters::linux_4_19_0 && e.name == "sched_switch") undo_4_19_0_letters(e);
    result.events.push_back(std::move(e));
  }
  return result;
}

std::optional<std::string> field(string_view body, string_view key) {
  const std::string wanted = std::string(key) + "=";
  std::size_t at = 0;
  if (!body.starts_with(wanted)) {
    at = body.find(" " + wanted);
    if (at == string_view::npos) return std::nullopt;
    ++at;
  }
  string_view value = body.substr(at + wanted.size());
  for (std::size_t blank = value.find(' '); blank != string_view::npos; blank = value.find(' ', blank + 1)) {
    const string_view next = value.substr(blank + 1);
    const std::size_t word_end = next.find_first_of(" =");
    const bool new_key = word_end != string_view::npos && next[word_end] == '=' && !next.starts_with('=');
    if (!new_key && !next.starts_with("==>")) continue;
    value = value.substr(0, blank);
    break;
  }
  return std::string(value);
}

long number(string_view body, string_view key) {
  const auto text = field(body, key);
  const auto value = text ? to_number<long>(*text) : std::nullopt;
  if (!value) throw std::runtime_error("no number " + std::string(key) + "= in: " + std::string(body));
  return *value;
}

}  // namespace forksim::traces
