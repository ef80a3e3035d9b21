// Memory that begins at a cache line, as vector instructions like it.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <new>
#include <vector>

namespace compnn {

// Vectors of numbers that it is for do not set those that they add without a value: memory of many
// megabytes is best touched first by the threads that fill it.
template <typename T>
struct CacheLineAllocator {
  using value_type = T;

  CacheLineAllocator() = default;
  template <typename U>
  explicit CacheLineAllocator(const CacheLineAllocator<U>&) {}

  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    void* memory = ::operator new(bytes, alignment(count));
#if defined(__linux__)
    // Only advice: most of the time for fresh memory goes into its pages.
    if (alignment(count) == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) { ::operator delete(memory, alignment(count)); }

  template <typename U>
  void construct(U* at) {
    ::new (static_cast<void*>(at)) U;
  }

  friend bool operator==(const CacheLineAllocator&, const CacheLineAllocator&) { return true; }
  friend bool operator!=(const CacheLineAllocator&, const CacheLineAllocator&) { return false; }

 private:
  static constexpr std::align_val_t kCacheLine{64}, kHugePage{std::size_t{2} << 20};

  static std::align_val_t alignment(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    return bytes >= 2 * static_cast<std::size_t>(kHugePage) ? kHugePage : kCacheLine;
  }
};

template <typename T>
using AlignedVector = std::vector<T, CacheLineAllocator<T>>;

}  // namespace compnn
