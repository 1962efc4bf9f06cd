#include "sim/config/schema.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "kernel_model/version/config_switches.hpp"
#include "sim/config/reader.hpp"

using namespace forksim;

TEST_SUITE_BEGIN("sim/config");

TEST_CASE("every row of the schema belongs to an object or an action, stands with its like, and has a help text") {
  std::set<std::string> objects;
  for (const ObjectInfo& o : schema_objects()) objects.insert(std::string(o.id));
  for (const NamedDoc& a : schema_actions()) objects.insert("phase." + std::string(a.name));
  for (const std::string& o : objects) {
    CAPTURE(o);
    CHECK_FALSE(keys_of(o).empty());
    std::set<std::string_view> seen;
    for (const KeyInfo& k : keys_of(o)) {
      CHECK(seen.insert(k.key).second);
      CHECK_FALSE(k.help.empty());
      if (k.type == Type::object || k.type == Type::list) CHECK(objects.count(std::string(k.arg)) == 1);
    }
  }
  for (const NamedDoc& a : schema_actions()) CHECK(find_key("phase." + std::string(a.name), a.name) != nullptr);
}

TEST_CASE("every switch of config is one of the kernel, and every one of the kernel can be switched") {
  std::vector<std::string_view> keys, switches;
  for (const KeyInfo& k : keys_of("config"))
    if (k.type == Type::boolean) keys.push_back(k.key);
  for (const km::ConfigSwitch& s : km::kConfigSwitches) switches.push_back(s.name);
  CHECK(keys == switches);
}

TEST_CASE("words refused as not modelled are no actions") {
  for (const NamedDoc& u : schema_unmodelled()) CHECK_FALSE(is_action(u.name));
}

TEST_CASE("the JSON Schema names every key, its default and what is required") {
  const auto j = nlohmann::json::parse(json_schema("workload", {{"wakeup"}}));
  CHECK(j["$schema"] == "http://json-schema.org/draft-07/schema#");
  const auto& defs = j["definitions"];
  for (const NamedDoc& a : schema_actions()) CHECK(defs.contains("phase." + std::string(a.name)));
  for (const KeyInfo& k : keys_of("workload")) CHECK(defs["workload"]["properties"].contains(std::string(k.key)));
  CHECK(defs["workload"]["required"] == nlohmann::json::array({"schema", "processes", "start"}));
  CHECK(defs["workload"]["additionalProperties"] == false);
  CHECK(defs["shape"]["properties"]["vmas"]["default"] == "15");
  CHECK(defs["plot"]["properties"]["metric"]["anyOf"][0]["enum"] == nlohmann::json::array({"wakeup"}));
  CHECK(defs["phase.kill"]["properties"]["signal"]["enum"].size() == signal_table().size());
  const auto& latency = defs["workload"]["properties"]["tunables"]["properties"]["sched_latency_ns"];
  CHECK(latency["anyOf"][0]["minimum"] == 100000);
  CHECK(defs["workload"]["properties"]["tunables"]["properties"]["sched_rt_runtime_us"]["anyOf"][0]["minimum"] == -1);
  CHECK(latency["description"] == "period in which each runnable task runs once");
  CHECK(defs["workload"]["properties"]["features"]["properties"].contains("NO_START_DEBIT"));
  CHECK_FALSE(defs.contains("cost"));
  const auto costs = nlohmann::json::parse(json_schema("costs", {}));
  CHECK(costs["definitions"]["cost"]["properties"]["basis"]["enum"] == nlohmann::json::array({"measured", "derived", "assumed"}));
}

TEST_CASE("every reference inside the JSON Schema leads somewhere") {
  const auto j = nlohmann::json::parse(json_schema("workload", {}));
  auto walk = [&](auto& self, const nlohmann::json& n) -> void {
    if (n.is_object() && n.contains("$ref")) {
      const std::string ref = n["$ref"];
      CHECK_MESSAGE(j["definitions"].contains(ref.substr(std::string("#/definitions/").size())), ref);
    }
    if (!n.is_structured()) return;
    for (const auto& child : n) self(self, child);
  };
  walk(walk, j["definitions"]);
  CHECK(j["definitions"]["phase"]["anyOf"][0]["$ref"] == "#/definitions/phase.run");
}

TEST_CASE("signal numbers are those of arm64") {
  auto number = [](std::string_view name) { return std::ranges::find(signal_table(), name, &SignalInfo::name)->number; };
  CHECK(number("SIGKILL") == 9);
  CHECK(number("SIGCHLD") == 17);
  CHECK(number("SIGCONT") == 18);
  CHECK(number("SIGSTOP") == 19);
}

TEST_CASE("defaults are filled in and marked as built in, what the file says is marked with its place") {
  Diagnostics d;
  const YamlDocument doc =
      parse_yaml("schema: forksim.workload/1\nprocesses:\n  - {name: a, phases: [yield]}\nstart:\n  - {process: a}\n", "t.yaml", d);
  const Vocabulary none;
  const Value v = Reader(doc, none, d).read("workload");
  REQUIRE_MESSAGE(d.ok(), d.text());
  CHECK(v["seed"].num == 1);
  CHECK(v["seed"].origin == Origin::built_in);
  CHECK(v["until"].num == -1);  // the word "end"
  CHECK(v["processes"].items[0]["name"].origin == Origin::workload);
  CHECK(v["processes"].items[0]["phases"].items[0]["yield"].num == 1);
  CHECK(v["start"].items[0]["count"].num == 1);
  CHECK_FALSE(bool(v["parameters"]));
}

TEST_SUITE_END();
