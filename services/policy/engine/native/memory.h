// Memory as the chip likes it: vectors that begin where a cache line does, since a load across two
// lines takes twice as long, and weights in pages of 2 MiB.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace attune {

constexpr size_t kCacheLine = 64, kHugePage = 2 << 20;

template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t count) {
    return (T*)::operator new(count * sizeof(T), std::align_val_t(kCacheLine));
  }
  void deallocate(T* memory, size_t) { ::operator delete(memory, std::align_val_t(kCacheLine)); }
  bool operator==(const LineAllocator&) const { return true; }
};
using FloatVector = std::vector<float, LineAllocator<float>>;

// Memory of the system's own, given back whole, so that versions that come and go leave no holes.
inline std::shared_ptr<char> mapped(size_t size) {
  const size_t length = size + kHugePage;  // what alignment leaves over is never touched
  void* memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  const uintptr_t aligned = ((uintptr_t)memory + kHugePage - 1) / kHugePage * kHugePage;
#if defined(MADV_HUGEPAGE)
  madvise((void*)aligned, size, MADV_HUGEPAGE);  // advice: without it all is as well, and slower
#endif
  return {(char*)aligned, [memory, length](char*) { munmap(memory, length); }};
}

// Room for weights, aligned to a cache line. The chip keeps the addresses of a few thousand pages
// at hand and reads ahead within a page only, so pages are huge where the system has such. What
// is asked for in turn lies in one chunk, which lives as long as any of it is in use.
inline std::shared_ptr<char> room_for(size_t bytes) {
  static std::mutex mutex;
  static std::shared_ptr<char> chunk;
  static size_t size = 0, used = 0;
  std::lock_guard lock(mutex);
  bytes = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  if (!chunk || used + bytes > size) {
    size = (std::max(bytes, 4 * kHugePage) + kHugePage - 1) / kHugePage * kHugePage;
    used = 0;
    chunk = mapped(size);
  }
  std::shared_ptr<char> room(chunk, chunk.get() + used);
  used += bytes;
  return room;
}

}  // namespace attune
