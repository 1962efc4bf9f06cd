#include "sim/output/graph_writer.hpp"

#include <algorithm>
#include <utility>

namespace forksim {

using km::Fn;
using km::Tp;
using km::TraceEvent;
using km::u32;
using km::u64;

namespace {
constexpr std::size_t kBlock = 1 << 16;
/// Functions of the section .irqentry.text, between which the arrows are drawn.
bool irq_entry(Fn f) { return f == Fn::gic_handle_irq; }
}  // namespace

GraphWriter::GraphWriter(const std::filesystem::path& file, const km::NameTable& names, u32 cpus, GraphOptions options)
    : file_(file),
      names_(names),
      events_text_(names),
      options_(std::move(options)),
      text_(options_.layout, cpus),
      idle_(cpus),
      waiting_(cpus, kNone) {
  text_.append_header(buffer_);
}

km::TpSet GraphWriter::events() const {
  km::TpSet all = options_.events;
  for (Tp t : {Tp::funcgraph_entry, Tp::funcgraph_exit, Tp::de_thread}) all.set(static_cast<std::size_t>(t));
  return all;
}

GraphWriter::TaskStack& GraphWriter::stack_of(const TraceEvent& e) {
  if (e.pid.v <= 0) return idle_[e.cpu.v];
  const auto i = static_cast<std::size_t>(e.pid.v);
  if (i >= tasks_.size()) tasks_.resize(i + 1);
  return tasks_[i];
}

/// trace_graph_entry: not below a root, too deep, in an interrupt that is not wanted, or not a symbol of its own.
bool GraphWriter::hidden(const TaskStack& s, Fn f, u32 depth) const {
  if (!options_.layout.inlined && info(f).inlined) return true;
  if (!options_.layout.irqs && depth >= s.irq) return true;
  if (s.shown.empty() && !options_.roots.empty() && !options_.roots[static_cast<std::size_t>(f)]) return true;
  return options_.layout.depth && s.shown.size() >= options_.layout.depth;
}

void GraphWriter::on_event(const TraceEvent& e) {
  if (e.id == Tp::funcgraph_entry) return enter(e);
  if (e.id == Tp::funcgraph_exit) return leave(e);
  if (e.id == Tp::de_thread) change_pid(static_cast<std::size_t>(e.args[1]), static_cast<std::size_t>(e.args[0]));
  if (!options_.events[static_cast<std::size_t>(e.id)]) return;
  Record r{Kind::comment, false, Fn::count_, 0, e.cpu.v, e.pid.v, e.comm, e.ts.v, 0, {}};
  if (e.id == Tp::print) {
    r.text = names_[km::NameId(static_cast<u32>(e.args[0]))];
  } else {
    r.text = km::tracepoint_table()[static_cast<std::size_t>(e.id)].name;
    r.text += ": ";
    events_text_.append_fields(e, r.text);
  }
  add(std::move(r));
}

/// execve of a thread: it goes on under its leader's number.
void GraphWriter::change_pid(std::size_t from, std::size_t to) {
  tasks_.resize(std::max(tasks_.size(), std::max(from, to) + 1));
  tasks_[to] = std::exchange(tasks_[from], {});
}

void GraphWriter::enter(const TraceEvent& e) {
  TaskStack& s = stack_of(e);
  const Fn f = static_cast<Fn>(e.args[0]);
  const u32 depth = static_cast<u32>(e.args[1]);
  // what a task that never returned has left behind
  while (!s.shown.empty() && s.shown.back().depth >= depth) s.shown.pop_back();
  if (s.irq != kNoIrq && depth <= s.irq) s.irq = kNoIrq;
  if (irq_entry(f)) s.irq = depth;
  if (hidden(s, f, depth)) return;
  add({Kind::waiting, irq_entry(f), f, static_cast<u32>(s.shown.size()), e.cpu.v, e.pid.v, e.comm, e.ts.v, 0, {}});
  s.shown.push_back({f, depth, e.ts.v});
}

void GraphWriter::leave(const TraceEvent& e) {
  TaskStack& s = stack_of(e);
  const u32 depth = static_cast<u32>(e.args[1]);
  if (depth == s.irq) s.irq = kNoIrq;
  while (!s.shown.empty() && s.shown.back().depth > depth) s.shown.pop_back();
  if (s.shown.empty() || s.shown.back().depth != depth) return;
  const Open o = s.shown.back();
  s.shown.pop_back();
  add({Kind::exit, irq_entry(o.fn), o.fn, static_cast<u32>(s.shown.size()), e.cpu.v, e.pid.v, e.comm, e.ts.v, e.ts.v - o.since, {}});
}

/// get_return_for_leaf: an entry whose next record on the CPU is its own return is a leaf, and the return is used up.
void GraphWriter::add(Record r) {
  u64& waiting = waiting_[r.cpu];
  if (waiting != kNone) {
    Record& before = queue_[waiting - first_];
    waiting = kNone;
    if (r.kind == Kind::exit && r.fn == before.fn && r.pid == before.pid) {
      before.kind = Kind::leaf;
      before.duration = r.duration;
      return write_ready(false);
    }
    before.kind = Kind::entry;
  }
  if (r.kind == Kind::waiting) waiting = first_ + queue_.size();
  queue_.push_back(std::move(r));
  write_ready(false);
}

void GraphWriter::write_ready(bool all) {
  while (!queue_.empty() && (all || queue_.front().kind != Kind::waiting)) {
    write(queue_.front());
    queue_.pop_front();
    ++first_;
  }
  if (buffer_.size() < kBlock) return;
  file_.write(buffer_);
  buffer_.clear();
}

/// System calls have the prefix of their architecture.
std::string_view GraphWriter::name_of(Fn f) {
  const std::string_view name = km::info(f).name;
  if (!options_.arm64 || !name.starts_with("sys_")) return name;
  name_ = "__arm64_";
  return name_ += name;
}

void GraphWriter::write(const Record& r) {
  const GraphPoint p{r.ts, r.cpu, r.pid, names_[r.comm]};
  switch (r.kind) {
    case Kind::leaf:
      return text_.append_leaf(p, name_of(r.fn), r.depth, r.duration, r.irq, buffer_);
    case Kind::exit:
      return text_.append_return(p, name_of(r.fn), r.depth, r.duration, r.irq, buffer_);
    case Kind::comment:
      return text_.append_comment(p, r.text, buffer_);
    case Kind::waiting:
    case Kind::entry:
      return text_.append_entry(p, name_of(r.fn), r.depth, r.irq, buffer_);
  }
}

void GraphWriter::close() {
  write_ready(true);
  file_.write(buffer_);
  buffer_.clear();
  file_.close();
}

}  // namespace forksim
