#include "common/privacy/identifier.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/privacy/fold.h"
#include "common/privacy/punycode.h"

namespace sluice::privacy {
namespace {

using contract::v1::IdentifierKind;

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }
constexpr bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
constexpr char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// ASCII characters, collected when this is compiled: a bit to test in place of a search.
class Characters {
 public:
  consteval Characters(const char* set) : Characters(std::string_view(set)) {}
  consteval Characters(std::string_view set) {
    for (char c : set) bits_[c / 64] |= uint64_t{1} << (c % 64);
  }
  constexpr bool has(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 128 && (bits_[byte / 64] >> (byte % 64) & 1) != 0;
  }

 private:
  uint64_t bits_[2] = {};
};

constexpr bool In(char c, Characters set) { return set.has(c); }
bool AllDigits(std::string_view text) { return std::all_of(text.begin(), text.end(), IsDigit); }

// What each byte of a value becomes: its upper case, or kNothing.
using CompactTable = std::array<char, 256>;
constexpr char kNothing = '\0';

constexpr CompactTable Without(std::string_view separators) {
  CompactTable table{};
  for (int i = 0; i < 256; ++i) table[static_cast<size_t>(i)] = Upper(static_cast<char>(i));
  table[0] = '\x01';  // a zero byte is no separator, and has a place in no format
  for (char c : separators) table[static_cast<unsigned char>(c)] = kNothing;
  return table;
}

constexpr std::string_view kSpaces = " \t\r\n";
constexpr CompactTable kWithoutSpaces = Without(" \t\r\n");
constexpr CompactTable kWithoutSpacesAndHyphens = Without(" \t\r\n-.");
constexpr CompactTable kWithoutSeparators = Without(" \t\r\n-./");

// A value without what people put between its characters, upper case. Nothing that this file reads
// is longer.
class Compact {
 public:
  Compact(std::string_view value, const CompactTable& table) {
    for (char c : value) {
      if (size_ == sizeof(text_)) {
        size_ = 0;
        return;  // an empty text has no format
      }
      text_[size_] = table[static_cast<unsigned char>(c)];
      size_ += text_[size_] != kNothing;
    }
  }
  std::string_view view() const { return {text_, size_}; }

 private:
  char text_[64];
  size_t size_ = 0;
};

void AppendLower(std::string_view text, std::string& out) {
  const size_t begin = out.size();
  out.append(text);
  std::transform(out.begin() + static_cast<ptrdiff_t>(begin), out.end(),
                 out.begin() + static_cast<ptrdiff_t>(begin), Lower);
}

void AppendPadded(std::string_view digits, size_t width, std::string& out) {
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out.append(digits);
}

// Police references end in a letter: the number before it modulo 23 (DOMAIN: no I, O, S).
constexpr std::string_view kCheckLetters = "ZABCDEFGHJKLMNPQRTUVWXY";

class Modulus23 {
 public:
  Modulus23& Add(std::string_view text) {
    for (char c : text) {
      if (IsDigit(c)) value_ = (value_ * 10 + static_cast<unsigned>(c - '0')) % 23;
    }
    return *this;
  }
  char letter() const { return kCheckLetters[value_]; }

 private:
  unsigned value_ = 0;
};

// Whether the canonical form that begins at `begin` ends in its check letter.
bool ChecksOut(IdentifierKind kind, size_t begin, const std::string& out) {
  std::string_view body = std::string_view(out).substr(begin, out.size() - begin - 1);
  return CheckCharacter(kind, body) == out.back();
}

// False after appending the form that no valid value has. One that is there already stays as it is.
bool Fallback(std::string_view value, std::string& out) {
  out.push_back('?');
  const size_t begin = out.size();
  AppendFolded(value, out);
  out.erase(begin, std::min(out.find_first_not_of("? ", begin), out.size()) - begin);
  return false;
}

// As that, of a kind whose values are the same with and without what `compact` leaves out.
bool Fallback(std::string_view value, const Compact& compact, std::string& out) {
  return Fallback(compact.view().empty() ? value : compact.view(), out);
}

bool FoldedText(std::string_view value, std::string& out) {
  size_t before = out.size();
  AppendFolded(value, out);
  return out.size() > before;
}

// What stands between the parts of a name, written by one and left out by another.
constexpr std::string_view kNameSeparators = " '-.,`";
// What each ASCII byte of a name becomes: its lower case, or kNothing.
constexpr CompactTable kNameLetters = [] {
  CompactTable table{};
  for (int i = 0x21; i < 0x7F; ++i) {
    const char c = static_cast<char>(i);
    table[static_cast<size_t>(i)] = In(c, kNameSeparators) ? kNothing : Lower(c);
  }
  return table;
}();

// A name's letters, without what stands between them. Nobody writes the spaces, hyphens and
// apostrophes of a name in one way: O'Brien, O Brien and OBrien; De La Cruz and Delacruz;
// Smith-Jones, Smith Jones and Smithjones; Jean-Luc and Jean Luc; J. R. Smith and JR Smith.
bool PersonName(std::string_view value, std::string& out) {
  const size_t begin = out.size();
  if (IsAscii(value)) {  // as below, in one go
    out.resize(begin + value.size());
    char* at = out.data() + begin;
    for (char c : value) {
      *at = kNameLetters[static_cast<unsigned char>(c)];
      at += *at != kNothing;
    }
    out.resize(static_cast<size_t>(at - out.data()));
    if (out.size() > begin) return true;
  }
  AppendFolded(value, out);
  // Once for all but what isn't ASCII: there a mark may come to stand behind a letter, and bytes
  // that were no character may become one. What comes of that is folded, and has no more of either.
  for (int times = 0; times < 3; ++times) {
    const size_t end = out.size();
    size_t kept = begin;
    for (size_t i = begin; i < end; ++i) {
      if (!In(out[i], kNameSeparators)) out[kept++] = out[i];
    }
    // Nothing but separators is no name, and yet a value of its own.
    if (kept == begin || kept == end) break;
    out.resize(kept);
    if (IsAscii(std::string_view(out).substr(begin))) break;
    // In place: nothing moves while it is read.
    out.reserve(kept + 3 * (kept - begin));
    AppendFolded({out.data() + begin, kept - begin}, out);
    out.erase(begin, kept - begin);
  }
  return out.size() > begin;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && In(text.front(), kSpaces)) text.remove_prefix(1);
  while (!text.empty() && In(text.back(), kSpaces)) text.remove_suffix(1);
  return text;
}

