// The scrubber's search for identifiers by shape and check, and for dates of birth.
#include <algorithm>
#include <array>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <utility>

#include "common/privacy/identifier.h"
#include "common/privacy/scrub.h"
#include "common/privacy/scrub_text.h"
#include "common/privacy/words.h"

namespace sluice::privacy {

using namespace contract::v1;

namespace {

constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view kRanks[] = {"pc",  "ps", "dc",   "ds",      "wpc",       "pcso",
                                       "sgt", "sc", "insp", "officer", "constable", "sergeant"};
constexpr std::string_view kBorn[] = {"dob", "born", "birth", "birthday", "b"};
constexpr std::string_view kFillers[] = {"on",    "is",     "was",      "the",       "as", "of",
                                         "given", "stated", "recorded", "confirmed", "to", "be"};
// Two letters before a number that begin no National Insurance number there. In capitals some of
// them do, but for these.
constexpr std::string_view kNeverNino[] = {"at", "am", "pm", "pc", "ps",
                                           "sc", "by", "ex", "no", "nr"};
constexpr std::string_view kPairs[] = {
    "at", "on", "an", "as", "am", "pm", "by", "my", "we", "he", "me", "no", "or", "so", "pc",
    "ps", "sc", "st", "mr", "ms", "ex", "re", "kg", "km", "cm", "mm", "hr", "be", "ha", "ok",
    "to", "is", "it", "of", "up", "go", "ft", "nr", "pp", "pg", "la", "us", "eh", "ah", "oh"};
// There they are no part of a vehicle's mark.
constexpr std::string_view kVehicleWords[] = {
    "bmw", "kia", "suv", "lgv", "hgv", "mpv", "psv", "gti", "amg", "gtr", "vin", "pnc", "cid",
    "mot", "rtc", "vrm", "reg", "mph", "kph", "atv", "uk",  "gb",  "vw",  "mg",  "nip"};
// Acts of Parliament, behind a section: S136 MHA.
constexpr std::string_view kActs[] = {"mha", "mda", "poa", "cja", "rta", "pca", "soa"};
// Two letters that are a word of nearly any text.
constexpr std::string_view kWordsOfTwo[] = {
    "am", "an", "as", "at", "be", "by", "do", "go", "he", "if", "in", "is", "it", "me",
    "my", "no", "of", "on", "or", "so", "to", "up", "us", "we", "ok", "pm", "mr", "ms"};
constexpr std::string_view kUnits[] = {"st", "nd", "rd", "th", "ft", "hr", "lb", "yr", "pt", "hz"};
constexpr std::string_view kAddressKeys[] = {
    "email", "mail",     "to",   "from", "cc",    "bcc",     "user",    "name",    "mailto",
    "login", "username", "addr", "id",   "value", "contact", "address", "account", "e"};

// What words before a value say that it is, as bits.
enum : uint32_t {
  kSaysVehicle = 1,
  kSaysNhs = 2,
  kSaysNino = 4,
  kSaysPnc = 8,
  kSaysCro = 16,
  kSaysAsn = 32,
  kSaysPassport = 64,
  kSaysPhone = 128,
  kSaysLicence = 256,
  kSaysUprn = 512,
  kSaysPostcode = 1024,
  kSaysVersion = 2048,
};
struct Label {
  std::string_view word;
  uint32_t says;
};
constexpr Label kLabels[] = {{"vehicle", kSaysVehicle},   {"vehicles", kSaysVehicle},
                             {"index", kSaysVehicle},     {"car", kSaysVehicle},
                             {"van", kSaysVehicle},       {"vrm", kSaysVehicle},
                             {"reg", kSaysVehicle},       {"regn", kSaysVehicle},
                             {"plate", kSaysVehicle},     {"plates", kSaysVehicle},
                             {"lorry", kSaysVehicle},     {"truck", kSaysVehicle},
                             {"taxi", kSaysVehicle},      {"moped", kSaysVehicle},
                             {"bike", kSaysVehicle},      {"scooter", kSaysVehicle},
                             {"caravan", kSaysVehicle},   {"cab", kSaysVehicle},
                             {"trailer", kSaysVehicle},   {"registration", kSaysVehicle},
                             {"nhs", kSaysNhs},           {"nino", kSaysNino},
                             {"ni", kSaysNino},           {"insurance", kSaysNino},
                             {"pnc", kSaysPnc},           {"pncid", kSaysPnc},
                             {"cro", kSaysCro},           {"asn", kSaysAsn},
                             {"summons", kSaysAsn},       {"passport", kSaysPassport},
                             {"tel", kSaysPhone},         {"telephone", kSaysPhone},
                             {"phone", kSaysPhone},       {"mob", kSaysPhone},
                             {"mobile", kSaysPhone},      {"cell", kSaysPhone},
                             {"fax", kSaysPhone},         {"whatsapp", kSaysPhone},
                             {"licence", kSaysLicence},   {"license", kSaysLicence},
                             {"dvla", kSaysLicence},      {"driver", kSaysLicence},
                             {"uprn", kSaysUprn},         {"postcode", kSaysPostcode},
                             {"version", kSaysVersion},   {"ver", kSaysVersion},
                             {"release", kSaysVersion},   {"build", kSaysVersion},
                             {"firmware", kSaysVersion},  {"software", kSaysVersion},
                             {"section", kSaysVersion},   {"para", kSaysVersion},
                             {"paragraph", kSaysVersion}, {"clause", kSaysVersion},
                             {"chapter", kSaysVersion},   {"app", kSaysVersion},
                             {"android", kSaysVersion},   {"ios", kSaysVersion},
                             {"windows", kSaysVersion},   {"update", kSaysVersion},
                             {"updated", kSaysVersion},   {"item", kSaysVersion},
                             {"annex", kSaysVersion},     {"step", kSaysVersion}};
// Whether a word of this first letter and size may be one of them: nearly all of a text aren't.
constexpr std::array<uint16_t, 26> kLabelSizes = [] {
  std::array<uint16_t, 26> sizes{};
  for (const Label& label : kLabels) {
    uint16_t& size = sizes[static_cast<size_t>(label.word[0] - 'a')];
    size = static_cast<uint16_t>(size | 1u << label.word.size());
  }
  return sizes;
}();

uint32_t Says(std::string_view word) {
  if (word.empty() || word.size() > kWordMax) return 0;
  char lower[kWordMax];
  std::transform(word.begin(), word.end(), lower, Lower);
  if (!IsLower(lower[0]) ||
      (kLabelSizes[static_cast<size_t>(lower[0] - 'a')] & (1u << word.size())) == 0)
    return 0;
  for (const Label& label : kLabels) {
    if (label.word == std::string_view(lower, word.size())) return label.says;
  }
  return 0;
}

// 1 to 12; 0: no month. The first three letters say it, as long as the rest is the month's too.
int32_t MonthOf(std::string_view word) {
  constexpr std::string_view kLong[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};
  if (word.size() < 3 || word.size() > 9) return 0;
  char lower[9];
  std::transform(word.begin(), word.end(), lower, Lower);
  std::string_view text(lower, word.size());
  for (size_t i = 0; i < std::size(kLong); ++i) {
    if (text == kMonths[i] || text == kLong[i] || (i == 8 && text == "sept"))
      return static_cast<int32_t>(i) + 1;
  }
  return 0;
}

// O in a spoken number is a nought.
bool IsSpokenDigit(char c) { return IsDigit(c) || c == 'O' || c == 'o'; }

// Own numbers of so many characters are found before anything else is.
constexpr size_t kOwnNumberLong = 8;

// Small letters that end no postcode behind `outward`: 1st; behind one letter also 5ft.
bool IsMeasure(std::string_view outward, std::string_view inward) {
  const std::string_view unit = inward.substr(1);
  if (!OneOf(unit, kUnits) || AllUpper(unit)) return false;
  if (outward.size() < 2 || IsDigit(outward[1])) return true;
  const char digit = inward[0];
  return OneOf(unit, {digit == '1' ? "st" : digit == '2' ? "nd" : digit == '3' ? "rd" : "th"});
}

std::optional<int32_t> Number(std::string_view digits) {
  if (digits.empty() || digits.size() > 4) return std::nullopt;
  int32_t number = 0;
  for (char c : digits) {
    if (!IsDigit(c)) return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

// The day of 12, 12th and 1st.
std::optional<int32_t> Day(std::string_view word) {
  size_t digits = 0;
  while (digits < word.size() && IsDigit(word[digits])) ++digits;
  constexpr std::string_view kOrdinals[] = {"st", "nd", "rd", "th"};
  if (digits > 2 || (digits < word.size() && !OneOf(word.substr(digits), kOrdinals)))
    return std::nullopt;
  return Number(word.substr(0, digits));
}

}  // namespace

uint32_t Scrubber::LabelsBefore(size_t begin) {
  if (begin == labels_at_) return labels_;
  labels_at_ = begin;
  labels_ = 0;
  uint32_t& says = labels_;
  size_t at = begin;
  // Letters directly before, as in NHS9434765919, are a word of their own.
  for (int words = 0; words < 3; ++words) {
    while (at > 0 && begin - at < 40 && ClassOf(text_[at - 1]) != kLetter) {
      // A sentence's end ends what its words say.
      if (text_[at - 1] == '.' && at < text_.size() && IsSpace(text_[at]) && at >= 4 &&
          ClassOf(text_[at - 4]) == kLetter && ClassOf(text_[at - 3]) == kLetter &&
          ClassOf(text_[at - 2]) == kLetter && Says(text_.substr(at - 4, 3)) == 0 &&
          Lower(text_[at - 2]) != 'o')
        return says;
      --at;
    }
    const size_t end = at;
    while (at > 0 && begin - at < 40 && ClassOf(text_[at - 1]) == kLetter) --at;
    says |= Says(text_.substr(at, end - at));
  }
  return says;
}

bool Scrubber::TakeAs(IdentifierKind kind, size_t begin, size_t end, std::string_view value) {
  const size_t before = canonical_.size();
  if (!AppendCanonical(kind, value, canonical_)) {
    canonical_.resize(before);
    return false;
  }
  findings_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end), kind,
                       static_cast<uint32_t>(before), static_cast<uint32_t>(canonical_.size())});
  return true;
}

