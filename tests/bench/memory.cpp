#include "tests/bench/memory.hpp"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace {
std::size_t in_use = 0;

void* take(std::size_t size) {
  void* p = std::malloc(size ? size : 1);
  if (p == nullptr) throw std::bad_alloc();
  in_use += malloc_usable_size(p);
  return p;
}
void give(void* p) {
  if (p == nullptr) return;
  in_use -= malloc_usable_size(p);
  std::free(p);
}
}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void operator delete(void* p) noexcept { give(p); }
void operator delete[](void* p) noexcept { give(p); }
void operator delete(void* p, std::size_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t) noexcept { give(p); }

namespace forksim::bench {
std::size_t bytes_in_use() { return in_use; }
}  // namespace forksim::bench
