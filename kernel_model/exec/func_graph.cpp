#include "kernel_model/exec/func_graph.hpp"

#include <algorithm>

#include "kernel_model/core.hpp"

namespace forksim::km {

namespace {
void emit(Core& k, const Cpu& c, Tp id, Fn f, std::size_t depth) {
  const Task& t = *c.cur;
  TraceEvent e{k.now(), id, k.trace_flags(c.id), static_cast<u8>(t.preempt_count), c.id, t.pid, t.comm, {}};
  e.args[0] = static_cast<u64>(f);
  e.args[1] = depth;
  k.trace().dispatch(e);
}
}  // namespace

std::vector<Fn>& FuncGraph::stack(const Task& t) {
  if (t.id.v >= stacks_.size()) stacks_.resize(t.id.v + 1);
  return stacks_[t.id.v];
}

void FuncGraph::forget(const Task& t) {
  if (t.id.v < stacks_.size()) stacks_[t.id.v].clear();
}

void FuncGraph::open(Core& k, const Cpu& c, Fn f) {
  std::vector<Fn>& s = stack(*c.cur);
  emit(k, c, Tp::funcgraph_entry, f, s.size());
  s.push_back(f);
}

void FuncGraph::close_to(Core& k, const Cpu& c, u8 depth) {
  std::vector<Fn>& s = stack(*c.cur);
  while (s.size() > depth) {
    const Fn f = s.back();
    s.pop_back();
    emit(k, c, Tp::funcgraph_exit, f, s.size());
  }
}

/// The first step of a frame: below it are the functions its caller is inside of; those of a step that was interrupted too.
void FuncGraph::begin(Ctx& x) {
  const u8 all = size(stack(*x.c.cur));
  const bool on_task = &x.st != &x.c.irq;
  const Frame* below = x.st.depth() > 1 ? &x.st.below_top() : on_task ? nullptr : &x.c.cur->frames.top();
  u8 base = 0;
  if (below) base = below->started() || below->fn_base == Frame::kNoFn ? all : below->fn_depth;
  x.f.fn_base = x.f.fn_depth = std::min(base, all);
}

void FuncGraph::step(Ctx x, const Step& s) {
  if (x.f.fn_base == Frame::kNoFn) begin(x);
  close_to(x.k, x.c, x.f.fn_depth);
  if (!s.marks) return;
  for (const FnMark* m = s.marks; m->kind != FnMark::Kind::end; ++m)
    if (!m->when || m->when(x)) apply(x, *m);
}

void FuncGraph::apply(Ctx& x, const FnMark& m) {
  switch (m.kind) {
    case FnMark::Kind::enter:
      return enter(x, m.fn);
    case FnMark::Kind::leave:
      return leave(x, m.fn);
    case FnMark::Kind::call:
      return call(x, m.fn);
    case FnMark::Kind::pay:
      return open(x.k, x.c, m.fn);
    case FnMark::Kind::end:
      return;
  }
}

void FuncGraph::call(Ctx& x, Fn f) {
  open(x.k, x.c, f);
  close_to(x.k, x.c, static_cast<u8>(stack(*x.c.cur).size() - 1));
}

void FuncGraph::enter(Ctx& x, Fn f) {
  open(x.k, x.c, f);
  x.f.fn_depth = size(stack(*x.c.cur));
}

void FuncGraph::leave(Ctx& x, Fn f) {
  const std::vector<Fn>& s = stack(*x.c.cur);
  for (u8 i = size(s); i > x.f.fn_base; --i) {
    if (s[i - 1u] != f) continue;
    close_to(x.k, x.c, static_cast<u8>(i - 1));
    x.f.fn_depth = std::min<u8>(x.f.fn_depth, static_cast<u8>(i - 1));
    return;
  }
}

void FuncGraph::leave_all(Ctx& x) { close_to(x.k, x.c, 0); }

bool FuncGraph::is_open(Ctx& x, Fn f) {
  const std::vector<Fn>& s = stack(*x.c.cur);
  for (u8 i = size(s); i > x.f.fn_base; --i)
    if (s[i - 1u] == f) return true;
  return false;
}

void FuncGraph::span_enter(Core& k, const Cpu& c, Fn f) {
  if (!paused_) open(k, c, f);
}

void FuncGraph::span_leave(Core& k, const Cpu& c) {
  if (!paused_) close_to(k, c, static_cast<u8>(stack(*c.cur).size() - 1));
}

FuncGraph::Lazy& FuncGraph::lazy(const Cpu& c) {
  if (c.id.v >= lazy_.size()) lazy_.resize(c.id.v + 1);
  return lazy_[c.id.v];
}

bool FuncGraph::switch_mm(const Cpu& c, const Mm* next) {
  Lazy& l = lazy(c);
  l.drop = 0;
  if (!next || l.mm == next) return false;
  l.drop = l.dead;
  l.dead = 0;
  l.mm = next;
  return true;
}

/// __mmdrop runs for the last CPU that had it.
bool FuncGraph::drop_mm(const Cpu& c) {
  const u64 mine = lazy(c).drop;
  lazy(c).drop = 0;
  return mine && std::none_of(lazy_.begin(), lazy_.end(), [&](const Lazy& l) { return l.dead == mine || l.drop == mine; });
}

void FuncGraph::mm_gone(const Mm* mm) {
  ++deaths_;
  for (Lazy& l : lazy_) {
    if (l.mm != mm) continue;
    l.mm = nullptr;
    l.dead = deaths_;
  }
}

void FuncGraph::ret(Core& k, const Cpu& c, const Frame& f) {
  if (f.fn_base != Frame::kNoFn) close_to(k, c, f.fn_base);
}

}  // namespace forksim::km