// Takes `scheme` off, in any case.
bool TakeScheme(std::string_view scheme, std::string_view& text) {
  if (text.size() < scheme.size() || !std::equal(scheme.begin(), scheme.end(), text.begin(),
                                                 [](char a, char b) { return a == Lower(b); }))
    return false;
  text.remove_prefix(scheme.size());
  return true;
}

// Takes an extension off a telephone number: x12, ext. 12, #12, ;ext=12 (RFC 3966). Its digits;
// empty: it has none.
std::string_view TakeExtension(std::string_view& text) {
  size_t digits = text.size();
  while (digits > 0 && text.size() - digits < 7 && IsDigit(text[digits - 1])) --digits;
  const std::string_view extension = text.substr(digits);
  if (extension.empty() || extension.size() > 6) return {};
  size_t mark = digits;
  while (mark > 0 && In(text[mark - 1], " \t.:=")) --mark;
  size_t word = mark;
  while (word > 0 && mark - word < 10 && Upper(text[word - 1]) >= 'A' &&
         Upper(text[word - 1]) <= 'Z')
    --word;
  char lower[10];
  std::transform(text.begin() + static_cast<ptrdiff_t>(word),
                 text.begin() + static_cast<ptrdiff_t>(mark), lower, Lower);
  const std::string_view said(lower, mark - word);
  if (said.empty() && mark > 0 && text[mark - 1] == '#') {
    word = mark - 1;
  } else if (said != "x" && said != "ext" && said != "extn" && said != "extension") {
    return {};
  }
  while (word > 0 && In(text[word - 1], " \t,;")) --word;
  text = text.substr(0, word);
  return extension;
}

bool Phone(std::string_view value, std::string& out) {
  std::string_view text = Trimmed(value);
  const bool link =
      !text.empty() && !IsDigit(text.front()) &&
      (TakeScheme("tel:", text) || TakeScheme("callto:", text) || TakeScheme("sms:", text));
  const std::string_view extension = TakeExtension(text);
  if (link) text = text.substr(0, text.find(';'));  // RFC 3966's other parameters
  char digits[20];
  size_t size = 0;
  bool plus = false, any = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && !any && !plus) {
      plus = true;
    } else if (IsDigit(c)) {
      if (size == sizeof(digits)) return Fallback(value, out);
      // The trunk zero in +44 (0)20 ...
      if (c == '0' && i > 0 && text[i - 1] == '(' && i + 1 < text.size() && text[i + 1] == ')' &&
          plus)
        continue;
      digits[size++] = c;
      any = true;
    } else if (!In(c, " -.()/\t\r\n")) {
      return Fallback(value, out);
    }
  }
  auto number_and_extension = [&](std::string_view country, std::string_view rest) {
    out.push_back('+');
    out.append(country).append(rest);
    if (!extension.empty()) out.append(";ext=").append(extension);
    return true;
  };
  std::string_view number(digits, size);
  bool international = plus;
  if (!plus && number.starts_with("00")) {
    number.remove_prefix(2);
    international = true;
  }
  std::string_view national = number;
  bool british = !international;
  if (international && number.starts_with("44")) {
    british = true;
    national.remove_prefix(2);
  } else if (!international && number.size() >= 11 && number.starts_with("44")) {
    national.remove_prefix(2);
  }
  if (!british) {
    if (number.size() < 7 || number.size() > 15 || number[0] == '0') return Fallback(value, out);
    return number_and_extension("", number);
  }
  if (national.starts_with('0')) national.remove_prefix(1);
  // libphonenumber's general description of GB: [1-357-9]\d{9}|[18]\d{8}|8\d{6}.
  bool valid = (national.size() == 10 && In(national[0], "1235789")) ||
               (national.size() == 9 && In(national[0], "18")) ||
               (national.size() == 7 && national[0] == '8');
  if (!valid) return Fallback(value, out);
  return number_and_extension("44", national);
}

