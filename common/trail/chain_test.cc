#include "common/trail/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <vector>

#include "common/base/strings.h"
#include "common/trail/publisher.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace sluice::trail {
namespace {

using ::testing::HasSubstr;

class ChainTest : public ::testing::Test {
 protected:
  std::unique_ptr<Chain> Open() {
    auto chain = Chain::Open({path_, "pseudonymiser-0"}, clock_);
    EXPECT_TRUE(chain.ok()) << chain.status();
    return chain.ok() ? *std::move(chain) : nullptr;
  }
  std::string Read() {
    std::ifstream in(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  static absl::Status Check(std::string_view text) {
    Head head;
    std::string writer;
    return Verify(text, writer, head);
  }
  static Entry Act(uint64_t count) {
    return {.who = "spiffe://site/processor",
            .operation = Operation::kAlteration,
            .action = "Rotate",
            .domains = {"intelligence"},
            .count = count};
  }

  std::unique_ptr<test_support::TempDir> folder_ = *test_support::TempDir::Create("trail");
  std::string path_ = folder_->path() + "/audit.jsonl";
  base::ManualClock clock_;
};

TEST_F(ChainTest, ALineSaysWhoDidWhatWhenAndFollowsTheOneBefore) {
  auto chain = Open();
  ASSERT_TRUE(chain->Append(Act(3)).ok());
  ASSERT_TRUE(chain
                  ->Append({.who = "line\nbreak\"",
                            .operation = Operation::kDisclosure,
                            .action = "Redeem",
                            .outcome = Outcome::kRefused,
                            .reason = "the grant is used up"})
                  .ok());
  std::string text = Read();
  EXPECT_TRUE(text.starts_with(
      "{\"writer\":\"pseudonymiser-0\",\"sequence\":1,\"previous\":\"" + std::string(64, '0') +
      "\",\"time\":\"2023-11-14T22:13:20.000Z\",\"who\":\"spiffe://site/processor\","
      "\"operation\":\"alteration\",\"action\":\"Rotate\",\"outcome\":\"done\","
      "\"domains\":[\"intelligence\"],\"count\":3,\"hash\":\""))
      << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_EQ(Check(text), absl::OkStatus());
  EXPECT_EQ(chain->head().sequence, 2u);
}

TEST_F(ChainTest, GoesOnWhereItEndedAndCutsOffWhatWasHalfWritten) {
  ASSERT_TRUE(Open()->Append(Act(1)).ok());
  std::string whole = Read();
  std::ofstream(path_, std::ios::app) << "{\"writer\":\"pseudonymiser-0\",\"seq";
  auto chain = Open();
  EXPECT_EQ(Read(), whole);
  ASSERT_TRUE(chain->Append(Act(2)).ok());
  EXPECT_EQ(Check(Read()), absl::OkStatus());
  EXPECT_EQ(chain->head().sequence, 2u);
}

TEST_F(ChainTest, VerificationNamesTheFirstBrokenLink) {
  auto chain = Open();
  for (uint64_t i = 1; i <= 5; ++i) ASSERT_TRUE(chain->Append(Act(i)).ok());
  chain.reset();
  std::string good = Read();
  std::vector<std::string> lines;
  for (size_t begin = 0, end; (end = good.find('\n', begin)) != std::string::npos; begin = end + 1)
    lines.push_back(good.substr(begin, end + 1 - begin));
  auto error = [](const std::vector<std::string>& all) {
    std::string text;
    for (const std::string& line : all) text += line;
    return std::string(Check(text).message());
  };
  auto changed = lines;
  changed[2].replace(changed[2].find("\"count\":3"), 9, "\"count\":9");
  EXPECT_THAT(error(changed), HasSubstr("line 3: was changed"));
  auto removed = lines;
  removed.erase(removed.begin() + 1);
  EXPECT_THAT(error(removed), HasSubstr("line 2: isn't number 2"));
  auto swapped = lines;
  std::swap(swapped[3], swapped[4]);
  EXPECT_THAT(error(swapped), HasSubstr("line 4: isn't number 4"));
  auto doubled = lines;
  doubled.insert(doubled.begin() + 1, lines[0]);
  EXPECT_THAT(error(doubled), HasSubstr("line 2: isn't number 2"));
  // Whoever repairs the hash of a changed line breaks the link behind it.
  auto chain_of = [&](uint64_t count) {
    std::filesystem::remove(path_);
    auto other = Open();
    EXPECT_TRUE(other->Append(Act(count)).ok());
    other.reset();
    return Read();
  };
  auto forged = lines;
  forged[0] = chain_of(77);
  EXPECT_THAT(error(forged), HasSubstr("line 2: doesn't follow"));
  // Every single byte counts.
  for (size_t i = 0; i < good.size(); i += 7) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_EQ(Check(bad).code(), absl::StatusCode::kDataLoss) << "byte " << i;
  }
  // A broken chain isn't gone on with, nor touched.
  std::string bad = lines[0] + lines[2];
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << bad;
  auto refused = Chain::Open({path_, "pseudonymiser-0"}, clock_);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("line 2: isn't number 2"));
  EXPECT_EQ(Read(), bad);
}

TEST_F(ChainTest, HasOneWriter) {
  auto chain = Open();
  ASSERT_TRUE(chain->Append(Act(1)).ok());
  EXPECT_THAT(std::string(Chain::Open({path_, "pseudonymiser-0"}, clock_).status().message()),
              HasSubstr("another process writes to it"));
  chain.reset();
  EXPECT_THAT(std::string(Chain::Open({path_, "other"}, clock_).status().message()),
              HasSubstr("line 1: is of another writer"));
}

// A disk on which neither a line nor its end can be made good: as a full one, and one that is gone.
TEST_F(ChainTest, WhatIsHalfWrittenIsCutOffBeforeAnythingIsAppended) {
  auto chain = Open();
  ASSERT_TRUE(chain->Append(Act(1)).ok());
  const std::string whole = Read();
  auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit full = before;
  full.rlim_cur = whole.size() + 100;
  setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_TRUE(absl::IsUnavailable(chain->Append(Act(2))));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(Read(), whole);
  ASSERT_TRUE(chain->Append(Act(2)).ok());
  chain.reset();
  EXPECT_NE(Open(), nullptr);
  EXPECT_EQ(Check(Read()), absl::OkStatus());
}

TEST_F(ChainTest, ALineHasABound) {
  auto chain = Open();
  Entry huge = Act(1);
  huge.domains.assign(100'000, "intelligence");
  EXPECT_TRUE(absl::IsInvalidArgument(chain->Append(huge)));
  EXPECT_EQ(Read(), "");
  EXPECT_TRUE(chain->Append(Act(1)).ok());
}

TEST_F(ChainTest, AFileOfAnySizeIsVerifiedPieceByPiece) {
  {
    auto chain = Open();
    Entry long_one = Act(1);
    long_one.purpose = std::string(400'000, 'p');
    for (int i = 0; i < 9; ++i) ASSERT_TRUE(chain->Append(i % 2 == 0 ? long_one : Act(2)).ok());
  }
  std::string whole = Read();
  EXPECT_GT(whole.size(), size_t{1} << 20);
  EXPECT_EQ(Open()->head().sequence, 9u);
  std::string changed = whole;
  changed[changed.rfind("\"count\":1") + 8] = '7';
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << changed;
  EXPECT_THAT(std::string(Chain::Open({path_, "pseudonymiser-0"}, clock_).status().message()),
              HasSubstr("line 9: was changed"));
}

TEST_F(ChainTest, APipeInItsPlaceIsNotWaitedFor) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(std::string(Chain::Open({path_, "pseudonymiser-0"}, clock_).status().message()),
              HasSubstr("isn't a file"));
}

class FakePublisher final : public Publisher {
 public:
  absl::Status Publish(std::string_view writer, std::span<const std::string_view> lines) override {
    std::lock_guard lock(mutex_);
    if (away_) return absl::UnavailableError("away");
    for (std::string_view line : lines)
      if (line.size() > bytes_max_) return absl::InvalidArgumentError("too large");
    EXPECT_EQ(writer, "pseudonymiser-0");
    for (std::string_view line : lines) text_ += std::string(line) + "\n";
    return absl::OkStatus();
  }
  void set_bytes_max(size_t bytes) {
    std::lock_guard lock(mutex_);
    bytes_max_ = bytes;
  }
  void set_away(bool away) {
    std::lock_guard lock(mutex_);
    away_ = away;
  }
  std::string text() {
    std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  bool away_ = false;
  size_t bytes_max_ = ~size_t{0};
  std::string text_;
};

TEST_F(ChainTest, EveryLineIsPublishedOnceThePublisherIsBackAndAfterARestart) {
  static std::atomic<int> failures;
  failures = 0;
  FakePublisher publisher;
  auto chain = Open();
  auto start = [&] {
    return Forwarder::Start(
        path_, "pseudonymiser-0", publisher, [](const absl::Status&) { ++failures; }, 1);
  };
  auto forwarder = start();
  ASSERT_TRUE(chain->Append(Act(1)).ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(10),
                                      [&] { return publisher.text() == Read(); }));
  publisher.set_away(true);
  ASSERT_TRUE(chain->Append(Act(2)).ok());
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(10), [&] { return failures > 0; }));
  publisher.set_away(false);
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(10),
                                      [&] { return publisher.text() == Read(); }));
  forwarder.reset();
  ASSERT_TRUE(chain->Append(Act(3)).ok());
  start().reset();
  EXPECT_EQ(publisher.text(), Read());
  EXPECT_EQ(Check(publisher.text()), absl::OkStatus());
}

