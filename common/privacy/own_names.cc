#include "common/privacy/own_names.h"

#include <algorithm>
#include <bit>

#include "common/privacy/fold.h"
#include "common/privacy/identifier.h"
#include "common/privacy/words.h"

namespace sluice::privacy {
namespace {

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

// More parts than a name has. Those behind stand for themselves only, so that the work stays with
// the bytes.
constexpr size_t kAtomsMax = 32;
// Memory that is kept from one event to the next.
constexpr size_t kPartsKept = 4096;

uint64_t HeadOf(std::string_view text) {
  uint64_t head = 0;
  for (size_t i = 0; i < 8; ++i)
    head = head << 8 | (i < text.size() ? static_cast<unsigned char>(text[i]) : 0);
  return head;
}

// Characters, not bytes.
size_t Length(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

uint64_t LettersOf(std::string_view text) {
  uint64_t sum = 0;
  for (unsigned char c : text) {
    uint64_t mixed = (uint64_t{c} + 1) * 0x9E3779B97F4A7C15;
    sum += mixed ^ (mixed >> 29);
  }
  return sum;
}

// Two letters beside each other have changed places, and nothing else.
bool IsSwapped(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const size_t at =
      static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  return at + 1 < a.size() && a[at] == b[at + 1] && a[at + 1] == b[at] &&
         a.substr(at + 2) == b.substr(at + 2);
}

// What stands last is a name, whatever it is elsewhere: Das.
OwnNames::Part::Weight WeightOf(std::string_view part, bool first, bool last) {
  using Weight = OwnNames::Part::Weight;
  if (!last && (first ? IsHonorific(part) : IsParticle(part))) return Weight::kBeside;
  if (IsFunctionWord(part)) return Weight::kEvidence;
  if (IsParticle(part) || IsOrdinaryWord(part) || Length(part) <= 2) return Weight::kCapital;
  return Weight::kAlone;
}

}  // namespace

void OwnNames::Clear() {
  if (parts_.capacity() > kPartsKept) {
    parts_ = {};
    swaps_ = {};
    names_ = {};
    bytes_ = {};
    atoms_ = {};
  }
  bytes_.clear();
  names_.clear();
  parts_.clear();
  swaps_.clear();
  first_letters_ = 0;
  sorted_ = true;
}

void OwnNames::Add(std::string_view name) {
  const size_t begin = bytes_.size();
  if (!AppendCanonical(contract::v1::PERSON_NAME, name, bytes_)) return bytes_.resize(begin);
  const std::string_view canonical = std::string_view(bytes_).substr(begin);
  for (size_t i = 0; i < std::min<size_t>(names_.size(), kLastName); ++i) {
    if (std::string_view(bytes_).substr(names_[i].begin, names_[i].end - names_[i].begin) ==
        canonical)
      return bytes_.resize(begin);
  }
  const uint64_t bit = uint64_t{1} << std::min<size_t>(names_.size(), kLastName);
  names_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(bytes_.size())});

  if (IsAscii(name)) return AddSpelling(name, bit);
  scratch_.clear();
  AppendFolded(name, scratch_);
  AddSpelling(scratch_, bit);
  // Without its marks, as people write it who can't type them.
  plain_.clear();
  AppendWithoutMarks(scratch_, false, plain_);
  if (plain_ != scratch_) AddSpelling(plain_, bit);
  german_.clear();
  AppendWithoutMarks(scratch_, true, german_);
  if (german_ != plain_) AddSpelling(german_, bit);
}

// In lower case without losing where capitals part a word: McDonald.
void OwnNames::AddSpelling(std::string_view source, uint64_t bit) {
  atoms_.clear();
  for (size_t at = 0; at < source.size();) {
    if (!IsLetter(source[at])) {
      ++at;
      continue;
    }
    const size_t from = at, copied = bytes_.size();
    for (; at < source.size() && IsLetter(source[at]); ++at) {
      if (at > from && IsUpper(source[at]) && IsLower(source[at - 1])) break;
      bytes_.push_back(IsUpper(source[at]) ? static_cast<char>(source[at] + 32) : source[at]);
    }
    atoms_.push_back({static_cast<uint32_t>(copied), static_cast<uint32_t>(at - from)});
  }
  AddParts(bit);
}

