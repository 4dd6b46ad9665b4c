#include "common/privacy/format_preserving.h"

#include <array>
#include <bit>
#include <optional>
#include <vector>

#include "common/base/status.h"
#include "common/privacy/identifier.h"

namespace sluice::privacy {
namespace {

using contract::v1::IdentifierKind;
using Number = Ff1::Number;

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr char kKept = 'k';   // a digit that stays as it is
constexpr char kCheck = 'c';  // what CheckCharacter() says

// What a lower-case letter of a pattern stands for; anything else in a pattern stands for itself.
constexpr std::string_view AlphabetOf(char symbol) {
  switch (symbol) {
    case 'd':
      return kDigits;
    case 'n':  // no leading zero
      return "123456789";
    case 'l':
      return kLetters;
    case 'a':
      return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    case 'f':  // first letter of a NINO
      return "ABCEGHJKLMNOPRSTWXYZ";
    case 's':  // second
      return "ABCEGHJKLMNPRSTWXYZ";
    case 'x':  // suffix
      return "ABCD";
    case 'g':  // vehicle marks: not I, Q or Z
      return "ABCDEFGHJKLMNOPRSTUVWXY";
    case 't':  // not I or Q
      return "ABCDEFGHJKLMNOPRSTUVWXYZ";
    case 'p':  // year letter
      return "ABCDEFGHJKLMNPRSTVWXY";
    case 'o':  // driving licences: tens of month, 5 or 6 for women
      return "0156";
    case 'q':  // tens of day
      return "0123";
    case 'i':  // initial or none
      return "ABCDEFGHIJKLMNOPQRSTUVWXYZ9";
    case 'b':  // postcodes: first letter
      return "ABCDEFGHIJKLMNOPRSTUWYZ";
    case 'w':  // second
      return "ABCDEFGHKLMNOPQRSTUVWXY";
    case 'e':  // third place after one letter
      return "ABCDEFGHJKPSTUW";
    case 'y':  // fourth place after two
      return "ABEHMNPRVWXY";
    case 'z':  // inward
      return "ABDEFGHJLNPQRSTUWXYZ";
    default:
      return {};
  }
}

// Values of these patterns are permuted among each other. Not all of them need be valid.
struct Format {
  std::vector<std::string_view> patterns;
};

// The first format that a value matches is its own.
const std::vector<Format>& FormatsOf(IdentifierKind kind) {
  using namespace contract::v1;
  static const auto* const kFormats = [] {
    auto* formats = new std::array<std::vector<Format>, IdentifierKind_MAX + 1>();
    auto& all = *formats;
    all[PHONE] = {{{"+44kddddddddd"}},   {{"+44kdddddddd"}},   {{"+44kdddddd"}},
                  {{"+kkkdddddd"}},      {{"+kkkddddddd"}},    {{"+kkkdddddddd"}},
                  {{"+kkkddddddddd"}},   {{"+kkkdddddddddd"}}, {{"+kkkddddddddddd"}},
                  {{"+kkkdddddddddddd"}}};
    all[PNC_ID] = {{{"19dd/dddddddc", "20dd/dddddddc"}}};
    all[CRO] = {
        {{"dddddd/ddc"}},
        {{"SFdd/dc", "SFdd/ddc", "SFdd/dddc", "SFdd/ddddc", "SFdd/dddddc", "SFdd/ddddddc"}}};
    all[ASN] = {{{"ddaaaaaadddddddddddc"}}, {{"ddaaaaaaadddddddddddc"}}};
    all[NHS_NUMBER] = {{{"dddddddddc"}}};
    all[NINO] = {{{"fsdddddd"}}, {{"fsddddddx"}}};
    all[VRM] = {{{"ggddttt"}},
                {{"pdgtt", "pddgtt", "pdddgtt"}},
                {{"tttdp", "tttddp", "tttdddp"}},
                {{"dl", "ddl", "dddl", "ddddl", "dll", "ddll", "dddll", "ddddll", "dlll", "ddlll",
                  "dddlll", "ddddlll"}},
                {{"ld", "ldd", "lddd", "ldddd", "lld", "lldd", "llddd", "lldddd", "llld", "llldd",
                  "lllddd", "llldddd"}}};
    all[DRIVING_LICENCE] = {{{"llllldodqddiiall", "llll9dodqddiiall", "lll99dodqddiiall",
                              "ll999dodqddiiall", "l9999dodqddiiall", "99999dodqddiiall"}}};
    all[PASSPORT] = {{{"dddddd"}}, {{"ddddddd"}}, {{"dddddddd"}}, {{"ddddddddd"}},
                     {{"aaaaaa"}}, {{"aaaaaaa"}}, {{"aaaaaaaa"}}, {{"aaaaaaaaa"}}};
    all[WARRANT_NUMBER] = {{{"d", "nd", "ndd", "nddd", "ndddd", "nddddd"}}};
    all[SHOULDER_NUMBER] = {{{"dll", "ddll", "dddll", "ddddll"}}};
    all[POSTCODE] = {{{"bd dzz", "bdd dzz", "bde dzz", "bwd dzz", "bwdd dzz", "bwdy dzz"}}};
    all[UPRN] = {{{"d", "nd", "ndd", "nddd", "ndddd", "nddddd", "ndddddd", "nddddddd", "ndddddddd",
                   "nddddddddd", "ndddddddddd", "nddddddddddd"}}};
    return formats;
  }();
  return (*kFormats)[kind];
}

bool Matches(std::string_view pattern, std::string_view text) {
  if (pattern.size() != text.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    std::string_view alphabet = pattern[i] == kKept ? kDigits : AlphabetOf(pattern[i]);
    if (pattern[i] == kCheck) continue;
    if (alphabet.empty() ? pattern[i] != text[i] : alphabet.find(text[i]) == alphabet.npos)
      return false;
  }
  return true;
}

Number SizeOf(std::string_view pattern) {
  Number size = 1;
  for (char symbol : pattern) {
    size_t alphabet = AlphabetOf(symbol).size();
    if (alphabet != 0) size *= alphabet;
  }
  return size;
}

Number SizeOf(const Format& format) {
  Number size = 0;
  for (std::string_view pattern : format.patterns) size += SizeOf(pattern);
  return size;
}

std::optional<size_t> FormatOf(const std::vector<Format>& formats, std::string_view text) {
  for (size_t i = 0; i < formats.size(); ++i) {
    for (std::string_view pattern : formats[i].patterns) {
      if (Matches(pattern, text)) return i;
    }
  }
  return std::nullopt;
}

// The place of a value among all of its format.
Number RankOf(const Format& format, std::string_view text) {
  Number before = 0;
  for (std::string_view pattern : format.patterns) {
    if (!Matches(pattern, text)) {
      before += SizeOf(pattern);
      continue;
    }
    Number rank = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      std::string_view alphabet = AlphabetOf(pattern[i]);
      if (!alphabet.empty()) rank = rank * alphabet.size() + alphabet.find(text[i]);
    }
    return before + rank;
  }
  return before;
}

// The value at a place; what is kept comes from `like`. False: it has no check character.
bool Unrank(const Format& format, Number rank, IdentifierKind kind, std::string_view like,
            std::string& out) {
  const std::string_view* pattern = format.patterns.data();
  for (; rank >= SizeOf(*pattern); ++pattern) rank -= SizeOf(*pattern);
  out.assign(pattern->size(), ' ');
  for (size_t i = out.size(); i-- > 0;) {
    char symbol = (*pattern)[i];
    std::string_view alphabet = AlphabetOf(symbol);
    if (!alphabet.empty()) {
      out[i] = alphabet[static_cast<size_t>(rank % alphabet.size())];
      rank /= alphabet.size();
    } else {
      out[i] = symbol == kKept ? like[i] : symbol;
    }
  }
  if (pattern->back() != kCheck) return true;
  out.back() = CheckCharacter(kind, std::string_view(out).substr(0, out.size() - 1));
  return out.back() != '\0';
}

uint32_t BitsFor(Number size) {
  uint32_t bits = 20;  // 2^20 is the smallest that FF1 takes
  while (size > Number{1} << bits) ++bits;
  return bits;
}

}  // namespace

