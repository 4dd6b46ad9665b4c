// A growing run of bytes for writers: room is asked for once per field, then written without
// checks.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "common/base/short_bytes.h"

namespace sluice::base {

// Keeps its room when cleared. Not thread-safe.
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // Room for `size` more bytes; write there, then Advance. Invalidates earlier pointers.
  char* Reserve(size_t size) {
    if (size > capacity_ - size_) [[unlikely]]
      Grow(size);
    return bytes_.get() + size_;
  }
  // `end` is one past the last byte written since Reserve.
  void AdvanceTo(const char* end) { size_ = static_cast<size_t>(end - bytes_.get()); }

  void Append(std::string_view text) {
    char* at = Reserve(text.size());
    CopyShort(at, text.data(), text.size());
    size_ += text.size();
  }
  void Append(char c) {
    *Reserve(1) = c;
    ++size_;
  }

  void Clear() { size_ = 0; }
  void Truncate(size_t size) { size_ = size; }
  // Clear() that also gives the room back where it is more than `keep_bytes`.
  void Trim(size_t keep_bytes) {
    size_ = 0;
    if (capacity_ <= keep_bytes) return;
    bytes_.reset();
    capacity_ = 0;
  }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  char* data() { return bytes_.get(); }
  std::string_view view() const { return {bytes_.get(), size_}; }
  std::string_view view_from(size_t begin) const { return {bytes_.get() + begin, size_ - begin}; }

 private:
  void Grow(size_t size) {
    size_t capacity = capacity_ == 0 ? 4096 : capacity_ * 2;
    if (capacity < size_ + size) capacity = size_ + size;
    auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
    if (size_ > 0) std::memcpy(bytes.get(), bytes_.get(), size_);
    bytes_ = std::move(bytes);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace sluice::base