bool Scrubber::CanTake(IdentifierKind kind, std::string_view value) {
  const size_t before = canonical_.size();
  const bool can = AppendCanonical(kind, value, canonical_);
  canonical_.resize(before);
  return can;
}

bool Scrubber::Take(IdentifierKind kind, size_t begin, size_t end) {
  return TakeAs(kind, begin, end, text_.substr(begin, end - begin));
}

size_t Scrubber::LookAtEmail(size_t at) {
  static constexpr CharSet kLocal("!#$%&'*+-/=?^_`{}~.");
  static constexpr CharSet kDomain(".-_");
  // Never an address's first.
  static constexpr CharSet kBefore("!#&'*-/=?`~.");
  auto local = [](char c) { return ClassOf(c) != kOther || kLocal[c]; };
  size_t begin = at, end = at + 1;
  while (end < text_.size() && end - at < 254 &&
         (ClassOf(text_[end]) != kOther || kDomain[text_[end]]))
    ++end;
  while (end > at + 1 && ClassOf(text_[end - 1]) == kOther) --end;
  if (end == at + 1) return at + 1;
  // No longer than an address can be, so that a text of nothing but dots is read once.
  if (at > 1 && text_[at - 1] == '"') {
    for (begin = at - 2;
         begin > 0 && at - begin < 66 && text_[begin] != '"' && text_[begin] != '\n';)
      --begin;
    return text_[begin] == '"' && Take(EMAIL, begin, end) ? end : at + 1;
  }
  while (begin > 0 && at - begin < 64 && local(text_[begin - 1])) --begin;
  const std::string_view said = text_.substr(begin, at - begin);
  if (said.find("//") != std::string_view::npos || said.find('?') != std::string_view::npos ||
      (said.find('&') != std::string_view::npos && said.find('=') != std::string_view::npos)) {
    // In a link: what stands before the value is none of it.
    begin += said.find_last_of("/?&=") + 1;
  } else if (size_t key = said.find('=');
             key != std::string_view::npos && OneOf(said.substr(0, key), kAddressKeys)) {
    begin += key + 1;
  }
  while (begin < at && kBefore[text_[begin]]) ++begin;
  if (begin == at || !Take(EMAIL, begin, end)) return at + 1;
  return end;
}

