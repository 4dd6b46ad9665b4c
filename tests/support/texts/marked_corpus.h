// One identifier in one sentence, in one of its spellings and beside one typographic mark: what
// recall is measured with, kind by kind and mark by mark. And police prose without any, which only
// looks alike.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "tests/support/texts/scrub_corpus.h"

namespace sluice::bench {

// Not thread-safe. The same seed gives the same texts.
class MarkedCorpus {
 public:
  explicit MarkedCorpus(uint64_t seed) : random_(seed) {}

  // What is planted, and beside what. The first mark is a space.
  static size_t sorts();
  static std::string_view NameOfSort(size_t sort);
  static size_t marks();
  static std::string_view NameOfMark(size_t mark);

  PlantedText Next(size_t sort, size_t mark);
  // Nothing is planted; people's names that are no words are the event's.
  PlantedText Ordinary();

 private:
  uint32_t Below(size_t bound) { return static_cast<uint32_t>(random_() % bound); }
  std::string Digits(size_t count);
  std::string Letters(std::string_view alphabet, size_t count);
  template <size_t N>
  std::string Pick(const std::string_view (&from)[N]) {
    return std::string(from[Below(N)]);
  }
  // `,` of the pieces is any of the gaps that people leave.
  std::string Spaced(std::string_view pieces);
  std::string Disguised(std::string text, PlantedText& out);
  std::string Value(size_t sort, PlantedText& out);
  std::string Name(size_t sort, PlantedText& out);

  std::mt19937_64 random_;
};

}  // namespace sluice::bench
