// Faults that once made a leak look proven, put back one at a time so that the soundness test shows
// that it would find them. Programs are compiled without SLUICE_PLANTED_FAULTS: each question is
// then a constant `false`.
#pragma once

#include <cstdint>

namespace sluice::base {

enum class PlantedFault : uint8_t {
  kNone,
  kTwoOverrides,      // of two overrides of one field, the first in the map's order counts
  kColumnsUndecided,  // joined columns are published whatever they are
  kMapsUndecided,     // a map's key and value need no decision
  kWeakTreatments,    // a date may be masked, a coordinate put into a bucket
  kMaskedEventId,     // outside, an event's id may be masked
  kEqualMembers,      // a joined row may have the name of a field
  kHiddenJoinKeys,    // a row may be found by what the stream doesn't keep
  kTopicNames,        // any text is a topic's name
  kSecondTimes,       // a second time may be not_personal
  kFieldsUndecided,   // a field needs no decision
  kJoinsNotCompared,  // `lint --against` looks at neither joins nor domains
  kUnknownNotWeaker,  // `lint --against` takes another treatment for one that hides as much
};

#ifdef SLUICE_PLANTED_FAULTS
// What is planted; the test that sets it runs alone.
inline namespace planted {
extern PlantedFault planted_fault;
inline bool Planted(PlantedFault fault) { return planted_fault == fault; }
}  // namespace planted
#else
inline namespace sound {
constexpr bool Planted(PlantedFault) { return false; }
}  // namespace sound
#endif

}  // namespace sluice::base