std::optional<size_t> Scrubber::IpV6(size_t begin) {
  if (begin > 0 && ClassOf(text_[begin - 1]) != kOther) return std::nullopt;
  // Not from the middle of one, or of other hexadecimal. "From:" and "src:" are before it.
  if (begin > 0 && text_[begin - 1] == ':') {
    size_t at = begin - 1;
    // A colon apart is none of it either.
    bool label = at == 0 || (ClassOf(text_[at - 1]) == kOther && text_[at - 1] != ':');
    while (at > 0 && begin - at < 7 && ClassOf(text_[at - 1]) != kOther && !label)
      label = !IsHex(text_[--at]) || begin - at > 5;
    if (!label) return std::nullopt;
  }
  size_t end = begin, colons = 0, groups = 0;
  bool digits = false;
  for (; end < text_.size() && end - begin <= 45; ++end) {
    const char c = text_[end];
    if (!IsHex(c) && c != ':' && c != '.') break;
    colons += c == ':';
    groups += IsHex(c) && (end == begin || text_[end - 1] == ':');
    digits = digits || IsDigit(c);
  }
  // A word behind a full stop or colon is none of it.
  if (colons < 2 || groups == 0) return std::nullopt;
  if (ClassOf(At(end)) != kOther && text_[end - 1] != '.' && text_[end - 1] != ':')
    return std::nullopt;
  // a::b is no address.
  if (!digits && groups < 3) return std::nullopt;
  while (end > begin && text_[end - 1] == '.') --end;
  if (text_[end - 1] == ':' && text_[end - 2] != ':') --end;
  if (!Take(IP_ADDRESS, begin, end)) return std::nullopt;
  return end;
}

size_t Scrubber::LookAtNumber(const Word& word, const Word& before) {
  if (At(word.end) == ':' && (IsHex(At(word.end + 1)) || At(word.end + 1) == ':')) {
    if (auto end = IpV6(word.begin)) return *end;
  }
  // AB-12-03-81-C is no date.
  if (word.size() == 2 && before.size() == 2 && !word.letters && !before.digits &&
      Adjoins(before, word)) {
    if (auto end = Nino(before, word)) return *end;
  }
  if (auto end = FindNumber(word, kOwnNumberLong)) return *end;
  if (auto end = Date(word, before)) return *end;
  // The figures behind letters of the same word: DOB120381, PC12345.
  Word figures = word, front = word;
  if (word.letters && !IsDigit(text_[word.begin])) {
    while (!IsDigit(text_[figures.begin])) ++figures.begin;
    front.end = figures.begin;
    front.digits = false;
    const std::string_view in = In(figures);
    figures.letters = !AllDigits(in);
    if (front.size() > 1 && OneOf(In(front), kBorn)) {
      if (auto end = Date(figures, front)) return *end;
    }
    if (OneOf(In(front), kRanks)) {
      if (!figures.letters) {
        if (auto end = FindNumber(figures, 0)) return *end;
      }
      if (auto end = ShoulderNumber(figures)) return *end;
      if (figures.letters && Take(SHOULDER_NUMBER, figures.begin, figures.end)) return figures.end;
    }
  }
  if (word.size() == 1) {
    if (auto end = Spelled(word)) return *end;
  }
  if (auto end = word.letters ? LookAtCode(word, before) : LookAtDigits(word, before)) return *end;
  if (auto end = Mark(word, before)) return *end;
  if (auto end = FindNumber(word, 0)) return *end;
  if (figures.begin != word.begin && !figures.letters) {
    if (auto end = FindNumber(figures, 0)) return *end;
  }
  return Labelled(word, before).value_or(word.end);
}

std::optional<size_t> Scrubber::LookAtDigits(const Word& word, const Word& before) {
  if (auto end = IpV4(word)) return end;
  if (auto end = Slashed(word)) return end;
  const bool adjoins = Adjoins(before, word);
  if (adjoins && before.size() == 2 && !before.digits) {
    if (auto end = Nino(before, word)) return end;
  }
  // MORGA 657054 SM9IJ
  if (adjoins && word.size() == 6 && before.size() == 5) {
    static constexpr CharSet kHyphen("-");
    if (auto next = Behind(word, kHyphen); next && next->size() == 5 &&
                                           (next->digits || AllUpper(In(*next))) &&
                                           Take(DRIVING_LICENCE, before.begin, next->end))
      return next->end;
  }
  if (auto end = Postcode(word, before)) return end;
  if (auto end = ShoulderNumber(word)) return end;
  return DigitGroups(word.begin, word);
}

// PC 123 AS
std::optional<size_t> Scrubber::ShoulderNumber(const Word& word) {
  static constexpr CharSet kHyphen("-");
  if (word.size() > 4) return std::nullopt;
  auto unit = Behind(word, kHyphen);
  if (!unit || unit->size() != 2 || !AllUpper(In(*unit)) ||
      !OneOf(In(WordBefore(word.begin)), kRanks))
    return std::nullopt;
  // Where all is in capitals, AS is a word.
  static constexpr CharSet kNone("");
  if (OneOf(In(*unit), kWordsOfTwo)) {
    if (auto then = Behind(*unit, kNone); then && AllUpper(In(*then))) return std::nullopt;
  }
  if (!Take(SHOULDER_NUMBER, word.begin, unit->end)) return std::nullopt;
  return unit->end;
}

std::optional<size_t> Scrubber::LookAtCode(const Word& word, const Word& before) {
  const std::string_view in = In(word);
  if (in.size() == 16 && Take(DRIVING_LICENCE, word.begin, word.end)) return word.end;
  if ((in.size() == 20 || in.size() == 21) && Take(ASN, word.begin, word.end)) return word.end;
  if (in.size() == 12 && Take(PNC_ID, word.begin, word.end)) return word.end;
  if (auto end = IsDigit(in[0]) && Adjoins(before, word) && before.size() == 2 && !before.digits
                     ? Nino(before, word)
                     : Nino(word, word))
    return end;
  if (in.size() == 4 && Upper(in[0]) == 'S' && Upper(in[1]) == 'F') {
    static constexpr CharSet kSlash("/");
    if (auto next = Behind(word, kSlash); next && Take(CRO, word.begin, next->end))
      return next->end;
  }
  if (auto end = Postcode(word, before)) return end;
  if (IsDigit(in[0]) && OneOf(In(WordBefore(word.begin)), kRanks) &&
      Take(SHOULDER_NUMBER, word.begin, word.end))
    return word.end;
  constexpr uint32_t kSaysCode = kSaysPnc | kSaysCro | kSaysAsn | kSaysNino | kSaysLicence;
  if (IsDigit(in[0]) && (LabelsBefore(word.begin) & kSaysCode) != 0) {
    if (auto end = Labelled(word, before)) return end;
  }
  if (in.size() == 5 && IsUpper(in[0])) {
    static constexpr CharSet kHyphen("-");
    // OO999 960059 YU6AW is no phone.
    auto second = Behind(word, kHyphen);
    auto third = second && second->size() == 6 ? Behind(*second, kHyphen) : std::nullopt;
    if (third && third->size() == 5 && Take(DRIVING_LICENCE, word.begin, third->end))
      return third->end;
  }
  if (IsDigit(in[0]) || std::all_of(in.begin(), in.end(), IsSpokenDigit))
    return DigitGroups(word.begin, word);
  // tel07700900123
  const size_t digit =
      static_cast<size_t>(std::find_if(in.begin(), in.end(), IsDigit) - in.begin());
  return DigitGroups(word.begin + digit, word);
}

