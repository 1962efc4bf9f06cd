#include "sim/output/process_table.hpp"

#include <algorithm>
#include <utility>

#include "kernel_model/user_space.hpp"
#include "sim/metrics/event_fields.hpp"
#include "sim/output/wchan.hpp"

namespace forksim {

using km::s64;
using km::u64;

namespace {
constexpr s64 kKthreadd = 2;
bool sleeps(char state) { return state != 'R' && !is_dead(state); }
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
  share(t, parent, 0);
  tasks_[r.pid] = std::move(t);
}

void ProcessTable::fork(const LifeRow& r) {
  const auto flags = static_cast<u64>(r.value);
  Task t;
  const Task* parent = find(r.other);
  if (parent) {
    t.row = parent->row;
    t.row.ppid = flags & (km::kCLONE_THREAD | km::kCLONE_PARENT) ? parent->row.ppid : parent->tgid;
    t.tgid = flags & km::kCLONE_THREAD ? parent->tgid : r.pid;
  } else {
    t.tgid = r.pid;
    t.row.ppid = r.other;
  }
  t.row.pid = r.pid;
  t.row.comm = r.text;
  if (r.other == kInitPid) t.row.command = r.text;
  share(t, parent, flags);
  if (Task* leader = find(t.tgid); leader && (flags & km::kCLONE_THREAD)) leader->most_threads = std::max(leader->most_threads, ++leader->threads);
  t.row.state = 'R';
  t.row.wchan.clear();
  t.row.start = r.time_ns;
  t.row.cputime = 0;
  tasks_[r.pid] = std::move(t);
}

void ProcessTable::run(const LifeRow& r) {
  const char letter = r.state.empty() ? 'R' : r.state[0];
  Task* prev = find(r.other);
  // A dead one that did not run is the old owner of a pid that a new task has by now.
  if (prev && (!is_dead(letter) || prev->running)) {
    prev->row.cputime = r.runtime_ns;
    prev->running = false;
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
  t.threads = t.most_threads = 1;
  tasks_.erase(r.pid);
  tasks_.insert(std::move(node));
}

void ProcessTable::release(s64 pid) {
  const auto it = tasks_.find(pid);
  if (it == tasks_.end()) return;
  if (std::exchange(it->second.leader_due, false)) return;
  if (Task* leader = find(it->second.tgid); leader && leader != &it->second) {
    leader->gone_threads += it->second.row.cputime;
    --leader->threads;
  }
  tasks_.erase(it);
}

void ProcessTable::attr(const LifeRow& r, const Task& t) {
  const s64 tgid = t.tgid;
  for (auto& [pid, other] : tasks_) {
    if (other.tgid != tgid) continue;
    other.row.pgrp = r.other;
    if (other.row.session != r.value) other.row.tty = -1;  // setsid
    other.row.session = r.value;
  }
}

void ProcessTable::reparent(const LifeRow& r, const Task& t) {
  const Task* reaper = find(r.other);
  const s64 tgid = t.tgid, ppid = reaper ? reaper->tgid : r.other;
  for (auto& [pid, other] : tasks_)
    if (other.tgid == tgid) other.row.ppid = ppid;
}

/// A terminal comes to a process, or its session loses it.
void ProcessTable::terminal(const LifeRow& r, const Task& t) {
  const s64 tgid = t.tgid, session = t.row.session;
  if (r.value >= 0) foreground_[r.value] = r.other;
  for (auto& [pid, other] : tasks_)
    if (r.value < 0 ? other.row.session == session : other.tgid == tgid) other.row.tty = r.value;
}

/// What copy_process shares; everything else is new. Kernel tasks have no address space.
void ProcessTable::share(Task& child, const Task* parent, u64 flags) {
  constexpr u64 kNewNs = km::kCLONE_NEWNS | km::kCLONE_NEWUTS | km::kCLONE_NEWIPC | km::kCLONE_NEWPID | km::kCLONE_NEWNET | km::kCLONE_NEWCGROUP;
  constexpr std::array<u64, kShared> kFlag{km::kCLONE_FILES, km::kCLONE_FS, km::kCLONE_SIGHAND, km::kCLONE_THREAD, km::kCLONE_VM, 0};
  for (std::size_t i = 0; i < kShared; ++i) {
    const bool shared = kFlag[i] ? flags & kFlag[i] : !(flags & kNewNs);
    child.objects[i] = parent && shared ? parent->objects[i] : ++objects_;
  }
  if (child.row.kernel || child.row.pid == kInitPid) object(child, Shared::mm) = 0;
}

/// unshare_files, exec_mmap, and a table of signal actions of its own.
void ProcessTable::exec(const LifeRow& r, Task& t) {
  t.row.comm = comm_of_file(r.text);
  t.row.command = r.text;
  t.threads = t.most_threads = 1;
  for (const Shared kind : {Shared::files, Shared::mm, Shared::sighand}) object(t, kind) = ++objects_;
}

void ProcessTable::change(const LifeEvent& e, Task& t) {
  switch (e.kind) {
    case LifeKind::user:
      t.row.uid = e.row.value;
      return;
    case LifeKind::tty:
      return terminal(e.row, t);
    case LifeKind::command:
      t.row.command = e.row.text;
      return;
    case LifeKind::memory:
      memory_[object(t, Shared::mm)] = {static_cast<u64>(e.row.value), static_cast<u64>(e.row.other), !e.row.state.empty()};
      return;
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
      return exec(e.row, t);
    case LifeKind::zombie:
      for (const Shared kind : {Shared::files, Shared::fs, Shared::mm, Shared::nsproxy}) object(t, kind) = 0;
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
    constexpr u64 kThreadStackPages = (8 * 1024 + 64) / 4;
    if (const auto tty = foreground_.find(row.tty); row.tty >= 0 && tty != foreground_.end()) row.tpgid = tty->second;
    const auto mm = memory_.find(t.objects[static_cast<std::size_t>(Shared::mm)]);
    if (mm == memory_.end()) continue;
    row.rss = mm->second.rss;
    row.vm = mm->second.vm + kThreadStackPages * (t.most_threads - 1);
    row.locked = mm->second.locked;
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

std::vector<RefRow> ProcessTable::references() const {
  std::map<std::pair<std::size_t, u64>, u64> users;
  for (const auto& [pid, t] : tasks_)
    for (std::size_t i = 0; i < kShared; ++i) ++users[{i, t.objects[i]}];
  std::vector<RefRow> out;
  for (const auto& [pid, t] : tasks_) {
    RefRow r{.pid = pid, .tgid = t.tgid, .state = t.row.state, .comm = t.row.comm, .users = {}};
    for (std::size_t i = 0; i < kShared; ++i) r.users[i] = t.objects[i] ? users[{i, t.objects[i]}] : 0;
    out.push_back(std::move(r));
  }
  return out;
}

ProcessTable table_at(const Life& life, u64 at) {
  ProcessTable table;
  for (const LifeEvent& e : life.events) {
    if (e.row.time_ns > at) break;
    table.apply(e);
  }
  return table;
}

std::vector<ProcessRow> processes_at(const Life& life, u64 at) { return table_at(life, at).rows(at); }

}  // namespace forksim
