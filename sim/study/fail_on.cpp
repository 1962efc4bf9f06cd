#include "sim/study/fail_on.hpp"

#include <algorithm>
#include <vector>

#include "sim/config/suggest.hpp"
#include "sim/config/units.hpp"
#include "sim/study/measures.hpp"

namespace forksim {

namespace {

constexpr const char* kShape = "allowed is MEASURE>LIMIT or MEASURE<LIMIT, such as fork_to_run.p99>+5%, fork_to_run.max>10ms, energy_j>+2%";

std::string trim(std::string s) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  s.erase(s.begin(), std::ranges::find_if_not(s, blank));
  while (!s.empty() && blank(s.back())) s.pop_back();
  return s;
}

class Parser {
 public:
  Parser(const std::string& text, const Diagnostic& place, Diagnostics& diags) : text_(text), place_(place), diags_(diags) {}

  FailOn parse() {
    FailOn f;
    f.text = text_;
    const std::size_t op = text_.find_first_of("<>");
    if (op == std::string::npos) {
      wrong(0, "\"" + text_ + "\" is no limit", kShape);
      return f;
    }
    f.above = text_[op] == '>';
    read_measure(f, trim(text_.substr(0, op)));
    const bool equal = op + 1 < text_.size() && text_[op + 1] == '=';
    if (equal) wrong(op + 1, "a limit that is just met is kept, there is no >= or <=", "write " + text_.substr(op, 1));
    if (!equal) read_limit(f, trim(text_.substr(op + 1)), op + 1);
    return f;
  }

 private:
  void wrong(std::size_t at, std::string what, std::string allowed, std::string hint = {}) {
    Diagnostic d = place_;
    d.col += static_cast<int>(at);
    d.what = std::move(what);
    d.allowed = std::move(allowed);
    d.hint = std::move(hint);
    diags_.add(std::move(d));
  }

  void read_measure(FailOn& f, const std::string& name) {
    if (const auto row = find_measure(name)) {
      f.measure = *row;
      known_ = true;
      return;
    }
    const std::size_t dot = name.rfind('.');
    const std::string metric = name.substr(0, dot);
    std::vector<std::string> names, statistics;
    for (const MeasureInfo& m : measure_table()) {
      if (m.metric == metric) statistics.push_back(m.statistic);
      const std::string& first = m.metric == "run" ? m.statistic : m.metric;
      if (std::ranges::find(names, first) == names.end()) names.push_back(first);
    }
    const bool metric_known = !statistics.empty() && metric != "run";
    const std::vector<std::string>& list = metric_known ? statistics : names;
    const std::vector<std::string_view> views(list.begin(), list.end());
    if (metric_known && dot == std::string::npos)
      return wrong(0, metric + " has several statistics, say which", "allowed are " + one_of(views, 24), "write " + metric + "." + statistics.back());
    const std::string word = metric_known ? name.substr(dot + 1) : metric;
    wrong(metric_known ? dot + 1 : 0, metric_known ? metric + " has no statistic \"" + word + "\"" : "there is no measure \"" + word + "\"",
          "allowed are " + one_of(views, 24), did_you_mean(word, views));
  }

  void read_limit(FailOn& f, const std::string& limit, std::size_t at) {
    const bool sign = !limit.empty() && (limit[0] == '+' || limit[0] == '-');
    const double factor = sign && limit[0] == '-' ? -1 : 1;
    std::string rest = limit.substr(sign ? 1 : 0);
    const std::string unit = known_ ? measure_table()[f.measure].unit : "ns";
    f.kind = sign ? FailOn::Kind::change : FailOn::Kind::value;
    if (rest.ends_with('%')) {
      rest.pop_back();
      const auto p = parse_real(rest);
      f.kind = FailOn::Kind::percent;
      if (!p || !sign) return wrong(at, "\"" + limit + "\" is no change in percent", "allowed is a signed number, such as +5% or -2.5%", sign ? "" : "write +" + limit);
      f.limit = factor * *p.value / 100;
      return;
    }
    if (unit == "ns") {
      const auto d = parse_duration(rest);
      if (!d) return wrong(at, d.what, d.allowed + ", or a change in percent such as +5%", d.hint);
      f.limit = factor * static_cast<double>(*d.value);
      return;
    }
    const auto r = parse_real(rest);
    if (!r) return wrong(at, r.what, r.allowed + ", or a change in percent such as +5%", r.hint);
    f.limit = factor * *r.value;
  }

  const std::string& text_;
  const Diagnostic& place_;
  Diagnostics& diags_;
  bool known_ = false;
};

}  // namespace

FailOn parse_fail_on(const std::string& text, const Diagnostic& place, Diagnostics& diags) { return Parser(text, place, diags).parse(); }

}  // namespace forksim
