#include "tests/support/texts/marked_corpus.h"

#include <algorithm>
#include <iterator>

#include "common/base/strings.h"

namespace sluice::bench {
namespace {

using namespace contract::v1;
using base::StrCat;

struct Mark {
  std::string_view name, text;
  bool unseen = false;
};
constexpr Mark kMarks[] = {
    {"space", " "},
    {"left double quote", "\u201C"},
    {"right double quote", "\u201D"},
    {"left single quote", "\u2018"},
    {"right single quote", "\u2019"},
    {"low quote", "\u201E"},
    {"low single quote", "\u201A"},
    {"left guillemet", "\u00AB"},
    {"right guillemet", "\u00BB"},
    {"single guillemet", "\u2039"},
    {"en dash", "\u2013"},
    {"em dash", "\u2014"},
    {"horizontal bar", "\u2015"},
    {"figure dash", "\u2012"},
    {"ellipsis", "\u2026"},
    {"bullet", "\u2022"},
    {"triangular bullet", "\u2023"},
    {"middle dot", "\u00B7"},
    {"white bullet", "\u25E6"},
    {"no-break space", "\u00A0"},
    {"narrow no-break space", "\u202F"},
    {"thin space", "\u2009"},
    {"em space", "\u2003"},
    {"ideographic space", "\u3000"},
    {"line separator", "\u2028"},
    {"zero-width space", "\u200B", true},
    {"zero-width joiner", "\u200D", true},
    {"soft hyphen", "\u00AD", true},
    {"byte-order mark", "\uFEFF", true},
    {"left-to-right mark", "\u200E", true},
    {"right-to-left mark", "\u200F", true},
    {"left-to-right embedding", "\u202A", true},
    {"section sign", "\u00A7"},
    {"pilcrow", "\u00B6"},
    {"degree sign", "\u00B0"},
    {"trade mark", "\u2122"},
    {"registered", "\u00AE"},
    {"dagger", "\u2020"},
    {"arrow", "\u2192"},
    {"prime", "\u2032"},
    {"double prime", "\u2033"},
    {"pound", "\u00A3"},
    {"tick", "\u2713"},
    {"parenthesis", "("},
    {"comma", ","},
    {"tab", "\t"},
    {"line break", "\r\n"},
};

enum SortId : size_t {
  kPhone,
  kEmail,
  kLink,
  kPnc,
  kCro,
  kAsn,
  kNhs,
  kNino,
  kVrm,
  kLicence,
  kPostcode,
  kIpV4,
  kIpV6,
  kShoulder,
  kPassport,
  kWarrant,
  kBirth,
  kFullName,
  kSurname,
  kBeforeWord,
  kParted,
  kJoined,
  kShort,
  kWord,
  kDecomposed,
  kUnseen,
  kWide,
  kSorts
};
constexpr std::string_view kSortNames[kSorts] = {"PHONE",
                                                 "EMAIL",
                                                 "EMAIL.link",
                                                 "PNC_ID",
                                                 "CRO",
                                                 "ASN",
                                                 "NHS_NUMBER",
                                                 "NINO",
                                                 "VRM",
                                                 "DRIVING_LICENCE",
                                                 "POSTCODE",
                                                 "IP_ADDRESS.v4",
                                                 "IP_ADDRESS.v6",
                                                 "SHOULDER_NUMBER",
                                                 "PASSPORT",
                                                 "WARRANT_NUMBER",
                                                 "DATE_OF_BIRTH",
                                                 "PERSON_NAME.full",
                                                 "PERSON_NAME.surname",
                                                 "PERSON_NAME.before_word",
                                                 "PERSON_NAME.parted",
                                                 "PERSON_NAME.joined",
                                                 "PERSON_NAME.short",
                                                 "PERSON_NAME.word",
                                                 "PERSON_NAME.decomposed",
                                                 "PERSON_NAME.unseen",
                                                 "PERSON_NAME.wide"};
constexpr IdentifierKind kKinds[kSorts] = {PHONE,
                                           EMAIL,
                                           EMAIL,
                                           PNC_ID,
                                           CRO,
                                           ASN,
                                           NHS_NUMBER,
                                           NINO,
                                           VRM,
                                           DRIVING_LICENCE,
                                           POSTCODE,
                                           IP_ADDRESS,
                                           IP_ADDRESS,
                                           SHOULDER_NUMBER,
                                           PASSPORT,
                                           WARRANT_NUMBER,
                                           IDENTIFIER_KIND_UNSPECIFIED,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME,
                                           PERSON_NAME};

constexpr std::string_view kLeads[] = {"saw", "officers met", "then spoke to", "seen with", "about",
                                       "and", "noted",        "told that",     "stopped"};
constexpr std::string_view kTails[] = {"later",       "again that night", "at the door", "and left",
                                       "who ran off", "was noted",        "in the hall"};
constexpr std::string_view kFirst[] = {"Ngozi", "Amara",  "Tobias", "Imogen", "Oluwaseun",
                                       "Priya", "Callum", "Freya",  "Dmitri", "Aoife"};
constexpr std::string_view kLast[] = {"Okafor",   "Petheridge", "Vandersloot", "Quennell",
                                      "Ibbotson", "Cawthorne",  "Lindqvist",   "Abernathy",
                                      "Fernsby",  "Rookwood",   "Larkhill",    "Lee"};
constexpr std::string_view kShortNames[] = {"Ng", "Li", "Wu", "Xu", "Oz", "Ek", "Ye"};
constexpr std::string_view kWordNames[] = {"May",  "Will",  "Close", "Young", "Brown", "Baker",
                                           "Ward", "Field", "Rose",  "Hope",  "Grant", "Street"};
// Every ordinary and street word that may follow a name.
constexpr std::string_view kFollowing[] = {
    "drive",  "drove",  "house",   "close",  "court",    "road",   "street", "lane",  "avenue",
    "way",    "square", "place",   "park",   "crescent", "hill",   "green",  "mews",  "gardens",
    "estate", "bridge", "station", "market", "terrace",  "grove",  "row",    "walk",  "yard",
    "st",     "rd",     "will",    "may",    "mark",     "grant",  "hope",   "rose",  "field",
    "ran",    "said",   "then",    "was",    "and",      "who",    "left",   "stone", "wood",
    "bush",   "king",   "bishop",  "cook",   "baker",    "mason",  "ward",   "price", "sharp",
    "best",   "love",   "day",     "night",  "winter",   "person", "young",  "brown", "short"};
// A name's parts with - between those that are one.
struct Compound {
  std::string_view parts, cased, joined;
};
constexpr Compound kCompounds[] = {{"O-Brien", "O'Brien", "Obrien"},
                                   {"O-Neill", "O'Neill", "ONeill"},
                                   {"Mc-Donald", "McDonald", "Mcdonald"},
                                   {"Mc-Kenzie", "McKenzie", "MCKENZIE"},
                                   {"Mac-Intyre", "MacIntyre", "Macintyre"},
                                   {"De-La-Cruz", "De La Cruz", "Delacruz"},
                                   {"De-Souza", "de Souza", "Desouza"},
                                   {"D-Angelo", "D'Angelo", "Dangelo"},
                                   {"Van-Der-Berg", "van der Berg", "Vanderberg"},
                                   {"Al-Hassan", "Al-Hassan", "Alhassan"},
                                   {"El-Masri", "El-Masri", "Elmasri"},
                                   {"Fitz-Gerald", "FitzGerald", "Fitzgerald"},
                                   {"St-John", "St John", "Stjohn"},
                                   {"Smith-Jones", "Smith-Jones", "SmithJones"},
                                   {"Bell-Quarry", "Bell-Quarry", "Bellquarry"}};
struct Accented {
  std::string_view composed, decomposed;
};
constexpr Accented kAccented[] = {{"N\u00FA\u00F1ez", "Nu\u0301n\u0303ez"},
                                  {"Bj\u00F6rklund", "Bjo\u0308rklund"},
                                  {"Zo\u00EB", "Zoe\u0308"},
                                  {"\u00C9lo\u00EFse", "E\u0301loi\u0308se"},
                                  {"\u0160im\u016Fnek", "S\u030Cimu\u030Anek"},
                                  {"Nguy\u1EC5n", "Nguye\u0302\u0303n"}};
constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};

// %d digits, %t a time; nothing in them is anybody's.
constexpr std::string_view kProse[] = {
    "Seen on 120326 at %t by the night shift.",
    "PC 123456 attended, then PS 4%d took over.",
    "at 20 30 00 the alarm sounded, at 21 45 30 it stopped.",
    "Colour #ff00aa on the wall, #a1b2c3 on the door.",
    "Version 1.2.3.4 of the software, build 10.0.19.1 since.",
    "Section 1.2.3.4 of the manual applies, see para 2.1.4.3.",
    "Collar number %d%d%d%d, exhibit ABC/%d, bag B%d%d%d%d%d%d%d.",
    "Grid reference TQ 3%d%d 8%d%d, sheet 17%d.",
    "CAD %d%d%d%d/04MAR26 refers, CAD 7%d%d of 12 May.",
    "Till receipt %d%d%d%d%d%d%d, total \u00A3%d,250.00, change 10.50.",
    "s.23 Misuse of Drugs Act 1971 and s1 PACE 1984, section 47(1).",
    "From %t until %t, then 0600 - 1030 on 26/01/2026.",
    "Searched under section 60 between 2200 and 0400 hrs on 04/03/2026.",
    "The A40 and the M25 were closed, B12 open, E1 6th floor clear.",
    "Bus 38 to N%d, flat 12b, unit 4, room 101, 5ft 11in, size 10.",
    "Batch 10/%d, lot 3/4, ratio 2:1, score 3-2, odds 7/2.",
    "Order 12 34 56 was for 12 men, 34 coats and 56 hats.",
    "In may the rose will close by day; a young man, a brown coat, the best of the ward.",
    "He saw the light, so did she; we go in, we go out, it is on us.",
    "Met at the market, near the station bridge, on the hill by the park.",
    "Speed 34 mph in a 30 mph zone, 3 of 12 lamps out, 100% sure.",
    "Meeting 4 March 2026, review 2026-06-01, next 1st of April 2026.",
    "Serial GH%d%d%d, model X-%d%d%d, type 3B, class A drug, level 2.",
    "Temperature 21.5, tide 3.4 m, wind NE 5, pressure 1013.",
    "Ref 1%d%d%d%d%d%d/26, log %d%d%d, page 3 of 12, line 44.",
    "Ratio a:b, note 10:30:15, MAC 00:1a:2b:3c:4d:5e, std::vector.",
    "Price 7,50 or 8.99 each, 3 x 20 mm, 5 kg, 10 lb, 2 hr 5 min."};

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}
std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}
std::string TwoDigits(uint32_t number) { return StrCat(number < 10 ? "0" : "", number); }

