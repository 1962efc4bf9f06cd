#include "sim/config/yaml_tree.hpp"

#include <doctest/doctest.h>

#include "sim/config/overrides.hpp"

using namespace forksim;

namespace {
std::string errors(const std::string& text) {
  Diagnostics d;
  parse_yaml(text, "t.yaml", d);
  return d.text();
}
}  // namespace

TEST_SUITE_BEGIN("sim/config");

TEST_CASE("nodes and keys know their line and column, counted from 1") {
  Diagnostics d;
  const YamlDocument doc = parse_yaml("a: 1\nb:\n  - {c: xy}\n", "t.yaml", d);
  REQUIRE(d.ok());
  CHECK(doc.root.find("a")->line == 1);
  CHECK(doc.root.find("a")->col == 4);
  const YamlNode& item = doc.root.find("b")->items[0];
  CHECK(item.line == 3);
  CHECK(item.col == 5);
  CHECK(item.fields[0].col == 6);
  CHECK(item.fields[0].value.col == 9);
}

TEST_CASE("a message shows the place, what is allowed, the hint, and a caret under the column") {
  Diagnostics d;
  d.add({"w.yaml", 3, 5, "a.b", "what", "allowed is x", "hint", "    nise: 5"});
  CHECK(d.text() == "w.yaml:3:5: a.b: what, allowed is x, hint\n        nise: 5\n        ^\n");
}

TEST_CASE("messages come in the order of the file, those of the command line have no place") {
  Diagnostics d;
  d.add({"w.yaml", 9, 1, "", "later", "", "", ""});
  d.add({"w.yaml", 2, 7, "", "earlier", "", "", ""});
  d.add({"", 0, 0, "--set x=1", "refused", "", "", ""});
  CHECK(d.text() == "command line: --set x=1: refused\nw.yaml:2:7: earlier\nw.yaml:9:1: later\n");
}

TEST_CASE("the caret stands under a character behind a tab and behind UTF-8") {
  Diagnostics d;
  d.add({"w.yaml", 1, 7, "", "x", "", "",
         "\t\xC3\xA9"
         "abcd"});  // tab, e-acute (2 bytes), then column 7 is 'd'
  CHECK(d.text() ==
        "w.yaml:1:7: x\n    \t\xC3\xA9"
        "abcd\n    \t    ^\n");
}

TEST_CASE("what yaml-cpp would swallow is refused: duplicate keys, anchors, merges, tags, second documents") {
  CHECK(errors("a: 1\nb: 2\na: 3\n").starts_with("t.yaml:3:1: a: the key is there twice"));
  CHECK(errors("a: &x 1\nb: *x\n").find("anchors (&x)") != std::string::npos);
  CHECK(errors("a:\n  <<: {b: 1}\n").starts_with("t.yaml:2:3: <<: merge keys"));
  CHECK(errors("a: !!int 1\n").find("tags") != std::string::npos);
  CHECK(errors("a: 1\n---\nb: 1\n").find("second document") != std::string::npos);
  CHECK(errors("{[a]: 1}\n").find("a key must be a word") != std::string::npos);
}

TEST_CASE("an alias bomb and a file of too many values are stopped by the budget") {
  std::string many = "[";
  for (std::size_t i = 0; i <= kNodeBudget; ++i) many += "1,";
  CHECK(errors("a: " + many + "1]\n").find("more than 200000 values") != std::string::npos);
  CHECK(errors(std::string(kByteBudget + 1, 'x')).find("bytes") != std::string::npos);
  CHECK(errors("a: " + std::string(600, '[') + "\n").find("not YAML") != std::string::npos);
}

TEST_CASE("--set reaches list elements by index and by name") {
  Diagnostics d;
  YamlDocument doc = parse_yaml("processes:\n  - {name: a, nice: 1}\n  - {name: b, phases: [{run: 1ms}]}\n", "t.yaml", d);
  apply_override(doc, parse_set("processes[0].nice=5"), d);
  apply_override(doc, parse_set("processes.b.phases[0].run={dist: uniform, min: 0, max: 1ms}"), d);
  apply_override(doc, parse_set("seed=9"), d);
  REQUIRE_MESSAGE(d.ok(), d.text());
  CHECK(doc.root.find("processes")->items[0].find("nice")->scalar == "5");
  CHECK(doc.root.find("processes")->items[1].find("phases")->items[0].find("run")->find("max")->scalar == "1ms");
  CHECK(doc.root.find("seed")->origin == Origin::command_line);
  CHECK(doc.root.find("seed")->from == "command line (--set seed=9)");
}

TEST_CASE("--set of what is not there is refused with a hint") {
  Diagnostics d;
  YamlDocument doc = parse_yaml("parameters: {groups: 1}\nprocesses:\n  - {name: worker}\n", "t.yaml", d);
  for (const char* bad :
       {"parameters.groops=2", "processes.wroker.nice=1", "processes[7].nice=1", "seed", "a..b=1", "[0]=1", "=5", "processes[x].nice=1"})
    apply_override(doc, parse_set(bad), d);
  const std::string text = d.text();
  CHECK(d.list().size() == 8);
  CHECK(text.find("the workload has no parameter \"groops\", parameters are groups, did you mean \"groups\"?") != std::string::npos);
  CHECK(text.find("did you mean \"worker\"?") != std::string::npos);
}

TEST_CASE("features.X and features.NO_X on the command line are one switch, the last one wins") {
  Diagnostics d;
  YamlDocument doc = parse_yaml("features: {START_DEBIT: true}\n", "t.yaml", d);
  apply_override(doc, parse_set("features.NO_START_DEBIT"), d);
  REQUIRE(d.ok());
  const YamlNode& f = *doc.root.find("features");
  REQUIRE(f.fields.size() == 1);
  CHECK(f.fields[0].key == "NO_START_DEBIT");
  CHECK(f.fields[0].value.scalar == "true");
}

TEST_SUITE_END();