// Appends a domain with each label beyond ASCII as its A-label, so that both spellings are one.
bool AppendDomain(std::string_view domain, std::string& out) {
  if (domain.ends_with('.')) domain.remove_suffix(1);  // the root
  if (domain.find('.') == std::string_view::npos) return false;
  for (bool first = true;; first = false) {
    const size_t dot = domain.find('.');
    const std::string_view label = domain.substr(0, dot);
    if (label.empty()) return false;
    if (!first) out.push_back('.');
    if (IsAscii(label)) {
      out.append(label);
    } else if (!AppendALabel(label, out)) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    domain.remove_prefix(dot + 1);
  }
}

// Bytes for their %XX.
void AppendPercentDecoded(std::string_view text, std::string& out) {
  auto nibble = [](char c) {
    const char upper = Upper(c);
    return IsDigit(c) ? c - '0' : upper >= 'A' && upper <= 'F' ? upper - 'A' + 10 : -1;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && nibble(text[i + 1]) >= 0 &&
        nibble(text[i + 2]) >= 0) {
      out.push_back(static_cast<char>(nibble(text[i + 1]) * 16 + nibble(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
}

// RFC 5321's mailbox with RFC 6531's characters beyond ASCII, in lower case. A quoted local part
// that needs no quotes has none.
bool Email(std::string_view value, std::string& out) {
  std::string lowered, decoded;
  std::string_view text = value;
  if (!IsAscii(text)) {
    AppendLowered(text, lowered);
    text = lowered;
  }
  text = Trimmed(text);
  if (TakeScheme("mailto:", text)) {  // RFC 6068
    text = text.substr(0, text.find('?'));
    if (text.find('%') != std::string_view::npos) {
      AppendPercentDecoded(text, decoded);
      if (!IsAscii(decoded)) {
        lowered.clear();
        AppendLowered(decoded, lowered);
        decoded = lowered;
      }
      text = decoded;
    }
  }
  if (text.size() > 320) return Fallback(value, out);
  const size_t begin = out.size();
  auto refused = [&] {
    out.resize(begin);
    return Fallback(value, out);
  };
  constexpr std::string_view kNever = " \t\r\n,;<>()[]?\\\"";
  size_t at = 0;
  if (text.starts_with('"')) {
    bool plain = true;
    out.push_back('"');
    for (at = 1; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\' && ++at == text.size()) return refused();
      if (static_cast<unsigned char>(text[at]) < 0x20) return refused();
      if (text[at] == '"' || text[at] == '\\') out.push_back('\\');
      plain = plain && !In(text[at], kNever) && text[at] != '@';
      out.push_back(Lower(text[at]));
    }
    if (at < 2 || ++at >= text.size() || text[at] != '@') return refused();
    const std::string_view local = std::string_view(out).substr(begin + 1);
    plain = plain && !local.starts_with('.') && !local.ends_with('.') &&
            local.find("..") == std::string_view::npos;
    if (plain) {
      out.erase(begin, 1);
    } else {
      out.push_back('"');
    }
  } else {
    at = text.find('@');
    if (at == 0 || at == std::string_view::npos ||
        text.substr(0, at).find_first_of(kNever) != std::string_view::npos)
      return refused();
    AppendLower(text.substr(0, at), out);
  }
  if (out.size() - begin > 64) return refused();
  const std::string_view domain = text.substr(at + 1);
  if (domain.find_first_of(kNever) != std::string_view::npos ||
      domain.find('@') != std::string_view::npos)
    return refused();
  out.push_back('@');
  const size_t behind = out.size();
  if (!AppendDomain(domain, out)) return refused();
  std::transform(out.begin() + static_cast<ptrdiff_t>(behind), out.end(),
                 out.begin() + static_cast<ptrdiff_t>(behind), Lower);
  return out.size() - begin <= 254 || refused();
}

bool PncId(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpaces);
  std::string_view text = compact.view();
  if (text.size() < 4 || !In(text.back(), kCheckLetters)) return Fallback(value, out);
  char letter = text.back();
  text.remove_suffix(1);
  size_t slash = text.find('/');
  std::string_view year, serial;
  if (slash != std::string_view::npos) {
    year = text.substr(0, slash);
    serial = text.substr(slash + 1);
  } else {
    // Without a slash, the long form has all of its 11 digits.
    year = text.substr(0, text.size() < 11 ? 2 : 4);
    serial = text.substr(year.size());
  }
  if ((year.size() != 2 && year.size() != 4) || serial.empty() || serial.size() > 7 ||
      !AllDigits(year) || !AllDigits(serial)) {
    return Fallback(value, out);
  }
  const size_t begin = out.size();
  if (year.size() == 2) {
    int number = (year[0] - '0') * 10 + (year[1] - '0');
    out.append(number <= kYearPivot ? "20" : "19");
  }
  out.append(year);
  out.push_back('/');
  AppendPadded(serial, 7, out);
  out.push_back(letter);
  return ChecksOut(contract::v1::PNC_ID, begin, out);
}

bool Cro(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpaces);
  std::string_view text = compact.view();
  if (text.empty() || !In(text.back(), kCheckLetters)) return Fallback(value, out);
  char letter = text.back();
  text.remove_suffix(1);
  const size_t slash = text.find('/');
  const size_t begin = out.size();
  if (text.starts_with("SF")) {  // SFYY/N...
    const std::string_view year = text.substr(2, slash == std::string_view::npos ? 2 : slash - 2);
    const std::string_view serial =
        text.substr(std::min(slash == std::string_view::npos ? 4 : slash + 1, text.size()));
    if (year.size() != 2 || serial.empty() || serial.size() > 6 || !AllDigits(year) ||
        !AllDigits(serial)) {
      return Fallback(value, out);
    }
    out.append("SF");
    out.append(year);
    out.push_back('/');
    out.append(serial);
    out.push_back(letter);
    return ChecksOut(contract::v1::CRO, begin, out);
  }
  // Without a slash, the last two digits are the year's.
  const size_t serial_size = slash != std::string_view::npos ? slash
                             : text.size() < 2               ? 0
                                                             : text.size() - 2;
  const std::string_view serial = text.substr(0, serial_size);
  const std::string_view year =
      text.substr(slash != std::string_view::npos ? slash + 1 : serial_size);
  if (serial.empty() || serial.size() > 6 || year.size() != 2 || !AllDigits(serial) ||
      !AllDigits(year)) {
    return Fallback(value, out);
  }
  AppendPadded(serial, 6, out);
  out.push_back('/');
  out.append(year);
  out.push_back(letter);
  return ChecksOut(contract::v1::CRO, begin, out);
}

// YY [f] FF UU SS, 11 digits, letter: year, an optional force letter or digit, force, unit, system.
// The display form YY/FFUU/SS/nL leaves the sequence's leading zeros out.
bool Asn(std::string_view value, std::string& out) {
  std::array<std::string_view, 4> parts;
  size_t count = 0;
  Compact spaced(value, kWithoutSpaces);
  for (std::string_view rest = spaced.view(); count < parts.size();) {
    size_t slash = rest.find('/');
    parts[count++] = rest.substr(0, slash);
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
    if (count == parts.size()) return Fallback(value, out);
  }
  char text[32];
  size_t size = 0;
  auto add = [&](std::string_view part) {
    if (size + part.size() > sizeof(text)) return false;
    std::memcpy(text + size, part.data(), part.size());
    size += part.size();
    return true;
  };
  bool fits = true;
  if (count == 4 && parts[3].size() >= 2 && parts[3].size() <= 12) {
    for (size_t i = 0; i < 3; ++i) fits = fits && add(parts[i]);
    fits =
        fits && add(std::string_view("00000000000").substr(parts[3].size() - 1)) && add(parts[3]);
  } else if (count == 1) {
    fits = add(parts[0]);
  } else {
    fits = false;
  }
  std::string_view asn(text, size);
  if (!fits || (asn.size() != 20 && asn.size() != 21) || !In(asn.back(), kCheckLetters))
    return Fallback(value, out);
  std::string_view year = asn.substr(0, 2);
  std::string_view sequence = asn.substr(asn.size() - 12, 11);
  std::string_view codes = asn.substr(2, asn.size() - 14);  // [f] FF UU SS
  bool formatted =
      AllDigits(year) && AllDigits(sequence) &&
      std::all_of(codes.begin(), codes.end(), [](char c) { return IsDigit(c) || IsUpper(c); });
  if (!formatted) return Fallback(value, out);
  out.append(asn);
  return CheckCharacter(contract::v1::ASN, asn.substr(0, asn.size() - 1)) == asn.back();
}

bool NhsNumber(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSeparators);
  std::string_view text = compact.view();
  if (text.size() != 10 || !AllDigits(text)) return Fallback(value, out);
  out.append(text);
  return CheckCharacter(contract::v1::NHS_NUMBER, text.substr(0, 9)) == text[9];
}

// The suffix says in which part of the year its owner's card was once stamped. Half of all writers
// leave it out, and no two people's numbers differ by it alone: it is no part of the form.
bool Nino(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSeparators);
  std::string_view text = compact.view();
  if (text.size() != 8 && text.size() != 9) return Fallback(value, out);
  if (!IsUpper(text[0]) || !IsUpper(text[1]) || !AllDigits(text.substr(2, 6)) ||
      (text.size() == 9 && !In(text[8], "ABCD"))) {
    return Fallback(value, out);
  }
  out.append(text.substr(0, 8));
  // HMRC NIM39110: letters that never stand there, prefixes that were never issued.
  static constexpr std::string_view kNever[] = {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"};
  return !In(text[0], "DFIQUV") && !In(text[1], "DFIOQUV") &&
         std::none_of(std::begin(kNever), std::end(kNever),
                      [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// A run of `text` from `at` whose characters are of one class; how long it is.
template <typename Class>
size_t Run(std::string_view text, size_t at, Class is) {
  size_t end = at;
  while (end < text.size() && is(text[end])) ++end;
  return end - at;
}

// Ireland's counties, cities and their former ones.
constexpr std::string_view kIrishCounties =
    " C CE CN CW D DL G KE KK KY L LD LH LK LM LS MH MN MO OY RN SO T TN TS W WD WH WW WX ";

// Digits, letters, digits.
struct Middle {
  size_t digits, letters;
};
Middle MiddleOf(std::string_view text) {
  const size_t digits = Run(text, 0, IsDigit);
  return {digits, Run(text, digits, IsUpper)};
}

// 131D12345: Ireland's. The half year of issue counted from the year 0; 0: it is none.
int32_t IrishHalf(std::string_view text) {
  const auto [digits, letters] = MiddleOf(text);
  const size_t serial = text.size() - digits - letters;
  if (digits < 2 || digits > 3 || letters < 1 || letters > 2 || serial < 1 || serial > 6) return 0;
  char county[4] = {' ', ' ', ' ', ' '};
  text.copy(county + 1, letters, digits);
  if (kIrishCounties.find({county, letters + 2}) == std::string_view::npos) return 0;
  const std::string_view code(county + 1, letters);
  const int32_t year = (text[0] - '0') * 10 + (text[1] - '0');
  if (digits == 2) {  // until 2012
    if (code == "T" || (year > 12 && year < 87)) return 0;
    return (year >= 87 ? 1900 + year : 2000 + year) * 2;
  }
  if (year < 13 || (text[2] != '1' && text[2] != '2')) return 0;
  // Limerick, Tipperary and Waterford became one each.
  const bool former = code == "LK" || code == "TN" || code == "TS" || code == "WD";
  if (year > 13 ? former : code == "T") return 0;
  return (2000 + year) * 2 + text[2] - '1';
}

// 101D234: the diplomatic corps' and international organisations'.
bool IsDiplomatic(std::string_view text) {
  return text.size() == 7 && AllDigits(text.substr(0, 3)) && In(text[3], "DX") &&
         AllDigits(text.substr(4));
}

bool IsNumbersBothSides(std::string_view text) {
  const auto [digits, letters] = MiddleOf(text);
  if (digits + letters + Run(text, digits + letters, IsDigit) != text.size()) return false;
  const bool military = text.size() == 6 && digits == 2 && letters == 2;  // 12AB34
  return military || IsDiplomatic(text) || IrishHalf(text) != 0;
}

bool IsMark(std::string_view text) {
  auto letters_in = [&](std::string_view part, Characters never) {
    return std::all_of(part.begin(), part.end(),
                       [&](char c) { return IsUpper(c) && !In(c, never); });
  };
  // Current: AB12CDE. No I, Q or Z in front, no I or Q behind; 00, 01 and 50 were never issued.
  if (text.size() == 7 && letters_in(text.substr(0, 2), "IQZ") && AllDigits(text.substr(2, 2)) &&
      letters_in(text.substr(4), "IQ")) {
    std::string_view age = text.substr(2, 2);
    return age != "00" && age != "01" && age != "50";
  }
  size_t first = Run(text, 0, IsUpper);
  size_t digits = Run(text, first, IsDigit);
  size_t last = Run(text, first + digits, IsUpper);
  std::string_view front = text.substr(0, first), back = text.substr(first + digits);
  auto is_manx = [](std::string_view part) { return part == "MN" || part == "MAN"; };
  if (first + digits + last != text.size()) return first == 0 && IsNumbersBothSides(text);
  if (first == 0) {
    if (last == 0) return digits >= 1 && digits <= 5;  // Guernsey, trade plates
    if (digits == 5) return is_manx(back);
    return digits >= 1 && digits <= 4 && last >= 1 && last <= 3;  // dateless, digits first
  }
  if (last == 0) {
    if (digits == 5) return front == "J" || is_manx(front);
    if (digits == 6) return front == "J";             // Jersey
    return digits >= 1 && digits <= 4 && first <= 3;  // dateless, Northern Ireland
  }
  if (digits < 1 || digits > 3) return false;
  if (first == 1 && last == 3) {  // prefix: A123BCD; of doubtful age: Q123ABC
    return letters_in(front, "IOUZ") && letters_in(back.substr(0, 1), "IQZ") &&
           letters_in(back.substr(1), "IQ");
  }
  if (first == 2 && digits == 2 && last == 2) return true;  // military: AB12CD
  return first == 3 && last == 1 && letters_in(front, "IQ") &&
         letters_in(back, "IOQUZ");  // suffix: ABC123D, the Isle of Man's too
}

bool Vrm(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpacesAndHyphens);
  std::string_view text = compact.view();
  if (text.empty() || !IsMark(text)) return Fallback(value, compact, out);
  out.append(text);
  return true;
}

bool DrivingLicence(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpacesAndHyphens);
  std::string_view text = compact.view();
  if (text.size() != 16) return Fallback(value, out);
  auto alnum = [](char c) { return IsDigit(c) || IsUpper(c); };
  bool surname = true, padding = false;
  for (size_t i = 0; i < 5; ++i) {
    if (text[i] == '9') padding = true;
    surname = surname && (text[i] == '9' || (IsUpper(text[i]) && !padding));
  }
  int month = (text[6] - '0') * 10 + (text[7] - '0');
  int day = (text[8] - '0') * 10 + (text[9] - '0');
  bool valid = surname && AllDigits(text.substr(5, 6)) &&
               ((month >= 1 && month <= 12) || (month >= 51 && month <= 62)) && day >= 1 &&
               day <= 31 && (IsUpper(text[11]) || text[11] == '9') &&
               (IsUpper(text[12]) || text[12] == '9') && alnum(text[13]) && IsUpper(text[14]) &&
               IsUpper(text[15]);
  if (!valid) return Fallback(value, out);
  out.append(text);
  return true;
}

bool Passport(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpacesAndHyphens);
  std::string_view text = compact.view();
  bool valid =
      text.size() >= 6 && text.size() <= 9 &&
      std::all_of(text.begin(), text.end(), [](char c) { return IsDigit(c) || IsUpper(c); }) &&
      std::any_of(text.begin(), text.end(), IsDigit);
  if (!valid) return Fallback(value, out);
  out.append(text);
  return true;
}

bool Number(std::string_view value, size_t digits_max, std::string& out) {
  Compact compact(value, kWithoutSpaces);
  std::string_view text = compact.view();
  if (text.empty() || !AllDigits(text)) return Fallback(value, out);
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size() - 1));
  if (text.size() > digits_max) return Fallback(value, out);
  out.append(text);
  return true;
}

