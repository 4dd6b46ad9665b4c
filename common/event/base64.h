// Base64 (RFC 4648 §4 and §5), as protobuf's JSON mapping reads bytes: either alphabet, padding
// optional.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace sluice::event {

// Writes at most 3/4 of the text's size to `out`; returns how much. nullopt: not base64.
inline std::optional<size_t> DecodeBase64(std::string_view text, char* out) {
  for (int i = 0; i < 2 && !text.empty() && text.back() == '=' && text.size() % 4 != 1; ++i) {
    text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  unsigned bits = 0;
  int count = 0;
  size_t size = 0;
  for (char c : text) {
    unsigned value;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<unsigned>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<unsigned>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      value = static_cast<unsigned>(c - '0') + 52;
    } else if (c == '+' || c == '-') {
      value = 62;
    } else if (c == '/' || c == '_') {
      value = 63;
    } else {
      return std::nullopt;
    }
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      out[size++] = static_cast<char>(bits >> count);
    }
  }
  // Bits beyond the last byte are zero, or two texts would mean the same bytes.
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return size;
}

}  // namespace sluice::event