// 1.2.3.4
std::optional<size_t> Scrubber::IpV4(const Word& word) {
  Word last = word;
  for (int dots = 0; dots < 3; ++dots) {
    auto next = Beside(last, '.');
    if (!next || next->letters) return std::nullopt;
    last = *next;
  }
  // 1.2.3.4.5 is a version or a paragraph, and so is what is called one.
  if (auto fifth = Beside(last, '.'); fifth && fifth->digits) return std::nullopt;
  if (word.begin > 1 && text_[word.begin - 1] == '.' && IsDigit(text_[word.begin - 2]))
    return std::nullopt;
  if ((LabelsBefore(word.begin) & kSaysVersion) != 0) return last.end;
  if (!Take(IP_ADDRESS, word.begin, last.end)) return std::nullopt;
  return last.end;
}

// 81/34U, 065656/91H, 10/01VK/01/375807W
std::optional<size_t> Scrubber::Slashed(const Word& word) {
  static constexpr CharSet kSlash("/");
  char separator;
  auto second = Behind(word, kSlash, &separator);
  if (!second || separator != '/') return std::nullopt;
  const std::string_view in = In(word);
  if (auto third = Behind(*second, kSlash, &separator); third && separator == '/') {
    if (auto fourth = Behind(*third, kSlash, &separator);
        fourth && separator == '/' && Take(ASN, word.begin, fourth->end))
      return fourth->end;
  }
  const bool year = in.size() == 2 || in.starts_with("19") || in.starts_with("20");
  auto take = [&](size_t end) {
    return (year && Take(PNC_ID, word.begin, end)) || Take(CRO, word.begin, end);
  };
  if (take(second->end)) return second->end;
  // 81 / 34 U: a letter apart may be a word, as in 1/2 a mile.
  static constexpr CharSet kNone("");
  if (second->letters) return std::nullopt;
  auto letter = Behind(*second, kNone);
  if (!letter || letter->size() != 1 || letter->digits) return std::nullopt;
  const bool apart = At(word.end) == ' ' && in.size() + second->size() >= 5;
  const char said = text_[letter->begin];
  if ((apart || (IsUpper(said) && said != 'A')) && take(letter->end)) return letter->end;
  return std::nullopt;
}

// AB123456C, AB 123456C, AB 12 34 56 C: two letters, six digits, a letter that may be missing.
// `prefix` and `word` are the same where one word begins with both.
std::optional<size_t> Scrubber::Nino(const Word& prefix, const Word& word) {
  static constexpr CharSet kBetween("-./");
  const std::string_view letters = text_.substr(prefix.begin, 2);
  if (ClassOf(letters[0]) != kLetter || ClassOf(letters[1]) != kLetter) return std::nullopt;
  char compact[9];
  size_t size = 0;
  Word last = prefix;
  int pairs = 0;
  for (Word at = prefix.begin == word.begin ? word : prefix;;) {
    const std::string_view in = In(at);
    if (size + in.size() > sizeof(compact)) return std::nullopt;
    std::copy(in.begin(), in.end(), compact + size);
    if (size > 0) pairs += in.size() == 2;
    size += in.size();
    last = at;
    if (size >= 8) break;
    auto next = at.begin == prefix.begin && at.begin != word.begin ? std::optional(word)
                                                                   : Behind(at, kBetween);
    if (!next || !next->digits) return std::nullopt;
    at = *next;
  }
  const bool upper = AllUpper(letters);
  const bool parted = last.begin != prefix.begin;
  const bool pair = parted && (upper ? OneOf(letters, kNeverNino) : OneOf(letters, kPairs));
  if (pair && !upper && (LabelsBefore(prefix.begin) & kSaysNino) == 0) return std::nullopt;
  if (size == 8) {
    if (auto suffix = Behind(last, kBetween);
        suffix && suffix->size() == 1 && IsUpper(text_[suffix->begin]) == upper) {
      compact[8] = text_[suffix->begin];
      if (TakeAs(NINO, prefix.begin, suffix->end, {compact, 9})) return suffix->end;
    }
    // Without its suffix it is two letters and a number, as much else.
    if (parted && (pair || pairs != 3) && (LabelsBefore(prefix.begin) & kSaysNino) == 0)
      return std::nullopt;
  }
  if (TakeAs(NINO, prefix.begin, last.end, {compact, size})) return last.end;
  return std::nullopt;
}

// In one word or two, also where a space stands elsewhere: SW 1A 1AA, SW1A 1 AA.
std::optional<size_t> Scrubber::Postcode(const Word& word, const Word& before) {
  static constexpr CharSet kBetween("-.");
  const std::string_view in = In(word);
  auto next = Behind(word, kBetween);
  if (ClassOf(in[0]) != kLetter) {
    if (before.size() == 3 && in.size() == 3 && OneOf(In(before), {"gir"}) &&
        Adjoins(before, word) && Take(POSTCODE, before.begin, word.end))
      return word.end;
    // FIQQ 1ZZ, BFPO 61
    if (before.size() == 4 && in.size() <= 4 &&
        (Upper(in.back()) == 'Z' || Upper(text_[before.begin + 1]) == 'F') &&
        Adjoins(before, word) && Take(POSTCODE, before.begin, word.end))
      return word.end;
    if (in.size() > 2 || !next || next->size() != 3 || !Adjoins(before, word) ||
        before.size() > 2 || before.digits || !AllUpper(In(before)) || OneOf(In(before), kPairs) ||
        !AllUpper(In(*next).substr(1)))
      return std::nullopt;
    char compact[7];
    size_t size = 0;
    for (const Word& part : {before, word, *next}) {
      std::copy(In(part).begin(), In(part).end(), compact + size);
      size += part.size();
    }
    if (TakeAs(POSTCODE, before.begin, next->end, {compact, size})) return next->end;
    return std::nullopt;
  }
  if (in.size() >= 5 && in.size() <= 8 && !IsColour(word) && Take(POSTCODE, word.begin, word.end))
    return word.end;
  if (in.size() > 4 || !next) return std::nullopt;
  if (next->size() == 3) {
    const std::string_view inward = In(*next);
    // FU63 0AW is a mark in which O was read as 0.
    const char area[] = {Upper(in[0]), Upper(in[1])};
    const bool mark =
        in.size() == 4 && inward[0] == '0' && AllDigits(in.substr(2)) && !IsPostcodeArea({area, 2});
    if (!mark && !IsMeasure(in, inward) && Take(POSTCODE, word.begin, next->end)) return next->end;
  } else if (next->size() == 1 && next->digits) {
    if (auto last = Behind(*next, kBetween);
        last && last->size() == 2 && AllUpper(In(*last)) && Take(POSTCODE, word.begin, last->end))
      return last->end;
  }
  return std::nullopt;
}

