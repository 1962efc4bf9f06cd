#include "sim/config/expr.hpp"

#include <doctest/doctest.h>

using namespace forksim;

namespace {
const Parameters kParameters{{"groups", {NumKind::integer, 3}}, {"gap", {NumKind::duration, 5'000'000}}, {"block", {NumKind::size, 4096}}};

std::int64_t value(const char* text) {
  const auto e = parse_expr(text, kParameters);
  REQUIRE_MESSAGE(e, e.what);
  CHECK(e.value->constant);
  return e.value->value;
}
}  // namespace

TEST_SUITE_BEGIN("sim/config");

TEST_CASE("expressions of parameters are folded with the usual precedence") {
  CHECK(value("$groups") == 3);
  CHECK(value("${groups * 2 + 1}") == 7);
  CHECK(value("${1 + groups * 2}") == 7);
  CHECK(value("${(1 + groups) * 2}") == 8);
  CHECK(value("${10 - 3 - 2}") == 5);
  CHECK(value("${17 % 5}") == 2);
  CHECK(value("${gap / 2 + 1us}") == 2'501'000);
  CHECK(value("${gap / 1ms}") == 5);
  CHECK(value("${groups * block}") == 12'288);
}

TEST_CASE("kinds that do not go together are refused") {
  for (const char* bad : {"${gap + 3}", "${gap * gap}", "${gap + block}", "${3 / gap}", "${gap % 2}"})
    CHECK_MESSAGE(!parse_expr(bad, kParameters), bad);
  CHECK(parse_expr("${gap + 3}", kParameters).what == "a time and an integer do not go together here");
}

TEST_CASE("overflow, division by zero and broken syntax are errors, never a value") {
  for (const char* bad : {"${9223372036854775807 + 1}", "${1 / 0}", "${1 % 0}", "${1 +}", "${}", "${(1}", "${1)}", "${1 1}", "${groups",
                          "$a+b", "${*}", "${1.5}"})
    CHECK_MESSAGE(!parse_expr(bad, kParameters), bad);
  CHECK(value(("${" + std::string(300, '(') + "1" + std::string(300, ')') + "}").c_str()) == 1);
  std::string deep = "${1";
  for (int i = 0; i < 40; ++i) deep += "-(1";
  CHECK_FALSE(parse_expr(deep + std::string(40, ')') + "}", kParameters));
}

TEST_CASE("names that are no parameter stay variables, in postfix") {
  const auto e = parse_expr("${group * groups + i}", kParameters);
  REQUIRE(e);
  CHECK_FALSE(e.value->constant);
  REQUIRE(e.value->code.size() == 5);
  CHECK(e.value->code[0].name == "group");
  CHECK(e.value->code[1].imm == 3);
  CHECK(e.value->code[2].op == ExprOp::mul);
  CHECK(e.value->code[3].name == "i");
  CHECK(e.value->code[4].op == ExprOp::add);
}

TEST_CASE("a parameter's kind follows from its unit") {
  CHECK(parse_parameter("20").value->kind == NumKind::integer);
  CHECK(parse_parameter("20us").value->kind == NumKind::duration);
  CHECK(parse_parameter("20KiB").value->kind == NumKind::size);
  for (const char* bad : {"", "x", "1.5", "20 us", "-1us", "nan"}) CHECK_MESSAGE(!parse_parameter(bad), bad);
}

TEST_SUITE_END();
