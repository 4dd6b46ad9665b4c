// What a processor at its default limits takes, whatever events come, on a real Kafka.
#include <sstream>

#include "services/processor/processor_test.h"
#include "tests/support/sanitized.h"

namespace sluice::processor {
namespace {

constexpr size_t kMib = 1024 * 1024;
// As docs/guides/processor.md promises them, reference data apart.
constexpr size_t kResidentMax = 256 * kMib;
constexpr size_t kAboveIdleMax = 32 * kMib;

class MemoryKafkaTest : public ProcessorKafkaTest {
 protected:
  static bool Wanted() { return std::getenv("SLUICE_HOSTILE") != nullptr; }
  static void SetUpTestSuite() {
    if (Wanted()) ProcessorKafkaTest::SetUpTestSuite();
  }
  void SetUp() override {
    if (!Wanted()) GTEST_SKIP() << "./run test-hostile runs it";
    more_config_ = "workers: 2\n";
    ProcessorKafkaTest::SetUp();
    // With the default transactions.
    ASSERT_TRUE(LoadConfig("first", suffix_, 0).has_value());
  }

  // In bytes; `VmRSS`, and `VmHWM` for the most that there was.
  static size_t Memory(ChildProcess& process, const std::string& what) {
    const std::string status =
        test_support::ReadFile(base::StrCat("/proc/", process.pid(), "/status"));
    const size_t at = status.find(what + ":");
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos
               ? 0
               : static_cast<size_t>(std::atoll(status.c_str() + at + what.size() + 1)) * 1024;
  }

  void Send(const std::vector<std::string>& events) {
    auto writer = kafka::TopicWriter::Create({Connection()});
    ASSERT_TRUE(writer.ok());
    for (const std::string& event : events) {
      ASSERT_TRUE((*writer)
                      ->Write({setup_->pipeline->config().input().topic(),
                               static_cast<int32_t>(produced_ % 4),
                               "k",
                               event,
                               {},
                               {}})
                      .ok());
      ++produced_;
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }
  // Until all is worked on. An audit would cost more than the events.
  void WaitUntilWorkedOn(ChildProcess& process) {
    const std::string line = base::StrCat("\nsluice_events_in_total ", produced_, "\n");
    EXPECT_TRUE(test_support::WaitUntil(300s, [&] {
      return Metrics(process).find(line) != std::string::npos;
    })) << test_support::Tail(test_support::ReadFile(log()), 10);
  }
};

// SLUICE_MEMORY_EVENTS: of the events that grow, 2,560 for a full run.
TEST_F(MemoryKafkaTest, AnyMixOfEventsStaysWithinTheBoundAndIsGivenBack) {
  if (test_support::kSanitized) GTEST_SKIP() << "a sanitizer takes memory of its own";
  const char* given = std::getenv("SLUICE_MEMORY_EVENTS");
  const size_t growing = given == nullptr ? 200 : static_cast<size_t>(std::atoll(given));
  auto process = Start();
  // Warm: each part of the work has been done once.
  Produce(2000);
  WaitUntilWorkedOn(*process);
  const size_t idle = Memory(*process, "VmRSS");

  auto text = [](size_t bytes) {
    std::string grounds;
    while (grounds.size() + 12 < bytes) grounds += "words of it ";
    return base::StrCat(R"({"event_id":"6f9619ff-8b86-4011-b42d-00cf4fc964ff","grounds":")",
                        grounds, "\"}");
  };
  auto items = [](size_t bytes, std::string_view item) {
    std::string list;
    while (list.size() + item.size() + 1 < bytes) base::StrAppend(list, item, ",");
    if (!list.empty()) list.pop_back();
    return base::StrCat(R"({"more":[)", list, "]}");
  };
  struct Mix {
    const char* name;
    std::vector<std::string> events;
  };
  std::vector<Mix> mixes(4);
  mixes[0].name = "growing by two bytes";
  for (size_t i = 0; i < growing; ++i) mixes[0].events.push_back(text(100'000 + 2 * i));
  mixes[1].name = "empty objects";
  for (size_t i = 0; i < growing; ++i) mixes[1].events.push_back(items(30'000, "{}"));
  // The writer takes no more than 1,000,000 bytes.
  mixes[2].name = "as large as may be";
  for (size_t i = 0; i < growing / 10; ++i) {
    mixes[2].events.push_back(text(990'000));
    mixes[2].events.push_back(items(990'000, "{}"));
    mixes[2].events.push_back(items(990'000, "\"\\u0041\""));
  }
  mixes[3].name = "small and large in turn";
  for (size_t i = 0; i < growing; ++i)
    mixes[3].events.push_back(i % 16 == 0 ? text(900'000) : generator_.Next());
  for (Mix& mix : mixes) {
    Send(mix.events);
    mix.events = {};
    WaitUntilWorkedOn(*process);
    const size_t most = Memory(*process, "VmHWM");
    EXPECT_LE(most, kResidentMax) << mix.name;
    std::ostringstream figure;
    figure << "after '" << mix.name << "': most " << most / kMib << " MiB, now "
           << Memory(*process, "VmRSS") / kMib << " MiB, idle " << idle / kMib << " MiB";
    std::printf("%s\n", figure.str().c_str());
  }
  EXPECT_TRUE(test_support::WaitUntil(
      60s, [&] { return Memory(*process, "VmRSS") <= idle + kAboveIdleMax; }))
      << Memory(*process, "VmRSS") / kMib << " MiB a minute after; idle " << idle / kMib << " MiB";
  StopCleanly(*process);
}

}  // namespace
}  // namespace sluice::processor