bool ShoulderNumber(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpacesAndHyphens);
  std::string_view text = compact.view();
  size_t digits = Run(text, 0, IsDigit);
  if (digits < 1 || digits > 4 || Run(text, digits, IsUpper) != 2 || text.size() != digits + 2) {
    return Fallback(value, out);
  }
  out.append(text);
  return true;
}

// The outward part's formats: A9, A99, A9A, AA9, AA99, AA9A, each with the letters that stand in
// their places (BS 7666).
bool IsOutward(std::string_view text) {
  constexpr std::string_view kNotFirst = "QVX", kNotSecond = "IJZ";
  if (text.size() < 2 || text.size() > 4 || !IsUpper(text[0]) || In(text[0], kNotFirst))
    return false;
  bool two = IsUpper(text[1]);
  if (two && In(text[1], kNotSecond)) return false;
  std::string_view rest = text.substr(two ? 2 : 1);
  if (rest.empty() || rest.size() > 2 || !IsDigit(rest[0])) return false;
  if (rest.size() == 1 || IsDigit(rest[1])) return true;
  return two ? In(rest[1], "ABEHMNPRVWXY") : In(rest[1], "ABCDEFGHJKPSTUW");
}

// Overseas territories' that the format doesn't have.
constexpr std::string_view kTerritories =
    " ASCN1ZZ BBND1ZZ BIQQ1ZZ FIQQ1ZZ PCRN1ZZ SIQQ1ZZ STHL1ZZ TDCU1ZZ TKCA1ZZ AI2640 ";

