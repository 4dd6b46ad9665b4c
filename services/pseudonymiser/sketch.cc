#include "services/pseudonymiser/sketch.h"

#include <cmath>

namespace sluice::pseudonymiser {

double DistinctSketch::Estimate() const {
  const auto size = static_cast<double>(registers_.size());
  double sum = 0;
  int empty = 0;
  for (uint8_t rank : registers_) {
    sum += std::ldexp(1.0, -rank);
    empty += rank == 0;
  }
  const double estimate = 0.7213 / (1 + 1.079 / size) * size * size / sum;
  if (estimate <= 2.5 * size && empty > 0) return size * std::log(size / empty);
  return estimate;
}

}  // namespace sluice::pseudonymiser