// Every ASCII letter and digit in full width.
std::string Wide(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c <= 0x20 || c >= 0x7F) {
      out.push_back(c);
      continue;
    }
    const int point = 0xFF01 + (c - 0x21);
    out.push_back(static_cast<char>(0xE0 | (point >> 12)));
    out.push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
  return out;
}

}  // namespace

size_t MarkedCorpus::sorts() { return kSorts; }
std::string_view MarkedCorpus::NameOfSort(size_t sort) { return kSortNames[sort]; }
size_t MarkedCorpus::marks() { return std::size(kMarks); }
std::string_view MarkedCorpus::NameOfMark(size_t mark) { return kMarks[mark].name; }

std::string MarkedCorpus::Digits(size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out.push_back(static_cast<char>('0' + Below(10)));
  return out;
}

std::string MarkedCorpus::Letters(std::string_view alphabet, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out.push_back(alphabet[Below(alphabet.size())]);
  return out;
}

std::string MarkedCorpus::Spaced(std::string_view pieces) {
  constexpr std::string_view kGaps[] = {" ", "  ", "\n", "\r\n", "\t", "-", "\u00A0", "\u2011"};
  const std::string gap = Below(2) ? " " : Pick(kGaps);
  std::string out;
  for (char c : pieces) {
    if (c == ',') {
      out += gap;
    } else {
      out.push_back(c);
    }
  }
  return out;
}

