// The one table of treatments: what each is for, what it needs, what it makes, and how much of a
// value an audience still sees. Compiler, schema, lint and documentation read it; nothing else says
// it again.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/contract/plan.h"
#include "common/engine/pipeline.h"

namespace sluice::engine {

enum class TreatmentKind : uint8_t {
  kKeep,
  kDrop,
  kConstant,
  kMask,
  kPseudonymise,
  kEncrypt,
  kFormatPreserve,
  kShift,
  kScrub,
  kAgeBands,
  kYear,
  kMonth,
  kDay,
  kHour,
  kSector,
  kDistrict,
  kArea,
  kGridMetres,
  kBucket,
  kSnap,
  kAreaOf,
};
inline constexpr size_t kTreatmentKinds = 21;

// What a field has to be.
enum class Subject : uint8_t {
  kAnything,
  kText,         // of the type string, and no date
  kNumber,       // an integer, float or double that is neither an identifier nor part of a place
  kIdentifier,   // of any identifier kind
  kFormatKind,   // of an identifier kind with a format that can be preserved
  kFreeText,     // a string that is free_text
  kBirth,        // DATE_OF_BIRTH
  kDateOrTime,   // a Timestamp, or a string that must be a date
  kShiftable,    // likewise, but not the event's own time
  kTime,         // a Timestamp
  kPostcode,     // POSTCODE
  kPointNumber,  // LATITUDE or LONGITUDE
};

// What the stream's field is.
enum class Makes : uint8_t { kNothing, kSameType, kText, kDouble, kColumn };

// In what the rest that shows is counted. Of the three that say how wide a value's whereabouts are
// (days, metres, width) and of addresses and places, more means that less shows; of characters,
// less does.
enum class Measure : uint8_t {
  kNothing,
  kEquality,    // whether two values are the same, and nothing of either
  kLength,      // equality, and a class of length
  kFormat,      // equality, and what format_preserving.h says that a format keeps
  kSpans,       // of one person's dates: what lies between them; and roughly when
  kCharacters,  // so many of its characters
  kDays,        // so many days wide
  kMetres,      // so many metres wide
  kWidth,       // so wide, in the field's own unit
  kAddresses,   // so many addresses share it, about
  kPlaces,      // one of so many places of a reference set
  kProse,       // the text without what was found in it
  kEverything,
};

struct TreatmentRow {
  TreatmentKind kind = TreatmentKind::kKeep;
  std::string_view name;  // as a configuration has it: `mask`, `generalise: month`
  Subject subject = Subject::kAnything;
  Makes makes = Makes::kSameType;
  Measure measure = Measure::kNothing;
  bool needs_domain = false;      // of its stream
  bool needs_event_time = false;  // else the event goes to quarantine
  bool may_leave_out = false;     // a value that is there may become none
  std::string_view meaning;       // one sentence
  std::string_view shows;         // what still shows, in words
  std::string_view promise;       // properties that tests generate values for
  std::string_view oracle;        // what these are judged by
  std::string_view refusal;       // what an error says of a field that isn't `subject`
};

// By TreatmentKind.
std::span<const TreatmentRow> Treatments();
const TreatmentRow& RowOf(TreatmentKind kind);
// Of a configuration's treatment; of one that says nothing, keep's (the compiler refuses it).
TreatmentKind KindOf(const config::v1::Treatment& treatment);
// Of a compiled field that isn't a message.
TreatmentKind KindOf(const OutputNode& node);

// Whether a field is what the treatment is for.
bool Accepts(const TreatmentRow& row, const contract::Node& node);
// What an error says of a field that it isn't for, behind the field's name.
std::string_view RefusalOf(const TreatmentRow& row, const contract::Node& node);

// How much of a field's value shows in a stream.
struct Shown {
  Measure measure = Measure::kEverything;
  double amount = 0;  // where `measure` counts
};
Shown HowMuchShows(const OutputNode& node);

// The narrowest bucket that hides anything of such a number, in its own unit; 0: any does, as it
// isn't classified.
double NarrowestBucket(const contract::Node& node);

// Where `amount` counts: whether a value of which so much shows still points at few people.
// `node` is what the contract says of the field.
bool PointsAtFew(const contract::Node& node, TreatmentKind kind, const Shown& shown);
// Likewise, in words: `month`, `50 metres`, `bands 18,20`. For the names of warnings.
std::string LevelInWords(const OutputNode& node);
// An identifier's value shows, whole or so much of it that it is found by that.
bool ShowsIdentifier(const contract::Node& node, const OutputNode& output);

// What a stream does with a field: what is compiled, and what the configuration says.
struct Done {
  const OutputNode* output = nullptr;             // nullptr: dropped
  const config::v1::Treatment* stated = nullptr;  // nullptr: nothing
};
// Whether what is done now shows no more than what was done before. What can't be compared shows
// more.
bool HidesAsMuch(const Done& before, const Done& now);

// docs/reference/treatments.md.
std::string TreatmentsPage();

}  // namespace sluice::engine
