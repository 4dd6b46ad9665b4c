#include "services/pseudonymiser/guard.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::pseudonymiser {
namespace {

using Verdict = Guard::Verdict;

std::vector<uint64_t> Hashes(size_t count, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> hashes(count);
  for (uint64_t& hash : hashes) hash = random();
  return hashes;
}

TEST(DistinctSketch, CountsWithinSomePercent) {
  for (size_t count : {0, 1, 10, 100, 1'000, 10'000, 100'000, 1'000'000}) {
    DistinctSketch sketch;
    for (uint64_t hash : Hashes(count)) sketch.Add(hash);
    // The same again changes nothing.
    for (uint64_t hash : Hashes(count)) sketch.Add(hash);
    EXPECT_NEAR(sketch.Estimate(), static_cast<double>(count), 0.06 * static_cast<double>(count))
        << count;
  }
}

class GuardTest : public ::testing::Test {
 protected:
  base::ManualClock clock_;
  Guard guard_{clock_};
  Limits limits_{.values_per_s = 10,
                 .values_per_day = 25,
                 .distinct_values_per_hour = 100,
                 .misses_per_hour = 3};
};

TEST_F(GuardTest, VolumeIsLimitedBySecondAndByDay) {
  EXPECT_EQ(guard_.Admit("a", limits_, 10), Verdict::kAdmitted);
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kOverSecond);
  EXPECT_EQ(guard_.Admit("b", limits_, 10), Verdict::kAdmitted);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(guard_.Admit("a", limits_, 10), Verdict::kAdmitted);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(guard_.Admit("a", limits_, 6), Verdict::kOverDay);
  EXPECT_EQ(guard_.Admit("a", limits_, 5), Verdict::kAdmitted);
  clock_.Advance(std::chrono::hours(24));
  EXPECT_EQ(guard_.Admit("a", limits_, 10), Verdict::kAdmitted);
}

TEST_F(GuardTest, WhatIsRefusedTakesNothingFromTheAllowance) {
  EXPECT_EQ(guard_.Admit("a", limits_, 11), Verdict::kOverSecond);
  EXPECT_EQ(guard_.Admit("a", limits_, 10), Verdict::kAdmitted);
}

TEST_F(GuardTest, ManyDistinctValuesLockTheCallerUntilSomebodyUnlocksIt) {
  EXPECT_FALSE(guard_.Saw("a", limits_, Hashes(90), 0));
  // The same again isn't a sweep.
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(guard_.Saw("a", limits_, Hashes(90), 0));
  EXPECT_EQ(guard_.Saw("a", limits_, Hashes(40, 2), 0), LockReason::kSweep);
  EXPECT_FALSE(guard_.Saw("a", limits_, Hashes(40, 3), 0)) << "is told once";
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kLocked);
  EXPECT_EQ(guard_.Admit("b", limits_, 1), Verdict::kAdmitted);
  clock_.Advance(std::chrono::hours(48));
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kLocked);
  ASSERT_EQ(guard_.locked().size(), 1u);
  EXPECT_EQ(guard_.locked()[0].caller, "a");
  EXPECT_FALSE(guard_.Unlock("b"));
  EXPECT_TRUE(guard_.Unlock("a"));
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kAdmitted);
  EXPECT_TRUE(guard_.locked().empty());
}

TEST_F(GuardTest, MissesLockTheCaller) {
  EXPECT_FALSE(guard_.Saw("a", limits_, {}, 3));
  EXPECT_EQ(guard_.Saw("a", limits_, {}, 1), LockReason::kMisses);
}

TEST_F(GuardTest, TheNextHourBeginsAnew) {
  EXPECT_FALSE(guard_.Saw("a", limits_, Hashes(90), 3));
  clock_.Advance(std::chrono::hours(1));
  EXPECT_FALSE(guard_.Saw("a", limits_, Hashes(90, 2), 3));
}

TEST_F(GuardTest, NoLimitIsNoLimit) {
  Limits none{0, 0, 0, 0};
  EXPECT_EQ(guard_.Admit("a", none, 1'000'000'000), Verdict::kAdmitted);
  EXPECT_FALSE(guard_.Saw("a", none, Hashes(100'000), 100'000));
}

}  // namespace
}  // namespace sluice::pseudonymiser
