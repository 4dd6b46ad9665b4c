#include "common/privacy/scrub.h"

#include <algorithm>

#include "common/event/time_text.h"
#include "common/privacy/fold.h"
#include "common/privacy/scrub_text.h"
#include "common/privacy/words.h"

namespace sluice::privacy {

using namespace contract::v1;

void Scrubber::NextEvent(int32_t year) {
  year_ = year;
  names_.Clear();
  number_bytes_.clear();
  numbers_.clear();
  number_size_max_ = 0;
  births_.clear();
  own_sorted_ = true;
}

void Scrubber::AddBirth(std::string_view date) {
  auto birth = event::ParseDate(date);
  if (!birth) return;
  births_.push_back(static_cast<uint32_t>(birth->year * 10'000 + birth->month * 100 + birth->day));
  own_sorted_ = false;
}

bool Scrubber::IsNumber(IdentifierKind kind) {
  return kind == WARRANT_NUMBER || kind == PASSPORT || kind == SHOULDER_NUMBER;
}

void Scrubber::AddNumber(IdentifierKind kind, std::string_view canonical) {
  if (canonical.size() < 4) return;
  const auto begin = static_cast<uint32_t>(number_bytes_.size());
  number_bytes_.append(canonical);
  numbers_.push_back({begin, static_cast<uint32_t>(number_bytes_.size()), kind});
  number_size_max_ = std::max(number_size_max_, canonical.size());
  own_sorted_ = false;
}

std::span<const Finding> Scrubber::Find(std::string_view text) {
  findings_.clear();
  canonical_.clear();
  if (!own_sorted_) {
    std::sort(births_.begin(), births_.end());
    const std::string_view bytes = number_bytes_;
    std::sort(numbers_.begin(), numbers_.end(), [&](const OwnNumber& a, const OwnNumber& b) {
      return bytes.substr(a.begin, a.end - a.begin) < bytes.substr(b.begin, b.end - b.begin);
    });
    own_sorted_ = true;
  }
  ScanViews(text, nullptr);
  if (TextView::IsEncoded(text)) {
    decoded_.BuildDecoded(text);
    ScanViews(decoded_.text(), &decoded_);
  }
  Settle();
  return findings_;
}

void Scrubber::ScanViews(std::string_view text, const TextView* decoded) {
  if (decoded == nullptr && IsAscii(text)) return Scan(text);
  ScanView(text, TextView::Unseen::kAsMeant, decoded);
  const bool breaks = view_.has_breaks(), unseen = view_.has_unseen();
  if (breaks) ScanView(text, TextView::Unseen::kGone, decoded);
  if (unseen) ScanView(text, TextView::Unseen::kParts, decoded);
}

void Scrubber::ScanView(std::string_view text, TextView::Unseen unseen, const TextView* decoded) {
  view_.Build(text, unseen);
  const size_t first = findings_.size();
  Scan(view_.text());
  for (size_t i = first; i < findings_.size(); ++i) {
    Finding& finding = findings_[i];
    finding.begin = view_.SourceBegin(finding.begin);
    finding.end = view_.SourceEnd(finding.end);
    if (decoded == nullptr) continue;
    finding.begin = decoded->SourceBegin(finding.begin);
    finding.end = decoded->SourceEnd(finding.end);
  }
}

// In order, and each byte once. Of two that overlap, the longer says what both are.
void Scrubber::Settle() {
  auto before = [](const Finding& a, const Finding& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  };
  if (!std::is_sorted(findings_.begin(), findings_.end(), before))
    std::sort(findings_.begin(), findings_.end(), before);
  size_t kept = 0;
  for (const Finding& finding : findings_) {
    if (kept == 0 || finding.begin >= findings_[kept - 1].end) {
      findings_[kept++] = finding;
      continue;
    }
    Finding& last = findings_[kept - 1];
    const uint32_t begin = last.begin, end = std::max(last.end, finding.end);
    if (finding.end - finding.begin > last.end - last.begin) last = finding;
    last.begin = begin;
    last.end = end;
  }
  findings_.resize(kept);
}

void Scrubber::Scan(std::string_view text) {
  text_ = text;
  ascii_ = IsAscii(text);
  run_ = {};
  labels_at_ = SIZE_MAX;
  const bool names = !names_.empty();
  Word before;
  for (size_t at = 0; at < text.size();) {
    if (ClassOf(text[at]) == kOther) {
      if (text[at] == '@') {
        at = LookAtEmail(at);
      } else if (text[at] == ':' && At(at + 1) == ':') {
        at = IpV6(at).value_or(at + 2);
      } else {
        ++at;
      }
      continue;
    }
    const Word word = WordAt(at);
    at = word.end;
    if (word.digits) {
      const size_t found = findings_.size();
      at = std::max<size_t>(LookAtNumber(word, before), word.end);
      if (names && word.letters && findings_.size() == found)
        at = std::max(LookAtLetters(word), at);
    } else {
      std::optional<size_t> end;
      if (At(word.end) == ':' && (IsHex(At(word.end + 1)) || At(word.end + 1) == ':'))
        end = IpV6(word.begin);
      if (!end && word.size() == 1) end = Spelled(word);
      if (end) {
        at = *end;
      } else if (names && (word.apostrophe || word.mixed || names_.MayBegin(text[word.begin]))) {
        at = LookAtName(word);
      }
    }
    before = word;
    // What was quoted before a number is its last part.
    if (word.apostrophe) before.begin += static_cast<uint32_t>(In(word).rfind('\'') + 1);
  }
  EndRun();
}

Scrubber::Word Scrubber::WordAt(size_t at) const {
  Word word;
  word.begin = static_cast<uint32_t>(at);
  uint8_t seen = 0;
  // A capital in front says nothing.
  uint8_t counts = static_cast<uint8_t>(~kCapitalLetter);
  size_t apostrophe_at = 0;
  for (; at < text_.size(); ++at) {
    const uint8_t is = kShape[static_cast<unsigned char>(text_[at])];
    if (is == kOther) {
      bool apostrophe = text_[at] == '\'' && at > word.begin && at + 1 < text_.size() &&
                        ClassOf(text_[at + 1]) == kLetter && (seen & kDigit) == 0;
      if (!apostrophe) break;
      word.apostrophe = true;
      apostrophe_at = at;
    }
    seen |= is & counts;
    counts = 0xFF;
  }
  // A quotation mark before a number, not an apostrophe within a name.
  if (word.apostrophe && (seen & kDigit) != 0) {
    at = apostrophe_at;
    seen = kLetter;
  }
  word.end = static_cast<uint32_t>(at);
  word.digits = (seen & kDigit) != 0;
  word.letters = (seen & kLetter) != 0;
  word.mixed = (seen & kCapitalLetter) != 0 && (seen & kOtherLetter) != 0;
  return word;
}

// The word that ends up to three characters before, or as much as is needed of it.
Scrubber::Word Scrubber::WordBefore(size_t begin) const {
  size_t end = begin;
  while (end > 0 && begin - end < 3 && ClassOf(text_[end - 1]) == kOther) --end;
  size_t at = end;
  while (at > 0 && end - at <= kWordMax && ClassOf(text_[at - 1]) != kOther) --at;
  Word word;
  word.begin = static_cast<uint32_t>(at);
  word.end = static_cast<uint32_t>(end);
  word.digits = std::any_of(text_.begin() + static_cast<ptrdiff_t>(at),
                            text_.begin() + static_cast<ptrdiff_t>(end), IsDigit);
  return word;
}

std::optional<Scrubber::Word> Scrubber::Behind(const Word& word, const CharSet& separators,
                                               char* separator) const {
  size_t at = word.end;
  char found = ' ';
  int lines = 0;
  for (; at < text_.size() && ClassOf(text_[at]) == kOther; ++at) {
    const char c = text_[at];
    if (at - word.end == kGapMax) return std::nullopt;
    if (IsSpace(c)) {
      if (c == '\n' && ++lines > 1) return std::nullopt;
    } else if (found == ' ' && separators[c]) {
      found = c;
    } else {
      return std::nullopt;
    }
  }
  if (at >= text_.size() || at == word.end) return std::nullopt;
  if (separator != nullptr) *separator = found;
  Word next = WordAt(at);
  // A quotation mark behind it, not an apostrophe within a name.
  if (next.apostrophe) next.end = static_cast<uint32_t>(text_.find('\'', at));
  return next;
}

std::optional<Scrubber::Word> Scrubber::Beside(const Word& word, char separator) const {
  if (At(word.end) != separator || word.end + size_t{1} >= text_.size() ||
      ClassOf(text_[word.end + 1]) == kOther)
    return std::nullopt;
  return WordAt(word.end + 1);
}

bool Scrubber::Adjoins(const Word& before, const Word& word) const {
  if (before.end == 0 || word.begin <= before.end || word.begin - before.end > kGapMax)
    return false;
  int others = 0, lines = 0;
  for (size_t at = before.end; at < word.begin; ++at) {
    if (text_[at] == '\n') ++lines;
    if (IsSpace(text_[at])) continue;
    if (text_[at] != '-' && text_[at] != '.' && text_[at] != '/') return false;
    ++others;
  }
  return others <= 1 && lines <= 1;
}

}  // namespace sluice::privacy
