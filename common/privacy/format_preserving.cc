#include "common/privacy/format_preserving.h"

#include <array>
#include <bit>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
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
    case 'j':  // units of the ages 02 to 09
    case 'v':  // second digit of Northern Ireland's NHS numbers
      return "23456789";
    case 'r':  // units up to 5
      return "012345";
    case 'm':  // tens of a month
      return "01";
    case 'h':  // vehicle marks: a region's letter
      return "ABCDEFGHKLMNOPRSVWY";
    case 'l':
      return kLetters;
    case 'a':
      return "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    case 'f':  // first letter of a NINO
      return "ABCEGHJKLMNOPRSTWXYZ";
    case 's':  // second
      return "ABCEGHJKLMNPRSTWXYZ";
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

// Blocks of British numbers: the first five of ten digits, from one to the other.
struct Blocks {
  uint32_t first, last;
};
constexpr uint32_t kBlockSize = 100'000;  // numbers in a block

// What Ofcom's National Numbering Scheme had allotted in early 2026, by what it is for. The tables
// stay as they are for ever, or what is preserved would change: a block that is allotted later, or
// only in part, is one of the others of its first digit.
constexpr Blocks kMobiles[] = {
    {71000, 75999}, {76240, 76244}, {76246, 76246}, {76248, 76249}, {77000, 77001},
    {77003, 77003}, {77007, 77008}, {77010, 79112}, {79117, 79118}, {79120, 79999},
};
constexpr Blocks kLandlines[] = {
    {11300, 11359}, {11380, 11389}, {11400, 11459}, {11470, 11470}, {11500, 11529}, {11560, 11651},
    {11700, 11749}, {11790, 11849}, {11890, 11899}, {12000, 12009}, {12020, 12029}, {12040, 12183},
    {12230, 12299}, {12330, 12379}, {12390, 12399}, {12410, 12469}, {12480, 12509}, {12520, 12649},
    {12670, 12719}, {12730, 12809}, {12820, 13189}, {13200, 13209}, {13220, 13309}, {13320, 13359},
    {13370, 13379}, {13390, 13449}, {13460, 13509}, {13520, 13649}, {13660, 13699}, {13710, 13739},
    {13750, 13779}, {13790, 13849}, {13860, 13899}, {13920, 13959}, {13970, 13989}, {14000, 14009},
    {14030, 14209}, {14220, 14259}, {14270, 14409}, {14420, 14469}, {14490, 14589}, {14600, 14679},
    {14690, 14809}, {14812, 14812}, {14815, 14859}, {14870, 14979}, {14990, 14999}, {15010, 15039},
    {15050, 15209}, {15220, 15229}, {15240, 15319}, {15340, 15342}, {15344, 15348}, {15350, 15369},
    {15380, 15409}, {15420, 15509}, {15530, 15739}, {15750, 15849}, {15860, 15869}, {15880, 15889},
    {15900, 15959}, {15970, 16009}, {16030, 16049}, {16060, 16069}, {16080, 16239}, {16245, 16248},
    {16250, 16269}, {16280, 16319}, {16330, 16399}, {16410, 16449}, {16460, 16479}, {16500, 16569},
    {16590, 16599}, {16610, 16619}, {16630, 16789}, {16800, 16819}, {16830, 16929}, {16940, 16959},
    {16970, 16989}, {17000, 17009}, {17020, 17029}, {17040, 17049}, {17060, 17099}, {17200, 17309},
    {17320, 17339}, {17360, 17389}, {17400, 17409}, {17430, 17549}, {17560, 17619}, {17630, 17739},
    {17750, 17809}, {17820, 17829}, {17840, 17909}, {17920, 17999}, {18030, 18039}, {18050, 18099},
    {18210, 18259}, {18270, 18309}, {18320, 18359}, {18370, 18389}, {18400, 18459}, {18470, 18489},
    {18510, 18529}, {18540, 18599}, {18620, 18669}, {18690, 18809}, {18820, 18909}, {18920, 18929},
    {18950, 18969}, {18990, 19009}, {19020, 19059}, {19080, 19209}, {19220, 19269}, {19280, 19299},
    {19310, 19359}, {19370, 19399}, {19420, 19559}, {19570, 19579}, {19590, 19599}, {19620, 19649},
    {19670, 19729}, {19740, 19759}, {19770, 19789}, {19800, 19899}, {19920, 19959}, {19970, 19979},
    {20000, 20199}, {20300, 20499}, {20700, 20899}, {23000, 23199}, {23800, 24199}, {24700, 24799},
    {28000, 28499}, {28600, 29299},
};
constexpr Blocks kPagers[] = {
    {76000, 76029}, {76080, 76089}, {76230, 76239}, {76250, 76269}, {76340, 76349},
    {76400, 76419}, {76430, 76449}, {76464, 76464}, {76470, 76479}, {76540, 76549},
    {76590, 76639}, {76652, 76652}, {76660, 76669}, {76690, 76699}, {76770, 76779},
    {76810, 76819}, {76840, 76849}, {76910, 76919}, {76930, 76939}, {76990, 76999},
};
constexpr Blocks kPersonalNumbers[] = {{70000, 70999}};
constexpr Blocks kFreephones[] = {{80000, 80099}, {80800, 80899}};
constexpr Blocks kServices[] = {{84200, 84599}, {87000, 87399}};
constexpr Blocks kPremium[] = {{90000, 91999}, {98000, 98499}, {98900, 98999}};
constexpr Blocks kNationwide[] = {{30000, 30999}, {33000, 34999}, {37000, 37999}};
constexpr Blocks kCorporate[] = {{55000, 55999}};
constexpr Blocks kVoip[] = {{56000, 56999}};

