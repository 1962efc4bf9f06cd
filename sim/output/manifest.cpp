#include "sim/output/manifest.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "sim/output/json_lines.hpp"

namespace forksim {

using Json = nlohmann::ordered_json;

namespace {

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("gcc ") + __VERSION__;
#endif
}

Json host() {
  utsname u{};
  if (uname(&u) != 0) return Json::object();
  return {{"name", u.nodename},
          {"system", std::string(u.sysname) + ' ' + u.release},
          {"machine", u.machine},
          {"cpus", std::thread::hardware_concurrency()}};
}

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; }

Json cost(const ManifestInfo& info) {
  if (info.sched_events == 0) return {{"wall_s", info.wall_s}};  // a sweep: its processes are not this one
  constexpr long kKib = 1024;
  rusage r{};
  getrusage(RUSAGE_SELF, &r);
  const double rate = info.wall_s > 0 ? static_cast<double>(info.sched_events) / info.wall_s : 0.0;
  return {{"wall_s", info.wall_s},
          {"cpu_s", seconds(r.ru_utime) + seconds(r.ru_stime)},
          {"peak_memory_bytes", r.ru_maxrss * kKib},
          {"scheduling_events", info.sched_events},
          {"events_per_second", rate}};
}

}  // namespace

std::string render_manifest(const ManifestInfo& info, const std::vector<std::pair<std::string, std::string>>& outputs) {
  Json j = {{"schema", "forksim.manifest/1"}, {"command", info.command}};
  Json& versions = j["versions"] = Json::object();
  for (const auto& [name, version] : info.versions) versions[name] = version;
  j["git"] = info.git.empty() ? Json(nullptr) : Json(info.git);
  j["compiler"] = compiler();
  j["host"] = host();
  j["seeds"] = info.seeds;
  Json& inputs = j["inputs"] = Json::object();
  for (const InputFile& f : info.inputs) inputs[f.name] = sha256_hex(f.content);
  Json& out = j["outputs"] = Json::object();
  for (const auto& [name, hash] : outputs) out[name] = hash;
  j["cost"] = cost(info);
  return json_lines(j);
}

}  // namespace forksim
