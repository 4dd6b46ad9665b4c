// Reference sets that the generator's events are joined to: a map that is nobody's, officers'
// postings, units, offence codes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace sluice::demo {

// The map: 33 boroughs of 20 wards of 8 LSOAs over the box that all points of the generator lie in,
// without gaps or overlaps, and two snap points in each LSOA.
inline constexpr int kBoroughs = 33, kWards = 660, kLsoas = 5'280;

// Writes the files that demo/reference.yaml names, but for the boroughs, into the folder. The same
// seed gives the same bytes.
absl::Status WriteReferenceSets(const std::string& folder, uint64_t seed);

}  // namespace sluice::demo