// As somebody pastes it: full width, or with characters that can't be seen.
std::string MarkedCorpus::Disguised(std::string text, PlantedText& out) {
  switch (Below(12)) {
    case 0:
      return Wide(text);
    case 1:
      out.unseen = true;
      return StrCat("\u202A", text, "\u202C");
    case 2: {
      // Where what parts the words can't be seen either, nobody could read it.
      if (out.unseen) return text;
      out.unseen = true;
      size_t at = 1 + Below(text.size() - 1);
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
      return text.insert(at, "\u00AD");
    }
    default:
      return text;
  }
}

std::string MarkedCorpus::Value(size_t sort, PlantedText& out) {
  switch (sort) {
    case kPhone: {
      const std::string line = Digits(3);
      switch (Below(14)) {
        case 0:
          return Spaced(StrCat("07700,900,", line));
        case 1:
          return StrCat("+44 7700 900", line);
        case 2:
          return StrCat("0044 7700 900", line);
        case 3:
          return StrCat("+44 (0)20 7946 0", line);
        case 4:
          return StrCat("(020) 7946 0", line);
        case 5:
          return Spaced(StrCat("020,7946,0", line));
        case 6:
          return StrCat("07700/900", line);
        case 7:
          return StrCat("07700.900.", line);
        case 8: {  // digit by digit
          std::string out_text;
          for (char c : StrCat("07700900", line))
            base::StrAppend(out_text, out_text.empty() ? "" : " ", c);
          return out_text;
        }
        case 9:
          return StrCat("020 7946 0", line, Below(2) ? " ext 12" : "x12");
        case 10:
          return StrCat("+33 1 23 45 6", Digits(1), " 89");
        case 11:
          return StrCat("O77OO 9OO ", line);
        default:
          return StrCat("07700900", line);
      }
    }
    case kEmail: {
      const std::string name = Letters("abcdeghilmnorst", 7);
      switch (Below(9)) {
        case 0:
          return StrCat("bounce+", name, "=example.org@lists.example.net");
        case 1:
          return StrCat(name, "/admin@example.org");
        case 2:
          return StrCat("\"", name, " doe\"@example.org");
        case 3:
          return StrCat("j\u00F6rg", name, "@b\u00FCcher.example");
        case 4:
          return StrCat(name, "@xn--bcher-kva.example");
        case 5:
          return StrCat(Upper(name), ".O'Hara@Example.Com");
        default:
          return StrCat(name, ".", Letters("aeiou", 2), "@mail.example.co.uk");
      }
    }
    case kLink:
      return StrCat("https://portal.example/s?",
                    Below(2) ? "email=" : "q=1&u=", Letters("abcdeghilmnorst", 7),
                    Below(2) ? "%40" : "%2540", "example.org");
    case kPnc: {
      const std::string year = std::to_string(1960 + Below(60)), serial = Digits(7);
      const std::string letter(1, CheckLetter(StrCat(year.substr(2), serial)));
      switch (Below(4)) {
        case 0:
          return StrCat(year.substr(2), "/", serial, letter);
        case 1:
          return Lower(StrCat(year, "/", serial, letter));
        case 2:
          return StrCat(year, serial, letter);
        default:
          return StrCat(year, "/", serial, letter);
      }
    }
    case kCro: {
      const std::string year = TwoDigits(50 + Below(45)), serial = Digits(6);
      return StrCat(serial, "/", year, std::string(1, CheckLetter(StrCat(year, serial))));
    }
    case kAsn: {
      const std::string year = TwoDigits(5 + Below(20)), serial = Digits(11);
      // Digits of force and system, then the year: letters count for nothing.
      const std::string letter(1, CheckLetter(StrCat("01", "01", year, serial)));
      return StrCat(year, "01VK01", serial, letter);
    }
    case kNhs: {
      std::string body;
      do {
        body = Digits(9);
      } while (body[0] == '0' || NhsCheck(body) == '\0');
      body.push_back(NhsCheck(body));
      switch (Below(5)) {
        case 0:
          return body;
        case 1: {
          std::string spelled;
          for (char c : body) base::StrAppend(spelled, spelled.empty() ? "" : " ", c);
          return spelled;
        }
        case 2:
          return StrCat(body.substr(0, 3), ".", body.substr(3, 3), ".", body.substr(6));
        case 3:
          return StrCat(body.substr(0, 3), "/", body.substr(3, 3), "/", body.substr(6));
        default:
          return Spaced(StrCat(body.substr(0, 3), ",", body.substr(3, 3), ",", body.substr(6)));
      }
    }
    case kNino: {
      const std::string front = Letters("ABCEHJLMPRST", 1) + "M", d = Digits(6),
                        back = Letters("ABCD", 1);
      const std::string pairs = StrCat(d.substr(0, 2), ",", d.substr(2, 2), ",", d.substr(4));
      switch (Below(6)) {
        case 0:
          return Spaced(StrCat(front, ",", d, back));
        case 1:
          return Spaced(StrCat(front, ",", pairs, back));
        case 2:
          return Spaced(StrCat(front, ",", pairs, ",", back));
        case 3:
          return Lower(StrCat(front, d, back));
        case 4:
          return StrCat(front, d);
        default:
          return StrCat(front, d, back);
      }
    }
    case kVrm: {
      const std::string front = Letters("CDFJKPRV", 1) + Letters("JKUVX", 1),
                        age = StrCat(Below(2) ? "1" : "6", 2 + Below(8)),
                        back = Letters("BCDFGHJKLMNPRSTVWXYZ", 3);
      switch (Below(7)) {
        case 0:
          return Spaced(StrCat(front, age, ",", back));
        case 1:
          return Lower(StrCat(front, age, back));
        case 2:
          return StrCat(Letters("ABCDEFGHJKLMNP", 1), 100 + Below(900), " ",
                        Letters("BCDFGHJK", 3));
        case 3:
          return StrCat(Letters("BCDFGHJK", 3), " ", 100 + Below(900), Letters("KLMNP", 1));
        case 4:
          return StrCat(front, " ", age, " ", back);
        case 5:
          return StrCat(front, "I", 2 + Below(8), " ", back);
        default:
          return StrCat(front, age, back);
      }
    }
    case kLicence: {
      const std::string name = Letters("BCDFGHJKLM", 5),
                        born = StrCat(Digits(1), TwoDigits(1 + Below(12)), TwoDigits(1 + Below(28)),
                                      Digits(1)),
                        end = StrCat(Letters("ABCDEFGH", 2), Digits(1), Letters("ABCDEFGH", 2));
      return Below(3) == 0 ? StrCat(name, " ", born, " ", end) : StrCat(name, born, end);
    }
    case kPostcode: {
      constexpr std::string_view kDistricts[] = {"SW1A", "N1",   "E8",  "SE15", "W12",
                                                 "CR0",  "EC2M", "BR1", "M1",   "LS27"};
      const std::string district = Pick(kDistricts),
                        inward = StrCat(Below(10), Letters("ABDEFGHJLNPQRSTUWXYZ", 2));
      switch (Below(5)) {
        case 0:
          return StrCat(district, inward);
        case 1:
          return Lower(StrCat(district, inward));
        default:
          return Spaced(StrCat(district, ",", inward));
      }
    }
    case kIpV4:
      return StrCat("203.0.113.", Below(256));
    case kIpV6: {
      switch (Below(5)) {
        case 0:
          return StrCat("2001:db8::", Letters("123456789abcdef", 4), ":370:7334");
        case 1:
          return "2001:0DB8:0000:0000:0000:FF00:0042:8329";
        case 2:
          return StrCat("fe80::", Letters("123456789abcdef", 3), ":1");
        case 3:
          return StrCat("::ffff:192.0.2.", Below(256));
        default:
          return StrCat("2001:db8:", Below(1000), "::", 1 + Below(99));
      }
    }
    case kShoulder:
      return StrCat(100 + Below(900), Letters("ACEGHJKLNPRSTWX", 2));
    case kPassport:
      out.passport = StrCat("5", Digits(8));
      return out.passport;
    case kWarrant:
      out.warrant = StrCat(1 + Below(9), Digits(5));
      return Below(2) ? out.warrant : StrCat("0", out.warrant);
    default:
      break;
  }
  // A date of birth.
  const uint32_t year = 1946 + Below(60), month = 1 + Below(12), day = 1 + Below(28);
  const std::string y = std::to_string(year), m = TwoDigits(month), d = TwoDigits(day),
                    named(kMonths[month - 1]);
  out.births.push_back(StrCat(y, "-", m, "-", d));
  switch (Below(11)) {
    case 0:
      return StrCat(d, "/", m, "/", y);
    case 1:
      return StrCat(d, ".", m, ".", y.substr(2));
    case 2:
      return StrCat(y, "-", month, "-", day);
    case 3:
      return StrCat(day, " ", named, " ", y);
    case 4:
      return StrCat(day, "th of ", named, " ", y);
    case 5:
      return StrCat(d, "-", named.substr(0, 3), "-", y);
    case 6:
      return StrCat(named, " ", day, ", ", y);
    case 7:
      return StrCat(named.substr(0, 3), " ", day, "th ", y);
    case 8:
      return StrCat(day, " ", named, ", ", y);
    case 9:
      return StrCat(d, " / ", m, " / ", y);
    default:
      return StrCat(y, "-", m, "-", d);
  }
}

