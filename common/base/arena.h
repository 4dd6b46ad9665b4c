// Memory for one batch: taken piece by piece, given back all at once, kept for the next batch.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/short_bytes.h"

namespace sluice::base {

// Bump allocator. What it hands out stays in place until Reset(); Reset() keeps the blocks, so that
// a steady load allocates nothing. Blocks have few sizes, so that one that was made for a large
// piece serves the next large piece, too. Not thread-safe.
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
    used_before_ = 0;
    next_ = end_ = 0;
    if (!blocks_.empty()) Use(0);
  }

  // Reset() that also gives back what is held beyond `keep_bytes`.
  void Trim(size_t keep_bytes) {
    while (!blocks_.empty() && capacity_ > keep_bytes) {
      // The largest first: it was made for a piece that is rarely that large.
      auto largest =
          std::max_element(blocks_.begin(), blocks_.end(),
                           [](const Block& a, const Block& b) { return a.size < b.size; });
      capacity_ -= largest->size;
      blocks_.erase(largest);
    }
    Reset();
  }

  // Where the arena ends now; what is handed out behind it is free again after RewindTo().
  struct Mark {
    size_t current = 0, used_before = 0;
    uintptr_t next = 0, end = 0;
  };
  Mark mark() const { return {current_, used_before_, next_, end_}; }
  void RewindTo(const Mark& mark) {
    if (mark.end == 0) return Reset();
    current_ = mark.current;
    used_before_ = mark.used_before;
    next_ = mark.next;
    end_ = mark.end;
  }

  // Bytes held, used or not.
  size_t capacity() const { return capacity_; }
  // Bytes handed out since the last Reset(), and what was left over at the ends of blocks.
  size_t used() const {
    return end_ == 0 ? 0 : used_before_ + blocks_[current_].size - (end_ - next_);
  }

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size;
  };

  char* AllocateFromNextBlock(size_t size, size_t alignment) {
    size_t needed = size + alignment;
    size_t index = blocks_.empty() || end_ == 0 ? current_ : current_ + 1;
    if (end_ != 0) used_before_ += blocks_[current_].size;
    // Those that are too small are left for the next chunk: the one that fits comes forward.
    size_t fits = index;
    while (fits < blocks_.size() && blocks_[fits].size < needed) ++fits;
    if (fits >= blocks_.size()) {
      size_t bytes = needed > block_bytes_ ? std::bit_ceil(needed) : block_bytes_;
      blocks_.push_back({std::make_unique_for_overwrite<char[]>(bytes), bytes});
      capacity_ += bytes;
      fits = blocks_.size() - 1;
    }
    std::swap(blocks_[index], blocks_[fits]);
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
  size_t used_before_ = 0;  // bytes of the blocks before the current one
  size_t capacity_ = 0;
};

}  // namespace sluice::base
