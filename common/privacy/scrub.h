// Finds what identifies people in free text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/time_text.h"
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

// Names of the event's own people in any case and order, also with two letters swapped where they
// have five or more; the event's own numbers that no shape tells from others (see AddNumber); and
// by their shapes and their kinds' own checks: phones (also with O for 0), e-mail addresses, PNC
// IDs, CRO numbers, ASNs, NHS and NI numbers, vehicle marks (also with 0 for O, 1 for I and the
// other way round; those without a letter for their age behind a word that says what they are),
// driving licences, postcodes, IP addresses, shoulder numbers behind a rank; dates of birth: the
// event's own people's, those that say so, and any date ten years or more before the event.
//
// One pass over the text's words; only words with a digit, an @ or the first letter of one of the
// names are looked at closer. What is said of people in other words isn't found. Not thread-safe;
// allocates nothing in the steady state for ASCII.
class Scrubber {
 public:
  // Forgets the people of the event before. `year`: the event's; 0: unknown.
  void NextEvent(int32_t year);
  void AddName(std::string_view name);
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
  };
  struct NamePart {
    uint32_t begin, end;  // in name_bytes_
    uint32_t name;
  };
  struct Name {
    uint32_t begin, end;  // in name_bytes_, in canonical form
  };
  struct OwnNumber {
    uint32_t begin, end;  // in name_bytes_
    contract::v1::IdentifierKind kind;
  };
  // Words of one person's name, one after the other.
  struct Run {
    uint32_t begin = 0, end = 0;
    uint64_t names = 0;  // bit i: all words are of names_[i]; the last bit is all names from 63 on
    uint32_t words = 0;
    bool alone = false;  // one of them is enough
  };

  Word WordAt(size_t at) const;
  std::string_view In(const Word& word) const {
    return text_.substr(word.begin, word.end - word.begin);
  }
  // The next word where it stands directly behind, with one of `separators` between.
  std::optional<Word> Behind(const Word& word, std::string_view separators) const;
  void LookAtName(const Word& word);
  void EndRun();
  size_t LookAtNumber(const Word& word, const Word& before);
  size_t LookAtEmail(size_t at);
  std::optional<size_t> Date(const Word& word, const Word& before);
  std::optional<size_t> Mark(const Word& word, const Word& before);
  // A mark without a letter or digits for its age.
  std::optional<size_t> DatelessMark(const Word& word, const Word& before);
  // One of the words directly before says that a vehicle's mark follows.
  bool OfVehicle(size_t begin) const;
  std::optional<size_t> FindNumber(const Word& word);
  std::optional<size_t> DigitGroups(const Word& word);
  // Adds a finding where the kind's own check holds.
  bool Take(contract::v1::IdentifierKind kind, size_t begin, size_t end);
  bool TakeAs(contract::v1::IdentifierKind kind, size_t begin, size_t end, std::string_view value);

  std::string_view text_;
  int32_t year_ = 0;
  uint32_t first_letters_ = 0;  // of name parts: bit 0 is a, bit 31 anything that isn't ASCII
  std::string name_bytes_;
  std::vector<NamePart> parts_;
  std::vector<Name> names_;
  std::vector<OwnNumber> numbers_;
  std::vector<event::CivilDate> births_;
  std::vector<Finding> findings_;
  std::string canonical_;
  std::string scratch_;
  Run run_;
};

}  // namespace sluice::privacy
