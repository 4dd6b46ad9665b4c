// Joining text and numbers. Debian's Abseil has a string_view of its own, which absl::StrCat wants.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace sluice::base {

// The same text as the standard library's view of it.
inline std::string_view View(absl::string_view text) { return {text.data(), text.size()}; }

template <typename T>
void StrAppendOne(std::string& out, const T& part) {
  if constexpr (std::is_same_v<T, char>) {
    out.push_back(part);
  } else if constexpr (std::is_arithmetic_v<T>) {
    char digits[32];
    auto end = std::to_chars(digits, digits + sizeof(digits), part).ptr;
    out.append(digits, static_cast<size_t>(end - digits));
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    out.append(std::string_view(part));
  } else {  // absl::string_view
    out.append(part.data(), part.size());
  }
}

// Strings, characters and numbers (shortest decimal form), one after the other.
template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  std::string out;
  (StrAppendOne(out, parts), ...);
  return out;
}

template <typename... Parts>
void StrAppend(std::string& out, const Parts&... parts) {
  (StrAppendOne(out, parts), ...);
}

// The bytes of hexadecimal digits, of which `hex` must consist. (Abseil's own is deprecated in
// newer versions, and its successor is missing in older ones.)
inline std::string BytesOfHex(std::string_view hex) {
  std::string bytes(hex.size() / 2, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    uint8_t byte = 0;
    std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, byte, 16);
    bytes[i] = static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace sluice::base
