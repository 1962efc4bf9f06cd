// Index-addressed object pool with stable addresses.
//
// Purpose: tasks, mm, files ... live here; allocation on the hot path is a free-list pop (the slab's role in the kernel).
// Ownership: the pool owns all objects; an index is valid from alloc() to free(). Freed slots are reused last-in first-out, so
// the order of indices is deterministic. Errors: none (grows by chunks; std::bad_alloc ends a run).
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "kernel_model/base/types.hpp"

namespace forksim::km {

template <class T, u32 kChunk = 256>
class Pool {
 public:
  /// A fresh object and its index. Default-initialised: what a type leaves open, such as the frames of a task, costs nothing.
  u32 alloc() {
    u32 i;
    if (!free_.empty()) {
      i = free_.back();
      free_.pop_back();
    } else {
      i = size_++;
      if (i / kChunk == chunks_.size()) chunks_.push_back(std::make_unique<T[]>(kChunk));
    }
    T& slot = (*this)[i];
    std::destroy_at(&slot);
    std::uninitialized_default_construct_n(&slot, 1);
    ++live_;
    if (!free_.empty()) fetch((*this)[free_.back()]);
    return i;
  }
  void free(u32 i) {
    free_.push_back(i);
    --live_;
  }
  T& operator[](u32 i) { return chunks_[i / kChunk][i % kChunk]; }
  const T& operator[](u32 i) const { return chunks_[i / kChunk][i % kChunk]; }
  /// Objects allocated and not yet freed.
  u32 live() const { return live_; }
  /// Highest index ever handed out plus one.
  u32 capacity() const { return size_; }

 private:
  /// The next object to be made. It was used long ago where slots wait for a grace period, as those of tasks do.
  static void fetch(const T& slot) {
    constexpr std::size_t kLine = 64, kMost = 28;
    const char* at = reinterpret_cast<const char*>(&slot);
    for (std::size_t line = 0; line < std::min(kMost, (sizeof(T) + kLine - 1) / kLine); ++line) __builtin_prefetch(at + line * kLine, 1);
  }
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<u32> free_;
  u32 size_ = 0, live_ = 0;
};

}  // namespace forksim::km
