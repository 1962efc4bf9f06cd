#include "sim/platform/simgrid_platform.hpp"

#include <simgrid/plugins/energy.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <csignal>
#include <fstream>
#include <map>
#include <memory>
#include <simgrid/Exception.hpp>
#include <sstream>

#include "sim/platform/cost_file.hpp"
#include "sim/platform/platform_text.hpp"
#include "sim/platform/route_reach.hpp"
#include "sim/platform/sim_time.hpp"

namespace forksim {
namespace {

using km::u32;
using km::u64;

/// The file's text, to give a place to what SimGrid tells without one.
class SourceText {
 public:
  explicit SourceText(const std::string& file) : file_(file) {
    std::ifstream in(file, std::ios::binary);
    readable_ = static_cast<bool>(in);
    std::ostringstream all;
    all << in.rdbuf();
    text_ = all.str();
  }
  const std::string& text() const { return text_; }
  bool readable() const { return readable_ && !text_.empty(); }

  /// A diagnostic at the first occurrence of `needle` after `after`.
  Diagnostic at(const std::string& needle, const std::string& after, std::string path, std::string what, std::string allowed) const {
    std::size_t from = after.empty() ? 0 : text_.find(after);
    if (from == std::string::npos) from = 0;
    const std::size_t pos = needle.empty() ? std::string::npos : text_.find(needle, from);
    Diagnostic d{file_, 0, 0, std::move(path), std::move(what), std::move(allowed), "", ""};
    if (pos == std::string::npos) return d;
    const std::size_t start = text_.rfind('\n', pos) + 1;  // npos + 1 is 0: the first line
    d.line = 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(pos), '\n'));
    d.col = static_cast<int>(pos - start) + 1;
    d.source_line = text_.substr(start, text_.find('\n', start) - start);
    return d;
  }

 private:
  std::string file_, text_;
  bool readable_ = false;
};

/// Checks the wattage properties of each host before host_energy sees them, because host_energy aborts on a bad one. A bad property is
/// told once and replaced, so that loading goes on and finds the next mistake.
struct HostCheck {
  const SourceText* source = nullptr;
  Diagnostics* diags = nullptr;
  std::map<std::string, std::vector<double>> watts;
  std::map<std::string, double> watts_off;

  void operator()(sg::Host& host) {
    const std::string name = host.get_name();
    const std::size_t pstates = host.get_pstate_count();
    const auto tell = [&](const char* key, const std::string& what, const char* allowed) {
      diags->add(source->at("\"" + std::string(key) + "\"", "id=\"" + name + "\"", name + "." + key, what, allowed));
    };
    const char* per_state = host.get_property("wattage_per_state");
    std::vector<double>& w = watts[name];
    if (const std::string wrong = per_state ? parse_wattage(per_state, pstates, w) : "missing"; !wrong.empty()) {
      tell("wattage_per_state", wrong, "Idle:Epsilon:AllCores in W for each pstate, separated by ','");
      w.assign(pstates, 0.0);
      std::string zeros = "0:0:0";
      for (std::size_t i = 1; i < pstates; ++i) zeros += ",0:0:0";
      host.set_property("wattage_per_state", zeros);
    }
    const char* off = host.get_property("wattage_off");
    const std::string_view text = off ? off : "0";
    double& value = watts_off[name];
    const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
    if (r.ec != std::errc{} || r.ptr != text.data() + text.size() || !(value >= 0.0 && value < 1e6)) {
      tell("wattage_off", "\"" + std::string(text) + "\" is not a power", "a number of W, 0 or more");
      host.set_property("wattage_off", "0");
    }
  }
};

/// Loads without judging; exceptions of SimGrid and of the standard library pass.
void load_and_seal(sg::Engine& engine, const std::string& file) {
  engine.load_platform(file);
  engine.seal_platform();
}

/// One line of SimGrid's last words: the first that is not a stack frame or a header of its own.
std::string first_complaint(const std::string& err) {
  std::istringstream in(err);
  for (std::string line; std::getline(in, line);) {
    if (const std::size_t critical = line.find("CRITICAL] "); critical != std::string::npos) line.erase(0, critical + 10);
    if (line.empty() || line.find("INFO]") != std::string::npos || line.find("  ->") == 0) continue;
    return line;
  }
  return "";
}

