// Randomness as a port, so that a golden test can have it the same every time.
#pragma once

#include <openssl/rand.h>

#include <cstdint>
#include <span>

namespace sluice::base {

class RandomSource {
 public:
  virtual ~RandomSource() = default;
  // Fills `out`; false when the system has no randomness to give.
  [[nodiscard]] virtual bool Fill(std::span<uint8_t> out) = 0;
};

// Thread-safe.
class SystemRandom final : public RandomSource {
 public:
  bool Fill(std::span<uint8_t> out) override {
    return RAND_bytes(out.data(), static_cast<int>(out.size())) == 1;
  }
};

}  // namespace sluice::base
