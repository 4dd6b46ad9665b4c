// status and pause on a running processor, and the depth of its quarantine.
#include "services/ctl/pipeline_test.h"
#include "services/ctl/quarantine.h"

namespace sluice::ctl {
namespace {

using StatusKafkaTest = PipelineTest;

TEST_F(StatusKafkaTest, SeesARunningProcessorPauseFallBehindAndCatchUp) {
  MakeTopics(1);
  auto process = StartProcessor();
  ASSERT_TRUE(process->WaitForOutput("grpc_port", std::chrono::seconds(30)).ok());
  std::string text = process->Output();
  std::string address =
      base::StrCat("127.0.0.1:", std::atoi(text.c_str() + text.find("\"grpc_port\":") + 12));
  auto status = [&] {
    return RunCtl({"status", address, "--config", config(), "--output", "json"});
  };
  auto becomes = [&](std::vector<std::string> parts) {
    Ended last;
    bool did = test_support::WaitUntil(std::chrono::seconds(20), [&] {
      last = status();
      return std::all_of(parts.begin(), parts.end(), [&](const std::string& part) {
        return last.out.find(part) != std::string::npos;
      });
    });
    EXPECT_TRUE(did) << last.out << last.err;
  };
  Produce(3, "abc");
  Produce(2, "LONGCODE");
  becomes({"\"state\": \"running\"", "\"events_clean\": 3", "\"events_quarantined\": 2",
           "\"quarantine_waiting\": 2", "\"lag_records\": 0", "\"desk\": 1"});
  EXPECT_EQ(RunCtl({"pause", address}).code, 0);
  becomes({"\"state\": \"paused\""});
  Produce(4, "abc");
  becomes({"\"state\": \"paused\"", "\"lag_records\": 4"});
  EXPECT_EQ(RunCtl({"resume", address}).code, 0);
  becomes({"\"state\": \"running\"", "\"events_clean\": 7", "\"lag_records\": 0"});
  Stop(*process);
}

TEST_F(StatusKafkaTest, TheDepthOfAQuarantineFollowsWhatComesAndWhatIsTakenOut) {
  MakeTopics(1);
  QuarantineDepth depth(site_);
  EXPECT_EQ(*depth.Refresh(), 0u);
  Produce(3, "LONGCODE");
  auto process = StartProcessor();
  ASSERT_TRUE(WaitForRecords(site_.quarantine(), 3)) << LogTail();
  Stop(*process);
  EXPECT_EQ(*depth.Refresh(), 3u);
  Ended ended = Ctl({"quarantine", "discard", "--at", "0/0", "--because", "a test", "--execute"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(*depth.Refresh(), 2u);
  EXPECT_EQ(*QuarantineDepth(site_).Refresh(), 2u);
}

}  // namespace
}  // namespace sluice::ctl