std::optional<size_t> Scrubber::FindNumber(const Word& word, size_t size_min) {
  static constexpr CharSet kBetween("-.");
  if (numbers_.empty() || number_size_max_ < size_min || Beside(word, '/') || Beside(word, '.'))
    return std::nullopt;
  const std::string_view bytes = number_bytes_;
  auto text_of = [&](const OwnNumber& number) {
    return bytes.substr(number.begin, number.end - number.begin);
  };
  std::string& said = scratch_;
  said.clear();
  Word last = word;
  for (int words = 0; words < 4; ++words) {
    const std::string_view in = In(last);
    if (said.size() + in.size() > number_size_max_ + 8) break;
    std::transform(in.begin(), in.end(), std::back_inserter(said), Upper);
    // As canonical forms of warrants have it.
    const size_t zeros = std::min(said.find_first_not_of('0'), said.size());
    for (std::string_view form : {std::string_view(said), std::string_view(said).substr(zeros)}) {
      auto at = std::lower_bound(
          numbers_.begin(), numbers_.end(), form,
          [&](const OwnNumber& number, std::string_view value) { return text_of(number) < value; });
      if (form.size() < size_min) continue;
      for (int same = 0; at != numbers_.end() && same < 4 && text_of(*at) == form; ++at, ++same) {
        if (form.size() != said.size() && at->kind != WARRANT_NUMBER) continue;
        if (TakeAs(at->kind, word.begin, last.end, form)) return last.end;
      }
    }
    auto next = Behind(last, kBetween);
    if (!next || !next->digits) break;
    last = *next;
  }
  return std::nullopt;
}

// Behind a phone number: x12, ext. 12.
size_t Scrubber::WithExtension(size_t end) const {
  size_t at = end;
  while (at < text_.size() && at - end < 3 && (IsSpace(text_[at]) || text_[at] == ',')) ++at;
  const size_t word = at;
  if (At(at) == '#') {
    ++at;
  } else {
    while (at < text_.size() && at - word < 10 && ClassOf(text_[at]) == kLetter) ++at;
    constexpr std::string_view kExtensions[] = {"x", "ext", "extn", "extension"};
    if (!OneOf(text_.substr(word, at - word), kExtensions)) return end;
  }
  const size_t gap = at;
  while (at < text_.size() && at - gap < 3 && (IsSpace(text_[at]) || text_[at] == '.')) ++at;
  const size_t digits = at;
  while (at < text_.size() && IsDigit(text_[at])) ++at;
  return at == digits || at - digits > 6 || ClassOf(At(at)) != kOther ? end : at;
}

std::optional<size_t> Scrubber::DigitGroups(size_t first, const Word& word) {
  size_t begin = first;
  bool plus = false;
  if (begin > 0 && text_[begin - 1] == '(') --begin;
  if (begin > 0 && text_[begin - 1] == '+') {
    --begin;
    plus = true;
  } else if (begin > 1 && text_[begin - 1] == ' ' && text_[begin - 2] == '+') {
    begin -= 2;
    plus = true;
  }
  // Where each group ends, and how many digits there are up to it.
  size_t ends[16], digits[16], groups = 0, count = 0;
  char said[15];
  bool spoken = false, threes = true, ones = true;
  for (size_t at = first; groups < std::size(ends);) {
    size_t end = at, figures = 0;
    while (end < text_.size() && IsSpokenDigit(text_[end])) figures += IsDigit(text_[end++]);
    const bool whole = ClassOf(At(end)) == kOther && figures > 0 && first == word.begin;
    if (!whole) {
      end = at;
      while (IsDigit(At(end))) ++end;
    }
    const size_t size = end - at;
    if (size == 0 || count + size > sizeof(said)) break;
    for (size_t i = at; i < end; ++i) said[count++] = IsDigit(text_[i]) ? text_[i] : '0';
    spoken = spoken || (whole && figures < size);
    threes = threes && (groups < 2 ? size == 3 : groups == 2 && size == 4);
    ones = ones && size == 1;
    ends[groups] = end;
    digits[groups++] = count;
    at = end;
    // "(0)20", ") 7946", " - "
    size_t others = 0, lines = 0;
    for (; at < text_.size() && ClassOf(text_[at]) == kOther && at - end < kGapMax; ++at) {
      const char c = text_[at];
      if (c == '\n' && ++lines > 1) break;
      if (IsSpace(c)) continue;
      if (++others > 3 || (c != '-' && c != '(' && c != ')' && c != '.' && c != '/')) break;
    }
    if (at == end || !IsSpokenDigit(At(at))) break;
  }
  if (groups == 0 || count < 7) return std::nullopt;
  const uint32_t says = LabelsBefore(begin);
  const bool behind_letters = first != word.begin;
  for (size_t i = groups; i-- > 0;) {
    const size_t size = digits[i];
    if (size < (plus ? 7u : 9u)) break;
    if (spoken) {
      if (said[0] == '0' && TakeAs(PHONE, begin, ends[i], {said, size})) return ends[i];
      continue;
    }
    bool phone = plus || said[0] == '0' || (size == 12 && said[0] == '4') ||
                 (says & (kSaysPhone | kSaysNhs)) == kSaysPhone;
    // Few numbers have nine digits behind the nought; times and dates side by side often do.
    if (size == 10 && said[0] == '0' && i > 1 && !plus && (says & kSaysPhone) == 0) phone = false;
    if (phone) {
      if (const size_t end = WithExtension(ends[i]); Take(PHONE, begin, end)) return end;
    }
    const bool grouped = i == 0 || (i == 2 && threes) || (i == 9 && ones);
    const bool nhs = behind_letters ? (says & kSaysNhs) != 0 : grouped || (says & kSaysNhs) != 0;
    if (!plus && size == 10 && nhs && Take(NHS_NUMBER, first, ends[i])) return ends[i];
  }
  return std::nullopt;
}

