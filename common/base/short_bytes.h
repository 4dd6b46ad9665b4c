// Copies and comparisons of few bytes, inline: calling the library's costs more than the bytes do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sluice::base {

// As memcpy. Lengths between two powers of two are covered by two moves that overlap.
inline void CopyShort(char* to, const char* from, size_t size) {
  auto move = [&](auto unit, size_t at) {
    std::memcpy(&unit, from + at, sizeof(unit));
    std::memcpy(to + at, &unit, sizeof(unit));
  };
  struct Sixteen {
    uint64_t words[2];
  };
  if (size >= 16) {
    if (size > 64) [[unlikely]] {
      std::memcpy(to, from, size);
      return;
    }
    for (size_t at = 0; at + 16 < size; at += 16) move(Sixteen{}, at);
    move(Sixteen{}, size - 16);
  } else if (size >= 8) {
    move(uint64_t{}, 0);
    move(uint64_t{}, size - 8);
  } else if (size >= 4) {
    move(uint32_t{}, 0);
    move(uint32_t{}, size - 4);
  } else if (size > 0) {
    move(uint8_t{}, 0);
    move(uint8_t{}, size / 2);
    move(uint8_t{}, size - 1);
  }
}

// Calls `holds` with eight bytes at a time until all of `text` was seen or it says no; whether it
// never did. Bytes may be seen twice; what a short text lacks is filled with its own bytes.
template <typename Predicate>
inline bool AllWords(std::string_view text, Predicate holds) {
  const char* from = text.data();
  size_t size = text.size();
  uint64_t word;
  if (size >= 8) {
    for (size_t at = 0; at + 8 < size; at += 8) {
      std::memcpy(&word, from + at, 8);
      if (!holds(word)) return false;
    }
    std::memcpy(&word, from + size - 8, 8);
    return holds(word);
  }
  if (size >= 4) {
    uint32_t first, last;
    std::memcpy(&first, from, 4);
    std::memcpy(&last, from + size - 4, 4);
    return holds(uint64_t{first} << 32 | last);
  }
  if (size == 0) return true;
  auto byte = [&](size_t at) { return uint64_t{static_cast<unsigned char>(from[at])}; };
  uint64_t first = byte(0) * 0x0101010101010101 & ~uint64_t{0xFFFF};
  return holds(first | byte(size / 2) << 8 | byte(size - 1));
}

inline bool SameShort(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  size_t size = a.size();
  auto differ = [&](auto unit, size_t at) {
    auto other = unit;
    std::memcpy(&unit, a.data() + at, sizeof(unit));
    std::memcpy(&other, b.data() + at, sizeof(other));
    return unit ^ other;
  };
  if (size >= 8) {
    uint64_t difference = differ(uint64_t{}, size - 8);
    for (size_t at = 0; at + 8 < size; at += 8) difference |= differ(uint64_t{}, at);
    return difference == 0;
  }
  if (size >= 4) return (differ(uint32_t{}, 0) | differ(uint32_t{}, size - 4)) == 0;
  if (size == 0) return true;
  return (differ(uint8_t{}, 0) | differ(uint8_t{}, size / 2) | differ(uint8_t{}, size - 1)) == 0;
}

}  // namespace sluice::base
