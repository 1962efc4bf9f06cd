#include "sim/placement/plugin_rule.hpp"

#include <dlfcn.h>

#include <type_traits>
#include <utility>
#include <vector>

#include "sim/placement/plugin.hpp"

namespace forksim {

namespace plugin = forksim_plugin;
using km::CpuId;
using km::u32;

namespace {

struct Functions {
  decltype(&forksim_rule_create) create = nullptr;
  decltype(&forksim_rule_select) select = nullptr;
  decltype(&forksim_rule_destroy) destroy = nullptr;
};

/// What `call` returns; whatever it throws ends the run with the plug-in's name.
template <class Call>
auto guarded(const std::string& file, const char* what, Call call) {
  try {
    return call();
  } catch (const std::exception& e) {
    throw PluginError("plug-in " + file + ": " + what + " threw: " + e.what());
  } catch (...) {
    throw PluginError("plug-in " + file + ": " + what + " threw something that is no std::exception");
  }
}

using Library = std::shared_ptr<std::remove_pointer_t<decltype(dlopen("", 0))>>;

class PluginRule final : public km::PlacementRule {
 public:
  PluginRule(Library library, const Functions& f, plugin::Rule* rule, std::string file)
      : library_(std::move(library)), f_(f), rule_(rule), file_(std::move(file)) {}
  ~PluginRule() override { f_.destroy(rule_); }
  PluginRule(const PluginRule&) = delete;
  PluginRule& operator=(const PluginRule&) = delete;

  std::optional<CpuId> select(const km::PlacementView& v) override {
    const km::CpuMask allowed = v.candidates();
    cpus_.resize(v.cpus());
    for (u32 i = 0; i < v.cpus(); ++i) {
      const km::CpuLoad l = v.cpu(CpuId(i));
      cpus_[i] = {l.runnable_load_avg,
                  l.load_avg,
                  l.util,
                  l.capacity,
                  l.idle_stamp,
                  l.nr_running,
                  l.idle,
                  allowed.test(CpuId(i)),
                  v.cache_mates(CpuId(i)).first()};
    }
    const plugin::Decision d{v.now().v,      v.pid().v,      v.decider().v, static_cast<u32>(v.kind()),
                             v.this_cpu().v, v.prev_cpu().v, v.cpus(),      cpus_.data()};
    const std::int32_t cpu = guarded(file_, "forksim_rule_select", [&] { return f_.select(rule_, &d); });
    if (cpu == plugin::kAsKernel) return std::nullopt;
    return CpuId(static_cast<u32>(cpu));
  }

 private:
  Library library_;
  Functions f_;
  plugin::Rule* rule_;
  std::string file_;
  std::vector<plugin::Cpu> cpus_;
};

template <class F>
bool find(const Library& library, const char* name, F& function, std::string& problem) {
  function = reinterpret_cast<F>(dlsym(library.get(), name));
  if (!function) problem += std::string(problem.empty() ? "it does not export " : ", ") + name;
  return function != nullptr;
}

}  // namespace

std::unique_ptr<km::PlacementRule> load_plugin_rule(const std::string& file, u32 cpus, km::u64 seed, std::string& problem) {
  // without a slash dlopen would search the system's folders
  const std::string path = file.find('/') == std::string::npos ? "./" + file : file;
  const Library library(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), [](auto* h) {
    if (h) dlclose(h);
  });
  if (!library) {
    problem = dlerror();
    return nullptr;
  }
  Functions f;
  const bool has_create = find(library, "forksim_rule_create", f.create, problem);
  const bool has_select = find(library, "forksim_rule_select", f.select, problem);
  if (!find(library, "forksim_rule_destroy", f.destroy, problem) || !has_create || !has_select) return nullptr;
  plugin::Rule* rule = guarded(file, "forksim_rule_create", [&] { return f.create(plugin::kAbiVersion, cpus, seed); });
  if (!rule) {
    problem = "it refuses version " + std::to_string(plugin::kAbiVersion) + " of the interface (sim/placement/plugin.hpp)";
    return nullptr;
  }
  return std::make_unique<PluginRule>(library, f, rule, file);
}

}  // namespace forksim