// A B 1 2 3 4 5 6 C
std::optional<size_t> Scrubber::Spelled(const Word& word) {
  const char between = At(word.end);
  if (between != ' ' && between != '-' && between != '.') return std::nullopt;
  char said[9];
  size_t size = 0;
  bool digits = false;
  for (size_t at = word.begin; size < sizeof(said) && at < text_.size(); at += 2) {
    const char c = text_[at];
    if (ClassOf(c) == kOther || static_cast<unsigned char>(c) >= 0x80 ||
        ClassOf(At(at + 1)) != kOther)
      break;
    said[size++] = c;
    digits = digits || IsDigit(c);
    if (At(at + 1) != between) break;
  }
  if (size < 5 || !digits || AllDigits({said, size})) return std::nullopt;
  for (; size >= 5; --size) {
    const size_t end = word.begin + 2 * size - 1;
    for (Kind kind : {NINO, VRM, POSTCODE}) {
      if (kind == VRM && size != 7) continue;
      if (TakeAs(kind, word.begin, end, {said, size})) return end;
    }
  }
  return std::nullopt;
}

// A word before says what it is: then any spelling that a field takes is one.
std::optional<size_t> Scrubber::Labelled(const Word& word, const Word& before) {
  static constexpr CharSet kBetween("-./");
  // Nothing that has a label is one or two characters alone.
  if (word.size() < 3) {
    auto next = Behind(word, kBetween);
    if (!next || !next->digits) return std::nullopt;
  }
  // A prefix of letters is part of it: SF 05 482703 J.
  const bool prefixed = Adjoins(before, word) && !before.digits && before.size() <= 2 &&
                        Says(In(before)) == 0 && !OneOf(In(before), kPairs);
  const uint32_t says = LabelsBefore(prefixed ? before.begin : word.begin);
  constexpr std::pair<uint32_t, Kind> kKinds[] = {
      {kSaysPnc, PNC_ID},     {kSaysCro, CRO},           {kSaysAsn, ASN},
      {kSaysNhs, NHS_NUMBER}, {kSaysNino, NINO},         {kSaysLicence, DRIVING_LICENCE},
      {kSaysUprn, UPRN},      {kSaysPassport, PASSPORT}, {kSaysPostcode, POSTCODE}};
  if ((says & ~(kSaysVersion | kSaysVehicle | kSaysPhone)) == 0) return std::nullopt;
  if (says == kSaysPassport || says == kSaysUprn) {
    // Letters and digits are in much; six figures or more side by side aren't.
    const std::string_view in = In(word);
    const auto figures = std::count_if(in.begin(), in.end(), IsDigit);
    if (figures < 6 || !Take(says == kSaysUprn ? UPRN : PASSPORT, word.begin, word.end))
      return std::nullopt;
    return word.end;
  }
  // Of PNC ID 127579792L, the letters before are none of it.
  for (const Word& first : {before, word}) {
    if (first.begin == before.begin && !prefixed) continue;
    size_t ends[12], count = 0;
    for (Word last = first; count < std::size(ends);) {
      ends[count++] = last.end;
      auto next = Behind(last, kBetween);
      if (!next || (next->size() > 2 && !next->digits) || next->end - first.begin > 40) break;
      last = *next;
    }
    for (const auto& [bit, kind] : kKinds) {
      if ((says & bit) == 0 || kind == UPRN || kind == PASSPORT) continue;
      for (size_t i = count; i-- > 0;) {
        if (Take(kind, first.begin, ends[i])) return ends[i];
      }
    }
  }
  return std::nullopt;
}

// #ff11aa, and no mark or postcode, unless somebody says that it is one.
bool Scrubber::IsColour(const Word& word) {
  const std::string_view in = In(word);
  return word.begin > 0 && text_[word.begin - 1] == '#' &&
         (in.size() == 3 || in.size() == 6 || in.size() == 8) &&
         std::all_of(in.begin(), in.end(), IsHex) &&
         (LabelsBefore(word.begin) & (kSaysVehicle | kSaysPostcode)) == 0;
}

bool Scrubber::SaysBorn(size_t begin) const {
  Word before = WordBefore(begin);
  for (int fillers = 0; fillers < 3 && OneOf(In(before), kFillers) && before.begin > 0; ++fillers)
    before = WordBefore(before.begin);
  return OneOf(In(before), kBorn);
}