bool HasPreservableFormat(IdentifierKind kind) { return !FormatsOf(kind).empty(); }

absl::StatusOr<FormatPreserver> FormatPreserver::Create(std::span<const uint8_t> key) {
  SLUICE_ASSIGN_OR_RETURN(Ff1 ff1, Ff1::Create(key));
  return FormatPreserver(std::move(ff1));
}

absl::Status FormatPreserver::Encrypt(IdentifierKind kind, std::string_view canonical,
                                      std::string& out) {
  return Crypt(true, kind, canonical, out);
}
absl::Status FormatPreserver::Decrypt(IdentifierKind kind, std::string_view canonical,
                                      std::string& out) {
  return Crypt(false, kind, canonical, out);
}

absl::Status FormatPreserver::Crypt(bool encrypt, IdentifierKind kind, std::string_view canonical,
                                    std::string& out) {
  if (!contract::v1::IdentifierKind_IsValid(kind))
    return absl::InvalidArgumentError("there is no such kind of identifier");
  const std::vector<Format>& formats = FormatsOf(kind);
  auto valid = [&](std::string_view text) {
    again_.clear();
    return AppendCanonical(kind, text, again_) && again_ == text;
  };
  std::optional<size_t> index = FormatOf(formats, canonical);
  if (!index || !valid(canonical))
    return absl::OutOfRangeError("the value has no format that can be preserved");

  const Format& format = formats[*index];
  const Number size = SizeOf(format);
  const uint32_t bits = BitsFor(size);
  // Kind and format apart: two of one size are permuted differently.
  const char tweak[] = {static_cast<char>(kind), static_cast<char>(*index)};
  Number rank = RankOf(format, canonical);
  // Walking on from a valid value comes back to one at last: to itself, if there is no other.
  do {
    do {
      SLUICE_ASSIGN_OR_RETURN(rank, encrypt ? ff1_.Encrypt({tweak, 2}, bits, rank)
                                            : ff1_.Decrypt({tweak, 2}, bits, rank));
    } while (rank >= size);
  } while (!Unrank(format, rank, kind, canonical, candidate_) || !valid(candidate_) ||
           FormatOf(formats, candidate_) != index);
  out.append(candidate_);
  return absl::OkStatus();
}

}  // namespace sluice::privacy
