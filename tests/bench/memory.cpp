#include "tests/bench/memory.hpp"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace {
std::size_t in_use = 0;

void* counted(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  in_use += malloc_usable_size(p);
  return p;
}
void* take(std::size_t size) { return counted(std::malloc(size ? size : 1)); }
void* take(std::size_t size, std::align_val_t align) {
  const std::size_t a = static_cast<std::size_t>(align);
  return counted(std::aligned_alloc(a, (size + a - 1) / a * a));
}
void give(void* p) {
  if (p == nullptr) return;
  in_use -= malloc_usable_size(p);
  std::free(p);
}
}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void* operator new(std::size_t size, std::align_val_t align) { return take(size, align); }
void* operator new[](std::size_t size, std::align_val_t align) { return take(size, align); }
void operator delete(void* p) noexcept { give(p); }
void operator delete[](void* p) noexcept { give(p); }
void operator delete(void* p, std::size_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t) noexcept { give(p); }
void operator delete(void* p, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give(p); }

namespace forksim::bench {
std::size_t bytes_in_use() { return in_use; }
}  // namespace forksim::bench
