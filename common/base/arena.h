// Memory for one batch: taken piece by piece, given back all at once, kept for the next batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "common/base/short_bytes.h"

namespace sluice::base {

// Bump allocator. What it hands out stays in place until Reset(); Reset() keeps the blocks, so that
// a steady load allocates nothing. Not thread-safe.
class Arena {
 public:
  explicit Arena(size_t block_bytes = 64 * 1024) : block_bytes_(block_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  char* Allocate(size_t size, size_t alignment = 1) {
    uintptr_t at = (next_ + alignment - 1) & ~(alignment - 1);
    if (at + size > end_) [[unlikely]]
      return AllocateFromNextBlock(size, alignment);
    next_ = at + size;
    return reinterpret_cast<char*>(at);
  }

  // Of the last Allocate(), what lies from `end` on is free again.
  void GiveBack(const char* end) { next_ = reinterpret_cast<uintptr_t>(end); }

  // Uninitialised room for `count` objects of a trivial type.
  template <typename T>
  T* AllocateArray(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    return reinterpret_cast<T*>(Allocate(count * sizeof(T), alignof(T)));
  }

  std::string_view Copy(std::string_view text) {
    if (text.empty()) return {};
    char* at = Allocate(text.size());
    CopyShort(at, text.data(), text.size());
    return {at, text.size()};
  }

  void Reset() {
    current_ = 0;
    next_ = end_ = 0;
    if (!blocks_.empty()) Use(0);
  }

  // Bytes held, used or not.
  size_t capacity() const { return capacity_; }

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size;
  };

  char* AllocateFromNextBlock(size_t size, size_t alignment) {
    size_t needed = size + alignment;
    size_t index = blocks_.empty() || end_ == 0 ? current_ : current_ + 1;
    while (index < blocks_.size() && blocks_[index].size < needed) ++index;
    if (index >= blocks_.size()) {
      size_t bytes = needed > block_bytes_ ? needed : block_bytes_;
      blocks_.push_back({std::make_unique_for_overwrite<char[]>(bytes), bytes});
      capacity_ += bytes;
      index = blocks_.size() - 1;
    }
    Use(index);
    return Allocate(size, alignment);
  }

  void Use(size_t index) {
    current_ = index;
    next_ = reinterpret_cast<uintptr_t>(blocks_[index].bytes.get());
    end_ = next_ + blocks_[index].size;
  }

  size_t block_bytes_;
  std::vector<Block> blocks_;
  size_t current_ = 0;
  uintptr_t next_ = 0;
  uintptr_t end_ = 0;
  size_t capacity_ = 0;
};

}  // namespace sluice::base