std::optional<size_t> Scrubber::Date(const Word& word, const Word& before) {
  static constexpr CharSet kBetween("/-.");
  static constexpr CharSet kComma("/-.,'");
  const std::string_view in = In(word);
  if (in.size() > 15 || !IsDigit(in[0])) return std::nullopt;
  std::optional<int32_t> day, month, year;
  size_t begin = word.begin, end = word.end;
  auto year_of = [&](const Word& last) {
    const std::string_view text = In(last);
    if (text.size() == 4 || text.size() == 2) year = Number(text);
    end = last.end;
  };
  char separator = ' ', next = ' ';
  // March 12, 1981
  if (before.end != 0 && !before.digits && word.begin - before.end <= 2 && Day(in) &&
      (text_[before.end] == ' ' || text_[before.end] == '.') && MonthOf(In(before)) != 0) {
    if (auto last = Behind(word, kComma); last && last->size() == 4 && !last->letters) {
      begin = before.begin;
      month = MonthOf(In(before));
      day = Day(in);
      year_of(*last);
    }
  }
  if (year) {
  } else if (word.letters && !Day(in)) {  // 12MAR1981, 12Mar 1981, 1981MAR12
    const auto split = [&](size_t from, auto is) {
      while (from < in.size() && is(in[from])) ++from;
      return from;
    };
    const size_t named = split(0, IsDigit);
    const size_t behind = split(named, [](char c) { return !IsDigit(c); });
    month = MonthOf(in.substr(named, behind - named));
    const std::string_view first = in.substr(0, named), last = in.substr(behind);
    if (*month == 0 || !AllDigits(last)) return std::nullopt;
    if (first.size() == 4) {
      if (last.empty() || last.size() > 2) return std::nullopt;
      year = Number(first);
      day = Number(last);
    } else if (first.size() <= 2) {
      day = Number(first);
      if (!last.empty()) {
        if (last.size() == 4 || last.size() == 2) year = Number(last);
      } else if (auto third = Behind(word, kComma); third && !third->letters) {
        if (third->size() == 4 || SaysBorn(begin)) year_of(*third);
      }
    }
  } else if (!word.letters && in.size() <= 4) {
    auto second = Behind(word, kBetween, &separator);
    if (second) {
      const int32_t named = second->digits ? 0 : MonthOf(In(*second));
      if (in.size() == 4) {
        auto third = Behind(*second, kBetween, &next);
        // A time may follow: 1981-03-12T00:00.
        if (third && (separator != ' ' || named != 0 || SaysBorn(begin)) && next == separator) {
          size_t digits = 0;
          while (digits < third->size() && IsDigit(In(*third)[digits])) ++digits;
          if (digits < 1 || digits > 2) return std::nullopt;
          year = Number(in);
          month = named != 0 ? named : Number(In(*second));
          day = Number(In(*third).substr(0, digits));
          end = third->begin + digits;
        }
      } else if (in.size() <= 2 && (named != 0 || separator != ' ' || SaysBorn(begin))) {
        auto third = Behind(*second, kComma, &next);
        if (third && !third->letters && (named != 0 || next == separator)) {
          day = Number(in);
          month = named != 0 ? named : Number(In(*second));
          year_of(*third);
        }
      }
    }
  } else if (Day(in)) {  // 12th March 1981, 12th of March 1981
    auto second = Behind(word, kBetween);
    if (second && OneOf(In(*second), {"of"})) second = Behind(*second, kBetween);
    auto third = second && MonthOf(In(*second)) != 0 ? Behind(*second, kComma) : std::nullopt;
    // 81 people may stand behind a date.
    if (third && !third->letters &&
        (third->size() == 4 || (third->size() == 2 && SaysBorn(begin)))) {
      day = Day(in);
      month = MonthOf(In(*second));
      year_of(*third);
    }
  }
  bool said = false;
  if (!year && !word.letters && (in.size() == 6 || in.size() == 8) &&
      ((said = SaysBorn(begin)) || !births_.empty())) {
    // DOB 120381
    day = Number(in.substr(0, 2));
    month = Number(in.substr(2, 2));
    year = Number(in.substr(4));
    if (in.size() == 8 && (*month > 12 || *year < 1890 || *year > 2100)) {
      year = Number(in.substr(0, 4));
      month = Number(in.substr(4, 2));
      day = Number(in.substr(6));
    }
  }
  if (!day || !month || !year || *day < 1 || *day > 31 || *month < 1 || *month > 12)
    return std::nullopt;
  const bool figures = end == word.end && in.size() >= 6 && !word.letters;
  // 1.2.34.5 is an address or a version, and no date.
  if (separator != ' ' &&
      ((At(end) == separator && IsDigit(At(end + 1))) ||
       (begin > 1 && text_[begin - 1] == separator && IsDigit(text_[begin - 2]))))
    return std::nullopt;
  // Version 16.7.64 is no date either.
  if (separator == '.' && *year < 100 && (LabelsBefore(begin) & kSaysVersion) != 0) return end;
  if (*year < 100) *year += *year <= (year_ > 0 ? year_ % 100 : kYearPivot) ? 2000 : 1900;
  if (*year < 1890 || *year > 2100) return std::nullopt;
  const bool born =
      said || (year_ > 0 && *year <= year_ - 10 && !figures) ||
      std::binary_search(births_.begin(), births_.end(),
                         static_cast<uint32_t>(*year * 10'000 + *month * 100 + *day)) ||
      SaysBorn(begin);
  if (born) findings_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
  if (!born && figures) return std::nullopt;
  return end;
}

std::optional<size_t> Scrubber::Mark(const Word& word, const Word& before) {
  static constexpr CharSet kBetween("-.");
  const std::string_view in = In(word);
  if (in.size() > 7 || IsColour(word)) return std::nullopt;
  char text[7];
  auto upper = [&](std::string_view part, size_t at) {
    std::transform(part.begin(), part.end(), text + at, Upper);
  };
  // As current marks have it: letters, digits, letters; what was misread is put right.
  auto current = [&]() {
    for (size_t i : {0, 1, 4, 5, 6})
      text[i] = text[i] == '0' ? 'O' : text[i] == '1' ? 'I' : text[i];
    for (size_t i : {2, 3}) text[i] = text[i] == 'O' ? '0' : text[i] == 'I' ? '1' : text[i];
    return std::all_of(text, text + 2, IsUpper) && std::all_of(text + 2, text + 4, IsDigit) &&
           std::all_of(text + 4, text + 7, IsUpper);
  };
  static constexpr CharSet kComma(",.;:)-");
  auto next = Behind(word, kBetween);
  const std::string_view behind = next ? In(*next) : std::string_view();
  // Whether three letters behind are a word of their own. Capitals among small letters are none.
  auto is_word = [&](const Word& letters, size_t begin) {
    if (!IsShortWord(In(letters))) return false;
    if (AllUpper(In(letters)) && (in.size() == 4 || in.size() == 2)) {
      const std::string_view said = In(WordBefore(begin));
      const auto after = Behind(word.begin == begin || in.size() == 2 ? letters : word, kComma);
      const std::string_view then = after ? In(*after) : std::string_view();
      auto shouted = [](std::string_view other) {
        return std::any_of(other.begin(), other.end(), IsUpper) &&
               std::none_of(other.begin(), other.end(), IsLower);
      };
      if (At(word.end) == '-' || std::any_of(said.begin(), said.end(), IsLower) ||
          std::any_of(then.begin(), then.end(), IsLower) || (!shouted(said) && !shouted(then)))
        return false;
    }
    return (LabelsBefore(begin) & kSaysVehicle) == 0;
  };
  if (in.size() == 7) {
    upper(in, 0);
    // 0056hrs
    if (!AllDigits(in.substr(0, 4)) && current() && TakeAs(VRM, word.begin, word.end, {text, 7}))
      return word.end;
  }
  if (in.size() == 4 && behind.size() == 3 && !is_word(*next, word.begin)) {
    upper(in, 0);
    upper(behind, 4);
    if (current() && TakeAs(VRM, word.begin, next->end, {text, 7})) return next->end;
  }
  // AB 12 CDE
  const bool adjoins = Adjoins(before, word);
  if (in.size() == 2 && behind.size() == 3 && adjoins && before.size() == 2 &&
      AllUpper(In(before)) && AllUpper(behind) && !OneOf(In(before), kRanks) &&
      !is_word(*next, before.begin)) {
    upper(In(before), 0);
    upper(in, 2);
    upper(behind, 4);
    if (current() && TakeAs(VRM, before.begin, next->end, {text, 7})) return next->end;
  }
  // AB1 2CDE, AB12C DE: a space in another place than the field's.
  if (next && in.size() + behind.size() == 7 && in.size() > 2 && behind.size() > 1 &&
      IsUpper(in[0]) && IsDigit(in.back()) == IsDigit(behind[0]) && At(word.end) == ' ' &&
      !OneOf(behind, kWordsOfTwo)) {
    in.copy(text, in.size());
    behind.copy(text + in.size(), behind.size());
    const auto upper_or_digit = [](char c) { return IsUpper(c) || IsDigit(c); };
    const bool ends = IsDigit(text[3]) && AllUpper({text + 4, 3}) && !IsShortWord({text + 4, 3});
    if (ends && std::all_of(text, text + 7, upper_or_digit) &&
        TakeAs(VRM, word.begin, next->end, {text, 7}))
      return next->end;
  }
  if (adjoins && in.size() == 5 && before.size() == 2 && AllDigits(in.substr(0, 2)) &&
      AllUpper(in.substr(2)) && AllUpper(In(before)) && !OneOf(In(before), kRanks) &&
      !OneOf(In(before), kWordsOfTwo) && !IsShortWord(in.substr(2)) &&
      Take(VRM, before.begin, word.end))
    return word.end;
  // ABC 123 D and A 123 BCD. S 136 MHA is a section of an Act.
  if (next && AllDigits(in) && in.size() <= 3 && in.size() > 1 && adjoins && !before.digits &&
      before.size() + behind.size() == 4 && (before.size() == 1 || before.size() == 3) &&
      AllUpper(In(before)) && AllUpper(behind) && At(word.end) == ' ' &&
      text_[word.begin - 1] == ' ') {
    const Word& letters = before.size() == 3 ? before : *next;
    const char age = before.size() == 3 ? behind[0] : text_[before.begin];
    const bool word_too = IsShortWord(In(letters)) || OneOf(In(letters), kVehicleWords) ||
                          (age == 'S' && before.size() == 1) || (age == 'A' && before.size() == 3);
    if ((!word_too || (LabelsBefore(before.begin) & kSaysVehicle) != 0) &&
        Take(VRM, before.begin, next->end))
      return next->end;
  }
  // A123BCD and ABC123D. With a space between and small letters they are words: A40 and.
  auto shape = [](std::string_view part) {
    size_t digits = static_cast<size_t>(std::count_if(part.begin(), part.end(), IsDigit));
    return digits >= 1 && digits <= 3 ? digits : 0;
  };
  if (size_t digits = shape(in); digits != 0) {
    const bool letters = IsDigit(in[1]) || (in.size() > 3 && IsDigit(in[3]) && !IsDigit(in[2]));
    if (in.size() == digits + 4 && letters && !IsDigit(in[0]) && Take(VRM, word.begin, word.end))
      return word.end;
    if (in.size() == digits + 1 && IsUpper(in[0]) && behind.size() == 3 && AllUpper(behind) &&
        !(in[0] == 'S' && OneOf(behind, kActs)) && !is_word(*next, word.begin) &&
        Take(VRM, word.begin, next->end))
      return next->end;
    if (in.size() == digits + 1 && IsUpper(in.back()) && adjoins && before.size() == 3 &&
        AllUpper(In(before)) && !is_word(before, before.begin) && Take(VRM, before.begin, word.end))
      return word.end;
  }
  return OtherMark(word, before);
}

// 123 BCD, ABC 123, AIZ 1234, J 12345, 101 D 234, with a space or without. Much else is written so,
// so that somebody has to say that it is one.
std::optional<size_t> Scrubber::OtherMark(const Word& word, const Word& before) {
  static constexpr CharSet kBetween("-.");
  auto letters = [](std::string_view part) {
    return !part.empty() && part.size() <= 3 && AllUpper(part) && !IsShortWord(part) &&
           !OneOf(part, kVehicleWords) && !OneOf(part, kWordsOfTwo);
  };
  const bool behind_letters = Adjoins(before, word) && letters(In(before));
  if (!word.letters && !behind_letters) {
    auto next = Behind(word, kBetween);
    if (!next || next->digits || next->size() > 3) return std::nullopt;
  }
  const bool prefixed = behind_letters && (LabelsBefore(before.begin) & kSaysVehicle) != 0;
  if (!prefixed && (LabelsBefore(word.begin) & kSaysVehicle) == 0) return std::nullopt;
  // The longest of up to four parts, each figures or letters.
  for (const Word& first : {before, word}) {
    if (first.begin == before.begin && !prefixed) continue;
    size_t end = 0, parts = 0;
    for (Word last = first; parts < 4; ++parts) {
      const std::string_view in = In(last);
      const size_t size = last.end - first.begin;
      if (size > 14 || (!last.digits && !letters(in))) break;
      const bool mixed = last.letters && last.digits;
      const size_t split = static_cast<size_t>(
          std::find_if(in.begin(), in.end(), [&](char c) { return IsDigit(c) != IsDigit(in[0]); }) -
          in.begin());
      if (mixed && parts == 0) {
        // Letters in front or behind: CAD123, 12th.
        std::string_view run = IsDigit(in[0]) ? in.substr(split) : in.substr(0, split);
        run = run.substr(
            0, static_cast<size_t>(std::find_if(run.begin(), run.end(), IsDigit) - run.begin()));
        if (!AllUpper(run) || IsShortWord(run) || OneOf(run, kVehicleWords)) break;
      }
      const std::string_view all = text_.substr(first.begin, size);
      // Fewer than four characters, or figures alone, may be anything.
      if (std::any_of(all.begin(), all.end(), [](char c) { return ClassOf(c) == kLetter; }) &&
          size - parts >= 4 && CanTake(VRM, all))
        end = last.end;
      auto next = Behind(last, kBetween);
      if (!next) break;
      last = *next;
    }
    if (end != 0 && Take(VRM, first.begin, end)) return end;
  }
  return std::nullopt;
}

}  // namespace sluice::privacy
