// Stops and searches that look real and are nobody's.
#pragma once

#include <cstdint>
#include <random>
#include <span>
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
  // Officer i, less than kOfficers, has this warrant number.
  static constexpr uint32_t kOfficers = 9'000;
  static std::string WarrantNo(uint32_t officer);
  // Every event names one of each.
  static std::span<const char* const> Laws();
  static std::span<const char* const> Objects();

 private:
  uint32_t Below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }

  std::mt19937_64 random_;
  uint64_t count_ = 0;
  std::string event_;
};

}  // namespace sluice::demo
