#include "common/trail/tally.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "common/base/strings.h"
#include "tests/support/temp_dir.h"

namespace sluice::trail {
namespace {

Entry Refusal(const std::string& who, const std::string& reason = "no") {
  return {.who = who, .action = "Decrypt", .outcome = Outcome::kRefused, .reason = reason};
}

uint64_t Sum(const std::vector<Entry>& entries) {
  uint64_t sum = 0;
  for (const Entry& entry : entries) sum += entry.count;
  return sum;
}

TEST(Tally, OneCallersReasonsWithoutEndAreSeveral) {
  Tally tally;
  size_t first = 0;
  for (int i = 0; i < 10'000; ++i) first += tally.Add(Refusal("eve", base::StrCat("no epoch ", i)));
  EXPECT_EQ(first, Tally::kKindsPerCallerMax + 1);
  const std::vector<Entry> taken = tally.Take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].reason, "(several)");
  EXPECT_EQ(Sum(taken) + first, 10'000u);
}

TEST(Tally, KeepsNoTextThatIsLong) {
  Tally tally;
  tally.AddLater(Refusal(std::string(1'000'000, 'x')));
  EXPECT_TRUE(tally.due());
  const std::vector<Entry> taken = tally.Take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_LE(taken[0].who.size(), Tally::kTextBytesMax + 3);
  EXPECT_EQ(taken[0].count, 1u);
  EXPECT_FALSE(tally.due());
}

TEST(Tally, WhatCouldNotBeWrittenIsCountedAgain) {
  Tally tally;
  for (int i = 0; i < 5; ++i) tally.AddLater(Refusal("eve"));
  for (Entry& entry : tally.Take()) tally.PutBack(std::move(entry));
  tally.AddLater(Refusal("eve"));
  EXPECT_EQ(Sum(tally.Take()), 6u);
}

TEST(RefusalLog, AFloodIsTwoLines) {
  auto folder = *test_support::TempDir::Create("tally");
  base::ManualClock clock;
  auto chain = *Chain::Open({folder->path() + "/audit.jsonl", "test"}, clock);
  {
    RefusalLog log(*chain, std::chrono::hours(1));
    for (int i = 0; i < 1'000; ++i) log.Refused(Refusal("eve"));
  }
  EXPECT_EQ(chain->head().sequence, 2u);
}

}  // namespace
}  // namespace sluice::trail
