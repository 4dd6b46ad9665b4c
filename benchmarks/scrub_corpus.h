// Narratives with identifiers planted in them, and where these are.
#pragma once

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
  // What stands in the event's own fields: its officer's, and a passport's.
  std::string warrant, passport;
};

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
