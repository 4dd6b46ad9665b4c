// The kinds of identifier: one canonical form for all spellings of a value, and the check that goes
// with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/contract/v1/options.pb.h"

namespace sluice::privacy {

// Two-digit years above this one are of the last century: 81/34U is of 1981. Fixed, not today's
// year: a replay next year must make the same pseudonyms.
inline constexpr int kYearPivot = 49;

// Appends the value's canonical form to `out`, always, and says whether format and check hold.
//
// A value of the kind's format whose check digit or letter is wrong still gets the kind's canonical
// form, so that all its spellings stay one. A value without the format gets `?` and its folded text
// (see fold.h), which is no valid value's form. Canonical forms are canonical themselves. Kinds
// with a format are read after folding, so that no-break spaces, typographic hyphens and full-width
// digits don't count. Allocates nothing for ASCII.
//
//   PERSON_NAME       folded letters and digits, nothing of what stands between them
//   PHONE             E.164: +44 and the national number of GB's plan (trunk 0, +44, 0044, 44 in
//                     any spacing); other countries' only with + or 00: 7 to 15 digits; then
//                     ;ext= and an extension (RFC 3966)
//   EMAIL             lower case, not folded; the domain's labels in ASCII (IDNA 2008)
//   PNC_ID            YYYY/NNNNNNNL, check letter by modulus 23 of YY and serial
//   CRO               NNNNNN/YYL or SFYY/N...L, likewise
//   ASN               without slashes, 11 digits of sequence, check letter likewise
//   NHS_NUMBER        10 digits, check digit by modulus 11
//   NINO              two letters and six digits, without the suffix A to D
//   VRM               upper case without spaces; the formats since 1903 of the United Kingdom,
//                     Jersey, Guernsey, the Isle of Man and Ireland, Q plates, trade plates,
//                     diplomatic and military marks. Of others, ? and its text without spaces and
//                     hyphens
//   DRIVING_LICENCE   16 characters (its check isn't public)
//   PASSPORT          6 to 9 letters and digits
//   WARRANT_NUMBER    1 to 6 digits without leading zeros
//   SHOULDER_NUMBER   1 to 4 digits and two letters
//   POSTCODE          upper case with one space before the last three; BFPO and a number; those
//                     of overseas territories
//   UPRN              1 to 12 digits without leading zeros
//   ADDRESS           folded text without commas and full stops, ½ as 1/2
//   IP_ADDRESS        RFC 5952; IPv4 in dotted decimals, also where it came mapped into IPv6
//   FREE_IDENTIFIER   folded text
//   EVENT_ID          as it stands; a UUID in lower case
//   SOURCE_POSITION   as it stands
//
// docs/guides/identifiers.md shows spellings of each.
bool AppendCanonical(contract::v1::IdentifierKind kind, std::string_view value, std::string& out);

// The digit or letter that a canonical form ends in, from what stands before it: of PNC_ID, CRO,
// ASN and NHS_NUMBER. '\0': no such character makes it valid, or the kind has none. `body` is of
// the kind's format.
char CheckCharacter(contract::v1::IdentifierKind kind, std::string_view body);

// Whether a vehicle mark in canonical form tells that it was issued only after that month: of the
// current format in March and September, of Ireland's in January and July.
bool IsMarkOfLater(std::string_view canonical, int32_t year, int32_t month);

// Whether there is a postcode area of that name (Royal Mail): SW, not XX. Upper case.
bool IsPostcodeArea(std::string_view area);

// The parts of a postcode in canonical form: SW1A 1, SW1A, SW. Of BFPO's all are BFPO.
enum class PostcodePart { kSector, kDistrict, kArea };
std::string_view PartOfPostcode(std::string_view canonical, PostcodePart part);

}  // namespace sluice::privacy
