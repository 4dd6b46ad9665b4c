// Finds what identifies people in free text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/privacy/own_names.h"
#include "common/privacy/text_view.h"
#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

// A part of a text that identifies somebody.
struct Finding {
  uint32_t begin = 0;
  uint32_t end = 0;
  // IDENTIFIER_KIND_UNSPECIFIED: a date of birth.
  contract::v1::IdentifierKind kind = contract::v1::IDENTIFIER_KIND_UNSPECIFIED;
  // The value in canonical form, in Scrubber::canonical(); empty where it can't be told, as a
  // surname that two people of the event share.
  uint32_t canonical_begin = 0;
  uint32_t canonical_end = 0;
};

// Finds in a text:
//
// - The names of the event's own people (own_names.h), in any spelling that folds to them, with or
//   without marks, joined, parted, in any order, in the plural, beside figures or a word that a
//   capital parts from them, also with two letters swapped where they have five or more. Recall
//   comes before precision: a name is one wherever it stands as a word, whatever follows. Only a
//   name that is a word too (May, Will, Close) or has two letters needs a capital, a title, a rank
//   or another part of the name beside it.
// - By their shapes and their kinds' own checks (identifier.h: what a field accepts, a text
//   finds): phones (also with O for 0, spelled digit by digit, with an extension), e-mail
//   addresses, PNC IDs, CRO numbers, ASNs, NHS and NI numbers, vehicle marks (also with 0 for O, 1
//   for I and the other way round), driving licences, postcodes, IP addresses of both versions,
//   shoulder numbers behind a rank. What looks like much else (a mark without an age, a number
//   without its check or its slash, a UPRN) is found behind a word that says what it is.
// - The event's own numbers that no shape tells from others (see AddNumber).
// - Dates of birth: the event's own people's, those that say so, and any date ten years or more
//   before the event.
//
// Detection works on the text's canonical view (text_view.h), so that typographic marks, other
// spaces, full width and characters that can't be seen hide nothing; what is percent-encoded is
// also looked at decoded. The work is linear in the text's bytes, and no text makes it throw. What
// is said of people in other words isn't found. Not thread-safe; allocates nothing in the steady
// state for ASCII.
class Scrubber {
 public:
  // Forgets the people of the event before. `year`: the event's; 0: unknown.
  void NextEvent(int32_t year);
  void AddName(std::string_view name) { names_.Add(name); }
  void AddBirth(std::string_view date);
  // Whether the event's own values of the kind are looked for as they stand: numbers of warrants,
  // passports and shoulders, which look like any other number.
  static bool IsNumber(contract::v1::IdentifierKind kind);
  // One of them, in canonical form. Less than four characters might be anything, and aren't looked
  // for.
  void AddNumber(contract::v1::IdentifierKind kind, std::string_view canonical);

  // Ascending, without overlaps; valid until the next call.
  std::span<const Finding> Find(std::string_view text);
  std::string_view canonical(const Finding& finding) const {
    return std::string_view(canonical_)
        .substr(finding.canonical_begin, finding.canonical_end - finding.canonical_begin);
  }

 private:
  struct Word {
    uint32_t begin = 0;
    uint32_t end = 0;
    bool digits = false;
    bool letters = false;
    bool apostrophe = false;
    bool mixed = false;  // a capital behind its first letter, and letters that are none
    size_t size() const { return end - begin; }
  };
  struct OwnNumber {
    uint32_t begin, end;  // in number_bytes_
    contract::v1::IdentifierKind kind;
  };
  // Words of one person's name, one after the other.
  struct Run {
    uint32_t begin = 0, end = 0;
    uint64_t names = 0;  // as OwnNames::Part::names
    uint32_t words = 0;
    bool alone = false;  // one of them is enough
  };
  struct CharSet;
  using Kind = contract::v1::IdentifierKind;

  // One way of looking at the text; findings are of `text`.
  void Scan(std::string_view text);
  // As that, on a view of `text`; of what leads on to the source where it was decoded.
  void ScanView(std::string_view text, TextView::Unseen unseen, const TextView* decoded);
  void ScanViews(std::string_view text, const TextView* decoded);
  void Settle();

