// Faults that a test build can switch on, so that it is seen whether the simulation finds them.
#pragma once

#ifdef SLUICE_MUTANTS

#include <string>
#include <string_view>

namespace sluice::stream {

// The one that is on; empty: none. Set before anything else runs.
inline std::string& Mutant() {
  static std::string name;
  return name;
}
inline bool IsMutant(std::string_view name) { return Mutant() == name; }

}  // namespace sluice::stream

#define SLUICE_MUTANT(name) (::sluice::stream::IsMutant(name))
#else
// In every other build it isn't there.
#define SLUICE_MUTANT(name) false
#endif
