// The names that an event carries in its fields, in every spelling that a text may have them in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::privacy {

// A name's parts, and every join of up to five that stand beside each other, so that Delacruz is
// found of somebody who is called De La Cruz, and the other way round; of a name with marks (José,
// Müller) also without them (Jose, Muller, Mueller). Asked word by word: a lookup
// costs the logarithm of how many there are, whatever their number. Not thread-safe; keeps its
// memory up to a bound.
class OwnNames {
 public:
  struct Part {
    uint64_t head = 0;   // its first eight bytes, for quick comparison
    uint64_t names = 0;  // bit i: it is of name i; the last bit stands for all from kLastName on
    uint32_t begin = 0, size = 0;
    uint32_t cuts = 0;  // bit i: the name has a border after i bytes
    // What it takes for it to be the name, and not a word. Ascending.
    enum Weight : uint8_t {
      kAlone,     // nothing
      kCapital,   // a capital, a title or another part beside: May, Ng
      kEvidence,  // a title or another part beside, or a capital within a sentence: He
      kBeside     // a title or another part beside: van, de
    };
    Weight weight = kAlone;
    bool joined = false;
  };
  static constexpr uint32_t kLastName = 63;
  // Longer ones aren't looked for.
  static constexpr size_t kPartBytesMax = 120;
  static constexpr int kJoinedMax = 5;

  void Clear();
  void Add(std::string_view name);
  bool empty() const { return parts_.empty(); }

  // Whether any part may begin with this byte.
  bool MayBegin(char first) const {
    const char lower = first >= 'A' && first <= 'Z' ? static_cast<char>(first + 32) : first;
    return lower >= 'a' && lower <= 'z' ? (first_letters_ & (1u << (lower - 'a'))) != 0
                                        : first_letters_ != 0;
  }
  // The part that is `folded` (letters only, see fold.h); null: none. `longer`: others begin so.
  const Part* Find(std::string_view folded, bool& longer);
  // The names of parts that `folded` differs from by two neighbouring letters that have changed
  // places, as it is misheard: Feild for Field. From five letters on.
  uint64_t FindSwapped(std::string_view folded);
  std::string_view TextOf(const Part& part) const {
    return std::string_view(bytes_).substr(part.begin, part.size);
  }
  // The canonical form of the one name in `names`; empty: there are several, which can't be told
  // apart.
  std::string_view Canonical(uint64_t names) const;

 private:
  struct Name {
    uint32_t begin, end;  // in bytes_
  };
  struct Swap {
    uint64_t letters;  // the same for all orders of the same letters
    uint32_t begin, size;
    uint64_t names;
  };
  struct Atom {
    uint32_t begin, size;  // in bytes_
  };
  void AddSpelling(std::string_view source, uint64_t name);
  void AddParts(uint64_t name);
  void AddPart(uint32_t begin, Part part);
  void Sort();

  std::string bytes_;
  std::string scratch_, plain_, german_;
  std::vector<Name> names_;
  std::vector<Part> parts_;
  std::vector<Swap> swaps_;
  std::vector<Atom> atoms_;
  uint32_t first_letters_ = 0;
  bool sorted_ = true;
};

}  // namespace sluice::privacy
