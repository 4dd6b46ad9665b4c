#include "common/engine/treatment_table.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/strings/str_join.h"
#include "common/base/planted_fault.h"
#include "common/base/strings.h"
#include "common/privacy/format_preserving.h"

namespace sluice::engine {
namespace {

using config::v1::Generalise;
using config::v1::Treatment;
using contract::Node;
using contract::Type;

// Days that a part of a calendar is wide, at most.
constexpr double kYearDays = 366, kMonthDays = 31, kDayDays = 1, kHourDays = 1.0 / 24;
// Of about 31 million addresses: 11,200 sectors, 2,980 districts, 124 areas (ONS Postcode
// Directory).
constexpr double kSectorAddresses = 2'800, kDistrictAddresses = 10'000, kAreaAddresses = 250'000;

// What points at few people: shorter bands, finer places, dates and numbers, more characters.
constexpr double kBandYearsMin = 5, kMetresMin = 1'000, kAgeWidthMin = 5;
constexpr double kCharactersMax = 3;
// Of a number whose unit nobody knows: what is finer shows as good as everything.
constexpr double kMeasuredWidthMin = 0.001;

constexpr std::array<TreatmentRow, kTreatmentKinds> kRows = {{
    {.kind = TreatmentKind::kKeep,
     .name = "keep",
     .subject = Subject::kAnything,
     .makes = Makes::kSameType,
     .measure = Measure::kEverything,
     .meaning = "The value as it is.",
     .shows = "everything",
     .promise = "equal, in JSON and in protobuf",
     .oracle = "protobuf (Python)",
     .refusal = ""},
    {.kind = TreatmentKind::kDrop,
     .name = "drop",
     .subject = Subject::kAnything,
     .makes = Makes::kNothing,
     .measure = Measure::kNothing,
     .meaning = "The stream has no such field.",
     .shows = "nothing",
     .promise = "no byte of the value in any record",
     .oracle = "markers",
     .refusal = ""},
    {.kind = TreatmentKind::kConstant,
     .name = "constant",
     .subject = Subject::kAnything,
     .makes = Makes::kText,
     .measure = Measure::kNothing,
     .meaning = "The same text in every event, whether or not the field has a value.",
     .shows = "nothing; of a list, how many items it has",
     .promise = "the same for every value and for none",
     .oracle = "the configuration",
     .refusal = ""},
    {.kind = TreatmentKind::kMask,
     .name = "mask",
     .subject = Subject::kText,
     .makes = Makes::kText,
     .measure = Measure::kCharacters,
     .meaning = "Every character but the first or last ones becomes one sign; a value with no more "
                "than these becomes signs only.",
     .shows = "the characters that are kept, and how many there are",
     .promise = "idempotent; grapheme clusters (UAX #29) whole; invisible characters and blanks "
                "never count",
     .oracle = "regex (Python), \\X",
     .refusal = "can't be masked: it isn't a text"},
    {.kind = TreatmentKind::kPseudonymise,
     .name = "pseudonymise",
     .subject = Subject::kIdentifier,
     .makes = Makes::kText,
     .measure = Measure::kEquality,
     .needs_domain = true,
     .may_leave_out = true,
     .meaning = "The identifier's pseudonym in the stream's domain; of a blank one, none.",
     .shows = "that two values are the same, as far as its linkage reaches",
     .promise = "equal if and only if the canonical forms are; none for blanks of any sort",
     .oracle = "an HMAC and AES of OpenSSL",
     .refusal = "can't be pseudonymised: only identifiers can"},
    {.kind = TreatmentKind::kEncrypt,
     .name = "encrypt",
     .subject = Subject::kIdentifier,
     .makes = Makes::kText,
     .measure = Measure::kLength,
     .needs_domain = true,
     .may_leave_out = true,
     .meaning = "The canonical form, encrypted under the domain's key and padded; of a blank one, "
                "none.",
     .shows = "that two values are the same, and their length to the next class",
     .promise = "comes back whole; lengths are those of the classes",
     .oracle = "cryptography's AES-SIV (Wycheproof)",
     .refusal = "can't be encrypted: only identifiers can"},
    {.kind = TreatmentKind::kFormatPreserve,
     .name = "format_preserve",
     .subject = Subject::kFormatKind,
     .makes = Makes::kText,
     .measure = Measure::kFormat,
     .needs_domain = true,
     .may_leave_out = true,
     .meaning = "Another valid identifier of the same kind and format.",
     .shows = "that two values are the same, and what its format keeps",
     .promise = "a permutation of the format's valid values; comes back whole",
     .oracle = "phonenumbers, python-stdnum",
     .refusal = "can't be format-preserved: its kind has no format of a million values or more; "
                "pseudonymise or encrypt it"},
    {.kind = TreatmentKind::kShift,
     .name = "shift",
     .subject = Subject::kShiftable,
     .makes = Makes::kSameType,
     .measure = Measure::kSpans,
     .needs_domain = true,
     .may_leave_out = true,
     .meaning = "The date or time moved by its person's number of days; a date that no shift of "
                "the domain would keep in the calendar becomes none.",
     .shows = "what lies between two dates of one person, the time of day, and roughly when",
     .promise = "one number for a person, domain and epoch, never 0; order kept; calendar ends "
                "never moved",
     .oracle = "dateutil",
     .refusal = "can't be shifted: it is neither a time nor a date"},
    {.kind = TreatmentKind::kScrub,
     .name = "scrub",
     .subject = Subject::kFreeText,
     .makes = Makes::kText,
     .measure = Measure::kProse,
     .meaning = "The text with what identifies people in it replaced, as far as it is found.",
     .shows = "everything that was said in other words",
     .promise = "recall and precision as the benchmark measures them",
     .oracle = "the corpus",
     .refusal = "can't be scrubbed: it isn't a text marked as free_text"},
    {.kind = TreatmentKind::kAgeBands,
     .name = "generalise: age_bands",
     .subject = Subject::kBirth,
     .makes = Makes::kText,
     .measure = Measure::kDays,
     .needs_event_time = true,
     .meaning = "The band of the age on the event's civil day.",
     .shows = "the band",
     .promise = "the band that dateutil's age is in",
     .oracle = "dateutil",
     .refusal = "isn't a DATE_OF_BIRTH: it has no age_bands"},
    {.kind = TreatmentKind::kYear,
     .name = "generalise: year",
     .subject = Subject::kDateOrTime,
     .makes = Makes::kText,
     .measure = Measure::kDays,
     .meaning = "The civil year.",
     .shows = "the year",
     .promise = "order kept; the civil calendar of the event's zone",
     .oracle = "dateutil",
     .refusal = "is neither a time nor a date"},
    {.kind = TreatmentKind::kMonth,
     .name = "generalise: month",
     .subject = Subject::kDateOrTime,
     .makes = Makes::kText,
     .measure = Measure::kDays,
     .meaning = "The civil month.",
     .shows = "the month",
     .promise = "order kept; the civil calendar of the event's zone",
     .oracle = "dateutil",
     .refusal = "is neither a time nor a date"},
    {.kind = TreatmentKind::kDay,
     .name = "generalise: day",
     .subject = Subject::kDateOrTime,
     .makes = Makes::kText,
     .measure = Measure::kDays,
     .meaning = "The civil day.",
     .shows = "the day",
     .promise = "order kept; the civil calendar of the event's zone",
     .oracle = "dateutil",
     .refusal = "is neither a time nor a date"},
    {.kind = TreatmentKind::kHour,
     .name = "generalise: hour",
     .subject = Subject::kTime,
     .makes = Makes::kText,
     .measure = Measure::kDays,
     .meaning = "The civil hour; the one that an October night has twice has one name.",
     .shows = "the hour",
     .promise = "the civil calendar of the event's zone",
     .oracle = "dateutil",
     .refusal = "isn't a time: it has no hour"},
    {.kind = TreatmentKind::kSector,
     .name = "generalise: sector",
     .subject = Subject::kPostcode,
     .makes = Makes::kText,
     .measure = Measure::kAddresses,
     .meaning = "The postcode's sector, SW1A 1.",
     .shows = "the sector",
     .promise = "the postcode begins with it",
     .oracle = "the stream's JSON Schema",
     .refusal = "isn't a POSTCODE: it has no sector, district or area"},
    {.kind = TreatmentKind::kDistrict,
     .name = "generalise: district",
     .subject = Subject::kPostcode,
     .makes = Makes::kText,
     .measure = Measure::kAddresses,
     .meaning = "The postcode's district, SW1A.",
     .shows = "the district",
     .promise = "the sector begins with it",
     .oracle = "the stream's JSON Schema",
     .refusal = "isn't a POSTCODE: it has no sector, district or area"},
    {.kind = TreatmentKind::kArea,
     .name = "generalise: area",
     .subject = Subject::kPostcode,
     .makes = Makes::kText,
     .measure = Measure::kAddresses,
     .meaning = "The postcode's area, SW.",
     .shows = "the area",
     .promise = "the district begins with it",
     .oracle = "the stream's JSON Schema",
     .refusal = "isn't a POSTCODE: it has no sector, district or area"},
    {.kind = TreatmentKind::kGridMetres,
     .name = "generalise: grid_metres",
     .subject = Subject::kPointNumber,
     .makes = Makes::kDouble,
     .measure = Measure::kMetres,
     .may_leave_out = true,
     .meaning = "The centre of the point's square.",
     .shows = "the square",
     .promise = "idempotent; no further from the point than half a diagonal",
     .oracle = "the haversine formula",
     .refusal = "is no part of a point: name its treatment in treat or fields"},
    {.kind = TreatmentKind::kBucket,
     .name = "generalise: bucket",
     .subject = Subject::kNumber,
     .makes = Makes::kDouble,
     .measure = Measure::kWidth,
     .meaning = "The lower bound of the number's bucket.",
     .shows = "the bucket",
     .promise = "idempotent; order kept; never above the value; a decimal multiple of the width",
     .oracle = "decimal (Python)",
     .refusal = "isn't a number that counts or measures: it has no bucket"},
    {.kind = TreatmentKind::kSnap,
     .name = "generalise: snap",
     .subject = Subject::kPointNumber,
     .makes = Makes::kDouble,
     .measure = Measure::kPlaces,
     .may_leave_out = true,
     .meaning = "The nearest point of a reference set; none where none is near enough.",
     .shows = "which of the set's points",
     .promise = "a point of the set",
     .oracle = "the haversine formula",
     .refusal = "is no part of a point: name its treatment in treat or fields"},
    {.kind = TreatmentKind::kAreaOf,
     .name = "generalise: area_of",
     .subject = Subject::kPointNumber,
     .makes = Makes::kColumn,
     .measure = Measure::kMetres,
     .may_leave_out = true,
     .meaning = "The area of a reference set that the point is in, in the place of its latitude; "
                "none where it is in none.",
     .shows = "which of the set's areas",
     .promise = "an area of the set",
     .oracle = "GEOS",
     .refusal = "is no part of a point: name its treatment in treat or fields"},
}};

constexpr bool InOrder() {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (kRows[i].kind != static_cast<TreatmentKind>(i) || kRows[i].meaning.empty()) return false;
  }
  return true;
}
static_assert(InOrder(), "a row for every treatment, in the order of TreatmentKind");

TreatmentKind KindOf(Part part) {
  switch (part) {
    case Part::kYear:
      return TreatmentKind::kYear;
    case Part::kMonth:
      return TreatmentKind::kMonth;
    case Part::kDay:
      return TreatmentKind::kDay;
    case Part::kHour:
      return TreatmentKind::kHour;
    case Part::kSector:
      return TreatmentKind::kSector;
    case Part::kDistrict:
      return TreatmentKind::kDistrict;
    case Part::kArea:
      return TreatmentKind::kArea;
  }
  return TreatmentKind::kKeep;
}

TreatmentKind KindOf(const Generalise& generalise) {
  switch (generalise.to_case()) {
    case Generalise::kAgeBands:
      return TreatmentKind::kAgeBands;
    case Generalise::kYear:
      return TreatmentKind::kYear;
    case Generalise::kMonth:
      return TreatmentKind::kMonth;
    case Generalise::kDay:
      return TreatmentKind::kDay;
    case Generalise::kHour:
      return TreatmentKind::kHour;
    case Generalise::kSector:
      return TreatmentKind::kSector;
    case Generalise::kDistrict:
      return TreatmentKind::kDistrict;
    case Generalise::kArea:
      return TreatmentKind::kArea;
    case Generalise::kGridMetres:
      return TreatmentKind::kGridMetres;
    case Generalise::kBucket:
      return TreatmentKind::kBucket;
    case Generalise::kSnap:
      return TreatmentKind::kSnap;
    case Generalise::kAreaOf:
      return TreatmentKind::kAreaOf;
    case Generalise::TO_NOT_SET:
      break;
  }
  return TreatmentKind::kKeep;
}

// The narrowest band; the last has no end.
double NarrowestBandYears(const std::vector<int32_t>& bands) {
  int32_t narrowest = std::numeric_limits<int32_t>::max(), low = 0;
  for (int32_t bound : bands) {
    narrowest = std::min(narrowest, bound - low);
    low = bound;
  }
  return narrowest;
}

bool IsPlace(const contract::Classification& is) {
  return is.quasi == contract::v1::LATITUDE || is.quasi == contract::v1::LONGITUDE ||
         is.quasi == contract::v1::LOCATION_TEXT;
}

bool IsTime(const contract::Classification& is) {
  return is.quasi == contract::v1::OCCURRED_AT || is.quasi == contract::v1::EVENT_TIME;
}

// How far the records of one person can be followed by a pseudonym: less has smaller numbers.
int ReachOf(const Treatment* treatment) {
  using config::v1::Pseudonymise;
  constexpr int kAll = 5;
  if (treatment == nullptr || treatment->how_case() != Treatment::kPseudonymise) return kAll;
  const Pseudonymise& how = treatment->pseudonymise();
  if (how.linkage() == Pseudonymise::none) return 0;
  if (how.linkage() == Pseudonymise::event) return 1;
  if (how.linkage() != Pseudonymise::period) return kAll;
  if (!how.has_every() || how.every() == Pseudonymise::month) return 2;
  return how.every() == Pseudonymise::quarter ? 3 : 4;
}

bool ScrubsAsMuch(const OutputNode& before, const OutputNode& now) {
  for (size_t kind = 0; kind < now.scrub_requests.size(); ++kind) {
    bool placeholder = kind >= before.scrub_requests.size() || before.scrub_requests[kind] < 0;
    if (placeholder && now.scrub_requests[kind] >= 0) return false;
  }
  return true;
}

// A guess at such a value is soon right, and its length alone may tell it.
bool HasFewValues(const contract::Classification& is) {
  return (is.quasi != 0 && is.quasi != contract::v1::LOCATION_TEXT) || is.sensitive != 0;
}

// How many characters of a value may show: three of a long one, about a quarter of the shortest
// that the kind has.
double CharactersMax(contract::v1::IdentifierKind kind) {
  switch (kind) {
    case contract::v1::PHONE:
    case contract::v1::PNC_ID:
    case contract::v1::ASN:
    case contract::v1::DRIVING_LICENCE:
      return kCharactersMax;
    case contract::v1::NHS_NUMBER:
    case contract::v1::NINO:
    case contract::v1::PASSPORT:
    case contract::v1::ADDRESS:
      return 2;
    case contract::v1::PERSON_NAME:
    case contract::v1::EMAIL:
    case contract::v1::CRO:
    case contract::v1::VRM:
    case contract::v1::WARRANT_NUMBER:
    case contract::v1::SHOULDER_NUMBER:
    case contract::v1::POSTCODE:
    case contract::v1::UPRN:
    case contract::v1::IP_ADDRESS:
    case contract::v1::FREE_IDENTIFIER:
    case contract::v1::EVENT_ID:
    case contract::v1::SOURCE_POSITION:
      return 1;
    case contract::v1::IDENTIFIER_KIND_UNSPECIFIED:
    case contract::v1::IdentifierKind_INT_MIN_SENTINEL_DO_NOT_USE_:
    case contract::v1::IdentifierKind_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return kCharactersMax;  // of a text that isn't an identifier
}

// Parts of one calendar or one postcode: each lies whole in a coarser one.
bool AreNested(TreatmentKind one, TreatmentKind other) {
  auto calendar = [](TreatmentKind kind) {
    return kind == TreatmentKind::kYear || kind == TreatmentKind::kMonth ||
           kind == TreatmentKind::kDay || kind == TreatmentKind::kHour;
  };
  auto postcode = [](TreatmentKind kind) {
    return kind == TreatmentKind::kSector || kind == TreatmentKind::kDistrict ||
           kind == TreatmentKind::kArea;
  };
  return (calendar(one) && calendar(other)) || (postcode(one) && postcode(other));
}

std::string_view SubjectInWords(Subject subject) {
  switch (subject) {
    case Subject::kAnything:
      return "any field";
    case Subject::kText:
      return "string that isn't a date";
    case Subject::kNumber:
      return "integer, float or double that is neither an identifier nor part of a place";
    case Subject::kIdentifier:
      return "identifier: string, integer";
    case Subject::kFormatKind:
      return "identifier with a format";
    case Subject::kFreeText:
      return "free_text: string";
    case Subject::kBirth:
      return "DATE_OF_BIRTH: string";
    case Subject::kDateOrTime:
      return "Timestamp; a date in a string";
    case Subject::kShiftable:
      return "Timestamp; a date in a string; not the event's own time";
    case Subject::kTime:
      return "Timestamp";
    case Subject::kPostcode:
      return "POSTCODE: string";
    case Subject::kPointNumber:
      return "LATITUDE, LONGITUDE";
  }
  return "";
}

std::string_view MakesInWords(Makes makes) {
  switch (makes) {
    case Makes::kNothing:
      return "nothing";
    case Makes::kSameType:
      return "the same type";
    case Makes::kText:
      return "string";
    case Makes::kDouble:
      return "double";
    case Makes::kColumn:
      return "the column's type";
  }
  return "";
}

}  // namespace

std::span<const TreatmentRow> Treatments() { return kRows; }
const TreatmentRow& RowOf(TreatmentKind kind) { return kRows[static_cast<size_t>(kind)]; }

TreatmentKind KindOf(const Treatment& treatment) {
  switch (treatment.how_case()) {
    case Treatment::kKeep:
      return TreatmentKind::kKeep;
    case Treatment::kDrop:
      return TreatmentKind::kDrop;
    case Treatment::kConstant:
      return TreatmentKind::kConstant;
    case Treatment::kMask:
      return TreatmentKind::kMask;
    case Treatment::kPseudonymise:
      return TreatmentKind::kPseudonymise;
    case Treatment::kEncrypt:
      return TreatmentKind::kEncrypt;
    case Treatment::kFormatPreserve:
      return TreatmentKind::kFormatPreserve;
    case Treatment::kShift:
      return TreatmentKind::kShift;
    case Treatment::kScrub:
      return TreatmentKind::kScrub;
    case Treatment::kGeneralise:
      return KindOf(treatment.generalise());
    case Treatment::HOW_NOT_SET:
      break;
  }
  return TreatmentKind::kKeep;
}

TreatmentKind KindOf(const OutputNode& node) {
  switch (node.op) {
    case Op::kKeep:
    case Op::kMessage:
      return TreatmentKind::kKeep;
    case Op::kConstant:
      return TreatmentKind::kConstant;
    case Op::kMask:
      return TreatmentKind::kMask;
    case Op::kPseudonymise:
      return TreatmentKind::kPseudonymise;
    case Op::kEncrypt:
      return TreatmentKind::kEncrypt;
    case Op::kFormatPreserve:
      return TreatmentKind::kFormatPreserve;
    case Op::kShiftDate:
    case Op::kShiftTime:
      return TreatmentKind::kShift;
    case Op::kScrub:
      return TreatmentKind::kScrub;
    case Op::kAgeBand:
      return TreatmentKind::kAgeBands;
    case Op::kDatePart:
    case Op::kTimePart:
    case Op::kPostcodePart:
      return KindOf(node.part);
    case Op::kGridLatitude:
    case Op::kGridLongitude:
      return TreatmentKind::kGridMetres;
    case Op::kSnapLatitude:
    case Op::kSnapLongitude:
      return TreatmentKind::kSnap;
    case Op::kAreaOf:
      return TreatmentKind::kAreaOf;
    case Op::kBucket:
      return TreatmentKind::kBucket;
  }
  return TreatmentKind::kKeep;
}

bool Accepts(const TreatmentRow& row, const Node& node) {
  const contract::Classification& is = node.classification;
  const bool date =
      node.type == Type::kString && (node.check_date || is.quasi == contract::v1::DATE_OF_BIRTH);
  const bool weak = base::Planted(base::PlantedFault::kWeakTreatments);
  switch (row.subject) {
    case Subject::kAnything:
      return true;
    case Subject::kText:
      return node.type == Type::kString && (!date || weak);
    case Subject::kNumber:
      if (is.identifier != 0) return false;  // a number that identifies is no quantity
      if (IsPlace(is) && !weak) return false;
      return node.type == Type::kInt32 || node.type == Type::kInt64 || node.type == Type::kUint32 ||
             node.type == Type::kUint64 || node.type == Type::kFloat || node.type == Type::kDouble;
    case Subject::kIdentifier:
      return is.identifier != 0;
    case Subject::kFormatKind:
      return is.identifier != 0 && privacy::HasPreservableFormat(is.identifier);
    case Subject::kFreeText:
      return is.free_text && node.type == Type::kString;
    case Subject::kBirth:
      return is.quasi == contract::v1::DATE_OF_BIRTH && node.type == Type::kString;
    case Subject::kDateOrTime:
      return date || node.type == Type::kTimestamp;
    case Subject::kShiftable:
      return (date || node.type == Type::kTimestamp) && is.quasi != contract::v1::OCCURRED_AT;
    case Subject::kTime:
      return node.type == Type::kTimestamp;
    case Subject::kPostcode:
      return is.identifier == contract::v1::POSTCODE && node.type == Type::kString;
    case Subject::kPointNumber:
      return is.quasi == contract::v1::LATITUDE || is.quasi == contract::v1::LONGITUDE;
  }
  return false;
}

std::string_view RefusalOf(const TreatmentRow& row, const Node& node) {
  // What the treatment would be for, if the field weren't what it is.
  if (row.subject == Subject::kText && node.type == Type::kString)
    return "is a date, whose first and last characters are its year and its day: generalise, shift "
           "or drop it";
  if (row.subject == Subject::kNumber && IsPlace(node.classification) && node.type != Type::kString)
    return "is part of a place, which a bucket of one number doesn't hide: use grid_metres, snap "
           "or "
           "area_of, or drop it";
  if (row.subject == Subject::kShiftable && node.classification.quasi == contract::v1::OCCURRED_AT)
    return "can't be shifted: the event's own time is known from its place in the topic; "
           "generalise it to hour, day, month or year, or drop it";
  if (row.subject == Subject::kFormatKind && node.classification.identifier == 0)
    return "can't be format-preserved: only identifiers can";
  return row.refusal;
}

Shown HowMuchShows(const OutputNode& node) {
  const TreatmentKind kind = KindOf(node);
  Shown shown{RowOf(kind).measure, 0};
  switch (kind) {
    case TreatmentKind::kKeep:
    case TreatmentKind::kDrop:
    case TreatmentKind::kConstant:
    case TreatmentKind::kPseudonymise:
    case TreatmentKind::kEncrypt:
    case TreatmentKind::kFormatPreserve:
    case TreatmentKind::kShift:
    case TreatmentKind::kScrub:
      return shown;
    case TreatmentKind::kMask:
      shown.amount = static_cast<double>(node.mask.keep_first()) + node.mask.keep_last();
      return shown;
    case TreatmentKind::kAgeBands:
      shown.amount = NarrowestBandYears(node.bands) * kYearDays;
      return shown;
    case TreatmentKind::kYear:
      shown.amount = kYearDays;
      return shown;
    case TreatmentKind::kMonth:
      shown.amount = kMonthDays;
      return shown;
    case TreatmentKind::kDay:
      shown.amount = kDayDays;
      return shown;
    case TreatmentKind::kHour:
      shown.amount = kHourDays;
      return shown;
    case TreatmentKind::kSector:
      shown.amount = kSectorAddresses;
      return shown;
    case TreatmentKind::kDistrict:
      shown.amount = kDistrictAddresses;
      return shown;
    case TreatmentKind::kArea:
      shown.amount = kAreaAddresses;
      return shown;
    case TreatmentKind::kGridMetres:
      shown.amount = node.grid_metres;
      return shown;
    case TreatmentKind::kBucket:
      shown.amount = node.bucket;
      return shown;
    case TreatmentKind::kSnap:
      shown.amount = node.table == nullptr ? 0 : static_cast<double>(node.table->size());
      return shown;
    case TreatmentKind::kAreaOf:
      shown.amount = node.table == nullptr ? 0 : node.table->smallest_metres();
      return shown;
  }
  return shown;
}

double NarrowestBucket(const Node& node) {
  if (!node.classification.classified()) return 0;
  if (node.classification.quasi == contract::v1::AGE) return 2;  // years
  // Whole numbers that share a bucket are two at least.
  return node.type == Type::kFloat || node.type == Type::kDouble ? kMeasuredWidthMin : 2;
}

bool PointsAtFew(const Node& node, TreatmentKind kind, const Shown& shown) {
  switch (kind) {
    case TreatmentKind::kKeep:
      return true;
    case TreatmentKind::kDrop:
    case TreatmentKind::kConstant:
    case TreatmentKind::kPseudonymise:
    case TreatmentKind::kEncrypt:
    case TreatmentKind::kFormatPreserve:
    case TreatmentKind::kShift:
    case TreatmentKind::kScrub:
      return false;
    case TreatmentKind::kMask:
      if (node.classification.identifier == contract::v1::EVENT_ID &&
          base::Planted(base::PlantedFault::kMaskedEventId))
        return false;
      return HasFewValues(node.classification) ||
             shown.amount > CharactersMax(node.classification.identifier);
    case TreatmentKind::kAgeBands:
      return shown.amount < kBandYearsMin * kYearDays;
    case TreatmentKind::kYear:
    case TreatmentKind::kMonth:
    case TreatmentKind::kDay:
    case TreatmentKind::kHour:
      return shown.amount < (IsTime(node.classification) || node.type == Type::kTimestamp
                                 ? kMonthDays
                                 : kYearDays);
    case TreatmentKind::kSector:
    case TreatmentKind::kDistrict:
    case TreatmentKind::kArea:
      return shown.amount < kDistrictAddresses;
    case TreatmentKind::kGridMetres:
    case TreatmentKind::kAreaOf:
      return shown.amount < kMetresMin;
    case TreatmentKind::kBucket:
      if (!node.classification.classified()) return false;
      // Of what else is counted or measured, only its owner knows how many people share a bucket.
      return node.classification.quasi != contract::v1::AGE || shown.amount < kAgeWidthMin;
    case TreatmentKind::kSnap:
      return true;  // how many addresses a point stands for, only its owner knows
  }
  return true;
}

std::string LevelInWords(const OutputNode& node) {
  const TreatmentKind kind = KindOf(node);
  const Shown shown = HowMuchShows(node);
  switch (kind) {
    case TreatmentKind::kAgeBands:
      return base::StrCat("bands ", absl::StrJoin(node.bands, ","));
    case TreatmentKind::kGridMetres:
      return base::StrCat(shown.amount, " metres");
    case TreatmentKind::kBucket:
      return base::StrCat("bucket ", shown.amount);
    case TreatmentKind::kSnap:
      return base::StrCat("snap ", node.table->set());
    case TreatmentKind::kAreaOf: {
      // In steps, so that a new version of the set seldom needs a new decision.
      double step = 10;
      while (step <= shown.amount) step *= 10;
      return base::StrCat("area_of ", node.table->set(),
                          shown.amount > 0 ? base::StrCat(" under ", step, " metres") : "");
    }
    case TreatmentKind::kMask:
      return base::StrCat(shown.amount, " characters");
    case TreatmentKind::kKeep:
    case TreatmentKind::kDrop:
    case TreatmentKind::kConstant:
    case TreatmentKind::kPseudonymise:
    case TreatmentKind::kEncrypt:
    case TreatmentKind::kFormatPreserve:
    case TreatmentKind::kShift:
    case TreatmentKind::kScrub:
    case TreatmentKind::kYear:
    case TreatmentKind::kMonth:
    case TreatmentKind::kDay:
    case TreatmentKind::kHour:
    case TreatmentKind::kSector:
    case TreatmentKind::kDistrict:
    case TreatmentKind::kArea:
      break;
  }
  std::string_view name = RowOf(kind).name;
  constexpr std::string_view kGeneralise = "generalise: ";
  if (name.starts_with(kGeneralise)) name.remove_prefix(kGeneralise.size());
  return std::string(name);
}

bool ShowsIdentifier(const Node& node, const OutputNode& output) {
  if (node.classification.identifier == 0) return false;
  const Shown shown = HowMuchShows(output);
  return shown.measure == Measure::kEverything ||
         (shown.measure == Measure::kCharacters && PointsAtFew(node, KindOf(output), shown));
}

bool HidesAsMuch(const Done& then, const Done& at_present) {
  const OutputNode* before = then.output;
  const OutputNode* now = at_present.output;
  if (now == nullptr) return true;
  if (before == nullptr) return false;
  const TreatmentKind was = KindOf(*before), is = KindOf(*now);
  if (is == TreatmentKind::kConstant || was == TreatmentKind::kKeep) return true;
  // A pseudonym can't be turned back by whoever may decrypt, and shows no length or format.
  if (is == TreatmentKind::kPseudonymise &&
      (was == TreatmentKind::kEncrypt || was == TreatmentKind::kFormatPreserve))
    return true;
  const double shown = HowMuchShows(*now).amount, shown_before = HowMuchShows(*before).amount;
  if (AreNested(was, is)) return shown >= shown_before;
  if (was != is) return base::Planted(base::PlantedFault::kUnknownNotWeaker);
  switch (is) {
    case TreatmentKind::kGridMetres:
    case TreatmentKind::kBucket:
      return shown >= shown_before;
    case TreatmentKind::kSnap:
    case TreatmentKind::kAreaOf:
      return now->table->set() == before->table->set() &&
             now->table->schema().columns()[now->column].name ==
                 before->table->schema().columns()[before->column].name;
    case TreatmentKind::kPseudonymise:
      return ReachOf(at_present.stated) <= ReachOf(then.stated);
    case TreatmentKind::kShift:
      return now->shift_days_max >= before->shift_days_max &&
             at_present.stated->shift().person() == then.stated->shift().person();
    case TreatmentKind::kScrub:
      return ScrubsAsMuch(*before, *now);
    case TreatmentKind::kMask:
      return now->mask.keep_first() <= before->mask.keep_first() &&
             now->mask.keep_last() <= before->mask.keep_last();
    case TreatmentKind::kAgeBands:
      // Every bound was one before: bands were only put together.
      return std::includes(before->bands.begin(), before->bands.end(), now->bands.begin(),
                           now->bands.end());
    case TreatmentKind::kKeep:
    case TreatmentKind::kDrop:
    case TreatmentKind::kConstant:
    case TreatmentKind::kEncrypt:
    case TreatmentKind::kFormatPreserve:
    case TreatmentKind::kYear:
    case TreatmentKind::kMonth:
    case TreatmentKind::kDay:
    case TreatmentKind::kHour:
    case TreatmentKind::kSector:
    case TreatmentKind::kDistrict:
    case TreatmentKind::kArea:
      return true;  // the same as before, and with nothing that could differ
  }
  return false;
}

std::string TreatmentsPage() {
  std::string out =
      "# Treatments\n\n"
      "<!-- Written from common/engine/treatment_table.cc; `./run docs` writes it anew. -->\n\n"
      "What each treatment is for, what it makes of a value, what still shows of it, and what its "
      "tests promise. Which of\n"
      "them an audience gets is decided in [audiences](../guides/audiences.md); the keys are in "
      "[configuration](configuration.md).\n\n"
      "| treatment | for | becomes | meaning | still shows | promise | judged by |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const TreatmentRow& row : kRows) {
    base::StrAppend(out, "| `", row.name, "` | ", SubjectInWords(row.subject), " | ",
                    MakesInWords(row.makes), " | ", row.meaning, " | ", row.shows, " | ",
                    row.promise, " | ", row.oracle, " |\n");
  }
  out +=
      "\n## Treatments and classifications\n\n"
      "`keep`, `drop` and `constant` are for every field. The others, by what a field is; of a "
      "text that isn't classified, `mask`.\n\n"
      "| classification | treatments |\n|---|---|\n";
  auto line = [&out](std::string_view name, const Node& text, const Node& other) {
    std::string treatments;
    for (const TreatmentRow& row : kRows) {
      if (row.subject == Subject::kAnything) continue;
      if (!Accepts(row, text) && !Accepts(row, other)) continue;
      base::StrAppend(treatments, treatments.empty() ? "" : ", ", "`", row.name, "`");
    }
    base::StrAppend(out, "| `", name, "` | ", treatments, " |\n");
  };
  Node text, other;
  for (int kind = 1; kind < contract::v1::SOURCE_POSITION; ++kind) {
    text.classification.identifier = other.classification.identifier =
        static_cast<contract::v1::IdentifierKind>(kind);
    text.type = Type::kString;
    other.type = Type::kInt64;
    line(text.classification.name(), text, other);
  }
  text.classification = other.classification = {};
  for (int kind = 1; kind < contract::v1::QuasiKind_ARRAYSIZE; ++kind) {
    auto quasi = static_cast<contract::v1::QuasiKind>(kind);
    text.classification.quasi = other.classification.quasi = quasi;
    bool time = quasi == contract::v1::OCCURRED_AT || quasi == contract::v1::EVENT_TIME;
    bool point = quasi == contract::v1::LATITUDE || quasi == contract::v1::LONGITUDE;
    text.type = time ? Type::kTimestamp : point ? Type::kDouble : Type::kString;
    other.type =
        time || quasi == contract::v1::DATE_OF_BIRTH || quasi == contract::v1::LOCATION_TEXT
            ? text.type
            : Type::kDouble;
    line(text.classification.name(), text, other);
  }
  text.classification = other.classification = {};
  text.type = Type::kString;
  other.type = Type::kInt64;
  for (int kind = 1; kind < contract::v1::SensitiveKind_ARRAYSIZE; ++kind) {
    text.classification.sensitive = other.classification.sensitive =
        static_cast<contract::v1::SensitiveKind>(kind);
    line(text.classification.name(), text, other);
  }
  text.classification = other.classification = {};
  text.classification.free_text = true;
  other = text;
  line("FREE_TEXT", text, other);
  return out;
}

}  // namespace sluice::engine
