#include "common/base/stoppable_sort.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

namespace sluice::base {
namespace {

constexpr int kCount = 6 * kSortedAtOnce;

std::vector<std::vector<int>> Orders() {
  std::mt19937 random(5);
  std::vector<int> shuffled(kCount), few(kCount), equal(kCount, 7), rising(kCount), falling(kCount),
      pipe(kCount);
  for (int i = 0; i < kCount; ++i) {
    shuffled[i] = static_cast<int>(random());
    few[i] = static_cast<int>(random() % 3);
    rising[i] = i;
    falling[i] = -i;
    pipe[i] = std::min(i, kCount - i);
  }
  return {shuffled, few, equal, rising, falling, pipe, {}, {1}, {2, 1}};
}

TEST(StoppableSort, SortsWhateverTheOrderIs) {
  for (std::vector<int>& values : Orders()) {
    std::vector<int> wanted = values;
    std::sort(wanted.begin(), wanted.end());
    EXPECT_TRUE(SortUnlessStopped(values.begin(), values.end(), std::less<>()));
    EXPECT_EQ(values, wanted);
  }
}

TEST(StoppableSort, EndsSoonAfterItIsAskedToStopWhateverTheOrderIs) {
  for (std::vector<int>& values : Orders()) {
    if (values.size() < kCount) continue;
    std::stop_source source;
    StopScope scope(source.get_token());
    size_t calls = 0, asked_at = 0;
    auto less = [&](int a, int b) {
      if (++calls == kCount / 2) {
        source.request_stop();
        asked_at = calls;
      }
      return a < b;
    };
    EXPECT_FALSE(SortUnlessStopped(values.begin(), values.end(), less));
    // The partition at hand, or the sort of one part.
    EXPECT_LT(calls - asked_at, size_t{2} * kCount + kSortedAtOnce * 40);
  }
}

TEST(StoppableSort, DoesNothingWhereItWasAskedBefore) {
  std::stop_source source;
  source.request_stop();
  StopScope scope(source.get_token());
  std::vector<int> values = {2, 1};
  EXPECT_FALSE(SortUnlessStopped(values.begin(), values.end(), std::less<>()));
  EXPECT_EQ(values, (std::vector<int>{2, 1}));
}

TEST(StopScope, TheInnermostCountsAndOnItsThreadOnly) {
  EXPECT_FALSE(StopScope::stop_requested());
  std::stop_source outer, inner;
  outer.request_stop();
  StopScope outer_scope(outer.get_token());
  EXPECT_TRUE(StopScope::stop_requested());
  {
    StopScope inner_scope(inner.get_token());
    EXPECT_FALSE(StopScope::stop_requested());
    inner.request_stop();
    EXPECT_TRUE(StopScope::stop_requested());
    std::thread([] { EXPECT_FALSE(StopScope::stop_requested()); }).join();
  }
  EXPECT_TRUE(StopScope::stop_requested());
}

}  // namespace
}  // namespace sluice::base