TEST_F(ChainTest, NoLineStopsTheCopyOfThoseBehindIt) {
  FakePublisher publisher;
  publisher.set_bytes_max(1'000);
  {
    auto chain = Open();
    ASSERT_TRUE(chain->Append(Act(1)).ok());
    Entry long_one = Act(2);
    long_one.purpose = std::string(300'000, 'p');
    ASSERT_TRUE(chain->Append(long_one).ok());
    ASSERT_TRUE(chain->Append(Act(3)).ok());
  }
  // A file of before lines had a bound.
  const std::string lines = Read();
  auto forwarder = Forwarder::Start(
      path_, "pseudonymiser-0", publisher, [](const absl::Status&) {}, 1);
  ASSERT_TRUE(test_support::WaitUntil(std::chrono::seconds(10),
                                      [&] { return forwarder->published() == lines.size(); }));
  EXPECT_EQ(forwarder->left_out(), 1u);
  forwarder.reset();
  const std::string text = publisher.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_THAT(text, HasSubstr("\"left_out_bytes\":"));
  // The hash by which the line in the file is known to be the one.
  const size_t second = lines.rfind("\"hash\":\"", lines.rfind("{\"writer\""));
  EXPECT_THAT(text, HasSubstr(lines.substr(second, 73)));
}

TEST_F(ChainTest, ALineThatIsLongerThanAReadIsPublished) {
  FakePublisher publisher;
  const std::string line = "{\"old\":\"" + std::string(3'000'000, 'x') + "\"}\n";
  std::ofstream(path_, std::ios::binary) << line << "{}\n";
  Forwarder::Start(
      path_, "pseudonymiser-0", publisher, [](const absl::Status&) {}, 1)
      .reset();
  EXPECT_EQ(publisher.text(), line + "{}\n");
}

TEST_F(ChainTest, AnotherFileUnderTheNameIsPublishedFromItsBeginning) {
  FakePublisher publisher;
  auto publish = [&] {
    Forwarder::Start(
        path_, "pseudonymiser-0", publisher, [](const absl::Status&) {}, 1)
        .reset();
  };
  ASSERT_TRUE(Open()->Append(Act(1)).ok());
  publish();
  const std::string first = Read();
  std::filesystem::remove(path_);
  clock_.Advance(std::chrono::hours(1));
  {
    auto chain = Open();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(chain->Append(Act(1)).ok());
  }
  publish();
  EXPECT_EQ(publisher.text(), first + Read());
}

}  // namespace
}  // namespace sluice::trail
