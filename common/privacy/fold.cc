#include "common/privacy/fold.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace sluice::privacy {
namespace {

using CodePoint = utf8proc_int32_t;

enum class Case { kFold, kLower, kKeep };

// Control characters are spaces, A-Z are a-z, everything else is itself.
constexpr std::array<char, 256> kByteFold = [] {
  std::array<char, 256> table{};
  for (int i = 0; i < 256; ++i) {
    bool control = i < 0x20 || i == 0x7F;
    bool upper = i >= 'A' && i <= 'Z';
    table[static_cast<size_t>(i)] = static_cast<char>(control ? ' ' : upper ? i + ('a' - 'A') : i);
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

// Code points, on the stack as long as there are few.
class CodePoints {
 public:
  // `count` more of them, to be written by the caller.
  CodePoint* Extend(size_t count) {
    if (size_ + count > capacity_) Grow(count);
    size_ += count;
    return data_ + size_ - count;
  }
  void GiveBack(size_t count) { size_ -= count; }
  CodePoint* begin() { return data_; }
  CodePoint* end() { return data_ + size_; }
  size_t size() const { return size_; }

 private:
  void Grow(size_t count) {
    heap_.resize(std::max(capacity_ * 2, size_ + count));
    if (data_ == stack_) std::copy(stack_, stack_ + size_, heap_.begin());
    data_ = heap_.data();
    capacity_ = heap_.size();
  }

  CodePoint stack_[512];
  std::vector<CodePoint> heap_;
  CodePoint* data_ = stack_;
  size_t size_ = 0, capacity_ = std::size(stack_);
};

// What apostrophes are written as, by keyboards, editors and transliterations.
bool IsApostrophe(CodePoint c) {
  switch (c) {
    case 0xB4:
    case 0x2B9:
    case 0x2BB:
    case 0x2BC:
    case 0x2BD:
    case 0x2BE:
    case 0x2BF:
    case 0x2C8:
    case 0x55A:
    case 0x5F3:
    case 0x2018:
    case 0x2019:
    case 0x201B:
    case 0x2032:
    case 0xA78C:
    case 0xFF07:
      return true;
    default:
      return false;
  }
}

bool IsSpace(CodePoint code_point) {
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

bool IsLetterOrMark(CodePoint c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ME;
}

constexpr int kShapeMax = 4;   // characters that one may stand for
constexpr int kWholeMax = 24;  // U+FDFA stands for 18

// The character is another in a different shape, and not one that says more: see AppendFolded.
bool IsShape(CodePoint c, const utf8proc_property_t& property) {
  switch (property.decomp_type) {
    case 0:  // none, or a canonical one, which always applies
    case UTF8PROC_DECOMP_TYPE_SUPER:
    case UTF8PROC_DECOMP_TYPE_SUB:
    case UTF8PROC_DECOMP_TYPE_FRACTION:
    case UTF8PROC_DECOMP_TYPE_CIRCLE:
    case UTF8PROC_DECOMP_TYPE_SQUARE:
    case UTF8PROC_DECOMP_TYPE_VERTICAL:
      return false;
    case UTF8PROC_DECOMP_TYPE_FONT:
    case UTF8PROC_DECOMP_TYPE_NOBREAK:
    case UTF8PROC_DECOMP_TYPE_WIDE:
    case UTF8PROC_DECOMP_TYPE_NARROW:
    case UTF8PROC_DECOMP_TYPE_SMALL:
      return true;
    default:  // ligatures and presentation forms of letters, Roman numerals, kinds of space
      return IsLetterOrMark(c) || property.category == UTF8PROC_CATEGORY_NL ||
             property.category == UTF8PROC_CATEGORY_ZS;
  }
}

// A decimal digit's value in any script; -1: none. Each script's ten stand one after the other.
int DigitValue(CodePoint c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c < 0x660 || utf8proc_category(c) != UTF8PROC_CATEGORY_ND) return -1;
  int before = 0;
  while (before < 50 && utf8proc_category(c - before - 1) == UTF8PROC_CATEGORY_ND) ++before;
  return before % 10;
}

utf8proc_option_t Options(Case to, bool shape) {
  int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_IGNORE | UTF8PROC_LUMP;
  if (to == Case::kFold) options |= UTF8PROC_CASEFOLD;
  if (shape) options |= UTF8PROC_COMPAT;
  return static_cast<utf8proc_option_t>(options);
}

// Writes what `c` becomes, before reordering and composition; how many.
size_t Decompose(CodePoint c, Case to, CodePoint* out) {
  if (IsApostrophe(c)) {
    *out = '\'';
    return 1;
  }
  if (to == Case::kLower) c = utf8proc_tolower(c);
  const utf8proc_property_t& property = *utf8proc_get_property(c);
  int boundary = UTF8PROC_BOUNDCLASS_START;
  if (IsShape(c, property)) {
    CodePoint whole[kWholeMax];
    auto count = utf8proc_decompose_char(c, whole, kWholeMax, Options(to, true), &boundary);
    if (count >= 0 && count <= kShapeMax) {
      for (utf8proc_ssize_t i = 0; i < count; ++i) {
        const CodePoint one = to == Case::kLower ? utf8proc_tolower(whole[i]) : whole[i];
        out[i] = IsApostrophe(one) ? '\'' : one;
      }
      return static_cast<size_t>(count);
    }
  }
  if (int digit = DigitValue(c); digit >= 0) {
    *out = '0' + digit;
    return 1;
  }
  auto count = utf8proc_decompose_char(c, out, kShapeMax, Options(to, false), &boundary);
  if (count < 0 || count > kShapeMax) {  // no character has a longer canonical decomposition
    *out = c;
    return 1;
  }
  // Canonical decompositions may hold what has a shape of its own.
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    if (IsApostrophe(out[i])) out[i] = '\'';
  }
  return static_cast<size_t>(count);
}

int ClassOf(CodePoint c) {
  return c < 0x300 ? 0 : static_cast<int>(utf8proc_get_property(c)->combining_class);
}

// Canonical ordering (UAX #15 D109): each run of marks by class, equal ones as they were. Short
// runs, which are all that languages have, by insertion; others by counting, so that no text costs
// more than its length.
void Reorder(CodePoints& text) {
  constexpr ptrdiff_t kShort = 16;
  std::vector<CodePoint> sorted;
  for (CodePoint* at = text.begin(); at != text.end();) {
    if (ClassOf(*at) == 0) {
      ++at;
      continue;
    }
    CodePoint* const run = at;
    while (at != text.end() && ClassOf(*at) != 0) ++at;
    if (at - run <= kShort) {
      for (CodePoint* i = run + 1; i < at; ++i) {
        const CodePoint mark = *i;
        CodePoint* to = i;
        for (; to > run && ClassOf(to[-1]) > ClassOf(mark); --to) *to = to[-1];
        *to = mark;
      }
      continue;
    }
    std::array<size_t, 257> places{};
    for (CodePoint* i = run; i < at; ++i) ++places[static_cast<size_t>(ClassOf(*i)) + 1];
    for (size_t i = 1; i < places.size(); ++i) places[i] += places[i - 1];
    sorted.resize(static_cast<size_t>(at - run));
    for (CodePoint* i = run; i < at; ++i) sorted[places[static_cast<size_t>(ClassOf(*i))]++] = *i;
    std::copy(sorted.begin(), sorted.end(), run);
  }
}

void AppendCodePoints(const CodePoint* code_points, size_t count, std::string& out) {
  const size_t begin = out.size();
  bool space = false;
  for (size_t i = 0; i < count; ++i) {
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

void AppendMapped(std::string_view text, Case to, std::string& out) {
  if (IsAscii(text)) return AppendFoldedBytes(text, out);
  CodePoints mapped;
  for (std::string_view rest = text; !rest.empty();) {
    const auto first = static_cast<unsigned char>(rest[0]);
    if (first < 0x80) {
      *mapped.Extend(1) = kByteFold[first];
      rest.remove_prefix(1);
      continue;
    }
    int32_t c;
    const size_t size = ReadCodePoint(rest, c);
    if (size == 0) return AppendFoldedBytes(text, out);
    rest.remove_prefix(size);
    mapped.GiveBack(kShapeMax - Decompose(c, to, mapped.Extend(kShapeMax)));
  }
  Reorder(mapped);
  constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  const auto count = utf8proc_normalize_utf32(
      mapped.begin(), static_cast<utf8proc_ssize_t>(mapped.size()), kCompose);
  AppendCodePoints(mapped.begin(), static_cast<size_t>(std::max<utf8proc_ssize_t>(count, 0)), out);
}

// Letters that no decomposition leads to ASCII from.
std::string_view PlainLetter(CodePoint c) {
  switch (c) {
    case 0xE6:
      return "ae";
    case 0xF0:
    case 0x111:
      return "d";
    case 0xF8:
      return "o";
    case 0xFE:
      return "th";
    case 0x127:
      return "h";
    case 0x131:
      return "i";
    case 0x142:
      return "l";
    case 0x14B:
      return "ng";
    case 0x153:
      return "oe";
    case 0x167:
      return "t";
    default:
      return {};
  }
}

std::string_view GermanLetter(CodePoint c) {
  switch (c) {
    case 0xE4:
      return "ae";
    case 0xE5:
      return "aa";
    case 0xF6:
    case 0xF8:
      return "oe";
    case 0xFC:
      return "ue";
    default:
      return {};
  }
}

Look FindLook(CodePoint c) {
  if (!utf8proc_codepoint_valid(c)) return static_cast<Look>('|');
  if (IsApostrophe(c)) return static_cast<Look>('\'');
  CodePoint shape[kShapeMax];
  const size_t size = Decompose(c, Case::kKeep, shape);
  if (size == 0) return c == 0x200B ? kLooksLikeABreak : kLooksLikeNothing;
  if (size == 1 && shape[0] < 0x80) return static_cast<Look>(IsSpace(shape[0]) ? ' ' : shape[0]);
  const bool ascii = std::all_of(shape, shape + size, [](CodePoint one) { return one < 0x80; });
  if (ascii) return kLooksLikeSeveral;
  if (IsLetterOrMark(c)) return kLooksLikeItself;
  if (IsSpace(c)) return static_cast<Look>(' ');
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
      return static_cast<Look>('"');
    default:
      break;
  }
  if (c == 0x3002) return static_cast<Look>('.');
  if (c == 0x3001) return static_cast<Look>(',');
  return static_cast<Look>('|');
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

size_t ReadCodePoint(std::string_view text, int32_t& code_point) {
  if (text.empty()) return 0;
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  auto tail = [&](size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const int32_t first = byte(0);
  if (first < 0x80) {
    code_point = first;
    return 1;
  }
  if (first >= 0xC2 && first < 0xE0 && tail(1)) {
    code_point = (first & 0x1F) << 6 | (byte(1) & 0x3F);
    return 2;
  }
  if (first >= 0xE0 && first < 0xF0 && tail(1) && tail(2)) {
    code_point = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return code_point >= 0x800 && (code_point < 0xD800 || code_point > 0xDFFF) ? 3 : 0;
  }
  if (first >= 0xF0 && first < 0xF5 && tail(1) && tail(2) && tail(3)) {
    code_point =
        (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    return code_point >= 0x10000 && code_point < 0x110000 ? 4 : 0;
  }
  return 0;
}

void AppendFolded(std::string_view text, std::string& out) { AppendMapped(text, Case::kFold, out); }
void AppendWithoutMarks(std::string_view folded, bool german, std::string& out) {
  while (!folded.empty()) {
    int32_t c;
    const size_t size = ReadCodePoint(folded, c);
    const std::string_view bytes = folded.substr(0, std::max<size_t>(size, 1));
    folded.remove_prefix(bytes.size());
    if (size < 2) {
      out.append(bytes);
      continue;
    }
    if (c >= 0x300 && c < 0x370) continue;  // marks of Latin letters
    std::string_view plain = german ? GermanLetter(c) : std::string_view();
    if (plain.empty()) plain = PlainLetter(c);
    if (!plain.empty()) {
      out.append(plain);
      continue;
    }
    CodePoint parts[kShapeMax];
    const size_t count = Decompose(c, Case::kKeep, parts);
    if (count > 1 && parts[0] < 0x80) {
      out.push_back(static_cast<char>(parts[0]));
    } else {
      out.append(bytes);
    }
  }
}
void AppendLowered(std::string_view text, std::string& out) {
  AppendMapped(text, Case::kLower, out);
}

Look LookOf(int32_t code_point) {
  // Those of one and two words of UTF-16 apart: the first are nearly all that texts have.
  static const auto* const kTable = [] {
    auto* table = new std::array<Look, 0x10000>();
    for (CodePoint c = 0; c < 0x10000; ++c)
      (*table)[static_cast<size_t>(c)] = c < 0x80 ? static_cast<Look>(c) : FindLook(c);
    return table;
  }();
  return code_point < 0x10000 ? (*kTable)[static_cast<size_t>(code_point)] : FindLook(code_point);
}

void AppendShape(int32_t code_point, std::string& out) {
  CodePoint shape[kShapeMax];
  AppendCodePoints(shape, Decompose(code_point, Case::kKeep, shape), out);
}

}  // namespace sluice::privacy
