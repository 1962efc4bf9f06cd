#include "sim/config/schema.hpp"

#include <algorithm>
#include <array>

#include "kernel_model/sched/placement_rule.hpp"
#include "kernel_model/user_space.hpp"
#include "kernel_model/cpufreq/policy.hpp"
#include "kernel_model/version/profile.hpp"

namespace forksim {

namespace {

constexpr ObjectInfo kObjects[] = {
#define OBJECT(id, doc) {id, doc},
#define KEY(...)
#define ACTION(...)
#define UNMODELLED(...)
#include "sim/config/schema.def"
#undef OBJECT
#undef ACTION
#undef UNMODELLED
#undef KEY
};

constexpr NamedDoc kActions[] = {
#define OBJECT(...)
#define KEY(...)
#define ACTION(name, doc) {name, doc},
#define UNMODELLED(...)
#include "sim/config/schema.def"
#undef OBJECT
#undef ACTION
#undef UNMODELLED
#undef KEY
};

constexpr NamedDoc kUnmodelled[] = {
#define OBJECT(...)
#define KEY(...)
#define ACTION(...)
#define UNMODELLED(name, doc) {name, doc},
#include "sim/config/schema.def"
#undef OBJECT
#undef ACTION
#undef UNMODELLED
#undef KEY
};

constexpr KeyInfo kKeys[] = {
#define OBJECT(...)
#define KEY(object, key, type, arg, def, range, help) {object, key, Type::type, arg, def, range, help},
#define ACTION(...)
#define UNMODELLED(...)
#include "sim/config/schema.def"
#undef OBJECT
#undef ACTION
#undef UNMODELLED
#undef KEY
};

constexpr SignalInfo kSignals[] = {
#define SIGNAL(name, number) {#name, number},
#include "sim/config/signals.def"
#undef SIGNAL
};
constexpr CloneFlagInfo kCloneFlags[] = {
#define CLONE_FLAG(name) {#name, km::k##name},
#include "sim/config/clone_flags.def"
#undef CLONE_FLAG
};
constexpr SyscallInfo kSyscalls[] = {
#define SYSCALL(name, number) {#name, number},
#include "sim/config/syscalls.def"
#undef SYSCALL
};

template <class Table>
std::vector<std::string_view> names(const Table& table) {
  std::vector<std::string_view> out;
  for (const auto& row : table) out.push_back(row.name);
  return out;
}

std::vector<std::string_view> placements(bool fork) {
  std::vector<std::string_view> out;
  for (const km::PlacementInfo& p : km::kPlacementTable)
    if (fork || !p.fork_only) out.push_back(p.name);
  return out;
}

}  // namespace

bool is_plugin_file(std::string_view arg, std::string_view text) {
  return arg.ends_with("placements") && text.size() > 3 && text.ends_with(".so");
}

std::span<const ObjectInfo> schema_objects() { return kObjects; }
std::span<const NamedDoc> schema_actions() { return kActions; }
std::span<const NamedDoc> schema_unmodelled() { return kUnmodelled; }
std::span<const SignalInfo> signal_table() { return kSignals; }
std::span<const CloneFlagInfo> clone_flag_table() { return kCloneFlags; }
std::span<const SyscallInfo> syscall_table() { return kSyscalls; }

std::span<const KeyInfo> keys_of(std::string_view object) {
  const auto* first = std::ranges::find(kKeys, object, &KeyInfo::object);
  const auto* last = std::find_if(first, std::end(kKeys), [&](const KeyInfo& k) { return k.object != object; });
  return {first, last};
}

const KeyInfo* find_key(std::string_view object, std::string_view key) {
  for (const KeyInfo& k : keys_of(object))
    if (k.key == key) return &k;
  return nullptr;
}

bool is_action(std::string_view name) { return std::ranges::find(kActions, name, &NamedDoc::name) != std::end(kActions); }

std::vector<std::string_view> choices(std::string_view arg, const Vocabulary& vocabulary) {
  if (arg == "@metrics") return vocabulary.metrics;
  if (arg == "@fork_placements" || arg == "@placements") return placements(arg == "@fork_placements");
  if (arg == "@kernels") return names(km::kernel_profiles());
  if (arg == "@governors") return {km::kGovernorNames.begin(), km::kGovernorNames.end()};
  if (arg == "@signals") return names(kSignals);
  if (arg == "@clone_flags") return names(kCloneFlags);
  if (arg == "@syscalls") return names(kSyscalls);
  std::vector<std::string_view> out;
  while (!arg.empty()) {
    const std::size_t bar = arg.find('|');
    const std::string_view word = arg.substr(0, bar);
    if (word == "@signals")
      for (const SignalInfo& s : kSignals) out.push_back(s.name);
    else
      out.push_back(word);
    arg.remove_prefix(bar == std::string_view::npos ? arg.size() : bar + 1);
  }
  return out;
}

}  // namespace forksim