// How many characters stand before the space of a postcode of the forces or of an overseas
// territory that has another format; 0: it is none.
size_t OutwardAbroad(std::string_view text) {
  auto digits_behind = [&](std::string_view front, size_t min, size_t max) {
    if (!text.starts_with(front)) return size_t{0};
    const size_t digits = text.size() - front.size();
    const bool all = AllDigits(text.substr(front.size()));
    return all && digits >= min && digits <= max ? front.size() : size_t{0};
  };
  if (const size_t size = digits_behind("BFPO", 1, 4); size != 0) return size;
  if (text.size() < 6 || text.size() > 7) return 0;
  if (text.starts_with("KY") && IsDigit(text[2])) return digits_behind(text.substr(0, 3), 4, 4);
  for (std::string_view front : {"MSR", "VG"}) {
    if (const size_t size = digits_behind(front, 4, 4); size != 0) return size;
  }
  char padded[9] = {' '};
  text.copy(padded + 1, text.size());
  padded[text.size() + 1] = ' ';
  if (kTerritories.find({padded, text.size() + 2}) == std::string_view::npos) return 0;
  return text.size() == 7 ? 4 : 2;
}

bool Postcode(std::string_view value, std::string& out) {
  Compact compact(value, kWithoutSpacesAndHyphens);
  std::string_view text = compact.view();
  if (const size_t abroad = OutwardAbroad(text); abroad != 0) {
    out.append(text, 0, abroad).push_back(' ');
    out.append(text, abroad);
    return true;
  }
  if (text.size() < 5 || text.size() > 7) return Fallback(value, compact, out);
  std::string_view outward = text.substr(0, text.size() - 3), inward = text.substr(text.size() - 3);
  constexpr std::string_view kNotInward = "CIKMOV";
  bool valid = IsDigit(inward[0]) && IsUpper(inward[1]) && IsUpper(inward[2]) &&
               !In(inward[1], kNotInward) && !In(inward[2], kNotInward) &&
               (IsOutward(outward) || text == "GIR0AA");
  if (!valid) return Fallback(value, compact, out);
  out.append(outward);
  out.push_back(' ');
  out.append(inward);
  return true;
}

