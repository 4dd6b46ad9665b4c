#include "common/privacy/scrub.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "common/privacy/fold.h"
#include "common/privacy/identifier.h"

namespace sluice::privacy {
namespace {

using namespace contract::v1;

enum : uint8_t { kOther = 0, kLetter = 1, kDigit = 2 };
constexpr std::array<uint8_t, 256> kClass = [] {
  std::array<uint8_t, 256> table{};
  for (int i = 0; i < 256; ++i) {
    bool letter = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') || i >= 0x80;
    table[static_cast<size_t>(i)] = letter ? kLetter : i >= '0' && i <= '9' ? kDigit : kOther;
  }
  return table;
}();
uint8_t ClassOf(char c) { return kClass[static_cast<unsigned char>(c)]; }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool AllUpper(std::string_view text) { return std::all_of(text.begin(), text.end(), IsUpper); }

template <size_t N>
bool OneOf(std::string_view word, const std::string_view (&words)[N]) {
  char lower[10];
  if (word.empty() || word.size() > sizeof(lower)) return false;
  std::transform(word.begin(), word.end(), lower, Lower);
  return std::find(std::begin(words), std::end(words), std::string_view(lower, word.size())) !=
         std::end(words);
}

constexpr std::string_view kStreets[] = {
    "street",  "road",  "lane",  "avenue",  "close",  "way",    "drive",    "st",
    "rd",      "ave",   "court", "square",  "place",  "park",   "crescent", "hill",
    "green",   "house", "mews",  "gardens", "estate", "bridge", "station",  "market",
    "terrace", "grove", "row",   "walk",    "yard"};
// Words that are names too: a small first letter makes them words again.
constexpr std::string_view kWords[] = {
    "will",  "mark",  "may",   "june",  "april",  "rose",  "grace",  "hope",   "faith",  "joy",
    "dawn",  "bill",  "jack",  "frank", "grant",  "chase", "rich",   "drew",   "rob",    "sue",
    "pat",   "art",   "long",  "short", "young",  "old",   "brown",  "black",  "white",  "green",
    "gray",  "grey",  "field", "wood",  "woods",  "hill",  "rivers", "stone",  "street", "park",
    "bush",  "fox",   "bird",  "king",  "bishop", "cook",  "baker",  "carter", "mason",  "ward",
    "price", "sharp", "swift", "best",  "love",   "day",   "night",  "winter", "summer", "person"};
// Before or behind a number they make no vehicle mark of it.
constexpr std::string_view kNoMark[] = {
    "and", "the", "for", "was", "had",  "has",  "but",  "not", "are", "cad", "ref",
    "num", "via", "bus", "who", "with", "from", "his",  "her", "him", "she", "they",
    "all", "off", "out", "due", "per",  "man",  "men",  "one", "two", "ten", "day",
    "hrs", "min", "met", "may", "jan",  "feb",  "mar",  "apr", "jun", "jul", "aug",
    "sep", "oct", "nov", "dec", "flat", "unit", "room", "yrs", "age", "sec"};
// What stands close before a vehicle's mark.
constexpr std::string_view kVehicles[] = {"vehicle", "vehicles", "index", "car",    "van",
                                          "vrm",     "reg",      "regn",  "plate",  "plates",
                                          "lorry",   "truck",    "taxi",  "moped",  "bike",
                                          "scooter", "caravan",  "cab",   "trailer"};
// There they are no part of one.
constexpr std::string_view kVehicleWords[] = {
    "bmw", "kia", "suv", "lgv", "hgv", "mpv", "psv", "gti", "amg", "gtr", "vin", "pnc", "cid",
    "mot", "rtc", "vrm", "reg", "mph", "kph", "atv", "uk",  "gb",  "vw",  "mg",  "nip"};
constexpr std::string_view kMonths[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view kRanks[] = {"pc",  "ps", "dc",   "ds",      "wpc",       "pcso",
                                       "sgt", "sc", "insp", "officer", "constable", "sergeant"};
constexpr std::string_view kBorn[] = {"dob", "born", "birth", "birthday", "b"};

// The bit of a run's names that stands for more than one.
constexpr uint32_t kLastName = 63;

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

// Two letters beside each other have changed places, and nothing else.
bool IsSwapped(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const size_t at =
      static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  return at + 1 < a.size() && a[at] == b[at + 1] && a[at + 1] == b[at] &&
         a.substr(at + 2) == b.substr(at + 2);
}

// O in a spoken number is a nought.
bool IsSpokenDigit(char c) { return IsDigit(c) || c == 'O' || c == 'o'; }

std::optional<int32_t> Number(std::string_view digits) {
  if (digits.empty() || digits.size() > 4) return std::nullopt;
  int32_t number = 0;
  for (char c : digits) {
    if (!IsDigit(c)) return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

}  // namespace

void Scrubber::NextEvent(int32_t year) {
  year_ = year;
  first_letters_ = 0;
  name_bytes_.clear();
  parts_.clear();
  names_.clear();
  numbers_.clear();
  births_.clear();
}

void Scrubber::AddName(std::string_view name) {
  const size_t begin = name_bytes_.size();
  if (!AppendCanonical(PERSON_NAME, name, name_bytes_)) return;
  std::string_view folded = std::string_view(name_bytes_).substr(begin);
  for (const Name& other : names_) {
    if (std::string_view(name_bytes_).substr(other.begin, other.end - other.begin) == folded) {
      name_bytes_.resize(begin);
      return;
    }
  }
  const size_t end = name_bytes_.size();
  const auto index = static_cast<uint32_t>(names_.size());
  names_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
  for (size_t at = begin; at < end;) {
    const size_t part = name_bytes_.size();
    for (; at < end && (ClassOf(name_bytes_[at]) != kOther || name_bytes_[at] == '\''); ++at) {
      if (name_bytes_[at] != '\'') name_bytes_.push_back(name_bytes_[at]);
    }
    ++at;
    // Initials are everybody's.
    if (name_bytes_.size() - part < 2 || IsDigit(name_bytes_[part])) {
      name_bytes_.resize(part);
      continue;
    }
    parts_.push_back(
        {static_cast<uint32_t>(part), static_cast<uint32_t>(name_bytes_.size()), index});
    char first = name_bytes_[part];
    first_letters_ |= first >= 'a' && first <= 'z' ? 1u << (first - 'a') : 1u << 31;
  }
}

void Scrubber::AddBirth(std::string_view date) {
  if (auto birth = event::ParseDate(date)) births_.push_back(*birth);
}

bool Scrubber::IsNumber(IdentifierKind kind) {
  return kind == WARRANT_NUMBER || kind == PASSPORT || kind == SHOULDER_NUMBER;
}

void Scrubber::AddNumber(IdentifierKind kind, std::string_view canonical) {
  if (canonical.size() < 4) return;
  const auto begin = static_cast<uint32_t>(name_bytes_.size());
  name_bytes_.append(canonical);
  numbers_.push_back({begin, static_cast<uint32_t>(name_bytes_.size()), kind});
}

Scrubber::Word Scrubber::WordAt(size_t at) const {
  Word word;
  word.begin = static_cast<uint32_t>(at);
  uint8_t seen = 0;
  for (; at < text_.size(); ++at) {
    uint8_t is = ClassOf(text_[at]);
    if (is == kOther) {
      bool apostrophe = text_[at] == '\'' && at > word.begin && at + 1 < text_.size() &&
                        ClassOf(text_[at + 1]) == kLetter && (seen & kDigit) == 0;
      if (!apostrophe) break;
    }
    seen |= is;
  }
  word.end = static_cast<uint32_t>(at);
  word.digits = (seen & kDigit) != 0;
  word.letters = (seen & kLetter) != 0;
  return word;
}

std::optional<Scrubber::Word> Scrubber::Behind(const Word& word,
                                               std::string_view separators) const {
  if (word.end + size_t{1} >= text_.size() ||
      separators.find(text_[word.end]) == std::string_view::npos ||
      ClassOf(text_[word.end + 1]) == kOther)
    return std::nullopt;
  return WordAt(word.end + 1);
}

std::span<const Finding> Scrubber::Find(std::string_view text) {
  text_ = text;
  findings_.clear();
  canonical_.clear();
  run_ = {};
  Word before;
  for (size_t at = 0; at < text.size();) {
    if (ClassOf(text[at]) == kOther) {
      if (text[at] == '@') {
        at = LookAtEmail(at);
      } else {
        ++at;
      }
      continue;
    }
    Word word = WordAt(at);
    at = word.end;
    if (word.digits) {
      at = std::max<size_t>(LookAtNumber(word, before), word.end);
    } else if (first_letters_ != 0) {
      char first = Lower(text[word.begin]);
      uint32_t bit = first >= 'a' && first <= 'z' ? 1u << (first - 'a') : 1u << 31;
      if ((first_letters_ & bit) != 0) LookAtName(word);
    }
    before = word;
  }
  EndRun();
  // Names end later than what was found behind them.
  std::sort(findings_.begin(), findings_.end(),
            [](const Finding& a, const Finding& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (size_t i = 0; i < findings_.size(); ++i) {
    if (kept > 0 && findings_[i].begin < findings_[kept - 1].end) {
      // Of two that overlap, the longer says more.
      if (findings_[i].end - findings_[i].begin >
          findings_[kept - 1].end - findings_[kept - 1].begin)
        findings_[kept - 1] = findings_[i];
      continue;
    }
    findings_[kept++] = findings_[i];
  }
  findings_.resize(kept);
  return findings_;
}

void Scrubber::LookAtName(const Word& word) {
  scratch_.clear();
  AppendFolded(In(word), scratch_);
  if (scratch_.ends_with("'s")) scratch_.resize(scratch_.size() - 2);
  std::erase(scratch_, '\'');
  uint64_t names = 0;
  for (const NamePart& part : parts_) {
    if (std::string_view(name_bytes_).substr(part.begin, part.end - part.begin) == scratch_)
      names |= uint64_t{1} << std::min(part.name, kLastName);
  }
  // As it is misheard: Feild, of somebody who is called Field.
  if (names == 0 && scratch_.size() >= 5 && IsUpper(text_[word.begin])) {
    for (const NamePart& part : parts_) {
      if (IsSwapped(std::string_view(name_bytes_).substr(part.begin, part.end - part.begin),
                    scratch_))
        names |= uint64_t{1} << std::min(part.name, kLastName);
    }
  }
  if (names == 0) return;
  const bool near = run_.words > 0 && word.begin - run_.end <= 3 &&
                    text_.substr(run_.end, word.begin - run_.end).find_first_not_of(" ,-.") ==
                        std::string_view::npos;
  const char first = text_[word.begin];
  bool alone = scratch_.size() >= 3 && (IsUpper(first) || ClassOf(first) == kLetter);
  if (!IsUpper(first) && static_cast<unsigned char>(first) < 0x80)
    alone = scratch_.size() >= 4 && !OneOf(scratch_, kWords);
  if (auto next = Behind(word, " "); next && OneOf(In(*next), kStreets)) alone = false;
  if (near && (run_.names & names) != 0) {
    run_.end = word.end;
    run_.names &= names;
    ++run_.words;
    run_.alone = run_.alone || alone;
    return;
  }
  EndRun();
  run_ = {word.begin, word.end, names, 1, alone};
}

void Scrubber::EndRun() {
  if (run_.words >= 2 || (run_.words == 1 && run_.alone)) {
    Finding finding{run_.begin, run_.end, PERSON_NAME, static_cast<uint32_t>(canonical_.size()), 0};
    // Whose of several people's it is can't be told.
    const auto which = static_cast<uint32_t>(std::countr_zero(run_.names));
    if (std::has_single_bit(run_.names) && which < kLastName) {
      const Name& name = names_[which];
      canonical_.append(name_bytes_, name.begin, name.end - name.begin);
    }
    finding.canonical_end = static_cast<uint32_t>(canonical_.size());
    findings_.push_back(finding);
  }
  run_ = {};
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

bool Scrubber::Take(IdentifierKind kind, size_t begin, size_t end) {
  return TakeAs(kind, begin, end, text_.substr(begin, end - begin));
}

size_t Scrubber::LookAtEmail(size_t at) {
  auto local = [](char c) {
    return ClassOf(c) != kOther || c == '.' || c == '_' || c == '-' || c == '+' || c == '%' ||
           c == '\'';
  };
  size_t begin = at, end = at + 1;
  // No longer than an address can be, so that a text of nothing but dots is read once.
  while (begin > 0 && at - begin < 64 && local(text_[begin - 1])) --begin;
  while (end < text_.size() && end - at < 254 &&
         (ClassOf(text_[end]) != kOther || text_[end] == '.' || text_[end] == '-'))
    ++end;
  while (end > at + 1 && ClassOf(text_[end - 1]) == kOther) --end;
  while (begin < at && ClassOf(text_[begin]) == kOther) ++begin;
  if (begin == at || end == at + 1 || !Take(EMAIL, begin, end)) return at + 1;
  return end;
}

size_t Scrubber::LookAtNumber(const Word& word, const Word& before) {
  const std::string_view in = In(word);
  const bool follows = before.end != 0 && before.end + 1 == word.begin;
  const char gap = word.begin > 0 ? text_[word.begin - 1] : '\0';

  if (auto end = Date(word, before)) return *end;

  if (!word.letters) {
    // 1.2.3.4
    size_t end = word.end;
    int dots = 0;
    for (Word at = word; dots < 3; ++dots) {
      auto next = Behind(at, ".");
      if (!next || next->letters) break;
      at = *next;
      end = at.end;
    }
    if (dots == 3 && Take(IP_ADDRESS, word.begin, end)) return end;
    // 81/34U, 065656/91H, 10/01VK/01/375807W
    if (auto second = Behind(word, "/")) {
      if (auto third = Behind(*second, "/")) {
        if (auto fourth = Behind(*third, "/"); fourth && Take(ASN, word.begin, fourth->end))
          return fourth->end;
      }
      if ((in.size() == 2 || in.starts_with("19") || in.starts_with("20")) &&
          Take(PNC_ID, word.begin, second->end))
        return second->end;
      if (Take(CRO, word.begin, second->end)) return second->end;
    }
    // AB 12 34 56 C, AB 123456 C
    if (follows && gap == ' ' && before.end - before.begin == 2 && !before.digits) {
      Word at = word;
      std::string& compact = scratch_;
      compact.assign(In(before)).append(in);
      while (compact.size() < 8) {
        auto next = Behind(at, " -");
        if (!next || next->letters) break;
        compact.append(In(*next));
        at = *next;
      }
      if (compact.size() == 8) {
        auto suffix = Behind(at, " -");
        std::string with_suffix = compact;
        if (suffix && suffix->end - suffix->begin == 1 &&
            TakeAs(NINO, before.begin, suffix->end, with_suffix.append(In(*suffix))))
          return suffix->end;
        if (TakeAs(NINO, before.begin, at.end, compact)) return at.end;
      }
    }
    if (auto end = DigitGroups(word)) return *end;
    if (auto end = Mark(word, before)) return *end;
    return FindNumber(word).value_or(word.end);
  }

  if (in.size() == 16 && Take(DRIVING_LICENCE, word.begin, word.end)) return word.end;
  if ((in.size() == 20 || in.size() == 21) && Take(ASN, word.begin, word.end)) return word.end;
  if (in.size() == 12 && Take(PNC_ID, word.begin, word.end)) return word.end;
  if (in.size() == 9 && Take(NINO, word.begin, word.end)) return word.end;
  if (in.size() == 8) {
    if (auto next = Behind(word, " -");
        next && next->end - next->begin == 1 && Take(NINO, word.begin, next->end))
      return next->end;
    if (Take(NINO, word.begin, word.end)) return word.end;
  }
  if (in.size() == 4 && Upper(in[0]) == 'S' && Upper(in[1]) == 'F') {
    if (auto next = Behind(word, "/"); next && Take(CRO, word.begin, next->end)) return next->end;
  }
  // A postcode, in one word or two. 1st, 2nd and their like aren't the second.
  if (ClassOf(in[0]) == kLetter) {
    if (in.size() >= 5 && in.size() <= 7 && Take(POSTCODE, word.begin, word.end)) return word.end;
    if (auto next = Behind(word, " -"); in.size() <= 4 && next && next->end - next->begin == 3) {
      std::string_view inward = In(*next).substr(1);
      constexpr std::string_view kOrdinals[] = {"st", "nd", "rd", "th"};
      if ((!OneOf(inward, kOrdinals) || AllUpper(inward)) && Take(POSTCODE, word.begin, next->end))
        return next->end;
    }
  }
  if (IsDigit(in[0]) && follows && !before.digits && OneOf(In(before), kRanks) &&
      Take(SHOULDER_NUMBER, word.begin, word.end))
    return word.end;
  if (std::all_of(in.begin(), in.end(), IsSpokenDigit)) {
    if (auto end = DigitGroups(word)) return *end;
  }
  if (auto end = Mark(word, before)) return *end;
  return FindNumber(word).value_or(word.end);
}

std::optional<size_t> Scrubber::FindNumber(const Word& word) {
  if (numbers_.empty() || Behind(word, "/.")) return std::nullopt;
  std::string_view in = In(word);
  for (const OwnNumber& number : numbers_) {
    std::string_view own =
        std::string_view(name_bytes_).substr(number.begin, number.end - number.begin);
    std::string_view said = in;
    // As canonical forms of warrants have it.
    if (number.kind == WARRANT_NUMBER)
      said.remove_prefix(std::min(said.find_first_not_of('0'), said.size()));
    if (said.size() != own.size() || !std::equal(said.begin(), said.end(), own.begin(),
                                                 [](char a, char b) { return Upper(a) == b; }))
      continue;
    if (TakeAs(number.kind, word.begin, word.end, own)) return word.end;
  }
  return std::nullopt;
}

// Phones and NHS numbers: digits in groups.
std::optional<size_t> Scrubber::DigitGroups(const Word& word) {
  size_t begin = word.begin;
  bool plus = false;
  if (begin > 0 && text_[begin - 1] == '(') --begin;
  if (begin > 0 && text_[begin - 1] == '+') {
    --begin;
    plus = true;
  }
  // Where each group ends, and how many digits there are up to it.
  size_t ends[8], digits[8], groups = 0, count = 0;
  char said[15];
  bool spoken = false;
  for (size_t at = word.begin; groups < std::size(ends);) {
    Word group = WordAt(at);
    const std::string_view in = In(group);
    if (!group.digits || (group.letters && !std::all_of(in.begin(), in.end(), IsSpokenDigit)))
      break;
    if (count + in.size() > sizeof(said)) break;
    std::transform(in.begin(), in.end(), said + count, [](char c) { return IsDigit(c) ? c : '0'; });
    spoken = spoken || group.letters;
    count += in.size();
    ends[groups] = group.end;
    digits[groups++] = count;
    at = group.end;
    // "(0)20", ") 7946", " - "
    size_t gap = 0;
    while (gap < 3 && at < text_.size() &&
           std::string_view(" -().").find(text_[at]) != std::string_view::npos)
      ++at, ++gap;
    if (gap == 0 || at >= text_.size() || !IsSpokenDigit(text_[at])) break;
  }
  for (size_t i = groups; i-- > 0;) {
    if (digits[i] < 9) break;
    if (spoken) {
      if (said[0] == '0' && TakeAs(PHONE, begin, ends[i], {said, digits[i]})) return ends[i];
      continue;
    }
    bool phone = plus || text_[word.begin] == '0' || (digits[i] == 12 && text_[word.begin] == '4');
    if (phone && Take(PHONE, begin, ends[i])) return ends[i];
    if (!plus && digits[i] == 10 && Take(NHS_NUMBER, word.begin, ends[i])) return ends[i];
  }
  return std::nullopt;
}

std::optional<size_t> Scrubber::Date(const Word& word, const Word& before) {
  std::string_view in = In(word);
  std::optional<int32_t> day, month, year;
  size_t end = word.end;
  if (!word.letters) {
    auto second = Behind(word, "/-. ");
    if (!second) return std::nullopt;
    char separator = text_[word.end];
    if (in.size() == 4 && separator != ' ') {
      auto third = Behind(*second, std::string_view(&separator, 1));
      if (!third) return std::nullopt;
      year = Number(in);
      month = Number(In(*second));
      // A time may follow: 1981-03-12T00:00.
      day = Number(In(*third).substr(0, 2));
      end = third->begin + 2;
    } else if (in.size() <= 2) {
      int32_t named = MonthOf(In(*second));
      if (separator == ' ' && named == 0) return std::nullopt;
      auto third = Behind(*second, separator == ' ' ? " " : std::string_view(&separator, 1));
      if (!third || third->letters) return std::nullopt;
      day = Number(in);
      month = named != 0 ? named : Number(In(*second));
      year = Number(In(*third));
      end = third->end;
      if (third->end - third->begin != 2 && third->end - third->begin != 4) return std::nullopt;
    }
  } else if (in.size() <= 4 && IsDigit(in[0])) {  // 12th March 1981, 12th of March 1981
    auto second = Behind(word, " ");
    if (second && Lower(text_[second->begin]) == 'o' && second->end - second->begin == 2)
      second = Behind(*second, " ");
    auto third = second ? Behind(*second, " ") : std::nullopt;
    if (!third || MonthOf(In(*second)) == 0 || third->end - third->begin != 4) return std::nullopt;
    day = Number(in.substr(0, in.size() - 2));
    month = MonthOf(In(*second));
    year = Number(In(*third));
    end = third->end;
  }
  if (!day || !month || !year || *day < 1 || *day > 31 || *month < 1 || *month > 12)
    return std::nullopt;
  if (*year < 100) *year += *year <= (year_ > 0 ? year_ % 100 : kYearPivot) ? 2000 : 1900;
  if (*year < 1890 || *year > 2100) return std::nullopt;
  bool born = year_ > 0 && *year <= year_ - 10;
  for (const event::CivilDate& birth : births_)
    born = born || (birth.year == *year && birth.month == *month && birth.day == *day);
  if (!born && before.end != 0 && word.begin - before.end <= 3) {
    // "d.o.b." is three words.
    born = OneOf(In(before), kBorn);
    if (OneOf(In(before), {"on", "is"}) && before.begin >= 5)
      born = text_.substr(before.begin - 5, 5).ends_with("born ");
  }
  if (born) findings_.push_back({word.begin, static_cast<uint32_t>(end)});
  return end;
}

std::optional<size_t> Scrubber::Mark(const Word& word, const Word& before) {
  const std::string_view in = In(word);
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
  auto next = Behind(word, " -");
  const std::string_view behind = next ? In(*next) : std::string_view();
  if (in.size() == 7) {
    upper(in, 0);
    if (current() && TakeAs(VRM, word.begin, word.end, {text, 7})) return word.end;
  }
  if (in.size() == 4 && behind.size() == 3 && !OneOf(behind, kNoMark)) {
    upper(in, 0);
    upper(behind, 4);
    if (current() && TakeAs(VRM, word.begin, next->end, {text, 7})) return next->end;
  }
  // A123BCD and ABC123D. With a space between and small letters they are words: A40 and.
  auto shape = [](std::string_view part) {
    size_t digits = static_cast<size_t>(std::count_if(part.begin(), part.end(), IsDigit));
    return digits >= 1 && digits <= 3 ? digits : 0;
  };
  if (size_t digits = shape(in); digits != 0) {
    if (in.size() == digits + 4 && Take(VRM, word.begin, word.end)) return word.end;
    if (in.size() == digits + 1 && IsUpper(in[0]) && behind.size() == 3 && AllUpper(behind) &&
        !OneOf(behind, kNoMark) && Take(VRM, word.begin, next->end))
      return next->end;
    if (in.size() == digits + 1 && IsUpper(in.back()) && before.end + 1 == word.begin &&
        text_[before.end] == ' ' && before.end - before.begin == 3 && AllUpper(In(before)) &&
        !OneOf(In(before), kNoMark) && Take(VRM, before.begin, word.end))
      return word.end;
  }
  return DatelessMark(word, before);
}

// 123 BCD, ABC 123, AIZ 1234, with a space or without. Much else is written so, so that somebody
// has to say that it is one.
std::optional<size_t> Scrubber::DatelessMark(const Word& word, const Word& before) {
  auto letters = [](std::string_view part) {
    return !part.empty() && part.size() <= 3 && AllUpper(part) && !OneOf(part, kNoMark) &&
           !OneOf(part, kVehicleWords);
  };
  const std::string_view in = In(word);
  size_t begin = word.begin, end = word.end;
  if (word.letters) {
    const size_t split = static_cast<size_t>(
        std::find_if(in.begin(), in.end(), [&](char c) { return IsDigit(c) != IsDigit(in[0]); }) -
        in.begin());
    if (in.size() < 4 || !letters(IsDigit(in[0]) ? in.substr(split) : in.substr(0, split)))
      return std::nullopt;
  } else {
    auto next = Behind(word, " ");
    if (next && letters(In(*next))) {
      end = next->end;
    } else if (before.end + 1 == word.begin && text_[before.end] == ' ' && letters(In(before))) {
      begin = before.begin;
    }
    if (end - begin < 5) return std::nullopt;
  }
  if (!OfVehicle(begin) || !Take(VRM, begin, end)) return std::nullopt;
  return end;
}

bool Scrubber::OfVehicle(size_t begin) const {
  size_t at = begin;
  for (int words = 0; words < 3; ++words) {
    while (at > 0 && begin - at < 32 && ClassOf(text_[at - 1]) == kOther) --at;
    const size_t end = at;
    while (at > 0 && begin - at < 32 && ClassOf(text_[at - 1]) != kOther) --at;
    if (OneOf(text_.substr(at, end - at), kVehicles)) return true;
  }
  return false;
}

}  // namespace sluice::privacy
