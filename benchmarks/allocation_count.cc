#include "benchmarks/allocation_count.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace sluice::bench {
namespace {
std::atomic<size_t> allocations = 0;
}  // namespace

size_t AllocationCount() { return allocations; }

void* CountedAllocate(size_t size);
void* CountedAllocate(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* at = std::malloc(size);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

}  // namespace sluice::bench

void* operator new(size_t size) { return sluice::bench::CountedAllocate(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  sluice::bench::allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size);
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