// Fractions of house numbers: 12½ is 12 1/2, and not 121/2.
void SpellFractions(size_t begin, std::string& out) {
  constexpr std::pair<std::string_view, std::string_view> kFractions[] = {{"\u00BC", "1/4"},
                                                                          {"\u00BD", "1/2"},
                                                                          {"\u00BE", "3/4"},
                                                                          {"\u2153", "1/3"},
                                                                          {"\u2154", "2/3"}};
  for (const auto& [character, spelling] : kFractions) {
    for (size_t at = begin; (at = out.find(character, at)) != std::string::npos;) {
      const bool behind = at > begin && out[at - 1] != ' ';
      out.replace(at, character.size(), behind ? " " : "").insert(at + behind, spelling);
    }
  }
}

bool Address(std::string_view value, std::string& out) {
  const size_t begin = out.size();
  AppendFolded(value, out);
  if (!IsAscii(value)) SpellFractions(begin, out);
  // After folding, because that makes commas of what isn't one yet.
  size_t end = begin;
  for (size_t i = begin; i < out.size(); ++i) {
    char c = out[i] == ',' || out[i] == '.' ? ' ' : out[i];
    if (c == ' ' && (end == begin || out[end - 1] == ' ')) continue;
    out[end++] = c;
  }
  if (end > begin && out[end - 1] == ' ') --end;
  out.resize(end);
  return end > begin;
}

