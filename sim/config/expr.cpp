#include "sim/config/expr.hpp"

#include <algorithm>
#include <cctype>
#include <limits>

#include "sim/config/suggest.hpp"

namespace forksim {

std::string_view to_string(NumKind k) {
  switch (k) {
    case NumKind::integer:
      return "an integer";
    case NumKind::duration:
      return "a time";
    case NumKind::size:
      return "a size";
  }
  return "";
}

bool apply(ExprOp op, std::int64_t a, std::int64_t b, std::int64_t& out) {
  const bool divides = op == ExprOp::div || op == ExprOp::mod;
  if (divides && (b == 0 || (b == -1 && a == std::numeric_limits<std::int64_t>::min()))) return false;
  switch (op) {
    case ExprOp::add:
      return !__builtin_add_overflow(a, b, &out);
    case ExprOp::sub:
      return !__builtin_sub_overflow(a, b, &out);
    case ExprOp::mul:
      return !__builtin_mul_overflow(a, b, &out);
    case ExprOp::div:
      out = a / b;
      return true;
    case ExprOp::mod:
      out = a % b;
      return true;
    case ExprOp::push:
    case ExprOp::var:
      break;
  }
  return false;
}

namespace {

bool word_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// Recursive descent over the text between the braces; emits postfix and folds constants as it goes.
class ExprParser {
 public:
  ExprParser(std::string_view text, const Parameters& parameters) : text_(text), parameters_(parameters) {}

  Parsed<Expr> parse() {
    const Part p = sum(0);
    blanks();
    if (error_.empty() && pos_ < text_.size()) fail(std::string("\"") + text_[pos_] + "\" is not expected here");
    if (!error_.empty()) return {std::nullopt, error_, allowed_, hint_};
    Expr e{std::move(code_), p.kind, p.constant, p.value};
    if (p.constant) e.code = {{ExprOp::push, p.value, {}}};
    return {std::move(e), {}, {}, {}};
  }

 private:
  struct Part {
    NumKind kind = NumKind::integer;
    bool constant = true;
    std::int64_t value = 0;
  };

  void fail(std::string what, std::string hint = {}) {
    if (!error_.empty()) return;
    error_ = std::move(what);
    allowed_ = "an expression has names, numbers, + - * / % and brackets";
    hint_ = std::move(hint);
  }
  void blanks() {
    while (pos_ < text_.size() && text_[pos_] == ' ') ++pos_;
  }
  bool take(char c) {
    blanks();
    if (pos_ >= text_.size() || text_[pos_] != c) return false;
    ++pos_;
    return true;
  }

  Part sum(std::size_t depth) {
    Part left = product(depth);
    while (error_.empty()) {
      const ExprOp op = take('+') ? ExprOp::add : take('-') ? ExprOp::sub : ExprOp::push;
      if (op == ExprOp::push) break;
      left = combine(op, left, product(depth + 1));
    }
    return left;
  }
  Part product(std::size_t depth) {
    Part left = factor(depth);
    while (error_.empty()) {
      const ExprOp op = take('*') ? ExprOp::mul : take('/') ? ExprOp::div : take('%') ? ExprOp::mod : ExprOp::push;
      if (op == ExprOp::push) break;
      left = combine(op, left, factor(depth + 1));
    }
    return left;
  }
  Part factor(std::size_t depth) {
    if (depth >= kExprDepth) fail("the expression is nested too deeply");
    blanks();
    if (!error_.empty()) return {};
    if (take('(')) {
      const Part inner = sum(depth);
      if (!take(')')) fail("a closing bracket is missing");
      return inner;
    }
    const std::size_t start = pos_;
    while (pos_ < text_.size() && (word_char(text_[pos_]) || text_[pos_] == '.')) ++pos_;
    const std::string_view word = text_.substr(start, pos_ - start);
    if (word.empty())
      fail(pos_ < text_.size() ? std::string("\"") + text_[pos_] + "\" is not expected here" : "the expression ends too early");
    return word.empty() ? Part{} : word_start(word[0]) ? name(word) : number(word);
  }

  Part name(std::string_view word) {
    const auto p = parameters_.find(word);
    if (p != parameters_.end()) return constant(p->second.kind, p->second.value);
    code_.push_back({ExprOp::var, 0, std::string(word)});
    return {NumKind::integer, false, 0};
  }
  Part number(std::string_view word) {
    const auto p = parse_parameter(word);
    if (!p) fail(p.what, p.hint);
    return p ? constant(p.value->kind, p.value->value) : Part{};
  }
  Part constant(NumKind kind, std::int64_t value) {
    code_.push_back({ExprOp::push, value, {}});
    return {kind, true, value};
  }

  Part combine(ExprOp op, const Part& a, const Part& b) {
    if (!error_.empty()) return {};
    Part out{kind_of(op, a.kind, b.kind), a.constant && b.constant, 0};
    code_.push_back({op, 0, {}});
    if (out.constant) {
      if (!apply(op, a.value, b.value, out.value)) fail(b.value == 0 ? "division by zero" : "the value is beyond 64 bits");
      code_.resize(code_.size() - 3);
      code_.push_back({ExprOp::push, out.value, {}});
    }
    return out;
  }
  NumKind kind_of(ExprOp op, NumKind a, NumKind b) {
    if (op == ExprOp::mul && (a == NumKind::integer || b == NumKind::integer)) return a == NumKind::integer ? b : a;
    if (op == ExprOp::div && b == NumKind::integer) return a;
    if (op == ExprOp::div && a == b) return NumKind::integer;
    if (op != ExprOp::mul && op != ExprOp::div && a == b) return a;
    fail(std::string(to_string(a)) + " and " + std::string(to_string(b)) + " do not go together here");
    return a;
  }

  std::string_view text_;
  const Parameters& parameters_;
  std::size_t pos_ = 0;
  std::vector<ExprTok> code_;
  std::string error_, allowed_, hint_;
};

}  // namespace

bool is_expr(std::string_view text) { return text.size() > 1 && text[0] == '$' && (text[1] == '{' || word_start(text[1])); }

Parsed<Expr> parse_expr(std::string_view text, const Parameters& parameters) {
  if (text.size() > 1000) return {std::nullopt, "the expression is too long", "at most 1000 characters", {}};
  std::string_view inner = text.substr(1);
  const bool braces = inner.starts_with('{');
  if (braces && !inner.ends_with('}')) return {std::nullopt, "a closing brace is missing", "write ${...} around the whole value", {}};
  if (braces) inner = inner.substr(1, inner.size() - 2);
  if (!braces && !std::ranges::all_of(inner, word_char))
    return {std::nullopt, "$name stands alone", "write ${...} around an expression", "\"${" + std::string(inner) + "}\""};
  return ExprParser(inner, parameters).parse();
}

Parsed<Parameter> parse_parameter(std::string_view text) {
  const bool has_unit = !text.empty() && std::isalpha(static_cast<unsigned char>(text.back()));
  const std::string_view unit = has_unit ? text.substr(std::min(text.find_last_of("0123456789.") + 1, text.size())) : std::string_view{};
  const auto& sizes = size_units();
  const bool size = std::ranges::any_of(sizes, [&](const UnitInfo& u) { return u.name == unit; });
  const auto v = !has_unit ? parse_integer(text) : size ? parse_size(text) : parse_duration(text);
  if (!v) return {std::nullopt, v.what, v.allowed, v.hint};
  return {Parameter{!has_unit ? NumKind::integer : size ? NumKind::size : NumKind::duration, *v.value}, {}, {}, {}};
}

}  // namespace forksim
