// Memory for weights in pages of 2 MiB, where the system has them: the chip keeps the addresses of
// a few thousand pages at hand, and reads ahead within a page only.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>

namespace attune {

constexpr size_t kHugePage = 2 << 20;

// Neighbours lie in one chunk, which lives as long as any of them. Filled by whoever asked for it;
// aligned to 64 bytes.
inline std::shared_ptr<char> room_for(size_t bytes) {
  static std::mutex mutex;
  static std::shared_ptr<char> chunk;
  static size_t size = 0, used = 0;
  std::lock_guard lock(mutex);
  bytes = (bytes + 63) / 64 * 64;
  if (!chunk || used + bytes > size) {
    size = (std::max(bytes, 4 * kHugePage) + kHugePage - 1) / kHugePage * kHugePage;
    used = 0;
    char* memory = (char*)std::aligned_alloc(kHugePage, size);
    if (!memory) throw std::bad_alloc();
    madvise(memory, size, MADV_HUGEPAGE);  // advice: without it all is as well, and slower
    chunk.reset(memory, std::free);
  }
  std::shared_ptr<char> room(chunk, chunk.get() + used);
  used += bytes;
  return room;
}

}  // namespace attune
