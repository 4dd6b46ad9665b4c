// Counts this test program's allocations, for the test that a chunk needs none.
#include <atomic>
#include <cstdlib>
#include <new>

namespace sluice::engine {
namespace {
std::atomic<size_t> allocations = 0;
}  // namespace

size_t AllocationCount();
size_t AllocationCount() { return allocations; }

void* CountedAllocate(size_t size);
void* CountedAllocate(size_t size) {
  ++allocations;
  void* at = std::malloc(size);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}

}  // namespace sluice::engine

void* operator new(size_t size) { return sluice::engine::CountedAllocate(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++sluice::engine::allocations;
  return std::malloc(size);
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, size_t) noexcept { std::free(at); }