bool IpAddress(std::string_view value, std::string& out) {
  size_t begin = value.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return Fallback(value, out);
  std::string_view trimmed = value.substr(begin, value.find_last_not_of(kSpaces) - begin + 1);
  char text[INET6_ADDRSTRLEN + 1];
  if (trimmed.size() >= sizeof(text) || trimmed.find('\0') != std::string_view::npos)
    return Fallback(value, out);
  std::memcpy(text, trimmed.data(), trimmed.size());
  text[trimmed.size()] = '\0';
  in6_addr address;
  const void* bytes = &address;
  int family = AF_INET;
  if (inet_pton(AF_INET, text, &address) != 1) {
    if (inet_pton(AF_INET6, text, &address) != 1) return Fallback(value, out);
    // An IPv4 peer as a socket for both versions names it (RFC 4291 section 2.5.5.2).
    if (IN6_IS_ADDR_V4MAPPED(&address)) {
      bytes = address.s6_addr + 12;
    } else {
      family = AF_INET6;
    }
  }
  char canonical[INET6_ADDRSTRLEN];
  out.append(inet_ntop(family, bytes, canonical, sizeof(canonical)));
  return true;
}

bool EventId(std::string_view value, std::string& out) {
  bool uuid = value.size() == 36;
  for (size_t i = 0; uuid && i < value.size(); ++i) {
    bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    char c = Lower(value[i]);
    uuid = hyphen ? c == '-' : IsDigit(c) || (c >= 'a' && c <= 'f');
  }
  if (uuid) {
    AppendLower(value, out);
  } else {
    out.append(value);
  }
  return !value.empty();
}

// A kind that has a format, in ASCII.
bool Formatted(IdentifierKind kind, std::string_view value, std::string& out) {
  using namespace contract::v1;
  switch (kind) {
    case PHONE:
      return Phone(value, out);
    case PNC_ID:
      return PncId(value, out);
    case CRO:
      return Cro(value, out);
    case ASN:
      return Asn(value, out);
    case NHS_NUMBER:
      return NhsNumber(value, out);
    case NINO:
      return Nino(value, out);
    case VRM:
      return Vrm(value, out);
    case DRIVING_LICENCE:
      return DrivingLicence(value, out);
    case PASSPORT:
      return Passport(value, out);
    case WARRANT_NUMBER:
      return Number(value, 6, out);
    case SHOULDER_NUMBER:
      return ShoulderNumber(value, out);
    case POSTCODE:
      return Postcode(value, out);
    case UPRN:
      return Number(value, 12, out);
    case IP_ADDRESS:
      return IpAddress(value, out);
    default:
      return Fallback(value, out);
  }
}

}  // namespace

