// Narratives with identifiers planted in them, and where these are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/contract/v1/options.pb.h"

namespace sluice::bench {

struct Planted {
  size_t begin = 0;
  size_t end = 0;
  // IDENTIFIER_KIND_UNSPECIFIED: a date of birth.
  contract::v1::IdentifierKind kind = contract::v1::IDENTIFIER_KIND_UNSPECIFIED;
  // Of a sort that privacy/scrub.h says it finds. The others are there because real texts have
  // them: people whom the event doesn't name, misspelt names of fewer than five letters or
  // more than one word, passports' and warrants' numbers that are in no field of the event.
  bool claimed = true;
};

struct PlantedText {
  std::string text;
  std::vector<Planted> planted;  // ascending
  int32_t year = 2026;           // of the event
  std::vector<std::string> names;
  std::vector<std::string> births;  // YYYY-MM-DD
  bool unseen = false;  // the text has characters that can't be seen within what is planted
  // What stands in the event's own fields: its officer's, and a passport's.
  std::string warrant, passport;
};

// How a text's findings fit what is planted in it.
struct Found {
  size_t planted = 0;  // of those planted: found, every byte but spaces, commas and quotes
  size_t claimed = 0;  // of those planted and claimed: found
  size_t findings = 0;
  size_t right = 0;  // touch a planted one of their kind
};
// `findings`: structs with begin, end and kind.
template <typename Findings>
Found Compare(const PlantedText& text, const Findings& findings) {
  Found found;
  std::vector<bool> covered(text.text.size());
  for (const auto& finding : findings) {
    std::fill(covered.begin() + finding.begin, covered.begin() + finding.end, true);
    bool touches = false;
    for (const Planted& at : text.planted)
      touches |= finding.kind == at.kind && finding.begin < at.end && at.begin < finding.end;
    ++found.findings;
    found.right += touches;
  }
  for (const Planted& at : text.planted) {
    bool all = true;
    for (size_t byte = at.begin; byte < at.end; ++byte)
      all &= covered[byte] || static_cast<unsigned char>(text.text[byte]) < '0' ||
             (text.unseen && static_cast<unsigned char>(text.text[byte]) >= 0x80);
    found.planted += all;
    found.claimed += all && at.claimed;
  }
  return found;
}

// The letter that police references end in: their digits modulo 23. The last digit of an NHS number
// from the nine before, modulo 11; '\0': none fits. Written apart from the code that is measured.
char CheckLetter(std::string_view digits);
char NhsCheck(std::string_view body);

// Texts of one to six sentences, each of which plants something, or holds what only looks alike:
// references, times, road numbers, recent dates, amounts, names that are words. People's names
// include ones that are words, hyphenated, accented and shared. The same seed gives the same texts.
class ScrubCorpus {
 public:
  explicit ScrubCorpus(uint64_t seed) : random_(seed) {}
  PlantedText Next();

 private:
  struct Person {
    std::string first, last, birth;
  };
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }
  std::string Digits(int count);
  std::string Letters(std::string_view alphabet, int count);
  Person NewPerson();
  std::string NameOf(const Person& person);
  std::string DateOf(const std::string& iso);
  std::string Mark();
  std::string Phone();
  // What stands for one letter of a sentence's template.
  void Fill(char what, const Person& person, PlantedText& out);
  void Plant(contract::v1::IdentifierKind kind, std::string_view text, PlantedText& out,
             bool claimed = true);

  std::mt19937_64 random_;
};

}  // namespace sluice::bench
