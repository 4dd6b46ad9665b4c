#include "common/privacy/visible.h"

#include <utf8proc.h>

namespace sluice::privacy {
namespace {

constexpr int32_t kNotUtf8 = -1;
constexpr int32_t kJoiner = 0x200D, kTextStyle = 0xFE0E, kEmojiStyle = 0xFE0F;

// Reads the code point at `at`; a byte that begins none is one of its own.
int32_t Decode(std::string_view text, size_t at, size_t& size) {
  const auto first = static_cast<unsigned char>(text[at]);
  size = 1;
  if (first < 0x80) return first;
  utf8proc_int32_t code = kNotUtf8;
  utf8proc_ssize_t read =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                       static_cast<utf8proc_ssize_t>(text.size() - at), &code);
  if (read <= 0) return kNotUtf8;
  size = static_cast<size_t>(read);
  return code;
}

bool IsSpace(int32_t code) {
  if (code == kNotUtf8) return false;
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return code == 0x85 || code == 0x2800;  // next line; braille blank
  }
}

// Characters that Unicode's Default_Ignorable_Code_Point has although their category draws.
bool IsIgnorable(int32_t code) {
  return code == 0x34F || code == 0x115F || code == 0x1160 || code == 0x17B4 || code == 0x17B5 ||
         (code >= 0x180B && code <= 0x180F) || code == 0x3164 || code == 0xFFA0 ||
         (code >= 0xFE00 && code <= 0xFE0F) || (code >= 0xE0000 && code <= 0xE0FFF) ||
         (code >= 0xFFF0 && code <= 0xFFF8);
}

bool IsMark(int32_t code) {
  if (code < 0x300) return false;
  utf8proc_category_t category = utf8proc_category(code);
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
         category == UTF8PROC_CATEGORY_ME;
}

// Is drawn, and isn't a mark on another character.
bool IsVisible(int32_t code) {
  if (code == kNotUtf8) return true;
  if (code < 0x80) return code > ' ' && code != 0x7F;
  if (IsSpace(code) || IsIgnorable(code) || IsMark(code)) return false;
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CO:
      // Unassigned and private ones are drawn as a box, or as something; Arabic number signs and
      // their like are format characters that are drawn.
      return utf8proc_category(code) == UTF8PROC_CATEGORY_CN ||
             utf8proc_category(code) == UTF8PROC_CATEGORY_CO || (code >= 0x600 && code <= 0x605) ||
             code == 0x6DD || code == 0x70F || code == 0x8E2 || code == 0x890 || code == 0x891 ||
             code == 0x110BD || code == 0x110CD;
    default:
      return true;
  }
}

}  // namespace

bool HasLetterOrDigit(std::string_view text) {
  for (size_t at = 0, size; at < text.size(); at += size) {
    const int32_t code = Decode(text, at, size);
    if (code == kNotUtf8) return true;
    if (code < 0x80) {
      const int32_t lower = code | 0x20;
      if ((code >= '0' && code <= '9') || (lower >= 'a' && lower <= 'z')) return true;
      continue;
    }
    const utf8proc_category_t category = utf8proc_category(code);
    if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO) return true;
  }
  return false;
}

bool HasNothingVisible(std::string_view text) {
  for (size_t at = 0, size = 0; at < text.size(); at += size) {
    if (IsVisible(Decode(text, at, size))) return false;
  }
  return true;
}

bool Graphemes::Next() {
  begin_ = end_;
  if (begin_ == text_.size()) return false;
  visible_ = space_ = false;
  utf8proc_int32_t state = 0;
  int32_t before = 0;
  for (size_t size = 0; end_ < text_.size(); end_ += size) {
    int32_t code = Decode(text_, end_, size);
    if (end_ > begin_) {
      // Two ASCII characters are parted, but for CR LF.
      bool parted = code < 0x80 && before < 0x80
                        ? !(before == '\r' && code == '\n')
                        : code == kNotUtf8 || before == kNotUtf8 ||
                              utf8proc_grapheme_break_stateful(before, code, &state);
      if (parted) break;
    }
    visible_ |= IsVisible(code);
    space_ |= IsSpace(code);
    before = code;
  }
  return true;
}

void AppendDrawn(std::string_view cluster, std::string& out) {
  for (size_t at = 0, size = 0; at < cluster.size(); at += size) {
    int32_t code = Decode(cluster, at, size);
    if (IsVisible(code) || (IsMark(code) && !IsIgnorable(code)) || code == kJoiner ||
        code == kTextStyle || code == kEmojiStyle)
      out.append(cluster, at, size);
  }
}

}  // namespace sluice::privacy
