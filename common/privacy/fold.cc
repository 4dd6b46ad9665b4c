#include "common/privacy/fold.h"

#include <utf8proc.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

namespace sluice::privacy {
namespace {

constexpr auto kNfkcCasefold =
    static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
                                   UTF8PROC_CASEFOLD | UTF8PROC_IGNORE | UTF8PROC_LUMP);

// Control characters are spaces, A-Z are a-z, everything else is itself.
constexpr std::array<char, 256> kByteFold = [] {
  std::array<char, 256> table{};
  for (int i = 0; i < 256; ++i) {
    bool control = i < 0x20 || i == 0x7F;
    bool upper = i >= 'A' && i <= 'Z';
    table[i] = static_cast<char>(control ? ' ' : upper ? i + ('a' - 'A') : i);
  }
  return table;
}();

// Byte by byte: right for ASCII, and all that can be done for what isn't UTF-8.
void AppendFoldedBytes(std::string_view text, std::string& out) {
  const size_t begin = out.size();
  out.resize(begin + text.size());
  char* const first = out.data() + begin;
  char* at = first;
  for (unsigned char c : text) {
    char folded = kByteFold[c];
    if (folded == ' ' && (at == first || at[-1] == ' ')) continue;
    *at++ = folded;
  }
  if (at != first && at[-1] == ' ') --at;
  out.resize(static_cast<size_t>(at - out.data()));
}

bool IsSpace(utf8proc_int32_t code_point) {
  if (code_point <= 0x20) return true;
  if (code_point < 0x7F) return false;
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return false;
  }
}

void AppendCodePoints(const utf8proc_int32_t* code_points, utf8proc_ssize_t count,
                      std::string& out) {
  const size_t begin = out.size();
  bool space = false;
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    if (IsSpace(code_points[i])) {
      space = out.size() != begin;
      continue;
    }
    if (space) out.push_back(' ');
    space = false;
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t size = utf8proc_encode_char(code_points[i], bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
}

}  // namespace

bool IsAscii(std::string_view text) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  uint64_t seen = 0;
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    seen |= word;
  }
  for (; i < text.size(); ++i) seen |= static_cast<uint64_t>(static_cast<unsigned char>(text[i]));
  return (seen & kHighBits) == 0;
}

void AppendFolded(std::string_view text, std::string& out) {
  if (IsAscii(text)) return AppendFoldedBytes(text, out);
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(text.size());
  constexpr utf8proc_ssize_t kOnStack = 512;
  utf8proc_int32_t on_stack[kOnStack];
  std::vector<utf8proc_int32_t> on_heap;
  utf8proc_int32_t* code_points = on_stack;
  utf8proc_ssize_t count = utf8proc_decompose(bytes, size, on_stack, kOnStack, kNfkcCasefold);
  if (count > kOnStack) {
    on_heap.resize(static_cast<size_t>(count));
    code_points = on_heap.data();
    count = utf8proc_decompose(bytes, size, code_points, count, kNfkcCasefold);
  }
  if (count >= 0) count = utf8proc_normalize_utf32(code_points, count, kNfkcCasefold);
  if (count < 0) return AppendFoldedBytes(text, out);
  AppendCodePoints(code_points, count, out);
}

}  // namespace sluice::privacy
