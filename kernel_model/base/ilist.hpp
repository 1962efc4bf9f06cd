// Intrusive doubly linked list with a head, in the manner of the kernel's list_head.
//
// Purpose: children, run-queue task lists, wait queues: order is insertion order and never depends on addresses.
// Ownership: none; a node must be unlinked before its object goes. Errors: none. Cost: O(1) per operation, no allocation.
#pragma once

#include <cstddef>

namespace forksim::km {

template <class T>
struct ListNode {
  T* next = nullptr;
  T* prev = nullptr;
};

template <class T, ListNode<T> T::* Member>
class IList {
 public:
  bool empty() const { return head_ == nullptr; }
  T* front() const { return head_; }
  T* back() const { return tail_; }
  static T* next(const T* t) { return (t->*Member).next; }
  static T* prev(const T* t) { return (t->*Member).prev; }
  void push_back(T* t) {
    (t->*Member) = {nullptr, tail_};
    (tail_ ? (tail_->*Member).next : head_) = t;
    tail_ = t;
  }
  void push_front(T* t) {
    (t->*Member) = {head_, nullptr};
    (head_ ? (head_->*Member).prev : tail_) = t;
    head_ = t;
  }
  void insert_before(T* pos, T* t) {
    (t->*Member) = {pos, prev(pos)};
    (prev(pos) ? (prev(pos)->*Member).next : head_) = t;
    (pos->*Member).prev = t;
  }
  void insert_after(T* pos, T* t) {
    if (next(pos))
      insert_before(next(pos), t);
    else
      push_back(t);
  }
  void remove(T* t) {
    ListNode<T>& n = t->*Member;
    (n.prev ? (n.prev->*Member).next : head_) = n.next;
    (n.next ? (n.next->*Member).prev : tail_) = n.prev;
    n = {};
  }
  void move_front(T* t) {
    remove(t);
    push_front(t);
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace forksim::km
