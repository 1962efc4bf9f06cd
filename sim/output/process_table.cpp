#include "sim/output/process_table.hpp"

#include <utility>

#include "kernel_model/user_space.hpp"
#include "sim/output/wchan.hpp"

namespace forksim {

using km::s64;
using km::u64;

namespace {
constexpr s64 kInit = 1, kKthreadd = 2;
bool sleeps(char state) { return state != 'R' && state != 'Z' && state != 'X'; }
}  // namespace

ProcessTable::Task* ProcessTable::find(s64 pid) {
  const auto it = tasks_.find(pid);
  return it == tasks_.end() ? nullptr : &it->second;
}

void ProcessTable::boot(const LifeRow& r) {
  Task t;
  const Task* parent = find(r.other);
  t.tgid = t.row.pid = r.pid;
  t.row.ppid = r.other;
  t.row.kernel = r.pid == kKthreadd || (parent && parent->row.kernel);
  t.row.comm = t.row.command = r.text;
  t.row.prio = r.value;
  t.row.state = r.state.empty() ? 'R' : r.state[0];
  if (sleeps(t.row.state)) t.row.wchan = wchan_of_loop(r.text);
  tasks_[r.pid] = std::move(t);
}

void ProcessTable::fork(const LifeRow& r) {
  const auto flags = static_cast<u64>(r.value);
  Task t;
  if (const Task* parent = find(r.other)) {
    t.row = parent->row;
    t.row.ppid = flags & (km::kCLONE_THREAD | km::kCLONE_PARENT) ? parent->row.ppid : parent->tgid;
    t.tgid = flags & km::kCLONE_THREAD ? parent->tgid : r.pid;
  } else {
    t.tgid = r.pid;
    t.row.ppid = r.other;
  }
  t.row.pid = r.pid;
  t.row.comm = r.text;
  if (r.other == kInit) t.row.command = r.text;
  t.row.state = 'R';
  t.row.wchan.clear();
  t.row.start = r.time_ns;
  t.row.cputime = 0;
  tasks_[r.pid] = std::move(t);
}

void ProcessTable::run(const LifeRow& r) {
  if (Task* prev = find(r.other)) {
    prev->row.cputime = r.runtime_ns;
    prev->running = false;
    const char letter = r.state.empty() ? 'R' : r.state[0];
    if (prev->row.state == 'R') prev->row.state = letter;
    if (sleeps(prev->row.state)) prev->row.wchan = r.text.empty() ? std::string(wchan_of_loop(prev->row.comm)) : r.text;
  }
  Task* next = find(r.pid);
  if (!next) return;
  next->running = true;
  next->since = r.time_ns;
  next->row.prio = r.value;
  next->row.wchan.clear();
  if (sleeps(next->row.state)) next->row.state = 'R';
}

/// A thread that execs goes on under its leader's pid.
void ProcessTable::take_over(const LifeRow& r) {
  auto node = tasks_.extract(r.other);
  if (node.empty()) return;
  Task& t = node.mapped();
  if (const Task* leader = find(r.pid)) t.gone_threads = leader->gone_threads + leader->row.cputime;
  t.leader_due = true;
  node.key() = t.row.pid = t.tgid = r.pid;
  tasks_.erase(r.pid);
  tasks_.insert(std::move(node));
}

void ProcessTable::release(s64 pid) {
  const auto it = tasks_.find(pid);
  if (it == tasks_.end()) return;
  if (std::exchange(it->second.leader_due, false)) return;
  if (Task* leader = find(it->second.tgid); leader && leader != &it->second) leader->gone_threads += it->second.row.cputime;
  tasks_.erase(it);
}

void ProcessTable::attr(const LifeRow& r, const Task& t) {
  const s64 tgid = t.tgid;
  for (auto& [pid, other] : tasks_) {
    if (other.tgid != tgid) continue;
    other.row.pgrp = r.other;
    other.row.session = r.value;
  }
}

void ProcessTable::reparent(const LifeRow& r, const Task& t) {
  const Task* reaper = find(r.other);
  const s64 tgid = t.tgid, ppid = reaper ? reaper->tgid : r.other;
  for (auto& [pid, other] : tasks_)
    if (other.tgid == tgid) other.row.ppid = ppid;
}

void ProcessTable::change(const LifeEvent& e, Task& t) {
  switch (e.kind) {
    case LifeKind::attr:
      return attr(e.row, t);
    case LifeKind::reparent:
      return reparent(e.row, t);
    case LifeKind::prio:
    case LifeKind::queued:
      t.row.prio = e.row.value;
      return;
    case LifeKind::waking:
      if (!sleeps(t.row.state)) return;
      t.row.state = 'R';
      t.row.wchan.clear();
      return;
    case LifeKind::name:
      t.row.comm = e.row.text;
      return;
    case LifeKind::exec:
      t.row.comm = comm_of_file(e.row.text);
      t.row.command = e.row.text;
      return;
    case LifeKind::zombie:
      t.row.state = e.row.value ? 'X' : 'Z';
      return;
    default:
      return;
  }
}

void ProcessTable::apply(const LifeEvent& e) {
  switch (e.kind) {
    case LifeKind::boot:
      return boot(e.row);
    case LifeKind::fork:
      return fork(e.row);
    case LifeKind::run:
      return run(e.row);
    case LifeKind::takeover:
      return take_over(e.row);
    case LifeKind::reaped:
      return release(e.row.pid);
    default:
      if (Task* t = find(e.row.pid)) change(e, *t);
  }
}

std::vector<ProcessRow> ProcessTable::rows(u64 now) const {
  std::map<s64, ProcessRow> groups;
  for (const auto& [pid, t] : tasks_) {
    if (t.tgid != pid) continue;
    ProcessRow& row = groups[pid] = t.row;
    row.threads = 0;
    row.cputime = t.gone_threads;
  }
  for (const auto& [pid, t] : tasks_) {
    const auto group = groups.find(t.tgid);
    if (group == groups.end()) continue;
    ++group->second.threads;
    group->second.cputime += t.row.cputime + (t.running ? now - t.since : 0);
  }
  std::vector<ProcessRow> out;
  for (auto& [pid, row] : groups) out.push_back(std::move(row));
  return out;
}

std::vector<ProcessRow> processes_at(const Life& life, u64 at) {
  ProcessTable table;
  for (const LifeEvent& e : life.events) {
    if (e.row.time_ns > at) break;
    table.apply(e);
  }
  return table.rows(at);
}

}  // namespace forksim
