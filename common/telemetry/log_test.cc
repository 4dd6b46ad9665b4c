#include "common/telemetry/log.h"

#include <limits>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::telemetry {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

// Text of unknown origin doesn't compile.
static_assert(!std::is_convertible_v<std::string, LogValue>);
static_assert(!std::is_convertible_v<std::string_view, LogValue>);
static_assert(!std::is_constructible_v<LogValue, std::string>);
static_assert(!std::is_constructible_v<LogValue, char>);
static_assert(!std::is_convertible_v<std::string, LogName>);

class LogTest : public testing::Test {
 protected:
  void SetUp() override { Configure({}); }
  void TearDown() override { ConfigureLog(std::move(former_)); }

  void Configure(LogOptions options) {
    options.component = "test";
    options.clock = &clock_;
    options.sink = [this](std::string_view line) { lines_.emplace_back(line); };
    LogOptions former = ConfigureLog(std::move(options));
    if (!configured_) former_ = std::move(former);
    configured_ = true;
  }

  base::ManualClock clock_;
  std::vector<std::string> lines_;
  LogOptions former_;
  bool configured_ = false;
};

TEST_F(LogTest, WritesOneJsonObjectALine) {
  clock_.Advance(std::chrono::milliseconds(89));
  Log(Severity::kInfo, "partitions_assigned",
      {{"count", 3},
       {"bytes", size_t{7}},
       {"ratio", 0.5},
       {"first", true},
       {"mode", "eager"},
       {"topic", SafeText(std::string("raw.stops"))}});
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_EQ(lines_[0],
            R"({"time":"2023-11-14T22:13:20.089Z","severity":"INFO","component":"test",)"
            R"("event":"partitions_assigned","count":3,"bytes":7,"ratio":0.5,"first":true,)"
            R"("mode":"eager","topic":"raw.stops"})");
}

TEST_F(LogTest, EscapesText) {
  Log(Severity::kError, "failed", {{"reason", SafeText("a\"b\\c\nd\x01 \xc3\xa9")}});
  EXPECT_THAT(lines_.at(0), EndsWith(R"("reason":"a\"b\\c\nd\u0001 é"})"));
}

TEST_F(LogTest, WritesExtremeNumbers) {
  Log(Severity::kInfo, "numbers",
      {{"min", std::numeric_limits<int64_t>::min()},
       {"max", std::numeric_limits<uint64_t>::max()},
       {"nan", std::numeric_limits<double>::quiet_NaN()},
       {"off", false}});
  EXPECT_THAT(lines_.at(0), HasSubstr(R"("min":-9223372036854775808,"max":18446744073709551615,)"
                                      R"("nan":null,"off":false)"));
}

TEST_F(LogTest, TakesAStatus) {
  Log(Severity::kWarning, "commit_failed",
      {{"status", SafeText(absl::UnavailableError("broker gone"))}});
  EXPECT_THAT(lines_.at(0), HasSubstr(R"("severity":"WARNING")"));
  EXPECT_THAT(lines_.at(0), HasSubstr(R"("status":"UNAVAILABLE: broker gone")"));
}

TEST_F(LogTest, DropsWhatIsLessSevereThanAsked) {
  Log(Severity::kDebug, "detail");
  EXPECT_TRUE(lines_.empty());
  Configure({.severity_min = Severity::kDebug});
  Log(Severity::kDebug, "detail");
  EXPECT_EQ(lines_.size(), 1u);
}

TEST_F(LogTest, BoundsTheLinesOfOneEventPerSecondAndSaysHowManyItDropped) {
  Configure({.lines_per_second_max = 2});
  uint64_t before = LogLinesSuppressed();
  for (int i = 0; i < 10; ++i) Log(Severity::kInfo, "noisy");
  Log(Severity::kInfo, "quiet");
  EXPECT_EQ(lines_.size(), 3u);
  EXPECT_EQ(LogLinesSuppressed() - before, 8u);
  clock_.Advance(std::chrono::milliseconds(1000));
  Log(Severity::kInfo, "noisy");
  Log(Severity::kInfo, "noisy");
  ASSERT_EQ(lines_.size(), 5u);
  EXPECT_THAT(lines_[3], EndsWith(R"("event":"noisy","suppressed":8})"));
  EXPECT_THAT(lines_[4], EndsWith(R"("event":"noisy"})"));
}

TEST_F(LogTest, IsThreadSafe) {
  Configure({.lines_per_second_max = 1'000'000});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) Log(Severity::kInfo, "line", {{"thread", t}});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(lines_.size(), 2000u);
}

TEST_F(LogTest, WritesToStandardErrorByDefault) {
  LogOptions options;
  options.clock = &clock_;
  ConfigureLog(std::move(options));
  testing::internal::CaptureStderr();
  Log(Severity::kInfo, "hello");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "{\"time\":\"2023-11-14T22:13:20.000Z\",\"severity\":\"INFO\",\"component\":\"sluice\","
            "\"event\":\"hello\"}\n");
}

}  // namespace
}  // namespace sluice::telemetry
