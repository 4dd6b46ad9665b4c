#include "services/pseudonymiser/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>

#include "tests/support/temp_dir.h"

namespace sluice::pseudonymiser {
namespace {

using ::testing::HasSubstr;

class RecorderTest : public ::testing::Test {
 protected:
  std::string Lines() {
    std::ifstream in(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  size_t Count() {
    std::string lines = Lines();
    return static_cast<size_t>(std::count(lines.begin(), lines.end(), '\n'));
  }
  trail::Entry Refusal(const std::string& who) {
    return {.who = who,
            .action = "Decrypt",
            .outcome = trail::Outcome::kRefused,
            .reason = "the policy doesn't know the caller",
            .domains = {"public"}};
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("recorder");
  std::string path_ = folder_->path() + "/audit.jsonl";
  base::ManualClock clock_;
  std::unique_ptr<trail::Chain> chain_ = *trail::Chain::Open({path_, "test"}, clock_);
  telemetry::Registry registry_;
  Probe probe_{registry_};
  Recorder recorder_{*chain_, probe_};
};

TEST_F(RecorderTest, RefusalsOfOneKindAreTwoLinesHoweverManyTheyAre) {
  for (int i = 0; i < 1'000; ++i) recorder_.Refused(Refusal("eve"));
  EXPECT_EQ(Count(), 1u);
  recorder_.Flush();
  EXPECT_EQ(Count(), 2u);
  EXPECT_THAT(Lines(), HasSubstr("\"count\":999,"));
  recorder_.Flush();
  EXPECT_EQ(Count(), 2u) << "nothing new";
  recorder_.Refused(Refusal("eve"));
  EXPECT_EQ(Count(), 3u) << "the next one is told at once again";
}

TEST_F(RecorderTest, StrangersWithoutEndAreCountedAsOthers) {
  for (int i = 0; i < 10'100; ++i) recorder_.Refused(Refusal("stranger " + std::to_string(i)));
  recorder_.Flush();
  EXPECT_LE(Count(), 10'100u);
  EXPECT_THAT(Lines(), HasSubstr("\"who\":\"(others)\""));
  EXPECT_THAT(Lines(), HasSubstr("\"count\":99,"));
}

TEST_F(RecorderTest, WhatIsPseudonymisedIsCountedByCallerAndDomain) {
  recorder_.Count("p", "intelligence", 10);
  recorder_.Count("p", "intelligence", 5);
  recorder_.Count("p", "public", 1);
  EXPECT_EQ(Count(), 0u);
  recorder_.Flush();
  EXPECT_EQ(Count(), 2u);
  EXPECT_THAT(Lines(), HasSubstr("\"domains\":[\"intelligence\"],\"count\":15,"));
}

// The trail's file reaches a size that the process may not exceed: writing fails, as on a full
// disk.
TEST_F(RecorderTest, WhileTheTrailCannotBeWrittenNothingMayBeDoneAndNoCountIsLost) {
  ASSERT_TRUE(recorder_.Done({.who = "a", .action = "Decrypt"}).ok());
  recorder_.Count("p", "public", 7);
  auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit full = before;
  full.rlim_cur = Lines().size() + 10;
  setrlimit(RLIMIT_FSIZE, &full);
  absl::Status refused = recorder_.Done({.who = "a", .action = "Decrypt"});
  absl::Status writable = recorder_.Writable();
  recorder_.Flush();
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_TRUE(absl::IsUnavailable(writable));
  EXPECT_EQ(Count(), 1u);
  recorder_.Flush();
  EXPECT_TRUE(recorder_.Writable().ok());
  EXPECT_THAT(Lines(), HasSubstr("\"count\":7,"));
  std::string writer;
  trail::Head head;
  EXPECT_TRUE(trail::Verify(Lines(), writer, head).ok());
}

}  // namespace
}  // namespace sluice::pseudonymiser