bool AppendCanonical(IdentifierKind kind, std::string_view value, std::string& out) {
  using namespace contract::v1;
  switch (kind) {
    case PERSON_NAME:
      return PersonName(value, out);
    case FREE_IDENTIFIER:
      return FoldedText(value, out);
    case EMAIL:
      return Email(value, out);
    case ADDRESS:
      return Address(value, out);
    case EVENT_ID:
      return EventId(value, out);
    case SOURCE_POSITION:
      out.append(value);
      return !value.empty();
    default:
      break;
  }
  if (IsAscii(value)) return Formatted(kind, value, out);
  // Copied from a page or a phone's contacts: no-break spaces, typographic hyphens, direction
  // marks.
  std::string folded;
  AppendFolded(value, folded);
  return IsAscii(folded) ? Formatted(kind, folded, out) : Fallback(folded, out);
}

char CheckCharacter(IdentifierKind kind, std::string_view body) {
  using namespace contract::v1;
  switch (kind) {
    case PNC_ID:  // YYYY/NNNNNNN
      return Modulus23().Add(body.substr(2)).letter();
    case CRO:  // NNNNNN/YY, SFYY/N...
      if (body.starts_with("SF")) return Modulus23().Add(body).letter();
      return Modulus23().Add(body.substr(7)).Add(body.substr(0, 6)).letter();
    case ASN: {  // YY [f] FF UU SS and 11 digits; letters count for nothing, and so does the unit
      std::string_view sequence = body.substr(body.size() - 11);
      std::string_view codes = body.substr(body.size() - 17, 6);
      return Modulus23()
          .Add(codes.substr(0, 2))
          .Add(codes.substr(4))
          .Add(body.substr(0, 2))
          .Add(sequence)
          .letter();
    }
    case NHS_NUMBER: {
      int sum = 0;
      for (int i = 0; i < 9; ++i) sum += (10 - i) * (body[static_cast<size_t>(i)] - '0');
      int check = (11 - sum % 11) % 11;
      return check == 10 ? '\0' : static_cast<char>('0' + check);
    }
    default:
      return '\0';
  }
}

bool IsMarkOfLater(std::string_view canonical, int32_t year, int32_t month) {
  if (canonical.size() == 7 && IsUpper(canonical[0]) && IsUpper(canonical[1]) &&
      IsDigit(canonical[2]) && IsDigit(canonical[3]) && IsUpper(canonical[4])) {
    // 02 to 50 from March of that year, 51 to 99 from September of fifty before.
    const int32_t age = (canonical[2] - '0') * 10 + (canonical[3] - '0');
    return age <= 50 ? year * 12 + month < (2000 + age) * 12 + 3
                     : year * 12 + month < (1950 + age) * 12 + 9;
  }
  if (!IsDigit(canonical.empty() ? 'A' : canonical[0]) || IsDiplomatic(canonical)) return false;
  const int32_t half = IrishHalf(canonical);
  return half != 0 && year * 2 + (month > 6) < half;
}

bool IsPostcodeArea(std::string_view area) {
  constexpr std::string_view kAreas =
      " AB AL B BA BB BD BH BL BN BR BS BT CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT "
      "DY E EC EH EN EX FK FY G GL GU GY HA HD HG HP HR HS HU HX IG IM IP IV JE KA KT KW KY L LA "
      "LD LE LL LN LS LU M ME MK ML N NE NG NN NP NR NW OL OX PA PE PH PL PO PR RG RH RM S SA SE "
      "SG SK SL SM SN SO SP SR SS ST SW SY TA TD TF TN TQ TR TS TW UB W WA WC WD WF WN WR WS WV "
      "YO ZE ";
  if (area.empty() || area.size() > 2) return false;
  char padded[4] = {' ', ' ', ' ', ' '};
  area.copy(padded + 1, area.size());
  return kAreas.find({padded, area.size() + 2}) != std::string_view::npos;
}

std::string_view PartOfPostcode(std::string_view canonical, PostcodePart part) {
  // A digit more would be all of BFPO 6.
  if (canonical.starts_with("BFPO ")) return canonical.substr(0, 4);
  size_t space = canonical.find(' ');
  switch (part) {
    case PostcodePart::kSector:
      return canonical.substr(0, space + 2);
    case PostcodePart::kDistrict:
      return canonical.substr(0, space);
    case PostcodePart::kArea:
      break;
  }
  return canonical.substr(0, Run(canonical, 0, IsUpper));
}

}  // namespace sluice::privacy
