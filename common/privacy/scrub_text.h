// The bytes of a text's canonical view (text_view.h), for the parts of the scrubber.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/privacy/scrub.h"

namespace sluice::privacy {

struct Scrubber::CharSet {
  bool has[256] = {};
  constexpr explicit CharSet(std::string_view chars) {
    for (char c : chars) has[static_cast<unsigned char>(c)] = true;
  }
  bool operator[](char c) const { return has[static_cast<unsigned char>(c)]; }
};

// The most white space that a number goes on behind.
inline constexpr size_t kGapMax = 8;

enum : uint8_t { kOther = 0, kLetter = 1, kDigit = 2 };
// Of a view's bytes: those from 0x80 on are letters and their marks.
inline constexpr std::array<uint8_t, 256> kClass = [] {
  std::array<uint8_t, 256> table{};
  for (int i = 0; i < 256; ++i) {
    bool letter = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') || i >= 0x80;
    table[static_cast<size_t>(i)] = letter ? kLetter : i >= '0' && i <= '9' ? kDigit : kOther;
  }
  return table;
}();
// Beside the class, as bits, what case a letter has.
enum : uint8_t { kCapitalLetter = 4, kOtherLetter = 8 };
inline constexpr std::array<uint8_t, 256> kShape = [] {
  std::array<uint8_t, 256> table = kClass;
  for (int i = 0; i < 256; ++i) {
    uint8_t& shape = table[static_cast<size_t>(i)];
    if (shape == kLetter) shape |= i >= 'A' && i <= 'Z' ? kCapitalLetter : kOtherLetter;
  }
  return table;
}();
inline uint8_t ClassOf(char c) { return kClass[static_cast<unsigned char>(c)]; }
inline char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
inline char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
inline bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
inline bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsHex(char c) { return IsDigit(c) || (Lower(c) >= 'a' && Lower(c) <= 'f'); }
// Also control characters, as in fold.h.
inline bool IsSpace(char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; }
inline bool AllUpper(std::string_view text) {
  return std::all_of(text.begin(), text.end(), IsUpper);
}
inline bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), IsDigit);
}

}  // namespace sluice::privacy