// Values of these patterns, or numbers of these blocks, are permuted among each other. Not all of
// them need be valid.
struct Format {
  std::vector<std::string_view> patterns;
  std::span<const Blocks> blocks = {};
};

// Ireland's marks with the digits of a year in front: of each county, with each length of serial.
std::vector<std::string_view> IrishPatterns(std::string_view year) {
  static constexpr std::string_view kCounties[] = {
      "C",  "CE", "CN", "CW", "D",  "DL", "G",  "KE", "KK", "KY", "L", "LD", "LH", "LK", "LM",
      "LS", "MH", "MN", "MO", "OY", "RN", "SO", "T",  "TN", "TS", "W", "WD", "WH", "WW", "WX"};
  static auto* const kept = new std::deque<std::string>();
  std::vector<std::string_view> patterns;
  for (std::string_view county : kCounties) {
    for (size_t digits = 0; digits < 6; ++digits) {
      std::string& pattern = kept->emplace_back(year);
      pattern.append(county).append("n").append(digits, 'd');
      patterns.push_back(pattern);
    }
  }
  return patterns;
}

// The first format that a value matches is its own.
const std::vector<Format>& FormatsOf(IdentifierKind kind) {
  using namespace contract::v1;
  static const auto* const kFormats = [] {
    auto* formats = new std::array<std::vector<Format>, IdentifierKind_MAX + 1>();
    auto& all = *formats;
    all[PHONE] = {
        {{}, kMobiles},      {{}, kLandlines},     {{}, kPagers},         {{}, kPersonalNumbers},
        {{}, kFreephones},   {{}, kServices},      {{}, kPremium},        {{}, kNationwide},
        {{}, kCorporate},    {{}, kVoip},          {{"+44kddddddddd"}},   {{"+44kdddddddd"}},
        {{"+44kdddddd"}},    {{"+kkkdddddd"}},     {{"+kkkddddddd"}},     {{"+kkkdddddddd"}},
        {{"+kkkddddddddd"}}, {{"+kkkdddddddddd"}}, {{"+kkkddddddddddd"}}, {{"+kkkdddddddddddd"}}};
    // Made by the end of 2025; of a later year, which stays.
    all[PNC_ID] = {{{"19dd/dddddddc", "200d/dddddddc", "201d/dddddddc", "202r/dddddddc"}},
                   {{"20kk/dddddddc"}}};
    all[CRO] = {
        {{"dddddd/ddc"}},
        {{"SFdd/dc", "SFdd/ddc", "SFdd/dddc", "SFdd/ddddc", "SFdd/dddddc", "SFdd/ddddddc"}}};
    all[ASN] = {{{"ddaaaaaadddddddddddc"}}, {{"ddaaaaaaadddddddddddc"}}};
    // England, Wales and the Isle of Man; Northern Ireland; Scotland's, which begin with a date of
    // birth; what is allotted to nobody, and what is made up for tests.
    all[NHS_NUMBER] = {{{"4ddddddddc", "6ddddddddc", "7ddddddddc"}},
                       {{"3vdddddddc"}},
                       {{"qdmddddddc"}},
                       {{"dddddddddc"}}};
    all[NINO] = {{{"fsdddddd"}}};  // its canonical form has no suffix
    // Issued by the end of 2025 (ages 02 to 25 and 51 to 75); of a later age, which stays.
    all[VRM] = {{{"hg0jttt", "hg1dttt", "hg2rttt", "hg5nttt", "hg6dttt", "hg7rttt"}},
                {{"ggkkttt"}},
                {{"pdgtt", "pddgtt", "pdddgtt"}},
                {{"tttdp", "tttddp", "tttdddp"}},
                {{"dl", "ddl", "dddl", "ddddl", "dll", "ddll", "dddll", "ddddll", "dlll", "ddlll",
                  "dddlll", "ddddlll"}},
                {{"ld", "ldd", "lddd", "ldddd", "lld", "lldd", "llddd", "lldddd", "llld", "llldd",
                  "lllddd", "llldddd"}},
                // Of doubtful age; Jersey's; the diplomatic corps'; the forces'.
                {{"Qdgtt", "Qddgtt", "Qdddgtt"}},
                {{"Jnddddd", "Jndddd"}},
                {{"dddDddd", "dddXddd"}},
                {{"ddlldd"}},
                {{"llddll"}},
                // Ireland's, each year's apart.
                {IrishPatterns("kk")},
                {IrishPatterns("kkk")}};
    all[DRIVING_LICENCE] = {{{"llllldodqddiiall", "llll9dodqddiiall", "lll99dodqddiiall",
                              "ll999dodqddiiall", "l9999dodqddiiall", "99999dodqddiiall"}}};
    all[PASSPORT] = {{{"dddddd"}}, {{"ddddddd"}}, {{"dddddddd"}}, {{"ddddddddd"}},
                     {{"aaaaaa"}}, {{"aaaaaaa"}}, {{"aaaaaaaa"}}, {{"aaaaaaaaa"}}};
    all[WARRANT_NUMBER] = {{{"d", "nd", "ndd", "nddd", "ndddd", "nddddd"}}};
    all[SHOULDER_NUMBER] = {{{"dll", "ddll", "dddll", "ddddll"}}};
    // Of areas that there are; of others.
    all[POSTCODE] = {{{"bd dzz", "bdd dzz", "bde dzz", "bwd dzz", "bwdd dzz", "bwdy dzz"}},
                     {{"bd dzz", "bdd dzz", "bde dzz", "bwd dzz", "bwdd dzz", "bwdy dzz"}}};
    all[UPRN] = {{{"d", "nd", "ndd", "nddd", "ndddd", "nddddd", "ndddddd", "nddddddd", "ndddddddd",
                   "nddddddddd", "ndddddddddd", "nddddddddddd"}}};
    return formats;
  }();
  return (*kFormats)[kind];
}

