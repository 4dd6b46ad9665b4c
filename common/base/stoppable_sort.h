// Sorting that can be cut short: of many millions of rows it takes longer than a process has that
// is told to end.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <iterator>

#include "common/base/stop_scope.h"

namespace sluice::base {

// As many as are sorted without another look at the scope: some milliseconds' work.
inline constexpr ptrdiff_t kSortedAtOnce = 1 << 17;

namespace stoppable_sort {

// Partitions as std::sort would, one part at a time. `splits_left` bounds the depth whatever the
// order: what is left then is std::sort's, which takes n log n in any order, and isn't cut short.
template <typename Iterator, typename Less>
bool Sort(Iterator first, Iterator last, const Less& less, int splits_left) {
  constexpr size_t kSamples = 127;
  for (; last - first > kSortedAtOnce && splits_left > 0; --splits_left) {
    if (StopScope::stop_requested()) return false;
    std::array<typename std::iterator_traits<Iterator>::value_type, kSamples> samples;
    const ptrdiff_t step = (last - first) / static_cast<ptrdiff_t>(kSamples);
    for (size_t i = 0; i < kSamples; ++i) samples[i] = first[static_cast<ptrdiff_t>(i) * step];
    std::nth_element(samples.begin(), samples.begin() + kSamples / 2, samples.end(), less);
    const auto& pivot = samples[kSamples / 2];
    Iterator middle =
        std::partition(first, last, [&](const auto& value) { return less(value, pivot); });
    if (middle == first) {
      // Nothing is smaller: those that are equal to it stand where they belong.
      first = std::partition(first, last, [&](const auto& value) { return !less(pivot, value); });
      continue;
    }
    if (!Sort(first, middle, less, splits_left - 1)) return false;
    first = middle;
  }
  if (StopScope::stop_requested()) return false;
  std::sort(first, last, less);
  return true;
}

}  // namespace stoppable_sort

// As std::sort, of values that are cheap to copy. False: it was asked to stop, and the order is
// any.
template <typename Iterator, typename Less>
bool SortUnlessStopped(Iterator first, Iterator last, const Less& less) {
  const auto size = static_cast<size_t>(last - first);
  return stoppable_sort::Sort(first, last, less, 2 * std::bit_width(size));
}

}  // namespace sluice::base
