// Short lists of English words, asked in any letter case.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::privacy {

// No word of a list is longer.
inline constexpr size_t kWordMax = 12;

template <size_t N>
bool OneOf(std::string_view word, const std::string_view (&words)[N]) {
  char lower[kWordMax];
  if (word.empty() || word.size() > sizeof(lower)) return false;
  std::transform(word.begin(), word.end(), lower,
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::find(std::begin(words), std::end(words), std::string_view(lower, word.size())) !=
         std::end(words);
}

// Before a name: Mr, PC and their like.
bool IsTitle(std::string_view word);
// In a name, yet none of it: Mr, Dr. Lower case.
bool IsHonorific(std::string_view lower);
// Names that are words too: May, Will, Close. Lower case.
bool IsOrdinaryWord(std::string_view lower);
// Names that are words of nearly every sentence: He, So, An. Lower case.
bool IsFunctionWord(std::string_view lower);
// Parts of names that are no name of their own: de, van, mc. Lower case.
bool IsParticle(std::string_view lower);
// How many of a name's first bytes may be a particle that is written apart, as bits: of delacruz
// 2 and 4 are set.
uint32_t ParticlesBefore(std::string_view lower);
// A word of three letters that often stands behind a code with two digits: now, for, man.
bool IsShortWord(std::string_view word);

}  // namespace sluice::privacy