/// Tries the file in a child, where an abort does no harm. Returns what went wrong, or "".
std::string rehearse(sg::Engine& engine, const std::string& file) {
  int fd[2];
  if (::pipe(fd) != 0) return "cannot create a pipe to try the platform file";
  const pid_t child = ::fork();
  if (child < 0) return "cannot create a process to try the platform file";
  if (child == 0) {
    ::dup2(fd[1], 2);
    ::close(fd[0]);
    // SimGrid's own handlers print a stack and would hide the signal
    for (int sig : {SIGABRT, SIGSEGV}) std::signal(sig, SIG_DFL);
    try {
      load_and_seal(engine, file);
    } catch (const std::exception& e) {
      const std::string what = std::string(e.what()) + "\n";
      [[maybe_unused]] const ssize_t written = ::write(2, what.data(), what.size());
      ::_exit(1);
    }
    ::_exit(0);
  }
  ::close(fd[1]);
  std::string err;
  char buf[4096];
  for (ssize_t n; (n = ::read(fd[0], buf, sizeof buf)) > 0;) err.append(buf, static_cast<std::size_t>(n));
  ::close(fd[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  const std::string complaint = first_complaint(err);
  return complaint.empty() ? "SimGrid cannot load the file" : complaint;
}

/// "Parse error at FILE:LINE: what" with the place moved to where it belongs.
Diagnostic from_complaint(const std::string& file, const std::string& complaint) {
  Diagnostic d{file, 0, 0, "platform", "SimGrid: " + complaint, "a platform file as SimGrid's reference describes", "", ""};
  const std::string prefix = "Parse error at ";
  if (complaint.rfind(prefix, 0) != 0) return d;
  const std::size_t colon = complaint.find(": ", prefix.size());
  const std::size_t line = colon == std::string::npos ? colon : complaint.rfind(':', colon - 1);
  if (line == std::string::npos) return d;
  std::from_chars(complaint.data() + line + 1, complaint.data() + colon, d.line);
  d.col = 1;
  d.what = "SimGrid: " + complaint.substr(colon + 2);
  return d;
}

/// pstates as operating points: the first half busy, the second half the same clocks in WFI.
void read_operating_points(const sg::Host& host, CpuDesc& cpu, const SourceText& source, Diagnostics& diags) {
  const std::size_t n = host.get_pstate_count();
  bool halves = n >= 2 && n % 2 == 0;
  for (std::size_t i = 0; halves && i < n / 2; ++i) {
    cpu.opp_hz.push_back(to_hz(host.get_pstate_speed(i)));
    halves = host.get_pstate_speed(i) > 0.0 && host.get_pstate_speed(i) == host.get_pstate_speed(n / 2 + i);
  }
  if (!halves) {
    diags.add(source.at("speed=", "id=\"" + cpu.name + "\"", cpu.name + ".speed", "pstates are not two equal halves",
                        "operating points above 0, busy, then the same in WFI"));
    return;
  }
  cpu.boot_opp = static_cast<u32>(host.get_pstate() % (n / 2));
}

std::vector<sg::Host*> hosts_by_number(const sg::Engine& engine, const SourceText& source, Diagnostics& diags) {
  const std::vector<sg::Host*> all = engine.get_all_hosts();
  std::vector<sg::Host*> hosts(all.size(), nullptr);
  std::map<std::string, sg::Host*> sorted;
  for (sg::Host* h : all) sorted[h->get_name()] = h;
  for (const auto& [name, host] : sorted) {
    u64 number = all.size();
    if (name.rfind("cpu", 0) == 0) std::from_chars(name.data() + 3, name.data() + name.size(), number);
    if (number < all.size() && name == "cpu" + std::to_string(number)) {
      hosts[number] = host;
      if (host->get_core_count() != 1)
        diags.add(source.at("core=", "id=\"" + name + "\"", name + ".core", "a host with several cores", "one host per CPU, core=\"1\""));
      continue;
    }
    diags.add(source.at("id=\"" + name + "\"", "", "host " + name, "is not the name of a CPU of this platform",
                        "cpu0 to cpu" + std::to_string(all.size() - 1) + ", without gaps"));
  }
  return hosts;
}

void read_cpus(const std::vector<sg::Host*>& hosts, HostCheck& check, const SourceText& source, PlatformDesc& p, Diagnostics& diags) {
  for (const sg::Host* host : hosts) {
    CpuDesc cpu;
    cpu.name = host->get_name();
    cpu.watts = check.watts[cpu.name];
    cpu.watts_off = check.watts_off[cpu.name];
    read_operating_points(*host, cpu, source, diags);
    p.cpus.push_back(std::move(cpu));
  }
}

void read_caches(const sg::Engine& engine, const SourceText& source, PlatformDesc& p, Diagnostics& diags) {
  const std::unordered_map<std::string, std::string>& hashed = *sg::platform_zone(engine)->get_properties();
  const std::map<std::string, std::string> properties(hashed.begin(), hashed.end());
  for (const auto& [key, value] : properties) {
    if (key.rfind("cache.", 0) != 0) continue;
    CacheProperty parsed;
    std::string wrong = parse_cache_property(key.substr(6), value, parsed);
    const sg::Link* link = wrong.empty() && !parsed.link.empty() ? engine.link_by_name_or_null(parsed.link) : nullptr;
    if (wrong.empty() && !parsed.link.empty() && !link) wrong = "link=" + parsed.link + ": there is no such link";
    if (link && link->get_latency() < 0.0) wrong = "link " + parsed.link + " has a negative latency";
    if (!wrong.empty()) {
      diags.add(source.at("\"" + key + "\"", "", key, wrong, "level=N kind=K size=S latency=T or link=L cpus=LIST"));
      continue;
    }
    for (CacheDesc& c : parsed.caches) {
      if (link) c.latency_ps = static_cast<u64>(to_ps(link->get_latency()));
      p.caches.push_back(std::move(c));
    }
  }
}

/// How CPUs are brought up decides whether one can be taken off again (arm64 cpu_ops.cpu_die).
void read_enable_method(const sg::NetZone& zone, const SourceText& source, PlatformDesc& p, Diagnostics& diags) {
  const char* method = zone.get_property("enable_method");
  if (!method) return;
  const std::string text = method;
  p.can_disable = text == "psci";
  if (text != "psci" && text != "spin-table")
    diags.add(source.at("\"enable_method\"", "", "enable_method", "\"" + text + "\" is no way to bring up a CPU", "psci or spin-table"));
}

void read_routes(const std::vector<sg::Host*>& hosts, const SourceText& source, PlatformDesc& p, Diagnostics& diags) {
  for (const auto& [from, to] : lost_ways(source.text()))
    diags.add(source.at("routing=\"Dijkstra", "", "route " + from + " -> " + to, to + " is disconnected: no route leads there from " + from,
                        "a way between every two CPUs"));
  if (!diags.ok()) return;
  for (u32 i = 0; i < hosts.size(); ++i)
    for (u32 j = 0; j < hosts.size(); ++j) {
      if (i == j) continue;
      std::vector<sg::Link*> links;
      double latency = 0.0;
      try {
        hosts[i]->route_to(hosts[j], links, &latency);
      } catch (const std::exception&) {
        continue;  // the machine graph names the missing edge
      }
      if (links.empty()) continue;
      RouteDesc r{i, j, to_ps(latency), {}};
      for (const sg::Link* l : links) r.links.push_back({l->get_name(), to_ps(l->get_latency())});
      p.routes.push_back(std::move(r));
    }
}

}  // namespace

LoadedPlatform load_platform_file(sg::Engine& engine, const std::string& file, Diagnostics& diags) {
  LoadedPlatform out;
  out.desc.file = file;
  const SourceText source(file);
  if (!source.readable()) {
    diags.add({file, 0, 0, "platform", "cannot be read or is empty", "a SimGrid platform file", "forksim list platforms", ""});
    return out;
  }
  Diagnostics found;
  // SimGrid keeps callbacks for the life of the process: this one outlives the call and is switched off below
  const auto check = std::make_shared<HostCheck>(HostCheck{&source, &found, {}, {}});
  sg::Host::on_creation_cb([check](sg::Host& h) {
    if (check->source) (*check)(h);
  });
  sg_host_energy_plugin_init();
  const std::string complaint = rehearse(engine, file);
  if (!complaint.empty()) {
    check->source = nullptr;
    diags.add(from_complaint(file, complaint));
    return out;
  }
  load_and_seal(engine, file);
  check->source = nullptr;

  out.hosts = hosts_by_number(engine, source, found);
  const sg::NetZone* zone = sg::platform_zone(engine);
  out.desc.name = zone->get_name();
  const char* costs = zone->get_property("costs");
  out.desc.costs_file = costs ? file.substr(0, file.rfind('/') + 1) + costs : costs_file_of(file);
  read_enable_method(*zone, source, out.desc, found);
  const bool numbered = std::none_of(out.hosts.begin(), out.hosts.end(), [](const sg::Host* h) { return h == nullptr; });
  if (numbered) read_cpus(out.hosts, *check, source, out.desc, found);
  read_caches(engine, source, out.desc, found);
  if (numbered) read_routes(out.hosts, source, out.desc, found);
  for (const Diagnostic& d : found.list()) diags.add(d);
  return out;
}

}  // namespace forksim
