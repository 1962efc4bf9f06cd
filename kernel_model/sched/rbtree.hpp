// The run queue's tree: entities in order of vruntime, leftmost cached.
//
// Purpose: tasks_timeline of a cfs_rq as an intrusive red-black tree; nothing is allocated and ties keep insertion order.
// Source:  the role of lib/rbtree.c and rb_root_cached in Linux 4.19; the algorithm is the textbook one (Cormen et al., chapter 13).
// Units:   keys are SchedEntity::vruntime, compared by signed difference. Ownership: none; an entity is in at most one tree.
// Errors:  none. Cost: O(log n); leftmost O(1).
#pragma once

#include "kernel_model/sched/entity.hpp"

namespace forksim::km {

/// Inserts behind every entity with an equal vruntime.
void enqueue_entity_tree(CfsRq& cfs_rq, SchedEntity& se);
void dequeue_entity_tree(CfsRq& cfs_rq, SchedEntity& se);
/// Successor in vruntime order, or null.
SchedEntity* rb_next(const SchedEntity& se);
/// Depth of black nodes on every path when the tree is a valid red-black tree in order, else -1. For tests.
int rb_black_height(const CfsRq& cfs_rq);

}  // namespace forksim::km
