#include "kernel_model/sched/rbtree.hpp"

namespace forksim::km {

namespace {

bool is_red(const SchedEntity* n) { return n && n->rb.red; }

/// Puts `with` (may be null) where `node` hangs below its parent.
void replace_child(CfsRq& q, SchedEntity* node, SchedEntity* with) {
  SchedEntity* p = node->rb.parent;
  if (!p)
    q.root = with;
  else if (p->rb.left == node)
    p->rb.left = with;
  else
    p->rb.right = with;
  if (with) with->rb.parent = p;
}

void rotate_left(CfsRq& q, SchedEntity* x) {
  SchedEntity* y = x->rb.right;
  replace_child(q, x, y);
  x->rb.right = y->rb.left;
  if (x->rb.right) x->rb.right->rb.parent = x;
  y->rb.left = x;
  x->rb.parent = y;
}

void rotate_right(CfsRq& q, SchedEntity* x) {
  SchedEntity* y = x->rb.left;
  replace_child(q, x, y);
  x->rb.left = y->rb.right;
  if (x->rb.left) x->rb.left->rb.parent = x;
  y->rb.right = x;
  x->rb.parent = y;
}

void insert_fixup(CfsRq& q, SchedEntity* n) {
  while (is_red(n->rb.parent)) {
    SchedEntity* p = n->rb.parent;
    SchedEntity* g = p->rb.parent;
    const bool left = p == g->rb.left;
    SchedEntity* uncle = left ? g->rb.right : g->rb.left;
    if (is_red(uncle)) {
      p->rb.red = uncle->rb.red = false;
      g->rb.red = true;
      n = g;
      continue;
    }
    if (n == (left ? p->rb.right : p->rb.left)) {
      n = p;
      left ? rotate_left(q, n) : rotate_right(q, n);
      p = n->rb.parent;
    }
    p->rb.red = false;
    g->rb.red = true;
    left ? rotate_right(q, g) : rotate_left(q, g);
  }
  q.root->rb.red = false;
}

/// Repairs the tree after a black node above `n` (possibly null, child of `p`) was removed.
void erase_fixup(CfsRq& q, SchedEntity* n, SchedEntity* p) {
  while (n != q.root && !is_red(n)) {
    const bool left = n == p->rb.left;
    SchedEntity* w = left ? p->rb.right : p->rb.left;
    if (w->rb.red) {
      w->rb.red = false;
      p->rb.red = true;
      left ? rotate_left(q, p) : rotate_right(q, p);
      w = left ? p->rb.right : p->rb.left;
    }
    if (!is_red(w->rb.left) && !is_red(w->rb.right)) {
      w->rb.red = true;
      n = p;
      p = n->rb.parent;
      continue;
    }
    if (SchedEntity* near = left ? w->rb.left : w->rb.right; !is_red(left ? w->rb.right : w->rb.left)) {
      near->rb.red = false;
      w->rb.red = true;
      left ? rotate_right(q, w) : rotate_left(q, w);
      w = left ? p->rb.right : p->rb.left;
    }
    w->rb.red = p->rb.red;
    p->rb.red = false;
    (left ? w->rb.right : w->rb.left)->rb.red = false;
    left ? rotate_left(q, p) : rotate_right(q, p);
    n = q.root;
  }
  if (n) n->rb.red = false;
}

int black_height(const SchedEntity* n) {
  if (!n) return 0;
  const SchedEntity *l = n->rb.left, *r = n->rb.right;
  if ((l && (l->rb.parent != n || n->vruntime.before(l->vruntime))) || (r && (r->rb.parent != n || r->vruntime.before(n->vruntime))))
    return -1;
  if (n->rb.red && (is_red(l) || is_red(r))) return -1;
  const int hl = black_height(l);
  return hl < 0 || hl != black_height(r) ? -1 : hl + !n->rb.red;
}

}  // namespace

void enqueue_entity_tree(CfsRq& q, SchedEntity& se) {
  if (!q.root) {
    se.rb = {};
    q.root = q.leftmost = &se;
    return;
  }
  SchedEntity *parent = nullptr, **link = &q.root;
  bool leftmost = true;
  while (*link) {
    parent = *link;
    if (se.vruntime.before(parent->vruntime)) {
      link = &parent->rb.left;
    } else {
      link = &parent->rb.right;
      leftmost = false;
    }
  }
  se.rb = {parent, nullptr, nullptr, true};
  *link = &se;
  if (leftmost) q.leftmost = &se;
  insert_fixup(q, &se);
}

void dequeue_entity_tree(CfsRq& q, SchedEntity& se) {
  if (q.root == &se && !se.rb.left && !se.rb.right) {
    q.root = q.leftmost = nullptr;
    return;
  }
  if (q.leftmost == &se) q.leftmost = rb_next(se);
  SchedEntity *child, *child_parent;
  bool removed_red;
  if (se.rb.left && se.rb.right) {
    SchedEntity* s = se.rb.right;
    while (s->rb.left) s = s->rb.left;
    removed_red = s->rb.red;
    child = s->rb.right;
    child_parent = s->rb.parent == &se ? s : s->rb.parent;
    if (s->rb.parent != &se) {
      replace_child(q, s, child);
      s->rb.right = se.rb.right;
      s->rb.right->rb.parent = s;
    }
    replace_child(q, &se, s);
    s->rb.left = se.rb.left;
    s->rb.left->rb.parent = s;
    s->rb.red = se.rb.red;
  } else {
    removed_red = se.rb.red;
    child = se.rb.left ? se.rb.left : se.rb.right;
    child_parent = se.rb.parent;
    replace_child(q, &se, child);
  }
  if (!removed_red && q.root) erase_fixup(q, child, child_parent);
  se.rb = {};
}

SchedEntity* rb_next(const SchedEntity& se) {
  if (SchedEntity* n = se.rb.right) {
    while (n->rb.left) n = n->rb.left;
    return n;
  }
  const SchedEntity* n = &se;
  while (n->rb.parent && n == n->rb.parent->rb.right) n = n->rb.parent;
  return n->rb.parent;
}

int rb_black_height(const CfsRq& q) { return is_red(q.root) ? -1 : black_height(q.root); }

}  // namespace forksim::km