std::string MarkedCorpus::Name(size_t sort, PlantedText& out) {
  const std::string first = Pick(kFirst), last = Pick(kLast);
  auto cased = [&](std::string text) {
    const uint32_t which = Below(6);
    return which == 0 ? Upper(std::move(text)) : which == 1 ? Lower(std::move(text)) : text;
  };
  switch (sort) {
    case kFullName:
      out.names.push_back(StrCat(first, " ", last));
      switch (Below(4)) {
        case 0:
          return cased(StrCat(last, ", ", first));
        case 1:
          return cased(StrCat(last, " ", first));
        default:
          return cased(StrCat(first, " ", last));
      }
    case kSurname:
    case kBeforeWord:
      out.names.push_back(StrCat(first, " ", last));
      return cased(last);
    case kParted:
    case kJoined: {
      const Compound& name = kCompounds[Below(std::size(kCompounds))];
      const uint32_t field = Below(3);
      std::string parted(name.parts);
      std::replace(parted.begin(), parted.end(), '-', ' ');
      out.names.push_back(StrCat(first, " ",
                                 field == 0   ? std::string(name.cased)
                                 : field == 1 ? parted
                                              : std::string(name.joined)));
      if (sort == kJoined)
        return Below(2) ? cased(std::string(name.joined)) : std::string(name.cased);
      switch (Below(3)) {
        case 0:
          return std::string(name.parts);
        case 1:
          return std::string(name.cased);
        default:
          return parted;
      }
    }
    case kShort: {
      const std::string name = Pick(kShortNames);
      out.names.push_back(StrCat(first, " ", name));
      switch (Below(3)) {
        case 0:
          return Upper(name);
        case 1:
          return Below(2) ? StrCat(first, " ", Lower(name)) : StrCat(first, " ", name);
        default:
          return name;
      }
    }
    case kWord: {
      const std::string name = Pick(kWordNames);
      out.names.push_back(StrCat(first, " ", name));
      return Below(4) == 0 ? Upper(name) : name;
    }
    case kDecomposed: {
      const Accented& name = kAccented[Below(std::size(kAccented))];
      out.names.push_back(StrCat(first, " ", Below(2) ? name.composed : name.decomposed));
      return std::string(Below(2) ? name.composed : name.decomposed);
    }
    case kUnseen: {
      constexpr std::string_view kUnseenMarks[] = {"\u00AD", "\u200B", "\u200D", "\u200E",
                                                   "\u2060"};
      out.names.push_back(StrCat(first, " ", last));
      std::string text = last;
      return text.insert(1 + Below(text.size() - 1), Pick(kUnseenMarks));
    }
    default:
      out.names.push_back(StrCat(first, " ", last));
      return Wide(Below(2) ? last : StrCat(first, " ", last));
  }
}

