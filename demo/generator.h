// Stops and searches that look real and are nobody's.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace sluice::demo {

// Valid events of policing.stops.v1.StopSearch: generated names, phone numbers of Ofcom's range for
// drama, PNC ids with their check letter, boroughs and points of London. One in fifty is broken, in
// six ways in turn; some are untidy in ways that the contract repairs. The same seed gives the same
// events. Single-threaded.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  // The next event's JSON. Valid until the next call.
  const std::string& Next();

  // Everybody there is: person i, less than kPeople, has this PNC id.
  static constexpr uint32_t kPeople = 60'000;
  static std::string Pnc(uint32_t person);

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }

  std::mt19937_64 random_;
  uint64_t count_ = 0;
  std::string event_;
};

}  // namespace sluice::demo