// Whether a day is one of its month; `year` is two digits, of a century that isn't known.
bool IsRealDay(int year, int month, int day) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  return day <= kDays[month - 1] + (month == 2 && year % 4 == 0);
}

int TwoDigits(std::string_view text, size_t at) {
  return (text[at] - '0') * 10 + (text[at + 1] - '0');
}

// What a format asks of its values beside their patterns; the value has one of these.
bool Belongs(IdentifierKind kind, size_t format, std::string_view text) {
  switch (kind) {
    case contract::v1::DRIVING_LICENCE: {
      // Decade, month (50 more for women), day, year of the decade.
      int month = TwoDigits(text, 6);
      int year = (text[5] - '0') * 10 + (text[10] - '0');
      return IsRealDay(year, month > 50 ? month - 50 : month, TwoDigits(text, 8));
    }
    case contract::v1::NHS_NUMBER:
      return format != 2 || IsRealDay(TwoDigits(text, 4), TwoDigits(text, 2), TwoDigits(text, 0));
    case contract::v1::POSTCODE: {
      const size_t letters = text[1] >= 'A' ? 2 : 1;
      return format != 0 || IsPostcodeArea(text.substr(0, letters));
    }
    default:
      return true;
  }
}

// The place of a number among those of its blocks; nullopt: it is in none.
std::optional<Number> RankIn(std::span<const Blocks> blocks, std::string_view text) {
  if (text.size() != 13 || !text.starts_with("+44")) return std::nullopt;
  uint32_t block = 0, rest = 0;
  for (size_t i = 3; i < 13; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    (i < 8 ? block : rest) = (i < 8 ? block : rest) * 10 + static_cast<uint32_t>(text[i] - '0');
  }
  Number before = 0;
  for (const Blocks& some : blocks) {
    if (block < some.first) break;
    if (block <= some.last) return (before + (block - some.first)) * kBlockSize + rest;
    before += some.last - some.first + 1;
  }
  return std::nullopt;
}

void UnrankIn(std::span<const Blocks> blocks, Number rank, std::string& out) {
  auto block = static_cast<uint32_t>(rank / kBlockSize);
  auto rest = static_cast<uint32_t>(rank % kBlockSize);
  for (const Blocks& some : blocks) {
    const uint32_t size = some.last - some.first + 1;
    if (block < size) {
      block += some.first;
      break;
    }
    block -= size;
  }
  out.assign("+440000000000");
  for (size_t i = 13; i-- > 8; rest /= 10) out[i] = static_cast<char>('0' + rest % 10);
  for (size_t i = 8; i-- > 3; block /= 10) out[i] = static_cast<char>('0' + block % 10);
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
  for (const Blocks& some : format.blocks) size += Number{some.last - some.first + 1} * kBlockSize;
  return size;
}

std::optional<size_t> FormatOf(IdentifierKind kind, const std::vector<Format>& formats,
                               std::string_view text) {
  for (size_t i = 0; i < formats.size(); ++i) {
    if (RankIn(formats[i].blocks, text)) return i;
    for (std::string_view pattern : formats[i].patterns) {
      if (Matches(pattern, text) && Belongs(kind, i, text)) return i;
    }
  }
  return std::nullopt;
}

// The place of a value among all of its format.
Number RankOf(const Format& format, std::string_view text) {
  if (std::optional<Number> rank = RankIn(format.blocks, text)) return *rank;
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
  if (!format.blocks.empty()) return UnrankIn(format.blocks, rank, out), true;
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
  std::optional<size_t> index = FormatOf(kind, formats, canonical);
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
           FormatOf(kind, formats, candidate_) != index);
  out.append(candidate_);
  return absl::OkStatus();
}

}  // namespace sluice::privacy
