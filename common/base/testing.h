// For tests: randomness that is none.
#pragma once

#include <cstdint>
#include <span>

#include "common/base/random.h"

namespace sluice::base {

// `first`, the byte behind it and so on: the same bytes every time, so that known answers can be
// frozen.
class CountingRandom final : public RandomSource {
 public:
  explicit CountingRandom(uint8_t first = 1) : next_(first) {}
  bool Fill(std::span<uint8_t> out) override {
    for (uint8_t& byte : out) byte = next_++;
    return true;
  }

 private:
  uint8_t next_;
};

}  // namespace sluice::base