PlantedText MarkedCorpus::Next(size_t sort, size_t mark) {
  PlantedText out;
  const std::string value = sort >= kFullName ? Name(sort, out) : Value(sort, out);
  if (sort < kFullName) out.names.push_back(StrCat(Pick(kFirst), " ", Pick(kLast)));
  const std::string_view beside = kMarks[mark].text;
  out.unseen = kMarks[mark].unseen;
  out.text = Pick(kLeads);
  if (sort == kShoulder) {
    base::StrAppend(out.text, beside, "PC ");
  } else {
    base::StrAppend(out.text, Below(2) ? " " : "", beside);
  }
  const size_t begin = out.text.size();
  const bool plain = sort == kLink || sort == kEmail || sort >= kFullName || sort == kPhone;
  out.text += plain ? value : Disguised(value, out);
  out.planted.push_back({begin, out.text.size(), kKinds[sort], true});
  base::StrAppend(out.text, beside, Below(2) ? " " : "");
  out.text += sort == kBeforeWord ? Pick(kFollowing) : Pick(kTails);
  if (sort == kLink) {
    // Only the address in the link.
    Planted& planted = out.planted[0];
    planted.begin = out.text.find_last_of("=", planted.end) + 1;
  }
  return out;
}

PlantedText MarkedCorpus::Ordinary() {
  PlantedText out;
  out.names.push_back(StrCat(Pick(kFirst), " ", Pick(kLast)));
  const uint32_t sentences = 1 + Below(3);
  for (uint32_t i = 0; i < sentences; ++i) {
    if (i > 0) out.text += ' ';
    const std::string_view sentence = kProse[Below(std::size(kProse))];
    for (size_t at = 0; at < sentence.size(); ++at) {
      if (sentence[at] != '%' || at + 1 == sentence.size() || sentence[at + 1] == ' ') {
        out.text += sentence[at];
      } else if (sentence[++at] == 't') {
        base::StrAppend(out.text, TwoDigits(Below(24)), ":", TwoDigits(Below(60)));
      } else {
        out.text += Digits(1);
      }
    }
  }
  return out;
}

}  // namespace sluice::bench
