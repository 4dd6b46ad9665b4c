// What docs/guides/identifiers.md says of each kind. The page is written from this, with the
// canonical forms that the code makes (scripts/identifiers.py), and its test reads it back.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

struct KindGuide {
  contract::v1::IdentifierKind kind;
  std::string_view form;   // the canonical form, in one sentence
  std::string_view check;  // what `check: true` asks
  // Spellings of one value; the first is the plain one.
  std::vector<std::string_view> one;
  // Two values each, although they look alike.
  std::vector<std::pair<std::string_view, std::string_view>> two;
  std::vector<std::string_view> refused;
  std::string_view in_text;  // how a scrubbed text is searched for it
  // What stands before each spelling where the test looks for it in a text; none: it isn't found.
  const char* before = nullptr;
  // The first of `one` that a text isn't expected to hold in this spelling, to the end.
  size_t only_in_fields = SIZE_MAX;
};

inline std::vector<KindGuide> IdentifierGuide() {
  using namespace contract::v1;
  return {
      {PERSON_NAME,
       "The letters and digits of the name, case-folded (NFKC), without the spaces, hyphens, "
       "apostrophes, commas and full stops between them.",
       "Not empty.",
       {"Niamh O'Brien", "niamh o'brien", "NIAMH O\u2019BRIEN", "Niamh O Brien", "Niamh OBrien",
        "Niamh O-Brien", "Niamh O\u00B4Brien", "Niamh  O'Brien"},
       {{"Fergus McDonald", "Fergus MacDonald"},
        {"Jos\u00E9 Bell", "Jose Bell"},
        {"Ann Bell", "Bell, Ann"}},
       {""},
       "The event's own names are found in every spelling that has their form, in any order, alone "
       "or whole, joined or parted, in the plural, with two letters swapped (from five letters "
       "on), "
       "with or without their marks (Jos\u00E9, Jose; M\u00FCller, Muller, Mueller), beside "
       "figures (Bell85) "
       "and joined to another word where a capital shows it (sawBell). A name that is a word too "
       "(May, Will), a particle that is the surname (Das, Le) or one of two letters needs a "
       "capital, "
       "a title, a rank or another part of the name beside it. Other people's names aren't found.",
       "Saw "},
      {PHONE,
       "E.164, with `;ext=` and the extension if there is one.",
       "British numbers follow the general description of the national plan; others need `+` or "
       "`00` and 7 to 15 digits.",
       {"+447700900123", "07700 900123", "+44 7700 900123", "0044 7700 900123", "447700900123",
        "(07700) 900-123", "+44 (0)7700 900123", "07700/900123", "07700.900.123",
        "0 7 7 0 0 9 0 0 1 2 3", "tel:+447700900123", "7700900123"},
       {{"020 7946 0000", "020 7946 0000 ext 12"}, {"07700 900123", "07700 900124"}},
       {"999", "12345", "0770\u00BD 900123", "+0044 7700 900123", "07700 900123;"},
       "Numbers with a trunk nought or a country code are found anywhere, digits in groups or one "
       "by one, behind letters, across a line break, with the letter O for a nought. Ten digits "
       "without the nought are found behind *tel*, *phone*, *mobile* and their like.",
       "tel "},
      {EMAIL,
       "Lower case. The domain in ASCII (A-labels, IDNA 2008). A local part without quotes that it "
       "doesn't need.",
       "One local part of at most 64 bytes, a domain with a full stop, 254 bytes in all.",
       {"jane.doe@b\u00FCcher.example", "Jane.Doe@B\u00DCCHER.example",
        "jane.doe@xn--bcher-kva.example", "\"jane.doe\"@b\u00FCcher.example",
        "mailto:jane.doe@b\u00FCcher.example"},
       {{"jane@stra\u00DFe.example", "jane@strasse.example"},
        {"jane+a@example.org", "jane@example.org"}},
       {"jane", "jane@example", "jane doe@example.org", "Jane Doe <jane@example.org>"},
       "Whole, also with a quoted local part and percent-encoded in a link. A `|` parts an address "
       "from what stands before.",
       "mail "},
      {PNC_ID,
       "`YYYY/NNNNNNNL`. Two-digit years above 49 are of the last century.",
       "The check letter: year and serial modulo 23.",
       {"1981/0000034U", "81/34U", "1981/34u", "81/0000034U", "19810000034U", "81 / 34 U", "8134U"},
       {{"81/34U", "82/34J"}},
       {"81/34", "81/34I"},
       "The forms with a slash, and the twelve characters without; any other spelling behind "
       "*PNC*. A letter apart is one behind a slash that stands apart too.",
       "PNC "},
      {CRO,
       "`NNNNNN/YYL` or `SFYY/N...L`.",
       "The check letter: year and serial modulo 23.",
       {"065656/91H", "65656/91H", "65656/91h", "65656 / 91 H", "06565691H", "6565691H"},
       {{"65656/91H", "65657/91J"}},
       {"65656/91", "85227/65!"},
       "With a slash, as PNC IDs; without one behind *CRO*.",
       "CRO "},
      {ASN,
       "Without slashes, the sequence with its noughts: `YYFFUUSSnnnnnnnnnnnL`.",
       "The check letter, modulo 23.",
       {"1001VK0100000375807W", "10/01VK/01/375807W", "10/01vk/01/00000375807w"},
       {{"10/01VK/01/375807W", "10/01VK/01/375808X"}},
       {"10/01VK/01", "1001VK01"},
       "Both forms.",
       "ASN "},
      {NHS_NUMBER,
       "Ten digits.",
       "The check digit, modulo 11.",
       {"9434765870", "943 476 5870", "943-476-5870", "943.476.5870", "943/476/5870",
        "9 4 3 4 7 6 5 8 7 0"},
       {{"943 476 5870", "943 476 5919"}},
       {"943 476 587", "943476587O"},
       "Whole, as 3, 3 and 4 digits or digit by digit; in other groups behind *NHS*.",
       "NHS "},
      {NINO,
       "Two letters and six digits. The suffix is no part of it: it isn't always written, and no "
       "two people's numbers differ by it alone.",
       "Letters and prefixes that were issued (HMRC NIM39110).",
       {"AB123456", "AB123456C", "ab 12 34 56 c", "AB-12-34-56-C", "AB 123456C", "AB 12 34 56C"},
       {{"AB123456C", "AB123457C"}},
       {"AB12345", "AB123456E"},
       "With its suffix anywhere; without one in one word, as letters and three pairs of digits, "
       "or behind *NI*, *NINO* or *insurance*. Letters apart that are a word before a number (at, "
       "PC, NO) begin none.",
       "NINO "},
      {VRM,
       "Upper case without spaces. A value that is no mark gets `?` and its text in small letters "
       "without spaces and hyphens.",
       "The formats since 1903 of the United Kingdom, Northern Ireland's, Jersey's, Guernsey's, "
       "the "
       "Isle of Man's and Ireland's too, Q plates, trade plates, diplomatic and military marks. An "
       "age that is issued only after the event fails in any case: AB49 CDE in 2026.",
       {"AB12CDE", "ab12 cde", "AB12-CDE", "AB12  CDE", "AB 12 CDE"},
       {{"AB12 CDE", "AB13 CDE"}, {"A1", "1A"}, {"Q123 ABC", "J12345"}, {"101 D 234", "161-D-234"}},
       {"UNKNOWN", "AB01CDE", "B-AB 12345",
        "AB1"
        "? CDE"},
       "Marks that tell their age, also with 0 for O and 1 for I; in small letters those of the "
       "current format and those without a space, and parted in three only in capitals. Three "
       "letters that are a word (DUE) are one in small letters and where all is in capitals. A "
       "colour (#ff11aa) is none. "
       "Others behind *vehicle*, *index*, *reg* and their like.",
       "index "},
      {DRIVING_LICENCE,
       "16 characters.",
       "The shape, and the day and month of birth in it.",
       {"MORGA657054SM9IJ", "MORGA 657054 SM9IJ", "morga657054sm9ij"},
       {{"MORGA657054SM9IJ", "MORGA657054SM8IJ"}},
       {"MORGA699054SM9IJ"},
       "In one word or three.",
       "licence "},
      {PASSPORT,
       "Six to nine letters and digits, upper case.",
       "At least one digit.",
       {"123456789", "123 456 789", "123-456-789"},
       {{"123456789", "123456780"}},
       {"ABCDEFG"},
       "The event's own; others in one word behind *passport*.",
       "passport ",
       1},
      {WARRANT_NUMBER,
       "One to six digits without leading noughts.",
       "Digits.",
       {"123456", "0123456"},
       {{"12345", "123456"}},
       {"1234567"},
       "The event's own, from four digits on."},
      {SHOULDER_NUMBER,
       "One to four digits and two letters.",
       "The shape.",
       {"123AW", "123 aw", "123-AW"},
       {{"123AW", "123AX"}},
       {"AW123"},
       "Behind a rank, in one word or with its letters in capitals, and the event's own.",
       "PC ",
       1},
      {POSTCODE,
       "Upper case with one space before the last three; `BFPO` and a number. A value that is none "
       "gets `?` and its text in small letters without spaces and hyphens.",
       "The letters that may stand in each place (BS 7666), BFPO numbers, and the postcodes of "
       "overseas territories, but for Bermuda's.",
       {"SW1A 1AA", "sw1a1aa", "SW1A-1AA", "SW1A  1AA", "SW 1A 1AA", "SW1A 1 AA"},
       {{"SW1A 1AA", "SW1A 1AB"}, {"BFPO 61", "BF1 2AY"}, {"FIQQ 1ZZ", "KY1-1001"}},
       {"SW1", "QA1 1AA"},
       "Anywhere, also across a line break; parted in three only in capitals. 1st, 2nd and their "
       "like in small letters end none. Overseas territories' of another format (KY1-1001) in one "
       "word.",
       "at "},
      {UPRN,
       "One to twelve digits without leading noughts.",
       "Digits.",
       {"100023336956", "0100023336956"},
       {{"100023336956", "100023336957"}},
       {"1000233369561234"},
       "Behind *UPRN*.",
       "UPRN ",
       1},
      {ADDRESS,
       "Folded text without commas and full stops; a fraction of a house number as 1/2.",
       "Not empty.",
       {"12 1/2 High Street", "12\u00BD, High Street", "12 1/2 HIGH STREET."},
       {{"12\u00BD High Street", "121/2 High Street"}},
       {""},
       "Not found."},
      {IP_ADDRESS,
       "RFC 5952; IPv4 in dotted decimals, also where it came mapped into IPv6.",
       "An address of either version.",
       {"2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:0db8::0:1"},
       {{"192.0.2.1", "192.0.2.11"}},
       {"192.0.2.256", "1.2.3"},
       "Anywhere, but for what follows *version*, *section* and their like, and IPv6 addresses of "
       "two groups without a figure (a::b).",
       "from "},
      {FREE_IDENTIFIER,
       "Folded text.",
       "Not empty.",
       {"CAD 123/01JAN26", "cad  123/01jan26"},
       {{"\u2116"
         "5",
         "no5"},
        {"10\u00B2", "102"}},
       {""},
       "Not found."},
      {EVENT_ID,
       "As it is; a UUID in lower case.",
       "Not empty.",
       {"6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6F9619FF-8B86-D011-B42D-00CF4FC964FF"},
       {{"a-1", "A-1"}},
       {""},
       "Not found."},
      {SOURCE_POSITION,
       "As it is. Never a field's.",
       "Not empty.",
       {"raw/3/7"},
       {{"raw/3/7", "raw/3/8"}},
       {""},
       "Not found."},
  };
}

}  // namespace sluice::privacy
