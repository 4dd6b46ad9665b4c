// Sets in the processor's own hands: when they are read, and how fresh they are known to be.
#include "services/processor/local_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/strings.h"
#include "common/reference/testing.h"
#include "tests/support/temp_dir.h"

namespace sluice::processor {
namespace {

using namespace std::chrono_literals;
using reference::WriteText;

class LocalSetsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("A,One");
    LocalSets::Options options;
    options.sets = {reference::SetFromText(
        base::StrCat("name: 'units' csv: '", path(),
                     "' full_read_interval_ms: 60000 schema {columns {name: 'unit'} columns {name: "
                     "'name'} key {column: 'unit'}}"))};
    options.sources.resolve = [](const std::string& file) { return file; };
    sets_ = std::make_unique<LocalSets>(std::move(options), clock_);
  }
  std::string path() const { return folder_->path() + "/units.csv"; }
  void Write(std::string_view row) { WriteText(path(), base::StrCat("unit,name\n", row, "\n")); }
  void LoadAndUse() {
    auto state = sets_->Load([](int, const absl::Status& status) { ADD_FAILURE() << status; });
    ASSERT_TRUE(state.ok()) << state.status();
    ASSERT_EQ(sets_->Use(*state), absl::OkStatus());
  }
  std::chrono::nanoseconds Confirmed() const {
    auto freshness = sets_->freshness();
    EXPECT_EQ(freshness.size(), 1u);
    EXPECT_EQ(freshness[0].set, "units");
    EXPECT_EQ(freshness[0].full_read_interval, 60s);
    return freshness[0].confirmed;
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("local-sets");
  base::ManualClock clock_;
  std::unique_ptr<LocalSets> sets_;
};

TEST_F(LocalSetsTest, AFileIsReadInFullNowAndThenWhichConfirmsIt) {
  EXPECT_TRUE(sets_->freshness().empty()) << "nothing is in use yet";
  LoadAndUse();
  EXPECT_EQ(Confirmed(), 0s);
  clock_.Advance(59s);
  EXPECT_EQ(sets_->Look(), 0u);
  EXPECT_EQ(Confirmed(), 59s);
  clock_.Advance(1s);
  EXPECT_EQ(sets_->Look(), 0u) << "the same rows are nothing to load";
  EXPECT_EQ(Confirmed(), 0s);
}

TEST_F(LocalSetsTest, WhatAFullReadFindsIsLoadedAndConfirmedOnceItIsUsed) {
  LoadAndUse();
  Write("A,Uno");
  clock_.Advance(60s);
  EXPECT_EQ(sets_->Look(), 0u) << "it may still be written";
  clock_.Advance(1s);
  EXPECT_EQ(sets_->Look(), 1u);
  EXPECT_EQ(Confirmed(), 61s);
  LoadAndUse();
  EXPECT_EQ(Confirmed(), 0s);
}

}  // namespace
}  // namespace sluice::processor
