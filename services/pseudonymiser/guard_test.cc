#include "services/pseudonymiser/guard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "tests/support/temp_dir.h"

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
  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("guard");
  base::ManualClock clock_;
  base::SystemRandom random_;
  privacy::Keyring keyring_ = *privacy::Keyring::Create({{"intelligence", "int"}}, random_);
  std::unique_ptr<Authority> authority_ =
      *Authority::Open(folder_->path() + "/state", keyring_, clock_, random_);
  Guard guard_{clock_, authority_.get()};
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
  ASSERT_EQ(guard_.locked()->size(), 1u);
  EXPECT_EQ((*guard_.locked())[0].caller, "a");
  EXPECT_EQ((*guard_.locked())[0].reason, "sweep");
  EXPECT_TRUE(absl::IsNotFound(guard_.Unlock("b")));
  EXPECT_TRUE(guard_.Unlock("a").ok());
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kAdmitted);
  EXPECT_TRUE(guard_.locked()->empty());
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

TEST_F(GuardTest, ALockHoldsInEveryReplicaAndAfterARestart) {
  auto shared = *Authority::Open(folder_->path() + "/state", keyring_, clock_, random_);
  Guard other(clock_, shared.get());
  ASSERT_EQ(guard_.Saw("a", limits_, {}, 4), LockReason::kMisses);
  EXPECT_EQ(other.Admit("a", limits_, 1), Verdict::kLocked);
  auto again = *Authority::Open(folder_->path() + "/state", keyring_, clock_, random_);
  EXPECT_EQ(Guard(clock_, again.get()).Admit("a", limits_, 1), Verdict::kLocked);
  EXPECT_TRUE(other.Unlock("a").ok());
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kAdmitted);
}

TEST_F(GuardTest, WhereALockCannotBeKeptNobodyWhomOneCouldHitIsAdmitted) {
  Guard nowhere(clock_, nullptr);
  EXPECT_EQ(nowhere.Admit("a", limits_, 1), Verdict::kNotKept);
  EXPECT_EQ(nowhere.Admit("a", {10, 25, 0, 0}, 1), Verdict::kAdmitted);
  // Nor where it can't be looked up; and what couldn't be written holds in this process at least.
  std::filesystem::remove(folder_->path() + "/state");
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kUnknown);
  EXPECT_EQ(guard_.Saw("a", limits_, {}, 4), LockReason::kMisses);
  auto made = *Authority::Open(folder_->path() + "/state", keyring_, clock_, random_);
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kLocked);
  EXPECT_EQ(guard_.locked()->size(), 1u);
  EXPECT_TRUE(guard_.Unlock("a").ok());
  EXPECT_EQ(guard_.Admit("a", limits_, 1), Verdict::kAdmitted);
}

// A policy may have got its limits while a call was under way that none was asked of.
TEST_F(GuardTest, WithoutAStateFileAListAndAnUnlockTellTheTruthToo) {
  Guard nowhere(clock_, nullptr);
  EXPECT_TRUE(nowhere.locked()->empty());
  EXPECT_TRUE(absl::IsNotFound(nowhere.Unlock("a")));
  ASSERT_EQ(nowhere.Saw("a", limits_, {}, 4), LockReason::kMisses);
  ASSERT_EQ(nowhere.locked()->size(), 1u);
  EXPECT_EQ((*nowhere.locked())[0].caller, "a");
  EXPECT_EQ(nowhere.Admit("a", {10, 25, 0, 0}, 1), Verdict::kLocked);
  EXPECT_TRUE(absl::IsNotFound(nowhere.Unlock("b")));
  EXPECT_TRUE(nowhere.Unlock("a").ok());
  EXPECT_EQ(nowhere.Admit("a", {10, 25, 0, 0}, 1), Verdict::kAdmitted);
  EXPECT_TRUE(nowhere.locked()->empty());
}

TEST_F(GuardTest, WhoIsNotUnlockedStaysLocked) {
  std::filesystem::remove(folder_->path() + "/state");
  ASSERT_EQ(guard_.Saw("a", limits_, {}, 4), LockReason::kMisses);
  EXPECT_FALSE(guard_.Unlock("a").ok()) << "the state can't be read, so nobody knows";
  EXPECT_EQ(guard_.Admit("a", {10, 25, 0, 0}, 1), Verdict::kLocked);
}

TEST_F(GuardTest, NoLimitIsNoLimit) {
  Limits none{0, 0, 0, 0};
  EXPECT_EQ(guard_.Admit("a", none, 1'000'000'000), Verdict::kAdmitted);
  EXPECT_FALSE(guard_.Saw("a", none, Hashes(100'000), 100'000));
}

}  // namespace
}  // namespace sluice::pseudonymiser
