// How many distinct things were seen, in memory that doesn't grow with them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice::pseudonymiser {

// HyperLogLog (Flajolet et al., 2007) with 4,096 registers of a byte: about 1.6 % of error, less
// for small numbers, which are counted by the registers that are empty.
class DistinctSketch {
 public:
  // A hash whose bits can't be foretold by whoever chooses what is hashed.
  void Add(uint64_t hash) {
    const uint64_t rest = hash << kIndexBits | uint64_t{1} << (kIndexBits - 1);
    const auto rank = static_cast<uint8_t>(__builtin_clzll(rest) + 1);
    uint8_t& at = registers_[hash >> (64 - kIndexBits)];
    if (rank > at) at = rank;
  }
  double Estimate() const;
  void Clear() { registers_.fill(0); }

 private:
  static constexpr int kIndexBits = 12;
  std::array<uint8_t, size_t{1} << kIndexBits> registers_{};
};

}  // namespace sluice::pseudonymiser