  Word WordAt(size_t at) const;
  Word WordBefore(size_t begin) const;
  std::string_view In(const Word& word) const {
    return text_.substr(word.begin, word.end - word.begin);
  }
  char At(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  // The next word behind white space with at most one line break and one of `separators`.
  // `separator`: that one, or a space.
  std::optional<Word> Behind(const Word& word, const CharSet& separators,
                             char* separator = nullptr) const;
  // The next word directly behind `separator`.
  std::optional<Word> Beside(const Word& word, char separator) const;

  size_t LookAtName(const Word& word);
  // Names in the letters of a word that has digits too.
  size_t LookAtLetters(const Word& word);
  // Which spelling of the letters that have marks is meant.
  enum class Spelling { kAsMarked, kWithoutMarks, kGerman };
  size_t NameFrom(const Word& piece, bool split);
  bool MatchFrom(Word piece, bool split, Spelling spelling);
  const OwnNames::Part* FindPlural(const Word& piece);
  Word PieceAt(size_t at, bool split) const;
  std::optional<Word> NextPiece(const Word& piece, bool split, bool& open) const;
  bool IsBorder(size_t at) const;
  void AppendPiece(const Word& piece, Spelling spelling);
  bool IsAlone(const OwnNames::Part& part, const Word& match) const;
  void AddToRun(const Word& match, uint64_t names, bool alone);
  void EndRun();

  size_t LookAtEmail(size_t at);
  std::optional<size_t> IpV6(size_t begin);
  size_t LookAtNumber(const Word& word, const Word& before);
  std::optional<size_t> LookAtDigits(const Word& word, const Word& before);
  std::optional<size_t> LookAtCode(const Word& word, const Word& before);
  std::optional<size_t> Date(const Word& word, const Word& before);
  bool SaysBorn(size_t begin) const;
  bool IsColour(const Word& word);
  std::optional<size_t> IpV4(const Word& word);
  std::optional<size_t> Slashed(const Word& word);
  std::optional<size_t> Nino(const Word& prefix, const Word& word);
  std::optional<size_t> Postcode(const Word& word, const Word& before);
  std::optional<size_t> Mark(const Word& word, const Word& before);
  // A mark of another format, behind a word that says so.
  std::optional<size_t> OtherMark(const Word& word, const Word& before);
  std::optional<size_t> ShoulderNumber(const Word& word);
  // The event's own, of `size_min` characters or more.
  std::optional<size_t> FindNumber(const Word& word, size_t size_min);
  // Phones and NHS numbers: digits in groups, from `first` on.
  std::optional<size_t> DigitGroups(size_t first, const Word& word);
  size_t WithExtension(size_t end) const;
  // Single characters with the same character between each.
  std::optional<size_t> Spelled(const Word& word);
  // What a word before says that it is.
  std::optional<size_t> Labelled(const Word& word, const Word& before);
  uint32_t LabelsBefore(size_t begin);
  bool Adjoins(const Word& before, const Word& word) const;

  // Adds a finding where the kind's own check holds.
  bool Take(Kind kind, size_t begin, size_t end);
  bool TakeAs(Kind kind, size_t begin, size_t end, std::string_view value);
  bool CanTake(Kind kind, std::string_view value);

  std::string_view text_;
  bool ascii_ = true;  // text_ is
  int32_t year_ = 0;
  OwnNames names_;
  std::string number_bytes_;
  std::vector<OwnNumber> numbers_;
  size_t number_size_max_ = 0;
  std::vector<uint32_t> births_;  // YYYYMMDD
  bool own_sorted_ = true;
  TextView view_, decoded_;
  std::vector<Finding> findings_;
  std::string canonical_;
  std::string scratch_, folded_;
  Run run_;
  size_t labels_at_ = SIZE_MAX;  // where labels_ was looked for
  uint32_t labels_ = 0;
};

}  // namespace sluice::privacy
