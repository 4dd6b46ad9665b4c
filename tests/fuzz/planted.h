// Faults that are put into fuzz targets to show that the fuzzer would find one.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace sluice::fuzz {

// Ends the program when `reached` holds and SLUICE_FUZZ_PLANTED is set: a state deep inside what is
// tested, which no file of the corpus reaches. `./run fuzz TARGET --planted` must end this way.
inline void Planted(bool reached) {
  static const bool wanted = std::getenv("SLUICE_FUZZ_PLANTED") != nullptr;
  if (!wanted || !reached) return;
  std::fprintf(stderr, "the planted fault was found\n");
  std::abort();
}

inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

}  // namespace sluice::fuzz
