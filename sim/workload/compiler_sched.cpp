// Policies, groups and the actions that change how a task is scheduled: parts of Compiler.
#include <algorithm>

#include "sim/config/suggest.hpp"
#include "sim/workload/compiler.hpp"

namespace forksim {

namespace {

struct PolicyName {
  std::string_view name;
  km::SchedPolicy policy;
};
constexpr PolicyName kPolicies[] = {{"other", km::SchedPolicy::normal}, {"batch", km::SchedPolicy::batch},
                                    {"idle", km::SchedPolicy::idle},    {"fifo", km::SchedPolicy::fifo},
                                    {"rr", km::SchedPolicy::rr},        {"deadline", km::SchedPolicy::fifo}};
constexpr u32 kDeadlinePriority = 99;
constexpr s64 kMinQuotaUs = 1000;

}  // namespace

/// policy and priority of a process, a start item or an action.
PolicyChoice Compiler::policy_choice(const Value& map) {
  PolicyChoice c;
  const Value &name = map["policy"], &priority = map["priority"];
  const auto* known = std::ranges::find(kPolicies, name.text, &PolicyName::name);
  const bool rt = name.text == "fifo" || name.text == "rr";
  const bool unknown = name && known == std::end(kPolicies);  // the reader has said so
  if (priority && !rt && !unknown) error(priority, "priority belongs to fifo and rr", "leave it out, or give policy: fifo or rr");
  if (!name || unknown) return c;
  if (rt && !priority) error(name, name.text + " needs a priority", "priority: 1..99, 99 is the most urgent");
  c = {true, name.text == "deadline", known->policy, static_cast<u32>(priority.num)};
  if (!c.deadline) return c;
  c.rt_priority = kDeadlinePriority;
  if (!tree_["allow_unmodelled"].num)
    error(name, "policy \"deadline\" is not modelled in this version", "allowed are other, batch, idle, fifo, rr",
          "--allow-unmodelled runs it as fifo with priority 99 and counts it");
  return c;
}

void Compiler::declare_groups() {
  for (const Value& v : tree_["cgroups"].items) {
    km::GroupSpec g;
    w_.texts.push_back(v["name"].text);
    g.name = w_.texts.back();
    g.parent = group(v["parent"]);
    g.shares = static_cast<u64>(v["shares"].num);
    g.placement = placement_of(v["placement"]);
    g.cfs_period_us = static_cast<u64>(v["cfs_period_us"].num);
    const s64 quota = v["cfs_quota_us"].num;
    if (quota >= 0) g.cfs_quota_us = static_cast<u64>(quota);
    if (quota >= 0 && quota < kMinQuotaUs)
      error(v["cfs_quota_us"], "a quota of " + std::to_string(quota) + " us is refused by the kernel (EINVAL)", "at least 1000, or -1");
    else
      check_quota(v["cfs_quota_us"], g);
    w_.groups.push_back(g);
    if (v["name"].text == "root" || !group_index_.emplace(v["name"].text, static_cast<u32>(w_.groups.size())).second)
      error(v["name"], "\"" + v["name"].text + "\" is declared twice", "each group has its own name, and root is there from the start");
  }
}

/// __cfs_schedulable: a group may not be given more than the nearest limit above it.
void Compiler::check_quota(const Value& place, const km::GroupSpec& spec) {
  if (spec.cfs_quota_us == km::GroupSpec::kNoQuota) return;
  auto ratio = [](const km::GroupSpec& g) { return (g.cfs_quota_us << 20) / g.cfs_period_us; };
  for (u32 up = spec.parent; up; up = w_.groups[up - 1].parent) {
    const km::GroupSpec& above = w_.groups[up - 1];
    if (above.cfs_quota_us == km::GroupSpec::kNoQuota) continue;
    if (ratio(spec) > ratio(above))
      error(place, "the group is given more than \"" + std::string(above.name) + "\" above it has (EINVAL)",
            "quota / period of at most " + std::to_string(above.cfs_quota_us) + " / " + std::to_string(above.cfs_period_us));
    return;
  }
}

/// Index + 1 of a group; 0 for none, or the root.
u32 Compiler::group(const Value& name) {
  if (!name || name.text.empty() || name.text == "root") return 0;
  const auto it = group_index_.find(name.text);
  if (it != group_index_.end()) return it->second;
  std::vector<std::string_view> names;
  for (const auto& [known, unused] : group_index_) names.push_back(known);
  error(name, "there is no group \"" + name.text + "\"",
        names.empty() ? "the file declares no groups (cgroups) before this place" : "groups are " + one_of(names),
        did_you_mean(name.text, names));
  return 0;
}

/// nice, affinity, policy, cgroup: of the task itself, or of children named by `of`.
void Compiler::sched_action(Scope& s, const Value& v, const std::string& action) {
  Instr i;
  i.on_error = policy(v["on_error"]);
  if (action == "nice") {
    i.code = Code::nice;
    number(s, i, v["nice"], action);
    if (i.source != NumSource::constant)
      error(v["nice"], "the value must be constant", "parameters of the file may be used, loop indexes may not");
  } else if (action == "affinity") {
    i.code = Code::affinity;
    i.a = static_cast<u32>(w_.masks.size());
    w_.masks.push_back(mask_of(v["affinity"]));
  } else if (action == "cgroup") {
    i.code = Code::cgroup;
    i.a = group(v["cgroup"]);
  } else {
    const PolicyChoice c = policy_choice(v);
    i.code = Code::policy;
    i.arg = static_cast<u8>(c.policy);
    i.num = c.rt_priority;
    i.b = c.deadline;
    i.flag = v["reset_on_fork"].num != 0;
  }
  if (v["of"]) return each_child(s, v, v["of"].text, i);
  if (v["at"]) error(v["at"], "`at` belongs to children with a name", "give `of`, or leave it out");
  leaves(s, i, v);
  emit(i);
}

}  // namespace forksim