void OwnNames::AddParts(uint64_t name) {
  for (size_t i = 0; i < atoms_.size(); ++i) {
    const Atom atom = atoms_[i];
    const std::string_view text = std::string_view(bytes_).substr(atom.begin, atom.size);
    // Initials are everybody's.
    if (atom.size >= 2 && atom.size <= kPartBytesMax)
      AddPart(atom.begin, {.names = name,
                           .size = atom.size,
                           .weight = WeightOf(text, i == 0, i + 1 == atoms_.size())});
    // Atoms stand one after the other in bytes_: a join is there already.
    Part join{.names = name, .size = atom.size, .joined = true};
    bool particles = IsParticle(text) || atom.size == 1;
    for (size_t j = i + 1; j < std::min(atoms_.size(), kAtomsMax) && j - i < kJoinedMax; ++j) {
      if (join.size < 32) join.cuts |= 1u << join.size;
      join.size += atoms_[j].size;
      if (join.size > kPartBytesMax) break;
      const std::string_view next =
          std::string_view(bytes_).substr(atoms_[j].begin, atoms_[j].size);
      particles = particles && (IsParticle(next) || atoms_[j].size == 1);
      join.weight = Part::kAlone;
      const std::string_view all = std::string_view(bytes_).substr(atom.begin, join.size);
      if (particles || IsFunctionWord(all)) {
        join.weight = Part::kBeside;
      } else if (IsOrdinaryWord(all) || Length(all) <= 2) {
        join.weight = Part::kCapital;
      }
      AddPart(atom.begin, join);
    }
  }
}

void OwnNames::AddPart(uint32_t begin, Part part) {
  part.begin = begin;
  const std::string_view text = TextOf(part);
  part.head = HeadOf(text);
  const char first = text[0];
  if (IsLower(first)) {
    first_letters_ |= 1u << (first - 'a');
  } else {
    // Its letter may stand apart from its mark.
    first_letters_ = ~uint32_t{0};
  }
  parts_.push_back(part);
  sorted_ = false;
  if (!part.joined && part.size >= 5)
    swaps_.push_back({LettersOf(text), part.begin, part.size, part.names});
}

void OwnNames::Sort() {
  sorted_ = true;
  std::sort(parts_.begin(), parts_.end(), [&](const Part& a, const Part& b) {
    return a.head != b.head ? a.head < b.head : TextOf(a) < TextOf(b);
  });
  size_t kept = 0;
  for (const Part& part : parts_) {
    if (kept > 0 && TextOf(parts_[kept - 1]) == TextOf(part)) {
      Part& same = parts_[kept - 1];
      same.names |= part.names;
      same.cuts |= part.cuts;
      same.weight = std::min(same.weight, part.weight);
      continue;
    }
    parts_[kept++] = part;
  }
  parts_.resize(kept);
  std::sort(swaps_.begin(), swaps_.end(),
            [](const Swap& a, const Swap& b) { return a.letters < b.letters; });
}

const OwnNames::Part* OwnNames::Find(std::string_view folded, bool& longer) {
  if (!sorted_) Sort();
  const uint64_t head = HeadOf(folded);
  auto at = std::lower_bound(parts_.begin(), parts_.end(), head,
                             [](const Part& part, uint64_t value) { return part.head < value; });
  if (folded.size() >= 8) {
    auto end = at;
    size_t same = 0;
    while (end != parts_.end() && end->head == head && same < 4) ++end, ++same;
    if (same == 4)
      end = std::upper_bound(at, parts_.end(), head,
                             [](uint64_t value, const Part& part) { return value < part.head; });
    at = std::lower_bound(at, end, folded, [&](const Part& part, std::string_view value) {
      return TextOf(part) < value;
    });
  }
  longer = false;
  if (at == parts_.end()) return nullptr;
  const std::string_view text = TextOf(*at);
  if (text == folded) {
    longer = at + 1 != parts_.end() && TextOf(at[1]).starts_with(folded);
    return &*at;
  }
  longer = text.starts_with(folded);
  return nullptr;
}

uint64_t OwnNames::FindSwapped(std::string_view folded) {
  if (folded.size() < 5 || swaps_.empty()) return 0;
  if (!sorted_) Sort();
  const uint64_t letters = LettersOf(folded);
  auto at = std::lower_bound(swaps_.begin(), swaps_.end(), letters,
                             [](const Swap& swap, uint64_t value) { return swap.letters < value; });
  uint64_t names = 0;
  // More names of the same letters are of somebody's making.
  for (int tries = 0; at != swaps_.end() && at->letters == letters && tries < 8; ++at, ++tries) {
    if (IsSwapped(std::string_view(bytes_).substr(at->begin, at->size), folded)) names |= at->names;
  }
  return names;
}

std::string_view OwnNames::Canonical(uint64_t names) const {
  const auto which = static_cast<uint32_t>(std::countr_zero(names));
  if (!std::has_single_bit(names) || which >= kLastName) return {};
  const Name& name = names_[which];
  return std::string_view(bytes_).substr(name.begin, name.end - name.begin);
}

}  // namespace sluice::privacy
